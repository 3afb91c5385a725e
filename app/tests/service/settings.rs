//! Plugin settings, conditional requests and repeated ones, over real HTTPS and a real disk.

use serde_json::{Value, json};

use crate::support::{Answer, Call, Stage};

const ONE: &str = "/api/PluginSettings/Bridge/metadata.greeting";
const ALL: &str = "/api/PluginSettings/Bridge";

fn stage() -> Stage {
    let stage = Stage::new();
    stage.plugin(&stage.puppet_plugin("Bridge", &[], &[]));
    let mut other = stage.puppet_plugin("Other", &[], &[]);
    other["autoStart"] = json!(false);
    stage.plugin(&other);
    stage
}

fn statuses(answers: &[Answer]) -> Vec<u16> {
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    statuses
}

/// Sends both at the same time.
fn both(calls: [Call; 2]) -> Vec<Answer> {
    std::thread::scope(|scope| {
        let threads = calls.map(|call| scope.spawn(|| call.send()));
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn a_setting_that_was_answered_survives_sigkill() {
    let stage = stage();
    let agent = stage.start();
    // Taken now, or it would be taken for that of the next start.
    let first = stage.puppet("Bridge");
    assert_eq!(agent.call("GET", ONE).send().json(), "hello");
    let put = agent.call("PUT", ONE).json(&json!({ "value": "moin" })).send();
    assert_eq!((put.status, &put.json()["metadata.greeting"]), (200, &json!("moin")), "{put:?}");
    agent.kill();
    drop(first);

    let agent = stage.start();
    let mut bridge = stage.puppet("Bridge");
    assert_eq!(bridge.get(ONE), (200, String::from("\"moin\"")));
    let explained = agent.call("GET", &format!("{ALL}?explain=true")).send().json();
    let greeting = &explained["metadata.greeting"];
    assert_eq!((&greeting["layer"], &greeting["former"]), (&json!("storage"), &json!("hello")), "{greeting}");
    assert!(greeting["writer"].as_str().unwrap().starts_with("admin:") && greeting["time"].is_string(), "{greeting}");
    let reverted = agent.call("POST", &format!("{ALL}/revert")).send();
    assert_eq!((reverted.status, &reverted.json()["metadata.greeting"]), (200, &json!("hello")), "{reverted:?}");
    agent.kill();
    bridge.expect_gone();
    let agent = stage.start();
    assert_eq!(agent.call("GET", ONE).send().json(), "hello");
    agent.stop();
}

#[test]
fn a_plugin_writes_its_own_settings_and_a_task_reverts_them_by_an_http_task_alone() {
    let stage = stage();
    stage.job(&stage.puppet_job("scan", &[], &[]));
    let url = "{KeeperApiBaseUrl}/api/PluginSettings/Bridge/revert";
    let revert = json!({ "id": "revert", "executionType": "Http", "method": "POST", "url": url });
    stage.job(&json!({ "id": "tidy", "tasks": [revert] }));
    let agent = stage.start();
    let mut bridge = stage.puppet("Bridge");
    agent.trigger("scan");
    let mut task = stage.puppet("scan");
    let put = |target: &str| json!({ "do": "call", "method": "PUT", "target": target, "body": "\"mine\"" });
    assert_eq!(bridge.order(&put(ONE))["status"], 200);
    assert_eq!(bridge.order(&put("/api/PluginSettings/Other/metadata.greeting"))["status"], 403);
    assert_eq!(task.order(&put(ONE))["status"], 403);
    assert_eq!(task.get(ONE), (200, String::from("\"mine\"")), "a task may read it");
    let call = json!({ "do": "call", "method": "POST", "target": format!("{ALL}/revert") });
    assert_eq!(task.order(&call)["status"], 403, "a process of a job is no Http task");
    assert_eq!(agent.run("tidy")["outcome"], "Succeeded");
    assert_eq!(task.get(ONE), (200, String::from("\"hello\"")));
    task.exit(0, "");
    agent.stop();
}

#[test]
fn of_two_writers_that_saw_the_same_one_wins() {
    let stage = stage();
    stage.job(&json!({ "id": "echo", "tasks": [ { "id": "say", "command": "echo", "arguments": "0" } ] }));
    let agent = stage.start();
    for target in [ONE, "/api/Jobs/echo"] {
        let shown = agent.call("GET", target).send();
        let tag = shown.header("etag").unwrap().to_owned();
        let known = agent.call("GET", target).header("If-None-Match", &tag).send();
        assert_eq!((known.status, known.header("etag"), known.body.as_str()), (304, Some(&*tag), ""), "{known:?}");
        let answers = both(["1", "2"].map(|text| {
            let job = json!({ "id": "echo", "tasks": [ { "id": "say", "command": "echo", "arguments": text } ] });
            let body = if target == ONE { json!(text) } else { job };
            agent.call("PUT", target).header("If-Match", &tag).json(&body)
        }));
        assert_eq!(statuses(&answers), [200, 412], "{answers:?}");
        let lost = answers.iter().find(|answer| answer.status == 412).unwrap();
        let now = agent.call("GET", target).send();
        assert_eq!(lost.header("etag"), now.header("etag"), "the loser learns what is there now");
    }
    agent.stop();
}

#[test]
fn a_trigger_sent_again_under_its_key_makes_one_run() {
    let stage = Stage::new();
    stage.job(&json!({ "id": "echo", "tasks": [ { "id": "say", "command": "echo", "arguments": "x" } ] }));
    let agent = stage.start();
    let call = |key: &str| agent.call("POST", "/api/Jobs/echo/trigger?wait=true").header("Idempotency-Key", key);
    let answers = both([call("0b6e"), call("0b6e")]);
    assert!([vec![200, 200], vec![200, 409]].contains(&statuses(&answers)), "{answers:?}");
    let first = answers.iter().find(|answer| answer.status == 200).unwrap();
    let again = call("0b6e").send();
    assert_eq!((again.json(), again.header("idempotency-replayed")), (first.json(), Some("true")));
    assert_eq!(agent.runs("echo").len(), 1);
    let new = call("0b6f").send();
    assert_eq!((new.status, new.header("idempotency-replayed")), (200, None));
    let runs: Vec<Value> = agent.runs("echo");
    assert_eq!(runs.len(), 2);
    agent.stop();
}
