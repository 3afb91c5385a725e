//! `castellan config show`: what an agent would have for its settings, and from where.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{Stage, binary, spawn};

fn show(stage: &Stage, arguments: &[&str], variable: bool) -> (i32, String, String) {
    let mut command = Command::new(binary());
    command.args(["config", "show"]).args(arguments).env_remove("CASTELLAN_ROOT");
    if variable {
        command.env("CASTELLAN_ROOT", stage.root());
    } else {
        command.arg("--root").arg(stage.root());
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = spawn(&mut command).wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn every_setting_is_shown_with_the_line_that_says_it() {
    let stage = Stage::new();
    let file = stage.root().join("appsettings.json");
    let text = "{\n  \"settings\": {\n    \"maxconcurrentruns\": 3,\n    \"PluginMonitoring\": { \"RestartDelaySeconds\": 2 },\n    \"system\":\n      { \"logging\": { \"level\": \"Debug\" } },\n    \"MaxConcurentRuns\": 4 },\n  \"MqttBrokerSettings\": { \"Port\": 0 } }\n";
    fs::write(&file, text).unwrap();
    let (code, told, warned) = show(&stage, &["--origin"], false);
    assert_eq!(code, 0, "{warned}");
    let row = |key: &str| told.lines().find(|line| line.split_whitespace().next() == Some(key)).unwrap();
    let words = |key: &str| row(key).split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>();
    let at = |line: usize| format!("{}:{line}", file.display());
    assert_eq!(words("MaxConcurrentRuns"), ["3".to_owned(), at(3)]);
    assert_eq!(words("PluginMonitoring.RestartDelaySeconds"), ["2".to_owned(), at(4)]);
    assert_eq!(words("system.logging.level"), ["Debug".to_owned(), at(6)]);
    assert_eq!(words("MqttBrokerSettings.Port"), ["0".to_owned(), at(8)]);
    assert_eq!(words("KestrelHttpsPort"), ["6889", "default"]);
    assert_eq!(words("root").last().unwrap(), "--root");
    assert!(warned.contains("'Settings:MaxConcurentRuns' is not known (did you mean 'MaxConcurrentRuns'"), "{warned}");

    let (_, json, _) = show(&stage, &["-o", "json"], true);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["rootOrigin"], json["warnings"].as_array().unwrap().len()),
        (&"environment CASTELLAN_ROOT".into(), 1)
    );
    let setting =
        |key: &str| json["settings"].as_array().unwrap().iter().find(|one| one["key"] == key).unwrap().clone();
    assert_eq!(setting("MaxConcurrentRuns")["pointer"], "/settings/maxconcurrentruns");
    assert_eq!(
        (&setting("RunHistoryDays")["origin"], &setting("RunHistoryDays")["line"]),
        (&"default".into(), &Value::Null)
    );

    fs::write(&file, "{\"Settings\": {\"MaxConcurrentRuns\": 0}}").unwrap();
    let (code, _, error) = show(&stage, &[], false);
    assert!(code == 6 && error.contains("Settings:MaxConcurrentRuns is 0"), "{error}");
    fs::remove_file(&file).unwrap();
    let (code, told, _) = show(&stage, &["--origin"], false);
    assert!(code == 0 && told.lines().skip(2).all(|line| line.ends_with("default")), "{told}");
}
