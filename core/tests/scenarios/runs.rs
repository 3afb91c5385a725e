//! Runs over the API: pages of the history, cancellation, and events that lead to runs.

use castellan_core::event::ExitStatus;
use serde_json::{Value, json};

use super::world::World;

fn job(id: &str, more: &str) -> String {
    format!(r#"{{"id":"{id}","tasks":[{{"id":"t","command":"tool"}}]{more}}}"#)
}

fn ids(lines: &Value) -> Vec<&str> {
    lines.as_array().unwrap().iter().filter_map(|line| line["runId"].as_str()).collect()
}

#[test]
fn the_history_is_read_in_pages_without_what_makes_it_long() {
    let mut world = World::new(&[("Jobs/a", &job("a", "")), ("Jobs/b", &job("b", ""))]);
    for (run, id) in ["a", "b", "a"].into_iter().enumerate() {
        world.admin("POST", &format!("/api/Jobs/{id}/trigger"), "");
        world.disk();
        if run < 2 {
            world.lives(run as u64 + 1, "out");
        }
    }
    for (query, expect) in [
        ("", vec!["7-3", "7-2", "7-1"]),
        ("?job=a", vec!["7-3", "7-1"]),
        ("?limit=1", vec!["7-3"]),
        ("?limit=1&before=7-3", vec!["7-2"]),
        ("?status=succeeded", vec!["7-2", "7-1"]),
        ("?status=Running", vec!["7-3"]),
        ("?job=nobody", vec![]),
    ] {
        let request = world.admin("GET", &format!("/api/runs{query}"), "");
        world.disk();
        assert_eq!(ids(&world.body(request)), expect, "{query}");
        assert!(world.body(request).as_array().unwrap().iter().all(|line| line.get("tasks").is_none()), "{query}");
    }
    for query in ["?limit=0", "?limit=101", "?limit=x", "?before=x", "?status=fine", "?job=a_b"] {
        let request = world.admin("GET", &format!("/api/runs{query}"), "");
        assert_eq!(world.status(request), Some(400), "{query}");
        assert!(!world.body(request)["fix"].as_str().unwrap().is_empty());
    }
}

#[test]
fn a_run_is_canceled_whether_it_waits_or_runs_and_says_by_whom() {
    let mut world = World::new(&[("Jobs/a", &job("a", ""))]);
    for _ in 0..2 {
        world.admin("POST", "/api/Jobs/a/trigger", "");
        world.disk();
    }
    world.started(1);
    for (run, expect) in [("7-2", "Canceled"), ("7-1", "running")] {
        let request = world.admin("POST", &format!("/api/runs/{run}/cancel"), "");
        assert_eq!((world.status(request), &world.body(request)["status"]), (Some(202), &json!(expect)), "{run}");
    }
    assert!(world.transcript.iter().any(|line| line == "Terminate 1"), "{:?}", world.transcript);
    let again = world.admin("POST", "/api/runs/7-1/cancel", "");
    assert_eq!(world.status(again), Some(202), "it is ending already");
    world.exit(1, ExitStatus::Signal(15));
    world.collected(1, "");
    world.discarded(1);
    world.disk();
    for run in ["7-1", "7-2"] {
        let record = &world.history[run];
        assert_eq!(record.status, "Canceled", "{run}");
        assert_eq!(record.reason.as_deref(), Some("it was canceled by admin:client."), "{run}");
        let late = world.admin("POST", &format!("/api/runs/{run}/cancel"), "");
        world.disk();
        assert_eq!(world.status(late), Some(409), "{run}");
    }
    let unknown = world.admin("POST", "/api/runs/7-9/cancel", "");
    world.disk();
    assert_eq!(world.status(unknown), Some(404));
    world.quiet();
}

#[test]
fn an_event_through_the_api_tells_what_it_led_to() {
    let waits = r#","events":["Deploy"]"#;
    let skips = r#","events":["Deploy"],"overlap":"skip","parameters":[{"name":"P","required":true}]"#;
    let mut world = World::new(&[("Jobs/a", &job("a", waits)), ("Jobs/b", &job("b", skips))]);
    let fired = world.admin("POST", "/api/events", r#"{"eventName":"Deploy","context":{"n":1},"messageId":"x"}"#);
    world.disk();
    assert_eq!(world.status(fired), Some(202));
    let body = world.body(fired);
    assert_eq!(body["runs"], json!([{"runId": "7-1", "jobId": "a", "status": "running"}]));
    assert_eq!(body["notRun"][0]["jobId"], "b");
    assert!(body["notRun"][0]["reason"].as_str().unwrap().contains('P'), "{body}");
    assert_eq!(world.history["7-1"].context["n"], json!(1));
    let again = world.admin("POST", "/api/events", r#"{"eventName":"Deploy","messageId":"x"}"#);
    assert_eq!((world.status(again), &world.body(again)["repeated"]), (Some(200), &json!(true)));
    let nobody = world.admin("POST", "/api/events", r#"{"eventName":"Nobody"}"#);
    assert_eq!((world.status(nobody), &world.body(nobody)["runs"]), (Some(202), &json!([])));
    for body in ["", "{}", "[]", r#"{"eventName":7}"#, r#"{"eventName":"A","context":[]}"#] {
        let request = world.admin("POST", "/api/events", body);
        assert_eq!(world.status(request), Some(400), "{body}");
    }
    world.started(1);
    let task = world.task(1, "POST", "/api/events", r#"{"eventName":"Deploy"}"#);
    assert_eq!(world.status(task), Some(403), "a task's events go over EventMessages, which it must declare");
}
