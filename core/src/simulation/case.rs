//! Test cases of job authors (`*.test.json`): a simulation as JSON, and what is expected of its first run.

pub(crate) mod keys;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Assumptions, Story, Trigger};
use crate::run::history::Outcome;

/// When a case begins that does not say so.
pub const CASE_BEGIN: &str = "2026-01-01T00:00:00Z";

/// One test case. An unknown key is an error: an expectation that nobody reads would always be met.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TestCase {
    /// What it shows, for people.
    #[serde(default)]
    pub name: Option<String>,
    /// Job files, relative to the case; the first is the job under test.
    pub jobs: Vec<String>,
    /// The event to fire; without one the first job is triggered by hand.
    #[serde(default)]
    pub event: Option<String>,
    /// The values of the trigger.
    #[serde(default)]
    pub context: Map<String, Value>,
    /// When it begins, RFC 3339; [`CASE_BEGIN`] where not given.
    #[serde(default)]
    pub at: Option<String>,
    /// How programs end, by task or `job/task`.
    #[serde(default)]
    pub assume: BTreeMap<String, Given>,
    /// What must come of it.
    pub expect: Expectation,
}

/// What is assumed of a task's program.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Given {
    /// `exit:N`, `signal:N`, `out-of-memory`, `hang` or `missing`, one for each execution; the last one stays.
    #[serde(default)]
    pub ends: Vec<String>,
    /// Standard output: a text, or anything else as JSON.
    #[serde(default)]
    pub stdout: Option<Value>,
    /// Seconds until it ends.
    #[serde(default)]
    pub seconds: Option<u64>,
}

/// What must come of a case; what is not given is not looked at.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expectation {
    /// The outcome of the first run.
    #[serde(default)]
    pub outcome: Option<Outcome>,
    /// The executed tasks of the first run, in order.
    #[serde(default)]
    pub route: Option<Vec<String>>,
    /// The skipped tasks of the first run, in order.
    #[serde(default)]
    pub skipped: Option<Vec<String>>,
    /// Values of the first run's context at its end, among others.
    #[serde(default)]
    pub context: Map<String, Value>,
    /// What the tasks of all runs published, in order: all of it.
    #[serde(default)]
    pub publishes: Option<Vec<Publication>>,
    /// A part of the sentence that refuses the trigger.
    #[serde(default)]
    pub refused: Option<String>,
}

/// One expected message.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Publication {
    /// The topic.
    pub topic: String,
    /// The payload: its JSON where it is JSON, else its text.
    pub payload: Value,
}

/// An expectation that was not met.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Which: `outcome`, `route`, `context.findings`, …
    pub what: String,
    /// What the case says.
    pub expected: Value,
    /// What came.
    pub found: Value,
}

impl TestCase {
    /// Reads a case.
    ///
    /// # Errors
    /// A sentence with line and column.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| format!("this is no test case: {error}."))
    }

    /// What sets the agent to work, for the id of the job under test.
    pub fn trigger(&self, id: &str) -> Trigger {
        match &self.event {
            Some(name) => Trigger::Event { name: name.clone(), context: self.context.clone() },
            None => Trigger::Job { id: id.to_string(), context: self.context.clone() },
        }
    }

    /// The assumptions of the case.
    ///
    /// # Errors
    /// A sentence that names what is wrong.
    pub fn assumptions(&self) -> Result<Assumptions, String> {
        let mut assumptions = Assumptions::default();
        let unread = |_: &str| Err(String::from("a case holds its output itself"));
        for (task, given) in &self.assume {
            for end in &given.ends {
                assumptions.assume(&format!("{task}={end}"), &unread)?;
            }
            if let Some(seconds) = given.seconds {
                assumptions.assume(&format!("{task}.seconds={seconds}"), &unread)?;
            }
            match &given.stdout {
                None => {}
                Some(Value::String(text)) => assumptions.write(task, text.clone().into_bytes()),
                Some(value) => assumptions.write(task, value.to_string().into_bytes()),
            }
        }
        Ok(assumptions)
    }

    /// Where a story is not as expected; nothing where all is met.
    pub fn differences(&self, story: &Story) -> Vec<Difference> {
        let mut differences = Vec::new();
        let mut hold = |what: &str, expected: Value, found: Value| {
            if expected != found {
                differences.push(Difference { what: what.to_string(), expected, found });
            }
        };
        let run = story.runs.first();
        let tasks = |skipped: bool| -> Value {
            let all = run.into_iter().flat_map(|run| &run.tasks);
            all.filter(|task| (task.outcome == "Skipped") == skipped).map(|task| task.task_id.clone()).collect()
        };
        let expect = &self.expect;
        if let Some(outcome) = expect.outcome {
            let found = run.and_then(|run| run.outcome).map(Outcome::as_str);
            hold("outcome", outcome.as_str().into(), found.into());
        }
        if let Some(route) = &expect.route {
            hold("route", route.clone().into(), tasks(false));
        }
        if let Some(skipped) = &expect.skipped {
            hold("skipped", skipped.clone().into(), tasks(true));
        }
        for (name, value) in &expect.context {
            let found = run.and_then(|run| run.context.get(name)).cloned().unwrap_or_default();
            hold(&format!("context.{name}"), value.clone(), found);
        }
        if let Some(publishes) = &expect.publishes {
            let said = |topic: &str, payload: Value| serde_json::json!({ "topic": topic, "payload": payload });
            let own = story.published.iter().filter(|published| !published.lifecycle);
            let found = own.map(|published| said(&published.topic, published.value())).collect();
            hold("publishes", publishes.iter().map(|one| said(&one.topic, one.payload.clone())).collect(), found);
        }
        match (&expect.refused, &story.refusal) {
            (Some(part), Some(refusal)) if refusal.contains(part) => {}
            (None, None) => {}
            (expected, found) => hold("refused", expected.clone().into(), found.clone().into()),
        }
        if let Some(why) = &story.given_up {
            hold("end", Value::Null, why.clone().into());
        }
        differences
    }
}
