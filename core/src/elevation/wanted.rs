//! What a job is to be run for: the events that bring a request on, each once, and what they tell (privilege-flow.md section 2).

use alloc::string::ToString;
use alloc::vec::Vec;

use serde_json::json;

use super::Elevation;
use crate::policy::PolicyType;
use crate::run::FiredEvent;

/// Where jobs publish how a request of the agent's own ended; nobody but people and tools reads it.
const RESULT_TOPIC: &str = "PrivilegeElevation/results";

/// What a job is to be run for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// `PolicyEvaluationPending`.
    Controls,
    /// `LaunchPrivilegeElevation`.
    Launch,
}

impl Wanted {
    /// The event that the job waits for.
    pub(crate) const fn event(self) -> &'static str {
        match self {
            Self::Controls => "PolicyEvaluationPending",
            Self::Launch => "LaunchPrivilegeElevation",
        }
    }
}

impl Elevation {
    pub(super) fn want(&mut self, wanted: Wanted) {
        if self.fired != Some(wanted) {
            (self.wanted, self.step) = (Some(wanted), Some(wanted));
        }
    }

    /// Whether an event of this name brings it on; it does so once.
    pub(crate) fn takes_step(&mut self, event: &str) -> bool {
        let step = self.step.take_if(|step| step.event() == event);
        self.fired = step.or(self.fired);
        step.is_some()
    }

    /// What a job is to be run for, told once.
    pub(crate) fn take_wanted(&mut self) -> Option<Wanted> {
        let wanted = self.wanted.take();
        self.fired = wanted.or(self.fired);
        wanted
    }

    /// The event that a job waits for, with the documented context.
    pub(crate) fn event(&self, wanted: Wanted) -> FiredEvent {
        let record = &self.record;
        let controls: Vec<&str> = record.controls.iter().map(|control| control.as_str()).collect();
        let context = json!({
            "RequestId": self.id,
            "SessionId": self.id,
            "RespondToTopic": RESULT_TOPIC,
            "PolicyType": PolicyType::PrivilegeElevation.as_str(),
            "ControlList": controls.join(","),
            "UserName": record.user_name,
            "UserId": record.user_id,
            "FilePath": record.file_path,
            "CommandLine": record.command_line(),
            "HasDesktop": self.asked.peer.has_desktop,
            "RiskLevel": record.risk_level,
        });
        let context = context.as_object().cloned().unwrap_or_default();
        FiredEvent { name: wanted.event().to_string(), context, id: None, trace: None }
    }
}
