//! Http tasks: requests to others through the port, requests to the agent itself without one.

use castellan_core::effect::LostOrder;
use castellan_core::event::{Captured, Event, HttpReport};
use castellan_core::id::TicketId;
use serde_json::{Value, json};

use crate::world::World;

/// A job of one Http task with these members, started by `Startup`.
fn asks(id: &str, method: &str, url: &str, members: &str) -> String {
    format!(
        r#"{{"id":"{id}","events":["Startup","Go"],
        "tasks":[{{"id":"ask","executionType":"Http","method":"{method}","url":"{url}"{members}}}]}}"#
    )
}

fn says(id: &str) -> String {
    format!(
        r#"{{"id":"{id}","parameters":[{{"name":"n","type":"integer"}}],"tasks":[{{"id":"say","command":"echo","arguments":"{{n}}"}}]}}"#
    )
}

/// Loads, fires `Startup` and lets the disk work until nothing waits.
fn started(files: &[(&str, &str)]) -> World {
    let mut world = World::new(files);
    world.disk();
    world
}

fn answer(world: &mut World, call: usize, status: u16, body: &str) {
    let ticket = world.calls[call].ticket;
    world.tell(Event::Http(HttpReport::Answered { ticket, status, body: Captured::of(body.into()) }));
}

#[track_caller]
fn first_task(world: &mut World, run: &str) -> Value {
    world.get(&format!("/api/runs/{run}"))["tasks"][0].clone()
}

#[test]
fn a_request_to_others_goes_through_the_port_and_is_told_whole() {
    let mut world =
        started(&[("Jobs/a", &asks("a", "POST", "https://x.example/{JobId}", r#","body":{"run":"{RunId}"}"#))]);
    assert_eq!(world.calls[0].body, br#"{"run":"7-1"}"#);
    answer(&mut world, 0, 201, r#"{"ok":true}"#);
    world.disk();
    let task = first_task(&mut world, "7-1");
    assert_eq!(task["commandLine"], json!(["POST", "https://x.example/a"]));
    assert_eq!(
        (&task["outcome"], &task["httpStatus"], &task["exitCode"]),
        (&json!("Succeeded"), &json!(201), &json!(0))
    );
    assert_eq!(task["stdout"], r#"{"ok":true}"#);
    world.quiet();
}

#[test]
fn a_task_triggers_another_job_with_the_authority_of_its_own() {
    let trigger = asks(
        "a",
        "POST",
        "{KeeperApiBaseUrl}/api/Jobs/b/trigger",
        r#","body":"{\"n\":5}","mergeStdoutJsonIntoContext":true"#,
    );
    let mut world = started(&[("Jobs/a", &trigger), ("Jobs/b", &says("b"))]);
    assert!(world.calls.is_empty(), "nothing leaves the agent");
    let task = first_task(&mut world, "7-1");
    assert_eq!((&task["outcome"], &task["httpStatus"]), (&json!("Succeeded"), &json!(202)));
    assert_eq!(world.get("/api/runs/7-1")["context"]["runId"], "7-2");
    let other = world.get("/api/runs/7-2");
    assert_eq!((&other["trigger"], &other["tasks"][0]["stdout"]), (&json!("api call of job:a"), &json!("5\n")));
    world.quiet();
}

#[test]
fn it_can_wait_for_the_run_it_triggered() {
    let trigger = asks("a", "POST", "{KeeperApiBaseUrl}/api/Jobs/b/run?wait=true", r#","body":{"n":5}"#);
    let mut world = started(&[("Jobs/a", &trigger), ("Jobs/b", &says("b"))]);
    let task = first_task(&mut world, "7-1");
    assert_eq!(task["httpStatus"], 200);
    let other: Value = serde_json::from_str(task["stdout"].as_str().unwrap()).unwrap();
    assert_eq!((&other["status"], &other["tasks"][0]["stdout"]), (&json!("Succeeded"), &json!("5\n")));
    world.quiet();
}

#[test]
fn it_is_never_an_administrator() {
    let asked = [
        ("reload", "POST", "/api/Jobs/reload", ""),
        ("denials", "GET", "/api/denials", ""),
        ("delete", "DELETE", "/api/Jobs/reload", ""),
        ("create", "POST", "/api/Jobs", r#","body":{"id":"new"}"#),
        ("stop", "POST", "/api/plugins/x/stop", ""),
    ];
    let jobs = asked.map(|(id, method, path, members)| {
        (format!("Jobs/{id}"), asks(id, method, &format!("{{KeeperApiBaseUrl}}{path}"), members))
    });
    let files: Vec<(&str, &str)> = jobs.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let settings = r#"{"Settings":{"AllowElevatedWithoutCertificate":true}}"#;
    let mut world = World::with(settings, &files);
    world.disk();
    for run in 1..=asked.len() {
        let task = first_task(&mut world, &format!("7-{run}"));
        assert_eq!(
            (&task["outcome"], &task["httpStatus"], &task["exitCode"]),
            (&json!("Failed"), &json!(403), &json!(403))
        );
        assert!(task["stdout"].as_str().unwrap().contains("never as an administrator"), "{task}");
    }
    let denials = world.get("/api/denials");
    assert_eq!(denials.as_array().unwrap().len(), asked.len(), "each is on record: {denials}");
    assert!(denials[0]["component"].as_str().unwrap().starts_with("job:"), "{denials}");
    world.quiet();
}

#[test]
fn a_field_that_web_pages_send_is_refused_here_too() {
    let origin = r#","headers":{"Origin":"https://x.example"}"#;
    let mut world = started(&[("Jobs/a", &asks("a", "GET", "{KeeperApiBaseUrl}/api/Jobs", origin))]);
    assert_eq!(first_task(&mut world, "7-1")["httpStatus"], 403);
    world.quiet();
}

#[test]
fn jobs_that_trigger_each_other_come_to_an_end() {
    let to = |id: &str, other: &str| asks(id, "POST", &format!("https://localhost:443/api/Jobs/{other}/trigger"), "");
    let mut world = started(&[
        ("Jobs/a", &to("a", "b").replace("\"Go\"", "\"On\"")),
        ("Jobs/b", &to("b", "a").replace("\"Startup\",", "")),
    ]);
    let runs = world.history.len();
    assert_eq!(runs, 17, "one at start and 16 behind it");
    let last = first_task(&mut world, "7-17");
    assert_eq!((&last["httpStatus"], &last["outcome"]), (&json!(409), &json!("Failed")));
    assert!(last["stdout"].as_str().unwrap().contains("chain of runs"), "{last}");
    world.quiet();
}

#[test]
fn an_answer_that_comes_after_the_limit_is_dropped() {
    let waits = asks("a", "POST", "{KeeperApiBaseUrl}/api/Jobs/b/run?wait=true", r#","timeoutSeconds":2"#);
    let slow = r#"{"id":"b","tasks":[{"id":"t","command":"tool"}]}"#;
    let mut world = started(&[("Jobs/a", &waits), ("Jobs/b", slow)]);
    world.wait(2000);
    world.disk();
    let task = first_task(&mut world, "7-1");
    assert_eq!((&task["outcome"], &task["httpStatus"]), (&json!("TimedOut"), &Value::Null));
    world.lives(1, "");
    assert_eq!(world.get("/api/runs/7-2")["status"], "Succeeded");
    world.quiet();
}

#[test]
fn canceled_lost_and_unasked() {
    let mut world = started(&[
        ("Jobs/a", &asks("a", "GET", "http://x.example", "")),
        ("Jobs/b", &asks("b", "GET", "http://y.example", "")),
    ]);
    let lost = world.calls[0].ticket;
    world.tell(Event::Lost { order: LostOrder::Send(lost), why: "full".into() });
    world.tell(Event::Http(HttpReport::Failed { ticket: lost, reason: "late".into() }));
    world.tell(Event::Http(HttpReport::Failed { ticket: TicketId(999), reason: "odd".into() }));
    assert_eq!(world.logged("Anomaly").len(), 2);
    world.transcript.clear();
    world.tell(Event::StopRequested("SIGTERM".into()));
    let canceled = world.calls[1].ticket;
    assert!(world.transcript.contains(&format!("cancel {canceled}")), "{:?}", world.transcript);
    world.tell(Event::Http(HttpReport::Failed { ticket: canceled, reason: "it was canceled".into() }));
    world.disk();
    assert_eq!(world.history["7-1"].status, "Failed");
    assert_eq!(world.history["7-2"].status, "Canceled");
}
