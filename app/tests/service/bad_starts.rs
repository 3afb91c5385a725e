//! Bad input, starts: a wrong `appsettings.json`, a taken port, a taken root. One message, the documented exit code.

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use serde_json::json;

use crate::support::{Stage, binary, cgroups_of, processes_naming, spawn};

/// Runs the agent where it cannot start; its exit code and the one line on stderr.
#[track_caller]
fn refused(stage: &Stage) -> (i32, String) {
    let mut command = Command::new(binary());
    command.args(["run", "--root"]).arg(stage.root()).stdin(Stdio::null());
    let child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let pid = child.id();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = String::from_utf8(stderr).unwrap();
    assert_eq!((stdout.as_slice(), text.lines().count()), (&b""[..], 1), "{text}");
    assert_eq!(cgroups_of(pid), Vec::<std::path::PathBuf>::new());
    (status.code().unwrap(), text.trim_end().to_owned())
}

#[test]
fn a_wrong_setting_is_one_message_with_file_key_value_and_what_is_allowed() {
    let cases = [
        (
            "{ \"Settings\": { \"KestrelHttpPort\": \"none\" } }",
            ["appsettings.json", "Settings:KestrelHttpPort", "none"],
        ),
        ("{ \"Settings\": { \"KestrelHttpsPort\": 70000 } }", ["Settings:KestrelHttpsPort", "70000", "65535"]),
        ("{ \"Settings\": { \"MaxConcurrentRuns\": 0 } }", ["Settings:MaxConcurrentRuns", " 0", "1"]),
        ("{ \"Settings\": { \"system.logging.level\": \"Loud\" } }", ["system.logging.level", "Loud", "Information"]),
        ("{ \"MqttBrokerSettings\": { \"IpAddress\": \"0.0.0.0\" } }", ["IpAddress", "0.0.0.0", "loopback"]),
        ("{ \"MqttBrokerSettings\": { \"DenialReason\": \"Loud\" } }", ["DenialReason", "Loud", "Visible"]),
        (
            "{ \"Settings\": { \"AlternativeSignatures\": [\"A1 B2:C3\"] } }",
            ["Settings:AlternativeSignatures:0", "A1 B2:C3", "40 (SHA-1) or 64 (SHA-256)"],
        ),
        (
            "{ \"Settings\": { \"AllowedNonAdminExecutables\": [\"/usr/bin/tool\"] } }",
            ["Settings:AllowedNonAdminExecutables:0", "/usr/bin/tool", "base name"],
        ),
        ("{ \"Settings\": [] }", ["appsettings.json", "Settings", "object"]),
        ("{ \"Settings\": { } ", ["appsettings.json", "line", "1"]),
        (
            "{ \"Settings\": { \"KestrelHttpPort\": 1, \"kestrelhttpport\": 2 } }",
            ["appsettings.json", "kestrelhttpport", ""],
        ),
    ];
    for (text, expected) in cases {
        let stage = Stage::new();
        stage.file("appsettings.json", text);
        let (code, message) = refused(&stage);
        assert_eq!(code, 6, "{text}: {message}");
        for part in expected {
            assert!(message.contains(part), "{text}: no '{part}' in: {message}");
        }
        assert!(!stage.root().join("state/ports.json").exists());
    }
}

#[test]
fn an_unknown_setting_is_a_warning_that_names_the_nearest() {
    let stage = Stage::new();
    stage.settings(json!({ "KestrelHttpPrt": 7000, "SomethingOfTheProduct": { "Deep": true } }));
    let agent = stage.start();
    let record = agent.logged_message("Settings", "KestrelHttpPrt");
    let message = record["message"].as_str().unwrap();
    assert_eq!(record["level"], "Warning");
    assert!(message.contains("KestrelHttpPort") && message.contains("appsettings.json"), "{message}");
    agent.logged_message("Settings", "SomethingOfTheProduct");
    agent.stop();
}

#[test]
fn a_damaged_store_is_named_with_what_to_do() {
    let stage = Stage::new();
    stage.start().stop();
    stage.file("state/broker.db", "no database");
    let (code, message) = refused(&stage);
    assert_eq!(code, 5, "{message}");
    assert!(message.contains("state/broker.db") && message.contains("move it away"), "{message}");
}

#[test]
fn a_taken_port_is_named_with_its_holder() {
    for key in ["Settings:KestrelHttpPort", "Settings:KestrelHttpsPort", "MqttBrokerSettings:Port"] {
        let stage = Stage::new();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let mut settings = json!({
            "Settings": { "KestrelHttpPort": 0, "KestrelHttpsPort": 0 }, "MqttBrokerSettings": { "Port": 0 }
        });
        let (section, name) = key.split_once(':').unwrap();
        settings[section][name] = json!(port);
        stage.file("appsettings.json", &settings.to_string());
        let (code, message) = refused(&stage);
        assert_eq!(code, 5, "{message}");
        for part in [port.to_string(), std::process::id().to_string(), key.to_owned()] {
            assert!(message.contains(&part), "no '{part}' in: {message}");
        }
        assert!(!stage.root().join("state/ports.json").exists());
    }
}

#[test]
fn a_second_agent_on_the_root_is_refused_and_the_first_stays() {
    let stage = Stage::new();
    let agent = stage.start();
    let before = agent.ports();
    let (code, message) = refused(&stage);
    assert_eq!(code, 5, "{message}");
    assert!(message.contains("another agent") && message.contains(&agent.pid().to_string()), "{message}");
    assert_eq!(agent.ports(), before, "the first agent's ports.json is untouched");
    assert_eq!(agent.call("GET", "/api/Jobs").send().status, 200);
    agent.stop();
}

#[test]
fn a_root_that_others_may_change_is_refused() {
    let stage = Stage::new();
    std::fs::set_permissions(stage.root(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let (code, message) = refused(&stage);
    assert_eq!(code, 5, "{message}");
    assert!(message.contains("chmod go-w"), "{message}");
    assert_eq!(processes_naming(&stage.folder().display().to_string()), []);
}

#[test]
fn a_root_that_is_a_file_is_refused() {
    let stage = Stage::new();
    std::fs::remove_file(stage.root().join("appsettings.json")).unwrap();
    std::fs::remove_dir(stage.root()).unwrap();
    std::fs::write(stage.root(), "not a folder").unwrap();
    let (code, message) = refused(&stage);
    assert_eq!(code, 5, "{message}");
    assert!(message.contains(&stage.root().display().to_string()), "{message}");
}
