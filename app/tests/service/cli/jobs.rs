//! Jobs: applied from files, shown, switched, run and deleted.

use std::process::Command;

use serde_json::json;

use super::{document, fails, ok};
use crate::support::{Stage, binary, command, say, terminal};

/// A job whose first task speaks on both streams and whose second one ends as it is told.
fn speaker(stage: &Stage) {
    stage.script("Speak", "echo heard; echo aside >&2; printf 'a\\033[2Jb\\n'");
    stage.script("End", "exit \"$1\"");
    stage.job(&json!({ "id": "speak", "name": "Speaks", "parameters": [{ "name": "code", "type": "string", "defaultValue": "0" }],
        "tasks": [ { "id": "say", "command": "Speak" }, { "id": "leave", "command": "End", "arguments": "{code}" } ] }));
}

#[test]
fn jobs_are_applied_shown_switched_and_deleted() {
    let stage = Stage::new();
    let agent = stage.start();
    let text = "{ \"id\": \"Backup\",\t\"name\": \"Nightly\", \"x-own\": 1, \"tasks\": [{\"id\":\"t\",\"command\":\"echo\"}] }";
    let file = stage.folder().join("backup.json");
    let path = file.to_str().unwrap();
    std::fs::write(&file, text).unwrap();

    assert_eq!(ok(&stage, &["jobs", "apply", path, "--dry-run"]), "Backup created (dry run)\n");
    assert_eq!(ok(&stage, &["jobs", "list"]), "No jobs.\n");
    assert_eq!(ok(&stage, &["jobs", "apply", path]), "Backup created\n");
    assert_eq!(ok(&stage, &["jobs", "apply", path]), "Backup unchanged\n");
    assert_eq!(ok(&stage, &["jobs", "validate", path]), format!("{path} valid\n"));
    std::fs::write(&file, text.replace("Nightly", "Daily")).unwrap();
    assert_eq!(ok(&stage, &["jobs", "apply", path, "--quiet"]), "");
    assert_eq!(document(&stage, &["jobs", "show", "BACKUP"])["name"], "Daily");
    assert!(ok(&stage, &["job", "show", "backup"]).contains("\nt     Service  echo"), "the singular is an alias");
    assert!(ok(&stage, &["jobs", "show", "backup", "-o", "yaml"]).starts_with("id: Backup\nname: Daily\nx-own: 1\n"));

    assert_eq!(ok(&stage, &["jobs", "disable", "backup"]), "Backup disabled\n");
    assert_eq!(ok(&stage, &["jobs", "disable", "backup"]), "Backup unchanged\n");
    let stored = std::fs::read_to_string(stage.root().join("Jobs/Backup.json")).unwrap();
    let expect = text.replace("Nightly", "Daily").replacen('{', "{\n  \"enabled\": false,", 1);
    assert_eq!(stored, expect, "every other byte stays");
    let listed = document(&stage, &["jobs", "list"]);
    assert_eq!((&listed[0]["id"], &listed[0]["enabled"]), (&json!("Backup"), &json!(false)));
    let error = fails(command(&stage, &["jobs", "run", "backup"]), 1);
    assert!(error.contains("409") && error.contains("disabled"), "{error}");
    assert_eq!(ok(&stage, &["jobs", "enable", "backup"]), "Backup enabled\n");

    let error = fails(command(&stage, &["jobs", "show", "bakup"]), 3);
    assert!(error.contains("did you mean 'Backup'?"), "{error}");
    let error = fails(command(&stage, &["jobs", "delete", "backup"]), 2);
    assert!(error.contains("--yes"), "{error}");
    assert_eq!(ok(&stage, &["jobs", "delete", "backup", "--dry-run"]), "Backup deleted (dry run)\n");
    assert_eq!(ok(&stage, &["jobs", "list", "-o", "name"]), "Backup\n");
    if let Some((code, shown)) = terminal(&stage, "jobs delete backup", "n\n") {
        assert!(code == 2 && shown.contains("[y/N]"), "{code}: {shown}");
    }
    assert_eq!(ok(&stage, &["jobs", "delete", "backup", "--yes"]), "Backup deleted\n");
    assert_eq!(document(&stage, &["jobs", "list"]), json!([]));
    agent.stop();
}

#[test]
fn a_refused_file_is_shown_with_its_place() {
    let stage = Stage::new();
    let agent = stage.start();
    let write = |name: &str, text: &str| {
        let path = stage.folder().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let task = "{ \"id\": \"t\", \"command\": \"echo\", \"onSuccess\": \"away\" }";
    let bad = write("bad.json", &format!("{{ \"id\": \"bad\",\n  \"tasks\": [ {task} ] }}"));
    let torn = write("torn.json", "{\n  \"id\" \"torn\"\n}");
    let good = write("good.json", "{ \"id\": \"good\", \"tasks\": [{\"id\":\"t\",\"command\":\"echo\"}] }");

    let error = fails(command(&stage, &["jobs", "apply", &bad]), 6);
    let column = format!("  \"tasks\": [ {task}").find("\"away\"").unwrap();
    assert!(error.contains(&format!("{bad}:2:{}: error route-unknown-task: ", column + 1)), "{error}");
    assert!(error.contains(&format!("\n    | {}^", " ".repeat(column))), "{error}");
    let error = fails(command(&stage, &["jobs", "validate", &torn]), 6);
    assert!(error.contains(&format!("{torn}:2:8: error malformed-json")), "{error}");
    let (code, out, error) = say(command(&stage, &["jobs", "apply", &torn, &bad, &good]));
    assert_eq!((code, out.as_str()), (6, "good created\n"), "one bad file keeps no other back: {error}");
    assert!(error.contains("torn.json") && error.contains("bad.json"), "{error}");
    assert_eq!(ok(&stage, &["jobs", "list", "-o", "name"]), "good\n");
    agent.stop();
}

#[test]
fn a_run_shows_what_its_tasks_wrote_and_ends_as_it_does() {
    let stage = Stage::new();
    speaker(&stage);
    let agent = stage.start();
    let (code, out, error) = say(command(&stage, &["jobs", "run", "SPEAK"]));
    assert_eq!((code, out.as_str()), (0, "heard\na\\u001b[2Jb\n"), "{error}");
    assert!(error.contains("\naside\n") && !error.contains('\r'), "no progress in a pipe: {error}");

    let (code, _, error) = say(command(&stage, &["jobs", "run", "speak", "--context", "{\"code\":3}"]));
    assert!(code == 1 && error.contains("Failed") && error.contains("castellan runs show 1-2"), "{error}");
    let (code, out, _) = say(command(&stage, &["jobs", "run", "speak", "--context", "{\"code\":3}", "-o", "json"]));
    let record: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &record["tasks"][1]["exitCode"]), (1, &json!(3)));

    let keyed = ["jobs", "trigger", "speak", "--idempotency-key", "one-run", "-o", "name"];
    let id = ok(&stage, &keyed);
    assert_eq!(ok(&stage, &keyed), id, "the same key is the same run");
    agent.finished(id.trim());
    let history = ok(&stage, &["jobs", "history", "speak", "-o", "name"]);
    assert_eq!(history, format!("{id}1-3\n1-2\n1-1\n"));
    assert_eq!(say(command(&stage, &["jobs", "trigger", "speak", "--wait", "--context", "{\"code\":3}"])).0, 1);
    agent.stop();
}

#[test]
fn names_feed_other_commands() {
    let stage = Stage::new();
    for id in ["a", "b"] {
        stage.job(&json!({ "id": id, "tasks": [{ "id": "t", "command": "echo" }] }));
    }
    let agent = stage.start();
    let mut shell = Command::new("sh");
    shell.args(["-c", "$CASTELLAN jobs list -o name | xargs $CASTELLAN jobs disable && $CASTELLAN jobs list -o name"]);
    shell.env("CASTELLAN", binary()).env("CASTELLAN_ROOT", stage.root()).stdout(std::process::Stdio::piped());
    let (code, out, _) = say(shell);
    assert_eq!((code, out.as_str()), (0, "a disabled\nb disabled\na\nb\n"));
    agent.stop();
}
