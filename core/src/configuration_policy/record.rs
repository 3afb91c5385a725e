//! What was applied, and what became of each policy that was seen.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use schemars::JsonSchema;
use serde::Serialize;

use super::parse::privileges_of;
use super::signature::distrust;
use super::{AppliedPolicy, FOLDER, PolicyChange, PolicyKey, PolicyLayer, Privileges};
use crate::config::Settings;
use crate::job::OperatingSystem;
use crate::job::finding::Findings;
use crate::limits::{POLICIES, REFUSED_POLICIES};

/// What became of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) enum PolicyResult {
    /// It was applied.
    Applied,
    /// The same content was applied before; nothing was done.
    Unchanged,
    /// It was not applied; what was in force before still is.
    Refused,
    /// It is not for the agent to apply: by its type, or by its `Status`.
    Idle,
    /// It would be applied (`?dryRun=true`).
    Valid,
}

/// A policy as `GET /api/policies` shows it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PolicyLine {
    /// Its name: that of its file without `.json`.
    pub(crate) name: String,
    /// Where it is from: `Policies`, `api`, or a source of bundles.
    pub(crate) source: String,
    /// `PolicyType`; empty where it could not be read.
    #[serde(rename = "type")]
    pub(crate) policy_type: String,
    /// SHA-256 of its content; empty where it could not be read.
    pub(crate) sha256: String,
    /// When, in RFC 3339.
    pub(crate) time: String,
    /// What became of it.
    pub(crate) result: PolicyResult,
    /// Why, where it was not applied.
    pub(crate) why: Option<String>,
    /// What it changed, a phrase for each.
    pub(crate) changes: Vec<String>,
    /// What was found in it.
    pub(crate) findings: Findings,
    /// `Status` of a policy about privileges; only `enforce` acts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<&'static str>,
    /// `Controls` of a policy about privileges.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) controls: Vec<String>,
    /// The user id that its file belongs to.
    #[serde(skip)]
    pub(crate) owner: Option<u32>,
}

impl PolicyLine {
    /// A policy that was just met, as applied.
    pub(crate) fn new(key: &PolicyKey, time: String) -> Self {
        Self {
            name: key.name.clone(),
            source: key.source.clone(),
            policy_type: String::new(),
            sha256: String::new(),
            time,
            result: PolicyResult::Applied,
            why: None,
            changes: Vec::new(),
            findings: Findings::new(),
            status: None,
            controls: Vec::new(),
            owner: None,
        }
    }

    /// The same with what a policy about privileges amounts to.
    pub(crate) fn with(self, privileges: Option<Privileges>) -> Self {
        match privileges {
            Some(Privileges { status, controls }) => Self { status: Some(status.as_str()), controls, ..self },
            None => self,
        }
    }

    /// A policy that was applied before.
    pub(crate) fn of(policy: &AppliedPolicy) -> Self {
        let (policy_type, sha256) = (policy.policy_type.clone(), policy.sha256.clone());
        let line = Self { policy_type, sha256, ..Self::new(&policy.key, policy.time.clone()) };
        // What it amounts to is the same on every system.
        line.with(policy.document.as_ref().and_then(|document| privileges_of(document, OperatingSystem::Linux)))
    }

    /// Which policy it is about.
    pub(crate) fn key(&self) -> PolicyKey {
        PolicyKey { name: self.name.clone(), source: self.source.clone() }
    }
}

/// The answer to `DELETE /api/policies/{policyName}`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PolicyForgotten {
    /// The name.
    pub(crate) name: String,
    /// Whose record of it is gone.
    pub(crate) sources: Vec<String>,
    /// From where it comes back, unless it is taken away there, too.
    pub(crate) notes: Vec<String>,
}

/// Everything that is known of policies.
#[derive(Debug, Default)]
pub(crate) struct Records {
    applied: BTreeMap<PolicyKey, AppliedPolicy>,
    lines: BTreeMap<PolicyKey, PolicyLine>,
}

impl Records {
    /// What is on disk.
    pub(crate) fn new(applied: Vec<AppliedPolicy>) -> Self {
        let mut records = Self::default();
        records.apply(applied.into_iter().map(PolicyChange::Keep));
        records
    }

    /// Carries out what is on disk.
    pub(crate) fn apply(&mut self, changes: impl IntoIterator<Item = PolicyChange>) {
        for change in changes {
            match change {
                PolicyChange::Keep(policy) => {
                    self.lines.entry(policy.key.clone()).or_insert_with(|| PolicyLine::of(&policy));
                    self.applied.insert(policy.key.clone(), policy);
                }
                PolicyChange::Forget(key) => {
                    self.applied.remove(&key);
                    self.lines.remove(&key);
                }
            }
        }
    }

    /// What was applied under this name.
    pub(crate) fn applied(&self, key: &PolicyKey) -> Option<&AppliedPolicy> {
        self.applied.get(key)
    }

    /// Whether there is room for what is applied under this name, beside so many others that are new.
    pub(crate) fn has_room(&self, key: &PolicyKey, others: usize) -> bool {
        self.applied.contains_key(key) || self.applied.len().saturating_add(others) < POLICIES
    }

    /// Whether just this was said of the policy last: it was looked at once more, and is refused or left alone for the same reason.
    pub(crate) fn is_known(&self, line: &PolicyLine) -> bool {
        let is_same =
            |known: &PolicyLine| (&known.sha256, known.result, &known.why) == (&line.sha256, line.result, &line.why);
        matches!(line.result, PolicyResult::Refused | PolicyResult::Idle)
            && self.lines.get(&line.key()).is_some_and(is_same)
    }

    /// The policies of a source that `keep` does not name.
    pub(crate) fn others(&self, source: &str, keep: impl Fn(&str) -> bool) -> Vec<PolicyKey> {
        self.lines.keys().filter(|key| key.source == source && !keep(&key.name)).cloned().collect()
    }

    /// The settings that policies set which count, in the order in which they do: the later over the former.
    pub(crate) fn layers(&self, settings: &Settings) -> impl Iterator<Item = (&AppliedPolicy, &PolicyLayer)> {
        let counting = self.applied.values().filter(|policy| distrust(policy, settings).is_none());
        counting.filter_map(|policy| Some((policy, policy.layer.as_ref()?)))
    }

    /// What was applied and counts no more, with the reason.
    pub(crate) fn distrusted(&self, settings: &Settings) -> impl Iterator<Item = (&AppliedPolicy, String)> {
        self.applied.values().filter_map(|policy| Some((policy, distrust(policy, settings)?)))
    }

    /// Notes what became of a policy. Of those that are not applied only so many are remembered, but for the folder's, which are as many
    /// as files are read.
    pub(crate) fn note(&mut self, line: PolicyLine) {
        let key = line.key();
        self.lines.insert(key.clone(), line);
        let is_alike = |other: &PolicyKey| other.source == key.source && !self.applied.contains_key(other);
        if key.source == FOLDER || self.lines.keys().filter(|other| is_alike(other)).count() <= REFUSED_POLICIES {
            return;
        }
        let older = self.lines.iter().filter(|(other, _)| is_alike(other) && **other != key);
        if let Some(oldest) =
            older.min_by(|(_, left), (_, right)| left.time.cmp(&right.time)).map(|(key, _)| key.clone())
        {
            self.lines.remove(&oldest);
        }
    }

    /// The policy is as it was when it was applied, whatever came of it in between.
    pub(crate) fn note_unchanged(&mut self, line: PolicyLine) {
        let is_told = |known: &PolicyLine| known.result == PolicyResult::Applied && known.status == line.status;
        let key = line.key();
        if self.applied.contains_key(&key) && !self.lines.get(&key).is_some_and(is_told) {
            self.lines.insert(key, PolicyLine { result: PolicyResult::Applied, ..line });
        }
    }

    /// What became of each.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &PolicyLine> {
        self.lines.values()
    }
}
