//! Every request has one last entry in the audit, however it ends.

use super::*;

/// What the audit says of the end of the one request, by the rule that docs/operations.md gives to who reads it.
#[track_caller]
fn last(world: &World, case: &str) -> (String, String) {
    let said = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let is_last = |entry: &&Value| match entry["kind"].as_str().unwrap() {
        "end" | "exit" => true,
        "decision" => entry["decision"] == "DENY",
        "approval" => entry["approved"] == false,
        "control" => entry["control"] != "APPROVAL" && entry["satisfied"] == false,
        _ => false,
    };
    let of_it: Vec<&Value> = world.audited.iter().filter(|entry| entry["request"] == "E7-1").collect();
    let ends: Vec<&&Value> = of_it.iter().filter(|entry| is_last(entry)).collect();
    assert_eq!(ends.len(), 1, "{case}: {of_it:#?}");
    assert_eq!(ends[0], of_it.last().unwrap(), "{case}: {of_it:#?}");
    (said(ends[0], "kind"), said(ends[0], "status"))
}

/// One way to an end, and what is on record of it then.
type Case = (&'static str, fn(&mut World, &Subject), (&'static str, &'static str));

fn pend(world: &mut World, policy: &Subject, controls: &[&str]) {
    asked(world, 1);
    world.decides(policy, "E7-1", "PENDING", json!({ "Controls": controls }));
    settle(world);
}

/// Nothing that waits to be written is.
fn fill(world: &mut World) {
    assert!(world.disk_once(Err(String::from("the disk is full"))), "something is to be written");
    while world.disk_once(Err(String::from("the disk is full"))) {}
}

const CASES: &[Case] = &[
    (
        "the program cannot be run",
        |world, _| {
            world.elevate(1, ALICE, &["id"]);
            let Some(ProcessOrder::Inspect { ticket, .. }) = world.looks.pop_front() else { panic!("nobody asked") };
            world.process(ProcessReport::Inspected { ticket, executables: vec![program("/srv/alice/id")] });
        },
        ("end", "Denied"),
    ),
    (
        "nobody decides",
        |world, _| {
            asked(world, 1);
            world.wait(30_000);
        },
        ("end", "Denied"),
    ),
    (
        "the caller leaves before a decision",
        |world, _| {
            asked(world, 1);
            world.leaves(1);
        },
        ("end", "Withdrawn"),
    ),
    (
        "a policy denies",
        |world, policy| {
            asked(world, 1);
            world.decides(policy, "E7-1", "DENY", json!({}));
        },
        ("decision", ""),
    ),
    (
        "no reason is given",
        |world, policy| {
            pend(world, policy, &["JUSTIFY"]);
            world.reply(1, 1, None);
        },
        ("control", ""),
    ),
    (
        "the caller leaves while he is asked",
        |world, policy| {
            pend(world, policy, &["JUSTIFY"]);
            world.leaves(1);
        },
        ("end", "Withdrawn"),
    ),
    (
        "nobody answers in time",
        |world, policy| {
            pend(world, policy, &["JUSTIFY"]);
            world.wait(30 * 60 * 1000);
        },
        ("end", "Expired"),
    ),
    (
        "an administrator denies",
        |world, policy| {
            pend(world, policy, &["APPROVAL"]);
            administrators(world);
            vote(world, "ad", "E7-1", "deny");
        },
        ("approval", ""),
    ),
    (
        "the agent stops",
        |world, policy| {
            pend(world, policy, &["JUSTIFY"]);
            world.tell(Event::StopRequested("the test is over".into()));
        },
        ("end", "Denied"),
    ),
    (
        "it is not put on record",
        |world, policy| {
            asked(world, 1);
            world.decides(policy, "E7-1", "ALLOW", json!({}));
            world.disk_once(Err(String::from("the disk is full")));
        },
        ("end", "Denied"),
    ),
    (
        "its end is put on record later, and then the agent is lost",
        |world, policy| {
            pend(world, policy, &["JUSTIFY"]);
            world.leaves(1);
            for _ in 0..2 {
                fill(world);
                world.wait(30 * 1000);
            }
            settle(world);
            reborn(world);
        },
        ("end", "Withdrawn"),
    ),
    (
        "its end is put on record as the agent stops",
        |world, policy| {
            pend(world, policy, &["JUSTIFY"]);
            world.leaves(1);
            fill(world);
            world.tell(Event::StopRequested("the test is over".into()));
            settle(world);
            reborn(world);
        },
        ("end", "Withdrawn"),
    ),
    (
        "the agent is lost while it waits",
        |world, policy| {
            pend(world, policy, &["JUSTIFY"]);
            reborn(world);
        },
        ("end", "Expired"),
    ),
    (
        "the agent is lost while it is launched",
        |world, policy| {
            asked(world, 1);
            world.decides(policy, "E7-1", "ALLOW", json!({}));
            settle(world);
            reborn(world);
        },
        ("end", "Finished"),
    ),
    (
        "its program does not start",
        |world, policy| {
            asked(world, 1);
            world.decides(policy, "E7-1", "ALLOW", json!({}));
            settle(world);
            let spawn = spawned(world)[0];
            world.spawn_failed(spawn.0);
        },
        ("exit", "not started"),
    ),
    (
        "its program ends",
        |world, policy| {
            asked(world, 1);
            world.decides(policy, "E7-1", "ALLOW", json!({}));
            let spawn = launched(world, 1);
            world.exit(spawn.0, ExitStatus::Code(0));
        },
        ("exit", "code 0"),
    ),
];

/// The next life of the agent; the audit goes on.
fn reborn(world: &mut World) {
    let mut next = world.reborn();
    next.audited.splice(0..0, std::mem::take(&mut world.audited));
    *world = next;
}

#[test]
fn every_end_of_a_request_is_in_the_audit_once() {
    for (case, end, (kind, status)) in CASES {
        let (mut world, policy) = world();
        end(&mut world, &policy);
        settle(&mut world);
        let (found, said) = last(&world, case);
        assert_eq!(found, *kind, "{case}");
        assert!(said.starts_with(status), "{case}: {said}");
    }
    // No job waits for the event.
    let (mut world, policy) = world_with(&[]);
    asked(&mut world, 1);
    world.decides(&policy, "E7-1", "ALLOW", json!({}));
    settle(&mut world);
    assert_eq!(last(&world, "no job"), (String::from("end"), String::from("Denied")));
}
