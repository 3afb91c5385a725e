//! How a plugin looks from outside: status, health, the reason, and why it cannot be started at all.

use alloc::string::{String, ToString};

use super::{State, Supervisor};
use crate::id::SpawnId;
use crate::job::finding::Finding;
use crate::plugin::PluginDefinition;
use crate::time::{Now, WallTime};

impl Supervisor {
    /// Its process, where it is connected.
    pub(crate) fn ready_process(&self) -> Option<SpawnId> {
        let State::Running { spawn } = self.state else { return None };
        self.is_connected().then_some(spawn)
    }

    /// Why it cannot be started on this machine at all.
    pub(crate) fn obstacle(&self) -> Option<&str> {
        obstacle(&self.definition, self.conflict.as_ref())
    }

    /// The state as the API tells it.
    pub(crate) fn status(&self) -> &'static str {
        match self.state {
            State::Stopped if self.definition.built_in => "Running",
            State::Stopped | State::Waiting { .. } => "Stopped",
            State::Starting { .. } => "Starting",
            State::Running { .. } => "Running",
            State::Stopping { .. } | State::Ending { .. } => "Stopping",
            State::Backoff { .. } => "Backoff",
            State::Failed { .. } => "Failed",
        }
    }

    /// `Healthy Unhealthy Starting Stopping Failed` (contract section 2).
    pub(crate) fn health(&self) -> &'static str {
        match self.state {
            State::Stopped if self.definition.built_in => "Healthy",
            State::Running { .. } if self.liveness.trouble().is_some() => "Unhealthy",
            State::Running { .. } if self.is_connected() => "Healthy",
            State::Running { .. } | State::Starting { .. } => "Starting",
            State::Stopping { .. } | State::Ending { .. } => "Stopping",
            State::Stopped | State::Waiting { .. } | State::Backoff { .. } => "Unhealthy",
            State::Failed { .. } => "Failed",
        }
    }

    /// Why it is as it is: what keeps it from running, what is wrong with it while it runs, or else why it started or ended last.
    pub(crate) fn reason(&self) -> Option<String> {
        let idle = (!self.definition.auto_start).then_some("autoStart is false, and nobody has started it.");
        let told = match &self.state {
            State::Stopped if self.definition.built_in => None,
            State::Stopped => self.obstacle().or(self.last_reason.as_deref()).or(idle),
            State::Waiting { .. } => self.missing.as_deref().or(self.last_reason.as_deref()),
            State::Running { .. } => self.liveness.trouble().or(self.last_reason.as_deref()),
            State::Starting { .. }
            | State::Stopping { .. }
            | State::Ending { .. }
            | State::Backoff { .. }
            | State::Failed { .. } => self.last_reason.as_deref(),
        };
        told.map(ToString::to_string)
    }

    /// When it is started again by itself.
    pub(crate) fn restart_at(&self, now: Now) -> Option<WallTime> {
        match self.state {
            State::Backoff { until } | State::Failed { until } => {
                let millis = until.millis_since(now.monotonic);
                Some(WallTime::from_millis(now.wall.as_millis().saturating_add_unsigned(millis)))
            }
            State::Stopped
            | State::Waiting { .. }
            | State::Starting { .. }
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Ending { .. } => None,
        }
    }
}

/// Why a plugin with this definition, and what others speak against it, cannot be started on this machine at all.
pub(crate) fn obstacle<'p>(definition: &PluginDefinition, conflict: Option<&'p Finding>) -> Option<&'p str> {
    if definition.built_in {
        Some("it is a part of the agent, which needs no process and cannot be stopped.")
    } else if !definition.enabled {
        Some("it is registered with \"enabled\": false.")
    } else if !definition.supported_here {
        Some("supportedPlatforms does not name this system.")
    } else {
        conflict.map(|conflict| conflict.message.as_str())
    }
}
