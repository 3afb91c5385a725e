//! What the processes of a plugin wrote on standard output and standard error: of the last one that ended, and of the one that runs.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use schemars::JsonSchema;
use serde::Serialize;

use super::{State, Supervisor};
use crate::event::Captured;
use crate::id::SpawnId;
use crate::user::sessions::Place;

/// The end of one stream, as it may be seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Written {
    /// As text, secrets masked.
    pub(crate) text: String,
    /// Bytes before it that are not kept.
    pub(crate) omitted: u64,
}

impl Written {
    /// The same as a port would have told it.
    pub(crate) fn into_captured(self) -> Captured {
        Captured { head: Vec::new(), tail: self.text.into_bytes(), omitted: self.omitted }
    }
}

/// What one process of a plugin wrote.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProcessOutput {
    pub(crate) process_id: Option<u32>,
    /// The session that it was for, and its user; `null` where it runs as the agent itself.
    pub(crate) session: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) running: bool,
    /// How it ended.
    pub(crate) ended: Option<String>,
    pub(crate) stdout: String,
    /// Bytes before that are not kept.
    pub(crate) stdout_omitted: u64,
    pub(crate) stderr: String,
    pub(crate) stderr_omitted: u64,
}

impl Supervisor {
    /// The tree whose program runs, or ended and is not collected yet.
    pub(crate) fn writes(&self) -> Option<SpawnId> {
        match self.state {
            State::Starting { spawn, released: true }
            | State::Running { spawn }
            | State::Stopping { spawn, .. }
            | State::Ending { spawn, collected: false, .. } => Some(spawn),
            State::Starting { released: false, .. }
            | State::Ending { .. }
            | State::Stopped
            | State::Waiting { .. }
            | State::Backoff { .. }
            | State::Failed { .. } => None,
        }
    }

    /// What its present process wrote.
    pub(crate) fn output(&self, stdout: Written, stderr: Written) -> ProcessOutput {
        let ended = match &self.state {
            State::Ending { how, .. } => Some(how.to_string()),
            State::Starting { .. }
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Stopped
            | State::Waiting { .. }
            | State::Backoff { .. }
            | State::Failed { .. } => None,
        };
        ProcessOutput {
            process_id: self.pid,
            session: self.place.as_ref().and_then(Place::session),
            user: self.place.as_ref().map(|place| place.user.clone()),
            running: ended.is_none(),
            ended,
            stdout: stdout.text,
            stdout_omitted: stdout.omitted,
            stderr: stderr.text,
            stderr_omitted: stderr.omitted,
        }
    }

    /// The process that ended has been collected: its output stays until the next one ends.
    pub(crate) fn keep_output(&mut self, spawn: SpawnId, stdout: Written, stderr: &Written) {
        if self.writes() == Some(spawn) {
            self.last_output = Some(self.output(stdout, stderr.clone()));
        }
    }
}
