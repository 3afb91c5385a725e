//! Proofs of a few grants, and everything that may be changed in one: what is found, and by what.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};

use serde_json::{Value, json};

use super::{Comparison, Extract, judge};
use crate::audit::Entry;
use crate::audit::chain::{Head, line};
use crate::hexadecimal;

/// Not SHA-256, which the core has not.
fn hash(bytes: &[u8]) -> [u8; 32] {
    let (mut hash, mut before) = ([7; 32], 0);
    for (place, byte) in bytes.iter().enumerate() {
        before = u8::wrapping_add(u8::wrapping_mul(hash[place % 32], 31), byte ^ before);
        hash[place % 32] = before;
    }
    hash
}

fn policy(controls: &[&str]) -> String {
    json!({
        "PolicyId": "p", "PolicyType": "PrivilegeElevation", "Status": "enforce", "Controls": controls,
        "Extension": {"Approvers": {"groups": [["carol", "dave"], ["erin"]], "required": 1}},
    })
    .to_string()
}

fn entry(minute: u32, request: &str, who: &str, what: Value) -> Value {
    let mut entry =
        json!({"time": format!("2026-03-01T10:{minute:02}:00.000Z"), "boot": 1, "who": who, "request": request});
    entry.as_object_mut().unwrap().extend(what.as_object().unwrap().clone());
    entry
}

fn asked(minute: u32, request: &str) -> Value {
    let what = json!({"kind": "request", "user": "alice", "uid": 1000, "pid": 9, "command": ["id", "-u"], "folder": null, "reason": null});
    entry(minute, request, "user:alice", what)
}

fn decided(minute: u32, request: &str, controls: &[&str]) -> Value {
    let content = policy(controls);
    let what = json!({
        "kind": "decision", "decision": "PENDING", "controls": controls, "policies": ["p"],
        "input": {
            "PolicyType": "PrivilegeElevation", "UserId": 1000, "UserName": "alice", "Groups": [], "MachineName": "m",
            "FilePath": "/usr/bin/id", "CommandLine": "id -u", "Arguments": ["-u"], "HasDesktop": false,
            "At": "2026-03-01T10:00:00+00:00", "Signer": null, "Variables": {},
        },
        "policySet": "0", "explanation": {},
        "documents": [{"File": "p.json", "Sha256": hexadecimal(&hash(content.as_bytes())), "Content": content}],
    });
    entry(minute, request, "plugin:KeeperPolicy", what)
}

fn met(minute: u32, request: &str, control: &str, grant: Option<&str>) -> Value {
    let what =
        json!({"kind": "control", "control": control, "satisfied": true, "reason": "ticket 4711", "grant": grant});
    entry(minute, request, "user:alice", what)
}

fn vote(minute: u32, request: &str, name: &str, approved: bool) -> Value {
    let what = json!({"kind": "approval", "approved": approved, "reason": null});
    entry(minute, request, &format!("admin:{name}"), what)
}

fn granted(minute: u32, request: &str, until: &str) -> Value {
    let what = json!({
        "kind": "grant", "grant": request, "user": "alice", "program": "/usr/bin/id", "command": ["id", "-u"], "until": until,
    });
    entry(minute, request, "user:alice", what)
}

const DAY: &str = "2026-03-02T10:05:00.000Z";

/// One that two administrators approved, after a reason and a code.
fn approved() -> Vec<Value> {
    vec![
        asked(0, "E1-1"),
        decided(1, "E1-1", &["MFA", "JUSTIFY", "APPROVAL"]),
        met(2, "E1-1", "MFA", None),
        met(2, "E1-1", "JUSTIFY", None),
        vote(3, "E1-1", "dave", true),
        vote(4, "E1-1", "erin", true),
        granted(5, "E1-1", DAY),
    ]
}

/// One of a code, whose approval was that of the other.
fn resting(from: u32, until: &str) -> Vec<Value> {
    vec![
        asked(from, "E1-2"),
        decided(from, "E1-2", &["MFA", "JUSTIFY", "APPROVAL"]),
        met(from, "E1-2", "JUSTIFY", Some("E1-1")),
        met(from, "E1-2", "APPROVAL", Some("E1-1")),
        met(from.saturating_add(1), "E1-2", "MFA", None),
        granted(from.saturating_add(2), "E1-2", until),
    ]
}

/// As lines of an audit.
fn chained(entries: &[Value]) -> Vec<String> {
    let mut head = Head::START;
    let next = |entry: &Value| {
        let entry: Entry = serde_json::from_value(entry.clone()).unwrap();
        let (line, next) = line(&head, &entry, hash).unwrap();
        head = next;
        line
    };
    entries.iter().map(next).collect()
}

#[track_caller]
fn fails(entries: &[Value], because: &str) {
    let faults = judge(&chained(entries), hash).unwrap_err().join(" ");
    assert!(faults.contains(because), "{faults}");
}

#[test]
fn the_lines_of_a_grant_lead_to_it_again() {
    let proven = judge(&chained(&approved()), hash).unwrap();
    assert_eq!((proven.grant.as_str(), proven.until.as_str(), proven.not_replayed), ("E1-1", DAY, None));
    let facts: Vec<String> = proven.facts.iter().map(|fact| format!("{} {}", fact.control, fact.who)).collect();
    assert_eq!(facts, ["MFA user:alice", "JUSTIFY user:alice", "APPROVAL admin:dave", "APPROVAL admin:erin"]);
    let both = [approved(), resting(20, "2026-03-01T10:27:00.000Z")].concat();
    let proven = judge(&chained(&both), hash).unwrap();
    assert_eq!((proven.grant.as_str(), proven.facts[1].reason.as_str()), ("E1-2", "grant E1-1"));
}

#[test]
fn what_was_changed_and_sealed_again_does_not_hold() {
    let with = |place: usize, pointer: &str, value: Value| {
        let mut entries = approved();
        *entries[place].pointer_mut(pointer).unwrap() = value;
        entries
    };
    let without = |place: usize| {
        let mut entries = approved();
        entries.remove(place);
        entries
    };
    fails(&with(6, "/until", json!("2026-03-03T10:05:00.000Z")), "ends at 2026-03-02T10:05:00.000Z, and not at");
    fails(&with(6, "/user", json!("bob")), "differ in who asks");
    fails(&with(1, "/input/UserName", json!("bob")), "differ in who asks");
    fails(&with(1, "/input/UserId", json!(0)), "differ in who asks");
    fails(&with(6, "/command", json!(["id", "-g"])), "differ in the command");
    fails(&with(1, "/input/Arguments", json!(["-g"])), "differ in the arguments");
    fails(&with(6, "/program", json!("/usr/bin/sh")), "differ in the program");
    fails(&with(1, "/who", json!("plugin:Other")), "differ in who decides");
    fails(&with(2, "/who", json!("user:bob")), "differ in who met controls");
    fails(&with(1, "/documents/0/Content", json!(policy(&["MFA"]))), "another SHA-256");
    let (looser, sha256) = (policy(&["JUSTIFY"]), hexadecimal(&hash(policy(&["JUSTIFY"]).as_bytes())));
    let document = json!([{"File": "p.json", "Sha256": sha256, "Content": looser}]);
    fails(&with(1, "/documents", document), "the policies on record answer PENDING (JUSTIFY)");
    fails(&with(1, "/input/FilePath", json!("/usr/bin/../bin/id")), "differ in the program");
    fails(&with(5, "/who", json!("admin:mallory")), "'mallory' is none of its approvers");
    fails(&with(5, "/who", json!("admin:alice")), "nobody approves a request of their own");
    fails(&with(5, "/approved", json!(false)), "Administrator 'erin' denied");
    fails(&with(2, "/satisfied", json!(false)), "nothing on record meets MFA");
    for (place, control) in [(2, "meets MFA"), (3, "meets JUSTIFY"), (4, "meets APPROVAL"), (5, "meets APPROVAL")] {
        fails(&without(place), control);
    }
    fails(&without(6), "The last line is no grant");
    fails(&without(1), "There is no decision");
    fails(&[approved(), vec![asked(6, "E1-1"), granted(6, "E1-1", DAY)]].concat(), "more than one request");
    fails(&with(1, "/policySet", Value::Null), "of an older version");
}

#[test]
fn a_grant_stands_in_for_what_it_covers_then() {
    let after = |until: &str, entries: Vec<Value>| [entries, resting(20, until)].concat();
    let until = "2026-03-01T10:27:00.000Z";
    fails(&resting(20, until), "There is no request of request E1-1");
    fails(&after("2026-03-02T10:22:00.000Z", approved()), "ends at 2026-03-01T10:27:00.000Z");
    let mut other = approved();
    other[1] = decided(1, "E1-1", &["MFA"]);
    fails(&after(until, other), "does not cover JUSTIFY");
    let mut two = [approved(), resting(20, until)].concat();
    two[10] = met(20, "E1-2", "APPROVAL", Some("E1-7"));
    fails(&two, "rests on more than one grant");
    let mut itself = resting(20, until);
    for place in [2, 3] {
        itself[place] = met(20, "E1-2", "JUSTIFY", Some("E1-2"));
    }
    fails(&itself, "More than 8 grants rest on one another");
    let mut code = [approved(), resting(20, until)].concat();
    code[11] = met(21, "E1-2", "MFA", Some("E1-1"));
    fails(&code, "does not cover MFA of request E1-2 at 2026-03-01T10:21");
    let mut early = [approved(), resting(20, until)].concat();
    early[9]["time"] = json!("2026-03-01T10:01:00.000Z");
    fails(&early, "does not cover JUSTIFY");
}

#[test]
fn a_changed_byte_and_another_order_are_found() {
    let lines = chained(&approved());
    for place in 0..lines.len() {
        let mut edited = lines.clone();
        edited[place] = edited[place].replacen("alice", "alicf", 1).replacen("E1-1", "E1-3", 1);
        let faults = judge(&edited, hash).unwrap_err();
        assert!(faults[0].contains(&format!("Line {} was edited", place + 1)), "{faults:?}");
    }
    let mut swapped = lines;
    swapped.swap(2, 3);
    assert!(judge(&swapped, hash).unwrap_err()[0].contains("Line 4 stands behind a later entry"));
    assert!(judge(&["{}"], hash).is_err() && judge(&Vec::<String>::new(), hash).is_err());
}

#[test]
fn too_long_policies_are_told() {
    let mut entries = approved();
    entries[1]["documents"][0].as_object_mut().unwrap().remove("Content");
    let proven = judge(&chained(&entries), hash).unwrap();
    assert!(proven.not_replayed.unwrap().contains("too long"));
}

/// What comes of a proof of `E1-2` that is taken from the first audit and held against the second.
fn compared(from: &[Value], with: &[Value]) -> Result<Option<String>, Vec<String>> {
    let mut wanted = alloc::collections::BTreeSet::from(["E1-2".to_string()]);
    let lines = loop {
        let mut extract = Extract::of(wanted);
        chained(from).iter().for_each(|line| extract.take(line.as_bytes()));
        assert!(extract.has_grant("E1-2"));
        match extract.finish() {
            Ok(lines) => break lines,
            Err(more) => wanted = more,
        }
    };
    judge(&lines, hash).unwrap();
    let mut comparison = Comparison::of(&lines, "E1-2", hash);
    chained(with).iter().for_each(|line| comparison.take(line.as_bytes()));
    comparison.finish()
}

#[test]
fn a_proof_is_taken_from_the_audit_and_held_against_it() {
    let until = "2026-03-01T10:27:00.000Z";
    let lost = entry(6, "E9-9", "agent", json!({"kind": "lost", "entries": 3}));
    let exit = entry(6, "E1-1", "user:alice", json!({"kind": "exit", "status": "code 0"}));
    let whole = [approved(), vec![lost, exit], resting(20, until)].concat();
    assert_eq!(compared(&whole, &whole), Ok(None));
    let taken_back = json!({"kind": "revocation", "grant": "E1-2", "reason": null});
    let revoked = [whole.clone(), vec![entry(30, "E1-2", "admin:erin", taken_back)]].concat();
    assert_eq!(compared(&whole, &revoked).unwrap().unwrap(), "admin:erin revoked it at 2026-03-01T10:30:00.000Z.");
    // Made up from beginning to end.
    let mut other = whole.clone();
    other[0]["pid"] = json!(10);
    let faults = compared(&whole, &other).unwrap_err();
    assert!(faults[0].contains("Entry 1 of the audit is another"), "{faults:?}");
    assert!(compared(&whole, &whole[..13]).unwrap_err()[0].contains("Entry 14 is not in the audit"));
    // Left out, in a story that agrees without it.
    let mut said = whole;
    said.insert(3, met(2, "E1-1", "MFA", None));
    let lines = chained(&said);
    let mut comparison = Comparison::of(&[&lines[..3], &lines[4..8], &lines[10..]].concat(), "E1-2", hash);
    lines.iter().for_each(|line| comparison.take(line.as_bytes()));
    assert!(comparison.finish().unwrap_err()[0].contains("Entry 4 of the audit is about it, too"));
}
