//! Last Known Good at the command line: what is blessed, what was changed by hand, and what becomes blessed.

use std::fs;

use serde_json::{Value, json};

use super::{document, fails, ok};
use crate::support::{Agent, Stage, command, eventually, say};

fn scan(name: &str) -> Value {
    json!({ "id": "scan", "name": name, "tasks": [{ "id": "t", "command": "echo" }] })
}

fn states(stage: &Stage) -> Vec<String> {
    let status = document(stage, &["lkg", "status"]);
    let items = status["items"].as_array().unwrap();
    let said =
        |one: &Value| format!("{}/{} {} {}", one["kind"], one["id"], one["version"], one["state"]).replace('"', "");
    items.iter().map(said).collect()
}

/// An agent that has made the references of its first start: what changes before that becomes one.
fn started(stage: &Stage) -> Agent<'_> {
    let agent = stage.start();
    eventually("the first references", || (document(stage, &["lkg", "status"])["counter"] == 1).then_some(()));
    agent
}

fn applied(stage: &Stage, document: &Value) {
    let file = stage.folder().join("new.json");
    fs::write(&file, document.to_string()).unwrap();
    ok(stage, &["jobs", "apply", file.to_str().unwrap()]);
}

#[test]
fn versions_are_listed_compared_and_taken_back() {
    let stage = Stage::new();
    stage.job(&scan("First"));
    let agent = started(&stage);
    assert_eq!(states(&stage), ["Jobs/scan 1 InService"]);
    assert_eq!(ok(&stage, &["lkg", "status", "-o", "name"]), "Jobs/scan\n");
    assert_eq!(ok(&stage, &["lkg", "diff", "Jobs/scan"]), "Jobs/scan: Jobs/scan.json is as version 1\n");
    assert!(
        ok(&stage, &["lkg", "status"]).starts_with("Last Known Good is on: 1 items, 0 out of service\ncounter 1, key ")
    );
    assert!(ok(&stage, &["status"]).contains("\nLast Known Good is on: 1 items, 0 out of service\n"));
    applied(&stage, &scan("Second"));
    assert_eq!(states(&stage), ["Jobs/scan 2 InService"]);
    let history = document(&stage, &["lkg", "history", "jobs/SCAN"])["history"].clone();
    let writers = [&history[0]["writer"], &history[1]["writer"]];
    assert_eq!((writers, &history[1]["action"]), ([&json!("admin:client"), &json!("agent")], &json!("Created")));
    assert_eq!(ok(&stage, &["lkg", "history", "Jobs/scan", "-o", "name"]), "2\n1\n");

    let (code, told, _) = say(command(&stage, &["lkg", "diff", "Jobs/scan", "--from", "1", "--to", "2"]));
    let lines = "Jobs/scan: version 2 differs from version 1\n  ~ /name: \"First\" -> \"Second\"\n";
    assert_eq!((code, told.as_str()), (1, lines));
    assert_eq!(ok(&stage, &["lkg", "diff"]), "Everything is as blessed.\n");
    let back = ["lkg", "rollback", "Jobs/scan", "1"];
    assert!(fails(command(&stage, &back), 2).contains("--yes"));
    let dry = ok(&stage, &[&back[..], &["--dry-run"]].concat());
    assert!(dry.ends_with("Jobs/scan rolled back to version 1 (dry run)\n"), "{dry}");
    assert_eq!(states(&stage), ["Jobs/scan 2 InService"]);
    ok(&stage, &[&back[..], &["--yes"]].concat());
    assert_eq!(states(&stage), ["Jobs/scan 3 InService"]);
    assert_eq!(document(&stage, &["jobs", "show", "scan"])["name"], "First");
    assert_eq!(fs::read_to_string(stage.root().join("Jobs/scan.json")).unwrap(), scan("First").to_string());

    assert_eq!(ok(&stage, &["lkg", "verify"]), "1 references opened, 0 not as blessed\n");
    let key = document(&stage, &["lkg", "status"])["keyId"].clone();
    assert!(fails(command(&stage, &["lkg", "rekey"]), 2).contains("--yes"));
    let made = document(&stage, &["lkg", "rekey", "--yes"]);
    assert_ne!(made["keyId"], key);
    assert_eq!(document(&stage, &["lkg", "status"])["keyId"], made["keyId"]);
    ok(&stage, &["lkg", "verify"]);
    assert!(fails(command(&stage, &["lkg", "history", "scan"]), 2).contains("Jobs/ID"));
    assert!(fails(command(&stage, &["lkg", "history", "Jobs/scam"]), 3).contains("did you mean 'Jobs/scan'?"));
    agent.stop();
    let agent = stage.start();
    assert_eq!(states(&stage), ["Jobs/scan 3 InService"], "with the new key");
    agent.stop();
}

#[test]
fn a_change_by_hand_is_restored_and_can_be_accepted() {
    let stage = Stage::new();
    stage.job(&scan("Blessed"));
    let agent = started(&stage);
    let file = stage.root().join("Jobs/scan.json");
    fs::write(&file, scan("By hand").to_string()).unwrap();
    let drift = eventually("the file is restored", || {
        let drift = document(&stage, &["lkg", "status"])["items"][0]["lastDrift"].clone();
        Some(drift).filter(|drift| drift["outcome"] == "restored")
    });
    assert_eq!(fs::read_to_string(&file).unwrap(), scan("Blessed").to_string());
    assert!(drift["what"].as_str().unwrap().contains("Jobs/scan.json"), "{drift}");
    let told = ok(&stage, &["why-not", "scan"]);
    assert!(told.contains("  ok  lastKnownGood: Jobs/scan.json"), "{told}");

    let (code, told, _) = say(command(&stage, &["lkg", "diff", "Jobs/scan"]));
    assert!(code == 1 && told.contains("  ~ /name: \"Blessed\" -> \"By hand\"\n"), "{told}");
    assert!(told.starts_with("Jobs/scan: state/quarantine/"), "{told}");
    let accepted = ok(&stage, &["lkg", "accept", "Jobs/scan", "--yes"]);
    assert!(accepted.contains("Jobs/scan accepted from state/quarantine/"), "{accepted}");
    assert_eq!(document(&stage, &["jobs", "show", "scan"])["name"], "By hand");
    assert_eq!(fs::read_to_string(&file).unwrap(), scan("By hand").to_string());
    assert_eq!(states(&stage), ["Jobs/scan 2 InService"]);

    fs::remove_file(&file).unwrap();
    eventually("the deletion is undone", || {
        let what = document(&stage, &["lkg", "status"])["items"][0]["lastDrift"]["what"].clone();
        what.as_str()?.contains("was deleted or renamed; it was restored").then_some(())
    });
    let (code, told, _) = say(command(&stage, &["lkg", "diff", "Jobs/scan"]));
    assert!(code == 1 && told.starts_with("Jobs/scan: Jobs/scan.json (deleted) differs from version 2\n"), "{told}");
    ok(&stage, &["lkg", "accept", "Jobs/scan", "--yes"]);
    assert!(!file.exists(), "no older copy in quarantine is meant");
    assert_eq!(states(&stage), ["Jobs/scan 3 Tombstone"]);
    assert!(fails(command(&stage, &["lkg", "accept", "Jobs/scan", "--yes"]), 3).contains("There is no such state"));

    let stray = stage.root().join("Jobs/stray.json");
    fs::write(&stray, scan("Stray").to_string()).unwrap();
    eventually("the stray is moved away", || (!stray.exists()).then_some(()));
    let refused = eventually("its copy is found", || {
        let (code, _, error) = say(command(&stage, &["lkg", "accept", "Jobs/stray", "--yes"]));
        (code != 3).then_some((code, error))
    });
    assert!(refused.0 == 2 && refused.1.contains("/id"), "its id is another: {refused:?}");
    agent.stop();
}

#[test]
fn whatever_is_asked_of_a_job_that_was_dropped_in_leads_to_its_acceptance() {
    let stage = Stage::new();
    let agent = stage.start();
    let dropped = stage.file("Jobs/drop.json", &scan("Dropped in").to_string().replace("scan", "drop"));
    eventually("the file is moved away", || (!dropped.exists()).then_some(()));
    let questions = [
        &["jobs", "show", "drop"][..],
        &["jobs", "run", "drop"],
        &["jobs", "enable", "drop"],
        &["why-not", "drop"],
        &["doctor", "job", "drop"],
    ];
    let leads_on = |when: &str| {
        for question in questions {
            let told = fails(command(&stage, question), 3);
            assert!(told.contains("castellan lkg accept Jobs/drop"), "{when} {question:?}: {told}");
        }
    };
    eventually("it is told", || {
        ok(&stage, &["lkg", "status"])
            .starts_with("Last Known Good is on: 0 items, 0 out of service, 1 in quarantine\n")
            .then_some(())
    });
    leads_on("while it is known");
    ok(&stage, &["lkg", "verify"]);
    assert_eq!(states(&stage), Vec::<String>::new(), "a look at everything forgets where it was");
    leads_on("when it is forgotten");
    let status = ok(&stage, &["lkg", "status"]);
    assert!(status.contains("\n  Jobs/drop: state/quarantine/"), "{status}");
    agent.stop();
    for question in [&["lkg", "status"][..], &["lkg", "verify"], &["lkg", "history", "Jobs/drop"]] {
        let told = fails(command(&stage, question), 5);
        assert!(told.contains("castellan run --root") && told.contains("-Jobs-drop-000"), "{told}");
    }
    let agent = stage.start();
    ok(&stage, &["lkg", "accept", "Jobs/drop", "--yes"]);
    assert_eq!(document(&stage, &["jobs", "show", "drop"])["name"], "Dropped in");
    ok(&stage, &["jobs", "delete", "drop", "--yes"]);
    let told = fails(command(&stage, &["jobs", "show", "drop"]), 3);
    assert!(told.contains("castellan lkg rollback Jobs/drop VERSION"), "{told}");
    agent.stop();
}

#[test]
fn what_is_in_service_is_judged_and_not_the_file_beside_it() {
    let stage = Stage::new();
    stage.settings(json!({ "ConfigurationLkg": { "AuditOnly": true } }));
    stage.job(&scan("Blessed"));
    let agent = started(&stage);
    let mut edited = scan("By hand");
    edited["enabled"] = json!(false);
    stage.job(&edited);
    let judged = |what: &str| {
        let guards = document(&stage, &["why-not", "scan"])["guards"].clone();
        let stops = |name: &str| guards.as_array().unwrap().iter().find(|one| one["guard"] == name).unwrap().clone();
        assert_eq!((&stops("enabled")["stops"], &stops("lastKnownGood")["stops"]), (&json!(false), &json!(false)));
        let told = stops("lastKnownGood")["explanation"].as_str().unwrap().to_owned();
        assert!(told.contains(&format!("Jobs/scan.json {what}")) && told.contains("lkg accept Jobs/scan"), "{told}");
        let (code, text, _) = say(command(&stage, &["doctor", "job", "scan", "-o", "json"]));
        let checks = serde_json::from_str::<Value>(&text).unwrap()["subjects"][0]["checks"].clone();
        let failed = |one: &&Value| one["status"] == "failed";
        let failed: Vec<&Value> = checks.as_array().unwrap().iter().filter(failed).collect();
        assert_eq!((code, failed.len(), &failed[0]["name"]), (1, 1, &json!("as-blessed")), "{checks}");
        assert!(failed[0]["proof"].as_str().unwrap().starts_with(&format!("Jobs/scan.json {what}")), "{checks}");
    };
    judged("has other content");
    fs::remove_file(stage.root().join("Jobs/scan.json")).unwrap();
    judged("is missing");
    let (code, told, _) = say(command(&stage, &["lkg", "diff", "Jobs/scan"]));
    assert!(code == 1 && told.contains("(deleted) differs"), "{told}");
    agent.stop();
    stage.job(&edited);
    let told = ok(&stage, &["why-not", "scan"]);
    assert!(told.contains("lastKnownGood: No agent runs"), "{told}");
}

#[test]
fn over_lost_references_a_write_is_refused_with_its_way_out_and_a_new_key_begins_anew() {
    let stage = Stage::new();
    stage.job(&scan("First"));
    stage.start().stop();
    fs::remove_file(stage.root().join("state/keys/lkg.key")).unwrap();
    let agent = stage.start();
    let file = stage.root().join("Jobs/scan.json");
    for write in [&["jobs", "apply", file.to_str().unwrap()][..], &["jobs", "delete", "scan", "--yes"]] {
        let told = fails(command(&stage, write), 1);
        assert!(told.contains("409") && told.contains("castellan lkg status") && !told.contains("disk"), "{told}");
    }
    assert!(ok(&stage, &["why-not", "scan"]).contains("stops lastKnownGood: The references of Last Known Good"));
    let told = ok(&stage, &["lkg", "rekey", "--yes"]);
    assert!(told.contains("every file waits") && told.contains("castellan lkg accept ITEM"), "{told}");
    assert_eq!(states(&stage), ["Jobs/scan null OutOfService"]);
    let told = fails(command(&stage, &["jobs", "show", "scan"]), 3);
    assert!(told.contains("castellan lkg accept Jobs/scan") && !told.contains("rollback"), "{told}");
    ok(&stage, &["lkg", "accept", "Jobs/scan", "--yes"]);
    assert_eq!(document(&stage, &["jobs", "show", "scan"])["name"], "First");
    agent.stop();
}

#[test]
fn where_it_is_off_that_is_said() {
    let stage = Stage::new();
    stage.settings(json!({ "ConfigurationLkg": { "Enabled": false } }));
    stage.job(&scan("Any"));
    let agent = stage.start();
    assert!(ok(&stage, &["lkg", "status"]).starts_with("Last Known Good is off: 0 items"));
    assert!(fails(command(&stage, &["lkg", "verify"]), 1).contains("is off"));
    assert!(fails(command(&stage, &["lkg", "rekey", "--yes"]), 1).contains("is off"));
    let doctor = document(&stage, &["doctor"]);
    let last = doctor["subjects"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["kind"], &last["checks"][0]["status"]), (&json!("lkg"), &json!("skipped")));
    agent.stop();
}

#[test]
fn the_doctor_looks_at_the_key_the_references_and_the_files() {
    let stage = Stage::new();
    stage.job(&scan("Any"));
    let agent = stage.start();
    let lkg = || {
        let (_, text, _) = say(command(&stage, &["doctor", "-o", "json"]));
        let doctor: Value = serde_json::from_str(&text).unwrap();
        let checks = doctor["subjects"].as_array().unwrap().last().unwrap()["checks"].clone();
        checks.as_array().unwrap().iter().map(|check| check["status"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(lkg(), ["ok"; 4]);
    let key = stage.root().join("state/keys/lkg.key");
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    // With a key that others may read no reference counts, and nothing is compared.
    assert_eq!(lkg(), ["ok", "failed", "failed", "failed"]);
    agent.stop();
}
