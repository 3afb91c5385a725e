//! Runs: listed, shown with their routes, followed, and ended.

use std::process::Stdio;

use serde_json::json;

use super::{document, fails, ok};
use crate::support::{Stage, command, ended, say, spawn};

#[test]
fn runs_are_listed_shown_and_read() {
    let stage = Stage::new();
    stage.job(&json!({ "id": "good", "tasks": [ { "id": "one", "command": "echo", "arguments": "first" },
        { "id": "two", "command": "echo", "arguments": "second", "onSuccess": "end" } ] }));
    stage.script("Fail", "exit 7");
    stage.job(&json!({ "id": "bad", "tasks": [{ "id": "t", "command": "Fail" }] }));
    let agent = stage.start();
    for job in ["good", "bad", "good"] {
        agent.run(job);
    }
    assert_eq!(ok(&stage, &["runs", "list", "-o", "name"]), "1-3\n1-2\n1-1\n");
    assert_eq!(ok(&stage, &["runs", "list", "-o", "name", "--job", "GOOD", "--limit", "1"]), "1-3\n");
    assert_eq!(ok(&stage, &["runs", "list", "-o", "name", "--job", "good", "--before", "1-3"]), "1-1\n");
    assert_eq!(ok(&stage, &["runs", "list", "-o", "name", "--outcome", "failed"]), "1-2\n");
    let table = ok(&stage, &["runs", "list"]);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["RUN", "JOB", "OUTCOME", "STARTED", "TOOK"]);
    assert_eq!((lines[2][..3].to_vec(), lines.len()), (vec!["1-2", "bad", "Failed"], 4));
    assert!(!table.contains('\u{1b}') && lines[1][3].ends_with('Z'), "{table}");

    let shown = ok(&stage, &["runs", "show", "1-1"]);
    for part in ["run 1-1 of job good: Succeeded", "To 'two'. Next in the list.", "two   Succeeded"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(document(&stage, &["runs", "show", "1-2"])["tasks"][0]["exitCode"], 7);
    assert_eq!(ok(&stage, &["runs", "logs", "1-1"]), "one: first\ntwo: second\n");
    assert_eq!(ok(&stage, &["runs", "logs", "1-1", "--task", "two"]), "second\n");
    assert!(fails(command(&stage, &["runs", "logs", "1-1", "--task", "three"]), 3).contains("'three'"));
    assert_eq!(say(command(&stage, &["runs", "watch", "1-1"])).0, 0);
    assert!(fails_after_note(&stage, &["runs", "watch", "1-2"]).contains("It exited with code 7"));

    assert!(fails(command(&stage, &["runs", "show", "1-"]), 2).contains("3 runs: 1-3, 1-2, 1-1"));
    assert!(fails(command(&stage, &["runs", "show", "9"]), 3).contains("no run '9'"));
    assert!(fails(command(&stage, &["runs", "list", "--outcome", "fine"]), 2).contains("TimedOut"));
    agent.stop();
}

#[track_caller]
fn fails_after_note(stage: &Stage, arguments: &[&str]) -> String {
    let (code, _, error) = say(command(stage, arguments));
    assert_eq!(code, 1, "{error}");
    error
}

#[test]
fn a_run_is_followed_and_canceled() {
    let stage = Stage::new();
    stage.job(&stage.puppet_job("long", &[], &[]));
    let agent = stage.start();
    let id = agent.trigger("long");
    let puppet = stage.puppet("long");
    // The only run: the beginning of its id is enough.
    let followed = spawn(&mut command(&stage, &["runs", "logs", "1", "--follow"]));
    puppet.exit(0, "told");
    let (code, out, error) = ended(followed.wait_with_output().unwrap());
    assert_eq!((code, out.as_str()), (0, "act: told\n"), "{error}");

    let second = agent.trigger("long");
    let mut puppet = stage.puppet("long");
    let (code, _, error) = say(command(&stage, &["runs", "watch", &second, "--timeout", "1"]));
    assert!(code == 1 && error.contains("has not ended after 1 seconds"), "{error}");
    let watched = spawn(command(&stage, &["runs", "watch", &second]).stdin(Stdio::null()));
    assert_eq!(ok(&stage, &["runs", "cancel", &second, "--wait"]), format!("run {second} ended: Canceled\n"));
    puppet.expect_gone();
    let (code, _, error) = ended(watched.wait_with_output().unwrap());
    assert!(code == 1 && error.contains("Canceled"), "{error}");
    assert!(fails(command(&stage, &["runs", "cancel", &id]), 1).contains("ended already"));
    agent.stop();
}
