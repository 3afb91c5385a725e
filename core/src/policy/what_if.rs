//! What other policies would have answered: recorded decisions, judged again at their own moment with what was known then.
//!
//! Equal changes of one user's same program are one group, as a nightly job asks the same a thousand times.

#[cfg(test)]
mod tests;

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;
use serde_json::Value;

use super::basis::recorded;
use super::{PolicySet, PolicySource, Request, Verdict};
use crate::audit::{Act, Entry};
use crate::job::finding::brief;
use crate::json::Json;
use crate::limits::WHAT_IF_GROUPS;
use crate::time::WallTime;

/// A decision that stands in the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// When: RFC 3339, UTC.
    pub time: String,
    /// The request that it was about.
    pub request: String,
    /// What was answered.
    pub before: Verdict,
    /// What was judged.
    pub input: Request,
}

/// Why a recorded decision cannot be judged again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotReplayed {
    /// What was known of the user and the moment is not on record.
    Incomplete,
    /// It has another form than decisions of this version.
    Unreadable,
}

/// Decisions that came out otherwise, in the same way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// How many.
    pub count: u64,
    /// When the latest was made: RFC 3339, UTC. All that follows is about that one.
    pub time: String,
    /// Its request.
    pub request: String,
    /// Who asked.
    pub user: String,
    /// For which file.
    pub program: String,
    /// The command, shortened.
    pub command: String,
    /// What was answered, as in `PENDING (MFA)`.
    pub before: String,
    /// What would be.
    pub after: String,
    /// The policies from which that would follow.
    pub policies: Vec<String>,
    /// Why, in a sentence.
    pub why: String,
}

/// What came out so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Decisions that were judged again.
    pub decisions: u64,
    /// Of those, how many came out otherwise.
    pub changed: u64,
    /// Decisions without what was known then.
    pub incomplete: u64,
    /// Decisions of another form.
    pub unreadable: u64,
    /// Changed decisions of more groups than are kept.
    pub not_listed: u64,
}

/// User, program, before, after.
type Key = (String, String, String, String);

/// Decisions held against a set of policies.
#[derive(Debug)]
pub struct WhatIf<'s> {
    set: &'s PolicySet,
    since: Option<WallTime>,
    outcome: Outcome,
    /// With the place of the latest among all that were taken.
    groups: BTreeMap<Key, (u64, Change)>,
}

impl Recorded {
    /// Reads an entry of the audit; `None` where it is no decision.
    ///
    /// # Errors
    /// It is one, and cannot be judged again.
    pub fn read(entry: &Value) -> Result<Option<Self>, NotReplayed> {
        if entry.get("kind").and_then(Value::as_str) != Some("decision") {
            return Ok(None);
        }
        let unreadable = |_| NotReplayed::Unreadable;
        let Entry { time, request, what, .. } = serde_json::from_value(entry.clone()).map_err(unreadable)?;
        let Act::Decision { decision, controls, input, policy_set, .. } = what else { return Ok(None) };
        if policy_set.is_none() {
            return Err(NotReplayed::Incomplete);
        }
        let (input, before) = recorded(&decision, &controls, &input).map_err(unreadable)?;
        Ok(Some(Self { time, request: request.unwrap_or_default(), before, input }))
    }
}

impl<'s> WhatIf<'s> {
    /// Of these policies, for decisions that are not older.
    pub const fn new(set: &'s PolicySet, since: Option<WallTime>) -> Self {
        let outcome = Outcome { decisions: 0, changed: 0, incomplete: 0, unreadable: 0, not_listed: 0 };
        Self { set, since, outcome, groups: BTreeMap::new() }
    }

    /// Takes the next entry of the audit.
    pub fn take(&mut self, entry: &Value) {
        let time = entry.get("time").and_then(Value::as_str).and_then(WallTime::parse_rfc3339);
        // What has no time may be of any.
        if self.since.is_some_and(|since| time.is_some_and(|time| time < since)) {
            return;
        }
        let count = match Recorded::read(entry) {
            Ok(None) => return,
            Ok(Some(recorded)) => return self.judge(recorded),
            Err(NotReplayed::Incomplete) => &mut self.outcome.incomplete,
            Err(NotReplayed::Unreadable) => &mut self.outcome.unreadable,
        };
        *count = count.saturating_add(1);
    }

    /// Judges a decision again.
    pub fn judge(&mut self, recorded: Recorded) {
        self.outcome.decisions = self.outcome.decisions.saturating_add(1);
        let Recorded { time, request, before, input } = recorded;
        let evaluation = self.set.evaluate(&input);
        if evaluation.verdict() == before {
            return;
        }
        self.outcome.changed = self.outcome.changed.saturating_add(1);
        let decision = evaluation.decision();
        let (before, after) = (before.to_string(), decision.verdict.to_string());
        let key = (input.user.name.clone(), input.file_path.clone(), before.clone(), after.clone());
        let known = self.groups.get(&key).map(|(_, change)| change.count);
        if known.is_none() && self.groups.len() >= WHAT_IF_GROUPS {
            self.outcome.not_listed = self.outcome.not_listed.saturating_add(1);
            return;
        }
        let change = Change {
            count: known.unwrap_or_default().saturating_add(1),
            time,
            request,
            command: brief(&input.command_line),
            user: input.user.name,
            program: input.file_path,
            before,
            after,
            policies: decision.policies.iter().map(ToString::to_string).collect(),
            why: decision.explanation.why,
        };
        self.groups.insert(key, (self.outcome.decisions, change));
    }

    /// What came of it: in numbers, and the changes, newest first.
    pub fn finish(self) -> (Outcome, Vec<Change>) {
        let mut groups: Vec<(u64, Change)> = self.groups.into_values().collect();
        groups.sort_by(|(one, _), (other, _)| other.cmp(one));
        (self.outcome, groups.into_iter().map(|(_, change)| change).collect())
    }
}

/// Whether a file of policies would take the place of another: it has its name, or is the same policy by its id.
pub fn replaces(new: &PolicySource<'_>, present: &PolicySource<'_>) -> bool {
    new.name == present.name || id(new) == id(present)
}

fn id(source: &PolicySource<'_>) -> String {
    let json = source.content.ok().and_then(|bytes| Json::parse(bytes).ok());
    let id = json.as_ref().and_then(|json| json.lookup(&["policyid"])).and_then(Json::as_str);
    id.filter(|id| !id.is_empty()).unwrap_or(source.name).to_string()
}
