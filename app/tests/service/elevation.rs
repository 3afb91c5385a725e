//! The way to more privileges: what `castellan init` installs, the plugin KeeperPolicy, and those who ask it.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{Agent, Puppet, Stage, command, eventually, say};

/// Items and what became of them.
#[track_caller]
fn init(stage: &Stage, arguments: &[&str]) -> Vec<(String, String)> {
    let (code, out, err) = say(command(stage, &[&["init", "-o", "json"], arguments].concat()));
    assert_eq!(code, 0, "{err}");
    let done: Value = serde_json::from_str(&out).unwrap();
    let text = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
    done.as_array().unwrap().iter().map(|line| (text(line, "name"), text(line, "result"))).collect()
}

/// What is installed; jobs that cannot be in service without it come later.
const INSTALLED: [&str; 7] = [
    "Plugins/KeeperPolicy",
    "Jobs/privilege-elevation-policy-controls",
    "Jobs/LaunchPrivilegeElevation",
    "Jobs/log-version-info",
    "Jobs/bin/KeeperMfa",
    "Jobs/bin/KeeperJustification",
    "Jobs/bin/KeeperApproval",
];

fn all(what: &str) -> Vec<(String, String)> {
    INSTALLED.iter().map(|name| (String::from(*name), String::from(what))).collect()
}

#[test]
fn init_installs_what_is_missing_and_leaves_alone_what_was_edited() {
    let stage = Stage::new();
    assert_eq!(init(&stage, &["--dry-run"]), all("created"));
    assert!(!stage.root().join("Plugins/KeeperPolicy.json").exists(), "nothing was written");
    assert_eq!(init(&stage, &[]), all("created"));
    assert_eq!(init(&stage, &[]), all("unchanged"));

    let agent = stage.start();
    agent.logged_message("VersionInfo", "castellan ");
    let jobs = agent.call("GET", "/api/Jobs").send().json();
    assert_eq!(jobs.as_array().unwrap().len(), 3, "all of them are in service: {jobs:#}");
    let (code, _, err) = say(command(&stage, &["init"]));
    assert!(code == 1 && err.contains("an agent runs on"), "{code} {err}");
    // As an administrator changes and deletes what was installed.
    let mut edited = agent.call("GET", "/api/Jobs/log-version-info").send().json();
    edited["enabled"] = json!(false);
    assert_eq!(agent.call("PUT", "/api/Jobs/log-version-info").json(&edited).send().status, 200);
    assert_eq!(agent.call("DELETE", "/api/Jobs/LaunchPrivilegeElevation").send().status, 200);
    agent.stop();

    let became = init(&stage, &[]);
    let of = |name: &str| became.iter().find(|(known, _)| known == name).unwrap().1.clone();
    assert_eq!(of("Jobs/log-version-info"), "left alone: it differs from what is shipped");
    assert_eq!(
        (of("Jobs/LaunchPrivilegeElevation"), of("Plugins/KeeperPolicy")),
        (String::from("created"), String::from("unchanged"))
    );
    // What came back is blessed: it is in service, and not moved to quarantine.
    let agent = stage.start();
    assert_eq!(agent.call("GET", "/api/Jobs/LaunchPrivilegeElevation").send().status, 200);
    assert_eq!(agent.call("GET", "/api/Jobs/log-version-info").send().json()["enabled"], json!(false));
    assert!(fs::read_dir(stage.root().join("state/quarantine")).unwrap().next().is_none());
    agent.stop();
}

/// A policy about privileges for this user and file.
fn policy(user: &str, file: &str, controls: &[&str]) -> Value {
    json!({
        "PolicyId": format!("{user}-{}", controls.join("-")), "PolicyName": "test", "PolicyType": "PrivilegeElevation",
        "Status": "enforce", "Actions": { "OnSuccess": { "Controls": controls } },
        "Rules": [
            { "RuleName": "user", "RuleExpressionType": "BuiltInAction", "Expression": "CheckUser()" },
            { "RuleName": "file", "RuleExpressionType": "BuiltInAction", "Expression": "CheckFile(false)" }
        ],
        "UserCheck": [user], "ApplicationCheck": [file]
    })
}

/// A question of an integrator's plugin, as this user.
fn question(id: &str, (user, uid): (&str, u32)) -> Value {
    json!({
        "Id": id, "Version": 1, "RespondToTopic": "KeeperPolicy/asker",
        "MetaData": {
            "MessageType": "PolicyEvaluation", "PolicyType": "PrivilegeElevation", "UserName": user, "UserId": uid,
            "MachineName": "here", "FilePath": "/usr/bin/id", "CommandLine": "id -u", "Arguments": ["-u"],
            "HasDesktop": false, "RequestId": "", "SessionId": ""
        }
    })
}

/// What KeeperPolicy answers to a question.
#[track_caller]
fn ask(asker: &mut Puppet, question: &Value) -> Value {
    asker.publish("KeeperPolicy", &question.to_string());
    let (topic, answer) = asker.receive();
    assert_eq!(topic, "KeeperPolicy/asker");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["Id"], question["Id"]);
    answer
}

#[track_caller]
fn ready(agent: &Agent<'_>) -> Value {
    eventually("KeeperPolicy is ready", || {
        let plugin = agent.call("GET", "/api/plugins/KeeperPolicy").send().json();
        (plugin["health"] == "Healthy").then_some(plugin)
    })
}

const ROOT: (&str, u32) = ("root", 0);
const NOBODY: (&str, u32) = ("nobody", 65_534);

#[test]
fn an_integrators_plugin_asks_keeper_policy_and_a_changed_policy_counts_from_the_next_question_on() {
    let stage = Stage::new();
    init(&stage, &[]);
    stage.plugin(&stage.puppet_plugin("Asker", &["KeeperPolicy"], &["KeeperPolicy/asker"]));
    let agent = stage.start();
    ready(&agent);
    let mut asker = stage.puppet("Asker");
    asker.connect_plugin(agent.mqtt);
    asker.subscribe("KeeperPolicy/asker");

    let answer = ask(&mut asker, &question("1", NOBODY));
    assert_eq!(answer["Decision"], "DENY", "{answer:#}");
    assert!(answer["Explanation"]["What"].is_string(), "{answer:#}");
    let allow = policy("nobody", "/usr/bin/id", &["ALLOW"]);
    stage.file("Policies/allow.json", &allow.to_string());
    let answer = ask(&mut asker, &question("2", NOBODY));
    assert_eq!(
        (&answer["Decision"], &answer["PolicyIds"]),
        (&json!("ALLOW"), &json!([allow["PolicyId"]])),
        "{answer:#}"
    );
    assert_eq!(ask(&mut asker, &question("3", ROOT))["Decision"], "DENY", "another user");
    stage.file("Policies/allow.json", &policy("nobody", "/usr/bin/id", &["JUSTIFY", "MFA"]).to_string());
    let answer = ask(&mut asker, &question("4", NOBODY));
    assert_eq!(
        (&answer["Decision"], &answer["Controls"]),
        (&json!("PENDING"), &json!(["MFA", "JUSTIFY"])),
        "{answer:#}"
    );

    // A collection that comes into being, and one that changes.
    stage.file("Policies/allow.json", &policy("team", "/usr/bin/id", &["ALLOW"]).to_string());
    assert_eq!(ask(&mut asker, &question("5", NOBODY))["Decision"], "DENY");
    stage.file("Policies/collections/team.json", r#"{"team":["nobody"]}"#);
    assert_eq!(ask(&mut asker, &question("6", NOBODY))["Decision"], "ALLOW");
    stage.file("Policies/collections/team.json", r#"{"team":["somebody"]}"#);
    assert_eq!(ask(&mut asker, &question("7", NOBODY))["Decision"], "DENY");

    // What cannot be read denies, and the log says so.
    stage.file("Policies/collections/team.json", r#"{"team":["nobody"]}"#);
    stage.file("Policies/broken.json", r#"{"PolicyType":"PrivilegeElevation","Status":"enforce""#);
    let answer = ask(&mut asker, &question("8", NOBODY));
    assert_eq!((&answer["Decision"], &answer["PolicyIds"]), (&json!("DENY"), &json!(["broken"])), "{answer:#}");
    let record = agent.logged_message("PoliciesRead", "elevation is denied until it is mended");
    assert_eq!((&record["level"], &record["component"]), (&json!("Error"), &json!("plugin:KeeperPolicy")));
    fs::remove_file(stage.root().join("Policies/broken.json")).unwrap();
    assert_eq!(ask(&mut asker, &question("9", NOBODY))["Decision"], "ALLOW");

    // Nobody is believed in who he is.
    let answer = ask(&mut asker, &question("10", ("nobody", 0)));
    assert_eq!(answer["Decision"], "DENY");
    assert!(answer["Explanation"]["Why"].as_str().unwrap().contains("not 0"), "{answer:#}");
    let mut wrong = question("11", NOBODY);
    wrong["Version"] = json!(2);
    let answer = ask(&mut asker, &wrong);
    assert!(answer["Explanation"]["Why"].as_str().unwrap().contains("Version"), "{answer:#}");
    asker.publish("KeeperPolicy", "hello");
    agent.logged_message("NotUnderstood", "hello");
    let mut elsewhere = question("12", NOBODY);
    elsewhere["RespondToTopic"] = json!("EventMessages");
    asker.publish("KeeperPolicy", &elsewhere.to_string());
    agent.logged_message("NotUnderstood", "'EventMessages' gets no answers");

    // Killed, it is back with the policies as they are.
    let pid = ready(&agent)["processId"].as_u64().unwrap();
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
    eventually("another process of KeeperPolicy", || (ready(&agent)["processId"] != pid).then_some(()));
    assert_eq!(ask(&mut asker, &question("13", NOBODY))["Decision"], "ALLOW");
    agent.stop();
}
