//! Which files are executed: nobody else may change them, and no link leads a plugin's out of its root.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use serde_json::json;

use crate::support::{Agent, Stage, is_root, skipped};

/// What has to be refused: its name, what is done to the deployed binary, what the refusal says, whether that takes root.
type Case = (&'static str, fn(&Path), &'static str, bool);

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// The binary's folder is a stranger's, who can put there what he likes at any time.
fn given_away(binary: &Path) {
    chown(binary.parent().unwrap(), Some(65534), Some(65534)).unwrap();
}

const UNSAFE: [Case; 4] = [
    ("loose", |binary| mode(binary, 0o757), "mode 0757", false),
    ("folder", |binary| mode(binary.parent().unwrap(), 0o777), "mode 0777", false),
    ("given", given_away, "user 65534", true),
    ("foreign", |binary| chown(binary, Some(65534), None).unwrap(), "user 65534", true),
];

fn possible(case: &Case) -> bool {
    let (name, .., as_root) = case;
    let possible = is_root() || !as_root;
    if !possible {
        skipped(&format!("the case '{name}' gives a file to another user, which needs root"));
    }
    possible
}

#[test]
fn a_task_that_somebody_else_may_change_is_not_run() {
    let stage = Stage::new();
    let cases: Vec<&Case> = UNSAFE.iter().filter(|case| possible(case)).collect();
    for (name, spoil, ..) in &cases {
        let script = stage.script(name, "echo ran");
        stage.job(&json!({ "id": name, "tasks": [ { "id": "run", "command": name } ] }));
        spoil(&script);
    }
    let interpreter = stage.script("interpreter", "echo ran");
    mode(&interpreter, 0o757);
    let script = stage.script("script", "");
    fs::write(&script, format!("#!{}\n", interpreter.display())).unwrap();
    stage.job(&json!({ "id": "script", "tasks": [ { "id": "run", "command": "script" } ] }));
    let agent = stage.start();
    for (name, why) in cases.iter().map(|(name, _, why, _)| (*name, *why)).chain([("script", "mode 0757")]) {
        let run = agent.run(name);
        assert_eq!(run["outcome"], "Failed", "{name}: {run}");
        let reason = run["tasks"][0]["reason"].as_str().unwrap();
        assert!(reason.contains(why) && reason.contains("chmod go-w"), "{name}: {reason}");
        assert_ne!(run["tasks"][0]["stdout"], "ran\n", "{name}");
    }
    agent.stop();
}

#[test]
fn a_plugin_runs_from_inside_its_root_or_from_an_absolute_path_elsewhere() {
    let stage = Stage::new();
    let elsewhere = stage.folder().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    mode(&elsewhere, 0o755);
    let deploy = |id: &str| {
        let definition = stage.puppet_plugin(id, &[], &[]);
        (definition, stage.root().join(format!("Plugins/bin/{id}/{id}")))
    };
    let move_to = |from: &Path, to: &Path| {
        fs::rename(from, to).unwrap();
        symlink(to, from).unwrap();
    };
    // Control cases: a link that stays inside, a path elsewhere.
    let (inner, binary) = deploy("Inner");
    move_to(&binary, &binary.with_file_name("Inner-2"));
    stage.plugin(&inner);
    let (mut absolute, binary) = deploy("Absolute");
    fs::rename(&binary, elsewhere.join("Absolute")).unwrap();
    absolute["executablePath"] = json!(elsewhere.join("Absolute"));
    stage.plugin(&absolute);
    // The file, or the folder that it is in, is a link out of the root.
    let (file, binary) = deploy("FileLink");
    move_to(&binary, &elsewhere.join("FileLink"));
    stage.plugin(&file);
    let (folder, binary) = deploy("FolderLink");
    move_to(binary.parent().unwrap(), &elsewhere.join("FolderLink"));
    stage.plugin(&folder);
    let (mut named, binary) = deploy("Named");
    move_to(&binary, &elsewhere.join("Named"));
    named["executablePath"] = json!(binary);
    stage.plugin(&named);
    let unsafe_ones: Vec<&Case> = UNSAFE.iter().filter(|case| possible(case)).collect();
    for (name, spoil, ..) in &unsafe_ones {
        let (definition, binary) = deploy(name);
        stage.plugin(&definition);
        spoil(&binary);
    }
    let agent = stage.start();
    stage.puppet("Inner").connect_plugin(agent.mqtt);
    stage.puppet("Absolute").connect_plugin(agent.mqtt);
    for name in ["FileLink", "FolderLink", "Named"] {
        refused(
            &agent,
            name,
            &format!("is a link out of its root, to '{}", fs::canonicalize(&elsewhere).unwrap().display()),
        );
    }
    for (name, _, why, _) in unsafe_ones {
        refused(&agent, name, why);
    }
    agent.stop();
}

/// The plugin was not started, and both log and API say why.
#[track_caller]
fn refused(agent: &Agent<'_>, id: &str, why: &str) {
    let record = agent.logged(&format!("why plugin {id} is not started"), |record| {
        let message = record["message"].as_str().unwrap_or_default();
        record["category"] == "PluginEnded" && message.contains(&format!("Plugin {id} "))
    });
    assert!(record["message"].as_str().unwrap().contains(why), "{record}");
    let plugin = agent.call("GET", &format!("/api/plugins/{id}")).send().json();
    assert!(plugin["reason"].as_str().unwrap().contains(why), "{plugin}");
    assert_eq!(plugin["processId"], serde_json::Value::Null, "{plugin}");
}
