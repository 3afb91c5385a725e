//! What a simulation tells: runs with every task, what was published, and each decision in order.

use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;
use serde_json::Value;

use crate::run::history::{Outcome, RunRecord};

/// One decision or order, as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// RFC 3339, UTC, in virtual time.
    pub at: String,
    /// The category of the agent's log, or `Process` and `Publish` for what it asked of its world.
    pub kind: String,
    /// The component concerned: `job:…`, `plugin:…`, `agent`.
    pub about: String,
    /// A sentence.
    pub message: String,
}

/// One message that the agent published.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Published {
    /// The topic.
    pub topic: String,
    /// The payload: its JSON where it is JSON, else its text.
    pub payload: Value,
    /// Whether it is the agent's own word about a run, not a task's.
    pub lifecycle: bool,
}

/// How a simulation went.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct Story {
    /// Why the trigger was refused, where it was.
    pub refusal: Option<String>,
    /// The runs in the order they began.
    pub runs: Vec<RunRecord>,
    /// Everything that was published.
    pub published: Vec<Published>,
    /// Every decision.
    pub steps: Vec<Step>,
    /// Tasks that something was assumed of and that never started a program.
    pub unused_assumptions: Vec<String>,
    /// Why the simulation was given up, where it was.
    pub given_up: Option<String>,
}

impl Story {
    /// Whether something ran, all of it came to an end, and that end was good: succeeded or skipped.
    pub fn is_good(&self) -> bool {
        let good = |run: &RunRecord| matches!(run.outcome, Some(Outcome::Succeeded | Outcome::Skipped));
        self.refusal.is_none() && self.given_up.is_none() && !self.runs.is_empty() && self.runs.iter().all(good)
    }
}
