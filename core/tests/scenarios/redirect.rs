//! What runs instead of what was asked for: the rules of RedirectEvaluator, and that nothing but them decides.

use castellan_core::acl::Subject;
use castellan_core::effect::{ProcessOrder, Stdio};
use castellan_core::event::{ElevationReport, Event, ExitStatus, ProcessReport, RelayedSignal};
use castellan_core::id::SpawnId;
use serde_json::{Value, json};

use crate::elevation::{ALICE, asked, ended, settle, spawned, status, world_with};
use crate::plugins::plugin;
use crate::world::World;

/// As the default job has it, but that the API is asked without a program between.
const LAUNCH: &str = r#"{"id":"LaunchPrivilegeElevation","events":["LaunchPrivilegeElevation"],"overlap":"parallel","tasks":[
    {"id":"check-redirect","executionType":"Http","method":"GET","url":"{KeeperApiBaseUrl}/api/elevation/{RequestId}/redirect",
     "skipWhenPluginSettingFalse":"RedirectEvaluator:metadata.redirect.enabled","contextWhenSkipped":{"Redirect":false},
     "mergeStdoutJsonIntoContext":true,"onFailure":"launch-elevated"},
    {"id":"launch-substitute","executionType":"Http","method":"POST","condition":"Redirect == true","onSuccess":"stop","onFailure":"stop",
     "url":"{KeeperApiBaseUrl}/api/elevation/{RequestId}/launch-substitute"},
    {"id":"launch-elevated","executionType":"Http","method":"POST","url":"{KeeperApiBaseUrl}/api/elevation/{RequestId}/launch"}]}"#;
/// A job that launches whatever it likes.
const LIAR: &str = r#"{"id":"liar","tasks":[{"id":"t","command":"tool"}]}"#;
/// Waits for the events of requests, and does nothing about them.
const IDLE: &str = r#"{"id":"LaunchPrivilegeElevation","events":["LaunchPrivilegeElevation","PolicyEvaluationPending"],"tasks":[{"id":"t","command":"tool"}]}"#;
const RULES: &str = r#"[{"sourceExePattern":"/passwd$","targetExe":"/usr/bin/false"},
    {"sourceExePattern":"/id$","nonAdminOnly":true,"targetExe":"/usr/bin/rid","targetArguments":"-r 'a b'"}]"#;

/// Redirection with these rules, and one of these jobs beside the liar.
fn world(rules: &str, launch: &str) -> (World, Subject) {
    let redirect = format!(r#"{{"redirect":{{"enabled":true,"rules":{rules}}},"mqttTopics""#);
    let evaluator = plugin("RedirectEvaluator", "")
        .replace(r#"{"mqttTopics""#, &redirect)
        .replace(r#""autoStart":true"#, r#""autoStart":false"#);
    world_with(&[
        ("Jobs/LaunchPrivilegeElevation", launch),
        ("Jobs/liar", LIAR),
        ("Plugins/RedirectEvaluator", &evaluator),
    ])
}

fn switch(world: &mut World, on: bool) {
    let target = "/api/PluginSettings/RedirectEvaluator/metadata.redirect.enabled";
    let put = world.admin("PUT", target, if on { "true" } else { "false" });
    settle(world);
    assert_eq!(world.status(put), Some(200));
}

/// A process of the liar, which calls the API.
fn liar(world: &mut World) -> u64 {
    world.admin("POST", "/api/Jobs/liar/trigger", "");
    settle(world);
    let liar = world.spawns.keys().last().unwrap().0;
    world.started(liar);
    liar
}

/// What became of a call of the liar; `None` while it waits.
fn call(world: &mut World, liar: u64, method: &str, verb: &str) -> Option<(u16, Value)> {
    let asked = world.task(liar, method, &format!("/api/elevation/E7-1/{verb}"), "");
    Some((world.status(asked)?, world.body(asked)))
}

#[track_caller]
fn refused(answer: Option<(u16, Value)>, why: &str) {
    let (status, body) = answer.expect("it waits");
    assert!(status == 409 && body["detail"].as_str().unwrap().contains(why), "{status} {body}");
}

/// Alice's request is allowed, and its substitute found.
fn redirected(world: &mut World, policy: &Subject) -> SpawnId {
    asked(world, 1);
    world.decides(policy, "E7-1", "ALLOW", json!({}));
    settle(world);
    world.finds();
    settle(world);
    *spawned(world).last().expect("nothing was launched")
}

#[test]
fn the_substitute_runs_by_itself_and_its_caller_is_denied() {
    let (mut world, policy) = world(RULES, LAUNCH);
    let spawn = redirected(&mut world, &policy);
    let request = &world.spawns[&spawn];
    assert_eq!((&request.stdio, request.environment.len()), (&Stdio::Captured, 0), "nothing of its caller's");
    assert_eq!(request.program.candidates, ["/usr/bin/rid"]);
    assert_eq!(request.arguments, ["-r", "a b"]);
    let launch = world.audited.iter().find(|entry| entry["kind"] == "launch").unwrap().clone();
    assert_eq!((&launch["program"], &launch["runAs"]), (&json!("/usr/bin/rid"), &json!("root")));
    assert_eq!(launch["command"], json!(["/usr/bin/rid", "-r", "a b"]));
    let instead = json!({"program": "/usr/local/sbin/id", "command": ["id", "-u"], "rule": 1});
    assert_eq!(launch["insteadOf"], instead);
    world.readied(spawn.0, 1);
    assert!(!world.is_answered(1), "not before it runs");
    world.process(ProcessReport::Started { spawn });
    let why = world.answer(1).unwrap_err();
    assert!(why.contains("Redirected by rule 1: '/usr/bin/rid' was run instead."), "{why}");
    settle(&mut world);
    let run = world.history.values().find(|run| run.job_id == "LaunchPrivilegeElevation").unwrap();
    assert_eq!(run.status, "Succeeded");
    // It is not his: he cannot signal it, and may leave.
    world.transcript.clear();
    let caller = castellan_core::elevation::CallerId(1);
    world.tell(Event::Elevation(ElevationReport::Signaled { caller, signal: RelayedSignal::Interrupt }));
    world.leaves(1);
    world.wait(60_000);
    assert!(!world.transcript.iter().any(|line| line.contains("Interrupt") || line.starts_with("Terminate")));
    assert_eq!(status(&mut world, "E7-1"), "Running");
    world.exit(spawn.0, ExitStatus::Code(3));
    world.collected(spawn.0, "done\nand \u{1b}[31mred\n");
    world.discarded(spawn.0);
    settle(&mut world);
    let record = world.get_now("/api/elevation/E7-1");
    assert_eq!((&record["Status"], &record["Exit"]), (&json!("Finished"), &json!("code 3")));
    assert_eq!((&record["Substitute"]["Rule"], &record["Substitute"]["FilePath"]), (&json!(1), &json!("/usr/bin/rid")));
    assert!(record["Explanation"].to_string().contains("Redirected by rule 1"), "{record}");
    let output = world.logged("ElevationOutput");
    assert!(
        output.len() == 1 && output[0].contains("'/usr/bin/rid' of request E7-1 wrote to stdout: done"),
        "{output:?}"
    );
    assert_eq!(world.audit_of_requests(), ["request", "decision", "launch", "exit"]);
    world.quiet();
}

#[test]
fn switched_off_or_by_an_administrator_the_original_runs() {
    const CAROL: (&str, u32) = ("carol", 1002);
    let (mut world, policy) = world(RULES, LAUNCH);
    let original = |world: &mut World, caller: u64, user| {
        world.elevate(caller, user, &["id", "-u"]);
        world.finds();
        world.decides(&policy, &format!("E7-{caller}"), "ALLOW", json!({}));
        settle(world);
        let spawn = *spawned(world).last().expect("nothing was launched");
        assert!(matches!(world.spawns[&spawn].stdio, Stdio::Caller { .. }));
        world.started(spawn.0);
        settle(world);
        ended(world, spawn);
        assert_eq!(world.answer(caller), Ok(ExitStatus::Code(0)));
    };
    // She is in the group sudo.
    original(&mut world, 1, CAROL);
    switch(&mut world, false);
    original(&mut world, 2, ALICE);
    switch(&mut world, true);
    world.elevate(3, ALICE, &["id"]);
    world.finds();
    world.decides(&policy, "E7-3", "ALLOW", json!({}));
    settle(&mut world);
    assert_eq!(world.looks.len(), 1, "the substitute is looked for");
}

#[test]
fn jobs_launch_only_what_the_rules_name_and_once() {
    let (mut world, policy) = world(RULES, IDLE);
    let liar = liar(&mut world);
    assert_eq!(call(&mut world, liar, "POST", "launch-substitute").unwrap().0, 404);
    world.elevate(1, ALICE, &["id", "-u"]);
    refused(call(&mut world, liar, "GET", "redirect"), "was not found yet");
    world.finds();
    refused(call(&mut world, liar, "POST", "launch-substitute"), "it is Evaluating");
    world.decides(&policy, "E7-1", "ALLOW", json!({}));
    refused(call(&mut world, liar, "POST", "launch-substitute"), "it is Authorized");
    settle(&mut world);
    let shown = json!({"Redirect": true, "Rule": 1, "TargetExe": "/usr/bin/rid", "TargetArguments": ["-r", "a b"]});
    assert_eq!(call(&mut world, liar, "GET", "redirect"), Some((200, shown)));
    refused(call(&mut world, liar, "POST", "launch"), "Rule 1 of RedirectEvaluator");
    switch(&mut world, false);
    let shown = json!({"Redirect": false, "Rule": null, "TargetExe": null, "TargetArguments": []});
    assert_eq!(call(&mut world, liar, "GET", "redirect"), Some((200, shown)));
    refused(call(&mut world, liar, "POST", "launch-substitute"), "No rule of RedirectEvaluator");
    switch(&mut world, true);
    let admin = world.admin("POST", "/api/elevation/E7-1/launch-substitute", "");
    assert_eq!(world.status(admin), Some(403), "not even an administrator");
    assert_eq!(call(&mut world, liar, "POST", "launch-substitute"), None, "its file is looked at");
    for verb in ["launch", "launch-substitute"] {
        refused(call(&mut world, liar, "POST", verb), "once");
    }
    // What was found by the rules is launched, whatever they say by now; the original is not any more.
    switch(&mut world, false);
    world.finds();
    settle(&mut world);
    let spawn = spawned(&world)[0];
    for verb in ["launch", "launch-substitute"] {
        refused(call(&mut world, liar, "POST", verb), "it is Launching");
    }
    world.readied(spawn.0, 1);
    world.process(ProcessReport::Started { spawn });
    ended(&mut world, spawn);
    refused(call(&mut world, liar, "POST", "launch"), "It is over");
    assert_eq!(spawned(&world), [spawn]);
}

#[test]
fn rules_that_cannot_be_read_launch_nothing() {
    let (mut world, policy) = world(r#"[{"sourceExePattern":"(","targetExe":"/usr/bin/rid"}]"#, LAUNCH);
    asked(&mut world, 1);
    world.decides(&policy, "E7-1", "ALLOW", json!({}));
    settle(&mut world);
    let why = world.answer(1).unwrap_err();
    assert!(why.contains("/0/sourceExePattern: this is no regular expression"), "{why}");
    assert_eq!((status(&mut world, "E7-1"), spawned(&world)), (json!("Denied"), vec![]));
    assert!(world.logged("RedirectRules")[0].contains("metadata.redirect.rules"));
    world.quiet();
}

#[test]
fn a_substitute_that_cannot_be_run_or_was_changed_is_not_run_nor_is_the_original() {
    let missing = |world: &mut World| {
        let Some(ProcessOrder::Inspect { ticket, .. }) = world.looks.pop_front() else { panic!("nobody asked") };
        let executables = vec![castellan_core::event::ExecutableFacts::default()];
        world.tell(Event::Process(ProcessReport::Inspected { ticket, executables }));
    };
    let (mut world, policy) = world(RULES, LAUNCH);
    asked(&mut world, 1);
    world.decides(&policy, "E7-1", "ALLOW", json!({}));
    settle(&mut world);
    missing(&mut world);
    settle(&mut world);
    let why = world.answer(1).unwrap_err();
    assert!(why.contains("By rule 1 of RedirectEvaluator '/usr/bin/rid' is run instead, which cannot be"), "{why}");
    // Between the look and the launch somebody replaced it; or its caller left.
    for caller in [2, 3] {
        asked(&mut world, caller);
        world.decides(&policy, &format!("E7-{caller}"), "ALLOW", json!({}));
        settle(&mut world);
        world.finds();
        settle(&mut world);
        let spawn = *spawned(&world).last().unwrap();
        if caller == 3 {
            world.leaves(3);
        }
        world.readied(spawn.0, if caller == 2 { 2 } else { 1 });
        assert_eq!(world.aborts.len(), usize::try_from(caller).unwrap() - 1);
        world.spawn_failed(spawn.0);
        settle(&mut world);
    }
    assert!(world.answer(2).unwrap_err().contains("changed or replaced"));
    assert_eq!(status(&mut world, "E7-3"), "Withdrawn");
    assert!(world.spawns.values().all(|request| request.stdio == Stdio::Captured), "no original");
    world.quiet();
}

#[test]
fn who_leaves_while_the_substitute_starts_does_not_end_it() {
    let (mut world, policy) = world(RULES, LAUNCH);
    let spawn = redirected(&mut world, &policy);
    world.readied(spawn.0, 1);
    world.leaves(1);
    world.transcript.clear();
    world.process(ProcessReport::Started { spawn });
    world.wait(60_000);
    assert!(!world.transcript.iter().any(|line| line.starts_with("Terminate") || line.starts_with("Kill")));
    assert_eq!(status(&mut world, "E7-1"), "Running");
    ended(&mut world, spawn);
    assert!(world.get_now("/api/elevation/E7-1")["Explanation"].to_string().contains("Redirected by rule 1"));
    assert!(!world.is_answered(1), "nobody is there");
    world.quiet();
}

#[test]
fn grants_that_are_over_are_forgotten_and_the_others_counted() {
    let (mut world, policy) = world("[]", IDLE);
    let liar = liar(&mut world);
    world.elevate_with(1, ALICE, &["id"], Some("a reason"), None);
    world.finds();
    world.decides(&policy, "E7-1", "PENDING", json!({ "Controls": ["APPROVAL", "JUSTIFY"] }));
    settle(&mut world);
    let clean = |world: &mut World| {
        let asked = world.task(liar, "POST", "/api/grants/cleanup", "");
        world.body(asked)
    };
    assert_eq!(clean(&mut world), json!({"Removed": 0, "Counting": 0}));
    for control in ["JUSTIFY", "APPROVAL"] {
        world.task(liar, "POST", &format!("/api/elevation/E7-1/controls/{control}"), "");
    }
    let vote = world.admin("POST", "/api/elevation/E7-1/approve", "");
    settle(&mut world);
    assert_eq!(world.status(vote), Some(200));
    assert_eq!(clean(&mut world), json!({"Removed": 0, "Counting": 1}));
    world.millis += 24 * 3600 * 1000;
    assert_eq!(clean(&mut world), json!({"Removed": 1, "Counting": 0}));
    assert_eq!(clean(&mut world), json!({"Removed": 0, "Counting": 0}));
}
