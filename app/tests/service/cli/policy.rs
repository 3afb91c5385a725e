//! Policies about privileges: tested and linted without an agent.

use serde_json::json;

use super::{document, fails, ok};
use crate::support::{Stage, command, say};

/// The group `builders` may run what is in a folder of the root, after giving a reason.
fn stage() -> Stage {
    let stage = Stage::new();
    stage.file("bin/deploy", "");
    let policy = json!({
        "PolicyId": "deploy", "PolicyType": "PrivilegeElevation", "Status": "enforce", "Controls": ["JUSTIFY"],
        "Rules": [
            { "Expression": "CheckUser()", "ErrorMessage": "Only builders." },
            { "Expression": "CheckFile(false)" },
            { "Expression": "CheckTime()" },
        ],
        "UserCheck": ["builders"], "ApplicationCheck": ["{rootdir}/bin/*"], "TimeCheck": [{ "StartTime": "9", "EndTime": "18" }],
    });
    stage.file("Policies/deploy.json", &policy.to_string());
    stage.file("Policies/collections/teams.json", &json!({ "Builders": ["@build", "carol"] }).to_string());
    stage
}

/// Asks for the program of the stage at ten o'clock in Vienna.
fn asked<'a>(program: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["policy", "test", "--command", program, "--tz", "Europe/Vienna", "--at", "2026-12-24T09:00:00Z"], more].concat()
}

#[test]
fn what_policies_answer_is_told_with_its_reason() {
    let stage = stage();
    let program = stage.root().join("bin/deploy");
    let program = program.to_str().unwrap();
    let told = ok(&stage, &asked(program, &["--user", "bob", "--group", "build"]));
    assert!(
        told.starts_with(
            "PENDING (JUSTIFY)\nIt is required by 'deploy'.\nWithout the policy 'deploy' it would be DENY.\n"
        ),
        "{told}"
    );
    assert!(
        told.contains("\ndeploy decided: enforce, JUSTIFY\n  holds  UserCheck: bob @build against builders\n"),
        "{told}"
    );

    let other = ok(&stage, &asked(program, &["--user", "bob", "--group", "sales"]));
    assert!(
        other.starts_with("DENY\n") && other.contains("it would be PENDING (JUSTIFY), if UserCheck held."),
        "{other}"
    );
    assert!(other.contains("  fails  UserCheck: bob @sales against builders (Only builders.)"), "{other}");

    let late = &asked(program, &["--user", "carol", "--group", "none"])
        .iter()
        .map(|word| word.replace("T09:", "T17:"))
        .collect::<Vec<_>>();
    let late = document(&stage, &late.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(
        (&late["Decision"], &late["Explanation"]["Nearest"]["Filters"]),
        (&json!("DENY"), &json!(["TimeCheck"]))
    );
    assert_eq!(ok(&stage, &asked(program, &["--user", "root", "-o", "name"])), "DENY\n", "root is known here");

    let error = fails(command(&stage, &asked(program, &["--user", "nobody-of-that-name"])), 3);
    assert!(error.contains("has no account of 'nobody-of-that-name'") && error.contains("--group"), "{error}");
    let error = fails(command(&stage, &asked("'open", &["--user", "root"])), 2);
    assert!(error.contains("is not closed"), "{error}");
}

#[test]
fn a_policy_that_cannot_be_read_denies_and_is_linted() {
    let stage = stage();
    let policies = stage.root().join("Policies");
    let policies = policies.to_str().unwrap();
    assert!(ok(&stage, &["policy", "lint", policies]).ends_with("2 files, 0 findings, 0 files with errors.\n"));

    stage.file("Policies/broken.json", "{\n  \"PolicyType\": \"PrivilegeElevation\",\n  \"Status\": \"enforced\"\n}");
    let program = stage.root().join("bin/deploy");
    let told = ok(&stage, &asked(program.to_str().unwrap(), &["--user", "bob", "--group", "build"]));
    assert!(told.starts_with("DENY\nNobody can tell what 'broken' would say"), "{told}");
    let (code, told, _) = say(command(&stage, &["policy", "lint", policies]));
    assert_eq!(code, 6);
    assert!(told.contains("broken.json:3:13: error unknown-value: this is 'enforced'"), "{told}");
}
