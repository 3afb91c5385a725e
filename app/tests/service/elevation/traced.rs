//! The agent killed at each system call between the question and the end of the program: strace injects it. Whenever it happens, the
//! program ran once or never, never without its entry in the audit, and whoever waited is told.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use super::full_disk::audited;
use super::scene::Scene;
use crate::support::{Agent, command, ended, eventually, has_program, say, spawn};

/// What changes a disk, speaks to others, or makes a process.
const CALLS: [&str; 7] = ["pwrite64", "fsync", "fdatasync", "write", "sendmsg", "clone3", "clone"];
/// Of each kind, counted for each thread by itself. One request makes fewer of those that bring something to disk.
const MOST: usize = 6;

/// Lets the agent be killed at this call of any of its threads.
fn trace(agent: &Agent<'_>, call: &str, number: usize) -> Child {
    let tasks = || fs::read_dir(format!("/proc/{}/task", agent.pid())).unwrap().flatten().map(|task| task.path());
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    strace.args(["-e", &format!("inject={call}:signal=KILL:when={number}")]);
    for task in tasks() {
        strace.arg("-p").arg(task.file_name().unwrap());
    }
    let strace = spawn(strace.stdin(Stdio::null()));
    eventually("strace to be attached", || {
        let traced = |text: String| !text.contains("TracerPid:\t0\n");
        tasks().all(|task| fs::read_to_string(task.join("status")).is_ok_and(traced)).then_some(())
    });
    strace
}

/// One request, with this fault on its way; whether the agent was killed by it.
fn is_killed(scene: &Scene, call: &str, number: usize) -> bool {
    let mut agent = scene.start();
    let before = scene.marked();
    let mut strace = trace(&agent, call, number);
    let mut child = scene.ask("true");
    let status = eventually("the end of castellan elevate", || child.try_wait().unwrap());
    if status.success() {
        strace.kill().unwrap();
    }
    // Its tracer ends with the agent.
    eventually("the end of the agent that was killed", || strace.try_wait().unwrap());
    // A kill that was on its way when the tracer went comes after it: the agent's end alone tells whether there was one.
    agent.signal(Signal::TERM);
    let end = agent.exited();
    if end.code() == Some(0) {
        assert_eq!((status.code(), scene.marked() - before), (Some(0), 1), "{call} {number}");
        agent.assert_nothing_left();
        return false;
    }
    assert_eq!(end.signal(), Some(Signal::KILL.as_raw()), "{call} {number}");
    scene.stage.killed(agent.pid());

    let agent = scene.start();
    let (code, _, said) = ended(child.wait_with_output().unwrap());
    let at = format!("{call} {number}: {code} {said}");
    let ran = scene.marked() - before;
    assert!(ran <= 1 && (code == 0 || code == 5), "{at}");
    assert!(code == 5 || ran == 1, "{at}");
    assert!(!said.contains("nothing was launched") || ran == 0, "{at}");
    assert_eq!(scene.programs(), [], "{at}");
    let newest = agent.call("GET", "/api/elevation?limit=1").send().json();
    let newest = newest.as_array().unwrap().first().cloned().unwrap_or_default();
    let waits = newest["Status"].as_str().is_some_and(|status| !["Finished", "Expired", "Denied"].contains(&status));
    assert!(!waits, "{at}: {newest}");
    if ran == 1 {
        assert_eq!(newest["Status"], "Finished", "{at}: {newest}");
        let entries = audited(scene, newest["RequestId"].as_str().unwrap());
        assert!(entries.iter().any(|entry| entry.contains(r#""kind":"launch""#)), "{at}: {entries:?}");
    }
    let (verified, _, why) = say(command(&scene.stage, &["audit", "verify"]));
    assert_eq!(verified, 0, "{at}: {why}");
    agent.stop();
    true
}

#[test]
fn killed_at_any_system_call_of_a_request() {
    if !has_program("strace", "an agent that is killed at each system call of a request") {
        return;
    }
    let Some(scene) = Scene::new() else { return };
    scene.requires(&["ALLOW"]);
    let mut faults = 0;
    for call in CALLS {
        let killed = (1..=MOST).take_while(|number| is_killed(&scene, call, *number)).count();
        println!("{call}: killed at {killed} of them");
        faults += killed;
    }
    assert!(faults > 10, "{faults} faults");
}
