//! What a user sees of his own from another terminal, and ends there. Of others he learns nothing.

use castellan_core::effect::ElevationAnswer;
use castellan_core::elevation::{CallerId, Own, OwnWish, Status};
use castellan_core::event::{Event, ProcessReport};
use castellan_core::mfa::Verdict;
use castellan_core::policy::Control;
use serde_json::json;

use super::{
    ALICE, CONTROLS, LAUNCH, administrators, asked, ended, launched, pending, settle, spawned, status, vote, world,
    world_with,
};
use crate::world::World;

const BOB: (&str, u32) = ("bob", 1001);
const ROOT: (&str, u32) = ("root", 0);

fn withdraw(request: &str) -> OwnWish {
    OwnWish::Withdraw(request.to_owned())
}

fn give_up(grant: &str) -> OwnWish {
    OwnWish::Drop(Some(grant.to_owned()))
}

fn ids(own: &Own) -> [Vec<&str>; 2] {
    let requests = own.requests.iter().map(|one| one.request_id.as_str()).collect();
    [requests, own.grants.iter().map(|one| one.request_id.as_str()).collect()]
}

/// What came of a wish: the ids that are given up, or else a sentence.
#[track_caller]
fn outcome(world: &World, caller: u64) -> Result<Vec<String>, String> {
    match &world.socket.answers[&CallerId(caller)] {
        ElevationAnswer::GaveUp(ids) => Ok(ids.iter().map(ToString::to_string).collect()),
        ElevationAnswer::NotFound(explanation) => Err(format!("not found: {explanation}")),
        ElevationAnswer::Denied { explanation, .. } => Err(explanation.to_string()),
        other => panic!("{other:?}"),
    }
}

/// A request that waits for an approval; a reason came with it.
fn waits(world: &mut World, policy: &castellan_core::acl::Subject, caller: u64, user: (&str, u32)) {
    world.elevate_with(caller, user, &["id", "-u"], Some("a reason"), None);
    world.finds();
    world.decides(policy, &format!("E7-{caller}"), "PENDING", pending(&["JUSTIFY", "APPROVAL"], json!({})));
    settle(world);
}

#[test]
fn a_user_sees_his_own_requests_and_grants_and_nobody_elses() {
    let (mut world, policy) = world();
    administrators(&mut world);
    waits(&mut world, &policy, 1, ALICE);
    vote(&mut world, "sha256-2", "E7-1", "approve");
    let spawn = launched(&mut world, 1);
    ended(&mut world, spawn);
    world.elevate(2, ALICE, &["id", "-g"]);
    world.finds();
    world.decides(&policy, "E7-2", "DENY", json!({}));
    settle(&mut world);
    world.elevate(3, ALICE, &["id", "-n"]);
    world.finds();
    world.decides(&policy, "E7-3", "PENDING", pending(&["JUSTIFY", "APPROVAL"], json!({})));
    settle(&mut world);
    waits(&mut world, &policy, 4, BOB);

    let own = world.shown(11, ALICE);
    assert_eq!(ids(&own), [vec!["E7-3", "E7-2", "E7-1"], vec!["E7-1"]]);
    let [waiting, denied, finished] = &own.requests[..] else { panic!("{own:?}") };
    assert_eq!((waiting.status, waiting.command.as_str()), (Status::AwaitingControls, "id -n"));
    assert_eq!(waiting.waits_for, [Control::Justify, Control::Approval]);
    assert_eq!((waiting.until.is_some(), &waiting.explanation), (true, &None));
    assert_eq!((denied.status, &denied.until), (Status::Denied, &None));
    assert_eq!(denied.explanation.as_ref().unwrap().why, "Policy p1 says DENY.");
    assert_eq!((finished.status, finished.exit.as_deref()), (Status::Finished, Some("code 0")));
    assert_eq!((own.grants[0].command.as_str(), own.grants_left_out, own.requests_left_out), ("id -u", 0, 0));
    assert_eq!(own.grants[0].controls, [Control::Justify, Control::Approval]);
    // The times are those of the wall clock: half an hour for who waits, a day for a grant.
    let asked_at = castellan_core::time::WallTime::parse_rfc3339(&waiting.asked_at).unwrap().as_millis();
    let until = castellan_core::time::WallTime::parse_rfc3339(waiting.until.as_ref().unwrap()).unwrap().as_millis();
    assert_eq!(until - asked_at, 30 * 60 * 1000);
    assert_eq!(ids(&world.shown(12, BOB)), [vec!["E7-4"], vec![]]);
    assert_eq!(ids(&world.shown(13, ROOT)), [const { Vec::<&str>::new() }; 2], "an administrator has requests list");
    // A grant that is over is none, and the clock that ends it is the one that is shown.
    world.millis += 24 * 3600 * 1000;
    assert_eq!(ids(&world.shown(14, ALICE))[1], [""; 0]);
    let mut stranger = world.reborn();
    stranger.own(1, ("mallory", 1002), OwnWish::List);
    assert!(matches!(&stranger.socket.answers[&CallerId(1)], ElevationAnswer::Own(own) if own.requests.is_empty()));
}

#[test]
fn a_user_withdraws_his_own_and_anothers_is_as_none() {
    let (mut world, policy) = world();
    waits(&mut world, &policy, 1, ALICE);
    for (caller, wish) in [(11, withdraw("E7-1")), (12, withdraw("E7-9")), (13, withdraw("../../E7-1\u{1b}"))] {
        world.own(caller, BOB, wish);
    }
    let said = [11, 12, 13].map(|caller| outcome(&world, caller).unwrap_err());
    assert_eq!(said[0].replace("E7-1", "E7-9"), said[1], "whether there is one is not said");
    assert!(said.iter().all(|said| said.starts_with("not found: You have no request '")), "{said:?}");
    world.own(14, ROOT, withdraw("E7-1"));
    assert!(outcome(&world, 14).is_err(), "an administrator has requests deny");
    assert_eq!(status(&mut world, "E7-1"), "AwaitingControls");

    world.own(15, ALICE, withdraw("e7-1"));
    assert!(!world.is_answered(15) && !world.is_answered(1), "not before it is on disk");
    // Who asks for the same meanwhile is told that it is over.
    world.own(16, ALICE, withdraw("E7-1"));
    assert!(outcome(&world, 16).unwrap_err().contains("It is over: Withdrawn."));
    settle(&mut world);
    assert_eq!(outcome(&world, 15), Ok(vec![String::from("E7-1")]));
    let told = world.answer(1).unwrap_err();
    assert!(told.contains("Request E7-1 was withdrawn. Its user withdrew it from another connection"), "{told}");
    let last = world.audited.iter().rfind(|entry| entry["request"] == "E7-1").unwrap();
    assert_eq!(
        (&last["kind"], &last["who"], &last["status"]),
        (&json!("end"), &json!("user:alice"), &json!("Withdrawn"))
    );
    assert!(last["why"].as_str().unwrap().contains("another connection (process 4001)"), "{last}");
    assert_eq!((status(&mut world, "E7-1"), spawned(&world)), (json!("Withdrawn"), vec![]));
    world.own(17, ALICE, withdraw("E7-1"));
    assert!(outcome(&world, 17).unwrap_err().contains("It is over: Withdrawn."));
    world.quiet();
}

#[test]
fn what_runs_is_not_withdrawn_and_what_is_about_to_launch_does_not() {
    let (mut world, policy) = world();
    asked(&mut world, 1);
    world.decides(&policy, "E7-1", "ALLOW", json!({}));
    let spawn = launched(&mut world, 1);
    world.own(11, ALICE, withdraw("E7-1"));
    let said = outcome(&world, 11).unwrap_err();
    assert!(said.contains("Its program runs already.") && said.contains("kill 4000"), "{said}");
    assert_eq!(status(&mut world, "E7-1"), "Running");
    let shown = world.shown(12, ALICE);
    assert_eq!((shown.requests[0].status, &shown.requests[0].until), (Status::Running, &None));
    ended(&mut world, spawn);

    // The disk has it as Launching, the audit not yet: no process was asked for.
    asked(&mut world, 2);
    world.decides(&policy, "E7-2", "ALLOW", json!({}));
    while status(&mut world, "E7-2") != "Launching" {
        assert!(world.disk_once(Ok(())), "nothing is left to be written");
    }
    world.own(13, ALICE, withdraw("E7-2"));
    settle(&mut world);
    assert_eq!(outcome(&world, 13), Ok(vec![String::from("E7-2")]));
    assert!(world.answer(2).unwrap_err().contains("was withdrawn"));
    assert_eq!(spawned(&world), [spawn], "it was launched all the same");
    world.quiet();
}

#[test]
fn a_user_gives_up_grants_of_his_own() {
    let (mut world, policy) = world();
    for caller in 1..=2 {
        world.elevate_with(caller, ALICE, &["id", &format!("-{caller}")], Some("a reason"), None);
        world.finds();
        world.decides(&policy, &format!("E7-{caller}"), "PENDING", pending(&["JUSTIFY", "APPROVAL"], json!({})));
        settle(&mut world);
        vote(&mut world, "ad", &format!("E7-{caller}"), "approve");
    }
    // The second one has not started, and rests on its own grant.
    let spawn = spawned(&world)[0];
    world.readied(spawn.0, 1);
    world.process(ProcessReport::Started { spawn });
    settle(&mut world);
    for (caller, user, wish) in [(11, BOB, give_up("E7-1")), (12, ALICE, give_up("E7-7")), (13, ROOT, give_up("E7-1"))]
    {
        world.own(caller, user, wish);
        let said = outcome(&world, caller).unwrap_err();
        assert!(said.starts_with("not found: You have no grant '"), "{said}");
    }
    world.own(14, BOB, OwnWish::Drop(None));
    assert_eq!(outcome(&world, 14), Ok(vec![]));
    assert_eq!(world.get_now("/api/grants").as_array().unwrap().len(), 2);

    world.own(15, ALICE, give_up("E7-1"));
    assert!(!world.is_answered(15), "not before it is on disk");
    assert_eq!(ids(&world.shown(16, ALICE))[1], ["E7-2"], "at once");
    settle(&mut world);
    assert_eq!(outcome(&world, 15), Ok(vec![String::from("E7-1")]));
    assert_eq!(status(&mut world, "E7-1"), "Running", "what runs goes on");
    let entry = world.audited.iter().rfind(|entry| entry["kind"] == "revocation").unwrap();
    assert_eq!((&entry["request"], &entry["who"]), (&json!("E7-1"), &json!("user:alice")));
    assert_eq!(world.get_now("/api/elevation/E7-1")["Grant"]["Revoked"], "alice");
    // All that is left; the disk fails, and it counts no more all the same.
    world.own(17, ALICE, OwnWish::Drop(None));
    while world.disk_once(Err(String::from("it is full"))) {}
    let said = outcome(&world, 17).unwrap_err();
    assert!(said.contains("after a restart of the agent it would again. it is full"), "{said}");
    assert_eq!(world.get_now("/api/grants"), json!([]));
}

#[test]
fn giving_up_all_grants_is_answered_once_and_stops_what_rests_on_them() {
    let (mut world, policy) = world();
    for caller in 1..=3 {
        world.elevate_with(caller, ALICE, &["id", &format!("-{caller}")], Some("a reason"), None);
        world.finds();
        world.decides(&policy, &format!("E7-{caller}"), "PENDING", pending(&["JUSTIFY", "APPROVAL"], json!({})));
        settle(&mut world);
        vote(&mut world, "ad", &format!("E7-{caller}"), "approve");
        let spawn = launched(&mut world, caller);
        ended(&mut world, spawn);
    }
    world.elevate(4, ALICE, &["id", "-1"]);
    world.finds();
    world.decides(&policy, "E7-4", "PENDING", pending(&["APPROVAL"], json!({})));
    assert_eq!(status(&mut world, "E7-4"), "Authorized");
    world.own(11, ALICE, OwnWish::Drop(None));
    settle(&mut world);
    assert_eq!(outcome(&world, 11), Ok(["E7-1", "E7-2", "E7-3"].map(String::from).to_vec()));
    assert!(world.answer(4).unwrap_err().contains("Its user gave up the grant that it rests on."));
    assert_eq!((spawned(&world).len(), world.reborn().get_now("/api/grants")), (3, json!([])));
    for request in ["E7-1", "E7-2", "E7-3"] {
        let kept = &world.socket.records[request];
        let outcome = (kept.status, kept.exit.as_deref(), kept.grant.as_ref().unwrap().revoked.as_deref());
        assert_eq!(outcome, (Status::Finished, Some("code 0"), Some("alice")), "how {request} ended is on disk yet");
    }
    world.quiet();
}

/// A code gives a grant of five minutes, also where an older grant stood in for the approval: without that one it is worth nothing.
#[test]
fn what_an_ended_grant_stood_in_for_is_asked_for_again() {
    let code = r#""tasks":[{"id":"mfa","executionType":"Http","method":"POST",
        "url":"{KeeperApiBaseUrl}/api/elevation/{RequestId}/controls/MFA"},"#;
    let controls = CONTROLS.replace(r#""tasks":["#, code);
    for is_administrator in [false, true] {
        let jobs = [("Jobs/LaunchPrivilegeElevation", LAUNCH), ("Jobs/controls", controls.as_str())];
        let (mut world, policy) = world_with(&jobs);
        let ask = |world: &mut World, caller: u64| {
            world.elevate_with(caller, ALICE, &["id"], Some("a reason"), Some("123456"));
            world.finds();
            let controls = pending(&["MFA", "JUSTIFY", "APPROVAL"], json!({}));
            world.decides(&policy, &format!("E7-{caller}"), "PENDING", controls);
            settle(world);
        };
        world.socket.verdicts.extend([const { Verdict::Verified }; 3]);
        ask(&mut world, 1);
        vote(&mut world, "ad", "E7-1", "approve");
        let spawn = launched(&mut world, 1);
        ended(&mut world, spawn);
        world.wait(6 * 60 * 1000);
        ask(&mut world, 2);
        let spawn = launched(&mut world, 2);
        ended(&mut world, spawn);
        assert_eq!(ids(&world.shown(11, ALICE))[1], ["E7-2", "E7-1"]);
        if is_administrator {
            let asked = world.admin("DELETE", "/api/grants/E7-1", "");
            world.disk_once(Ok(()));
            let early = world.status(asked);
            settle(&mut world);
            assert_eq!((early, world.status(asked)), (None, Some(200)), "once all of it is on disk");
        } else {
            world.own(12, ALICE, give_up("E7-1"));
            settle(&mut world);
            assert_eq!(outcome(&world, 12), Ok(vec![String::from("E7-1")]));
        }
        ask(&mut world, 3);
        assert_eq!(spawned(&world).len(), 2, "it was launched without the approval");
        assert_eq!(status(&mut world, "E7-3"), "AwaitingControls");
        assert_eq!((world.get_now("/api/grants"), world.reborn().get_now("/api/grants")), (json!([]), json!([])));
        let written = world.socket.records.values().filter(|record| record.request_id != "E7-3");
        let stand: Vec<Status> = written.map(|record| record.status).collect();
        assert_eq!(stand, [Status::Finished; 2], "what became of them is written over");
    }
}

#[test]
fn what_a_user_is_shown_is_bounded_and_counts_as_asking() {
    let (mut world, policy) = world();
    let long = "\u{1}".repeat(2000);
    for caller in 1..=40 {
        world.elevate(caller, ALICE, &["id", &long]);
        world.finds();
        let explanation =
            json!({"What": long, "Why": long, "Fix": long, "Nearest": null, "Policies": [], "LeftOut": 0});
        world.decides(&policy, &format!("E7-{caller}"), "DENY", json!({ "Explanation": explanation }));
        settle(&mut world);
    }
    for caller in 41..=72 {
        world.elevate(caller, ALICE, &["id", &long]);
        world.finds();
    }
    let own = world.shown(100, ALICE);
    assert_eq!((own.requests.len(), own.requests_left_out), (42, 30));
    let length = serde_json::to_string(&own).unwrap().len();
    assert!((64 << 10..256 << 10).contains(&length), "{length} bytes: little, or more than a frame has");
    for caller in 101..=127 {
        world.shown(caller, ALICE);
    }
    world.own(128, ALICE, withdraw("E7-41"));
    let said = world.answer(128).unwrap_err();
    assert!(said.contains("100 times in the last minute") && said.ends_with("Ask again in 60 seconds."), "{said}");
    assert_eq!(ids(&world.shown(129, BOB)), [const { Vec::<&str>::new() }; 2], "others are not held up");
    world.tell(Event::StopRequested("SIGTERM".into()));
    world.own(130, BOB, OwnWish::List);
    assert!(world.answer(130).unwrap_err().contains("starting or stopping"));
}
