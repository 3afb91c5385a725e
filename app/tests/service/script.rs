//! Scripts: every `scriptType` with a real process, and what is said where one cannot run.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::support::{Agent, Stage};

/// A job of one task for each pair of command and `scriptType`.
fn job(id: &str, tasks: &[(&str, &str)]) -> Value {
    let task = |(command, script_type): &(&str, &str)| {
        json!({ "id": command.replace('.', "-"), "command": command, "scriptType": script_type,
            "arguments": "one 'two three'", "continueOnFailure": true })
    };
    json!({ "id": id, "tasks": tasks.iter().map(task).collect::<Vec<_>>() })
}

/// A script without the x bit where its command is found.
fn script(stage: &Stage, command: &str, text: &str) -> String {
    stage.file(&format!("Jobs/bin/{command}/{command}"), text).display().to_string()
}

/// `PATH` of an agent that finds what stands in this folder of the stage, then what everybody finds.
fn path_with(stage: &Stage, folder: &str) -> String {
    format!("{}:{}", stage.folder().join(folder).display(), std::env::var("PATH").unwrap_or_default())
}

#[test]
fn each_type_of_script_runs_through_its_interpreter() {
    let stage = Stage::new();
    let tools = stage.folder().join("tools");
    fs::create_dir(&tools).unwrap();
    // Stands in for PowerShell, which few machines have.
    fs::write(tools.join("pwsh"), "#!/bin/sh\nprintf 'pwsh %s\\n' \"$*\"\n").unwrap();
    fs::set_permissions(tools.join("pwsh"), Permissions::from_mode(0o755)).unwrap();
    let python = "import os, sys\nprint(os.environ['KEEPER_JOB_ID'], sys.argv[1:])\n";
    let shell = "[ -z \"$BASH_VERSION\" ] || [ -n \"$POSIXLY_CORRECT\" ] || shopt -qo posix; echo \"sh $# $2\"\n";
    let written = [
        script(&stage, "by-extension.sh", shell),
        script(&stage, "typed-bash", "words=(\"$@\"); echo \"bash ${#words[@]} ${words[1]}\"\n"),
        script(&stage, "by-extension.py", python),
        script(&stage, "typed-python", python),
        script(&stage, "by-extension.ps1", ""),
    ];
    stage.script("by-hash-bang.py", "echo \"itself $2\"");
    stage.script("plain", "echo \"none $2\"");
    let tasks = [
        ("by-extension.sh", "Auto"),
        ("typed-bash", "Bash"),
        ("by-extension.py", "Auto"),
        ("typed-python", "Python"),
        ("by-extension.ps1", "Auto"),
        ("by-hash-bang.py", "Auto"),
        ("plain", "None"),
    ];
    let mut document = job("scripts", &tasks);
    document["mqttTopics"] = json!({ "allowedPublications": ["x"], "allowedSubscriptions": [] });
    let agent = Agent::start_with(&stage, |command| command.env("PATH", path_with(&stage, "tools")));
    let answer = agent.call("POST", "/api/Jobs").json(&document).send();
    assert_eq!(answer.status, 201, "a script needs no x bit where an interpreter runs it: {answer:?}");
    let run = agent.run("scripts");
    assert_eq!(run["outcome"], "Succeeded", "{run}");
    let told: Vec<&str> =
        run["tasks"].as_array().unwrap().iter().map(|task| task["stdout"].as_str().unwrap()).collect();
    let power_shell = format!("pwsh -NoProfile -NonInteractive -File {} one two three\n", written[4]);
    let python = "scripts ['one', 'two three']\n";
    let expect = [
        "sh 2 two three\n",
        "bash 2 two three\n",
        python,
        python,
        &power_shell,
        "itself two three\n",
        "none two three\n",
    ];
    assert_eq!(told, expect, "{run}");
    let line = |index: usize| run["tasks"][index]["commandLine"].as_array().unwrap().clone();
    for (index, name) in ["/sh", "/bash", "/python3", "/python3"].into_iter().enumerate() {
        let line = line(index);
        assert!(line[0].as_str().unwrap().ends_with(name), "{line:?}");
        assert_eq!(line[1..], [json!(written[index]), json!("one"), json!("two three")]);
    }
    assert_eq!(line(4)[1..4], [json!("-NoProfile"), json!("-NonInteractive"), json!("-File")]);
    assert_eq!(line(6)[0], "plain");
    agent.stop();
}

#[test]
fn a_script_that_cannot_run_says_what_where_and_how_to_mend_it() {
    let stage = Stage::new();
    let lost = script(&stage, "lost.py", "print(1)\n");
    let open = script(&stage, "open.sh", "echo ran\n");
    fs::set_permissions(&open, Permissions::from_mode(0o646)).unwrap();
    let plain = script(&stage, "plain", "#!/bin/sh\necho ran\n");
    let tasks = [("lost.py", "Auto"), ("open.sh", "Auto"), ("plain", "None")];
    stage.job(&job("broken", &tasks));
    fs::create_dir(stage.folder().join("bin")).unwrap();
    std::os::unix::fs::symlink("/bin/sh", stage.folder().join("bin/sh")).unwrap();
    let bin = stage.folder().join("bin").display().to_string();
    let agent = Agent::start_with(&stage, |command| command.env("PATH", bin));
    let run = agent.run("broken");
    let expect = [
        (&lost, "needs python3 or python (by its extension)", "install it", "interpreter-not-found"),
        (&open, "mode 0646", "chmod go-w", "binary-not-safe"),
        (&plain, "may be executed", "chmod 755", "binary-not-safe"),
    ];
    let answer = agent.call("POST", "/api/Jobs/validate").json(&job("broken", &tasks)).send();
    let findings = answer.json()["findings"].clone();
    assert_eq!((answer.status, findings.as_array().unwrap().len()), (400, 3), "{findings}");
    for (index, (path, what, fix, code)) in expect.into_iter().enumerate() {
        let task = &run["tasks"][index];
        assert_eq!((&task["outcome"], &task["stdout"]), (&json!("Failed"), &json!("")), "{task}");
        let reason = task["reason"].as_str().unwrap();
        assert!(reason.contains(path.as_str()) && reason.contains(what) && reason.contains(fix), "{reason}");
        assert_eq!((&findings[index]["code"], &findings[index]["message"]), (&json!(code), &json!(reason)));
    }
    agent.stop();
}
