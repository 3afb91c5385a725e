//! The agent stops: within its time, whatever is left, and with an answer to everybody.

use castellan_core::event::{BrokerReport, Event, ExitStatus, ProcessReport};
use castellan_core::id::SpawnId;
use serde_json::json;

use crate::plugins::plugin;
use crate::world::{ENDPOINTS, World, ids, peer};

fn job(id: &str, members: &str) -> String {
    format!(r#"{{"id":"{id}","tasks":[{{"id":"t","command":"tool"}}]{members}}}"#)
}

fn stop(world: &mut World) {
    world.tell(Event::StopRequested("SIGTERM".into()));
}

fn broker_stopped(world: &mut World) {
    world.tell(Event::Broker(BrokerReport::Stopped));
}

#[test]
fn an_idle_agent_stops_at_once() {
    let mut world = World::new(&[("Jobs/a", &job("a", ""))]);
    stop(&mut world);
    world.expect(&["stop broker"]);
    stop(&mut world);
    world.expect(&[]);
    broker_stopped(&mut world);
    world.expect(&["Exit"]);
    world.quiet();
}

#[test]
fn runs_and_plugins_end_first_and_their_end_is_on_record() {
    let mut world = World::new(&[("Jobs/a", &job("a", "")), ("Plugins/p", &plugin("p", ""))]);
    world.started(1);
    let wait = world.admin("POST", "/api/Jobs/a/trigger?wait=true", "");
    let queued = world.admin("POST", "/api/Jobs/a/trigger?wait=true", "");
    world.disk();
    world.started(2);
    world.transcript.clear();
    stop(&mut world);
    world.expect(&[
        "Terminate 2",
        "persist 7-2 Canceled",
        "!RunFinished",
        "publish Jobs/a/events finished",
        "publish JobService completed",
        "Terminate 1",
    ]);
    let (pid, cgroup) = ids(2);
    world.connect(1, &format!("a_T_{pid}"), peer(cgroup, pid));
    world.expect(&["accept 1 +0 -0"]);
    for (spawn, status) in [(1, ExitStatus::Signal(15)), (2, ExitStatus::Code(0))] {
        world.exit(spawn, status);
        world.collected(spawn, "");
        world.discarded(spawn);
    }
    world.disk();
    assert_eq!(world.transcript.last().unwrap(), "stop broker");
    assert_eq!((&world.body(wait)["status"], &world.body(queued)["status"]), (&json!("Canceled"), &json!("Canceled")));
    assert_eq!((world.history["7-1"].status.as_str(), world.history["7-2"].status.as_str()), ("Canceled", "Canceled"));
    assert_eq!(world.history["7-1"].tasks[0].outcome, "Canceled");
    world.connect(2, &format!("a_T_{pid}"), peer(cgroup, pid));
    assert_eq!(world.transcript.last().unwrap(), "refuse 2 ServerUnavailable");
    world.transcript.clear();
    broker_stopped(&mut world);
    world.expect(&["Exit"]);
    world.quiet();
}

#[test]
fn a_process_that_never_ends_does_not_hold_the_agent() {
    let mut world = World::new(&[("Jobs/a", &job("a", "")), ("Plugins/p", &plugin("p", ""))]);
    world.started(1);
    let waiting = world.admin("POST", "/api/Jobs/a/trigger?wait=true", "");
    world.disk();
    world.started(2);
    world.transcript.clear();
    stop(&mut world);
    world.wait(5_000);
    world.expect(&["Terminate 2", "Terminate 1", "Kill 2", "Kill 1"]);
    world.wait(999);
    world.expect(&[]);
    world.wait(1);
    world.expect(&["!StopLimit", "1: 503", "Exit"]);
    assert_eq!(world.status(waiting), Some(503));
}

#[test]
fn a_broker_that_never_stops_does_not_hold_the_agent() {
    let mut world = World::new(&[]);
    stop(&mut world);
    world.expect(&["stop broker"]);
    world.wait(8_000);
    world.expect(&["!StopLimit", "Exit"]);
}

/// Every kind of question, unanswered when the agent stops.
#[test]
fn whoever_waits_is_answered_when_the_agent_exits() {
    let mut world = World::new(&[("Jobs/a", &job("a", "")), ("Jobs/b", &job("b", ""))]);
    let requests = [
        world.admin("POST", "/api/Jobs", &job("new", "")),
        world.admin("POST", "/api/Jobs/validate", &job("other", "")),
        world.admin("DELETE", "/api/Jobs/b", ""),
        world.admin("POST", "/api/Jobs/reload", ""),
        world.admin("GET", "/api/Jobs/a/runs", ""),
        world.admin("GET", "/api/runs/1-1", ""),
        world.admin("POST", "/api/Jobs/a/trigger", ""),
        world.admin("POST", "/api/Jobs/a/trigger?wait=true", ""),
        world.admin("PUT", "/api/Jobs/a", &job("a", "")),
    ];
    world.look("");
    assert!(requests.iter().all(|request| world.status(*request).is_none()));
    stop(&mut world);
    world.wait(8_000);
    assert!(world.exited);
    for request in requests {
        assert_eq!(world.status(request), Some(503), "{request}");
        assert!(!world.body(request)["fix"].as_str().unwrap().is_empty());
    }
}

#[test]
fn the_disk_may_answer_before_the_broker_closes() {
    let mut world = World::new(&[("Jobs/a", &job("a", ""))]);
    let deleting = world.admin("DELETE", "/api/Jobs/a", "");
    world.transcript.clear();
    stop(&mut world);
    world.expect(&[]);
    world.disk();
    world.expect(&["1: 200", "stop broker"]);
    assert_eq!(world.status(deleting), Some(200));
}

#[test]
fn a_stopping_agent_takes_no_more_work_and_still_answers() {
    let mut world = World::new(&[("Jobs/a", &job("a", "")), ("Plugins/p", &plugin("p", ""))]);
    world.started(1);
    stop(&mut world);
    for (method, target, body, expect) in [
        ("GET", "/health", "", 200),
        ("GET", "/api/Jobs", "", 200),
        ("GET", "/api/Jobs/a", "", 200),
        ("GET", "/api/plugins/p", "", 200),
        ("GET", "/api/runs/1-1", "", 503),
        ("GET", "/api/Jobs/a/runs", "", 503),
        ("POST", "/api/Jobs/a/trigger", "", 503),
        ("POST", "/api/Jobs/reload", "", 503),
        ("POST", "/api/Jobs", &*job("b", ""), 503),
        ("PUT", "/api/Jobs/a", &job("a", ""), 503),
        ("DELETE", "/api/Jobs/a", "", 503),
        ("POST", "/api/plugins/p/restart", "", 503),
        ("POST", "/api/plugins/p/start", "", 503),
    ] {
        let request = world.admin(method, target, body);
        assert_eq!(world.status(request), Some(expect), "{method} {target}");
    }
    world.exit(1, ExitStatus::Code(0));
    world.collected(1, "");
    world.discarded(1);
    assert_eq!(world.transcript.last().unwrap(), "stop broker", "the plugin is not started again");
}

#[test]
fn schedules_and_restarts_rest_while_the_agent_stops() {
    let files = [
        ("Jobs/a", &*job("a", r#","schedule":{"intervalMinutes":1}"#)),
        ("Jobs/b", &job("b", r#","schedule":{"runAt":"2023-11-14T22:14:23Z"}"#)),
        ("Plugins/p", &plugin("p", r#","requiresMonitoring":true,"autoRestart":true"#)),
    ];
    let mut world = World::new(&files);
    world.started(1);
    world.wait(59_000);
    world.transcript.clear();
    stop(&mut world);
    // The world checks that no deadline of theirs lies behind.
    world.wait(4_000);
    world.expect(&["Terminate 1"]);
    world.exit(1, ExitStatus::Signal(15));
    world.collected(1, "");
    world.discarded(1);
    broker_stopped(&mut world);
    world.expect(&["revoke 1", "collect 1", "discard 1", "stop broker", "Exit"]);
}

#[test]
fn schedules_rest_until_the_listeners_are_open() {
    let files = [("Jobs/a", &*job("a", r#","schedule":{"intervalMinutes":1}"#))];
    let mut world = World::loaded("{}", &files, vec![]);
    world.wait(3_600_000);
    world.expect(&[]);
    world.tell(Event::Opened(ENDPOINTS));
    world.expect(&["persist 7-1 running"]);
}

#[test]
fn a_process_in_the_making_is_not_released_any_more() {
    let mut world = World::new(&[("Jobs/a", &job("a", "")), ("Plugins/p", &plugin("p", ""))]);
    world.admin("POST", "/api/Jobs/a/trigger", "");
    world.disk();
    world.transcript.clear();
    stop(&mut world);
    world.expect(&["abort 2", "abort 1"]);
    world.prepared(2);
    world.prepared(1);
    world.expect(&[]);
    world.spawn_failed(2);
    world.spawn_failed(1);
    world.disk();
    broker_stopped(&mut world);
    assert!(world.exited);
    world.quiet();
}

#[test]
fn a_run_that_is_being_recorded_ends_with_its_record() {
    let mut world = World::new(&[("Jobs/a", &job("a", ""))]);
    let request = world.admin("POST", "/api/Jobs/a/trigger", "");
    stop(&mut world);
    world.disk();
    assert_eq!((world.status(request), world.history["7-1"].status.as_str()), (Some(202), "Canceled"));
    assert_eq!(world.transcript.last().unwrap(), "stop broker");
    assert!(world.spawns.is_empty());
}

#[test]
fn a_broker_that_dies_takes_the_agent_down_in_order() {
    let mut world = World::new(&[("Jobs/a", &job("a", ""))]);
    world.admin("POST", "/api/Jobs/a/trigger", "");
    world.disk();
    world.started(1);
    world.transcript.clear();
    broker_stopped(&mut world);
    world.expect(&["!BrokerStopped", "Terminate 1"]);
    world.exit(1, ExitStatus::Code(0));
    world.collected(1, "");
    world.discarded(1);
    world.disk();
    assert_eq!((world.transcript.last().unwrap().as_str(), world.history["7-1"].status.as_str()), ("Exit", "Canceled"));
    world.quiet();
}

#[test]
fn a_stop_before_the_start_is_not_forgotten() {
    let mut world = World::loaded("{}", &[("Jobs/a", &job("a", r#","events":["Startup"]"#))], vec![]);
    stop(&mut world);
    world.expect(&["stop broker"]);
    world.tell(Event::Opened(ENDPOINTS));
    world.expect(&["!Anomaly"]);
    broker_stopped(&mut world);
    world.expect(&["Exit"]);
    // A report that comes after the exit changes nothing and answers nobody twice.
    let mut effects = Vec::new();
    let late = Event::Process(ProcessReport::Started { spawn: SpawnId(1) });
    world.agent.handle(castellan_core::time::Now::default(), late, &mut effects);
    assert!(!effects.iter().any(|effect| matches!(effect, castellan_core::effect::Effect::Exit)));
}
