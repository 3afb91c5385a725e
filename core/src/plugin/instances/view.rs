//! How a plugin looks from outside: of several instances, the one that is worst off speaks for all.

use alloc::string::{String, ToString};

use super::Plugin;
use crate::plugin::supervisor::output::ProcessOutput;
use crate::plugin::supervisor::{Supervisor, query, view};
use crate::surroundings::Surroundings;
use crate::time::{Now, WallTime};

/// Worst first.
const STATUSES: [&str; 6] = ["Failed", "Backoff", "Stopped", "Stopping", "Starting", "Running"];
/// Worst first.
const HEALTHS: [&str; 5] = ["Failed", "Unhealthy", "Stopping", "Starting", "Healthy"];

impl Plugin {
    /// Why it cannot be started on this machine at all.
    pub(crate) fn obstacle(&self) -> Option<&str> {
        view::obstacle(&self.definition, self.conflict.as_ref())
    }

    /// What other definitions in service speak against it.
    pub(crate) fn conflict(&self) -> Option<&crate::job::finding::Finding> {
        self.conflict.as_ref()
    }

    /// The instance that is worst off.
    fn worst(&self) -> Option<&Supervisor> {
        let rank = |instance: &&Supervisor| {
            let place = |list: &[&str], word: &str| list.iter().position(|known| *known == word);
            (place(&STATUSES, instance.status()), place(&HEALTHS, instance.health()))
        };
        self.instances().min_by_key(rank)
    }

    /// The worst state of its instances, as the API tells it.
    pub(crate) fn status(&self) -> &'static str {
        self.worst().map_or("Stopped", Supervisor::status)
    }

    /// The worst health of its instances (contract section 2); nobody is healthy who is not there.
    pub(crate) fn health(&self) -> &'static str {
        let of = |wanted: &&&str| self.instances().any(|instance| instance.health() == **wanted);
        HEALTHS.iter().find(of).copied().unwrap_or("Unhealthy")
    }

    /// Whether a process of it runs.
    pub(crate) fn is_running(&self) -> bool {
        self.instances().any(Supervisor::is_running)
    }

    /// The process of the instance that is worst off.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.worst()?.pid
    }

    /// When that instance was started last.
    pub(crate) fn last_start(&self) -> Option<WallTime> {
        self.worst()?.last_start
    }

    /// When that instance is started again by itself.
    pub(crate) fn restart_at(&self, now: Now) -> Option<WallTime> {
        self.worst()?.restart_at(now)
    }

    /// Why that instance is as it is, or why there is none.
    pub(crate) fn reason(&self) -> Option<String> {
        if let Some(worst) = self.worst() {
            return worst.reason();
        }
        let idle = if self.definition.auto_start {
            "nobody has started it since it was stopped."
        } else {
            "autoStart is false, and nobody has started it."
        };
        Some(self.obstacle().or(self.absent.as_deref()).unwrap_or(idle).to_string())
    }

    /// The restarts of all instances, also of those that are gone.
    pub(crate) fn restarts(&self) -> u64 {
        self.instances().fold(self.former_restarts, |sum, instance| sum.saturating_add(instance.restarts))
    }

    /// What processes that ended wrote: the last of the instances that are gone, then the last of each.
    pub(crate) fn last_outputs(&self) -> impl Iterator<Item = &ProcessOutput> {
        self.former_output.iter().chain(self.instances().filter_map(|instance| instance.last_output.as_ref()))
    }

    /// Where its file may be: a relative path is tried under the agent root, then under the plugin root.
    pub(crate) fn candidates(&self, surroundings: &Surroundings) -> alloc::vec::Vec<String> {
        query(&self.definition, surroundings, &[]).candidates
    }
}
