//! What all commands have in common: forms, colours, who may ask, and no agent to ask.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use serde_json::{Value, json};

use super::{document, fails, ok};
use crate::support::{Stage, binary, command, deploy, ended, is_root, say, skipped, spawn, terminal};

/// One command of each noun that asks the running agent.
const ASKING: [&[&str]; 9] = [
    &["status"],
    &["jobs", "list"],
    &["jobs", "apply", "/dev/null"],
    &["runs", "list"],
    &["plugins", "stop", "Any"],
    &["settings", "get", "Any"],
    &["events", "emit", "Any"],
    &["why", "denied"],
    &["lkg", "diff", "Jobs/any"],
];

#[test]
fn without_an_agent_the_exit_code_is_5_and_without_the_right_4() {
    let stage = Stage::new();
    for arguments in ASKING {
        assert!(fails(command(&stage, arguments), 5).contains("castellan run --root"), "{arguments:?}");
    }
    if !is_root() {
        return skipped("what an ordinary user is told: the tests do not run as root");
    }
    stage.job(&json!({ "id": "scan", "tasks": [{ "id": "t", "command": "echo" }] }));
    let agent = stage.start();
    let place = tempfile::tempdir().unwrap();
    let program = place.path().join("castellan");
    deploy(|| fs::copy(binary(), &program)).unwrap();
    for folder in [place.path(), stage.folder()] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let reading: [&[&str]; 5] = [
        &["logs"],
        &["admin", "list"],
        &["doctor"],
        &["why-not", "scan"],
        &["schedule", "preview", "scan", "--past", "1d"],
    ];
    for arguments in ASKING.iter().chain(&reading) {
        let mut other = command(&stage, arguments);
        let mut own = Command::new(&program);
        own.args(other.get_args()).uid(65534).gid(65534).stderr(std::process::Stdio::piped());
        assert!(fails(own, 4).contains("sudo"), "{arguments:?}");
        other.stdin(std::process::Stdio::null());
    }
    agent.stop();
}

#[test]
fn one_answer_in_every_form() {
    let stage = Stage::new();
    stage.job(&json!({ "id": "scan", "name": "A \u{1b}[31mname", "schedule": { "runAt": "2100-01-01T00:00:00Z" },
        "tasks": [{ "id": "t", "command": "echo" }] }));
    let agent = stage.start();
    agent.run("scan");
    let json = document(&stage, &["jobs", "list"]);
    assert_eq!(json[0]["id"], "scan");
    assert_eq!(ok(&stage, &["jobs", "list", "--json"]), ok(&stage, &["jobs", "list", "-o", "json"]));
    let yaml = ok(&stage, &["jobs", "list", "-o", "yaml"]);
    assert!(yaml.contains("  id: scan\n") && yaml.contains("\n  lastOutcome: Succeeded\n"), "{yaml}");
    assert_eq!(ok(&stage, &["jobs", "list", "-o", "name"]), "scan\n");
    let wide = ok(&stage, &["jobs", "list", "-o", "wide"]);
    assert!(wide.contains("NAME") && wide.contains("A \\u001b[31mname") && !wide.contains('\u{1b}'), "{wide}");
    let instant = json[0]["nextRun"].as_str().unwrap();
    assert!(ok(&stage, &["jobs", "list"]).contains(instant), "a pipe gets RFC 3339");

    let status = ok(&stage, &["status"]);
    for part in [&format!("HTTPS {}", agent.https), "1 of 1 jobs enabled", "\nscan  enabled"] {
        assert!(status.contains(part), "{part}: {status}");
    }
    let found = document(&stage, &["status"]);
    assert_eq!((&found["ports"]["mqtt"], &found["jobs"], &found["runs"]), (&json!(agent.mqtt), &json, &json!([])));
    agent.stop();
}

#[test]
fn a_terminal_gets_colours_and_near_times() {
    let stage = Stage::new();
    stage.script("Fail", "exit 1");
    stage.job(
        &json!({ "id": "bad", "schedule": { "intervalMinutes": 60 }, "tasks": [{ "id": "t", "command": "Fail" }] }),
    );
    let agent = stage.start();
    agent.run("bad");
    let Some((code, shown)) = terminal(&stage, "jobs list", "") else { return agent.stop() };
    assert!(code == 0 && shown.contains("\u{1b}[31mFailed\u{1b}[0m") && shown.contains("in 59m"), "{shown}");
    for plain in ["jobs list --no-color", "jobs list -o wide --no-color"] {
        let (_, shown) = terminal(&stage, plain, "").unwrap();
        assert!(!shown.contains('\u{1b}') && shown.contains("Failed"), "{shown}");
    }
    let (code, shown) = terminal(&stage, "jobs run bad", "").unwrap();
    assert!(code == 1 && shown.contains("\r\u{1b}[K"), "progress is wiped: {shown}");
    let mut quiet = Command::new("script");
    let line = format!("{} jobs list --root {}", binary().display(), stage.root().display());
    quiet.args(["--quiet", "--command", &line, "/dev/null"]).env("NO_COLOR", "1").env("TERM", "xterm");
    let (_, shown, _) = say({
        quiet.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped());
        quiet
    });
    assert!(shown.contains("Failed") && !shown.contains('\u{1b}'), "{shown}");
    agent.stop();
}

#[test]
fn a_reader_that_has_gone_is_told_nothing() {
    let stage = Stage::new();
    stage.start().stop();
    let mut logs = spawn(&mut command(&stage, &["logs", "--follow"]));
    drop(logs.stdout.take());
    // It has lines to print from the start; the first one finds nobody.
    let (code, _, error) = ended(logs.wait_with_output().unwrap());
    assert_eq!((code, error.as_str()), (141, ""));
}

#[test]
fn a_watch_in_a_pipe_adds_the_changed_lines() {
    let stage = Stage::new();
    stage.job(&json!({ "id": "scan", "tasks": [{ "id": "t", "command": "echo" }] }));
    let agent = stage.start();
    let mut watch = spawn(&mut command(&stage, &["runs", "list", "--watch"]));
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "No runs.");
    agent.run("scan");
    let changed: Vec<String> = lines.by_ref().take(2).map(Result::unwrap).collect();
    assert!(changed[0].starts_with("RUN ") && changed[1].starts_with("1-1 "), "{changed:?}");
    agent.run("scan");
    assert!(lines.next().unwrap().unwrap().starts_with("1-2 "), "what has not changed is not said again");
    watch.kill().unwrap();
    watch.wait().unwrap();
    assert!(fails(command(&stage, &["jobs", "list", "--watch", "-o", "json"]), 2).contains("--watch"));
    let listed: Value = document(&stage, &["runs", "list"]);
    assert_eq!(listed.as_array().unwrap().len(), 2);
    agent.stop();
}
