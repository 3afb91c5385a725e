//! The audit of a real agent: what is on record, through restarts and a kill, and what is found when somebody edits it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Agent, Stage, binary, command, eventually, has_program, say};

/// `castellan audit` with its exit code, standard output and standard error.
fn audit(stage: &Stage, arguments: &[&str]) -> (i32, String, String) {
    say(command(stage, &[&["audit"], arguments].concat()))
}

/// The entries that these filters leave.
#[track_caller]
fn shown(stage: &Stage, filters: &[&str]) -> Vec<Value> {
    let (code, out, error) = audit(stage, &[&["show", "-o", "json"], filters].concat());
    assert_eq!(code, 0, "{error}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[track_caller]
fn verified(stage: &Stage) -> Value {
    let (code, out, error) = audit(stage, &["verify", "-o", "json"]);
    assert_eq!(code, 0, "{out}{error}");
    serde_json::from_str(&out).unwrap()
}

/// What `castellan audit verify` finds, which has to be something.
#[track_caller]
fn found(stage: &Stage, arguments: &[&str]) -> String {
    let (code, out, error) = audit(stage, &[&["verify"], arguments].concat());
    assert_eq!(code, 6, "{out}{error}");
    assert!(error.contains("not as it was written"), "{error}");
    out
}

fn file(stage: &Stage) -> PathBuf {
    stage.root().join("state/audit/00000000000000000001.jsonl")
}

fn job() -> Value {
    json!({ "id": "scan", "name": "Scan", "tasks": [ { "id": "say", "command": "echo", "arguments": "blessed" } ] })
}

/// An administrator is made, a policy applied, and a file edited and restored.
fn live(stage: &Stage, agent: &Agent<'_>) {
    let safe = stage.folder().join("safe");
    let (code, _, error) = say(command(stage, &["admin", "issue", "alice", "--out", safe.to_str().unwrap()]));
    assert_eq!(code, 0, "{error}");
    let job = json!({ "id": "other", "tasks": [ { "id": "say", "command": "echo", "arguments": "1" } ] });
    let policy = json!({ "PolicyId": "add-other", "PolicyType": "JobUpdate",
        "Extension": { "Action": "Add", "JobId": "other", "JobJson": job } });
    let path = stage.folder().join("add-other.json");
    fs::write(&path, policy.to_string()).unwrap();
    let (code, _, error) = say(command(stage, &["policy", "apply", path.to_str().unwrap()]));
    assert_eq!(code, 0, "{error}");
    let path = stage.root().join("Jobs/scan.json");
    fs::write(&path, fs::read_to_string(&path).unwrap().replace("blessed", "altered")).unwrap();
    agent.logged_message("Drift", "Jobs/scan");
    eventually("the restore in the audit", || (shown(stage, &["--kind", "restore"]).len() == 1).then_some(()));
}

#[test]
fn what_is_decided_is_on_record_over_restarts_and_every_edit_of_it_is_found() {
    let stage = Stage::new();
    let (code, _, error) = audit(&stage, &["verify"]);
    assert!(code == 3 && error.contains("there is no audit"), "{error}");
    stage.job(&job());
    let agent = stage.start();
    eventually("the first reference", || stage.root().join("state/lkg/manifest").exists().then_some(()));
    live(&stage, &agent);
    assert_eq!(verified(&stage)["findings"], json!([]), "beside the running agent");
    agent.kill();
    assert_eq!(say(command(&stage, &["admin", "revoke", "alice"])).0, 0);
    let agent = stage.start();
    agent.stop();

    let entries = shown(&stage, &[]);
    let told = |one: &Value| format!("{} {} {}", one["who"], one["kind"], one["change"]).replace('"', "");
    let expect = [
        "admin:client certificate issued",
        "admin:client policy applied",
        "agent restore null",
        "root certificate revoked",
    ];
    assert_eq!(entries.iter().map(told).collect::<Vec<_>>(), expect);
    assert_eq!((&entries[1]["name"], &entries[1]["boot"]), (&json!("add-other"), &json!(1)));
    assert_eq!((&entries[2]["file"], &entries[2]["restored"]), (&json!("Jobs/scan.json"), &json!(true)));
    assert_eq!(entries[3]["names"], json!(["alice"]));
    assert_eq!(shown(&stage, &["--user", "client"]).len(), 2);
    assert_eq!((shown(&stage, &["--since", "1h"]).len(), shown(&stage, &["--request", "E1-1"]).len()), (4, 0));
    let (_, text, _) = audit(&stage, &["show", "--kind", "policy"]);
    assert!(text.contains("admin:client policy") && text.contains("name=\"add-other\""), "{text}");

    let report = verified(&stage);
    let noted = report["heads"].as_u64().unwrap();
    assert!(report["entries"] == 4 && noted >= 2, "the ends at the second start and stop: {report}");
    let head = report["head"]["sha256"].as_str().unwrap().to_owned();
    assert_eq!(audit(&stage, &["verify", "--head", &head]).0, 0);
    spoiled(&stage, &head);
}

/// Edits the files of a stopped agent in every way and looks at what is found.
fn spoiled(stage: &Stage, head: &str) {
    let path = file(stage);
    let sound = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = sound.lines().collect();
    let (exported, _) = {
        let (code, out, error) = audit(stage, &["export"]);
        assert_eq!((code, out.as_str()), (0, sound.as_str()), "{error}");
        (stage.folder().join("exported.jsonl"), fs::write(stage.folder().join("exported.jsonl"), &out).unwrap())
    };
    let name = path.display().to_string();
    let spoil = |text: String| fs::write(&path, text).unwrap();

    spoil(sound.replacen("add-other", "add-otter", 1));
    assert!(found(stage, &[]).contains(&format!("{name}:2: the line was edited")), "{}", found(stage, &[]));
    spoil([lines[0], lines[2], lines[1], lines[3], ""].join("\n"));
    let told = found(stage, &[]);
    assert!(
        told.contains(&format!("{name}:2: entry 2, which")) && told.contains(":3: entry 2 stands behind"),
        "{told}"
    );
    spoil([lines[0], lines[1], lines[3], ""].join("\n"));
    assert!(found(stage, &[]).contains(&format!("{name}:3: entry 3, which has to stand before it, is missing")));
    spoil(sound[..sound.len() - 10].to_owned());
    assert!(found(stage, &[]).contains(":4: the line has no end"));
    // Cut at the end, each line is as it was written.
    spoil([lines[0], lines[1], lines[2], ""].join("\n"));
    let told = found(stage, &[]);
    assert!(told.contains(":3: the end is cut: entry 4, which the log noted at 2"), "{told}");
    fs::rename(stage.root().join("state/logs"), stage.folder().join("logs")).unwrap();
    assert_eq!(audit(stage, &["verify"]).0, 0, "nobody knows of a fourth entry");
    assert!(found(stage, &["--head", head]).contains("no line has the hash that was given"));
    fs::remove_file(&path).unwrap();
    assert!(found(stage, &["--head", head]).contains("no line has the hash"));
    assert_eq!(audit(stage, &["verify", "--head", "5f"]).0, 2);

    let exported = exported.to_str().unwrap();
    assert_eq!(audit(stage, &["verify", exported, "--head", head]).0, 0);
    if has_program("bash", "an audit out of a pipe") {
        let mut bash = Command::new("bash");
        bash.args(["-c", "$1 audit verify <(cat $2) --head $3", "bash"]).arg(binary()).args([exported, head]);
        bash.stdout(Stdio::piped()).stderr(Stdio::piped());
        let (code, told, error) = say(bash);
        assert!(code == 0 && told.contains("4 entries in 1 files"), "{code} {told} {error}");
    }
    fs::write(exported, lines[1..].join("\n") + "\n").unwrap();
    assert_eq!(audit(stage, &["verify", exported]).0, 0, "from any entry on");
    fs::write(exported, lines[1].replacen("add-other", "add-otter", 1) + "\n").unwrap();
    assert!(found(stage, &[exported]).contains("exported.jsonl:1: the line was edited"));
}
