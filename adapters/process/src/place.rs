//! What holds a process tree together: its cgroup, or its session.

use std::io;

use rustix::process::Signal;

use crate::cgroup::Cgroup;
use crate::{procfs, session};

/// Where a tree is found again. All calls block for microseconds (cgroup) to milliseconds (session).
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// Its own cgroup.
    Cgroup(Cgroup),
    /// The session of this leader, which is not reaped as long as this is in use.
    Session(u32),
}

impl Place {
    /// Signals the whole tree.
    ///
    /// # Errors
    /// A process may not be signalled by us, or the tree cannot be listed.
    pub(crate) fn signal(&self, wanted: Signal) -> io::Result<()> {
        match self {
            Self::Cgroup(cgroup) if wanted == Signal::KILL => cgroup.kill(),
            Self::Cgroup(cgroup) => cgroup.signal(wanted),
            Self::Session(leader) => session::signal_all(&session::members(&procfs::all()?, *leader), wanted),
        }
    }

    /// Whether nothing of the tree lives.
    ///
    /// # Errors
    /// The tree cannot be listed.
    pub(crate) fn is_empty(&self) -> io::Result<bool> {
        match self {
            Self::Cgroup(cgroup) => cgroup.is_empty(),
            Self::Session(leader) => Ok(session::members(&procfs::all()?, *leader).is_empty()),
        }
    }

    /// Removes what was made for the tree, once it is empty.
    ///
    /// # Errors
    /// As rmdir(2).
    pub(crate) fn remove(&self) -> io::Result<()> {
        match self {
            Self::Cgroup(cgroup) => cgroup.remove(),
            Self::Session(_) => Ok(()),
        }
    }
}
