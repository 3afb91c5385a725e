//! Without cgroups: a process tree is what stands in its leader's session, and what descends from it.

use std::collections::BTreeSet;
use std::io;

use rustix::process::Signal;

use crate::procfs::{self, Stat};
use crate::signal;

/// The living processes of a session, with the descendants that have left it and whose parents still live.
///
/// The leader must not be reaped yet: only then does its number mean this session and no later one.
pub(crate) fn members(all: &[Stat], leader: u32) -> Vec<Stat> {
    let mut found: BTreeSet<u32> = all
        .iter()
        .filter(|process| process.session == leader || process.pid == leader)
        .map(|process| process.pid)
        .collect();
    loop {
        let children: Vec<u32> = all
            .iter()
            .filter(|process| found.contains(&process.parent) && !found.contains(&process.pid))
            .map(|process| process.pid)
            .collect();
        if children.is_empty() {
            break;
        }
        found.extend(children);
    }
    all.iter().filter(|process| found.contains(&process.pid) && !process.is_dead()).copied().collect()
}

/// Signals these processes; a number that means another process by now is left alone.
///
/// # Errors
/// The first that failed; all are tried.
pub(crate) fn signal_all(processes: &[Stat], wanted: Signal) -> io::Result<()> {
    let mut result = Ok(());
    for process in processes {
        let same = || procfs::stat(process.pid).is_some_and(|now| now.start == process.start);
        result = result.and(signal::send_if(process.pid, wanted, same));
    }
    result
}
