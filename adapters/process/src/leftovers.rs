//! Records of what runs, so that the next start of the agent finds and ends what a killed agent left behind.
//!
//! One small file for each sub-tree of cgroups or session, under `state/processes`. A process is killed by a record only if
//! it is certainly the one recorded: the same boot, and the same cgroup id, leader start time or session serial.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::cgroup::Cgroup;
use crate::procfs::{self, Stat};
use crate::{session, signal};

/// Pause between two looks at what has to end.
const PAUSE: Duration = Duration::from_millis(5);
/// Looks before giving up; with [`PAUSE`] about five seconds, as the agent's start waits for it.
const LOOKS: usize = 1000;

/// What one record says.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    /// Boot of the machine; everything below is void at another.
    boot: String,
    left: Left,
}

/// What may be left of an agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Left {
    /// The agent's sub-tree of cgroups.
    Subtree { folder: PathBuf, id: u64 },
    /// A session.
    Session { leader: u32, start: u64, serial: Option<u64> },
}

/// The folder of records.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    folder: PathBuf,
    boot: String,
}

impl Records {
    /// Opens the folder and ends what its records name. Answers with a sentence for each thing done or left alone.
    ///
    /// # Errors
    /// The folder cannot be made or listed.
    pub(crate) fn open(state: &Path) -> io::Result<(Self, Vec<String>)> {
        let records = Self { folder: state.join("processes"), boot: procfs::boot_id()? };
        fs::create_dir_all(&records.folder)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", records.folder.display())))?;
        let mut sentences = Vec::new();
        for entry in fs::read_dir(&records.folder)? {
            let path = entry?.path();
            sentences.extend(records.settle(&path));
            fs::remove_file(&path)?;
        }
        Ok((records, sentences))
    }

    fn settle(&self, path: &Path) -> Option<String> {
        let record: Record = match fs::read(path).map(|bytes| serde_json::from_slice(&bytes)) {
            Ok(Ok(record)) => record,
            // Cut off by the kill; what it would have named was not released to run yet.
            Ok(Err(error)) => {
                return Some(format!("The record {} was unreadable ({error}) and is removed.", path.display()));
            }
            Err(error) => {
                return Some(format!("The record {} was unreadable ({error}) and is removed.", path.display()));
            }
        };
        if record.boot != self.boot {
            return None;
        }
        let (what, result) = match &record.left {
            Left::Subtree { folder, id } => (format!("cgroup {}", folder.display()), end_subtree(folder, *id)),
            Left::Session { leader, start, serial } => {
                (format!("session {leader}"), end_session(*leader, *start, *serial))
            }
        };
        match result {
            Ok(0) => None,
            Ok(_) => Some(format!("What a former agent had left running in {what} was killed.")),
            Err(error) => {
                Some(format!("What a former agent had left in {what} could not be ended: {error}. End it by hand."))
            }
        }
    }

    /// Records the agent's sub-tree of cgroups.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn add_subtree(&self, subtree: &Cgroup) -> io::Result<()> {
        self.write("subtree", Left::Subtree { folder: subtree.folder.clone(), id: subtree.id })
    }

    /// Records a session, before its leader may execute anything.
    ///
    /// # Errors
    /// The file cannot be written, or the leader is gone.
    pub(crate) fn add_session(&self, leader: u32) -> io::Result<()> {
        let found = procfs::stat(leader).ok_or_else(|| io::Error::other("the launcher is gone"))?;
        let serial = procfs::session_serial(leader);
        self.write(&leader.to_string(), Left::Session { leader, start: found.start, serial })
    }

    fn write(&self, name: &str, left: Left) -> io::Result<()> {
        let record = Record { boot: self.boot.clone(), left };
        let json = serde_json::to_vec(&record).map_err(io::Error::other)?;
        // No fsync: a record outlives the agent, and means nothing after the machine's own end.
        File::create(self.folder.join(name))?.write_all(&json)
    }

    /// The session is over.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub(crate) fn remove_session(&self, leader: u32) -> io::Result<()> {
        fs::remove_file(self.folder.join(leader.to_string()))
    }

    /// The sub-tree is removed.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub(crate) fn remove_subtree(&self) -> io::Result<()> {
        fs::remove_file(self.folder.join("subtree"))
    }
}

/// Kills and removes a sub-tree; answers how many cgroups with living processes it had, 0 or 1.
fn end_subtree(folder: &Path, id: u64) -> io::Result<usize> {
    let Some(subtree) = Cgroup::find(folder.to_owned(), id) else {
        return Ok(0);
    };
    let was_empty = subtree.is_empty()?;
    kill_and_remove(&subtree)?;
    Ok(usize::from(!was_empty))
}

/// Kills what is in a cgroup and removes it; waits at most about five seconds.
///
/// # Errors
/// It cannot be killed, or did not get empty in time.
pub(crate) fn kill_and_remove(subtree: &Cgroup) -> io::Result<()> {
    for _ in 0..LOOKS {
        if !subtree.is_empty()? {
            subtree.kill()?;
        } else if subtree.remove().is_ok() {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
    subtree.remove()
}

/// Kills a session, if it is the one recorded; answers how many processes were killed.
fn end_session(leader: u32, start: u64, serial: Option<u64>) -> io::Result<usize> {
    let mut killed = 0_usize;
    for _ in 0..LOOKS {
        let all = procfs::all()?;
        let found = recorded_members(&all, leader, start, serial, procfs::session_serial);
        if found.is_empty() {
            return Ok(killed);
        }
        for process in &found {
            let same = || procfs::stat(process.pid).is_some_and(|now| now.start == process.start);
            signal::send_if(process.pid, Signal::KILL, same)?;
        }
        killed = killed.max(found.len());
        std::thread::sleep(PAUSE);
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "it did not end in time"))
}

/// The living processes that certainly belong to a recorded session.
fn recorded_members(
    all: &[Stat],
    leader: u32,
    start: u64,
    serial: Option<u64>,
    serial_of: impl Fn(u32) -> Option<u64>,
) -> Vec<Stat> {
    // While the recorded leader stands there, dead or alive, its number means this session.
    if all.iter().any(|process| process.pid == leader && process.session == leader && process.start == start) {
        return session::members(all, leader);
    }
    // Without it the number may be a later session's; only the kernel's serial of the session tells.
    let Some(serial) = serial else {
        return Vec::new();
    };
    all.iter()
        .filter(|process| process.session == leader && !process.is_dead())
        .filter(|process| serial_of(process.pid) == Some(serial))
        .copied()
        .collect()
}

#[cfg(test)]
mod tests;
