//! Decisions of a small history against other policies: what is a change, how changes are grouped, what cannot be judged.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::{Value, json};

use super::{Outcome, WhatIf, replaces};
use crate::policy::{PolicySet, PolicySource};
use crate::time::WallTime;

fn policy(user: &str, control: &str) -> String {
    let rules = json!([{"Expression": "CheckUser()"}]);
    let policy =
        json!({"PolicyId": user, "PolicyType": "PrivilegeElevation", "Status": "enforce", "Controls": [control]});
    let mut policy = policy.as_object().unwrap().clone();
    policy.extend([("Rules".to_string(), rules), ("UserCheck".to_string(), json!([user]))]);
    Value::Object(policy).to_string()
}

/// A decision about `id` as the audit has it.
fn decided(hour: u32, user: &str, decision: &str, controls: &[&str]) -> Value {
    json!({
        "sequence": hour, "previous": "", "time": format!("2026-03-01T{hour:02}:00:00.000Z"), "boot": 1, "who": "plugin:KeeperPolicy",
        "request": format!("E1-{hour}"), "kind": "decision", "decision": decision, "controls": controls, "policies": [],
        "input": {
            "PolicyType": "PrivilegeElevation", "UserId": 1000, "UserName": user, "Groups": ["staff"], "MachineName": "m",
            "FilePath": "/usr/bin/id", "CommandLine": format!("id {hour}"), "Arguments": [hour.to_string()], "HasDesktop": false,
            "At": format!("2026-03-01T{hour:02}:00:00+00:00"), "Signer": null, "Variables": {},
        },
        "policySet": "0", "explanation": {}, "hash": "",
    })
}

/// What comes of these entries by these policies: numbers, and a line for each change.
fn came_out(policies: &[String], entries: &[Value], since: Option<&str>) -> (Outcome, Vec<String>) {
    let sources: Vec<PolicySource<'_>> =
        policies.iter().map(|text| PolicySource { name: "p", content: Ok(text.as_bytes()) }).collect();
    let set = PolicySet::compile(&sources, &[]);
    let mut what_if = WhatIf::new(&set, since.map(|since| WallTime::parse_rfc3339(since).unwrap()));
    entries.iter().for_each(|entry| what_if.take(entry));
    let (outcome, changes) = what_if.finish();
    let line = |change: &super::Change| {
        let super::Change { count, request, user, command, before, after, policies, .. } = change;
        format!("{count} {request} {user} '{command}' {before} -> {after} {policies:?}")
    };
    (outcome, changes.iter().map(line).collect())
}

#[test]
fn changes_are_grouped_and_the_newest_is_first() {
    let entries = [
        decided(1, "alice", "DENY", &[]),
        decided(2, "bob", "ALLOW", &[]),
        decided(3, "alice", "PENDING", &["MFA"]),
        decided(4, "alice", "DENY", &[]),
        decided(5, "bob", "DENY", &[]),
    ];
    let policies = [policy("alice", "JUSTIFY"), policy("staff", "DENY")];
    let (outcome, changes) = came_out(&policies, &entries, None);
    let expect = [
        "2 E1-4 alice 'id 4' DENY -> PENDING (JUSTIFY) [\"alice\"]",
        "1 E1-3 alice 'id 3' PENDING (MFA) -> PENDING (JUSTIFY) [\"alice\"]",
        "1 E1-2 bob 'id 2' ALLOW -> DENY []",
    ];
    assert_eq!(changes, expect);
    assert_eq!((outcome.decisions, outcome.changed), (5, 4));
    let (outcome, changes) = came_out(&policies, &entries, Some("2026-03-01T04:00:00Z"));
    assert_eq!((outcome.decisions, outcome.changed, changes.len()), (2, 1, 1));
    assert!(changes[0].starts_with("1 E1-4"), "{changes:?}");
}

#[test]
fn what_is_no_decision_says_nothing_and_what_cannot_be_judged_is_counted() {
    let mut old = decided(1, "alice", "DENY", &[]);
    old.as_object_mut().unwrap().remove("policySet");
    let mut odd = decided(2, "alice", "DENY", &[]);
    odd["input"] = json!("the clock is beyond any calendar");
    let (wrong, empty) = (decided(3, "alice", "PERHAPS", &[]), decided(4, "alice", "PENDING", &[]));
    let other = json!({"time": "2026-03-01T04:00:00.000Z", "boot": 1, "who": "agent", "kind": "lost", "entries": 3});
    let (outcome, changes) = came_out(&[policy("alice", "ALLOW")], &[old, odd, wrong, empty, other], None);
    assert_eq!(outcome, Outcome { incomplete: 1, unreadable: 3, ..Outcome::default() });
    assert_eq!(changes, Vec::<String>::new());
}

#[test]
fn a_filter_of_time_is_held_against_the_moment_of_the_decision() {
    let mut office: Value = serde_json::from_str(&policy("alice", "ALLOW")).unwrap();
    office["Rules"].as_array_mut().unwrap().push(json!({"Expression": "CheckTime()"}));
    office["TimeCheck"] = json!([{"StartTime": "9", "EndTime": "18"}]);
    let entries = [decided(8, "alice", "ALLOW", &[]), decided(9, "alice", "ALLOW", &[])];
    let (_, changes) = came_out(&[office.to_string()], &entries, None);
    assert_eq!(changes, ["1 E1-8 alice 'id 8' ALLOW -> DENY []"]);
}

#[test]
fn a_file_replaces_that_of_its_name_or_its_id() {
    let (alice, bob) = (policy("alice", "DENY"), policy("bob", "DENY"));
    let source = |name, text: &'static str| PolicySource { name, content: Ok(text.as_bytes()) };
    let leak = |text: String| -> &'static str { alloc::boxed::Box::leak(text.into_boxed_str()) };
    let (alice, bob) = (leak(alice), leak(bob));
    for (new, present, does) in [
        (source("a", alice), source("a", bob), true),
        (source("a", alice), source("b", alice), true),
        (source("a", alice), source("b", bob), false),
        (source("a", "no JSON"), source("b", r#"{"PolicyId":"a"}"#), true),
    ] {
        assert_eq!(replaces(&new, &present), does, "{new:?} {present:?}");
    }
}
