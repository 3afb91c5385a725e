//! `castellan elevate` as its user sees it: pipes, exit statuses, signals, his terminal.

mod desktop;
mod stopped;
pub(crate) mod terminal;
mod tmux;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use serde_json::json;

use crate::elevation::{installed, policy, ready};
use crate::support::{Agent, Stage, binary, spawn};
use crate::users::start;

/// An account of every Linux system.
const NOBODY: u32 = 65_534;

/// An agent that allows everything to root and nobody, but `whoami`, which it denies, `uname`, for which it wants a reason, and `env`, for
/// which it wants a code; `None` where nobody can be given anything.
fn stage() -> Option<Stage> {
    let stage = installed()?;
    let policies =
        [("*", "ALLOW"), ("/usr/bin/whoami", "DENY"), ("/usr/bin/uname", "JUSTIFY"), ("/usr/bin/env", "MFA")];
    for (file, control) in policies {
        let mut policy = policy("root", file, &[control, "NOTIFY"]);
        policy["UserCheck"] = json!(["root", "nobody"]);
        if control == "MFA" || control == "JUSTIFY" {
            policy["NotificationMessage"] = json!("A question:\u{1b}[2J");
        }
        stage.file(&format!("Policies/{control}.json"), &policy.to_string());
    }
    Some(stage)
}

fn agent(stage: &Stage) -> Agent<'_> {
    let agent = start(stage);
    ready(&agent);
    agent
}

/// `castellan elevate -- …`, in a folder and with streams of its own.
fn elevate(root: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("elevate").arg("--root").arg(root).arg("--").args(words);
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn shell(root: &Path, script: &str) -> Command {
    elevate(root, &["sh", "-c", script])
}

#[track_caller]
fn output(mut command: Command) -> Output {
    spawn(&mut command).wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn pipes_files_and_exit_statuses_are_the_programs() {
    let Some(stage) = stage() else { return };
    let agent = agent(&stage);
    let folder = tempfile::tempdir().unwrap();
    let out = File::create(folder.path().join("out")).unwrap();
    let mut command = elevate(&stage.root(), &["tee", "file"]);
    command.current_dir(folder.path()).stdin(Stdio::piped()).stdout(out);
    let mut child = spawn(&mut command);
    child.stdin.take().unwrap().write_all(b"x\n").unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), text(&ended.stderr)), (Some(0), String::new()));
    for name in ["out", "file"] {
        assert_eq!(std::fs::read_to_string(folder.path().join(name)).unwrap(), "x\n", "{name}");
    }
    let ended = output(shell(&stage.root(), "echo out; echo err >&2; exit 7"));
    assert_eq!((text(&ended.stdout), text(&ended.stderr)), ("out\n".to_owned(), "err\n".to_owned()));
    assert_eq!(ended.status.code(), Some(7));
    for number in [Signal::TERM, Signal::KILL, Signal::SEGV, Signal::USR1] {
        let ended = output(shell(&stage.root(), &format!("kill -{} $$", number.as_raw())));
        assert_eq!(ended.status.signal(), Some(number.as_raw()), "{ended:?}");
        assert!(!ended.status.core_dumped());
    }
    agent.stop();
}

#[test]
fn an_ordinary_user_gets_roots_program_with_what_is_kept_of_his_environment() {
    let Some(stage) = stage() else { return };
    let agent = agent(&stage);
    let mut command = shell(&stage.root(), "id -u; echo $TERM $LD_PRELOAD $SECRET");
    command.env("TERM", "dumb").env("SECRET", "told").env_remove("CASTELLAN_ROOT");
    command.uid(NOBODY).gid(NOBODY);
    let ended = output(command);
    assert_eq!((text(&ended.stdout), text(&ended.stderr)), ("0\ndumb\n".to_owned(), String::new()));
    agent.stop();
}

#[test]
fn a_link_named_keepersudo_asks_too() {
    let Some(stage) = stage() else { return };
    let agent = agent(&stage);
    let link = stage.root().join("keepersudo");
    std::os::unix::fs::symlink(binary(), &link).unwrap();
    let mut command = Command::new(link);
    command.args(["echo", "-n", "--root", "x"]).env("CASTELLAN_ROOT", stage.root()).stdin(Stdio::null());
    let ended = output({
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    });
    assert_eq!((text(&ended.stdout), text(&ended.stderr)), ("--root x".to_owned(), String::new()));
    agent.stop();
}

#[test]
fn a_refusal_is_told_and_has_its_exit_code() {
    let Some(stage) = stage() else { return };
    let agent = agent(&stage);
    let ended = output(elevate(&stage.root(), &["whoami"]));
    assert_eq!(ended.status.code(), Some(4));
    let said = text(&ended.stderr);
    for part in ["DENY for 'whoami' of 'root'", "root-DENY-NOTIFY", "E1-1"] {
        assert!(said.contains(part), "{said}");
    }
    let ended = output(elevate(&stage.root(), &["/no/such/program"]));
    assert_eq!(ended.status.code(), Some(4));
    assert!(text(&ended.stderr).contains("/no/such/program"), "{ended:?}");
    // Without a terminal nobody is asked, and what the agent says cannot steer one.
    let command = elevate(&stage.root(), &["uname"]);
    let mut away = Command::new("setsid");
    away.arg("--wait").arg(command.get_program()).args(command.get_args());
    away.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ended = output(away);
    let said = text(&ended.stderr);
    assert!(said.contains("Nobody could be asked") && said.contains("No reason was given."), "{said}");
    assert!(!said.contains('\u{1b}'), "{said}");
    let nowhere = tempfile::tempdir().unwrap();
    let ended = output(elevate(nowhere.path(), &["true"]));
    assert_eq!(ended.status.code(), Some(5));
    assert!(text(&ended.stderr).contains("Start it"), "{ended:?}");
    agent.stop();
}

#[test]
fn signals_reach_the_program_and_its_end_counts() {
    let Some(stage) = stage() else { return };
    let agent = agent(&stage);
    let script = "trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 1000 & wait $!; done";
    let mut child = spawn(&mut shell(&stage.root(), script));
    let mut shown = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    shown.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    signal(&child, Signal::TERM);
    let mut rest = String::new();
    shown.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), child.wait().unwrap().code()), ("caught\n", Some(9)));
    agent.stop();
}

#[test]
fn who_is_killed_takes_his_program_with_him() {
    let Some(stage) = stage() else { return };
    let agent = agent(&stage);
    let mut child = spawn(&mut shell(&stage.root(), "echo ready; exec sleep 1000"));
    let mut shown = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    shown.read_line(&mut line).unwrap();
    signal(&child, Signal::KILL);
    child.wait().unwrap();
    // The stream ends once the program has.
    assert_eq!(shown.read_to_string(&mut line).unwrap(), 0);
    agent.stop();
}
