//! What a simulation tells: runs with every task, what was published, and each decision in order.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::run::history::{Outcome, RunRecord};

/// One decision or order, as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// RFC 3339, UTC, in virtual time.
    pub at: String,
    /// The category of the agent's log, or `Process` and `Publish` for what it asked of its world.
    pub kind: Cow<'static, str>,
    /// The component concerned: `job:…`, `plugin:…`, `agent`.
    pub about: String,
    /// A sentence.
    pub message: String,
}

/// One message that the agent published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Published {
    /// The topic.
    pub topic: String,
    /// The payload as it was published; [`Published::value`] reads it.
    #[serde(serialize_with = "as_value")]
    pub payload: Vec<u8>,
    /// Whether it is the agent's own word about a run, not a task's.
    pub lifecycle: bool,
}

/// What every word of the agent about a run has. Nothing of it is kept: most stories are never asked what was published.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "read to know that it is there")]
struct Lifecycle {
    event: IgnoredAny,
    run_id: IgnoredAny,
    status: IgnoredAny,
    timestamp: IgnoredAny,
}

impl Published {
    /// A message as the agent ordered it.
    pub(super) fn new(topic: String, payload: Vec<u8>) -> Self {
        let lifecycle = payload.starts_with(b"{") && serde_json::from_slice::<Lifecycle>(&payload).is_ok();
        Self { topic, payload, lifecycle }
    }

    /// The payload: its JSON where it is JSON, else its text.
    pub fn value(&self) -> Value {
        value(&self.payload)
    }
}

fn value(payload: &[u8]) -> Value {
    let text = String::from_utf8_lossy(payload);
    serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.into_owned()))
}

fn as_value<S: Serializer>(payload: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    value(payload).serialize(serializer)
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
