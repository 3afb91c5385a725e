//! Bad input, definitions: a broken file is out of service, everything else works.

use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::support::Stage;

fn good(id: &str) -> Value {
    json!({ "id": id, "tasks": [ { "id": "say", "command": "echo", "arguments": "fine" } ] })
}

/// The findings of a refused file in the answer to a reload.
#[track_caller]
fn refused<'a>(report: &'a Value, file: &str) -> &'a Value {
    let refused = report["refused"].as_array().unwrap();
    &refused.iter().find(|entry| entry["file"] == file).unwrap_or_else(|| panic!("{file}: {report}"))["findings"]
}

#[test]
fn broken_files_are_out_of_service_with_file_pointer_and_reason() {
    let stage = Stage::new();
    // Files count, so that one can be mended by hand.
    stage.settings(json!({ "ConfigurationLkg": { "Enabled": false } }));
    stage.job(&good("good"));
    stage.file("Jobs/syntax.json", "{ \"id\": \"syntax\", ");
    stage.file("Jobs/stem.json", &good("another").to_string());
    let mut typed = good("typed");
    typed["tasks"][0]["timeoutSeconds"] = json!("soon");
    stage.job(&typed);
    stage.file("Jobs/binary.json", "\u{0}\u{1}\u{2}");
    stage.file("Plugins/Broken.json", "{ \"id\": \"Broken\" }");
    let agent = stage.start();

    assert_eq!(agent.run("good")["outcome"], "Succeeded");
    let broken = ["Jobs/syntax.json", "Jobs/stem.json", "Jobs/typed.json", "Jobs/binary.json", "Plugins/Broken.json"];
    for file in broken {
        agent.logged_message("OutOfService", file);
        agent.logged_message("Definition", file);
    }
    agent.logged_message("Definition", "Jobs/typed.json at /tasks/0/timeoutSeconds");
    agent.logged_message("Definition", "Jobs/stem.json at /id");
    let shown = agent.call("GET", "/api/Jobs/typed").send();
    assert_eq!((shown.status, &shown.json()["findings"][0]["path"]), (404, &json!("/tasks/0/timeoutSeconds")));
    assert_eq!(agent.call("POST", "/api/Jobs/typed/trigger").send().status, 404);

    let report = agent.call("POST", "/api/Jobs/reload").send();
    assert_eq!(report.status, 200, "{report:?}");
    let report = report.json();
    assert_eq!(report["loaded"], json!(["Jobs/good.json"]), "{report}");
    assert_eq!(report["refused"].as_array().unwrap().len(), broken.len(), "{report}");
    for file in broken {
        let findings = refused(&report, file);
        assert!(findings.as_array().unwrap().iter().all(|finding| !finding["message"].as_str().unwrap().is_empty()));
    }
    assert_eq!(refused(&report, "Jobs/typed.json")[0]["path"], "/tasks/0/timeoutSeconds");

    stage.job(&good("typed"));
    let report = agent.call("POST", "/api/Jobs/reload").send().json();
    assert!(report["loaded"].as_array().unwrap().contains(&json!("Jobs/typed.json")), "{report}");
    assert_eq!(agent.run("typed")["outcome"], "Succeeded", "a mended file is back in service");
    agent.stop();
}

#[test]
fn what_is_not_a_plain_file_is_not_read() {
    let stage = Stage::new();
    stage.job(&good("good"));
    let outside = stage.folder().join("secret.json");
    std::fs::write(&outside, json!({ "id": "link", "name": "TOP-SECRET", "tasks": [] }).to_string()).unwrap();
    symlink(&outside, stage.root().join("Jobs/link.json")).unwrap();
    std::fs::create_dir(stage.root().join("Jobs/folder.json")).unwrap();
    let fifo = stage.root().join("Jobs/fifo.json");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o644), 0)
        .unwrap();
    let original = stage.file("Jobs/original.json", &good("original").to_string());
    std::fs::hard_link(original, stage.root().join("Jobs/hard.json")).unwrap();
    let open = stage.file("Jobs/open.json", &good("open").to_string());
    std::fs::set_permissions(open, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    stage.file("Jobs/large.json", &" ".repeat(2 << 20));

    let agent = stage.start();
    assert_eq!(agent.run("good")["outcome"], "Succeeded");
    let report = agent.call("POST", "/api/Jobs/reload").send().json();
    assert_eq!(report["loaded"], json!(["Jobs/good.json"]), "{report}");
    for (stem, reason) in [
        ("link", "symbolic link"),
        ("folder", "directory"),
        ("fifo", "FIFO"),
        ("hard", "hard links"),
        ("original", "hard links"),
        ("open", "chmod go-w"),
        ("large", "bytes"),
    ] {
        let findings = refused(&report, &format!("Jobs/{stem}.json")).to_string();
        assert!(findings.contains(reason), "{stem}: {findings}");
        agent.logged_message("OutOfService", &format!("Jobs/{stem}.json"));
    }
    let log = std::fs::read_to_string(stage.root().join("state/logs/agent.jsonl")).unwrap();
    assert!(!log.contains("TOP-SECRET") && !report.to_string().contains("TOP-SECRET"));
    agent.stop();
}

#[test]
fn a_binary_that_others_may_change_is_not_run() {
    let stage = Stage::new();
    let script = stage.script("Loose", "echo ran");
    stage.job(&json!({ "id": "loose", "tasks": [ { "id": "run", "command": "Loose" } ] }));
    let agent = stage.start();
    assert_eq!(agent.run("loose")["outcome"], "Succeeded");
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let run = agent.run("loose");
    assert_eq!(run["outcome"], "Failed", "{run}");
    assert!(run["tasks"][0]["reason"].as_str().unwrap().contains("Loose"), "{run}");
    assert_ne!(run["tasks"][0]["stdout"], "ran\n");
    agent.stop();
}
