//! What the stories need: a stage with an agent root, an agent on it, programs that do as they are told, an administrator's client.

mod agent;
mod client;
mod command_line;
mod puppet;
mod signer;
mod stage;

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

pub(crate) use agent::{Agent, binary};
pub(crate) use client::{Answer, Call};
pub(crate) use command_line::{command, command_by, ended, say, terminal};
pub(crate) use puppet::{Puppet, accepted, log_message};
pub(crate) use signer::Signer;
pub(crate) use stage::Stage;

/// Bounds a test that would hang; never a measure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks at something that cannot be awaited.
const PAUSE: Duration = Duration::from_millis(10);

/// Held for writing while a program is written, for reading while one is started: a child that is just being started has
/// a copy of every open file, and a file that anybody has open for writing cannot be executed.
static PROGRAMS: RwLock<()> = RwLock::new(());

/// Starts a process; from here on it has none of our files.
#[track_caller]
pub(crate) fn spawn(command: &mut Command) -> Child {
    let _guard = PROGRAMS.read().unwrap_or_else(PoisonError::into_inner);
    command.spawn().unwrap()
}

/// Writes a program or script that is going to be executed.
pub(crate) fn deploy<T>(write: impl FnOnce() -> T) -> T {
    let _guard = PROGRAMS.write().unwrap_or_else(PoisonError::into_inner);
    write()
}

/// Looks until there is something, or fails with what was waited for.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, look).unwrap_or_else(|| panic!("waited in vain: {what}"))
}

/// Looks until there is something or the time is over.
pub(crate) fn within<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        match look() {
            Some(found) => return Some(found),
            None if start.elapsed() > limit => return None,
            // A poll with a deadline: files, the API and other processes tell nobody when they change.
            None => std::thread::sleep(PAUSE),
        }
    }
}

/// Whether a process lives; a zombie does not.
pub(crate) fn lives(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|text| !text.rsplit_once(')').unwrap().1.trim_start().starts_with(['Z', 'X']))
}

/// Living processes whose command line has this text.
pub(crate) fn processes_naming(text: &str) -> Vec<(u32, String)> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let named = pids.filter_map(|pid| {
        let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let line = String::from_utf8_lossy(&bytes).replace('\0', " ");
        (line.contains(text) && pid != std::process::id() && lives(pid)).then_some((pid, line))
    });
    named.collect()
}

/// Cgroups that the agent of this process id made and did not remove; those of other PID namespaces are others'.
pub(crate) fn cgroups_of(agent: u32) -> Vec<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let unified = mounts.lines().filter(|line| line.contains(" - cgroup2 "));
    let mut open: Vec<PathBuf> = unified.filter_map(|line| Some(line.split(' ').nth(4)?.into())).collect();
    let namespace = std::fs::metadata("/proc/self/ns/pid").unwrap().ino();
    let prefix = format!("castellan-{namespace}-{agent}-");
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(&prefix) {
                found.push(entry.path());
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(entry.path());
            }
        }
    }
    found
}

/// Whether this agent holds process trees together by cgroups.
pub(crate) fn has_cgroups(agent: &Agent<'_>) -> bool {
    let record = agent.logged("the way trees are held together", |record| record["category"] == "Containment");
    record["message"].as_str().unwrap().contains("has a cgroup of its own")
}

/// Whether this program is on the search path; says what is left out where it is not.
pub(crate) fn has_program(name: &str, left_out: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    if !found {
        skipped(&format!("{left_out}: there is no program '{name}'"));
    }
    found
}

/// Says what a test leaves out, past the test runner, which shows the output of failed tests only.
pub(crate) fn skipped(what: &str) {
    let mut past_the_runner = std::io::stderr().lock();
    writeln!(past_the_runner, "SKIPPED: {what}").unwrap();
}

/// Whether the tests run as root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
