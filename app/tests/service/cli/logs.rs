//! The agent's log at the command line.

use std::io::{BufRead, BufReader};

use serde_json::{Value, json};

use super::{fails, ok};
use crate::support::{Stage, command, spawn};

#[test]
fn the_log_is_filtered_and_followed() {
    let stage = Stage::new();
    assert!(fails(command(&stage, &["logs"]), 3).contains("no agent ever ran there"));
    for id in ["one", "two"] {
        stage.job(&json!({ "id": id, "tasks": [{ "id": "t", "command": "echo" }] }));
    }
    let agent = stage.start();
    agent.run("one");
    agent.run("two");
    agent.logged_message("RunFinished", "Run 1-2");
    let out = ok(&stage, &["logs", "--job", "ONE", "-o", "json"]);
    let records: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!records.is_empty() && records.iter().all(|record| record["component"] == "job:one"), "{out}");
    assert_eq!(ok(&stage, &["logs", "--since", "2000-01-01T00:00:00Z"]), ok(&stage, &["logs"]));
    assert_eq!(ok(&stage, &["logs", "--level", "critical", "--since", "1h"]), "");
    let last = ok(&stage, &["logs", "--job", "two", "-n", "1"]);
    assert!(last.lines().count() == 1 && last.contains(" Information job:two RunFinished: Run 1-2 "), "{last}");
    let of_run = ok(&stage, &["logs", "--run", "1-2", "-o", "json"]);
    assert!(of_run.lines().count() > 1 && of_run.lines().all(|line| line.contains(r#""runId":"1-2""#)), "{of_run}");
    let finished = ok(&stage, &["logs", "--category", "runfinished", "--grep", "RUN 1-1 "]);
    assert!(finished.lines().count() == 1 && finished.contains("job:one RunFinished: Run 1-1 "), "{finished}");
    assert_eq!(ok(&stage, &["logs", "--grep", "said by nobody"]), "");
    assert!(say_usage(&stage).contains("'loud' is no level"));

    let mut follower = spawn(&mut command(&stage, &["logs", "--follow", "--job", "two", "-n", "1"]));
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), last.trim_end());
    agent.run("one");
    agent.run("two");
    let next = lines.next().unwrap().unwrap();
    assert!(next.contains("job:two") && next.contains("1-4"), "{next}");
    follower.kill().unwrap();
    follower.wait().unwrap();
    agent.stop();
    assert!(ok(&stage, &["logs", "--job", "two"]).contains("Run 1-4"), "it needs no running agent");
}

#[track_caller]
fn say_usage(stage: &Stage) -> String {
    let (code, _, error) = crate::support::say(command(stage, &["logs", "--level", "loud"]));
    assert_eq!(code, 2, "{error}");
    error
}
