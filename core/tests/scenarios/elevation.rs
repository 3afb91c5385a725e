//! Requests for more privileges, from the question to the end of the program: what is decided here of the story that users live.

mod crowd;
mod ends;
mod own;
mod people;

use castellan_core::acl::Subject;
use castellan_core::effect::{ProcessOrder, Stdio, StoreOrder};
use castellan_core::elevation::CallerId;
use castellan_core::event::{ElevationReport, Event, ExecutableFacts, ExitStatus, ProcessReport, RelayedSignal};
use castellan_core::id::SpawnId;
use castellan_core::mfa::Verdict;
use castellan_core::time::WallTime;
use castellan_core::trust::signature::SignatureFacts;
use serde_json::{Value, json};

use crate::plugins::plugin;
use crate::world::elevation::file;
use crate::world::{World, ids, program};

pub const ALICE: (&str, u32) = ("alice", 1000);
const LAUNCH: &str = r#"{"id":"LaunchPrivilegeElevation","events":["LaunchPrivilegeElevation"],"overlap":"parallel","tasks":[
    {"id":"launch","executionType":"Http","method":"POST","url":"{KeeperApiBaseUrl}/api/elevation/{RequestId}/launch"}]}"#;
const CONTROLS: &str = r#"{"id":"controls","events":["PolicyEvaluationPending"],"overlap":"parallel","tasks":[
    {"id":"justify","executionType":"Http","method":"POST","url":"{KeeperApiBaseUrl}/api/elevation/{RequestId}/controls/JUSTIFY",
     "mergeStdoutJsonIntoContext":true},
    {"id":"approve","executionType":"Http","method":"POST","url":"{KeeperApiBaseUrl}/api/elevation/{RequestId}/controls/APPROVAL",
     "timeoutSeconds":20000,"mergeStdoutJsonIntoContext":true,"condition":"ControlList contains \"APPROVAL\""},
    {"id":"fire","command":"fire-event","condition":"Satisfied == true",
     "arguments":"--event LaunchPrivilegeElevation --context '{{\"RequestId\":\"{RequestId}\"}}'"}]}"#;

/// A world where KeeperPolicy runs and is connected, with these jobs.
pub fn world_with(jobs: &[(&str, &str)]) -> (World, Subject) {
    let policy = plugin("KeeperPolicy", r#","requiresMonitoring":true,"autoRestart":true"#)
        .replace(r#"["out"]"#, r#"["KeeperPolicy/answers"]"#);
    let mut files = vec![("Plugins/KeeperPolicy", policy.as_str())];
    files.extend(jobs);
    let mut world = World::new(&files);
    assert_eq!(world.logged("Definition"), [""; 0]);
    world.started(1);
    let subject = world.client(1, &format!("KeeperPolicy_{}", ids(1).0), 1);
    world.transcript.clear();
    (world, subject)
}

fn world() -> (World, Subject) {
    world_with(&[("Jobs/LaunchPrivilegeElevation", LAUNCH), ("Jobs/controls", CONTROLS)])
}

/// Who signed a program is part of the question where that was verified; an answer to another signer is none.
#[test]
fn the_signer_of_a_program_is_asked_about_where_he_is_trusted_and_nobody_else_can_name_one() {
    const SIGNERS: &str = r#"{"Settings":{"AlternativeSignatures":
        ["bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"]}}"#;
    let policy = plugin("KeeperPolicy", r#","requiresMonitoring":true,"autoRestart":true"#)
        .replace(r#"["out"]"#, r#"["KeeperPolicy/answers"]"#);
    let mut world =
        World::with(SIGNERS, &[("Plugins/KeeperPolicy", &policy), ("Jobs/LaunchPrivilegeElevation", LAUNCH)]);
    let (pid, cgroup) = ids(1);
    let prepared = ExecutableFacts { signature: by_pinned(true), ..program("/opt/castellan/Plugins/bin/KeeperPolicy") };
    let (spawn, cgroup) = (SpawnId(1), Some(cgroup));
    world.process(ProcessReport::Prepared { spawn, pid, cgroup, executable: prepared, user: None });
    world.process(ProcessReport::Started { spawn });
    let subject = world.client(1, &format!("KeeperPolicy_{pid}"), 1);
    let mut number = 0;
    let mut ask = |world: &mut World, signature| {
        number += 1;
        world.elevate(number, ALICE, &["id"]);
        let Some(ProcessOrder::Inspect { ticket, queries }) = world.looks.pop_front() else { panic!("nobody asked") };
        assert_eq!(queries[0].signers, ["b".repeat(64)]);
        let facts = ExecutableFacts { signature, ..file(&queries[0].candidates[0], 1) };
        world.process(ProcessReport::Inspected { ticket, executables: vec![facts] });
        world.questions().last().unwrap()["MetaData"].clone()
    };
    assert!(ask(&mut world, None).get("SignerThumbprints").is_none(), "nobody signed it");
    assert!(ask(&mut world, by_pinned(false)).get("SignerThumbprints").is_none(), "the signature is wrong");
    let asked = ask(&mut world, by_pinned(true));
    assert_eq!(asked["SignerThumbprints"], json!(["a".repeat(40), "b".repeat(64)]));
    // Somebody who asks in the name of the first request, with a signer of his own.
    let mut forged = world.questions()[0]["MetaData"].clone();
    forged["SignerThumbprints"] = asked["SignerThumbprints"].clone();
    world.decides(&subject, "E7-1", "ALLOW", json!({ "MetaData": forged }));
    assert_eq!(status(&mut world, "E7-1"), "Evaluating");
    world.decides(&subject, "E7-1", "ALLOW", json!({}));
    assert_eq!(status(&mut world, "E7-1"), "Authorized");
}

fn by_pinned(is_valid: bool) -> Option<Result<Box<SignatureFacts>, String>> {
    Some(Ok(Box::new(crate::signed::by_pinned("/usr/local/sbin/id", Some(0), is_valid))))
}

/// Everything that waits for the disk or the audit comes there.
pub fn settle(world: &mut World) {
    while !world.disk.is_empty() || !world.socket.audits.is_empty() {
        world.disk();
        world.audited_by(Ok(()));
    }
}

/// A request of alice for `id -u` that KeeperPolicy was asked about.
pub fn asked(world: &mut World, caller: u64) {
    world.elevate(caller, ALICE, &["id", "-u"]);
    world.finds();
}

pub fn status(world: &mut World, request: &str) -> Value {
    world.get_now(&format!("/api/elevation/{request}"))["Status"].clone()
}

fn pending(controls: &[&str], more: Value) -> Value {
    let mut pending = json!({ "Controls": controls });
    pending.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    pending
}

pub fn spawned(world: &World) -> Vec<SpawnId> {
    let elevated = |(spawn, request): (&SpawnId, &castellan_core::effect::SpawnRequest)| {
        request.owner.to_string().starts_with("elevation:").then_some(*spawn)
    };
    world.spawns.iter().filter_map(elevated).collect()
}

#[test]
fn what_policies_deny_is_denied_with_their_reason() {
    let (mut world, policy) = world();
    asked(&mut world, 1);
    let question = world.questions()[0].clone();
    let asked = &question["MetaData"];
    assert_eq!((&question["Id"], &question["RespondToTopic"]), (&json!("E7-1"), &json!("KeeperPolicy/answers")));
    assert_eq!((&asked["UserName"], &asked["UserId"]), (&json!("alice"), &json!(1000)));
    assert_eq!((&asked["FilePath"], &asked["CommandLine"]), (&json!("/usr/local/sbin/id"), &json!("id -u")));
    world.decides(&policy, "E7-1", "DENY", json!({}));
    assert!(!world.is_answered(1), "not before it is on disk");
    world.disk();
    assert_eq!(world.answer(1).unwrap_err(), "W. Policy p1 says DENY. F.");
    assert_eq!(world.audit_of_requests(), ["request", "decision"]);
    assert_eq!((status(&mut world, "E7-1"), spawned(&world)), (json!("Denied"), vec![]));
    world.quiet();
}

#[test]
fn what_policies_allow_is_launched_by_the_job_as_root_for_its_caller() {
    let (mut world, policy) = world();
    asked(&mut world, 1);
    world.transcript.clear();
    world.decides(&policy, "E7-1", "ALLOW", json!({}));
    world.expect(&["audit plugin:KeeperPolicy decision", "keep E7-1 Authorized"]);
    // The event follows once that is on disk; the launch, once that is, and the audit has it.
    world.disk_once(Ok(()));
    world.disk_once(Ok(()));
    let lines = std::mem::take(&mut world.transcript);
    assert!(lines.ends_with(&["audit user:alice launch".into(), "keep E7-1 Launching".into()]), "{lines:?}");
    world.disk();
    assert_eq!(spawned(&world), [], "the audit has it not yet");
    world.audited_by(Ok(()));
    let spawn = spawned(&world)[0];
    let request = &world.spawns[&spawn];
    assert_eq!(request.stdio, Stdio::Caller { caller: CallerId(1), terminal: false });
    assert_eq!(
        (request.program.candidates[0].as_str(), &*request.arguments),
        ("/usr/local/sbin/id", &["-u".into()][..])
    );
    assert_eq!(request.environment, [("TERM".into(), "xterm".into())], "nothing else of the caller's");
    world.readied(spawn.0, 1);
    // It may run already when its caller hears a signal, before the agent knows: that signal is kept for it.
    let interrupt =
        || Event::Elevation(ElevationReport::Signaled { caller: CallerId(1), signal: RelayedSignal::Interrupt });
    world.tell(interrupt());
    world.tell(interrupt());
    world.transcript.clear();
    world.process(ProcessReport::Started { spawn });
    let signals = world.transcript.iter().filter(|line| line.contains("Interrupt")).count();
    assert_eq!((signals, status(&mut world, "E7-1")), (1, json!("Running")), "{:?}", world.transcript);
    // It is a stranger to broker and API.
    let stranger = world.task(spawn.0, "GET", "/api/Jobs", "");
    assert_eq!(world.status(stranger), Some(403));
    world.tell(interrupt());
    world.transcript.clear();
    world.exit(spawn.0, ExitStatus::Code(3));
    assert_eq!(world.answer(1), Ok(ExitStatus::Code(3)));
    world.collected(spawn.0, "");
    world.discarded(spawn.0);
    settle(&mut world);
    assert_eq!(world.audit_of_requests(), ["request", "decision", "launch", "exit"]);
    let record = world.get_now("/api/elevation/E7-1");
    assert_eq!((&record["Status"], &record["Exit"]), (&json!("Finished"), &json!("code 3")));
    let run = world.history.values().find(|run| run.job_id == "LaunchPrivilegeElevation").unwrap();
    assert_eq!(run.status, "Succeeded");
    world.quiet();
}

/// Brings a request of alice to the process that runs for it; which.
fn launched(world: &mut World, caller: u64) -> SpawnId {
    settle(world);
    let spawn = *spawned(world).last().expect("nothing was launched");
    assert_eq!(world.spawns[&spawn].stdio, Stdio::Caller { caller: CallerId(caller), terminal: false });
    world.readied(spawn.0, 1);
    world.process(ProcessReport::Started { spawn });
    settle(world);
    spawn
}

/// His caller alone hears that a program is stopped, and has it continue; what is to end is not told of any more.
#[test]
fn a_stopped_program_is_its_callers() {
    let (mut world, policy) = world();
    asked(&mut world, 1);
    world.decides(&policy, "E7-1", "ALLOW", json!({}));
    settle(&mut world);
    let spawn = *spawned(&world).last().unwrap();
    world.readied(spawn.0, 1);
    let signaled = |caller, signal| Event::Elevation(ElevationReport::Signaled { caller: CallerId(caller), signal });
    // Before it is known that it runs, the last of these two counts.
    for signal in [RelayedSignal::Continue, RelayedSignal::Suspend, RelayedSignal::Continue] {
        world.tell(signaled(1, signal));
    }
    world.transcript.clear();
    world.process(ProcessReport::Started { spawn });
    let told = |world: &World, text: &str| world.transcript.iter().filter(|line| line.contains(text)).count();
    assert_eq!((told(&world, "Suspend"), told(&world, "Continue")), (0, 1), "{:?}", world.transcript);
    settle(&mut world);
    world.transcript.clear();
    world.process(ProcessReport::Stopped { spawn, signal: 20 });
    world.expect(&["stop 1 20"]);
    world.tell(signaled(2, RelayedSignal::Continue));
    assert_eq!(told(&world, "Continue"), 0, "it is nobody else's");
    world.tell(signaled(1, RelayedSignal::Continue));
    assert_eq!(told(&world, "Continue"), 1);
    world.leaves(1);
    world.transcript.clear();
    world.process(ProcessReport::Stopped { spawn, signal: 19 });
    assert_eq!(told(&world, "stop"), 0, "{:?}", world.transcript);
    ended(&mut world, spawn);
}

pub fn ended(world: &mut World, spawn: SpawnId) {
    world.exit(spawn.0, ExitStatus::Code(0));
    world.collected(spawn.0, "");
    world.discarded(spawn.0);
    settle(world);
}

#[test]
fn an_answer_counts_from_keeper_policy_alone_and_once() {
    let (mut world, policy) = world();
    asked(&mut world, 1);
    let run = world.admin("POST", "/api/Jobs/LaunchPrivilegeElevation/trigger", "");
    world.disk();
    assert_eq!(world.status(run), Some(202));
    let job = Subject {
        component: castellan_core::id::Component::Job(castellan_core::id::JobId::parse("liar").unwrap()),
        ..policy.clone()
    };
    let former = Subject { spawn: SpawnId(99), ..policy.clone() };
    for liar in [&job, &former] {
        world.decides(liar, "E7-1", "ALLOW", json!({}));
    }
    world.decides(&policy, "E7-2", "ALLOW", json!({}));
    // Whoever may ask KeeperPolicy may ask something else in the name of this request.
    let mut other = world.questions()[0]["MetaData"].clone();
    other["CommandLine"] = json!("true");
    world.decides(&policy, "E7-1", "ALLOW", json!({ "MetaData": other }));
    assert_eq!(status(&mut world, "E7-1"), "Evaluating");
    world.decides(&policy, "E7-1", "DENY", json!({}));
    world.decides(&policy, "E7-1", "ALLOW", json!({}));
    settle(&mut world);
    assert_eq!((status(&mut world, "E7-1"), spawned(&world)), (json!("Denied"), vec![]));
    assert_eq!(world.get("/api/denials").as_array().unwrap().len(), 5);
}

#[test]
fn a_policy_plugin_that_is_away_is_waited_for_within_bounds() {
    let (mut world, _) = world();
    world.exit(1, ExitStatus::Signal(9));
    world.collected(1, "");
    world.discarded(1);
    asked(&mut world, 1);
    assert_eq!(world.questions().len(), 0);
    // It comes back within its time.
    world.wait(2_000);
    let again = *world.spawns.keys().last().unwrap();
    world.started(again.0);
    let policy = world.client(2, &format!("KeeperPolicy_{}", ids(again.0).0), again.0);
    assert_eq!(world.questions().len(), 1);
    // Killed in the middle: the next one is asked again.
    world.exit(again.0, ExitStatus::Signal(9));
    world.collected(again.0, "");
    world.discarded(again.0);
    world.decides(&policy, "E7-1", "ALLOW", json!({}));
    assert_eq!(status(&mut world, "E7-1"), "Evaluating", "its process is gone");
    world.wait(30_000);
    settle(&mut world);
    let why = world.answer(1).unwrap_err();
    assert!(why.contains("No policy decided within 30 seconds") && why.contains("KeeperPolicy"), "{why}");
    // Not there at all: nobody waits.
    let mut world = World::new(&[("Jobs/LaunchPrivilegeElevation", LAUNCH)]);
    asked(&mut world, 1);
    settle(&mut world);
    let why = world.answer(1).unwrap_err();
    assert!(why.contains("no plugin KeeperPolicy") && why.contains("castellan init"), "{why}");
}

#[test]
fn a_reason_is_asked_for_where_the_user_is() {
    let (mut world, policy) = world();
    asked(&mut world, 1);
    world.decides(&policy, "E7-1", "PENDING", pending(&["JUSTIFY"], json!({})));
    settle(&mut world);
    assert_eq!(world.socket.told, ["Reason for running 'id -u': "]);
    assert_eq!(world.get_now("/api/elevation/E7-1")["Outstanding"], json!(["JUSTIFY"]));
    world.reply(1, 7, Some("of another prompt"));
    world.reply(1, 1, Some("  \t"));
    world.reply(1, 1, Some("too late for that prompt"));
    assert_eq!(status(&mut world, "E7-1"), "AwaitingControls");
    world.reply(1, 2, Some("disk is full"));
    let spawn = launched(&mut world, 1);
    assert_eq!(world.get_now("/api/elevation/E7-1")["Justification"], "disk is full");
    ended(&mut world, spawn);
    // Given in advance nobody is asked; what is not met is denied.
    world.elevate_with(2, ALICE, &["id"], Some("a reason"), None);
    world.finds();
    world.decides(&policy, "E7-2", "PENDING", pending(&["JUSTIFY"], json!({})));
    let spawn = launched(&mut world, 2);
    ended(&mut world, spawn);
    asked(&mut world, 3);
    world.decides(&policy, "E7-3", "PENDING", pending(&["JUSTIFY"], json!({})));
    settle(&mut world);
    world.reply(3, 1, None);
    settle(&mut world);
    let no_reason = world.answer(3).unwrap_err();
    assert!(no_reason.contains("JUSTIFY was not met"), "{no_reason}");
    assert_eq!(spawned(&world).len(), 2);
    world.quiet();
}

/// A job that sees to a second factor before the reason.
const FACTORS: &str = r#"{"id":"factors","events":["PolicyEvaluationPending"],"overlap":"parallel","tasks":[
    {"id":"mfa","executionType":"Http","method":"POST","url":"{KeeperApiBaseUrl}/api/elevation/{RequestId}/controls/MFA",
     "mergeStdoutJsonIntoContext":true},
    {"id":"justify","executionType":"Http","method":"POST","url":"{KeeperApiBaseUrl}/api/elevation/{RequestId}/controls/JUSTIFY",
     "mergeStdoutJsonIntoContext":true},
    {"id":"fire","command":"fire-event","condition":"Satisfied == true",
     "arguments":"--event LaunchPrivilegeElevation --context '{{\"RequestId\":\"{RequestId}\"}}'"}]}"#;

#[test]
fn a_code_is_asked_for_judged_and_good_for_five_minutes() {
    let (mut world, policy) = world_with(&[("Jobs/LaunchPrivilegeElevation", LAUNCH), ("Jobs/factors", FACTORS)]);
    let mut number = 0;
    let mut ask = |world: &mut World, words: &[&str], code: Option<&str>, verdicts: &[Verdict]| {
        number += 1;
        world.socket.verdicts.extend(verdicts);
        world.elevate_with(number, ALICE, words, Some("a reason"), code);
        world.finds();
        world.decides(&policy, &format!("E7-{number}"), "PENDING", pending(&["MFA", "JUSTIFY"], json!({})));
        settle(world);
        number
    };
    let one = ask(&mut world, &["id"], None, &[Verdict::Wrong { left: 4 }, Verdict::Verified]);
    assert_eq!(world.socket.told, ["Code of your authenticator for running 'id': "]);
    assert_eq!(world.get_now("/api/elevation/E7-1")["Outstanding"], json!(["MFA", "JUSTIFY"]));
    world.reply(one, 1, Some("000000"));
    settle(&mut world);
    assert!(world.socket.told[1].contains("4 wrong ones more lock alice"), "{:?}", world.socket.told);
    assert_eq!(spawned(&world).len(), 0);
    world.reply(one, 1, Some("of the former prompt"));
    world.reply(one, 2, Some("123456"));
    let spawn = launched(&mut world, one);
    ended(&mut world, spawn);
    // The same again within five minutes: nobody is asked, also not for the reason. Other arguments: he is.
    world.wait(4 * 60 * 1000);
    let two = ask(&mut world, &["id"], None, &[]);
    let spawn = launched(&mut world, two);
    ended(&mut world, spawn);
    let three = ask(&mut world, &["id", "-g"], None, &[]);
    world.reply(three, 1, None);
    settle(&mut world);
    assert!(world.answer(three).unwrap_err().contains("No code was given"));
    world.wait(61 * 1000);
    // Then it is over. Whoever has none, is locked out, or gives wrong ones is told so, and nothing runs.
    let four = ask(&mut world, &["id"], Some("123456"), &[]);
    let until = WallTime::from_millis(1_800_000_000_000);
    let five = ask(&mut world, &["id"], Some("123456"), &[Verdict::Locked { until }]);
    let six = ask(&mut world, &["id"], Some("1"), &[1, 2, 3, 4].map(|left| Verdict::Wrong { left: 5 - left }));
    for prompt in 1..=3 {
        world.reply(six, prompt, Some("2"));
        settle(&mut world);
    }
    for (caller, why) in [
        (four, "castellan mfa enroll alice"),
        (five, "none of alice is looked at until 2027-01-15"),
        (six, "1 wrong ones more"),
    ] {
        let told = world.answer(caller).unwrap_err();
        assert!(told.contains("MFA was not met") && told.contains(why), "{told}");
    }
    assert_eq!(spawned(&world).len(), 2);
    let audited = world.audited.iter().map(Value::to_string).collect::<String>();
    assert!(!audited.contains("123456") && !world.get_now("/api/elevation").to_string().contains("123456"));
    world.quiet();
}

#[test]
fn a_code_that_cannot_be_judged_or_comes_too_late_launches_nothing() {
    let (mut world, policy) = world_with(&[("Jobs/LaunchPrivilegeElevation", LAUNCH), ("Jobs/factors", FACTORS)]);
    for caller in [1, 2] {
        world.elevate_with(caller, ALICE, &["id"], None, Some("123456"));
        world.finds();
        world.decides(&policy, &format!("E7-{caller}"), "PENDING", pending(&["MFA"], json!({})));
        while !world.disk.iter().any(|order| matches!(order, StoreOrder::Mfa { .. })) {
            assert!(world.disk_once(Ok(())), "no code is judged");
            world.audited_by(Ok(()));
        }
        if caller == 1 {
            while world.disk.front().is_some_and(|order| !matches!(order, StoreOrder::Mfa { .. })) {
                world.disk_once(Ok(()));
            }
            world.disk_once(Err(String::from("the disk is full.")));
        } else {
            world.leaves(caller);
            world.socket.verdicts.push_back(Verdict::Verified);
        }
        settle(&mut world);
    }
    assert!(world.answer(1).unwrap_err().contains("could not be judged: the disk is full"));
    assert_eq!((status(&mut world, "E7-2"), spawned(&world).len()), (json!("Withdrawn"), 0));
    world.quiet();
}

/// Each request that waits keeps a run: users who ask and ask leave places for jobs, and for each other.
/// Two administrators besides the first.
fn administrators(world: &mut World) {
    for name in ["bob", "carol", "alice"] {
        world.admin("POST", "/api/admin/certificates", &json!({"name": name, "certificateRequest": "x"}).to_string());
        world.disk();
    }
}

fn vote(world: &mut World, sha256: &str, request: &str, verb: &str) -> Option<u16> {
    let asked = world.with_certificate(sha256, "POST", &format!("/api/elevation/{request}/{verb}"), "");
    settle(world);
    world.status(asked)
}

#[test]
fn an_approval_comes_from_others_and_its_grant_is_reused_until_it_is_revoked() {
    let (mut world, policy) = world();
    administrators(&mut world);
    let (bob, carol, alice) = ("sha256-1", "sha256-2", "sha256-3");
    let groups = json!({"Approvers": [{"Groups": [["bob"], ["carol", "dave"]], "Required": 1}]});
    world.elevate_with(1, ALICE, &["id", "-u"], Some("a reason"), None);
    world.finds();
    world.decides(&policy, "E7-1", "PENDING", pending(&["JUSTIFY", "APPROVAL"], groups.clone()));
    settle(&mut world);
    assert!(
        world.socket.told.iter().any(|line| line.contains("castellan requests approve E7-1")),
        "{:?}",
        world.socket.told
    );
    assert_eq!(vote(&mut world, alice, "E7-1", "approve"), Some(403), "nobody approves a request of their own");
    assert_eq!(vote(&mut world, "ad", "E7-1", "approve"), Some(409), "none of its approvers");
    let task = world.stranger("POST", "/api/elevation/E7-1/approve", "");
    assert_eq!(world.status(task), Some(403));
    for _ in 0..2 {
        assert_eq!(vote(&mut world, bob, "E7-1", "approve"), Some(200));
        assert_eq!(world.get_now("/api/elevation/E7-1")["Outstanding"], json!(["APPROVAL"]), "one of two groups");
    }
    assert_eq!(vote(&mut world, carol, "E7-1", "approve"), Some(200));
    let spawn = launched(&mut world, 1);
    ended(&mut world, spawn);
    assert!(world.published.iter().filter(|(topic, _)| topic == "RequestApproval").count() >= 3);
    // The same again: nobody is asked. Other arguments, another user: they are.
    world.elevate(2, ALICE, &["id", "-u"]);
    world.finds();
    world.decides(&policy, "E7-2", "PENDING", pending(&["JUSTIFY", "APPROVAL"], groups.clone()));
    let spawn = launched(&mut world, 2);
    ended(&mut world, spawn);
    assert_eq!(world.get_now("/api/elevation/E7-2")["GrantId"], "E7-1");
    for (caller, user, words) in [(3, ALICE, &["id", "-g"]), (4, ("mallory", 1001), &["id", "-u"])] {
        world.elevate(caller, user, words);
        world.finds();
        world.decides(&policy, &format!("E7-{caller}"), "PENDING", pending(&["APPROVAL"], groups.clone()));
        settle(&mut world);
        assert_eq!(status(&mut world, &format!("E7-{caller}")), "AwaitingControls");
    }
    // Denied by one it is over; withdrawn by its user, too.
    assert_eq!(vote(&mut world, bob, "E7-3", "deny"), Some(200));
    assert!(world.answer(3).unwrap_err().contains("'bob' denied it"));
    assert_eq!(vote(&mut world, carol, "E7-3", "approve"), Some(409));
    world.leaves(4);
    settle(&mut world);
    assert_eq!(status(&mut world, "E7-4"), "Withdrawn");
    // It survives the agent, and is over when it is revoked.
    assert_eq!(world.get_now("/api/grants")[0]["RequestId"], "E7-1");
    let mut world = world.reborn();
    assert_eq!(world.get_now("/api/grants")[0]["RequestId"], "E7-1");
    let revoked = world.admin("DELETE", "/api/grants/E7-1", "");
    assert_eq!((world.status(revoked), world.get_now("/api/grants")), (None, json!([])), "at once");
    settle(&mut world);
    assert_eq!(world.status(revoked), Some(200));
    assert_eq!(world.reborn().get_now("/api/grants"), json!([]));
}

#[test]
fn grants_end_in_their_time_and_revoking_stops_what_has_not_started() {
    let (mut world, policy) = world();
    world.elevate_with(1, ALICE, &["id"], Some("a reason"), None);
    world.finds();
    world.decides(&policy, "E7-1", "PENDING", pending(&["JUSTIFY", "APPROVAL"], json!({})));
    settle(&mut world);
    assert_eq!(vote(&mut world, "ad", "E7-1", "approve"), Some(200));
    let spawn = launched(&mut world, 1);
    ended(&mut world, spawn);
    world.elevate(2, ALICE, &["id"]);
    world.finds();
    world.decides(&policy, "E7-2", "PENDING", pending(&["APPROVAL"], json!({})));
    assert_eq!(status(&mut world, "E7-2"), "Authorized");
    world.admin("DELETE", "/api/grants/E7-1", "");
    settle(&mut world);
    assert!(world.answer(2).unwrap_err().contains("revoked the grant"));
    assert_eq!(spawned(&world).len(), 1);
    // Of itself it ends after a day.
    world.elevate_with(3, ALICE, &["id"], Some("a reason"), None);
    world.finds();
    world.decides(&policy, "E7-3", "PENDING", pending(&["JUSTIFY", "APPROVAL"], json!({})));
    settle(&mut world);
    vote(&mut world, "ad", "E7-3", "approve");
    let spawn = launched(&mut world, 3);
    ended(&mut world, spawn);
    world.millis += 24 * 3600 * 1000 - 1;
    assert_eq!(world.get_now("/api/grants").as_array().unwrap().len(), 1);
    world.elevate(4, ALICE, &["id"]);
    world.finds();
    world.decides(&policy, "E7-4", "PENDING", pending(&["APPROVAL"], json!({})));
    assert_eq!(status(&mut world, "E7-4"), "Authorized");
    world.millis += 1;
    assert_eq!(world.get_now("/api/grants"), json!([]));
    // What rests on it and was not launched by then is not.
    settle(&mut world);
    assert!(world.answer(4).unwrap_err().contains("Grant E7-3, which it rests on, ended before it was launched."));
    assert_eq!((status(&mut world, "E7-4"), spawned(&world).len()), (json!("Denied"), 2));
}

#[test]
fn revoking_a_grant_ends_what_runs_on_it_where_that_is_wanted() {
    let (mut world, policy) = world();
    world.elevate_with(1, ALICE, &["id"], Some("a reason"), None);
    world.finds();
    world.decides(&policy, "E7-1", "PENDING", pending(&["JUSTIFY", "APPROVAL"], json!({})));
    settle(&mut world);
    vote(&mut world, "ad", "E7-1", "approve");
    let first = launched(&mut world, 1);
    world.elevate(2, ALICE, &["id"]);
    world.finds();
    world.decides(&policy, "E7-2", "PENDING", pending(&["APPROVAL"], json!({})));
    let second = launched(&mut world, 2);
    let unread = world.admin("DELETE", "/api/grants/E7-1?kill=perhaps", "");
    assert_eq!(world.status(unread), Some(400));
    // Without it they go on; it may be said later, too.
    world.transcript.clear();
    world.admin("DELETE", "/api/grants/E7-1", "");
    settle(&mut world);
    assert!(!world.transcript.iter().any(|line| line.contains("Terminate")), "{:?}", world.transcript);
    let gone = world.admin("DELETE", "/api/grants/E7-1", "");
    assert_eq!(world.status(gone), Some(404));
    world.admin("DELETE", "/api/grants/E7-1?kill=true", "");
    settle(&mut world);
    for spawn in [first, second] {
        assert!(world.transcript.contains(&format!("Terminate {spawn}")), "{:?}", world.transcript);
    }
    let told = "Your program is ended. Administrator 'client' revoked the grant that it rests on.";
    assert_eq!(world.socket.told.iter().filter(|line| *line == told).count(), 2, "{:?}", world.socket.told);
    let ended_by: Vec<&Value> = world.audited.iter().filter(|entry| entry["kind"] == "revocation").collect();
    assert_eq!(ended_by.iter().filter(|entry| entry["reason"].is_string()).count(), 2, "{ended_by:?}");
    world.exit(first.0, ExitStatus::Signal(15));
    assert_eq!(world.answer(1), Ok(ExitStatus::Signal(15)));
    // The other one does not listen.
    world.transcript.clear();
    world.wait(10_000);
    world.expect(&[&format!("Kill {second}")]);
}

#[test]
fn an_approval_that_nobody_gives_is_escalated_then_expires() {
    let (mut world, policy) = world();
    world.elevate_with(1, ALICE, &["id"], Some("a reason"), None);
    world.finds();
    world.decides(&policy, "E7-1", "PENDING", pending(&["JUSTIFY", "APPROVAL"], json!({})));
    settle(&mut world);
    world.wait(30 * 60 * 1000);
    settle(&mut world);
    assert_eq!(world.get_now("/api/elevation/E7-1")["Escalated"], true);
    world.wait(4 * 3600 * 1000);
    settle(&mut world);
    assert!(world.answer(1).unwrap_err().contains("APPROVAL"));
    assert_eq!(status(&mut world, "E7-1"), "Expired");
    assert_eq!(vote(&mut world, "ad", "E7-1", "approve"), Some(409));
    assert_eq!(spawned(&world), []);
}

#[test]
fn no_job_launches_what_is_not_authorized_and_none_launches_twice() {
    const LIAR: &str = r#"{"id":"liar","tasks":[{"id":"t","command":"tool"}]}"#;
    let (mut world, policy) =
        world_with(&[("Jobs/LaunchPrivilegeElevation", LAUNCH), ("Jobs/controls", CONTROLS), ("Jobs/liar", LIAR)]);
    world.admin("POST", "/api/Jobs/liar/trigger", "");
    world.disk();
    let liar = world.spawns.keys().last().unwrap().0;
    world.started(liar);
    let launch = |world: &mut World| {
        let asked = world.task(liar, "POST", "/api/elevation/E7-1/launch", "");
        world.status(asked)
    };
    assert_eq!(launch(&mut world), Some(404));
    asked(&mut world, 1);
    assert_eq!(launch(&mut world), Some(409));
    let admin = world.admin("POST", "/api/elevation/E7-1/launch", "");
    assert_eq!(world.status(admin), Some(403), "not even an administrator");
    world.decides(&policy, "E7-1", "PENDING", pending(&["JUSTIFY"], json!({})));
    settle(&mut world);
    assert_eq!(launch(&mut world), Some(409));
    world.publish(
        &policy,
        "EventMessages",
        r#"{"eventName":"LaunchPrivilegeElevation","context":{"RequestId":"E7-1"}}"#,
    );
    settle(&mut world);
    assert_eq!(spawned(&world), []);
    world.reply(1, 1, Some("a reason"));
    assert_eq!(launch(&mut world), Some(409), "authorized, and not yet on disk");
    let spawn = launched(&mut world, 1);
    assert_eq!(launch(&mut world), Some(409));
    ended(&mut world, spawn);
    assert_eq!(launch(&mut world), Some(409));
    assert_eq!(spawned(&world).len(), 1);
}

#[test]
fn a_program_that_was_changed_since_the_decision_is_not_run() {
    let (mut world, policy) = world();
    asked(&mut world, 1);
    world.decides(&policy, "E7-1", "ALLOW", json!({}));
    settle(&mut world);
    let spawn = spawned(&world)[0];
    world.readied(spawn.0, 2);
    assert!(world.aborts[0].contains("changed or replaced"), "{:?}", world.aborts);
    world.spawn_failed(spawn.0);
    settle(&mut world);
    assert!(world.answer(1).unwrap_err().contains("changed or replaced"));
    assert_eq!(status(&mut world, "E7-1"), "Denied");
    world.quiet();
}

#[test]
fn a_full_disk_denies_with_that_reason() {
    use castellan_core::effect::StoreOrder;
    for (good_writes, audit) in [(0, true), (1, true), (9, false)] {
        let (mut world, policy) = world();
        asked(&mut world, 1);
        world.decides(&policy, "E7-1", "ALLOW", json!({}));
        let full = || Err(String::from("the disk is full"));
        let mut writes = 0;
        while let Some(order) = world.disk.front() {
            writes += usize::from(matches!(order, StoreOrder::KeepElevation { .. }));
            let is_bad = writes > good_writes && matches!(order, StoreOrder::KeepElevation { .. });
            world.disk_once(if is_bad { full() } else { Ok(()) });
            world.audited_by(if audit { Ok(()) } else { full() });
        }
        assert_eq!(spawned(&world), [], "{good_writes} {audit}");
        assert!(world.answer(1).unwrap_err().contains("the disk is full"), "{good_writes} {audit}");
    }
}

#[test]
fn a_caller_who_leaves_ends_what_runs_and_what_waits() {
    let (mut world, policy) = world();
    asked(&mut world, 1);
    world.decides(&policy, "E7-1", "ALLOW", json!({}));
    let spawn = launched(&mut world, 1);
    world.transcript.clear();
    world.leaves(1);
    world.expect(&[&format!("Terminate {spawn}")]);
    world.wait(10_000);
    world.expect(&[&format!("Kill {spawn}")]);
    ended(&mut world, spawn);
    // Between the decision and the launch: nothing is launched.
    asked(&mut world, 2);
    world.decides(&policy, "E7-2", "ALLOW", json!({}));
    world.leaves(2);
    settle(&mut world);
    assert_eq!((status(&mut world, "E7-2"), spawned(&world).len()), (json!("Withdrawn"), 1));
    // While its process is being made: it never runs.
    asked(&mut world, 3);
    world.decides(&policy, "E7-3", "ALLOW", json!({}));
    settle(&mut world);
    let spawn = *spawned(&world).last().unwrap();
    world.leaves(3);
    world.readied(spawn.0, 1);
    assert_eq!(world.aborts.len(), 1);
    world.spawn_failed(spawn.0);
    settle(&mut world);
    assert_eq!(status(&mut world, "E7-3"), "Withdrawn");
    assert!(!world.is_answered(1) && !world.is_answered(2) && !world.is_answered(3), "nobody is there");
    world.quiet();
}

#[test]
fn a_job_that_is_missing_or_gives_up_ends_its_request() {
    let (mut world, policy) = world_with(&[]);
    asked(&mut world, 1);
    world.decides(&policy, "E7-1", "ALLOW", json!({}));
    settle(&mut world);
    assert!(world.answer(1).unwrap_err().contains("No job waits for the event LaunchPrivilegeElevation"));
    const IDLE: &str = r#"{"id":"idle","events":["LaunchPrivilegeElevation"],"tasks":[{"id":"t","command":"echo"}]}"#;
    let (mut world, policy) = world_with(&[("Jobs/idle", IDLE)]);
    asked(&mut world, 1);
    world.decides(&policy, "E7-1", "ALLOW", json!({}));
    settle(&mut world);
    assert!(world.answer(1).unwrap_err().contains("of job idle was there for it and ended"));
    world.quiet();
}

#[test]
fn after_a_crash_nothing_is_launched_by_itself() {
    for (steps, expected) in [(1, "Expired"), (2, "Finished")] {
        let (mut world, policy) = world();
        asked(&mut world, 1);
        world.decides(&policy, "E7-1", "ALLOW", json!({}));
        let mut kept = 0;
        while kept < steps {
            let is_ours = matches!(world.disk.front(), Some(StoreOrder::KeepElevation { .. }));
            kept += usize::from(is_ours);
            assert!(world.disk_once(Ok(())));
        }
        let mut world = world.reborn();
        settle(&mut world);
        assert_eq!((status(&mut world, "E7-1"), spawned(&world)), (json!(expected), vec![]));
        world.wait(3600 * 1000);
        settle(&mut world);
        assert_eq!(spawned(&world), []);
    }
}

#[test]
fn a_stopping_agent_denies_what_waits_and_ends_what_runs() {
    let (mut world, policy) = world();
    asked(&mut world, 1);
    world.decides(&policy, "E7-1", "ALLOW", json!({}));
    let spawn = launched(&mut world, 1);
    asked(&mut world, 2);
    world.tell(Event::StopRequested("the test is over".into()));
    settle(&mut world);
    assert!(world.answer(2).unwrap_err().contains("stopping"));
    world.elevate(3, ALICE, &["id"]);
    assert!(world.answer(3).unwrap_err().contains("stopping"));
    world.exit(spawn.0, ExitStatus::Signal(15));
    assert_eq!(world.answer(1), Ok(ExitStatus::Signal(15)));
}
