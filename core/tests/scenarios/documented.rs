//! The documented job and plugin, start to finish, as an integrator would tell it.

use castellan_core::event::{BrokerReport, Event, ExitStatus};
use serde_json::json;

use crate::world::{ENDPOINTS, World, ids};

const JOB: &str = include_str!("../data/root-job.json");
const PLUGIN: &str = include_str!("../data/root-plugin.json");
const LOG: &str = include_str!("../data/seed-001-log-message.json");

#[test]
fn the_documented_job_from_startup_to_its_history() {
    let mut world = World::loaded("{}", &[("Jobs/secrets-scanner", JOB)], vec![]);
    world.expect(&[]);
    world.tell(Event::Opened(ENDPOINTS));
    world.expect(&["persist 7-1 running"]);
    world.disk();
    world.expect(&[
        "publish Jobs/secrets-scanner/events started",
        "spawn 1 job:secrets-scanner",
        "persist 7-1 running",
    ]);
    let request = &world.spawns[&castellan_core::id::SpawnId(1)];
    assert_eq!(request.arguments, ["--scan", "/etc", "--keeper-api-base=https://127.0.0.1:443"]);
    assert!(request.environment.contains(&("KEEPER_JOB_ID".into(), "secrets-scanner".into())));
    assert!(request.environment.contains(&("KEEPER_JOB_NAME".into(), "Secrets Scanner".into())));
    assert_eq!(request.program.candidates[0], "/agent/Jobs/bin/SecretScanner/SecretScanner");

    world.started(1);
    world.expect(&["release 1"]);
    let settings = world.task(1, "GET", "/api/PluginSettings/KeeperPrivilegeManager", "");
    assert_eq!(world.body(settings)["broker.port"], "8883");
    let (pid, _) = ids(1);
    let scanner = world.client(1, &format!("secrets-scanner_Tok_{pid}"), 1);
    world.publish(&scanner, "KeeperLogger", LOG);
    world.expect(&["1: 200", "accept 1 +2 -0"]);
    let line = world.logs.last().unwrap();
    assert_eq!((line.component.as_str(), line.pid), ("job:secrets-scanner", Some(pid)));

    world.tell(Event::Broker(BrokerReport::Disconnected { subject: scanner, reason: "DISCONNECT".into() }));
    world.exit(1, ExitStatus::Code(0));
    world.collected(1, r#"{"filesRead":12,"findings":3}"#);
    world.expect(&[
        "collect 1",
        "publish Jobs/secrets-scanner/events taskFinished",
        "publish Jobs/secrets-scanner/events taskFinished",
        "persist 7-1 running",
        "discard 1",
    ]);
    world.discarded(1);
    world.expect(&[
        "revoke 1",
        "persist 7-1 Succeeded",
        "publish Jobs/secrets-scanner/events finished",
        "publish JobService completed",
    ]);
    world.disk();
    world.quiet();
    let run = world.get("/api/runs/7-1");
    assert_eq!((&run["status"], &run["trigger"]), (&json!("Succeeded"), &json!("event Startup")));
    assert_eq!(run["tasks"][1]["stdout"], "12 files read, 3 findings\n");
    assert_eq!(run["tasks"][0]["pid"], pid);
    let (_, completion) = world.published.last().unwrap();
    assert_eq!((&completion["jobId"], &completion["status"]), (&json!("secrets-scanner"), &json!("Succeeded")));
    let jobs = world.get("/api/Jobs");
    assert_eq!((&jobs[0]["lastOutcome"], &jobs[0]["enabled"]), (&json!("Succeeded"), &json!(true)));
    assert_eq!(jobs[0]["nextRun"], "2023-11-15T00:13:20.000Z", "two hours after the start");
}

#[test]
fn the_second_task_is_skipped_where_nothing_was_found() {
    let mut world = World::new(&[("Jobs/secrets-scanner", JOB)]);
    world.disk();
    world.lives(1, r#"{"filesRead":12,"findings":0}"#);
    let run = world.get("/api/runs/7-1");
    assert_eq!((&run["status"], &run["tasks"][1]["outcome"]), (&json!("Succeeded"), &json!("Skipped")));
    assert!(run["tasks"][1]["reason"].as_str().unwrap().contains("findings = 0 > 0"), "{run}");
    world.quiet();
}

#[test]
fn its_schedule_runs_it_again_beside_startup() {
    let mut world = World::new(&[("Jobs/secrets-scanner", JOB)]);
    world.disk();
    world.lives(1, "{}");
    world.transcript.clear();
    world.wait(2 * 3600 * 1000 - 1);
    world.expect(&[]);
    world.wait(1);
    world.expect(&["persist 7-2 running"]);
    world.disk();
    world.lives(2, "{}");
    assert_eq!(world.get("/api/runs/7-2")["trigger"], "schedule");
    world.quiet();
}

#[test]
fn the_documented_plugin_is_started_connected_and_restarted() {
    let mut world = World::loaded("{}", &[("Plugins/EchoBridge", PLUGIN)], vec![]);
    world.tell(Event::Opened(ENDPOINTS));
    world.expect(&["spawn 1 plugin:EchoBridge"]);
    world.started(1);
    let (pid, _) = ids(1);
    let bridge = world.client(1, &format!("EchoBridge_{pid}"), 1);
    world.expect(&["release 1", "accept 1 +2 -1"]);
    let shown = world.get("/api/plugins/EchoBridge");
    assert_eq!(
        (&shown["status"], &shown["health"], &shown["processId"]),
        (&json!("Running"), &json!("Healthy"), &json!(pid))
    );
    assert_eq!(world.get("/api/PluginSettings/EchoBridge/metadata.greeting"), json!("hello"));
    world.transcript.clear();
    world.tell(Event::Broker(BrokerReport::Disconnected { subject: bridge, reason: "gone".into() }));
    world.exit(1, ExitStatus::Signal(11));
    world.expect(&["revoke 1", "collect 1", "discard 1"]);
    world.collected(1, "");
    world.discarded(1);
    world.expect(&["!PluginEnded"]);
    assert_eq!(world.get("/api/plugins/EchoBridge")["status"], "Backoff");
    world.transcript.clear();
    world.wait(1000);
    world.expect(&["spawn 2 plugin:EchoBridge"]);
    world.started(2);
    let shown = world.get("/api/plugins/EchoBridge");
    assert_eq!((&shown["restarts"], &shown["health"]), (&json!(1), &json!("Starting")));
}
