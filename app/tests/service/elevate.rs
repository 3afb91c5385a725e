//! `castellan elevate` as its user sees it: pipes, exit statuses, signals, his terminal.

mod stand_in;
mod terminal;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{binary, is_root, skipped, spawn};
use stand_in::StandIn;

/// An account of every Linux system.
const NOBODY: u32 = 65_534;

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
    let agent = StandIn::start();
    let folder = tempfile::tempdir().unwrap();
    let out = File::create(folder.path().join("out")).unwrap();
    let mut command = elevate(agent.root.path(), &["tee", "file"]);
    command.current_dir(folder.path()).stdin(Stdio::piped()).stdout(out);
    let mut child = spawn(&mut command);
    child.stdin.take().unwrap().write_all(b"x\n").unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), text(&ended.stderr)), (Some(0), String::new()));
    for name in ["out", "file"] {
        assert_eq!(std::fs::read_to_string(folder.path().join(name)).unwrap(), "x\n", "{name}");
    }
    let ended = output(shell(agent.root.path(), "echo out; echo err >&2; exit 7"));
    assert_eq!((text(&ended.stdout), text(&ended.stderr)), ("out\n".to_owned(), "err\n".to_owned()));
    assert_eq!(ended.status.code(), Some(7));
    for number in [Signal::TERM, Signal::KILL, Signal::SEGV, Signal::USR1] {
        let ended = output(shell(agent.root.path(), &format!("kill -{} $$", number.as_raw())));
        assert_eq!(ended.status.signal(), Some(number.as_raw()), "{ended:?}");
        assert!(!ended.status.core_dumped());
    }
}

#[test]
fn an_ordinary_user_gets_roots_program_with_what_is_kept_of_his_environment() {
    let agent = StandIn::start();
    let mut command = shell(agent.root.path(), "id -u; echo $TERM $LD_PRELOAD $SECRET");
    command.env("TERM", "dumb").env("SECRET", "told").env_remove("CASTELLAN_ROOT");
    let reachable = || {
        let mut command = Command::new(binary());
        command.arg("--version").uid(NOBODY).gid(NOBODY).current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !is_root() || !reachable() {
        return skipped("castellan elevate for another user: only root can become one, who has to reach the binary");
    }
    command.uid(NOBODY).gid(NOBODY);
    let ended = output(command);
    assert_eq!((text(&ended.stdout), text(&ended.stderr)), ("0\ndumb\n".to_owned(), String::new()));
}

#[test]
fn a_link_named_keepersudo_asks_too() {
    let agent = StandIn::start();
    let link = agent.root.path().join("keepersudo");
    std::os::unix::fs::symlink(binary(), &link).unwrap();
    let mut command = Command::new(link);
    command.args(["echo", "-n", "--root", "x"]).env("CASTELLAN_ROOT", agent.root.path()).stdin(Stdio::null());
    let ended = output({
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    });
    assert_eq!((text(&ended.stdout), text(&ended.stderr)), ("--root x".to_owned(), String::new()));
}

#[test]
fn a_refusal_is_told_and_has_its_exit_code() {
    let agent = StandIn::start();
    let ended = output(elevate(agent.root.path(), &["deny"]));
    assert_eq!(ended.status.code(), Some(4));
    let said = text(&ended.stderr);
    for part in ["It was denied. Nobody may. Ask somebody.", "E1-"] {
        assert!(said.contains(part), "{said}");
    }
    let ended = output(elevate(agent.root.path(), &["/no/such/program"]));
    assert_eq!(ended.status.code(), Some(4));
    assert!(text(&ended.stderr).contains("no program at /no/such/program"), "{ended:?}");
    // Without a terminal nobody is asked, and what the agent says cannot steer one.
    let mut command = elevate(agent.root.path(), &["ask"]);
    command.args(["no", "terminal"]);
    let mut away = Command::new("setsid");
    away.arg("--wait").arg(command.get_program()).args(command.get_args());
    away.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ended = output(away);
    let said = text(&ended.stderr);
    assert!(said.contains("Nobody could be asked") && said.contains("Nobody answered."), "{said}");
    assert!(!said.contains('\u{1b}'), "{said}");
    let nowhere = tempfile::tempdir().unwrap();
    let ended = output(elevate(nowhere.path(), &["true"]));
    assert_eq!(ended.status.code(), Some(5));
    assert!(text(&ended.stderr).contains("Start it"), "{ended:?}");
}

#[test]
fn signals_reach_the_program_and_its_end_counts() {
    let agent = StandIn::start();
    let script = "trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 1000 & wait $!; done";
    let mut child = spawn(&mut shell(agent.root.path(), script));
    let mut shown = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    shown.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    signal(&child, Signal::TERM);
    let mut rest = String::new();
    shown.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), child.wait().unwrap().code()), ("caught\n", Some(9)));
}

#[test]
fn who_is_killed_takes_his_program_with_him() {
    let agent = StandIn::start();
    let mut child = spawn(&mut shell(agent.root.path(), "echo ready; exec sleep 1000"));
    let mut shown = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    shown.read_line(&mut line).unwrap();
    signal(&child, Signal::KILL);
    child.wait().unwrap();
    // The stream ends once the program has.
    assert_eq!(shown.read_to_string(&mut line).unwrap(), 0);
}
