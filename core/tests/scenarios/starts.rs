//! What starts a job, and what keeps it from being started again.

use castellan_core::event::Event;
use castellan_core::id::SpawnId;
use castellan_core::run::history::{JobPast, Outcome};
use castellan_core::schedule::past::Happening;

use crate::world::{ENDPOINTS, World};

fn job(id: &str, members: &str) -> String {
    format!(r#"{{"id":"{id}","tasks":[{{"id":"t","command":"tool"}}]{members}}}"#)
}

const TOPICS: &str =
    r#","mqttTopics":{"allowedPublications":["EventMessages","JobService"],"allowedSubscriptions":[]}"#;

#[test]
fn events_start_a_job_a_hundred_times_a_minute_at_most() {
    let files =
        [("Jobs/sender", &*job("sender", TOPICS)), ("Jobs/b", &job("b", r#","events":["E"],"overlap":"parallel""#))];
    let mut world = World::with(r#"{"Settings":{"MaxConcurrentRuns":1}}"#, &files);
    world.admin("POST", "/api/Jobs/sender/trigger", "");
    world.disk();
    world.started(1);
    let sender = world.client(1, "sender_Tok_1001", 1);
    let fired = |world: &mut World| {
        for _ in 0..101 {
            world.publish(&sender, "EventMessages", r#"{"eventName":"E"}"#);
        }
        world.logged("NotRun").len()
    };
    assert_eq!(fired(&mut world), 1);
    assert!(world.logged("NotRun")[0].contains("100 times in the last minute"));
}

#[test]
fn a_message_that_is_delivered_again_starts_nothing_again() {
    let files =
        [("Jobs/sender", &*job("sender", TOPICS)), ("Jobs/b", &job("b", r#","events":["E"],"overlap":"parallel""#))];
    let mut world = World::with("{}", &files);
    world.admin("POST", "/api/Jobs/sender/trigger", "");
    world.disk();
    world.started(1);
    let sender = world.client(1, "sender_Tok_1001", 1);
    for (topic, payload, runs) in [
        ("EventMessages", r#"{"eventName":"E","messageId":"one"}"#, 1),
        ("EventMessages", r#"{"eventName":"E","messageId":"one"}"#, 1),
        ("EventMessages", r#"{"eventName":"E","messageId":"two"}"#, 2),
        ("JobService", r#"{"jobId":"b","messageId":"three"}"#, 3),
        ("JobService", r#"{"jobId":"b","messageId":"three"}"#, 3),
        ("EventMessages", r#"{"eventName":"E"}"#, 4),
        ("EventMessages", r#"{"eventName":"E"}"#, 5),
    ] {
        world.publish(&sender, topic, payload);
        world.disk();
        assert_eq!(world.spawns.len(), 1 + runs, "{topic} {payload}");
    }
    assert_eq!(world.logged("Event").iter().filter(|line| line.contains("came already")).count(), 2);
    world.publish(&sender, "EventMessages", r#"{"eventName":"E","messageId":7}"#);
    assert!(world.get("/api/denials")[0]["why"].as_str().unwrap().contains("messageId"));
}

#[test]
fn a_waiting_run_takes_the_new_definition_of_its_job() {
    let mut world =
        World::with(r#"{"Settings":{"MaxConcurrentRuns":1}}"#, &[("Jobs/a", &job("a", "")), ("Jobs/b", &job("b", ""))]);
    for id in ["a", "b", "b"] {
        world.admin("POST", &format!("/api/Jobs/{id}/trigger"), r#"{"given":1}"#);
        world.disk();
    }
    let parameters = r#","parameters":[{"name":"given","type":"integer"},{"name":"more","default":"2"}]"#;
    world.admin("PUT", "/api/Jobs/b", &job("b", parameters));
    world.look("");
    world.disk();
    assert_eq!(world.logged("RunRedefined").len(), 2);
    world.lives(1, "");
    assert_eq!(world.spawns[&SpawnId(2)].owner.to_string(), "job:b");
    world.admin("PUT", "/api/Jobs/b", &job("b", r#","parameters":[{"name":"given","type":"array"}]"#));
    world.look("");
    world.disk();
    world.lives(2, "");
    let run = world.get("/api/runs/7-2");
    assert_eq!((&run["context"]["more"], &run["status"]), (&serde_json::json!("2"), &serde_json::json!("Succeeded")));
    let canceled = world.get("/api/runs/7-3");
    assert_eq!(canceled["status"], "Canceled");
    assert!(canceled["reason"].as_str().unwrap().contains("'given' must be of type"), "{canceled}");
    world.quiet();
}

/// What was changed before it began counts: a job that may not run any more does not, and its waiting run says why.
#[test]
fn a_waiting_run_of_a_job_that_may_not_run_any_more_is_canceled() {
    for (change, why) in [
        (r#","enabled":false"#, "disabled"),
        (r#","osFilter":{"windows":true}"#, "excluded here by osFilter"),
        (r#","parameters":[{"name":"more","required":true}]"#, "'more' has no value"),
    ] {
        let files = [("Jobs/a", &*job("a", "")), ("Jobs/b", &job("b", ""))];
        let mut world = World::with(r#"{"Settings":{"MaxConcurrentRuns":1}}"#, &files);
        world.admin("POST", "/api/Jobs/a/trigger", "");
        world.disk();
        // One waits; the start of the other is not on disk yet when the definition changes.
        let waiting = world.admin("POST", "/api/Jobs/b/trigger?wait=true", r#"{"given":1}"#);
        world.disk();
        world.admin("PUT", "/api/Jobs/b", &job("b", change));
        // Where this system is excluded nobody asks for the program.
        if !world.looks.is_empty() {
            world.look("");
        }
        let recording = world.admin("POST", "/api/Jobs/b/trigger?wait=true", r#"{"given":2}"#);
        world.disk();
        for request in [waiting, recording] {
            let run = world.body(request);
            assert_eq!(
                (&run["status"], &run["tasks"]),
                (&"Canceled".into(), &serde_json::json!([])),
                "{change}: {run}"
            );
            assert!(run["reason"].as_str().unwrap().contains(why), "{change}: {run}");
        }
        assert_eq!(world.history.values().filter(|run| run.status == "Canceled").count(), 2, "it is on record, too");
        world.lives(1, "");
        assert_eq!(world.spawns.len(), 1, "{change}: nothing of it ran");
        world.quiet();
    }
}

/// Every hour; the agent starts at 22:13:20 on 2023-11-14.
fn after(missed: &str, due: &str, started: &str) -> World {
    let definition =
        job("a", &format!(r#","missedRuns":"{missed}","schedule":{{"cronExpression":"0 * * * *","timeZone":"UTC"}}"#));
    let past = JobPast {
        job_id: "a".into(),
        started_at: started.into(),
        outcome: Some(Outcome::Failed),
        due: Some((due.into(), started.into())),
    };
    let mut world = World::loaded_after("{}", &[("Jobs/a", &definition)], vec![], vec![past]);
    world.tell(Event::Opened(ENDPOINTS));
    world
}

#[test]
fn what_was_missed_while_the_agent_was_down_is_made_up_for_once() {
    let mut world = after("runOnce", "2023-11-14T19:00:00.000Z", "2023-11-14T19:00:00.100Z");
    world.disk();
    let run = world.get("/api/runs/7-1");
    assert_eq!(
        (&run["trigger"], &run["due"]),
        (&"schedule, due 2023-11-14T20:00:00.000Z".into(), &"2023-11-14T20:00:00.000Z".into())
    );
    world.lives(1, "");
    world.wait(60_000);
    assert_eq!(world.spawns.len(), 1, "20:00, 21:00 and 22:00 are one run");
    assert_eq!(world.get("/api/Jobs")[0]["nextRun"], "2023-11-14T23:00:00.000Z");
}

#[test]
fn a_due_instant_that_was_run_for_is_not_due_after_a_restart() {
    for (missed, due, started) in [
        // The run that made up for 20:00 and what followed.
        ("runOnce", "2023-11-14T20:00:00.000Z", "2023-11-14T22:10:00.000Z"),
        ("skip", "2023-11-14T19:00:00.000Z", "2023-11-14T19:00:00.100Z"),
    ] {
        let mut world = after(missed, due, started);
        world.disk();
        assert_eq!(world.spawns.len(), 0, "{missed}");
        let listed = world.get("/api/Jobs");
        assert_eq!(listed[0]["nextRun"], "2023-11-14T23:00:00.000Z");
        assert_eq!((&listed[0]["lastRun"], &listed[0]["lastOutcome"]), (&started.into(), &"Failed".into()));
    }
    let mut world = after("skip", "2023-11-14T23:00:00.000Z", "2023-11-14T23:00:00.100Z");
    assert_eq!(world.get("/api/Jobs")[0]["nextRun"], "2023-11-15T00:00:00.000Z", "the clock was set back meanwhile");
}

#[test]
fn what_a_schedule_did_not_start_and_the_agents_life_are_on_record() {
    let job = r#"{"id":"a","overlap":"skip","schedule":{"cronExpression":"* * * * *"},"tasks":[{"id":"t","command":"tool"}]}"#;
    let mut world = World::new(&[("Jobs/a", job)]);
    world.wait(60_000);
    world.disk();
    world.started(1);
    world.wait(60_000);
    world.tell(Event::StopRequested("a test".into()));
    let told: Vec<_> = world.notes.iter().map(|note| (note.boot, note.what.clone())).collect();
    let [(7, Happening::Started), (7, Happening::NotRun { job_id, due, guard, why }), (7, Happening::Stopped)] =
        &told[..]
    else {
        panic!("{told:#?}")
    };
    assert_eq!((job_id.as_str(), guard.as_str()), ("a", "overlap"));
    let first = world.history["7-1"].due.clone().unwrap();
    assert!(due.as_ref().is_some_and(|due| *due > first) && why.contains("overlap is skip"), "{due:?} {why}");
    assert!(world.history["7-1"].begun_at.as_ref().is_some_and(|begun| *begun >= first));
}

#[test]
fn an_instant_that_finds_the_queue_full_is_on_record() {
    let due = r#"{"id":"a","schedule":{"cronExpression":"* * * * *"},"tasks":[{"id":"t","command":"tool"}]}"#;
    let crowd = r#"{"id":"b","overlap":"parallel","tasks":[{"id":"t","command":"tool"}]}"#;
    let mut world = World::with(r#"{"Settings":{"MaxConcurrentRuns":1}}"#, &[("Jobs/a", due), ("Jobs/b", crowd)]);
    for _ in 0..300 {
        world.admin("POST", "/api/Jobs/b/trigger", "");
        world.disk();
    }
    world.wait(60_000);
    let told: Vec<_> = world.notes.iter().map(|note| note.what.clone()).collect();
    let [Happening::Started, Happening::NotRun { job_id, guard, why, .. }] = &told[..] else { panic!("{told:#?}") };
    assert_eq!((job_id.as_str(), guard.as_str()), ("a", "queue"));
    assert!(why.contains("256 runs wait already") && why.contains("MaxConcurrentRuns"), "{why}");
}
