//! What people see of a difference, and what they must not see.

use std::format;
use std::string::String;
use std::vec::Vec;

use super::{LINES, lines};
use crate::limits::DOCUMENT_BYTES;

#[track_caller]
fn check(before: &str, after: &str, expect: &[&str]) {
    assert_eq!(lines(Some(before.as_bytes()), Some(after.as_bytes())), expect);
}

#[test]
fn keys_that_differ_are_named_with_both_values() {
    check(
        r#"{"id":"a","enabled":true,"tasks":[{"id":"t","command":"x"}],"old":{"b":1}}"#,
        r#"{"id":"a","enabled":false,"tasks":[{"id":"t","command":"y"},{"id":"u"}],"n":[]}"#,
        &[
            "~ /enabled: true -> false",
            "+ /n: []",
            "- /old/b: 1",
            r#"~ /tasks/0/command: "x" -> "y""#,
            r#"+ /tasks/1/id: "u""#,
        ],
    );
    check(r#"{"a":1}"#, r#"{"a":1}"#, &[]);
    check(r#"{"a":1}"#, r#"{ "a": 1 }"#, &["the same keys and values, written differently"]);
    check("1", "2", &["~ /: 1 -> 2"]);
    assert_eq!(lines(None, Some(br#"{"a":"b"}"#)), [r#"+ /a: "b""#]);
    assert_eq!(lines(Some(br#"{"a":"b"}"#), None), [r#"- /a: "b""#]);
    assert!(lines(None, None).is_empty());
}

#[test]
fn secrets_are_masked_wherever_they_may_stand() {
    check(r#"{"db":{"Pass-Word":"hunter2"}}"#, r#"{"db":{"Pass-Word":"other"}}"#, &["~ /db/Pass-Word: *** -> ***"]);
    check("{}", r#"{"tokens":["hunter2",{"x":"hunter2"}]}"#, &["+ /tokens/0: ***", "+ /tokens/1/x: ***"]);
    check(r#"{"headers":{"Authorization":"hunter2"}}"#, "{}", &["- /headers/Authorization: ***"]);
    check(
        r#"{"parameters":[{"name":"p","secret":true,"defaultValue":"hunter2"}]}"#,
        r#"{"parameters":[{"name":"p","secret":false,"defaultValue":"hunter3"}]}"#,
        &["~ /parameters/0/defaultValue: *** -> ***", "~ /parameters/0/secret: true -> false"],
    );
    check(
        r#"{"secretSettings":["A.B"],"a":{"b":{"c":"hunter2"},"d":1}}"#,
        r#"{"secretSettings":[],"a":{"b":{"c":"hunter3"},"d":2}}"#,
        &["~ /a/b/c: *** -> ***", "~ /a/d: 1 -> 2", "+ /secretSettings: []", r#"- /secretSettings/0: "A.B""#],
    );
    check(r#"{"a":{"secret":"hunter2"}}"#, r#"{"a":{"secret":"hunter3"}}"#, &["~ /a/secret: *** -> ***"]);
    let broken = lines(Some(br#"{"password":"hunter2"}"#), Some(br#"{"password":"hunter2","#)).concat();
    assert!(!broken.contains("hunter"), "{broken}");
}

#[test]
fn what_is_no_json_is_told_by_size_and_line() {
    let found = lines(Some(b"{\n\"a\":1\n}"), Some(b"{\n\"a\":\n}"));
    assert!(found[0].starts_with("the found file is no JSON: line 3"), "{found:?}");
    assert_eq!(found[1], "8 bytes, were 9; the first different line is 2");
    let found = lines(Some(b"x\ny"), Some(b"x"));
    assert!(found[0].starts_with("the blessed file is no JSON"), "{found:?}");
    assert_eq!(found[1], "1 bytes, were 3; the first different line is 2");
}

#[test]
fn whatever_is_compared_the_answer_is_short_and_without_control_characters() {
    let members: Vec<String> =
        (0..1000).map(|index| format!(r#""{}{index}":"{}\u001b[2J""#, "k".repeat(200), "v".repeat(500))).collect();
    let large = format!("{{{}}}", members.join(","));
    assert!(large.len() < DOCUMENT_BYTES);
    let found = lines(Some(b"{}"), Some(large.as_bytes()));
    assert_eq!(found.len(), LINES + 1);
    assert_eq!(found[LINES], "and 960 more");
    assert!(found.iter().all(|line| line.chars().count() < 200), "{found:?}");
    let found = lines(Some(b"{}"), Some("{\"a\\u001b\":\"\\u202e\"}".as_bytes()));
    assert!(!found.concat().contains(['\u{1b}', '\u{202e}']), "{found:?}");
}
