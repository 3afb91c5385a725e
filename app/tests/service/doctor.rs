//! `castellan doctor`: the checklists on the integrator's example root, on a running agent, and on what is broken.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Stage, binary, deploy, log_message, spawn};

/// Exit code, subjects by kind and id, and standard error.
#[track_caller]
fn doctor(root: &Path, arguments: &[&str]) -> (i32, Value, String) {
    doctor_of(&binary(), root, arguments)
}

#[track_caller]
fn doctor_of(program: &Path, root: &Path, arguments: &[&str]) -> (i32, Value, String) {
    let mut command = Command::new(program);
    command.arg("doctor").args(arguments).args(["-o", "json", "--root"]).arg(root);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = spawn(&mut command).wait_with_output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    let document = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code().unwrap(), document, error)
}

/// The names of a subject's checks with this status.
fn with(document: &Value, id: &str, status: &str) -> Vec<String> {
    let subject = document["subjects"].as_array().unwrap().iter().find(|subject| subject["id"] == id).unwrap();
    let checks = subject["checks"].as_array().unwrap().iter().filter(|check| check["status"] == status);
    checks.map(|check| check["name"].as_str().unwrap().to_owned()).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
            let mode = if entry.path().extension().is_some() { 0o644 } else { 0o755 };
            fs::set_permissions(&target, fs::Permissions::from_mode(mode)).unwrap();
        }
    }
}

#[test]
fn the_example_root_is_healthy_and_each_thing_that_is_broken_is_named() {
    let stage = Stage::new();
    let root = stage.folder().join("example");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/root"), &root);
    let (code, document, error) = doctor(&root, &[]);
    assert_eq!((code, &document["ok"]), (0, &json!(true)), "{error} {document:#}");
    let counts = |id: &str| ["ok", "skipped", "failed"].map(|status| with(&document, id, status).len());
    assert_eq!((counts("secrets-scanner"), counts("EchoBridge")), ([6, 7, 0], [4, 7, 0]), "{document:#}");

    let scanner = root.join("Jobs/bin/SecretScanner/SecretScanner");
    fs::set_permissions(&scanner, fs::Permissions::from_mode(0o777)).unwrap();
    let (code, document, error) = doctor(&root, &["job", "secrets-scanner"]);
    assert_eq!((code, error.as_str()), (1, "castellan: 1 checks failed.\n"));
    assert_eq!(with(&document, "secrets-scanner", "failed"), ["binary-exists"]);
    let check = &document["subjects"][0]["checks"][0];
    assert!(check["proof"].as_str().unwrap().contains("chmod go-w") && check["number"] == 1, "{check}");
    assert_eq!(document["subjects"].as_array().unwrap().len(), 1, "only what was asked for");

    assert_eq!(doctor(&root, &["plugin", "secrets-scanner"]).0, 3);
    assert_eq!(doctor(&root, &["job"]).0, 2);
    assert_eq!(doctor(stage.folder().join("nothing").as_path(), &[]).0, 3);
}

#[test]
fn a_running_agent_adds_what_only_it_knows() {
    let stage = Stage::new();
    // So that a file beside the others stays.
    stage.settings(json!({ "ConfigurationLkg": { "AuditOnly": true } }));
    let mut job = stage.puppet_job("speaker", &["KeeperLogger"], &[]);
    job["eventTopic"] = json!("Jobs/speaker/events");
    job["mqttTopics"]["allowedPublications"] = json!(["KeeperLogger", "Jobs/speaker/events"]);
    stage.job(&job);
    let agent = stage.start();
    let names = ["trigger", "client-id", "keeper-logger", "signature"];
    let (code, document, error) = doctor(&stage.root(), &["job", "speaker"]);
    assert_eq!(code, 0, "{error}");
    assert_eq!(with(&document, "speaker", "skipped"), names, "nothing ran yet");

    let run = agent.trigger("speaker");
    let mut puppet = stage.puppet("speaker");
    puppet.connect(agent.mqtt);
    puppet.publish("KeeperLogger", &log_message("hello").to_string());
    puppet.exit(0, "");
    agent.finished(&run);
    agent.logged_message("Test", "hello");
    let (code, document, error) = doctor(&stage.root(), &["job", "speaker"]);
    assert_eq!((code, with(&document, "speaker", "skipped")), (0, vec![String::from("signature")]), "{error}");
    let proof = |name: &str| {
        let checks = document["subjects"][0]["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == name).unwrap()["proof"].as_str().unwrap().to_owned()
    };
    assert!(proof("client-id").contains("'speaker_Puppet_"), "{}", proof("client-id"));
    assert!(proof("trigger").contains(&run), "{}", proof("trigger"));
    assert!(proof("plugin-settings").contains(&format!("127.0.0.1:{}", agent.mqtt)), "{}", proof("plugin-settings"));

    // The file is put beside the running agent, which does not run what nobody blessed.
    fs::copy(stage.root().join("Jobs/speaker.json"), stage.root().join("Jobs/late.json")).unwrap();
    let text = fs::read_to_string(stage.root().join("Jobs/late.json")).unwrap();
    fs::write(stage.root().join("Jobs/late.json"), text.replace("\"speaker\"", "\"late\"")).unwrap();
    let (code, document, _) = doctor(&stage.root(), &["job", "late"]);
    assert_eq!((code, with(&document, "late", "failed")), (1, vec![String::from("in-service")]), "{document:#}");
    agent.stop();
}

#[test]
fn a_live_probe_goes_the_way_of_a_task_and_leaves_nothing() {
    let stage = Stage::new();
    let mut job = stage.puppet_job("speaker", &["KeeperLogger", "speaker/events"], &[]);
    job["eventTopic"] = json!("speaker/events");
    stage.job(&job);
    stage.job(&stage.puppet_job("mute", &["Elsewhere"], &[]));
    // Left by a doctor that was killed; a process with its id lives, as this one does, and is none.
    stage.job(
        &json!({ "id": format!("doctor-probe-{}", std::process::id()), "tasks": [{ "id": "t", "command": "echo" }] }),
    );
    let mut plugin = stage.puppet_plugin("Bridge", &[], &[]);
    plugin["autoStart"] = json!(false);
    stage.plugin(&plugin);
    let agent = stage.start();
    // The program of a task must be changeable by nobody else; the build folder may be.
    let program = stage.folder().join("castellan");
    deploy(|| fs::copy(binary(), &program)).unwrap();
    let live = |arguments: &[&str]| doctor_of(&program, &stage.root(), &[arguments, &["--live"]].concat());
    let proof = |document: &Value, name: &str| {
        let checks = document["subjects"][0]["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == name).unwrap()["proof"].as_str().unwrap().to_owned()
    };

    let (code, document, error) = live(&["job", "speaker"]);
    assert_eq!(
        (code, with(&document, "speaker", "skipped")),
        (0, vec![String::from("signature")]),
        "{error} {document:#}"
    );
    for (name, text) in [
        ("trigger", "of the temporary job doctor-probe-"),
        ("environment", "A task was given KEEPER_JOB_ID=doctor-probe-"),
        ("plugin-settings", &format!("A task read the broker's address 127.0.0.1:{}", agent.mqtt)),
        ("client-id", "A task connected over TLS as 'doctor-probe-"),
        ("keeper-logger", "The log has it."),
        ("event-topic", "'speaker/events' was acknowledged"),
    ] {
        assert!(proof(&document, name).contains(text), "{name}: {}", proof(&document, name));
    }
    let (code, document, error) = live(&["plugin", "Bridge"]);
    assert_eq!(code, 0, "{error} {document:#}");
    assert!(proof(&document, "own-settings").contains("settings of Bridge"), "{document:#}");

    let (code, document, _) = live(&["job", "mute"]);
    assert_eq!(
        (code, with(&document, "mute", "failed")),
        (1, vec!["publications".into(), "keeper-logger".into()]),
        "{document:#}"
    );
    let jobs = agent.call("GET", "/api/Jobs").send().json();
    assert_eq!(jobs.as_array().unwrap().len(), 2, "the temporary jobs are gone: {jobs}");
    let left = fs::read_dir(stage.root().join("Jobs"))
        .unwrap()
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().starts_with("doctor-probe-"));
    assert!(!left);
    agent.stop();
    let (code, _, error) = live(&["job", "speaker"]);
    assert!(code == 5 && error.contains("no agent runs"), "{error}");
}

#[test]
fn what_no_agent_could_read_is_not_called_healthy() {
    let stage = Stage::new();
    stage.file("Jobs/torn.json", "{");
    let (code, document, _) = doctor(&stage.root(), &["job", "torn"]);
    let proof = document["subjects"][0]["checks"][1]["proof"].as_str().unwrap();
    assert!(code == 1 && proof.contains("no valid definition: line 1, column"), "{code}: {proof}");
    let settings = stage.root().join("appsettings.json");
    fs::remove_file(&settings).unwrap();
    fs::create_dir(&settings).unwrap();
    let (code, _, error) = doctor(&stage.root(), &["job", "torn"]);
    assert!(code == 3 && error.contains("appsettings.json cannot be read"), "{code}: {error}");
}

#[test]
fn where_nothing_is_installed_it_says_what_installs_it() {
    let stage = Stage::new();
    let init = |root: &Path| format!("castellan init --root {} installs what comes with the agent", root.display());
    let (missing, empty) = (stage.folder().join("missing"), stage.folder().join("empty"));
    fs::create_dir(&empty).unwrap();
    for (root, what) in [(&missing, "is not there"), (&empty, "is no agent root yet")] {
        for arguments in [&[][..], &["job", "scan"]] {
            let (code, _, error) = doctor(root, arguments);
            assert!(code == 3 && error.contains(what) && error.contains(&init(root)), "{code}: {error}");
        }
    }
    // An agent was started there, and nothing else was done.
    stage.start().stop();
    let (code, _, error) = doctor(&stage.root(), &[]);
    assert!(code == 3 && error.contains("has no jobs and no plugins"), "{code}: {error}");
    assert!(error.contains(&init(&stage.root())), "{error}");
    let program = Command::new(binary()).arg("init").arg("--root").arg(&empty).stdout(Stdio::null()).status().unwrap();
    assert!(program.success());
    let (code, document, error) = doctor(&empty, &[]);
    assert_eq!((code, with(&document, "requests", "failed")), (0, Vec::new()), "{error}");
}
