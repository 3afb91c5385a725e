//! Configuration policies on a real root: from the folder and the command line, signed and not, applied once over restarts.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Agent, Signer, Stage, command, say};

fn job(text: &str) -> Value {
    json!({ "id": "scan", "tasks": [{ "id": "t", "command": "echo", "arguments": text }] })
}

fn update(action: &str, text: &str) -> Value {
    json!({ "PolicyType": "JobUpdate", "Extension": { "Action": action, "JobId": "scan", "JobJson": job(text) } })
}

fn put(stage: &Stage, name: &str, policy: &Value) {
    stage.file(&format!("Policies/{name}.json"), &policy.to_string());
}

/// Name and result of every policy of the folder, once it was read again.
fn reload(agent: &Agent<'_>) -> Vec<[String; 2]> {
    let answer = agent.call("POST", "/api/policies/reload").send();
    assert_eq!(answer.status, 200, "{answer:?}");
    let text = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
    let lines = answer.json();
    lines.as_array().unwrap().iter().map(|line| [text(line, "name"), text(line, "result")]).collect()
}

/// What the job says, by its file and by the agent.
fn said(stage: &Stage, agent: &Agent<'_>) -> Option<String> {
    let answer = agent.call("GET", "/api/Jobs/scan").send();
    let file = fs::read(stage.root().join("Jobs/scan.json")).ok();
    assert_eq!(
        file.map(|bytes| String::from_utf8(bytes).unwrap()),
        (answer.status == 200).then(|| answer.body.clone())
    );
    (answer.status == 200).then(|| answer.json()["tasks"][0]["arguments"].as_str().unwrap().to_owned())
}

#[test]
fn a_policy_is_applied_once_per_content_over_restarts() {
    let stage = Stage::new();
    stage.plugin(&{
        let mut plugin = stage.puppet_plugin("Bridge", &[], &[]);
        plugin["autoStart"] = json!(false);
        plugin
    });
    put(&stage, "10-add", &update("Add", "1"));
    let layer = json!({ "PluginId": "Bridge", "Settings": { "metadata": { "greeting": "moin" } } });
    put(&stage, "20-greet", &json!({ "PolicyType": "SettingsUpdate", "Extension": layer }));
    let agent = stage.start();
    // Applied at the start, whenever that was; reading the folder again does nothing more.
    let applied =
        |names: &[&str]| names.iter().map(|name| [String::from(*name), String::from("Applied")]).collect::<Vec<_>>();
    assert_eq!(reload(&agent), applied(&["10-add", "20-greet"]));
    assert_eq!(said(&stage, &agent).as_deref(), Some("1"));
    let explained = |agent: &Agent<'_>| {
        agent.call("GET", "/api/PluginSettings/Bridge/metadata.greeting?explain=true").send().json()
    };
    let greeting = explained(&agent);
    assert_eq!(
        (&greeting["value"], &greeting["layer"], &greeting["writer"]),
        (&json!("moin"), &json!("policy"), &json!("policy:20-greet"))
    );

    let put_by_hand = agent.call("PUT", "/api/Jobs/scan").json(&job("mine")).send();
    assert_eq!(put_by_hand.status, 200, "{put_by_hand:?}");
    agent.kill();
    let agent = stage.start();
    assert_eq!(reload(&agent), applied(&["10-add", "20-greet"]));
    assert_eq!(said(&stage, &agent).as_deref(), Some("mine"), "the same content is not applied again");
    assert_eq!(explained(&agent)["layer"], "policy");

    put(&stage, "10-add", &update("Update", "2"));
    fs::remove_file(stage.root().join("Policies/20-greet.json")).unwrap();
    assert_eq!(reload(&agent), applied(&["10-add"]));
    assert_eq!(said(&stage, &agent).as_deref(), Some("2"));
    assert_eq!(explained(&agent)["layer"], "file", "what a policy sets lasts as long as it");
    put(
        &stage,
        "30-delete",
        &json!({ "PolicyType": "JobUpdate", "Extension": { "Action": "Delete", "JobId": "scan" } }),
    );
    assert_eq!(reload(&agent), applied(&["10-add", "30-delete"]));
    assert_eq!(said(&stage, &agent), None);
    agent.stop();
}

#[test]
fn the_command_line_applies_judges_and_lists() {
    let stage = Stage::new();
    let agent = stage.start();
    let file = stage.folder().join("add.json");
    let path = file.to_str().unwrap();
    fs::write(&file, update("Add", "1").to_string()).unwrap();
    let dry = say(command(&stage, &["policy", "apply", path, "--dry-run"]));
    assert_eq!(dry, (0, String::from("add valid (dry run): Jobs/scan added\n"), String::new()));
    assert_eq!(said(&stage, &agent), None);
    let done = say(command(&stage, &["policy", "apply", path]));
    assert_eq!(done, (0, String::from("add applied: Jobs/scan added\n"), String::new()));
    assert_eq!(said(&stage, &agent).as_deref(), Some("1"));
    let (code, told, _) = say(command(&stage, &["policy", "apply", path]));
    assert!(code == 0 && told.starts_with("add unchanged: applied before (20"), "{told}");

    let mut wrong = update("Update", "2");
    wrong["Extension"]["JobJson"]["tasks"][0]["command"] = json!("../sh");
    fs::write(&file, serde_json::to_vec_pretty(&wrong).unwrap()).unwrap();
    let (code, _, told) = say(command(&stage, &["policy", "apply", path]));
    assert!(code == 6 && told.contains("/Extension/JobJson/tasks/0/command"), "{code}: {told}");
    assert_eq!(said(&stage, &agent).as_deref(), Some("1"));
    let (_, list, _) = say(command(&stage, &["policy", "list"]));
    let row: Vec<&str> = list.lines().nth(1).unwrap().split_whitespace().take(6).collect();
    assert_eq!(row, ["add", "api", "-", "-", "-", "Refused"], "{list}");
    let (_, shown, _) = say(command(&stage, &["policy", "show", "add"]));
    assert!(shown.starts_with("policy add of api: Refused\n") && shown.contains("  why: At /Extension"), "{shown}");
    let (code, _, told) = say(command(&stage, &["policy", "show", "nothing"]));
    assert!(code == 3 && told.contains("castellan policy list"), "{code}: {told}");

    fs::write(&file, json!({ "PolicyType": "UpdateSettings", "Status": "off" }).to_string()).unwrap();
    let (code, told, _) = say(command(&stage, &["policy", "apply", path, "--dry-run"]));
    assert!(code == 0 && told.starts_with("add left alone: Its Status is 'off'"), "{told}");
    put(&stage, "add", &update("Update", "3"));
    reload(&agent);
    let (code, told, _) = say(command(&stage, &["policy", "remove", "add"]));
    assert!(
        code == 0 && told.starts_with("add of Policies and api is forgotten\nAs long as Policies/add.json is there"),
        "{told}"
    );
    assert_eq!(said(&stage, &agent).as_deref(), Some("3"), "what it wrote stays");
    fs::remove_file(stage.root().join("Policies/add.json")).unwrap();
    assert!(reload(&agent).is_empty());
    let (code, _, told) = say(command(&stage, &["policy", "remove", "add"]));
    assert!(code != 0 && told.contains("There is no policy 'add' on record"), "{code}: {told}");
    agent.stop();
}

#[test]
fn what_a_policy_set_ends_when_its_signer_leaves_the_settings() {
    let stage = Stage::new();
    let (signer, other) = (Signer::new(&stage, "trusted"), Signer::new(&stage, "other"));
    stage.plugin(&{
        let mut plugin = stage.puppet_plugin("Bridge", &[], &[]);
        plugin["autoStart"] = json!(false);
        plugin
    });
    let layer = json!({ "PluginId": "Bridge", "Settings": { "metadata": { "greeting": "moin" } } });
    put(&stage, "greet", &json!({ "PolicyType": "SettingsUpdate", "Extension": layer }));
    let policy = stage.root().join("Policies/greet.json");
    let (his, another) = (signer.sign(&policy), {
        put(&stage, "none", &json!({ "PolicyType": "Other" }));
        other.sign(&stage.root().join("Policies/none.json"))
    });
    let mut layers = Vec::new();
    for pinned in [&his, &another, &his] {
        stage.settings(json!({ "AlternativeSignatures": [pinned] }));
        let agent = stage.start();
        let results: Vec<String> = reload(&agent).iter().map(|line| line.join(" ")).collect();
        let answer = agent.call("GET", "/api/PluginSettings/Bridge/metadata.greeting?explain=true").send().json();
        layers.push((answer["layer"].as_str().unwrap().to_owned(), results[0].clone()));
        agent.stop();
    }
    let counts = (String::from("policy"), String::from("greet Applied"));
    let ended = (String::from("file"), String::from("greet Refused"));
    assert_eq!(layers, [counts.clone(), ended, counts]);
}

#[test]
fn where_signatures_are_required_only_signed_policies_of_pinned_signers_are_applied() {
    let stage = Stage::new();
    let (signer, other) = (Signer::new(&stage, "trusted"), Signer::new(&stage, "other"));
    put(&stage, "unsigned", &update("Add", "unsigned"));
    let policy = |name: &str, text: &str| {
        put(&stage, name, &update("Add", text));
        stage.root().join(format!("Policies/{name}.json"))
    };
    other.sign(&policy("other", "other"));
    signer.sign(&policy("changed", "before"));
    let sha256 = signer.sign(&policy("signed", "signed"));
    put(&stage, "changed", &update("Add", "after"));
    stage.settings(json!({ "RequireSignedPolicies": true, "AlternativeSignatures": [sha256] }));
    let agent = stage.start();
    let results: Vec<String> = reload(&agent).iter().map(|line| line.join(" ")).collect();
    assert_eq!(results, ["changed Refused", "other Refused", "signed Applied", "unsigned Refused"]);
    assert_eq!(said(&stage, &agent).as_deref(), Some("signed"));
    let lines = agent.call("GET", "/api/policies").send().json();
    let why = |index: usize| lines[index]["why"].as_str().unwrap().to_owned();
    assert!(why(0).contains("was changed after it had been signed"), "{}", why(0));
    assert!(why(1).contains("AlternativeSignatures"), "{}", why(1));
    assert!(why(3).contains("castellan sign"), "{}", why(3));
    // Over the API nothing is signed.
    let sent = agent.call("POST", "/api/policies?name=sent").json(&update("Update", "sent")).send();
    assert_eq!((sent.status, said(&stage, &agent).as_deref()), (403, Some("signed")), "{sent:?}");
    agent.stop();
}

/// What is said to `nobody` who wants to run `id`, and why.
fn answer(stage: &Stage) -> (Value, String) {
    let asked = ["policy", "test", "--user", "nobody", "--command", "/usr/bin/id", "-o", "json"];
    let (code, told, error) = say(command(stage, &asked));
    assert_eq!(code, 0, "{error}");
    let decision: Value = serde_json::from_str(&told).unwrap();
    (decision["Decision"].clone(), decision["Explanation"].to_string())
}

#[test]
fn where_signatures_are_required_an_unsigned_policy_about_privileges_denies_what_it_may_be_about() {
    let stage = Stage::new();
    let (signer, other) = (Signer::new(&stage, "trusted"), Signer::new(&stage, "other"));
    let policy =
        |controls: &[&str]| json!({ "PolicyType": "PrivilegeElevation", "Status": "enforce", "Controls": controls });
    put(&stage, "all", &policy(&["ALLOW"]));
    put(&stage, "job", &update("Add", "unsigned"));
    let all = stage.root().join("Policies/all.json");
    assert_eq!(answer(&stage).0, "ALLOW", "nobody wants a signature");
    stage.settings(json!({ "RequireSignedPolicies": true, "AlternativeSignatures": [signer.sign(&all)] }));
    assert_eq!(answer(&stage).0, "ALLOW");
    let denies = |because: &str| {
        let (decision, why) = answer(&stage);
        assert!(decision == "DENY" && why.contains(because), "{because}: {decision} {why}");
    };
    // Changed since; by somebody else; taken away: what it allowed is not allowed.
    put(&stage, "all", &policy(&["ALLOW", "AUDIT"]));
    denies("was changed after it had been signed");
    other.sign(&all);
    denies("AlternativeSignatures");
    fs::remove_file(stage.root().join("Policies/all.json.p7s")).unwrap();
    denies("It is not signed");
    // A policy that denies does so all the more, and one that is off denies nothing.
    signer.sign(&all);
    put(&stage, "more", &policy(&["DENY"]));
    denies("It is not signed");
    put(&stage, "more", &json!({ "PolicyType": "PrivilegeElevation", "Status": "off", "Controls": ["DENY"] }));
    assert_eq!(answer(&stage).0, "ALLOW");
    // Whoever is put into a collection may be allowed something by it.
    stage.file("Policies/collections/team.json", r#"{"team":["nobody"]}"#);
    denies("It is not signed");
    signer.sign(&stage.root().join("Policies/collections/team.json"));
    assert_eq!(answer(&stage).0, "ALLOW");
    // The agent says the same of it.
    put(&stage, "more", &policy(&["ALLOW"]));
    let agent = stage.start();
    reload(&agent);
    let lines = agent.call("GET", "/api/policies").send().json();
    let more = lines.as_array().unwrap().iter().find(|line| line["name"] == "more").unwrap();
    let why = more["why"].as_str().unwrap();
    assert!(more["result"] == "Refused" && why.contains("denied until that is mended"), "{more}");
    agent.stop();
}
