//! Many short tasks: nothing of them is left, neither in the system nor in the agent. And the spare launchers that make them quick.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use castellan_core::event::ExitStatus;
use castellan_process::{Containment, ContainmentChoice};
use rustix::process::{Pid, Signal, kill_process};

use crate::rig::{Rig, lives, modes};

/// How many tasks, where not the few that CI has time for: 2,000, and 500 without cgroups, where each end is a look at all of `/proc`.
const TASKS: &str = "CASTELLAN_TEST_TASKS";
const MODE: &str = "CASTELLAN_TEST_MODE";
/// Prepared together, so that the cold way of starting is used as well as the spare launchers.
const AT_ONCE: usize = 8;
/// Launchers that wait for the next starts.
const SPARES: usize = 2;

/// Descriptors and children of this process, zombies too.
fn possessions() -> (usize, BTreeSet<u32>) {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let own = std::process::id();
    let parent = |pid: &u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        text.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse::<u32>().ok()
    };
    let processes = std::fs::read_dir("/proc").unwrap();
    let pids = processes.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    (descriptors, pids.filter(|pid| parent(pid) == Some(own)).collect())
}

/// Not a test: the agent whose possessions are counted, alone in its process. Without its variable it has nothing to do.
#[test]
#[ignore = "the body of the process that thousands_of_short_tasks_leave_nothing starts"]
fn counted() {
    let Ok(mode) = std::env::var(MODE) else {
        return;
    };
    let choice = if mode == "session" { ContainmentChoice::Session } else { ContainmentChoice::Auto };
    let few = if choice == ContainmentChoice::Session { 500 } else { 2000 };
    let tasks: usize = std::env::var(TASKS).map_or(few, |tasks| tasks.parse().unwrap());
    // What is made once for all time (the reactor, the pool of blocking threads) is there after the first port.
    assert_eq!(Rig::start(choice).run(&["/bin/true"]).status, ExitStatus::Code(0));
    let before = possessions();

    let rig = Rig::start(choice);
    for _ in 0..tasks / AT_ONCE {
        for _ in 0..AT_ONCE {
            rig.spawn(&["/bin/true"]);
        }
        let prepared: Vec<_> = (0..AT_ONCE).map(|_| rig.prepared()).collect();
        for task in prepared {
            rig.release(task.spawn);
            assert_eq!(rig.finish(task.spawn).status, ExitStatus::Code(0));
        }
    }
    if let Containment::Cgroup { path, .. } = rig.port().containment() {
        let left: Vec<_> = folders(path).collect();
        assert!(left.len() <= SPARES, "more cgroups than those of the spare launchers: {left:?}");
    }
    let records = std::fs::read_dir(rig.folder.path().join("state/processes")).unwrap().count();
    assert_eq!(records, usize::from(choice == ContainmentChoice::Auto), "records of what runs");
    drop(rig);
    assert_eq!(possessions(), before, "descriptors and children, after {tasks} tasks and before");
}

fn folders(path: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    entries.filter(|entry| entry.file_type().unwrap().is_dir()).map(|entry| entry.path())
}

#[test]
fn thousands_of_short_tasks_leave_nothing() {
    for mode in modes() {
        let name = if mode == ContainmentChoice::Session { "session" } else { "auto" };
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "scale::counted", "--ignored", "--nocapture"])
            .env(MODE, name)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && told.contains("1 passed"), "{name}: {told}");
    }
}

/// The launchers that wait for the next starts, once all do. They are made a moment after a start, and there is no event to wait for.
fn spares(subtree: &Path) -> BTreeSet<u32> {
    loop {
        let members = folders(subtree).filter_map(|folder| std::fs::read_to_string(folder.join("cgroup.procs")).ok());
        let pids: BTreeSet<u32> = members.filter_map(|text| text.trim().parse().ok()).collect();
        if pids.len() == SPARES {
            return pids;
        }
        std::thread::yield_now();
    }
}

#[test]
fn the_next_starts_take_the_launchers_that_wait_and_survive_their_death() {
    let rig = Rig::start(ContainmentChoice::Auto);
    let Containment::Cgroup { path, .. } = rig.port().containment().clone() else {
        // Said loudly by the tests that ask for the modes.
        return assert_eq!(modes(), [ContainmentChoice::Session]);
    };
    assert_eq!(folders(&path).count(), 0, "an agent that never started anything keeps no launcher");
    assert_eq!(rig.run(&["/bin/true"]).status, ExitStatus::Code(0));
    let waiting = spares(&path);
    let next: Vec<_> = (0..SPARES).map(|_| rig.prepare(&["/bin/true"])).collect();
    assert_eq!(next.iter().map(|task| task.pid).collect::<BTreeSet<u32>>(), waiting);
    next.iter().for_each(|task| rig.discard(task.spawn));

    let killed = spares(&path);
    for pid in &killed {
        kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
        while lives(*pid) {
            std::thread::yield_now();
        }
    }
    let other = rig.prepare(&["/bin/true"]);
    assert!(!killed.contains(&other.pid));
    rig.release(other.spawn);
    assert_eq!(rig.finish(other.spawn).status, ExitStatus::Code(0));

    let last = spares(&path);
    drop(rig);
    let left: Vec<_> = last.iter().filter(|pid| std::fs::exists(format!("/proc/{pid}")).unwrap()).collect();
    assert!(left.is_empty(), "not reaped with the port: {left:?}");
}
