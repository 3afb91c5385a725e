//! Point 3: the log. One JSON object a line with fixed members; readable on a terminal, whatever a message contains.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{Agent, Stage, binary, eventually, has_program, log_message, spawn};

const MEMBERS: [&str; 11] = [
    "timestamp",
    "level",
    "source",
    "category",
    "message",
    "correlationId",
    "context",
    "clientId",
    "pid",
    "component",
    "runId",
];

/// A second line, a terminal command, a line end of Unicode and a reversal of direction.
const HOSTILE: &str = "first\nsecond\r\u{1b}[2J\u{7}\u{2028}\u{202e}end {\"level\":\"Critical\"}";

fn told_by_a_task<'s>(stage: &'s Stage) -> Agent<'s> {
    stage.job(&stage.puppet_job("scan", &["KeeperLogger"], &[]));
    let agent = stage.start();
    agent.trigger("scan");
    let mut task = stage.puppet("scan");
    task.connect(agent.mqtt);
    task.log(HOSTILE);
    let mut message = log_message("with everything");
    message["MetaData"]["LogLevel"] = json!("Warning");
    message["MetaData"]["Context"] = json!("line one\nline two");
    task.publish("KeeperLogger", &message.to_string());
    task.exit(0, "");
    agent.logged_message("Test", "with everything");
    agent
}

#[test]
fn every_line_is_one_object_with_exactly_these_members() {
    let stage = Stage::new();
    let agent = told_by_a_task(&stage);
    agent.stop();

    let text = fs::read_to_string(stage.root().join("state/logs/agent.jsonl")).unwrap();
    assert!(text.ends_with('\n'));
    assert!(!text.chars().any(|letter| letter.is_control() && letter != '\n'), "a control character is in the file");
    let expected: BTreeSet<&str> = MEMBERS.into();
    let levels = ["Trace", "Debug", "Information", "Warning", "Error", "Critical"];
    let mut of_task = Vec::new();
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let members: BTreeSet<&str> = record.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, expected, "{line}");
        assert!(levels.contains(&record["level"].as_str().unwrap()), "{line}");
        assert!(record["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
        let component = record["component"].as_str().unwrap();
        assert!(component == "agent" || component.starts_with("job:") || component.starts_with("plugin:"), "{line}");
        if record["source"] == "Puppet" {
            of_task.push(record);
        }
    }
    let [hostile, full] = of_task.as_slice() else { panic!("{of_task:?}") };
    assert_eq!(
        hostile["message"], "first\\nsecond\\r\\u001b[2J\\u0007\\u2028\\u202eend {\"level\":\"Critical\"}",
        "what would make a second line or steer a terminal is visible text"
    );
    assert_eq!((&full["level"], &full["context"]), (&json!("Warning"), &json!("line one\\nline two")));
    assert_eq!((&full["correlationId"], &full["category"]), (&json!("trace-7"), &json!("Test")));
}

#[test]
fn what_is_not_a_log_message_is_refused_on_record() {
    let stage = Stage::new();
    stage.job(&stage.puppet_job("scan", &["KeeperLogger"], &[]));
    let agent = stage.start();
    agent.trigger("scan");
    let mut task = stage.puppet("scan");
    task.connect(agent.mqtt);
    let mut wrong_type = log_message("of a wrong type");
    wrong_type["MetaData"]["MessageType"] = json!(3);
    let long = "x".repeat(65 * 1024);
    for payload in [
        "not JSON",
        "[]",
        "{}",
        &log_message("  ").to_string(),
        &wrong_type.to_string(),
        &log_message(&long).to_string(),
    ] {
        task.publish("KeeperLogger", payload);
        task.log("a good one in between");
    }
    let log_denials = || -> Vec<Value> {
        let denials = agent.call("GET", "/api/denials").send().json();
        denials.as_array().unwrap().iter().filter(|denial| denial["action"] == "log").cloned().collect()
    };
    let denials = eventually("six refusals on record", || Some(log_denials()).filter(|denials| denials.len() == 6));
    for denial in &denials {
        assert_eq!((&denial["component"], &denial["target"]), (&json!("job:scan"), &json!("KeeperLogger")), "{denial}");
        assert!(!denial["why"].as_str().unwrap().is_empty(), "{denial}");
    }
    task.exit(0, "");
    agent.stop();
}

#[test]
fn on_a_terminal_the_log_is_readable() {
    if !has_program("script", "the log on a terminal") {
        return;
    }
    let stage = Stage::new();
    stage.job(&json!({
        "id": "at-start",
        "events": ["Startup"],
        "tasks": [ { "id": "say", "command": "log-message", "arguments": "--level Warning --message \"two\twords\"" } ]
    }));
    let command = format!("exec {} run --root {}", quoted(&binary()), quoted(&stage.root()));
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--flush", "--command", &command]).arg(stage.folder().join("typescript"));
    script.env("SHELL", "/bin/sh").env_remove("NO_COLOR").stdin(Stdio::null()).stdout(Stdio::null());
    let mut terminal = spawn(&mut script);
    let screen = || fs::read_to_string(stage.folder().join("typescript")).unwrap_or_default();
    let pid = eventually("the agent in the terminal", || {
        assert_eq!(terminal.try_wait().unwrap(), None, "{}", screen());
        let ports: Value = serde_json::from_slice(&fs::read(stage.root().join("state/ports.json")).ok()?).ok()?;
        ports["pid"].as_i64()
    });
    let shown = eventually("the warning on the screen", || Some(screen()).filter(|text| text.contains("two")));
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::TERM).unwrap();
    assert!(terminal.wait().unwrap().success(), "{}", screen());
    let line =
        |text: &str| shown.lines().find(|line| line.contains(text)).unwrap_or_else(|| panic!("{shown}")).to_owned();
    let ready = line("is ready:");
    assert!(ready.contains("\u{1b}[32mINFO \u{1b}[0m agent  Castellan"), "{ready:?}");
    let warning = line("two");
    assert!(warning.contains("\u{1b}[33mWARN \u{1b}[0m job:at-start  two\\twords"), "{warning:?}");
    assert!(!shown.contains('{'), "no JSON on a terminal: {shown}");
}

fn quoted(path: &std::path::Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}
