//! The processes that the agent started and still vouches for, found by cgroup or by session.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

use crate::id::{Component, RunId, SpawnId};
use crate::limits::REGISTRY_ENTRIES;
use crate::why::Explanation;

/// Cgroup ids up to this one belong to nobody: 0 means none, 1 is the root that every process starts in.
const UNOWNED_CGROUPS: u64 = 1;

/// One started process tree (contract section 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which.
    pub spawn: SpawnId,
    /// Whose it is.
    pub component: Component,
    /// The run, where the component is a job.
    pub run: Option<RunId>,
    /// Process id of the leader, as reported by `Prepared`.
    pub pid: u32,
    /// Session that the leader leads.
    pub session: u32,
    /// The tree's own cgroup v2, where there is one.
    pub cgroup: Option<u64>,
    /// User id that the tree runs as.
    pub uid: u32,
    /// Name of that user, as `{Plugin}_{user}_{pid}` carries it.
    pub user_name: String,
    /// Whether the leader has not exited yet; pins `pid` and `session`.
    pub leader_alive: bool,
}

/// All trees that are trusted now; at most [`REGISTRY_ENTRIES`]. Filled before a tree's first instruction runs.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    entries: BTreeMap<SpawnId, Entry>,
    by_cgroup: BTreeMap<u64, SpawnId>,
    by_session: BTreeMap<u32, SpawnId>,
}

impl Registry {
    /// Trusts a tree from now on. Call it between `Prepared` and `Release`.
    ///
    /// # Errors
    /// The registry is full, or the entry's number, cgroup or session belongs to another tree or to nobody. The tree must not run then.
    pub fn insert(&mut self, entry: Entry) -> Result<(), Explanation> {
        self.check(&entry)?;
        match entry.cgroup {
            Some(cgroup) => self.by_cgroup.insert(cgroup, entry.spawn),
            None => self.by_session.insert(entry.session, entry.spawn),
        };
        self.entries.insert(entry.spawn, entry);
        Ok(())
    }

    fn check(&self, entry: &Entry) -> Result<(), Explanation> {
        let refuse = |why, fix: &str| {
            Err(Explanation::new(
                format!(
                    "Process {} of {} was not entered in the registry and must not run.",
                    entry.pid, entry.component
                ),
                why,
                fix,
            ))
        };
        const RESTART: &str = "Restart the agent and report this as a defect.";
        if self.entries.len() >= REGISTRY_ENTRIES {
            return refuse(
                format!("The registry holds {REGISTRY_ENTRIES} process trees, which is its limit."),
                "Lower MaxConcurrentRuns, or find out which jobs leave trees behind (GET /api/system/status).",
            );
        }
        if self.entries.contains_key(&entry.spawn) {
            return refuse(format!("Spawn {} is entered already.", entry.spawn), RESTART);
        }
        let Some(cgroup) = entry.cgroup else {
            if entry.session <= 1 || !entry.leader_alive {
                return refuse(format!("Session {} has no living leader of its own.", entry.session), RESTART);
            }
            return match self.by_session.get(&entry.session) {
                Some(other) => refuse(format!("Session {} belongs to spawn {other}.", entry.session), RESTART),
                None => Ok(()),
            };
        };
        if cgroup <= UNOWNED_CGROUPS {
            return refuse(format!("Cgroup id {cgroup} is shared by every process of the machine."), RESTART);
        }
        match self.by_cgroup.get(&cgroup) {
            Some(other) => refuse(format!("Cgroup id {cgroup} belongs to spawn {other}."), RESTART),
            None => Ok(()),
        }
    }

    /// The leader of a tree exited. With a cgroup the descendants stay trusted until [`Self::remove`]; without one nothing
    /// pins the session's number any more, so the entry goes at once and is returned.
    pub fn leader_exited(&mut self, spawn: SpawnId) -> Option<Entry> {
        let entry = self.entries.get_mut(&spawn)?;
        entry.leader_alive = false;
        if entry.cgroup.is_some() { None } else { self.remove(spawn) }
    }

    /// Trusts a tree no longer and returns what stood there.
    pub fn remove(&mut self, spawn: SpawnId) -> Option<Entry> {
        let entry = self.entries.remove(&spawn)?;
        match entry.cgroup {
            Some(cgroup) => self.by_cgroup.remove(&cgroup),
            None => self.by_session.remove(&entry.session),
        };
        Some(entry)
    }

    /// The entry of a spawn, while it is trusted.
    pub fn entry(&self, spawn: SpawnId) -> Option<&Entry> {
        self.entries.get(&spawn)
    }

    /// How many trees are trusted.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no tree is trusted.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The tree that owns exactly this cgroup.
    pub(super) fn owner_of_cgroup(&self, cgroup: u64) -> Option<&Entry> {
        self.by_cgroup.get(&cgroup).and_then(|spawn| self.entries.get(spawn))
    }

    /// The tree without a cgroup whose living leader leads this session.
    pub(super) fn owner_of_session(&self, session: u32) -> Option<&Entry> {
        self.by_session.get(&session).and_then(|spawn| self.entries.get(spawn)).filter(|entry| entry.leader_alive)
    }
}
