//! What one who asks much, or fires events in the name of others, takes from them: nothing.

use castellan_core::effect::StoreOrder;
use serde_json::{Value, json};

use super::{ALICE, CONTROLS, LAUNCH, asked, ended, launched, pending, settle, spawned, status, world, world_with};
use crate::world::World;

#[test]
fn who_lets_many_requests_wait_leaves_room_for_others() {
    const BOB: (&str, u32) = ("bob", 1001);
    let (mut world, policy) = world();
    let ask = |world: &mut World, caller: u64, user| {
        world.elevate(caller, user, &["id", "-u"]);
        world.finds();
        world.decides(&policy, &format!("E7-{caller}"), "PENDING", pending(&["JUSTIFY"], json!({})));
        settle(world);
    };
    for caller in 1..=5 {
        ask(&mut world, caller, ALICE);
    }
    let why = world.answer(5).unwrap_err();
    assert!(why.contains("4 requests of yours wait for an answer already"), "{why}");
    // What is allowed at once waits for nothing.
    world.elevate(6, ALICE, &["id", "-u"]);
    world.finds();
    world.decides(&policy, "E7-6", "ALLOW", json!({}));
    let spawn = launched(&mut world, 6);
    ended(&mut world, spawn);
    for caller in 7..=11 {
        ask(&mut world, caller, BOB);
    }
    let why = world.answer(11).unwrap_err();
    assert!(why.contains("4 requests of yours"), "{why}");
    // One is answered: there is room for one.
    world.reply(1, 1, None);
    ask(&mut world, 12, ALICE);
    assert_eq!(status(&mut world, "E7-12"), "AwaitingControls");
    ask(&mut world, 13, ("carol", 1002));
    let why = world.answer(13).unwrap_err();
    assert!(why.contains("8 requests wait for an answer already"), "{why}");
}

/// Programs are launched by jobs of all users, so the rate at which events start a job says nothing of them: each user has one of his own.
#[test]
fn who_asks_again_and_again_is_refused_and_others_launch() {
    const BOB: (&str, u32) = ("bob", 1001);
    let (mut world, policy) = world();
    let runs = |world: &mut World, caller: u64, user, decision: &str, more: Value| {
        world.elevate_with(caller, user, &["id", "-u"], Some("a reason"), None);
        world.finds();
        world.decides(&policy, &format!("E7-{caller}"), decision, more);
        let spawn = launched(world, caller);
        ended(world, spawn);
    };
    for caller in 1..=100 {
        runs(&mut world, caller, ALICE, "ALLOW", json!({}));
    }
    world.elevate(901, ALICE, &["id", "-u"]);
    let why = world.answer(901).unwrap_err();
    assert!(why.contains("100 times in the last minute") && why.contains("Ask again in 60 seconds"), "{why}");
    // However often she asks, what the log holds of others stays in it.
    for caller in 10_000..10_999 {
        world.elevate(caller, ALICE, &["id", "-u"]);
    }
    let told = world
        .logged("Denied")
        .into_iter()
        .filter(|line| line.contains("of user 1000") && line.contains("100 times"))
        .count();
    let denials = world.get("/api/denials");
    assert_eq!((told, &denials[0]["count"], &denials[0]["uid"]), (4, &json!(1000), &json!(1000)), "{denials}");
    runs(&mut world, 101, BOB, "ALLOW", json!({}));
    runs(&mut world, 102, BOB, "PENDING", pending(&["JUSTIFY"], json!({})));
    // An event that is no step of a request counts as of any job: whoever fires it has his own share only.
    let event = r#"{"eventName":"LaunchPrivilegeElevation","context":{"RequestId":"E7-102"}}"#;
    for _ in 0..=100 {
        world.publish(&policy, "EventMessages", event);
        settle(&mut world);
    }
    assert_eq!(world.history.values().filter(|run| run.job_id == "LaunchPrivilegeElevation").count(), 202);
    runs(&mut world, 103, BOB, "ALLOW", json!({}));
    world.wait(59_999);
    world.elevate(902, ALICE, &["id", "-u"]);
    assert!(world.answer(902).unwrap_err().contains("Ask again in 1 seconds"));
    world.wait(1);
    runs(&mut world, 104, ALICE, "ALLOW", json!({}));
}

/// A plugin that may publish events names somebody's request: the runs that it starts are nobody's, whatever becomes of them.
#[test]
fn who_fires_events_in_the_name_of_a_request_neither_ends_it_nor_takes_its_step() {
    const EVENT: &str = r#"{"eventName":"LaunchPrivilegeElevation","context":{"RequestId":"E7-1"}}"#;
    const CONTROLS_EVENT: &str = r#"{"eventName":"PolicyEvaluationPending","context":{"RequestId":"E7-1"}}"#;
    // Authorized, and not yet on disk: its own job is not there yet, and that of another is refused and ends.
    let (mut world, policy) = world();
    asked(&mut world, 1);
    world.decides(&policy, "E7-1", "ALLOW", json!({}));
    for event in [EVENT, CONTROLS_EVENT] {
        world.publish(&policy, "EventMessages", event);
    }
    while let Some(place) = world.disk.iter().position(|order| !matches!(order, StoreOrder::KeepElevation { .. })) {
        let order = world.disk.remove(place).unwrap();
        world.disk.push_front(order);
        world.disk_once(Ok(()));
    }
    assert_eq!(status(&mut world, "E7-1"), "Authorized");
    let spawn = launched(&mut world, 1);
    ended(&mut world, spawn);
    // Somebody uses up what events may start the job, then fires what the job of the controls is about to fire: that is a step still.
    let controls = CONTROLS.replace(r#"{"id":"fire""#, r#"{"id":"tool","command":"tool"},{"id":"fire""#);
    let (mut world, policy) =
        world_with(&[("Jobs/LaunchPrivilegeElevation", LAUNCH), ("Jobs/controls", controls.as_str())]);
    asked(&mut world, 1);
    world.decides(&policy, "E7-1", "PENDING", pending(&["JUSTIFY"], json!({})));
    settle(&mut world);
    for _ in 0..=100 {
        world.publish(&policy, "EventMessages", EVENT);
        settle(&mut world);
    }
    world.reply(1, 1, Some("a reason"));
    settle(&mut world);
    assert_eq!((status(&mut world, "E7-1"), spawned(&world)), (json!("Authorized"), vec![]));
    world.publish(&policy, "EventMessages", EVENT);
    settle(&mut world);
    assert_eq!(spawned(&world), [], "it is one event too many of somebody else's");
    let tool = world.spawns.keys().last().unwrap().0;
    world.lives(tool, "");
    let spawn = launched(&mut world, 1);
    ended(&mut world, spawn);
}
