//! Plugins among each other and over the API: order of start, definitions that change under a running process.

use castellan_core::effect::ProcessOrder;
use castellan_core::event::{Captured, DefinitionKind, Event, ExitStatus, ProcessReport, StoreReport};
use castellan_core::id::SpawnId;
use castellan_core::resources::KeptLimits;
use castellan_core::user::Sessions;
use serde_json::json;

use crate::world::{ENDPOINTS, World, ids};

pub fn plugin(id: &str, members: &str) -> String {
    format!(
        r#"{{"id":"{id}","pluginType":"Executable","executablePath":"bin/{id}/{id}","supportedPlatforms":["Linux"],
        "Subscription":{{"Topic":"{id}"}},"metadata":{{"mqttTopics":{{"publish":["out"],"subscribe":[]}}}},"autoStart":true{members}}}"#
    )
}

fn end(world: &mut World, spawn: u64) {
    world.exit(spawn, ExitStatus::Code(0));
    world.collected(spawn, "");
    world.discarded(spawn);
}

#[test]
fn plugins_start_by_priority_and_those_of_one_together() {
    let files = [
        ("Plugins/a", &*plugin("a", "")),
        ("Plugins/b", &plugin("b", r#","startupPriority":-5"#)),
        ("Plugins/c", &plugin("c", r#","startupPriority":100"#)),
        ("Plugins/d", &plugin("d", r#","startupPriority":7"#)),
        ("Plugins/e", &plugin("e", r#","startupPriority":101"#)),
        ("Plugins/off", &plugin("off", r#","enabled":false"#)),
        ("Plugins/mac", &plugin("mac", "").replace("Linux", "macOS")),
        ("Plugins/manual", &plugin("manual", "").replace(r#""autoStart":true"#, r#""autoStart":false"#)),
        ("Plugins/KeeperLogger", &plugin("KeeperLogger", "").replace("Executable", "Service")),
    ];
    let mut world = World::loaded("{}", &files, vec![]);
    world.tell(Event::Opened(ENDPOINTS));
    world.expect(&["!NotRun", "!NotRun", "spawn 1 plugin:b"]);
    world.started(1);
    world.expect(&["release 1"]);
    world.client(1, &format!("b_{}", ids(1).0), 1);
    world.expect(&["accept 1 +1 -0", "spawn 2 plugin:d"]);
    // It does not connect: the next waits for 5 s.
    world.started(2);
    world.wait(4_999);
    world.expect(&["release 2"]);
    world.wait(1);
    world.expect(&["spawn 3 plugin:a", "spawn 4 plugin:c"]);
    // They cannot be started: no reason to wait once both are gone.
    world.spawn_failed(3);
    world.expect(&["!PluginEnded"]);
    world.spawn_failed(4);
    world.expect(&["!PluginEnded", "spawn 5 plugin:e"]);
    world.wait(60_000);
    world.expect(&["!PluginUnhealthy"]);
    let reason = world.get("/api/plugins/mac")["reason"].clone();
    assert_eq!(reason, "supportedPlatforms does not name this system.", "listed, and not started");
    let shown = world.get("/api/plugins/KeeperLogger");
    assert_eq!((&shown["status"], &shown["health"]), (&json!("Running"), &json!("Healthy")), "a part of the agent");
    let stop = world.admin("POST", "/api/plugins/KeeperLogger/stop", "");
    assert_eq!(world.status(stop), Some(409));
}

#[test]
fn only_so_many_processes_of_plugins_are_made_at_one_time() {
    let files: Vec<(String, String)> =
        (0..10).map(|number| (format!("Plugins/p{number}"), plugin(&format!("p{number}"), ""))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, document)| (path.as_str(), document.as_str())).collect();
    let mut world = World::loaded("{}", &files, vec![]);
    world.tell(Event::Opened(ENDPOINTS));
    let spawns: Vec<String> = (0..8).map(|number| format!("spawn {} plugin:p{number}", number + 1)).collect();
    world.expect(&spawns.iter().map(String::as_str).collect::<Vec<_>>());
    world.wait(10_000);
    world.expect(&[]);
    world.started(3);
    world.expect(&["release 3", "spawn 9 plugin:p8"]);
    world.spawn_failed(1);
    world.expect(&["!PluginEnded", "spawn 10 plugin:p9"]);
}

#[test]
fn a_plugin_that_was_started_or_stopped_by_hand_before_its_turn_has_no_turn_any_more() {
    let mut world = World::new(&[
        ("Plugins/a", &plugin("a", "")),
        ("Plugins/b", &plugin("b", r#","startupPriority":200,"requiresMonitoring":true,"autoRestart":true"#)),
        ("Plugins/c", &plugin("c", r#","startupPriority":200"#)),
    ]);
    world.started(1);
    world.admin("POST", "/api/plugins/c/stop", "");
    world.admin("POST", "/api/plugins/b/start", "");
    world.spawn_failed(2);
    world.transcript.clear();
    world.client(1, &format!("a_{}", ids(1).0), 1);
    world.expect(&["accept 1 +1 -0"]);
    world.wait(1_000);
    world.expect(&["spawn 3 plugin:b"]);
}

#[test]
fn a_plugin_is_stopped_started_and_restarted_by_hand() {
    let mut world = World::new(&[("Plugins/a", &plugin("a", r#","requiresMonitoring":true,"autoRestart":true"#))]);
    world.started(1);
    world.transcript.clear();
    let status = |world: &mut World, action: &str| {
        let request = world.admin("POST", &format!("/api/plugins/a/{action}"), "");
        assert_eq!(world.status(request), Some(200));
        world.body(request)["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(status(&mut world, "restart"), "Stopping");
    end(&mut world, 1);
    world.expect(&["Terminate 1", "1: 200", "revoke 1", "collect 1", "discard 1", "spawn 2 plugin:a"]);
    world.started(2);
    assert_eq!(status(&mut world, "stop"), "Stopping");
    world.wait(10_000);
    assert_eq!(world.transcript.last().unwrap(), "Kill 2");
    assert_eq!(status(&mut world, "start"), "Stopping", "it starts again when the old process is gone");
    end(&mut world, 2);
    assert_eq!(world.transcript.last().unwrap(), "spawn 3 plugin:a");
    world.started(3);
    assert_eq!(status(&mut world, "stop"), "Stopping");
    end(&mut world, 3);
    world.transcript.clear();
    world.wait(1_000_000);
    world.expect(&[]);
    assert_eq!(status(&mut world, "start"), "Starting");
}

#[test]
fn a_plugin_without_a_process_has_a_session_that_loses_its_permissions_all_the_same() {
    let mut world = World::new(&[("Plugins/a", &plugin("a", ""))]);
    world.started(1);
    end(&mut world, 1);
    world.admin("POST", "/api/plugins/a/stop", "");
    world.transcript.clear();
    world.put("Plugins/a", &plugin("a", "").replace(r#"["out"]"#, r#"["out","more"]"#));
    world.admin("POST", "/api/Jobs/reload", "");
    world.disk();
    assert!(world.transcript.contains(&"regrant plugin:a +2 -0".into()), "{:?}", world.transcript);
    world.put("Plugins/a", "{");
    world.admin("POST", "/api/Jobs/reload", "");
    world.disk();
    assert!(world.transcript.contains(&"regrant plugin:a +0 -0".into()), "{:?}", world.transcript);
}

#[test]
fn a_plugin_that_is_being_started_runs_as_it_was_asked_for_whatever_its_file_says_by_now() {
    let (of_a_user, of_the_agent) = (plugin("a", r#","executionContext":"User""#), plugin("a", ""));
    for (before, after, end) in [(&of_a_user, &of_the_agent, "abort 1"), (&of_the_agent, &of_a_user, "release 1")] {
        let mut world = World::with(r#"{"Settings":{"SessionUser":"kiosk"}}"#, &[("Plugins/a", before)]);
        world.process(ProcessReport::SessionsChanged(Sessions::NoLogind("no bus".into())));
        world.put("Plugins/a", after);
        world.tell(Event::Store(StoreReport::DefinitionsTouched));
        world.disk();
        world.prepared(1);
        assert_eq!(world.transcript.last().unwrap(), end);
    }
}

#[test]
fn a_changed_plugin_file_changes_permissions_at_once_and_a_broken_one_takes_it_out_of_service() {
    let mut world = World::new(&[("Plugins/a", &plugin("a", ""))]);
    world.started(1);
    let (pid, cgroup) = ids(1);
    world.client(1, &format!("a_{pid}"), 1);
    world.transcript.clear();
    world.put("Plugins/a", &plugin("a", "").replace(r#"["out"]"#, r#"["out","more"]"#));
    world.admin("POST", "/api/Jobs/reload", "");
    world.disk();
    world.expect(&["read definitions", "regrant plugin:a +2 -0", "1: 200"]);
    world.admin("POST", "/api/Jobs/reload", "");
    world.disk();
    world.expect(&["read definitions", "2: 200"]);

    world.put("Plugins/a", "{");
    let report = world.admin("POST", "/api/Jobs/reload", "");
    world.disk();
    assert_eq!(world.body(report)["refused"][0]["file"], "Plugins/a.json");
    world.expect(&[
        "read definitions",
        "!PluginRemoved",
        "regrant plugin:a +0 -0",
        "Terminate 1",
        "!Definition",
        "!OutOfService",
        "3: 200",
    ]);
    world.connect(2, &format!("a_{pid}"), crate::world::peer(cgroup, pid));
    world.expect(&["accept 2 +0 -0"]);
    let start = world.admin("POST", "/api/plugins/a/start", "");
    assert_eq!(world.status(start), Some(404));
    end(&mut world, 1);
    assert_eq!(world.get("/api/plugins"), json!([]));
    let settings = world.admin("GET", "/api/PluginSettings/a", "");
    assert_eq!(world.status(settings), Some(404));

    // Mended, it comes back.
    world.put("Plugins/a", &plugin("a", ""));
    world.transcript.clear();
    world.admin("POST", "/api/Jobs/reload", "");
    world.disk();
    assert_eq!(world.transcript.last().unwrap(), "spawn 2 plugin:a");
}

#[test]
fn a_plugin_that_comes_back_before_its_process_is_gone_is_started_anew() {
    let mut world = World::new(&[("Plugins/a", &plugin("a", ""))]);
    world.started(1);
    world.files.remove(&(DefinitionKind::Plugin, "a".to_owned()));
    world.admin("POST", "/api/Jobs/reload", "");
    world.disk();
    world.put("Plugins/a", &plugin("a", r#","version":"2""#));
    world.admin("POST", "/api/Jobs/reload", "");
    world.disk();
    end(&mut world, 1);
    assert_eq!(world.transcript.last().unwrap(), "spawn 2 plugin:a");
    world.started(2);
    assert_eq!(world.get("/api/plugins/a")["status"], "Running");
}

#[test]
fn five_exits_within_a_minute_are_a_failure_until_the_delay_is_over() {
    let mut world = World::new(&[("Plugins/a", &plugin("a", r#","requiresMonitoring":true,"autoRestart":true"#))]);
    for spawn in 1..=5 {
        world.started(spawn);
        end(&mut world, spawn);
        if spawn < 5 {
            world.wait(8_000);
        }
    }
    let shown = world.get("/api/plugins/a");
    assert_eq!(
        (&shown["status"], &shown["health"], &shown["restarts"]),
        (&json!("Failed"), &json!("Failed"), &json!(4))
    );
    world.transcript.clear();
    world.wait(299_999);
    world.expect(&[]);
    world.wait(1);
    world.expect(&["spawn 6 plugin:a"]);
}

#[test]
fn a_reload_starts_again_what_the_files_describe_in_another_way_and_nothing_else() {
    let files = |more: &str| [("Plugins/a", plugin("a", more)), ("Plugins/b", plugin("b", ""))];
    let [a, b] = files("");
    let mut world = World::new(&[(a.0, &a.1), (b.0, &b.1)]);
    world.started(1);
    world.wait(5_000);
    world.started(2);
    for (more, expect) in [(r#","version":"2""#, "!Anomaly"), (r#","arguments":"--new""#, "Terminate 1")] {
        world.put("Plugins/a", &files(more)[0].1);
        world.transcript.clear();
        world.admin("POST", "/api/Jobs/reload", "");
        world.disk();
        let is_ended = world.transcript.iter().any(|line| line == expect);
        assert_eq!(is_ended, expect != "!Anomaly", "{more}: {:?}", world.transcript);
        assert!(!world.transcript.iter().any(|line| line == "Terminate 2"), "{:?}", world.transcript);
    }
    end(&mut world, 1);
    assert_eq!(world.transcript.last().unwrap(), "spawn 3 plugin:a");
    world.started(3);
    let shown = world.get("/api/plugins/a");
    assert_eq!((&shown["reason"], &shown["restarts"]), (&json!("its definition changed"), &json!(1)));
}

#[test]
fn what_a_plugin_requires_is_ready_before_it_starts() {
    let watched = r#","requiresMonitoring":true,"autoRestart":true"#;
    let files = [
        ("Plugins/first", &*plugin("first", r#","startupPriority":1,"requires":["bus","KeeperLogger"]"#)),
        ("Plugins/other", &plugin("other", r#","startupPriority":2"#)),
        ("Plugins/bus", &plugin("bus", watched).replace(r#""autoStart":true"#, r#""autoStart":false"#)),
    ];
    let mut world = World::loaded("{}", &files, vec![]);
    world.tell(Event::Opened(ENDPOINTS));
    // It waits, and holds up nobody: what it requires starts in its place although it is not started by itself.
    world.expect(&["spawn 1 plugin:other"]);
    world.started(1);
    world.wait(5_000);
    world.expect(&["release 1", "spawn 2 plugin:bus"]);
    let shown = world.get("/api/plugins/first");
    assert_eq!((&shown["status"], &shown["health"]), (&json!("Stopped"), &json!("Unhealthy")));
    assert_eq!(shown["reason"], "it requires plugin bus, and waits: bus is not connected to the broker yet.");
    world.transcript.clear();
    world.started(2);
    world.wait(6_000);
    world.expect(&["release 2"]);
    world.client(1, &format!("bus_{}", ids(2).0), 2);
    world.expect(&["accept 1 +1 -0", "spawn 3 plugin:first"]);
    world.started(3);

    // Once it runs it is not stopped for what it requires; but not started again without.
    end(&mut world, 2);
    end(&mut world, 3);
    world.transcript.clear();
    let start = world.admin("POST", "/api/plugins/first/start", "");
    world.expect(&["spawn 4 plugin:bus", "2: 200"]);
    assert_eq!(world.body(start)["status"], "Stopped");
    let stop = world.admin("POST", "/api/plugins/bus/stop", "");
    assert_eq!(world.status(stop), Some(200));
    world.spawn_failed(4);
    let shown = world.get("/api/plugins/first");
    let reason = shown["reason"].as_str().unwrap();
    assert!(reason.contains("bus is Stopped") && reason.contains("castellan plugins start bus"), "{reason}");
    let stop = world.admin("POST", "/api/plugins/first/stop", "");
    assert_eq!(world.body(stop)["status"], "Stopped");
    world.admin("POST", "/api/plugins/bus/start", "");
    world.started(5);
    world.transcript.clear();
    world.client(2, &format!("bus_{}", ids(5).0), 5);
    world.expect(&["accept 2 +1 -0"]);
}

#[test]
fn what_is_required_and_cannot_run_is_named_with_what_to_do() {
    for (other, word) in [
        ("", "not in service. Bring Plugins/bus.json into service"),
        (r#","enabled":false"#, "cannot run, as it is registered with \"enabled\": false."),
    ] {
        let (a, bus) = (plugin("a", r#","requires":["bus"]"#), plugin("bus", other));
        let mut files = vec![("Plugins/a", &*a)];
        files.extend((!other.is_empty()).then_some(("Plugins/bus", &*bus)));
        let mut world = World::new(&files);
        let reason = world.get("/api/plugins/a")["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains(word), "{reason}");
        assert!(!world.transcript.iter().any(|line| line.starts_with("spawn")), "{:?}", world.transcript);
    }
}

#[test]
fn plugins_that_speak_against_each_other_are_listed_with_the_finding_and_do_not_run() {
    let requires = |id: &str, other: &str| plugin(id, &format!(r#","requires":["{other}"]"#));
    let twin = plugin("twin", "").replace(r#""Topic":"twin""#, r#""Topic":"a""#);
    let (a, b) = (requires("a", "b"), requires("b", "a"));
    let mut world = World::new(&[("Plugins/a", &a), ("Plugins/b", &b), ("Plugins/twin", &twin)]);
    assert!(!world.transcript.iter().any(|line| line.starts_with("spawn")), "{:?}", world.transcript);
    let reason =
        |world: &mut World, id: &str| world.get(&format!("/api/plugins/{id}"))["reason"].as_str().unwrap().to_owned();
    assert!(reason(&mut world, "b").contains("b requires a requires b"));
    assert!(reason(&mut world, "twin").contains("has the topic 'a' too"));
    let start = world.admin("POST", "/api/plugins/twin/start", "");
    assert_eq!(world.status(start), Some(409));
    let report = world.admin("POST", "/api/Jobs/reload", "");
    world.disk();
    let refused = world.body(report)["refused"].clone();
    let codes: Vec<&str> =
        refused.as_array().unwrap().iter().map(|file| file["findings"][0]["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["requires-cycle", "requires-cycle", "topic-taken"]);

    // Mended, all of them run.
    world.put("Plugins/b", &plugin("b", "").replace(r#""Topic":"b""#, r#""Topic":"c""#));
    world.put("Plugins/a", &a.replace(r#""Topic":"a""#, r#""Topic":"b""#));
    world.transcript.clear();
    world.admin("POST", "/api/Jobs/reload", "");
    world.disk();
    assert!(world.transcript.contains(&"spawn 1 plugin:b".into()), "{:?}", world.transcript);

    // One that runs is stopped.
    world.started(1);
    world.put("Plugins/b", &b);
    world.transcript.clear();
    world.admin("POST", "/api/Jobs/reload", "");
    world.disk();
    assert!(world.transcript.contains(&"Terminate 1".into()), "{:?}", world.transcript);
}

#[test]
fn a_job_that_runs_a_plugins_program_is_refused_and_the_plugin_stays() {
    let task = r#"{"id":"t","command":"x","executablePath":"/agent/Plugins/bin/a/a"}"#;
    let job = format!(r#"{{"id":"j","tasks":[{task}]}}"#);
    let mut world = World::new(&[("Jobs/j", &job), ("Plugins/a", &plugin("a", ""))]);
    assert_eq!(world.get("/api/plugins/a")["status"], "Starting");
    let report = world.admin("POST", "/api/Jobs/reload", "");
    world.disk();
    let refused = &world.body(report)["refused"][0];
    assert_eq!(
        (&refused["file"], &refused["findings"][0]["code"]),
        (&json!("Jobs/j.json"), &json!("binary-of-job-and-plugin"))
    );
    let create = world.admin("POST", "/api/Jobs", &job.replace(r#""id":"j""#, r#""id":"k""#));
    assert_eq!(world.status(create), Some(400));
    assert_eq!(world.body(create)["findings"][0]["path"], "/tasks/0/executablePath");
}

#[test]
fn a_ping_is_answered_by_the_plugins_own_process_alone() {
    let check = r#","healthCheck":{"topic":"a/ping"},"requiresMonitoring":true,"autoRestart":true"#;
    let mut world = World::new(&[("Plugins/a", &plugin("a", check)), ("Plugins/b", &plugin("b", ""))]);
    world.started(1);
    let own = world.client(1, &format!("a_{}", ids(1).0), 1);
    assert!(world.transcript.contains(&"accept 1 +2 -1".into()), "its lists, and both topics: {:?}", world.transcript);
    world.started(2);
    let other = world.client(2, &format!("b_{}", ids(2).0), 2);
    world.transcript.clear();
    world.wait(30_000);
    world.expect(&["publish a/ping "]);
    assert_eq!(world.published.last().unwrap().1, json!({ "id": "1.1" }));
    let answer = r#"{"id":"1.1"}"#;
    for (subject, payload) in [(&other, answer), (&own, r#"{"id":"1.2"}"#), (&own, "{"), (&own, r#"{"id":1}"#)] {
        world.publish(subject, "PluginHealth", payload);
        world.expect(&["!Denied"]);
    }
    world.publish(&own, "PluginHealth", answer);
    world.wait(30_000);
    world.expect(&["publish a/ping "]);
    assert_eq!(world.published.last().unwrap().1, json!({ "id": "1.2" }));
    world.wait(10_000);
    world.expect(&["!PluginHangs", "Terminate 1"]);
    end(&mut world, 1);
    let shown = world.get("/api/plugins/a");
    let reason = shown["reason"].as_str().unwrap();
    assert!(reason.starts_with("it hangs: it did not answer a ping on 'a/ping' within 10 s"), "{reason}");
    assert!(shown["restartAt"].is_string(), "{shown}");
}

#[test]
fn what_a_plugin_wrote_is_shown_while_it_runs_and_after_its_end_without_its_secrets() {
    let members = r#","requiresMonitoring":true,"autoRestart":true,"token":"hunter2","secretSettings":["token"]"#;
    let mut world = World::new(&[("Plugins/a", &plugin("a", members))]);
    let before = world.admin("GET", "/api/plugins/a/output", "");
    assert_eq!(world.body(before)["processes"], json!([]), "none has run an instruction");
    world.started(1);
    let peeked = |world: &mut World, stdout: &str| {
        let request = world.admin("GET", "/api/plugins/a/output", "");
        let ticket = match world.looks.pop_front() {
            Some(ProcessOrder::Peek { ticket, .. }) => ticket,
            other => panic!("{other:?}"),
        };
        let stdout = Captured { tail: stdout.as_bytes().to_vec(), omitted: 5, ..Captured::default() };
        world.process(ProcessReport::Peeked { ticket, stdout, stderr: Captured::default() });
        world.body(request)["processes"].clone()
    };
    let shown = peeked(&mut world, "er2 is cut, hunter2 whole");
    assert_eq!((&shown[0]["running"], &shown[0]["processId"]), (&json!(true), &json!(ids(1).0)));
    assert_eq!((&shown[0]["stdout"], &shown[0]["stdoutOmitted"]), (&json!("*** is cut, *** whole"), &json!(5)));

    world.exit(1, ExitStatus::Code(3));
    let (stdout, stderr) = (Captured::default(), Captured::of(b"no such door: hunter2".to_vec()));
    world.process(ProcessReport::Collected { spawn: SpawnId(1), stdout, stderr });
    world.discarded(1);
    let ended = world.admin("GET", "/api/plugins/a/output", "");
    let ended = world.body(ended)["processes"].clone();
    assert_eq!((&ended[0]["running"], &ended[0]["ended"]), (&json!(false), &json!("it exited with code 3")));
    assert_eq!(ended[0]["stderr"], "no such door: ***");
    let reason = world.get("/api/plugins/a")["reason"].as_str().unwrap().to_owned();
    assert!(reason.ends_with("no such door: ***"), "{reason}");
    assert!(world.logs.iter().all(|record| !record.message.contains("hunter2")), "nor is it in the log");

    world.wait(1000);
    world.started(2);
    let both = peeked(&mut world, "");
    assert_eq!((&both[0]["running"], &both[1]["running"]), (&json!(false), &json!(true)));
    assert_eq!(both[1]["processId"], json!(ids(2).0));
}

#[test]
fn what_a_process_was_told_stays_hidden_until_it_is_gone() {
    let secretive = plugin("a", r#","token":"s3cret-one","secretSettings":["token"]"#);
    let changes =
        [secretive.replace("s3cret-one", "another"), secretive.replace(r#"["token"]"#, "[]"), String::from("{")];
    for changed in changes {
        let mut world = World::new(&[("Plugins/a", &secretive)]);
        world.started(1);
        world.put("Plugins/a", &changed);
        world.admin("POST", "/api/Jobs/reload", "");
        world.disk();
        world.exit(1, ExitStatus::Code(3));
        let (stdout, stderr) = (Captured::default(), Captured::of(b"cannot log in with s3cret-one".to_vec()));
        world.process(ProcessReport::Collected { spawn: SpawnId(1), stdout, stderr });
        world.discarded(1);
        let lines = format!("{:?}", world.logs);
        assert!(lines.contains("cannot log in with ***") && !lines.contains("s3cret-one"), "{changed}: {lines}");
    }
}

#[test]
fn a_plugin_that_is_disabled_while_it_runs_is_stopped() {
    let mut world = World::new(&[("Plugins/a", &plugin("a", ""))]);
    world.started(1);
    world.transcript.clear();
    world.put("Plugins/a", &plugin("a", r#","enabled":false"#));
    world.tell(Event::Store(StoreReport::DefinitionsTouched));
    world.disk();
    assert!(world.transcript.contains(&"Terminate 1".into()), "{:?}", world.transcript);
    end(&mut world, 1);
    let shown = world.get("/api/plugins/a");
    assert_eq!(
        (&shown["status"], &shown["reason"]),
        (&json!("Stopped"), &json!("it is registered with \"enabled\": false."))
    );
}

#[test]
fn a_process_is_not_asked_on_a_topic_that_it_was_not_started_with() {
    let with = |topic: &str| {
        let members = r#","requiresMonitoring":true,"autoRestart":true,"healthCheck":{"topic":"TOPIC"}"#;
        plugin("a", &members.replace("TOPIC", topic))
    };
    let mut world = World::new(&[("Plugins/a", &with("a/ping"))]);
    world.started(1);
    world.client(1, &format!("a_{}", ids(1).0), 1);
    world.put("Plugins/a", &with("a/other"));
    world.tell(Event::Store(StoreReport::DefinitionsTouched));
    world.disk();
    world.transcript.clear();
    world.wait(120_000);
    let asked = |line: &String| line.starts_with("publish a/") || line.contains("PluginHangs");
    assert!(!world.transcript.iter().any(asked), "{:?}", world.transcript);
    world.admin("POST", "/api/Jobs/reload", "");
    world.disk();
    assert!(world.transcript.contains(&"Terminate 1".into()), "{:?}", world.transcript);
}

#[test]
fn a_limit_that_this_machine_does_not_keep_is_said_once_for_each_definition() {
    let (limited, job) = (
        plugin("a", r#","limits":{"memoryMiB":64,"tasks":9}"#),
        r#"{"id":"j","tasks":[
        {"id":"t","command":"echo"},{"id":"u","command":"x","limits":{"cpuPercent":50}}]}"#,
    );
    for (kept, expect) in [
        (KeptLimits::ALL, vec![]),
        (
            KeptLimits { tasks: true, ..KeptLimits::default() },
            vec![
                "plugin:a: at /limits, this machine does not keep memoryMiB 64;",
                "job:j: at /tasks/1/limits, this machine does not keep cpuPercent 50;",
            ],
        ),
    ] {
        let world = World::keeping(kept, &[("Jobs/j", job), ("Plugins/a", &limited)]);
        let said: Vec<&str> = world
            .logs
            .iter()
            .filter(|record| record.category == "LimitNotKept")
            .map(|record| record.message.split_inclusive(';').next().unwrap())
            .collect();
        assert_eq!(said, expect);
    }
}
