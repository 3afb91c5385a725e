//! What is asked of KeeperPolicy, what it answers, and what jobs and subscribers are told of a request (privilege-flow.md section 2).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;
use serde_json::json;

use super::Elevation;
use super::record::{ElevationRecord, Status};
use crate::policy::message::{Asked, Question, VERSION};
use crate::policy::{Control, LocalTime, PolicyType, Request, User};
use crate::run::FiredEvent;
use crate::turn::Turn;

/// The plugin that evaluates policies, and its topic.
pub(crate) const POLICY_PLUGIN: &str = "KeeperPolicy";
/// Where the agent reads its answers.
pub(crate) const ANSWER_TOPIC: &str = "KeeperPolicy/answers";
/// Where jobs publish how a request of the agent's own ended; nobody but people and tools reads it.
const RESULT_TOPIC: &str = "PrivilegeElevation/results";
/// Where every change of an approval is published.
pub(super) const APPROVAL_TOPIC: &str = "RequestApproval";

/// A change of a request, for who follows events.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Change<'r> {
    request_id: &'r str,
    status: Status,
    user_name: &'r str,
    command: &'r [String],
    outstanding: &'r [Control],
    escalated: bool,
    what: Option<&'r str>,
}

impl<'r> Change<'r> {
    pub(super) fn of(record: &'r ElevationRecord) -> Self {
        Self {
            request_id: &record.request_id,
            status: record.status,
            user_name: &record.user_name,
            command: &record.command,
            outstanding: &record.outstanding,
            escalated: record.escalated,
            what: record.explanation.as_ref().map(|explanation| explanation.why.as_str()),
        }
    }
}

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
    /// What policies are asked, filled with nothing that its user says but the command.
    ///
    /// # Errors
    /// A sentence, where the machine's clock or zone cannot be told.
    pub(super) fn policy_request(&self, turn: &Turn<'_>) -> Result<Request, String> {
        let record = &self.record;
        let home = self.asked.peer.account.as_ref().map(|account| account.home.clone()).unwrap_or_default();
        Ok(Request {
            policy_type: PolicyType::PrivilegeElevation,
            // KeeperPolicy looks up the names of his groups, which only the system knows.
            user: User { uid: record.user_id, name: record.user_name.clone(), groups: BTreeSet::new() },
            machine: turn.surroundings.host_name.clone(),
            file_path: record.file_path.clone().unwrap_or_default(),
            command_line: record.command_line(),
            arguments: record.command.iter().skip(1).cloned().collect(),
            has_desktop: self.asked.peer.has_desktop,
            at: LocalTime::new(turn.now.wall, &turn.surroundings.time_zone)?,
            signer: None,
            variables: BTreeMap::from([(String::from("home"), home)]),
        })
    }

    /// What KeeperPolicy is asked: an answer to anything else is none to this request.
    ///
    /// # Errors
    /// A sentence.
    pub(crate) fn asks(&self, turn: &Turn<'_>) -> Result<Asked, String> {
        Ok(Asked::of(self.policy_request(turn)?, self.id.to_string()))
    }

    /// The message on the topic of KeeperPolicy.
    ///
    /// # Errors
    /// A sentence.
    pub(super) fn question(&self, turn: &Turn<'_>) -> Result<Vec<u8>, String> {
        let respond_to_topic = ANSWER_TOPIC.to_string();
        let (id, meta_data) = (self.id.to_string(), self.asks(turn)?);
        let question = Question { id, version: VERSION, respond_to_topic, meta_data };
        serde_json::to_vec(&question).map_err(|error| error.to_string())
    }

    /// Has a job run for it, unless one was already.
    pub(super) fn want(&mut self, wanted: Wanted) {
        if self.fired != Some(wanted) {
            self.wanted = Some(wanted);
        }
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
