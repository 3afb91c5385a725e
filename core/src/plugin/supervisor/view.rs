//! How a plugin looks from outside: status, health, and why it cannot be started at all.

use super::{State, Supervisor};

impl Supervisor {
    /// Why it cannot be started on this machine at all.
    pub(crate) fn obstacle(&self) -> Option<&'static str> {
        if self.definition.built_in {
            Some("it is a part of the agent, which needs no process and cannot be stopped.")
        } else if !self.definition.enabled {
            Some("it is registered with \"enabled\": false.")
        } else if !self.definition.supported_here {
            Some("supportedPlatforms does not name this system.")
        } else {
            None
        }
    }

    /// The state as the API tells it.
    pub(crate) fn status(&self) -> &'static str {
        match self.state {
            State::Stopped if self.definition.built_in => "Running",
            State::Stopped => "Stopped",
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
            State::Running { .. } if self.connections > 0 => "Healthy",
            State::Running { .. } | State::Starting { .. } => "Starting",
            State::Stopping { .. } | State::Ending { .. } => "Stopping",
            State::Stopped | State::Backoff { .. } => "Unhealthy",
            State::Failed { .. } => "Failed",
        }
    }
}
