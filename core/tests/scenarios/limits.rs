//! What a limit keeps from being run stands among the denials, with the way out, and not only in the log.

use castellan_core::id::SpawnId;
use serde_json::{Value, json};

use crate::world::World;

const TOPICS: &str = r#","mqttTopics":{"allowedPublications":["EventMessages","JobService"]}"#;

fn job(id: &str, members: &str) -> String {
    format!(r#"{{"id":"{id}","tasks":[{{"id":"t","command":"tool"}}]{members}}}"#)
}

#[track_caller]
fn denial(world: &mut World, job: &str, why: &str) -> Value {
    let denials = world.get("/api/denials");
    let is_meant = |denial: &&Value| denial["action"] == "start" && denial["why"].as_str().unwrap().contains(why);
    let found = denials.as_array().unwrap().iter().find(is_meant).unwrap_or_else(|| panic!("{why}: {denials}")).clone();
    assert_eq!((&found["target"], &found["component"]), (&json!(job), &json!(format!("job:{job}"))));
    assert!(!found["fix"].as_str().unwrap().is_empty() && found["what"].as_str().unwrap().contains("was not run by"));
    found
}

#[test]
fn more_events_than_a_job_may_take_are_refused_and_counted() {
    let listener = job("b", r#","events":["E"],"overlap":"parallel""#);
    let mut world = World::new(&[("Jobs/sender", &job("sender", TOPICS)), ("Jobs/b", &listener)]);
    world.admin("POST", "/api/Jobs/sender/trigger", "");
    world.disk();
    world.started(1);
    let sender = world.client(1, "sender_Tok_1001", 1);
    for _ in 0..1000 {
        world.publish(&sender, "EventMessages", r#"{"eventName":"E"}"#);
    }
    let found = denial(&mut world, "b", "100 times in the last minute");
    assert_eq!((&found["count"], &found["what"]), (&json!(900), &json!("Job b was not run by event E.")));
    assert_eq!(world.logged("NotRun").len(), 3, "the first, the tenth and the hundredth have a line");
    world.wait(60_000);
    world.publish(&sender, "EventMessages", r#"{"eventName":"E"}"#);
    assert_eq!(denial(&mut world, "b", "100 times")["count"], 900, "a minute later it may be run again");
}

#[test]
fn a_chain_that_is_too_long_is_refused() {
    let looping = json!({ "id": "a", "events": ["Again"], "overlap": "parallel", "tasks": [
        { "id": "f", "command": "fire-event", "arguments": "--event Again" } ] });
    let mut world = World::new(&[("Jobs/a", &looping.to_string())]);
    world.admin("POST", "/api/Jobs/a/trigger", "");
    world.disk();
    assert_eq!(world.history.len(), 17);
    let found = denial(&mut world, "a", "at most 16 are followed");
    assert!(found["fix"].as_str().unwrap().contains("Break the loop"), "{found}");
    world.quiet();
}

#[test]
fn a_full_queue_refuses_whoever_asks() {
    let due = job("due", r#","schedule":{"intervalMinutes":1}"#);
    let many = job("many", r#","events":["E"],"overlap":"parallel""#);
    let mut world = World::with(
        r#"{"Settings":{"MaxConcurrentRuns":1}}"#,
        &[("Jobs/sender", &job("sender", TOPICS)), ("Jobs/many", &many), ("Jobs/due", &due)],
    );
    world.admin("POST", "/api/Jobs/sender/trigger", "");
    world.disk();
    world.started(1);
    for _ in 0..256 {
        let request = world.admin("POST", "/api/Jobs/many/trigger", "");
        world.disk();
        assert_eq!(world.status(request), Some(202));
    }
    let request = world.admin("POST", "/api/Jobs/many/trigger", "");
    assert_eq!(world.status(request), Some(409));
    assert!(world.body(request)["fix"].as_str().unwrap().contains("MaxConcurrentRuns"), "whoever asks is told");
    let sender = world.client(1, "sender_Tok_1001", 1);
    world.publish(&sender, "EventMessages", r#"{"eventName":"E"}"#);
    world.publish(&sender, "JobService", r#"{"jobId":"many"}"#);
    assert_eq!(denial(&mut world, "many", "256 runs wait already")["count"], 2);
    world.wait(5 * 60_000);
    assert_eq!(denial(&mut world, "due", "256 runs wait already")["count"], 5);
    assert_eq!(world.spawns.keys().next_back(), Some(&SpawnId(1)), "nothing of it ran");
}
