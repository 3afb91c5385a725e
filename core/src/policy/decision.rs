//! What policies answer: the decision with everything that follows from it, and how it came about.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{PolicyId, Verdict};
use crate::why;

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Decision {
    /// The answer itself.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// The enforced policies that it follows from, in order; none where nothing matches.
    #[serde(rename = "PolicyIds")]
    pub policies: Vec<PolicyId>,
    /// What the user is to be told.
    pub notify: Vec<Notice>,
    /// Whether a policy wants it audited, one that only monitors included.
    pub audit: bool,
    /// Whether an enforced policy wants the session recorded.
    pub record: bool,
    /// The highest `RiskLevel` of the policies that it follows from, 0-100; 50 where nothing matches.
    pub risk_level: u8,
    /// Who may approve, where `APPROVAL` is required: all of these have to be satisfied; none means any administrator.
    pub approvers: Vec<Approvers>,
    /// How it came about.
    pub explanation: Explanation,
}

/// A notice that a policy wants the user to get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Notice {
    /// Which policy.
    pub policy_id: PolicyId,
    /// `NotificationMessage`, or empty.
    pub message: String,
    /// `NotificationRequiresAcknowledge`.
    pub requires_acknowledge: bool,
}

/// Who may approve: so many of each group (`Extension.Approvers`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Approvers {
    /// Names of administrators, by group.
    pub groups: Vec<Vec<String>>,
    /// How many of each group; at least 1.
    pub required: u32,
}

/// How a decision came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Explanation {
    /// One sentence: the decision.
    pub what: String,
    /// One sentence: what it rests on.
    pub why: String,
    /// One sentence: the nearest change of the outcome, for people.
    pub fix: String,
    /// The same for programs; `None` where no single change of a policy gives another outcome.
    pub nearest: Option<Change>,
    /// Every policy that was considered: those that decided first.
    pub policies: Vec<Considered>,
    /// How many considered policies the list above leaves out.
    pub left_out: usize,
}

/// One change that would give another outcome, all else being equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Change {
    /// The policy it is about.
    pub policy_id: PolicyId,
    /// The filters that would have to hold; none where the policy would have to be gone.
    pub filters: Vec<String>,
    /// The outcome then.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// A policy that was considered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Considered {
    /// Which.
    pub policy_id: PolicyId,
    /// Its file, without `.json`.
    pub file: String,
    /// `PolicyName`, or empty.
    pub name: String,
    /// `Status` in its documented spelling; empty where it cannot be told.
    pub status: String,
    /// Its controls as the policy has them.
    pub controls: Vec<String>,
    /// What became of it.
    pub standing: Standing,
    /// Whether the outcome would be another without it.
    pub decisive: bool,
    /// Its filters with what they compared; for one that cannot be read the reason stands in `why`.
    pub filters: Vec<Compared>,
    /// What else is to say: why it cannot be read, why it is not evaluated; or empty.
    pub why: String,
}

/// What became of a policy that was considered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Standing {
    /// It matches, is enforced, and the decision follows from it.
    Decided,
    /// It cannot be read and may be enforced, so the decision follows from it.
    Unreadable,
    /// It matches, and the decision does not follow from it.
    Matched,
    /// It does not match.
    NotMatched,
    /// Its status, or its file's fault together with its status, keeps it from being evaluated.
    NotEvaluated,
}

/// A filter with the values that it compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Compared {
    /// Its key in the policy, such as `UserCheck` or `Extension.Folders`.
    pub filter: String,
    /// Whether it holds.
    pub holds: bool,
    /// What the request has.
    pub asked: String,
    /// What it was held against, the first few.
    pub against: Vec<String>,
    /// `ErrorMessage` of its rule, where it does not hold and has one; or empty.
    pub message: String,
}

impl Explanation {
    /// The three sentences, as logs and problems carry them.
    pub fn summary(&self) -> why::Explanation {
        why::Explanation::new(self.what.clone(), self.why.clone(), self.fix.clone())
    }
}
