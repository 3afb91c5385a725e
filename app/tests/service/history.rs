//! Looking back: what was planned, what came of it, and what stood in the way, told by the commands for job authors.

use std::process::Command;
use std::time::SystemTime;

use castellan_core::time::WallTime;
use serde_json::{Value, json};

use crate::support::{Stage, binary, eventually};

/// From an order to the instant that is due: enough for a busy machine to put a job into service.
const AHEAD_MILLIS: i64 = 6_000;

fn now() -> WallTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    WallTime::from_millis(i64::try_from(since.as_millis()).unwrap())
}

fn soon(millis: i64) -> String {
    WallTime::from_millis(now().as_millis() + millis).to_rfc3339()
}

/// What a command says about the stage's root, as JSON.
#[track_caller]
fn ask(stage: &Stage, arguments: &[&str]) -> Value {
    let mut command = Command::new(binary());
    command.args(arguments).args(["-o", "json", "--root"]).arg(stage.root());
    let output = command.output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// The one instant of a job, looked back at.
#[track_caller]
fn looked_back(stage: &Stage, job: &str) -> Value {
    let answer = ask(stage, &["schedule", "preview", job, "--past", "1h"]);
    assert_eq!((&answer["job"], answer["planned"].as_array().unwrap().len()), (&json!(job), 1), "{answer}");
    answer["planned"][0].clone()
}

/// The guards that stopped a job at an instant, with their explanations.
#[track_caller]
fn stopped_by(stage: &Stage, job: &str, at: &Value) -> Vec<(String, String)> {
    let answer = ask(stage, &["why-not", job, "--at", at.as_str().unwrap()]);
    let text = |guard: &Value, key: &str| guard[key].as_str().unwrap().to_owned();
    let guards = answer["guards"].as_array().unwrap().iter().filter(|guard| guard["stops"] == true);
    guards.map(|guard| (text(guard, "guard"), text(guard, "explanation"))).collect()
}

#[test]
fn what_was_planned_and_what_came_of_it() {
    let stage = Stage::new();
    let mut busy = stage.puppet_job("busy", &[], &[]);
    busy["overlap"] = json!("skip");
    stage.job(&busy);
    let agent = stage.start();
    let run = agent.trigger("busy");
    let puppet = stage.puppet("busy");
    let due = soon(AHEAD_MILLIS);
    let fine = json!({ "id": "fine", "schedule": { "runAt": due }, "tasks": [ { "id": "say", "command": "echo" } ] });
    assert_eq!(agent.call("POST", "/api/Jobs").json(&fine).send().status, 201);
    busy["schedule"] = json!({ "runAt": due });
    assert_eq!(agent.call("PUT", "/api/Jobs/busy").json(&busy).send().status, 200);
    agent.logged_message("NotRun", "overlap is skip");
    let record = eventually("the scheduled run", || agent.runs("fine").pop().filter(|run| run["outcome"].is_string()));

    let told = looked_back(&stage, "fine");
    assert_eq!((&told["result"], &told["outcome"]), (&json!("ran"), &json!("Succeeded")), "{told}");
    assert_eq!((&told["runId"], &told["due"]), (&record["runId"], &json!(due)));
    assert!(record["begunAt"].as_str().unwrap() >= due.as_str(), "{record}");
    let told = looked_back(&stage, "busy");
    assert_eq!((&told["result"], &told["guard"]), (&json!("notRun"), &json!("overlap")), "{told}");
    assert!(told["reason"].as_str().unwrap().contains("overlap is skip"), "{told}");
    let stops = stopped_by(&stage, "busy", &told["due"]);
    assert!(matches!(&stops[..], [(guard, why)] if guard == "overlap" && why.contains("overlap is skip")), "{stops:?}");
    assert_eq!(stopped_by(&stage, "fine", &json!(due)), []);

    puppet.exit(0, "");
    agent.finished(&run);
    agent.stop();
    let away = soon(1);
    stage.job(&json!({ "id": "away", "schedule": { "runAt": away }, "tasks": [ { "id": "say", "command": "echo" } ] }));
    eventually("the missed instant", || (now().to_rfc3339() > away).then_some(()));
    let told = looked_back(&stage, "away");
    assert_eq!((&told["result"], &told["guard"]), (&json!("missed"), &json!("agent")), "{told}");
    let why = told["reason"].as_str().unwrap();
    assert!(why.contains("it was stopped at") && why.contains("has not been started since"), "{why}");
    let stops = stopped_by(&stage, "away", &json!(away));
    assert!(matches!(&stops[..], [(guard, why)] if guard == "agent" && why.contains("runOnce")), "{stops:?}");
    assert_eq!(looked_back(&stage, "fine")["result"], "ran", "the history of a stopped agent says the same");
    let text = Command::new(binary())
        .args(["schedule", "preview", "away", "--past", "1h", "--root"])
        .arg(stage.root())
        .output();
    let text = String::from_utf8(text.unwrap().stdout).unwrap();
    assert!(text.starts_with(&format!("{away} missed (agent): The agent was not running")), "{text}");
}

#[test]
fn a_killed_agent_is_known_by_its_last_sign() {
    let stage = Stage::new();
    stage.settings(json!({ "ConfigurationLkg": { "Enabled": false } }));
    let agent = stage.start();
    stage.job(&json!({ "id": "say", "tasks": [ { "id": "say", "command": "echo" } ] }));
    assert_eq!(agent.call("POST", "/api/Jobs/reload").send().status, 200);
    let sign = agent.run("say")["finishedAt"].as_str().unwrap().to_owned();
    agent.kill();
    let away = soon(1);
    let job = json!({ "id": "away", "schedule": { "runAt": away }, "tasks": [ { "id": "say", "command": "echo" } ] });
    stage.job(&job);
    eventually("the missed instant", || (now().to_rfc3339() > away).then_some(()));
    let why = looked_back(&stage, "away")["reason"].clone();
    let told =
        format!("it ended without being told to after {sign}, its last sign of life, and has not been started since");
    assert!(why.as_str().unwrap().contains(&told), "{why}");
    let again = stage.start();
    let why = looked_back(&stage, "away")["reason"].clone();
    assert!(why.as_str().unwrap().contains("and was started again at"), "{why}");
    again.stop();
}
