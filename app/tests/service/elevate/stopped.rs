//! The key that stops programs, as with sudo: `castellan elevate` stops with its program, and both go on together.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::LocalModes;

use super::tmux::{Tmux, elevated, running};
use super::{agent, stage};
use crate::support::{eventually, lives, processes_naming};

/// The state that the kernel tells; `T` is stopped.
fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[track_caller]
fn is_stopped(pid: u32, stopped: bool) {
    eventually("another state", || (state(pid) == Some('T')).eq(&stopped).then_some(()));
}

fn send(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

/// What runs under the path that was found for this command, or as a job of a shell.
fn program(line: &str) -> u32 {
    let found = format!("/usr/bin/{line}");
    eventually("the program", || running(&found).into_iter().chain(running(line)).next())
}

/// The same where `castellan elevate` gives it a terminal: keys that come before that has the user's are not the program's.
fn on_terminal(tmux: &Tmux, line: &str) -> u32 {
    let pid = program(line);
    is_raw(tmux);
    pid
}

#[track_caller]
fn is_raw(tmux: &Tmux) {
    eventually("raw mode", || tmux.is_raw().then_some(()));
}

/// `castellan elevate` for this command.
fn asker(command: &str) -> u32 {
    let end = format!("-- {command}");
    let mut found = processes_naming(&end).into_iter();
    found.find(|(_, shown)| shown.trim_end().ends_with(&end)).expect("castellan elevate").0
}

fn is_sane(tmux: &Tmux) {
    assert!(tmux.modes().contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG), "{:?}", tmux.modes());
}

#[test]
fn the_key_stops_both_and_they_go_on_together() {
    let Some(stage) = stage() else { return };
    let Some(tmux) = Tmux::start(&stage, "dash") else { return };
    let agent = agent(&stage);
    let elevate = elevated(&stage);
    tmux.enters(&format!("{elevate} cat 47120 -; echo \"cat $?\""));
    tmux.shows("47120: No such file");
    let (pid, asker) = (on_terminal(&tmux, "cat 47120 -"), asker("cat 47120 -"));
    tmux.enters("one");
    tmux.sees("one");
    tmux.presses("C-z");
    tmux.shows("[1] + Stopped");
    is_stopped(pid, true);
    is_sane(&tmux);
    // What is typed meanwhile is the shell's.
    tmux.enters("echo \"the she\"ll");
    tmux.sees("the shell");
    tmux.clears();
    tmux.enters("fg");
    is_raw(&tmux);
    is_stopped(pid, false);
    tmux.enters("two");
    tmux.sees("two");
    // Twice is no different; bg lets it run, and what it reads it gets in the foreground.
    tmux.presses("C-z");
    tmux.shows("[1] + Stopped");
    is_stopped(pid, true);
    tmux.enters("bg");
    is_stopped(pid, false);
    is_sane(&tmux);
    tmux.clears();
    tmux.enters("fg");
    is_raw(&tmux);
    tmux.enters("three");
    tmux.sees("three");
    tmux.presses("C-d");
    // Until then what is typed is the program's, and lost with it.
    eventually("the end", || (!lives(asker)).then_some(()));
    tmux.enters("echo \"ended $?\"");
    tmux.sees("ended 1");
    // What is stopped is ended by its shell.
    tmux.clears();
    tmux.enters(&format!("{elevate} sleep 47121"));
    let pid = on_terminal(&tmux, "sleep 47121");
    tmux.presses("C-z");
    tmux.shows("[1] + Stopped");
    is_stopped(pid, true);
    tmux.enters("kill -TERM %1; fg; echo \"killed $?\"");
    tmux.sees("killed 143");
    eventually("the end", || (!lives(pid)).then_some(()));
    drop(tmux);
    agent.stop();
}

#[test]
fn an_editor_leaves_the_screen_and_comes_back() {
    let Some(stage) = stage() else { return };
    let Some(tmux) = Tmux::start(&stage, "dash") else { return };
    let agent = agent(&stage);
    let elevate = elevated(&stage);
    let file = stage.folder().join("edited");
    tmux.enters(&format!("echo before; {elevate} vim -u NONE {}", file.display()));
    tmux.sees("~");
    is_raw(&tmux);
    tmux.types("ihello");
    tmux.sees("hello");
    tmux.presses("Escape");
    tmux.presses("C-z");
    tmux.shows("[1] + Stopped");
    tmux.sees("before");
    is_sane(&tmux);
    tmux.enters("fg");
    tmux.sees("hello");
    is_raw(&tmux);
    tmux.types("a there");
    tmux.sees("hello there");
    tmux.presses("Escape");
    tmux.enters(":wq");
    eventually("what it wrote", || fs::read_to_string(&file).ok().filter(|text| text == "hello there\n"));
    drop(tmux);
    agent.stop();
}

/// Jobs of a shell that runs elevated are that shell's; it stops itself with `suspend`, and its jobs stay as they are.
#[test]
fn an_inner_shell_keeps_its_jobs() {
    let Some(stage) = stage() else { return };
    let Some(tmux) = Tmux::start(&stage, "bash --norc --noprofile") else { return };
    let agent = agent(&stage);
    let elevate = elevated(&stage);
    tmux.enters(&format!("{elevate} bash --norc; echo \"status $?\""));
    tmux.sees("bash-");
    tmux.enters("PS1='inner$ '; clear");
    tmux.sees("inner$");
    let asker = asker("bash --norc");
    tmux.enters("sleep 47130");
    let job = program("sleep 47130");
    tmux.presses("C-z");
    tmux.sees("[1]+  Stopped");
    is_stopped(job, true);
    assert_ne!(state(asker), Some('T'), "it is the shell's job alone");
    tmux.clears();
    tmux.enters("suspend");
    tmux.shows("elevate");
    tmux.sees("[1]+  Stopped");
    is_stopped(asker, true);
    tmux.enters("echo \"out\"side");
    tmux.sees("outside");
    tmux.clears();
    tmux.enters("fg");
    tmux.sees("inner$");
    assert_eq!(state(job), Some('T'), "nobody asked for that");
    tmux.enters("kill -KILL %1; wait");
    eventually("the end of the job", || (!lives(job)).then_some(()));
    tmux.enters("exit 7");
    eventually("the end of the shell", || (!lives(asker)).then_some(()));
    tmux.enters("echo \"ended $?\"");
    tmux.sees("ended 7");
    drop(tmux);
    agent.stop();
}

/// In a script its shell stops, too; outside of a terminal whoever stops `castellan elevate` stops the program.
#[test]
fn all_that_belongs_to_the_job_stops() {
    let Some(stage) = stage() else { return };
    let Some(tmux) = Tmux::start(&stage, "bash --norc --noprofile") else { return };
    let agent = agent(&stage);
    let elevate = elevated(&stage);
    tmux.enters(&format!("sh -c '{elevate} sleep 47140; echo \"after $?\"'"));
    let pid = on_terminal(&tmux, "sleep 47140");
    tmux.presses("C-z");
    tmux.sees("[1]+  Stopped");
    is_stopped(pid, true);
    tmux.enters("clear; fg");
    is_stopped(pid, false);
    tmux.presses("C-c");
    tmux.shows("after 130");

    tmux.clears();
    tmux.enters(&format!("{elevate} sleep 47141 | cat"));
    let pid = program("sleep 47141");
    tmux.presses("C-z");
    tmux.sees("[1]+  Stopped");
    is_stopped(pid, true);
    tmux.enters("clear; fg");
    is_stopped(pid, false);
    send(asker("sleep 47141"), Signal::TSTP);
    tmux.sees("[1]+  Stopped");
    is_stopped(pid, true);
    tmux.enters("clear; fg");
    is_stopped(pid, false);
    // A program that does not want to is not stopped, and so nobody is.
    tmux.presses("C-c");
    tmux.clears();
    tmux.enters(&format!("{elevate} sh -c 'trap \"\" TSTP; echo go; read line; echo \"got $line\"'"));
    tmux.sees("go");
    is_raw(&tmux);
    tmux.presses("C-z");
    tmux.enters("this");
    tmux.sees("got this");
    drop(tmux);
    agent.stop();
}

#[test]
fn a_stopped_program_outlives_neither_its_caller_nor_the_agent() {
    let Some(stage) = stage() else { return };
    let Some(tmux) = Tmux::start(&stage, "bash --norc --noprofile") else { return };
    let first = agent(&stage);
    let elevate = elevated(&stage);
    tmux.enters(&format!("{elevate} sleep 47150"));
    let pid = on_terminal(&tmux, "sleep 47150");
    tmux.presses("C-z");
    tmux.sees("[1]+  Stopped");
    is_stopped(pid, true);
    send(asker("sleep 47150"), Signal::KILL);
    eventually("the end", || (!lives(pid)).then_some(()));
    tmux.clears();
    // The end of its session alone would not end it.
    tmux.enters(&format!("{elevate} sh -c 'trap \"\" HUP; exec sleep 47151'"));
    let pid = on_terminal(&tmux, "sleep 47151");
    tmux.presses("C-z");
    tmux.sees("[1]+  Stopped");
    is_stopped(pid, true);
    first.kill();
    eventually("the end", || (!lives(pid)).then_some(()));
    tmux.enters("clear; fg; echo \"code\" $?");
    tmux.sees("code 5");
    drop(tmux);
    agent(&stage).stop();
}
