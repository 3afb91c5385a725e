//! `Idempotency-Key`: a POST that is sent again does nothing again.

use castellan_core::id::RequestId;
use serde_json::json;

use crate::world::World;

const JOB: &str = r#"{"id":"a","overlap":"parallel","tasks":[{"id":"t","command":"tool"}]}"#;
const TRIGGER: &str = "/api/Jobs/a/trigger";

fn post(world: &mut World, target: &str, body: &str, key: &str) -> RequestId {
    world.admin_with("POST", target, body, &[("idempotency-key", key)])
}

#[test]
fn a_trigger_that_is_sent_again_makes_one_run() {
    let mut world = World::new(&[("Jobs/a", JOB)]);
    let first = post(&mut world, TRIGGER, "", "k");
    let early = post(&mut world, TRIGGER, "", "k");
    assert_eq!((world.status(first), world.status(early)), (None, Some(409)), "it is not on disk yet");
    assert_eq!(world.header(early, "retry-after"), Some("1"));
    world.disk();
    let again = post(&mut world, TRIGGER, "", "k");
    assert_eq!((world.status(first), world.status(again)), (Some(202), Some(202)));
    assert_eq!(world.body(first), world.body(again));
    assert_eq!(
        (world.header(first, "idempotency-replayed"), world.header(again, "idempotency-replayed")),
        (None, Some("true"))
    );
    let other = post(&mut world, TRIGGER, r#"{"x":1}"#, "k");
    let elsewhere = post(&mut world, "/api/Jobs/reload", "", "k");
    assert_eq!((world.status(other), world.status(elsewhere)), (Some(422), Some(422)));
    assert_eq!(world.get("/api/Jobs/a/runs").as_array().unwrap().len(), 1);
    let new = post(&mut world, TRIGGER, "", "l");
    world.disk();
    assert_ne!(world.body(new)["runId"], world.body(first)["runId"]);
    world.wait(24 * 60 * 60 * 1000);
    let next_day = post(&mut world, TRIGGER, "", "k");
    world.disk();
    assert_ne!(world.body(next_day)["runId"], world.body(first)["runId"]);
}

#[test]
fn what_is_created_or_waited_for_is_answered_again_whole() {
    let mut world = World::new(&[("Jobs/a", JOB)]);
    let created = post(&mut world, "/api/Jobs", &JOB.replace("\"a\"", "\"b\""), "k");
    world.look("");
    world.disk();
    let again = post(&mut world, "/api/Jobs", &JOB.replace("\"a\"", "\"b\""), "k");
    for request in [created, again] {
        assert_eq!((world.status(request), world.header(request, "location")), (Some(201), Some("/api/Jobs/b")));
    }
    assert_eq!((world.body(created), world.header(again, "etag")), (world.body(again), world.header(created, "etag")));
    let waits = post(&mut world, "/api/Jobs/a/trigger?wait=true", "", "w");
    world.disk();
    let early = post(&mut world, "/api/Jobs/a/trigger?wait=true", "", "w");
    assert_eq!(world.status(early), Some(409));
    world.lives(1, "");
    let again = post(&mut world, "/api/Jobs/a/trigger?wait=true", "", "w");
    assert_eq!((world.status(waits), world.body(again)), (Some(200), world.body(waits)));
    world.quiet();
}

#[test]
fn a_key_is_its_callers_and_opens_nothing() {
    let mut world = World::new(&[("Jobs/a", JOB)]);
    for _ in 0..2 {
        world.admin("POST", TRIGGER, "");
    }
    world.disk();
    world.started(1);
    world.started(2);
    let key = [("idempotency-key", "k")];
    let run = |world: &mut World, request| {
        world.disk();
        world.body(request)["runId"].clone()
    };
    let admin = post(&mut world, TRIGGER, "", "k");
    let first = world.task_with(1, "POST", TRIGGER, &key);
    let second = world.task_with(2, "POST", TRIGGER, &key);
    let again = world.task_with(1, "POST", TRIGGER, &key);
    let (admin, first, second) = (run(&mut world, admin), run(&mut world, first), run(&mut world, second));
    assert!(admin != first && first != second && second != admin, "each has its own run");
    assert_eq!(world.status(again), Some(409));
    let again = world.task_with(1, "POST", TRIGGER, &key);
    assert_eq!(run(&mut world, again), first);

    // A refusal is no result: whoever may later is heard.
    let stranger = world.stranger_with("POST", TRIGGER, &key);
    assert_eq!(world.status(stranger), Some(403));
    let denied = world.task_with(1, "POST", "/api/PluginSettings/revert-all", &[("idempotency-key", "d")]);
    let denied_again = world.task_with(1, "POST", "/api/PluginSettings/revert-all", &[("idempotency-key", "d")]);
    assert_eq!((world.status(denied), world.header(denied_again, "idempotency-replayed")), (Some(403), None));
    for bad in ["", "a b", "ü", &"k".repeat(256)] {
        let request = post(&mut world, TRIGGER, "", bad);
        assert_eq!(world.status(request), Some(400), "{bad}");
    }
    let twice = world.admin_with("POST", TRIGGER, "", &[key[0], key[0]]);
    assert_eq!(world.status(twice), Some(400));
    let longest = post(&mut world, TRIGGER, "", &"k".repeat(255));
    world.disk();
    assert_eq!(world.status(longest), Some(202));
}

#[test]
fn what_the_agent_failed_at_may_be_tried_again() {
    let mut world = World::new(&[("Jobs/a", JOB)]);
    let failed = post(&mut world, TRIGGER, "", "k");
    assert!(world.disk_once(Err("the disk is full".into())));
    assert_eq!(world.status(failed), Some(500));
    let again = post(&mut world, TRIGGER, "", "k");
    world.disk();
    assert_eq!((world.status(again), world.header(again, "idempotency-replayed")), (Some(202), None));
}

#[test]
fn an_http_task_may_use_one_too() {
    let caller = r#"{"id":"b","tasks":[
        {"id":"one","executionType":"Http","method":"POST","url":"{KeeperApiBaseUrl}/api/Jobs/c/trigger","headers":{"Idempotency-Key":"{RunId}"}},
        {"id":"two","executionType":"Http","method":"POST","url":"{KeeperApiBaseUrl}/api/Jobs/c/trigger","headers":{"Idempotency-Key":"{RunId}"}}]}"#;
    let called = r#"{"id":"c","tasks":[{"id":"t","command":"echo","arguments":"x"}]}"#;
    let mut world = World::new(&[("Jobs/b", caller), ("Jobs/c", called)]);
    world.admin("POST", "/api/Jobs/b/trigger", "");
    world.disk();
    let run = world.get("/api/runs/7-1");
    assert_eq!(
        (&run["tasks"][0]["stdout"], &run["outcome"]),
        (&run["tasks"][1]["stdout"], &json!("Succeeded")),
        "{run}"
    );
    assert_eq!(world.get("/api/Jobs/c/runs").as_array().unwrap().len(), 1);
    world.quiet();
}
