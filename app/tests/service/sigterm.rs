//! Point 7, first half: SIGTERM stops every tree, closes the sessions and ends with 0.

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Stage, eventually, has_cgroups, lives, processes_naming, skipped};

#[test]
fn sigterm_ends_tasks_and_plugins_with_all_they_started() {
    let stage = Stage::new();
    stage.plugin(&stage.puppet_plugin("Bridge", &[], &[]));
    stage.job(&stage.puppet_job("scan", &["KeeperLogger"], &[]));
    stage.script("Stubborn", "trap '' TERM\n: > \"$1\"\nwhile :; do sleep 1; done");
    let mark = stage.folder().join("stubborn-runs");
    stage.job(&json!({
        "id": "stubborn",
        "tasks": [ { "id": "stay", "command": "Stubborn", "arguments": format!("\"{}\"", mark.display()) } ]
    }));
    let mut agent = stage.start();
    let mut plugin = stage.puppet("Bridge");
    plugin.connect_plugin(agent.mqtt);
    let run = agent.trigger("scan");
    agent.trigger("stubborn");
    let mut task = stage.puppet("scan");
    task.connect(agent.mqtt);

    // A double fork: the middle one ends, the grandchild is nobody's child any more.
    task.spawn("middle");
    let mut middle = stage.puppet("middle");
    middle.spawn("daemon");
    let mut daemon = stage.puppet("daemon");
    middle.exit(0, "");
    if has_cgroups(&agent) {
        daemon.order(&json!({ "do": "leave-session" }));
    } else {
        skipped("a daemon that leaves its session; without cgroups nothing holds it");
    }
    eventually("the stubborn task", || mark.exists().then_some(()));

    let running = processes_naming(&stage.folder().display().to_string());
    assert!(
        running.len() >= 5,
        "agent, plugin, two tasks and the daemon are found by the check for what is left: {running:?}"
    );
    agent.signal(Signal::TERM);
    let status = agent.exited();
    assert_eq!(status.code(), Some(0), "{status}: {}", agent.stderr());
    for (puppet, what) in [(&mut plugin, "plugin"), (&mut task, "task"), (&mut daemon, "daemon")] {
        puppet.expect_gone();
        assert!(!lives(puppet.pid()), "the {what} is left");
    }
    agent.assert_nothing_left();
    assert_eq!((agent.stdout(), agent.stderr()), (String::new(), String::new()));

    let again = stage.start();
    let record = again.finished(&run);
    assert_eq!(record["outcome"], "Canceled", "{record}");
    assert!(record["reason"].as_str().unwrap().contains("the agent was stopped"), "{record}");
    stage.puppet("Bridge");
    again.stop();
}

#[test]
fn sigint_stops_an_idle_agent_as_well() {
    let stage = Stage::new();
    let mut agent = stage.start();
    agent.signal(Signal::INT);
    assert_eq!(agent.exited().code(), Some(0));
    agent.assert_nothing_left();
}
