//! The agent comes back after it was killed: what was running is lost, and everybody can see it.

use castellan_core::event::Event;
use castellan_core::run::history::{Outcome, RunRecord};
use serde_json::json;

use crate::world::{ENDPOINTS, World};

const JOB: &str = r#"{"id":"a","tasks":[{"id":"t","command":"tool"}]}"#;

/// What a killed agent left in the history.
fn interrupted() -> RunRecord {
    let mut world = World::new(&[("Jobs/a", JOB)]);
    world.admin("POST", "/api/Jobs/a/trigger", "");
    world.disk();
    world.started(1);
    world.history["7-1"].clone()
}

#[test]
fn an_interrupted_run_is_lost_on_record_before_anything_runs() {
    let former = interrupted();
    assert_eq!((former.outcome, former.status.as_str()), (None, "running"));
    let mut orphan = former.clone();
    orphan.run_id = "6-9".into();
    orphan.job_id = "gone".into();
    let mut world = World::loaded("{}", &[("Jobs/a", JOB)], vec![former, orphan]);
    world.expect(&["!RunLost", "persist 7-1 Lost", "!RunLost", "persist 6-9 Lost"]);
    world.tell(Event::Opened(ENDPOINTS));
    world.disk();
    let lost = &world.history["7-1"];
    assert_eq!(lost.outcome, Some(Outcome::Lost));
    assert!(lost.finished_at.is_some() && lost.reason.is_some());
    let jobs = world.get("/api/Jobs");
    assert_eq!(jobs[0]["lastOutcome"], "Lost");
    world.quiet();
}

#[test]
fn a_history_that_cannot_be_written_does_not_stop_the_start() {
    let mut world = World::loaded("{}", &[("Jobs/a", JOB)], vec![interrupted()]);
    world.disk_once(Err("no space left".into()));
    assert_eq!(world.logged("HistoryNotWritten").len(), 1);
    world.tell(Event::Opened(ENDPOINTS));
    assert_eq!(world.get("/api/system/status")["jobCount"], 1);
}

#[test]
fn a_second_start_in_one_life_is_an_anomaly() {
    let mut world =
        World::new(&[("Jobs/a", r#"{"id":"a","tasks":[{"id":"t","command":"tool"}],"events":["Startup"]}"#)]);
    world.disk();
    world.transcript.clear();
    world.tell(Event::Opened(ENDPOINTS));
    world.tell(Event::Loaded(castellan_core::event::Loaded::default()));
    world.expect(&["!Anomaly", "!Anomaly"]);
    assert_eq!(world.get("/api/Jobs")[0]["id"], json!("a"), "Startup fires once, and nothing is unloaded");
    assert_eq!(world.history.len(), 1);
}

#[test]
fn broken_files_stop_nothing() {
    let files = [("Jobs/a", JOB), ("Jobs/broken", "{\"id\":\"broken\""), ("Jobs/other", JOB), ("Plugins/p", "[]")];
    let mut world = World::loaded("{}", &files, vec![]);
    assert_eq!(world.logged("OutOfService").len(), 3);
    assert!(world.logged("Definition").iter().any(|line| line.contains("Jobs/other.json at /id ")));
    world.tell(Event::Opened(ENDPOINTS));
    assert_eq!(world.get("/api/system/status")["jobCount"], 1);
}
