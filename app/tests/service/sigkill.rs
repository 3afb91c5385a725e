//! Point 7, second half: SIGKILL of the agent. What it leaves has no access any more, and the next start tidies up.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{Stage, cgroups_of, has_cgroups, lives};

#[test]
fn after_sigkill_orphans_are_ended_and_everything_works_again() {
    let stage = Stage::new();
    stage.plugin(&stage.puppet_plugin("Bridge", &[], &[]));
    stage.job(&stage.puppet_job("scan", &["KeeperLogger"], &[]));
    let agent = stage.start();
    let cgroups = has_cgroups(&agent);
    let mut plugin = stage.puppet("Bridge");
    plugin.connect_plugin(agent.mqtt);
    let run = agent.trigger("scan");
    let mut task = stage.puppet("scan");
    task.connect(agent.mqtt);
    task.spawn("middle");
    let mut middle = stage.puppet("middle");
    middle.spawn("daemon");
    let mut daemon = stage.puppet("daemon");
    middle.exit(0, "");
    if cgroups {
        assert_ne!(
            cgroups_of(agent.pid()),
            Vec::<PathBuf>::new(),
            "the check for cgroups that are left looks elsewhere"
        );
        daemon.order(&json!({ "do": "leave-session" }));
    }
    let (mqtt, killed) = (agent.mqtt, agent.pid());
    agent.kill();

    task.expect_gone();
    plugin.expect_gone();
    assert!(lives(daemon.pid()), "what tasks and plugins started themselves is what SIGKILL leaves");
    let refused = daemon.connect_as(mqtt, &format!("scan_Daemon_{}", daemon.pid()));
    assert_eq!(refused["event"], "closed", "nobody listens: {refused}");

    let agent = stage.start();
    for (orphan, what) in [(&plugin, "plugin"), (&task, "task"), (&daemon, "daemon")] {
        assert!(!lives(orphan.pid()), "the {what} outlived the next start");
    }
    daemon.expect_gone();
    assert_eq!(cgroups_of(killed), Vec::<PathBuf>::new());
    agent.logged_message("Start", "What a former agent had left running");

    let lost = agent.call("GET", &format!("/api/runs/{run}")).send().json();
    assert_eq!((&lost["outcome"], &lost["status"]), (&json!("Lost"), &json!("Lost")), "{lost}");
    assert!(lost["finishedAt"].is_string() && lost["reason"].is_string(), "{lost}");
    agent.logged_message("RunLost", &run);

    let mut plugin = stage.puppet("Bridge");
    plugin.connect_plugin(agent.mqtt);
    let next = agent.trigger("scan");
    assert_ne!(next, run, "run ids are never used again");
    let mut task = stage.puppet("scan");
    assert_eq!(task.get("/api/PluginSettings/KeeperPrivilegeManager").0, 200);
    task.connect(agent.mqtt);
    task.log("back at work");
    agent.logged_message("Test", "back at work");
    task.exit(0, "");
    assert_eq!(agent.finished(&next)["outcome"], "Succeeded");
    let outcomes: Vec<Value> = agent.runs("scan").iter().map(|run| run["outcome"].clone()).collect();
    assert_eq!(outcomes, [json!("Succeeded"), json!("Lost")]);
    agent.stop();
}

#[test]
fn a_second_sigkill_changes_nothing() {
    let stage = Stage::new();
    stage.job(&stage.puppet_job("scan", &[], &[]));
    let mut lost = Vec::new();
    for _ in 0..3 {
        let agent = stage.start();
        lost.insert(0, agent.trigger("scan"));
        stage.puppet("scan");
        agent.kill();
    }
    let agent = stage.start();
    let runs = agent.runs("scan");
    let ids: Vec<&str> = runs.iter().map(|run| run["runId"].as_str().unwrap()).collect();
    assert_eq!(ids, lost);
    assert!(runs.iter().all(|run| run["outcome"] == "Lost"), "{runs:?}");
    agent.stop();
}
