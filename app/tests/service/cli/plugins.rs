//! Plugins, settings and events at the command line.

use serde_json::json;

use super::{document, fails, ok};
use crate::support::{Stage, command, ended, spawn};

#[test]
fn plugins_are_listed_stopped_and_started() {
    let stage = Stage::new();
    stage.plugin(&stage.puppet_plugin("Bridge", &["KeeperLogger"], &[]));
    let agent = stage.start();
    let mut bridge = stage.puppet("Bridge");
    bridge.connect_plugin(agent.mqtt);
    bridge.log("a word of its own");
    agent.logged_message("Test", "a word of its own");
    let listed = document(&stage, &["plugins", "list"]);
    assert_eq!((&listed[0]["id"], &listed[0]["processId"]), (&json!("Bridge"), &json!(bridge.pid())));
    assert!(ok(&stage, &["plugins", "show", "bridge"]).contains(&format!("processId: {}\n", bridge.pid())));
    assert!(ok(&stage, &["plugins", "logs", "bridge"]).contains("Test: a word of its own\n"));

    assert_eq!(ok(&stage, &["plugins", "stop", "BRIDGE", "--wait"]).lines().count(), 1);
    assert_eq!(document(&stage, &["plugins", "show", "Bridge"])["processId"], json!(null));
    let starting = spawn(&mut command(&stage, &["plugins", "start", "Bridge", "--wait"]));
    let mut bridge = stage.puppet("Bridge");
    bridge.connect_plugin(agent.mqtt);
    let (code, out, error) = ended(starting.wait_with_output().unwrap());
    assert_eq!((code, out.as_str()), (0, "Bridge: Running, Healthy\n"), "{error}");
    assert!(fails(command(&stage, &["plugins", "start", "Bridg"]), 3).contains("did you mean 'Bridge'?"));
    assert_eq!(ok(&stage, &["settings", "get", "Bridge", "metadata.greeting"]), "hello\n");
    assert_eq!(document(&stage, &["settings", "get", "Bridge"])["metadata.greeting"], "hello");
    assert!(fails(command(&stage, &["settings", "revert", "Bridge"]), 2).contains("--yes"));
    agent.stop();
}

#[test]
fn an_event_starts_the_jobs_that_wait_for_it() {
    let stage = Stage::new();
    let tasks = json!([{ "id": "t", "command": "echo", "arguments": "{Path}" }]);
    stage.job(&json!({ "id": "waits", "events": ["Wanted"], "tasks": tasks }));
    stage.job(&json!({ "id": "lacks", "events": ["Wanted"], "tasks": tasks,
        "parameters": [{ "name": "Other", "type": "string", "required": true }] }));
    let agent = stage.start();
    let out = ok(&stage, &["events", "emit", "Wanted", "--context", "{\"Path\":\"/etc\"}"]);
    assert!(out.contains("run 1-1 of job waits\n") && out.contains("job lacks did not run: "), "{out}");
    agent.finished("1-1");
    assert_eq!(ok(&stage, &["runs", "logs", "1-1", "--task", "t"]), "/etc\n");
    assert_eq!(ok(&stage, &["events", "emit", "Unheard"]), "no job waits for Unheard\n");
    agent.stop();
}
