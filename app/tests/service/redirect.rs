//! What runs elevated instead of what was asked for, with a real user, and the jobs that answer an integrator's own events.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::elevation::{NOBODY, allow, asked, denied, elevate, init, installed, newest, ready, runs};
use crate::support::{Agent, Stage, command, ended, eventually, say, spawn};
use crate::users::start;

fn set(agent: &Agent<'_>, key: &str, value: &Value) {
    let target = format!("/api/PluginSettings/RedirectEvaluator/metadata.redirect.{key}");
    assert_eq!(agent.call("PUT", &target).json(value).send().status, 200);
}

/// A rule for `id -u`: a shell that says who it is, writes and waits for somebody.
fn rules(stage: &Stage) -> Value {
    let (witness, go) = (stage.folder().join("witness"), stage.folder().join("go"));
    let script = format!(
        "id -u; echo $KEEPER_REQUESTING_UID $LANG$TERM; cat; until [ -e {} ]; do sleep 0.05; done; id -u > {}",
        go.display(),
        witness.display()
    );
    json!([{
        "sourceExePattern": "/id$", "commandLinePattern": "-u", "elevationOnly": true, "nonAdminOnly": true,
        "targetExe": "/bin/sh", "targetArguments": ["-c", script]
    }])
}

#[test]
fn a_rule_has_something_else_run_and_switched_off_the_original_runs() {
    let Some(stage) = installed() else { return };
    stage.plugin(&stage.puppet_plugin("Bridge", &[], &["PrivilegeElevation/results"]));
    let agent = start(&stage);
    ready(&agent);
    let mut bridge = stage.puppet("Bridge");
    bridge.connect_plugin(agent.mqtt);
    bridge.subscribe("PrivilegeElevation/results");
    let mut result = || serde_json::from_str::<Value>(&bridge.receive().1).unwrap();
    allow(&stage, &["ALLOW"]);
    runs(asked(&stage, NOBODY, &[]));
    assert_eq!(result()["Result"], "DidElevate");
    // The rules alone do nothing.
    set(&agent, "rules", &rules(&stage));
    runs(asked(&stage, NOBODY, &[]));
    assert_eq!(result()["Result"], "DidElevate");

    set(&agent, "enabled", &json!(true));
    let mut child = elevate(&stage, NOBODY, &["--", "id", "-u"]);
    let mut child = spawn(child.env("LANG", "C").env("TERM", "xterm").stdin(Stdio::piped()));
    child.stdin.take().unwrap().write_all(b"of the caller's").unwrap();
    denied(ended(child.wait_with_output().unwrap()), "Redirected by rule 0: '");
    let told = result();
    assert_eq!((&told["Result"], told["ProcessId"].is_u64()), (&json!("Deny"), true));
    assert_eq!(told["Reason"], "Redirected by rule 0: something else was run instead.");
    // Its caller is gone, and it runs; when it has ended, everything about it is on record.
    let id = newest(&agent, "Running")["RequestId"].clone();
    fs::write(stage.folder().join("go"), "").unwrap();
    let record = newest(&agent, "Finished");
    assert_eq!((&record["RequestId"], &record["Exit"]), (&id, &json!("code 0")), "{record:#}");
    assert_eq!((&record["Substitute"]["Rule"], &record["Substitute"]["Arguments"][0]), (&json!(0), &json!("-c")));
    assert_eq!(fs::read_to_string(stage.folder().join("witness")).unwrap(), "0\n");
    let output = agent.logged_message("ElevationOutput", "wrote to stdout");
    let output = output["message"].as_str().unwrap();
    assert!(output.contains("stdout: 0") && output.contains("65534"), "{output}");
    assert!(!output.contains("of the caller's") && !output.contains("xterm"), "nothing of its caller's: {output}");

    let (_, story, _) = say(command(&stage, &["why", id.as_str().unwrap()]));
    assert!(story.contains("in place of") && story.contains("by rule 0 of RedirectEvaluator"), "{story}");

    // Another command of the same program is not meant; rules that nobody can read let nothing run.
    assert_eq!(say(elevate(&stage, NOBODY, &["--", "id", "-g"])).0, 0);
    set(&agent, "rules", &json!([{ "sourceExePattern": "(", "targetExe": "/bin/sh" }]));
    denied(asked(&stage, NOBODY, &[]), "/0/sourceExePattern: this is no regular expression");
    set(&agent, "enabled", &json!(false));
    runs(asked(&stage, NOBODY, &[]));
    agent.stop();
    assert_eq!(say(command(&stage, &["audit", "verify"])).0, 0);
    let (_, shown, _) = say(command(&stage, &["audit", "show", "-o", "json"]));
    assert!(shown.contains(r#""insteadOf":{"program":"/usr/bin/id","command":["id","-u"],"rule":0}"#), "{shown}");
}

/// An event of an integrator's plugin, and the job that answers it.
const EVENTS: [(&str, Value, &str, &str); 5] = [
    ("FileAccess", Value::Bool(true), "file-access-policy-controls", "on the desktop yet"),
    ("FileAccess", Value::Bool(false), "file-access-policy-controls-headless", "the user has none"),
    ("FileAccess", Value::Null, "file-access-policy-controls-headless", "the user has none"),
    ("LeastPrivilege", Value::Bool(true), "default-policy-controls", "not asked for on this machine"),
    ("fileaccess", Value::Bool(true), "default-policy-controls", "not asked for on this machine"),
];

#[test]
fn each_event_of_an_integrator_is_answered_by_one_default_job_and_nothing_is_launched() {
    let stage = Stage::new();
    init(&stage, &[]);
    stage.plugin(&stage.puppet_plugin("Asker", &["EventMessages"], &["PolicyControls/asker"]));
    let agent = stage.start();
    let mut asker = stage.puppet("Asker");
    asker.connect_plugin(agent.mqtt);
    asker.subscribe("PolicyControls/asker");
    let mut fire = |request: &str, policy_type: &str, has_desktop: &Value| {
        let context = json!({
            "RequestId": request, "RespondToTopic": "PolicyControls/asker", "PolicyType": policy_type,
            "ControlList": "MFA", "HasDesktop": has_desktop
        });
        let event = json!({ "eventName": "PolicyEvaluationPending", "context": context });
        asker.publish("EventMessages", &event.to_string());
    };
    let ran = |job: &str| agent.runs(job).iter().filter(|run| run["status"] == "Succeeded").count();
    // What would end the text and say more is no id, and gets no answer.
    fire("x\",\"Result\":\"Allow", "FileAccess", &json!(true));
    for (number, (policy_type, has_desktop, ..)) in EVENTS.iter().enumerate() {
        fire(&format!("my-{number}"), policy_type, has_desktop);
    }
    let mut answers: Vec<Value> = EVENTS.iter().map(|_| serde_json::from_str(&asker.receive().1).unwrap()).collect();
    answers.sort_by_key(|answer| answer["RequestId"].to_string());
    for (number, (answer, (_, _, _, reason))) in answers.iter().zip(&EVENTS).enumerate() {
        assert_eq!((&answer["RequestId"], &answer["Result"]), (&json!(format!("my-{number}")), &json!("Deny")));
        assert!(answer["Reason"].as_str().unwrap().contains(reason), "{answer} {answers:#?}");
    }
    for job in ["file-access-policy-controls", "file-access-policy-controls-headless", "default-policy-controls"] {
        let expected = EVENTS.iter().filter(|(_, _, known, _)| *known == job).count();
        eventually(job, || (ran(job) == expected).then_some(()));
    }
    for job in ["privilege-elevation-policy-controls", "LaunchPrivilegeElevation"] {
        assert_eq!(ran(job), 0, "{job}");
    }
    agent.stop();
    // All that is installed is what lint wants.
    for (verb, folder) in [("jobs", "Jobs"), ("plugins", "Plugins")] {
        let folder = stage.root().join(folder);
        let (code, out, err) = say(command(&stage, &[verb, "lint", folder.to_str().unwrap()]));
        assert!(code == 0 && out.contains(", 0 findings"), "{out}{err}");
    }
}
