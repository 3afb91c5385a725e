//! What is kept of a request: the whole story, as the store, the API and people see it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::authorization::Program;
use super::{Asked, Substitute};
use crate::id::ElevationId;
use crate::policy::{Approvers, Control, PolicyId};
use crate::time::WallTime;
use crate::user::Account;
use crate::why::Explanation;

/// Where a request stands. From `Denied` on it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Status {
    /// It arrived; its program is being looked for.
    Requested,
    /// Policies are being asked.
    Evaluating,
    /// Something has to be met first.
    AwaitingControls,
    /// Its program may be launched, once.
    Authorized,
    /// Its program is being launched.
    Launching,
    /// Its program runs.
    Running,
    /// Nothing was launched, as somebody or something spoke against it.
    Denied,
    /// Its program ran and ended; or the agent did not survive the launch.
    Finished,
    /// Nothing was launched in time.
    Expired,
    /// Its caller left before anything was launched.
    Withdrawn,
}

impl Status {
    /// All of them, in the order of a request that goes well, then those in which it is over.
    pub const ALL: [Self; 10] = [
        Self::Requested,
        Self::Evaluating,
        Self::AwaitingControls,
        Self::Authorized,
        Self::Launching,
        Self::Running,
        Self::Denied,
        Self::Finished,
        Self::Expired,
        Self::Withdrawn,
    ];
    /// Those in which a request is over.
    pub const FINAL: [Self; 4] = [Self::Denied, Self::Finished, Self::Expired, Self::Withdrawn];

    /// Whether the request is over.
    pub fn is_final(self) -> bool {
        Self::FINAL.contains(&self)
    }

    /// As records have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "Requested",
            Self::Evaluating => "Evaluating",
            Self::AwaitingControls => "AwaitingControls",
            Self::Authorized => "Authorized",
            Self::Launching => "Launching",
            Self::Running => "Running",
            Self::Denied => "Denied",
            Self::Finished => "Finished",
            Self::Expired => "Expired",
            Self::Withdrawn => "Withdrawn",
        }
    }
}

/// One request for more privileges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ElevationRecord {
    /// Its id: `E{boot}-{count}`.
    pub request_id: String,
    /// Where it stands.
    pub status: Status,
    /// When it arrived: RFC 3339, UTC.
    #[schemars(extend("format" = "date-time"))]
    pub asked_at: String,
    /// When it came to stand there: RFC 3339, UTC.
    #[schemars(extend("format" = "date-time"))]
    pub changed_at: String,
    /// Who asks.
    pub user_name: String,
    /// His user id.
    pub user_id: u32,
    /// The process that asked.
    pub caller_process_id: u32,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// The file, without links, once it was found.
    pub file_path: Option<String>,
    /// The file as it was when policies judged it.
    #[schemars(with = "Option<serde_json::Value>")]
    pub(crate) program: Option<Program>,
    /// The folder it was asked from.
    pub folder: Option<String>,
    /// Policies that the decision rests on.
    #[schemars(with = "Vec<String>")]
    pub policy_ids: Vec<PolicyId>,
    /// Their risk level, 0-100.
    pub risk_level: u8,
    /// What has to be met, whether it is or not.
    #[schemars(with = "Vec<String>")]
    pub controls: Vec<Control>,
    /// What of it is not met yet.
    #[schemars(with = "Vec<String>")]
    pub outstanding: Vec<Control>,
    /// Who may approve, where that is not any administrator.
    #[schemars(with = "Vec<serde_json::Value>")]
    pub approvers: Vec<Approvers>,
    /// The reason that its user gave.
    pub justification: Option<String>,
    /// Who approved or denied it.
    pub votes: Vec<Vote>,
    /// Whether nobody approved in time, so that it waits longer and is told to everybody who may.
    pub escalated: bool,
    /// The grant that stood in for controls.
    pub grant_id: Option<String>,
    /// The grant that it led to.
    pub grant: Option<Granted>,
    /// What is run instead of what was asked for, once that is launched.
    pub substitute: Option<Substitute>,
    /// The process that was launched.
    pub process_id: Option<u32>,
    /// How its program ended, as in `code 0`.
    pub exit: Option<String>,
    /// Why it stands as it does.
    pub explanation: Option<Explanation>,
}

/// Which requests of the history are asked for; `None` is any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ElevationQuery {
    /// With this id.
    pub request: Option<ElevationId>,
    /// Of this user.
    pub user: Option<String>,
    /// That stand so.
    pub status: Option<Status>,
    /// Asked at this instant or later.
    pub since: Option<WallTime>,
    /// Older than this one.
    pub before: Option<ElevationId>,
    /// At most so many.
    pub limit: usize,
}

/// An administrator's word on a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Vote {
    /// The name of the certificate.
    pub by: String,
    /// Whether it was approved.
    pub approved: bool,
    /// When: RFC 3339, UTC.
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
    /// The reason given.
    pub reason: Option<String>,
}

/// A permission that outlasts its request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Granted {
    /// From when it counts: RFC 3339, UTC.
    #[schemars(extend("format" = "date-time"))]
    pub given: String,
    /// Until when: RFC 3339, UTC.
    #[schemars(extend("format" = "date-time"))]
    pub until: String,
    /// Who took it back, if somebody did.
    pub revoked: Option<String>,
}

impl ElevationRecord {
    /// What is known when a request arrives.
    pub(super) fn of(id: &ElevationId, asked: &Asked, account: &Account, at: WallTime) -> Self {
        Self {
            request_id: id.to_string(),
            status: Status::Requested,
            asked_at: at.to_rfc3339(),
            changed_at: at.to_rfc3339(),
            user_name: account.name.clone(),
            user_id: asked.peer.uid,
            caller_process_id: asked.peer.pid,
            command: asked.words.clone(),
            file_path: None,
            program: None,
            folder: asked.folder.clone(),
            policy_ids: Vec::new(),
            risk_level: 0,
            controls: Vec::new(),
            outstanding: Vec::new(),
            approvers: Vec::new(),
            justification: None,
            votes: Vec::new(),
            escalated: false,
            grant_id: None,
            grant: None,
            substitute: None,
            process_id: None,
            exit: None,
            explanation: None,
        }
    }

    /// Its grant counts no more.
    pub(crate) fn revoke(&mut self, by: &str) {
        if let Some(grant) = &mut self.grant {
            grant.revoked = Some(by.to_string());
        }
    }

    /// The agent ended before the request did: nothing is launched any more.
    pub(crate) fn lose(&mut self, at: WallTime) {
        let id = &self.request_id;
        let (status, what, why) = if matches!(self.status, Status::Launching | Status::Running) {
            let why = "The agent ended while it was being launched or ran; whether it ran is on record in the audit.";
            (Status::Finished, format!("What became of request {id} is not known."), why)
        } else {
            let why = "The agent ended before it was launched; it is not launched any more.";
            (Status::Expired, format!("Request {id} expired."), why)
        };
        self.explanation = Some(Explanation::new(what, why, "Ask again."));
        (self.status, self.changed_at) = (status, at.to_rfc3339());
    }

    /// Why nothing can be done to it any more.
    pub(crate) fn over(&self) -> Explanation {
        let (id, status) = (&self.request_id, self.status);
        Explanation::new(
            format!("Request {id} stays as it is."),
            format!("It is over: {status:?}."),
            "Its user may ask again.",
        )
    }

    /// Whether somebody has to meet something before it goes on.
    pub fn is_waiting(&self) -> bool {
        self.status == Status::AwaitingControls
    }

    /// The command as it is shown.
    pub fn command_line(&self) -> String {
        self.command.join(" ")
    }

    /// Until when the agent needs it: `None` while the request goes on, else the end of its grant, or that of the request.
    pub fn needed_until(&self) -> Option<WallTime> {
        let grant = self.grant.as_ref().filter(|grant| grant.revoked.is_none()).map(|grant| grant.until.as_str());
        let end = self.status.is_final().then(|| WallTime::parse_rfc3339(grant.unwrap_or(&self.changed_at)));
        end.map(Option::unwrap_or_default)
    }
}
