//! What holds a process tree together: its cgroup, or its session.

use std::io;

use castellan_core::resources::{KeptLimits, ResourceLimits};
use rustix::process::Signal;

use crate::cgroup::Cgroup;
use crate::{controllers, procfs, session};

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

    /// Sets the tree's limits, as far as they are kept here.
    ///
    /// # Errors
    /// A sentence: the kernel does not take one of them.
    pub(crate) fn limit(&self, limits: &ResourceLimits, kept: KeptLimits) -> Result<(), String> {
        match self {
            Self::Cgroup(cgroup) => controllers::limit(cgroup, limits, kept),
            Self::Session(_) => Ok(()),
        }
    }

    /// Whether the kernel killed something of the tree for want of memory; unknown and therefore no without a cgroup.
    pub(crate) fn was_out_of_memory(&self) -> bool {
        match self {
            Self::Cgroup(cgroup) => controllers::was_out_of_memory(cgroup),
            Self::Session(_) => false,
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
