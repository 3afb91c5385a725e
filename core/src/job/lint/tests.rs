//! Lint: each rule once on a job that breaks it, and silence where nothing is wrong.

use std::format;
use std::string::String;
use std::vec::Vec;

use super::{Document, lint};
use crate::job::OperatingSystem;

/// The codes found, as `file/pointer code`, notes left out.
fn codes(files: &[(&str, &str)]) -> Vec<String> {
    let documents: Vec<Document<'_>> =
        files.iter().map(|(file, text)| Document { file, stem: file, bytes: text.as_bytes() }).collect();
    let told = |linted: super::Linted| {
        let findings =
            linted.findings.into_iter().filter(|finding| finding.severity > crate::job::finding::Severity::Note);
        findings.map(|finding| format!("{}{} {}", linted.file, finding.path, finding.code)).collect::<Vec<_>>()
    };
    lint(&documents, OperatingSystem::Linux).into_iter().flat_map(told).collect()
}

fn job(id: &str, rest: &str, tasks: &str) -> String {
    format!("{{ \"id\": \"{id}\", {rest} \"tasks\": [ {tasks} ] }}")
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(codes(&[("j", text)]), expected, "{text}");
}

#[test]
fn the_documented_samples_are_clean() {
    let texts =
        [include_str!("../../../tests/data/root-job.json"), include_str!("../../../tests/data/seed-001-job.json")];
    for text in texts {
        assert_eq!(codes(&[("secrets-scanner", text)]), Vec::<String>::new());
    }
}

#[test]
fn a_task_that_no_way_leads_to() {
    let tasks =
        r#"{"id":"a","command":"echo","onSuccess":"c"}, {"id":"b","command":"echo"}, {"id":"c","command":"echo"}"#;
    check(&job("j", "", tasks), &["j/tasks/1 unreachable-task"]);
    // A failure that goes on, or a condition that may be false, is a way.
    for way in [r#""continueOnFailure":true"#, r#""condition":"LastExitCode == 1""#] {
        let tasks = tasks.replacen(r#""onSuccess":"c""#, &format!("\"onSuccess\":\"c\",{way}"), 1);
        check(&job("j", "", &tasks), &[]);
    }
}

#[test]
fn a_circle_that_not_even_failure_leaves() {
    let tasks = r#"{"id":"a","command":"x","onSuccess":"b","onFailure":"b"}, {"id":"b","Command":"x","onSuccess":"a","onFailure":"a"}"#;
    check(&job("j", "", tasks), &["j/tasks/1/onSuccess route-circle", "j/tasks/0 cycle-without-exit"]);
    check(&job("j", "", &tasks.replace(r#","onFailure":"a""#, "")), &["j/tasks/1/onSuccess route-circle"]);
}

#[test]
fn conditions_that_never_hold() {
    let never = ["false", "1 > 2", "!(true)", "LastExitCode == 1 && LastExitCode == 2", "JobId == 'a' && JobId == 'b'"];
    for condition in never {
        let task = format!(r#"{{"id":"a","command":"echo","Condition":"{condition}"}}"#);
        check(&job("j", "", &task), &["j/tasks/0/Condition condition-never-holds"]);
    }
    for condition in ["true", "1 < 2", "LastExitCode == 1 || LastExitCode == 2", "JobId == '1' && JobId == '1.0'"] {
        let task = format!(r#"{{"id":"a","command":"echo","condition":"{condition}"}}"#);
        check(&job("j", "", &task), &[]);
    }
}

#[test]
fn tokens_that_nobody_sets() {
    let task = |more: &str| {
        format!(r#"{{"id":"a","command":"x","arguments":"{{Path}} {{JobId}} {{a.ExitCode}} {{rootdir}}"{more}}}"#)
    };
    check(&job("j", "", &task("")), &["j/tasks/0/arguments token-nobody-sets"]);
    check(&job("j", r#""parameters":[{"name":"PATH"}],"#, &task("")), &[]);
    check(&job("j", "", &task(r#","mergeStdoutJsonIntoContext":true"#)), &[]);
}

#[test]
fn an_event_topic_that_is_not_declared() {
    check(
        &job("j", r#""eventTopic":"T/x","#, r#"{"id":"a","command":"echo"}"#),
        &["j/eventTopic event-topic-not-declared"],
    );
}

#[test]
fn jobs_that_start_each_other() {
    let fires = |event: &str| format!(r#"{{"id":"f","command":"fire-event","arguments":"--event {event}"}}"#);
    let publishes = r#"{"id":"p","command":"publish-mqtt","arguments":"--topic EventMessages --payload '{\"eventName\":\"One\"}'"}"#;
    let a = job("a", r#""events":["one"],"#, &fires("Two"));
    let b = job("b", r#""events":["Two"],"#, publishes);
    let c = job("c", r#""events":["Two"],"#, &fires("Three"));
    let found = codes(&[("a", &a), ("b", &b), ("c", &c)]);
    assert_eq!(found, ["a/tasks/0/arguments event-loop", "b/tasks/0/arguments event-loop"]);
    assert_eq!(codes(&[("a", &a), ("c", &c)]), Vec::<String>::new());
    check(&job("j", r#""events":["Two"],"#, &fires("Two")), &["j/tasks/0/arguments event-loop"]);
}

#[test]
fn a_binary_of_a_job_and_a_plugin() {
    let plugin = include_str!("../../../tests/data/root-plugin.json");
    let task =
        r#"{"id":"a","command":"EchoBridge","executablePath":"/opt/castellan/Plugins/bin/EchoBridge/EchoBridge"}"#;
    let shared = job("j", "", task);
    assert_eq!(codes(&[("j", &shared), ("p", plugin)]), ["j/tasks/0/executablePath binary-of-job-and-plugin"]);
    assert_eq!(codes(&[("j", &job("j", "", r#"{"id":"a","command":"Echo"}"#)), ("p", plugin)]), Vec::<String>::new());
}

fn plugin(id: &str, topic: &str, members: &str) -> String {
    format!(
        r#"{{"id":"{id}","pluginType":"Executable","executablePath":"bin/{id}/{id}","supportedPlatforms":["Linux"],
        "subscription":{{"Topic":"{topic}"}},"metadata":{{"mqttTopics":{{"publish":[],"subscribe":[]}}}}{members}}}"#
    )
}

#[test]
fn a_topic_of_two_plugins_is_an_error_of_the_later_by_id() {
    let (a, b) = (plugin("a", "T", ""), plugin("b", "T", ""));
    let expect = ["b/subscription/Topic topic-taken"];
    assert_eq!(codes(&[("a", &a), ("b", &b)]), expect);
    assert_eq!(codes(&[("b", &b), ("a", &a)]), expect, "in whatever order they come");
    assert_eq!(codes(&[("a", &a), ("b", &plugin("b", "t", ""))]), Vec::<String>::new(), "topics differ by case");
    for out in [r#","enabled":false"#, ""] {
        let b = plugin("b", "T", out).replace("Linux", if out.is_empty() { "macOS" } else { "Linux" });
        assert_eq!(codes(&[("a", &a), ("b", &b)]), Vec::<String>::new(), "it does not run here");
    }
}

#[test]
fn a_circle_of_requires_is_an_error_of_all_in_it() {
    let requires = |id: &str, others: &str| plugin(id, id, &format!(r#","requires":[{others}]"#));
    let (a, b, c) = (requires("a", r#""x","b""#), requires("b", r#""c""#), requires("c", r#""a""#));
    let outside = requires("d", r#""a""#);
    let found = codes(&[("a", &a), ("b", &b), ("c", &c), ("d", &outside)]);
    assert_eq!(found, ["a/requires/1 requires-cycle", "b/requires/0 requires-cycle", "c/requires/0 requires-cycle"]);
    assert_eq!(codes(&[("a", &a), ("b", &b)]), Vec::<String>::new());
    let files = [("a", &a), ("b", &b), ("c", &c)];
    let documents = files.map(|(file, text)| Document { file, stem: file, bytes: text.as_bytes() });
    let message = lint(&documents, OperatingSystem::Linux)[1].findings[0].message.clone();
    assert!(message.contains("b requires c requires a requires b"), "{message}");
}

#[test]
fn what_is_required_and_can_never_be_ready_is_a_warning() {
    let a = plugin("a", "a", r#","requires":["KeeperLogger","b","elsewhere"]"#);
    let expect = ["a/requires/1 requires-never-ready"];
    let b = plugin("b", "b", "");
    assert_eq!(codes(&[("a", &a), ("b", &b)]), Vec::<String>::new());
    assert_eq!(codes(&[("a", &a), ("b", &plugin("b", "b", r#","enabled":false"#))]), expect);
    assert_eq!(codes(&[("a", &a), ("b", &b.replace("Linux", "macOS"))]), expect);
    assert_eq!(codes(&[("a", &a), ("B", &plugin("B", "b", ""))]), expect, "ids are read with their case");
}

#[test]
fn ids_of_plugins_are_unique() {
    let p = plugin("p", "p", "");
    assert_eq!(codes(&[("p", &p), ("q", &p)]), ["q/id duplicate-id"]);
}

#[test]
fn what_the_parser_refuses_is_an_error_and_ids_are_unique() {
    let twice = job("j", "", r#"{"id":"a","command":"echo"}"#);
    assert_eq!(codes(&[("j", &twice), ("k", &twice)]), ["k/id duplicate-id"]);
    let modes = job(
        "j",
        r#""schedule":{"intervalMinutes":5,"cronExpression":"0 1 * * *"},"#,
        r#"{"id":"a","command":"echo","onSuccess":"z"}"#,
    );
    check(&modes, &["j/schedule schedule-several-modes", "j/tasks/0/onSuccess route-unknown-task"]);
    check(&job("a_b", "", r#"{"id":"a","command":"echo"}"#), &["j/id id-underscore"]);
    check("{", &["j malformed-json"]);
    assert_eq!(codes(&[("j", "1")]).len(), 1, "{}", codes(&[("j", "1")])[0]);
}
