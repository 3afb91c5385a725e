//! Plugins, settings and events at the command line.

use serde_json::json;

use super::{document, fails, ok};
use crate::support::{Stage, command, ended, eventually, spawn};

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
    agent.stop();
}

#[test]
fn what_a_plugin_wrote_is_shown_without_its_secrets() {
    let stage = Stage::new();
    let mut bridge = stage.puppet_plugin("Bridge", &[], &[]);
    bridge["metadata"]["token"] = json!("hunter2");
    bridge["secretSettings"] = json!(["metadata.token"]);
    stage.plugin(&bridge);
    let agent = stage.start();
    let mut first = stage.puppet("Bridge");
    let pid = first.pid();
    first.order(&json!({ "do": "write", "stderr": "opened with hunter2\n\u{1b}[2J" }));
    let shown = |wanted: &str| {
        eventually(wanted, || {
            Some(ok(&stage, &["plugins", "logs", "bridge", "--stdio"])).filter(|out| out.contains(wanted))
        })
    };
    let out = shown("opened with ***");
    assert!(out.starts_with(&format!("process {pid} runs\nstdout: nothing\nstderr:\n")), "{out}");
    assert!(!out.contains(['\u{1b}']) && !out.contains("hunter2"), "{out}");
    first.exit(3, "last words");
    let out = shown("ended: it exited with code 3\nstdout:\n  last words\n");
    assert!(out.starts_with(&format!("process {pid} ended")), "{out}");
    let second = stage.puppet("Bridge");
    let output = eventually("both processes", || {
        let output = document(&stage, &["plugins", "logs", "Bridge", "--stdio"]);
        (output["processes"].as_array().unwrap().len() == 2).then_some(output)
    });
    assert_eq!(
        (&output["processes"][0]["processId"], &output["processes"][0]["stdout"]),
        (&json!(pid), &json!("last words"))
    );
    assert_eq!(
        (&output["processes"][1]["processId"], &output["processes"][1]["running"]),
        (&json!(second.pid()), &json!(true))
    );
    assert_eq!(agent.anonymous("GET", "/api/plugins/Bridge/output").send().status, 403);
    agent.stop();
}

#[test]
fn settings_are_stored_explained_and_reverted() {
    let stage = Stage::new();
    let mut bridge = stage.puppet_plugin("Bridge", &[], &[]);
    bridge["autoStart"] = json!(false);
    stage.plugin(&bridge);
    let agent = stage.start();
    let stored = |stage| ok(stage, &["settings", "get", "bridge", "metadata.greeting"]);
    assert_eq!(stored(&stage), "hello\n");
    let set = ["settings", "set", "Bridge", "metadata.greeting"];
    assert!(ok(&stage, &[&set[..], &["30", "--dry-run"]].concat()).ends_with("(dry run)\n"));
    assert_eq!(stored(&stage), "hello\n");
    assert_eq!(ok(&stage, &[&set[..], &["30"]].concat()), "Bridge: metadata.greeting = 30\n");
    assert_eq!(stored(&stage), "30\n");
    let explained = document(&stage, &["settings", "explain", "Bridge", "METADATA.greeting"]);
    let setting = &explained["metadata.greeting"];
    assert_eq!((&setting["layer"], &setting["writer"]), (&json!("storage"), &json!("admin:client")));
    let table = ok(&stage, &["settings", "explain", "Bridge"]);
    let line = table.lines().find(|line| line.starts_with("metadata.greeting ")).unwrap();
    assert!(line.contains(" storage ") && line.ends_with(" hello"), "{line}");
    assert!(fails(command(&stage, &["settings", "explain", "Bridge", "nothing"]), 3).contains("'nothing'"));

    assert!(fails(command(&stage, &["settings", "revert", "Bridge"]), 2).contains("--yes"));
    assert!(ok(&stage, &["settings", "revert", "Bridge", "--dry-run"]).ends_with("(dry run)\n"));
    assert_eq!(stored(&stage), "30\n");
    ok(&stage, &["settings", "revert", "Bridge", "--yes"]);
    assert_eq!(stored(&stage), "hello\n");
    assert!(ok(&stage, &["settings", "revert", "--all", "--yes"]).contains("every plugin"));
    let error = fails(command(&stage, &["settings", "set", "KeeperPrivilegeManager", "a", "1"]), 1);
    assert!(error.contains("appsettings.json"), "{error}");
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
