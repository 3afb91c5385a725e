//! What writes: its answers for programs, what is refused, and what somebody else changed meanwhile.

use std::io::{BufRead, BufReader};

use rustix::fs::{FileType, Mode};
use serde_json::json;

use super::{document, fails, ok};
use crate::support::{Stage, command, ended, eventually, say, spawn};

fn waiting(stage: &Stage) {
    stage.job(&json!({ "id": "nightly", "name": "Nightly", "tasks": [{ "id": "t", "command": "echo", "arguments": "said" }] }));
}

#[test]
fn a_write_answers_programs_with_a_document() {
    let stage = Stage::new();
    waiting(&stage);
    stage.job(&stage.puppet_job("long", &[], &[]));
    let mut plugin = stage.puppet_plugin("Bridge", &[], &[]);
    plugin["autoStart"] = json!(false);
    stage.plugin(&plugin);
    let agent = stage.start();
    let result = |name: &str, result: &str, dry: bool| json!([{ "name": name, "result": result, "dryRun": dry }]);
    assert_eq!(document(&stage, &["jobs", "disable", "nightly", "--dry-run"]), result("nightly", "disabled", true));
    assert_eq!(document(&stage, &["jobs", "disable", "nightly"]), result("nightly", "disabled", false));
    assert_eq!(document(&stage, &["jobs", "disable", "nightly"]), result("nightly", "unchanged", false));
    assert_eq!(ok(&stage, &["jobs", "enable", "nightly", "-o", "name"]), "nightly\n");
    let (_, _, told) = say(command(&stage, &["settings", "set", "Bridge", "topic", "x", "--dry-run"]));
    assert!(told.contains("'topic' is a new setting of Bridge; the one that it has is 'Subscription.Topic'"), "{told}");
    let told = fails(command(&stage, &["settings", "explain", "Bridge", "topic"]), 3);
    assert!(told.contains("did you mean 'Subscription.Topic'?"), "{told}");
    let told = fails(command(&stage, &["settings", "set", "Bridge", "executablePath", "/bin/sh"]), 1);
    assert!(told.contains("castellan lkg accept Plugins/Bridge"), "{told}");
    let set = ["settings", "set", "Bridge", "port", "80"];
    let stored = json!({ "plugin": "Bridge", "key": "port", "value": 80, "dryRun": false });
    assert_eq!(document(&stage, &set), stored);
    let revert = ["settings", "revert", "Bridge", "--dry-run"];
    assert_eq!(document(&stage, &revert), result("stored settings of Bridge", "dropped", true));
    assert!(fails(command(&stage, &["settings", "revert", "Bridgr", "--dry-run"]), 3).contains("Bridgr"));
    assert_eq!(ok(&stage, &["jobs", "run", "nightly", "-o", "name"]), "1-1\n", "its id, and not what it wrote");
    assert_eq!(ok(&stage, &["runs", "logs", "1-1", "-o", "name"]), "1-1\n");
    let id = agent.trigger("long");
    let _puppet = stage.puppet("long");
    assert_eq!(document(&stage, &["runs", "cancel", &id, "--wait"])["status"], "Canceled");
    assert_eq!(document(&stage, &["jobs", "delete", "long", "--yes"]), result("long", "deleted", false));
    agent.stop();
}

#[test]
fn what_somebody_else_changed_meanwhile_is_not_overwritten() {
    let stage = Stage::new();
    waiting(&stage);
    let file = stage.folder().join("nightly.json");
    let mine = "{\"id\":\"nightly\",\"name\":\"Mine\",\"tasks\":[{\"id\":\"t\",\"command\":\"echo\"}]}";
    std::fs::write(&file, mine).unwrap();
    let agent = stage.start();
    let path = file.to_str().unwrap();
    let mut turn = 0_u64;
    for arguments in [["jobs", "apply", path], ["jobs", "disable", "nightly"]] {
        // They change it all the time, so that a change comes between the look at the job and the write sooner or later.
        let (code, out, error) = eventually("a write that came too late", || {
            let mut writer = spawn(&mut command(&stage, &arguments));
            while writer.try_wait().unwrap().is_none() {
                turn += 1;
                let theirs = json!({ "id": "nightly", "name": format!("Theirs {turn}"), "tasks": [{ "id": "t", "command": "echo" }] });
                assert_eq!(agent.call("PUT", "/api/Jobs/nightly").json(&theirs).send().status, 200);
            }
            Some(ended(writer.wait_with_output().unwrap())).filter(|(code, ..)| *code != 0)
        });
        assert!(
            code == 1 && out.is_empty() && error.contains("412") && error.contains("changed"),
            "{code}: {out}{error}"
        );
        let stored = document(&stage, &["jobs", "show", "nightly"]);
        assert_eq!(stored["name"], format!("Theirs {turn}"), "theirs stays");
    }
    agent.stop();
}

#[test]
fn files_that_are_no_jobs_are_shown_where_they_break() {
    let stage = Stage::new();
    let agent = stage.start();
    let write = |name: &str, text: &str| {
        let path = stage.folder().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    // What other readers of JSON would take.
    let comment = write("comment.json", "{\n  // why\n  \"id\": \"c\", \"tasks\": []\n}");
    let error = fails(command(&stage, &["jobs", "apply", &comment]), 6);
    assert!(error.contains(&format!("{comment}:2:3: error malformed-json")), "{error}");
    assert!(error.contains("\n  2 |   // why\n    |   ^"), "{error}");
    let long = write("long.json", &format!("{{\"id\":\"long\",\"description\":\"{}\"}}", "x".repeat(1 << 20)));
    assert!(fails(command(&stage, &["jobs", "apply", &long]), 6).contains("1 MiB"));
    let empty = stage.folder().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let error = fails(command(&stage, &["jobs", "apply", empty.to_str().unwrap()]), 3);
    assert!(error.contains("empty has no *.json file"), "{error}");
    agent.stop();
}

#[test]
fn what_is_no_document_is_not_read_on_and_on() {
    let stage = Stage::new();
    let agent = stage.start();
    let reads = |file: &str, code: i32, told: &str| {
        let error = fails(command(&stage, &["policy", "apply", file]), code);
        assert!(error.contains(&format!("{file} {told}")), "{error}");
    };
    let folder = stage.folder().to_str().unwrap();
    reads(folder, 3, "cannot be read: it is a folder");
    let long = stage.file("long.json", &" ".repeat((1 << 20) + 1)).display().to_string();
    reads(&long, 6, "has more than 1048576 bytes");
    let endless = "/dev/zero";
    let named = [
        &["policy", "apply", endless][..],
        &["jobs", "apply", endless],
        &["jobs", "validate", endless],
        &["jobs", "lint", endless],
        &["jobs", "run", "any", "--context", endless],
        &["sign", "/bin/sh", "--cert", endless, "--key", endless],
        &["audit", "verify", endless],
        &["grants", "verify", endless],
    ];
    for line in named {
        assert!(fails(command(&stage, line), 3).contains("/dev/zero cannot be read: it is a device"), "{line:?}");
    }
    let mut endless = command(&stage, &["jobs", "apply", "-"]);
    endless.stdin(std::fs::File::open("/dev/zero").unwrap());
    assert!(fails(endless, 6).contains("standard input has more than 1048576 bytes"));
    agent.stop();
}

#[test]
fn a_pipe_is_read_where_somebody_writes_to_it() {
    let stage = Stage::new();
    let pipe = stage.folder().join("pipe.json");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let path = pipe.to_str().unwrap();
    for line in [["jobs", "lint", path], ["audit", "verify", path], ["grants", "verify", path]] {
        let error = fails(command(&stage, &line), 6);
        assert!(error.contains(&format!("{path} is a pipe that nobody wrote to")), "{line:?}: {error}");
    }
    let document = json!({ "id": "pipe", "tasks": [{ "id": "t", "command": "echo" }] }).to_string();
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::write(pipe, document)
    });
    assert!(ok(&stage, &["jobs", "lint", path]).contains("1 files, "));
    writer.join().unwrap().unwrap();
}

#[test]
fn a_watch_on_an_agent_that_has_died_ends_as_not_reachable() {
    let stage = Stage::new();
    let agent = stage.start();
    let mut watch = spawn(&mut command(&stage, &["topics", "watch", "#"]));
    let mut told = String::new();
    BufReader::new(watch.stderr.as_mut().unwrap()).read_line(&mut told).unwrap();
    assert!(told.contains("watching #"), "{told}");
    agent.kill();
    assert_eq!(ended(watch.wait_with_output().unwrap()).0, 5);
    // The next one takes away what the killed one left.
    stage.start().stop();
}

#[test]
fn a_certificate_that_has_no_place_is_not_issued() {
    let stage = Stage::new();
    let agent = stage.start();
    let folder = stage.folder().join("taken");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("alice.pem"), "an older one").unwrap();
    let issue = ["admin", "issue", "alice", "--out", folder.to_str().unwrap()];
    assert!(fails(command(&stage, &issue), 1).contains("alice.pem is there already"));
    assert!(!folder.join("alice.key").exists(), "nothing is left of it");
    let listed = document(&stage, &["admin", "list"]);
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    agent.stop();
}
