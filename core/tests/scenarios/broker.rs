//! Who may connect, what a change of a definition does to those who are, and what the agent reads itself.

use castellan_core::event::{ExecutableFacts, ProcessReport};
use castellan_core::id::SpawnId;
use castellan_core::trust::PeerFacts;
use serde_json::json;

use crate::world::{World, ids, peer, program};

/// A job that one trigger starts, with every topic the agent reads.
pub fn job(id: &str, members: &str) -> String {
    format!(
        r#"{{"id":"{id}","tasks":[{{"id":"t","command":"tool"}}],"mqttTopics":{{"allowedPublications":
        ["KeeperLogger","EventMessages","JobService"],"allowedSubscriptions":[]}}{members}}}"#
    )
}

/// A world with the job `a` running as spawn 1.
fn running() -> World {
    let mut world = World::new(&[("Jobs/a", &job("a", "")), ("Jobs/b", &job("b", r#","events":["Found"]"#))]);
    world.admin("POST", "/api/Jobs/a/trigger", "");
    world.disk();
    world.started(1);
    world.transcript.clear();
    world
}

#[test]
fn a_process_is_trusted_before_its_first_instruction_and_not_a_moment_earlier() {
    let mut world = World::new(&[("Jobs/a", &job("a", ""))]);
    world.admin("POST", "/api/Jobs/a/trigger", "");
    world.disk();
    world.transcript.clear();
    let (pid, cgroup) = ids(1);
    world.connect(1, &format!("a_T_{pid}"), peer(cgroup, pid));
    world.expect(&["!Denied", "refuse 1 NotAuthorized"]);
    world.prepared(1);
    world.expect(&["release 1"]);
    world.connect(2, &format!("a_T_{pid}"), peer(cgroup, pid));
    world.expect(&["accept 2 +3 -0"]);
}

#[test]
fn what_is_not_safe_to_run_is_aborted_and_never_trusted() {
    for facts in [
        ExecutableFacts { writable_by_others: Some("/agent/Jobs (mode 0777)".into()), ..program("/x") },
        ExecutableFacts { executable: false, ..program("/x") },
        ExecutableFacts { exists: false, ..program("/x") },
    ] {
        let mut world = World::new(&[("Jobs/a", &job("a", ""))]);
        let request = world.admin("POST", "/api/Jobs/a/trigger?wait=true", "");
        world.disk();
        world.transcript.clear();
        let (pid, cgroup) = ids(1);
        world.process(ProcessReport::Prepared {
            spawn: SpawnId(1),
            pid,
            cgroup: Some(cgroup),
            executable: facts,
            user: None,
        });
        world.expect(&["abort 1"]);
        world.connect(1, &format!("a_T_{pid}"), peer(cgroup, pid));
        world.expect(&["!Denied", "refuse 1 NotAuthorized"]);
        world.spawn_failed(1);
        world.disk();
        assert_eq!(world.body(request)["status"], "Failed");
        world.quiet();
    }
}

#[test]
fn two_trees_in_one_cgroup_cannot_both_be_trusted() {
    let mut world = running();
    world.admin("POST", "/api/Jobs/b/trigger", "");
    world.disk();
    world.transcript.clear();
    let (_, cgroup) = ids(1);
    let executable = program("/x");
    world.process(ProcessReport::Prepared {
        spawn: SpawnId(2),
        pid: 2000,
        cgroup: Some(cgroup),
        executable,
        user: None,
    });
    world.expect(&["abort 2"]);
}

#[test]
fn verdicts() {
    let mut world = running();
    let (pid, cgroup) = ids(1);
    let own = || peer(cgroup, pid);
    let sibling = pid + 1;
    let foreign = PeerFacts { claimed_pid: Some(sibling), claimed: None, ..own() };
    for (client_id, facts, expect) in [
        (format!("a_Tok_{pid}"), own(), "accept 1 +3 -0"),
        (format!("a_{pid}"), own(), "accept 1, withheld"),
        (format!("a_Tok_x_{pid}"), own(), "accept 1, withheld"),
        (format!("b_Tok_{pid}"), own(), "refuse 1 ClientIdentifierNotValid"),
        (format!("A_Tok_{pid}"), own(), "refuse 1 ClientIdentifierNotValid"),
        (format!("a_Tok_{sibling}"), own(), "refuse 1 ClientIdentifierNotValid"),
        (format!("a_Tok_{sibling}"), foreign, "refuse 1 ClientIdentifierNotValid"),
        (String::new(), own(), "refuse 1 ClientIdentifierNotValid"),
        ("a".into(), own(), "refuse 1 ClientIdentifierNotValid"),
        (format!("a_Tok_0{pid}"), own(), "refuse 1 ClientIdentifierNotValid"),
        (format!("a\n_Tok_{pid}"), own(), "refuse 1 ClientIdentifierNotValid"),
        (format!("a_Tok_{pid}"), peer(1, pid), "refuse 1 NotAuthorized"),
        (format!("a_Tok_{pid}"), peer(cgroup + 1, pid), "refuse 1 NotAuthorized"),
        (format!("a_Tok_{pid}"), PeerFacts { own_end_established: false, ..own() }, "refuse 1 NotAuthorized"),
        (format!("a_Tok_{pid}"), PeerFacts { at_decision: None, ..own() }, "refuse 1 NotAuthorized"),
        (
            format!("a_Tok_{pid}"),
            PeerFacts { claimed_pid: None, claimed: None, ..own() },
            "refuse 1 ClientIdentifierNotValid",
        ),
    ] {
        world.connect(1, &client_id, facts);
        let answer = world.transcript.iter().filter(|line| *line != "!Denied").cloned().collect::<Vec<_>>();
        assert_eq!(answer, [expect], "{client_id}");
        world.transcript.clear();
    }
    let denials = world.get("/api/denials");
    assert!(denials.as_array().unwrap().iter().all(|denial| denial["fix"].as_str().is_some_and(|fix| !fix.is_empty())));
}

#[test]
fn trust_ends_with_the_run_and_the_client_is_closed() {
    let mut world = running();
    let (pid, cgroup) = ids(1);
    world.client(1, &format!("a_T_{pid}"), 1);
    world.exit(1, castellan_core::event::ExitStatus::Code(0));
    world.collected(1, "");
    world.transcript.clear();
    world.connect(2, &format!("a_T_{pid}"), peer(cgroup, pid));
    world.expect(&["accept 2 +3 -0"]);
    world.discarded(1);
    assert_eq!(world.transcript[0], "revoke 1");
    world.transcript.clear();
    world.connect(3, &format!("a_T_{pid}"), peer(cgroup, pid));
    world.expect(&["!Denied", "refuse 3 NotAuthorized"]);
    world.disk();
    world.quiet();
}

#[test]
fn without_cgroups_trust_ends_with_the_leader() {
    let mut world = World::new(&[("Jobs/a", &job("a", ""))]);
    world.admin("POST", "/api/Jobs/a/trigger", "");
    world.disk();
    let (pid, _) = ids(1);
    world.process(ProcessReport::Prepared {
        spawn: SpawnId(1),
        pid,
        cgroup: None,
        executable: program("/x"),
        user: None,
    });
    world.process(ProcessReport::Started { spawn: SpawnId(1) });
    world.transcript.clear();
    world.exit(1, castellan_core::event::ExitStatus::Code(0));
    world.expect(&["revoke 1", "collect 1"]);
    world.collected(1, "");
    world.discarded(1);
    world.disk();
    world.quiet();
}

#[test]
fn a_changed_definition_changes_the_permissions_of_who_is_connected() {
    let mut world = running();
    let (pid, _) = ids(1);
    world.client(1, &format!("a_T_{pid}"), 1);
    world.transcript.clear();
    let changed = job("a", "").replace(r#","JobService""#, "");
    world.admin("PUT", "/api/Jobs/a", &changed);
    world.look("");
    world.disk();
    world.expect(&["inspect", "write a", "regrant job:a +2 -0", "2: 200"]);
    world.client(2, &format!("a_T_{pid}"), 1);
    world.expect(&["accept 2 +2 -0"]);
    world.admin("DELETE", "/api/Jobs/a", "");
    world.disk();
    world.expect(&["remove a", "regrant job:a +0 -0", "3: 200"]);
    world.client(3, &format!("a_T_{pid}"), 1);
    world.expect(&["accept 3 +0 -0"]);
}

#[test]
fn good_log_messages_are_logged_and_bad_ones_are_on_record() {
    let mut world = running();
    let (pid, _) = ids(1);
    let subject = world.client(1, &format!("a_T_{pid}"), 1);
    let good = r#"{"MetaData":{"MessageType":4,"LogLevel":2,"Message":"line\nforged \u001b[2J","Source":"S"}}"#;
    world.publish(&subject, "KeeperLogger", good);
    let line = world.logs.last().unwrap();
    assert_eq!((line.message.as_str(), &*line.source), ("line\\nforged \\u001b[2J", "S"));
    assert_eq!(line.client_id.as_deref(), Some(&*format!("a_T_{pid}")));
    world.transcript.clear();
    let long = format!(r#"{{"MetaData":{{"MessageType":4,"Message":"{}"}}}}"#, "x".repeat(64 << 10));
    for bad in [
        "",
        "[]",
        "{}",
        r#"{"MetaData":{"MessageType":4,"Message":" "}}"#,
        r#"{"MetaData":{"MessageType":5,"Message":"x"}}"#,
        &long,
    ] {
        world.publish(&subject, "KeeperLogger", bad);
    }
    let denials = world.get("/api/denials");
    let counted: u64 = denials.as_array().unwrap().iter().map(|denial| denial["count"].as_u64().unwrap()).sum();
    assert_eq!(counted, 6, "{denials}");
    assert_eq!(denials[0]["target"], "KeeperLogger");
}

#[test]
fn event_messages_start_jobs_with_their_context() {
    let mut world = running();
    let (pid, _) = ids(1);
    let subject = world.client(1, &format!("a_T_{pid}"), 1);
    world.transcript.clear();
    for (message, started) in [
        (r#"{"eventName":"Found","context":{"n":1}}"#, true),
        (r#"{"event":"FOUND","payload":{"n":1}}"#, true),
        (r#"{"name":"found","parameters":{"n":1}}"#, true),
        (r#"{"EVENTNAME":"Found"}"#, true),
        (r#"{"eventName":"Nobody"}"#, false),
        (r#"{"eventName":""}"#, false),
        (r#"{"eventName":"Found","context":[1]}"#, false),
        ("Found", false),
    ] {
        world.publish(&subject, "EventMessages", message);
        let found = std::mem::take(&mut world.transcript);
        assert_eq!(found.iter().any(|line| line.starts_with("persist")), started, "{message}: {found:?}");
    }
    world.disk();
    assert_eq!(world.history["7-2"].context["n"], json!(1));
    assert_eq!(world.history["7-2"].trigger, "event Found");
}

#[test]
fn job_service_triggers_a_job() {
    let mut world = running();
    let (pid, _) = ids(1);
    let subject = world.client(1, &format!("a_T_{pid}"), 1);
    world.transcript.clear();
    world.publish(&subject, "JobService", r#"{"jobId":"b","context":{"n":2}}"#);
    world.expect(&["persist 7-2 running"]);
    world.publish(&subject, "JobService", r#"{"jobId":"nobody"}"#);
    world.expect(&["!Denied"]);
    world.publish(&subject, "JobService", r#"{"context":{}}"#);
    world.expect(&["!Denied"]);
    world.publish(&subject, "Elsewhere", "{}");
    world.expect(&["!Denied"]);
}

/// Each run triggers the next one, by every way there is; all of them end at the same length of chain.
#[test]
fn chains_of_runs_come_to_an_end() {
    for way in ["EventMessages", "JobService", "api", "fire-event"] {
        let task = if way == "fire-event" {
            r#"{"id":"t","command":"tool"},{"id":"f","command":"fire-event","arguments":"--event Again"}"#
        } else {
            r#"{"id":"t","command":"tool"}"#
        };
        let looping =
            job("a", r#","events":["Again"],"overlap":"parallel""#).replace(r#"{"id":"t","command":"tool"}"#, task);
        let mut world = World::new(&[("Jobs/a", &looping)]);
        world.admin("POST", "/api/Jobs/a/trigger", "");
        world.disk();
        let mut spawn = 0;
        while world.spawns.contains_key(&SpawnId(spawn + 1)) {
            spawn += 1;
            assert!(spawn < 100, "{way} has no end");
            world.started(spawn);
            let (pid, _) = ids(spawn);
            match way {
                "api" => drop(world.task(spawn, "POST", "/api/Jobs/a/trigger", "")),
                "fire-event" => {}
                topic => {
                    let subject = world.client(spawn, &format!("a_T_{pid}"), spawn);
                    world.publish(&subject, topic, r#"{"eventName":"Again","jobId":"a"}"#);
                }
            }
            world.exit(spawn, castellan_core::event::ExitStatus::Code(0));
            world.collected(spawn, "");
            world.discarded(spawn);
            world.disk();
        }
        assert_eq!(spawn, 17, "{way}: the first run and 16 that follow");
        world.quiet();
    }
}

#[test]
fn last_messages_of_a_run_that_ended_keep_their_place_in_the_chain() {
    let mut world = World::new(&[("Jobs/a", &job("a", r#","events":["Again"]"#))]);
    world.admin("POST", "/api/Jobs/a/trigger", "");
    world.disk();
    let mut spawn = 1;
    while world.spawns.contains_key(&SpawnId(spawn)) {
        assert!(spawn < 100, "late messages make the chain endless");
        world.started(spawn);
        let subject = world.client(spawn, &format!("a_T_{}", ids(spawn).0), spawn);
        world.exit(spawn, castellan_core::event::ExitStatus::Code(0));
        world.collected(spawn, "");
        world.discarded(spawn);
        world.disk();
        world.publish(&subject, "EventMessages", r#"{"eventName":"Again"}"#);
        world.disk();
        spawn += 1;
    }
    assert_eq!(spawn, 18);
    world.quiet();
}

#[test]
fn what_publish_mqtt_may_not_is_on_record_too() {
    for (topic, pointer) in [("other", json!("/mqttTopics/allowedPublications/-")), ("$SYS/x", json!(null))] {
        let task = format!(r#"{{"id":"t","command":"publish-mqtt","arguments":"--topic {topic} --payload x"}}"#);
        let topics = r#""mqttTopics":{"allowedPublications":["a","$SYS/#"],"allowedSubscriptions":[]}"#;
        let mut world = World::new(&[("Jobs/a", &format!(r#"{{"id":"a",{topics},"tasks":[{task}]}}"#))]);
        world.admin("POST", "/api/Jobs/a/trigger", "");
        world.disk();
        assert!(!world.published.iter().any(|(published, _)| published == topic), "{topic}");
        let denials = world.get("/api/denials");
        assert_eq!((&denials[0]["component"], &denials[0]["target"]), (&json!("job:a"), &json!(topic)), "{denials}");
        assert_eq!(denials[0]["declaration"].get("pointer").unwrap_or(&json!(null)), &pointer);
    }
}
