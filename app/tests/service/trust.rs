//! Point 2, the other side: who is not let in, and what the refusal says.

use std::process::{Child, Command};

use serde_json::{Value, json};

use crate::support::{Agent, Puppet, Stage, spawn};

/// The deployed puppet, started by hand and ended with the test.
struct Stranger {
    child: Child,
    puppet: Puppet,
}

impl Stranger {
    fn start(stage: &Stage, agent: &Agent<'_>) -> Self {
        let mut arguments = stage.puppet_arguments("stranger");
        arguments[2] = format!("https://127.0.0.1:{}", agent.https);
        let mut command = Command::new(stage.deploy_puppet());
        let child = spawn(command.args(arguments).env("KEEPER_JOB_ID", "scan"));
        Self { child, puppet: stage.puppet("stranger") }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn refused(code: &str) -> Value {
    json!({ "event": "refused", "code": code })
}

fn denials(agent: &Agent<'_>) -> Vec<Value> {
    agent.call("GET", "/api/denials").send().json().as_array().unwrap().clone()
}

#[test]
fn the_same_program_started_by_hand_is_nobody() {
    let stage = Stage::new();
    stage.job(&stage.puppet_job("scan", &["KeeperLogger"], &[]));
    let agent = stage.start();
    let mut stranger = Stranger::start(&stage, &agent);

    let (status, body) = stranger.puppet.get("/api/PluginSettings/KeeperPrivilegeManager");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["tierNeeded"], &body["tierHeld"]), (403, &json!("Plugin"), &json!("Public")), "{body}");
    assert!(body["fix"].as_str().unwrap().contains("task of a job"), "{body}");

    let id = format!("scan_Puppet_{}", stranger.puppet.pid());
    assert_eq!(stranger.puppet.connect_as(agent.mqtt, &id), refused("NotAuthorized"));
    assert_eq!(stranger.puppet.connect_v4_as(agent.mqtt, &id), refused("NotAuthorized"));

    agent.trigger("scan");
    let task = stage.puppet("scan");
    let of_task = format!("scan_Puppet_{}", task.pid());
    assert_eq!(
        stranger.puppet.connect_as(agent.mqtt, &of_task),
        refused("NotAuthorized"),
        "the process id of a living task does not help"
    );
    let (status, _) = stranger.puppet.get("/api/PluginSettings/KeeperPrivilegeManager");
    assert_eq!(status, 403, "nor does the task's being there");
    task.exit(0, "");
    drop(stranger);

    let denials = denials(&agent);
    let connects: Vec<&Value> = denials.iter().filter(|denial| denial["action"] == "connect").collect();
    let own = connects.iter().find(|denial| denial["clientId"] == id.as_str()).unwrap();
    assert_eq!(own["executable"], stage.deploy_puppet().display().to_string(), "{own}");
    assert_eq!(own["uid"], rustix::process::geteuid().as_raw(), "{own}");
    assert!(denials.iter().any(|denial| denial["target"] == "GET /api/PluginSettings/KeeperPrivilegeManager"));
    agent.stop();
}

#[test]
fn a_client_id_is_held_against_the_registered_process() {
    let stage = Stage::new();
    stage.job(&stage.puppet_job("scan", &["KeeperLogger"], &[]));
    stage.job(&stage.puppet_job("other", &["KeeperLogger"], &[]));
    let agent = stage.start();
    agent.trigger("scan");
    agent.trigger("other");
    let (mut task, other) = (stage.puppet("scan"), stage.puppet("other"));
    let pid = task.pid();
    let wrong = [
        format!("scan_Puppet_{}", other.pid()),
        format!("scan_Puppet_{}", agent.pid()),
        format!("other_Puppet_{pid}"),
        format!("other_Puppet_{}", other.pid()),
        String::from("scan_Puppet"),
        String::from("scan_Puppet_0"),
        format!("scan_Puppet_0{pid}"),
        String::from("scan_Puppet_4294967296"),
    ];
    for id in &wrong {
        assert_eq!(task.connect_as(agent.mqtt, id), refused("ClientIdentifierNotValid"), "{id}");
        assert_eq!(task.connect_v4_as(agent.mqtt, id), refused("BadClientId"), "{id}");
    }
    let denied: Vec<Value> = denials(&agent);
    for id in &wrong {
        assert!(denied.iter().any(|denial| denial["clientId"] == id.as_str()), "{id} is not on record: {denied:?}");
    }
    task.connect(agent.mqtt);
    task.exit(0, "");
    other.exit(0, "");
    agent.stop();
}

#[test]
fn the_form_of_a_plugin_connects_a_task_without_any_permission() {
    let stage = Stage::new();
    stage.job(&stage.puppet_job("scan", &["KeeperLogger"], &["News"]));
    let agent = stage.start();
    agent.trigger("scan");
    let mut task = stage.puppet("scan");
    let answer = task.connect_as(agent.mqtt, &format!("scan_{}", task.pid()));
    assert_eq!(answer["event"], "connack", "{answer}");
    assert_eq!(task.subscribe("News"), "[NotAuthorized]");
    task.log("nobody reads this");
    task.connect(agent.mqtt);
    assert_eq!(task.subscribe("News"), "[Success(AtLeastOnce)]", "the documented form has the declared permissions");
    task.log("somebody reads this");
    agent.logged_message("Test", "somebody reads this");
    let log = agent.log();
    assert!(!log.iter().any(|record| record["message"] == "nobody reads this"), "{log:?}");
    task.exit(0, "");
    agent.stop();
}

#[test]
fn mqtt_3_1_1_serves_a_task_as_well() {
    let stage = Stage::new();
    stage.job(&stage.puppet_job("old", &["KeeperLogger", "Old/said"], &["Old/+"]));
    let agent = stage.start();
    agent.trigger("old");
    let mut task = stage.puppet("old");
    let answer = task.connect_v4_as(agent.mqtt, &format!("old_Puppet_{}", task.pid()));
    assert_eq!(answer, json!({ "event": "connack", "code": "Success" }));
    assert_eq!(task.subscribe("Old/+"), "[Success(AtLeastOnce)]");
    assert_eq!(task.subscribe("Secret"), "[Failure]");
    task.publish("Old/said", "hello");
    assert_eq!(task.receive(), (String::from("Old/said"), String::from("hello")));
    task.log("an old client speaks");
    agent.logged_message("Test", "an old client speaks");
    task.exit(0, "");
    agent.stop();
}

#[test]
fn a_child_of_a_task_is_trusted_with_its_own_pid() {
    let stage = Stage::new();
    stage.job(&stage.puppet_job("scan", &["KeeperLogger"], &[]));
    let agent = stage.start();
    agent.trigger("scan");
    let mut task = stage.puppet("scan");
    task.spawn("child");
    let mut child = stage.puppet("child");
    let id = format!("scan_Child_{}", child.pid());
    assert_eq!(child.connect_as(agent.mqtt, &id)["event"], "connack");
    child.log("from the child");
    let record = agent.logged_message("Test", "from the child");
    assert_eq!((&record["pid"], &record["component"]), (&json!(child.pid()), &json!("job:scan")));
    task.exit(0, "");
    child.expect_gone();
    agent.stop();
}
