//! Runs among each other: limits, cancellation by removal, places, overlap, alternates.

use castellan_core::event::{Event, ExitStatus};
use castellan_core::id::SpawnId;
use serde_json::json;

use crate::world::{ENDPOINTS, World};

fn job(id: &str, members: &str) -> String {
    format!(r#"{{"id":"{id}","tasks":[{{"id":"t","command":"tool","timeoutSeconds":10}}]{members}}}"#)
}

#[test]
fn a_task_beyond_its_limit_is_terminated_then_killed() {
    let mut world = World::new(&[("Jobs/a", &job("a", ""))]);
    world.admin("POST", "/api/Jobs/a/trigger", "");
    world.disk();
    world.started(1);
    world.transcript.clear();
    world.wait(9_999);
    world.expect(&[]);
    world.wait(1);
    world.expect(&["Terminate 1"]);
    world.wait(4_999);
    world.expect(&[]);
    world.wait(1);
    world.expect(&["Kill 1"]);
    world.wait(1_000_000);
    world.expect(&[]);
    world.exit(1, ExitStatus::Signal(9));
    world.collected(1, "");
    world.discarded(1);
    world.disk();
    let run = world.get("/api/runs/7-1");
    assert_eq!((&run["status"], &run["tasks"][0]["outcome"]), (&json!("TimedOut"), &json!("TimedOut")));
    world.quiet();
}

#[test]
fn places_are_given_by_priority_and_overlap() {
    let files = [
        ("Jobs/low", &*job("low", r#","priority":1"#)),
        ("Jobs/high", &job("high", r#","priority":10"#)),
        ("Jobs/skip", &job("skip", r#","overlap":"skip""#)),
    ];
    let mut world = World::with(r#"{"Settings":{"MaxConcurrentRuns":1}}"#, &files);
    for id in ["low", "low", "high", "skip"] {
        world.admin("POST", &format!("/api/Jobs/{id}/trigger"), "");
    }
    let again = world.admin("POST", "/api/Jobs/skip/trigger", "");
    assert_eq!(world.status(again), Some(409));
    world.disk();
    let mut order = Vec::new();
    for spawn in 1..=4 {
        order.push(world.spawns[&SpawnId(spawn)].owner.to_string());
        world.lives(spawn, "");
    }
    // The first was recorded while it was alone.
    assert_eq!(order, ["job:low", "job:high", "job:skip", "job:low"]);
    world.quiet();
}

#[test]
fn the_queue_is_bounded_and_says_so() {
    let mut world = World::with(r#"{"Settings":{"MaxConcurrentRuns":1}}"#, &[("Jobs/a", &job("a", ""))]);
    let mut answers = Vec::new();
    for _ in 0..300 {
        let request = world.admin("POST", "/api/Jobs/a/trigger", "");
        world.disk();
        answers.push(world.status(request).unwrap());
    }
    assert_eq!(answers.iter().filter(|status| **status == 202).count(), 257, "one active, 256 waiting");
    assert!(answers[257..].iter().all(|status| *status == 409));
}

#[test]
fn a_job_out_of_service_takes_its_waiting_runs_with_it() {
    let mut world = World::with(r#"{"Settings":{"MaxConcurrentRuns":1}}"#, &[("Jobs/a", &job("a", ""))]);
    world.admin("POST", "/api/Jobs/a/trigger", "");
    let waiting = world.admin("POST", "/api/Jobs/a/trigger?wait=true", "");
    world.disk();
    world.admin("DELETE", "/api/Jobs/a", "");
    world.disk();
    assert_eq!(world.body(waiting)["status"], "Canceled");
    world.lives(1, "");
    assert_eq!(world.history["7-1"].status, "Succeeded", "what runs may end");
    world.quiet();
}

#[test]
fn a_false_condition_leads_to_the_alternate_and_never_in_a_circle() {
    let files = [
        ("Jobs/a", &*job("a", r#","condition":"go == 1","alternateJobId":"b""#)),
        ("Jobs/b", &job("b", r#","condition":"go == 2","alternateJobId":"a""#)),
    ];
    for (go, spawned, statuses) in [
        (1, Some("job:a"), vec!["Succeeded"]),
        (2, Some("job:b"), vec!["Skipped", "Succeeded"]),
        (3, None, vec!["Skipped", "Skipped"]),
    ] {
        let mut world = World::new(&files);
        world.admin("POST", "/api/Jobs/a/trigger", &json!({ "go": go }).to_string());
        world.disk();
        assert_eq!(world.spawns.get(&SpawnId(1)).map(|spawn| spawn.owner.to_string()).as_deref(), spawned);
        if spawned.is_some() {
            world.lives(1, "");
        }
        let found: Vec<&str> = world.history.values().map(|run| run.status.as_str()).collect();
        assert_eq!(found, statuses);
        assert_eq!(world.logged("Alternate").len(), usize::from(spawned.is_none()), "{:?}", world.logged("Alternate"));
        world.quiet();
    }
}

#[test]
fn what_is_fired_by_a_task_starts_other_jobs() {
    let first = r#"{"id":"a","tasks":[{"id":"f","command":"fire-event","arguments":"--event Found --context '{\"n\":7}'"}],"events":["Startup"]}"#;
    let files = [
        ("Jobs/a", first),
        ("Jobs/b", &*job("b", r#","events":[{"eventType":"Custom","customEvent":"FOUND"},"found"]"#)),
    ];
    let mut world = World::loaded("{}", &files, vec![]);
    world.tell(Event::Opened(ENDPOINTS));
    world.disk();
    world.lives(1, "");
    assert_eq!(world.history.len(), 2, "an event starts a job once, however often it is listed");
    assert_eq!((world.history["7-2"].trigger.as_str(), &world.history["7-2"].context["n"]), ("event Found", &json!(7)));
    world.quiet();
}

/// A task that publishes by the built-in command is heard by the agent like any client.
#[test]
fn what_a_built_in_publishes_reaches_the_agent_too() {
    let first = r#"{"id":"a","mqttTopics":{"allowedPublications":["EventMessages","JobService","KeeperLogger"],"allowedSubscriptions":[]},"tasks":[
        {"id":"e","command":"publish-mqtt","arguments":"--topic EventMessages --payload '{{\"eventName\":\"Found\"}'"},
        {"id":"j","command":"publish-mqtt","arguments":"--topic JobService --payload '{{\"jobId\":\"c\",\"context\":{\"n\":1}}'"},
        {"id":"l","command":"publish-mqtt","arguments":"--topic KeeperLogger --payload '{{\"MetaData\":{\"MessageType\":4,\"Message\":\"heard\"}}'"}]}"#;
    let files = [("Jobs/a", first), ("Jobs/b", &*job("b", r#","events":["Found"]"#)), ("Jobs/c", &job("c", ""))];
    let mut world = World::new(&files);
    world.admin("POST", "/api/Jobs/a/trigger", "");
    world.disk();
    assert_eq!(world.history["7-1"].status, "Succeeded", "{:#?}", world.history["7-1"]);
    assert_eq!(world.history["7-2"].trigger, "event Found");
    assert_eq!(world.history["7-3"].trigger, "message on JobService from job:a");
    let heard = world.logs.iter().find(|record| record.message == "heard").unwrap();
    assert_eq!((heard.component.as_str(), heard.pid), ("job:a", None));
}

#[test]
fn nothing_runs_that_is_not_on_record() {
    let mut world = World::new(&[("Jobs/a", &job("a", ""))]);
    let request = world.admin("POST", "/api/Jobs/a/trigger", "");
    assert_eq!(world.status(request), None, "answered once the run is on record");
    world.disk_once(Err("no space left".into()));
    assert_eq!(world.status(request), Some(500));
    assert!(world.spawns.is_empty());
    world.disk_once(Err("no space left".into()));
    assert_eq!(world.logged("HistoryNotWritten").len(), 1);
    world.quiet();
}
