//! The audit: what was asked for, decided, allowed and changed, by whom and when, as entries of a chain (privilege-flow.md section 5).
//!
//! An entry says what happened in words of its own: it is read years later, beside other policies and another agent. It never holds a
//! secret. `chain` makes lines of entries, each of which carries the SHA-256 of the one before, and finds what is wrong with lines.

pub mod chain;

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::certificate::AdminCertificate;
use crate::elevation::Status;
use crate::policy::basis::Document;
use crate::why::Explanation;

/// Who did what nobody asked for.
pub(crate) const AGENT: &str = "agent";

/// One entry, as a line of the audit has it between its place in the chain and its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When: RFC 3339, UTC.
    pub time: String,
    /// Which start of the agent root it was; 0 for a command that worked on the files of a stopped agent.
    pub boot: u64,
    /// Who did it: `user:{name}`, `admin:{name}`, `root`, `agent`, or a component as in `job:{id}`; of a policy that is a file of
    /// another user than root, `uid:{number}`, its owner.
    pub who: String,
    /// The elevation request that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub what: Act,
}

/// What was asked for, where something else is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InsteadOf {
    /// The file.
    pub program: String,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// The place of the rule of redirection, from 0.
    pub rule: usize,
}

/// What is put on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Act {
    /// Somebody asks for a program with other rights.
    Request {
        /// The account that asks, as the kernel and the accounts of the machine name it.
        user: String,
        /// Its number.
        uid: u32,
        /// The process that asks.
        pid: u32,
        /// The command and its arguments.
        command: Vec<String>,
        /// The folder that it asks from.
        folder: Option<String>,
        /// The justification that came with it.
        reason: Option<String>,
    },
    /// A request was decided by policies.
    Decision {
        /// `ALLOW`, `DENY` or `PENDING`.
        decision: String,
        /// Controls that are to be met.
        controls: Vec<String>,
        /// Policies that the decision rests on.
        policies: Vec<String>,
        /// What was judged, so that it can be judged again by other policies: a request as `core::policy` has it.
        input: Value,
        /// Digest of all files of policies and collections; without it the input is not whole, as who decided did not say what he knew.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        policy_set: Option<String>,
        /// Where controls have to be met: files that lead to the decision alone.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        documents: Vec<Document>,
        /// How the decision came about.
        explanation: Value,
    },
    /// A control was met or refused, by a fact that the agent verified.
    Control {
        /// `MFA`, `JUSTIFY` or `APPROVAL`.
        control: String,
        /// Whether it was met.
        satisfied: bool,
        /// The justification that was given, or why it was not met.
        reason: String,
        /// The grant that stands in for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grant: Option<String>,
    },
    /// Somebody approved or denied a request; `who` says who.
    Approval {
        /// Whether they approved.
        approved: bool,
        /// The reason they gave.
        reason: Option<String>,
    },
    /// A program is about to be started; written before it is.
    Launch {
        /// The file that is executed.
        program: String,
        /// Its SHA-256 in lower-case hexadecimal digits, where it was hashed.
        sha256: Option<String>,
        /// The command and its arguments.
        command: Vec<String>,
        /// The account it runs as.
        run_as: String,
        /// What was asked for, where that is something else.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instead_of: Option<InsteadOf>,
    },
    /// A program that was launched ended, or could not be started.
    Exit {
        /// How, as in `code 0`, `signal 15`.
        status: String,
    },
    /// A request is over, nothing was launched, and no other entry says so.
    End {
        /// `Denied`, `Expired` or `Withdrawn`; `Finished` where the agent ended and nobody knows whether its program ran.
        status: String,
        /// Why.
        why: String,
    },
    /// A permission that outlasts its request.
    Grant {
        /// Its id.
        grant: String,
        /// For whom.
        user: String,
        /// For which file.
        program: String,
        /// For which command and arguments.
        command: Vec<String>,
        /// Until when: RFC 3339, UTC.
        until: String,
    },
    /// A permission was taken back.
    Revocation {
        /// Its id.
        grant: String,
        /// Why.
        reason: Option<String>,
    },
    /// A policy was applied, refused or forgotten.
    Policy {
        /// Its name.
        name: String,
        /// Where it is from: `Policies`, `api`, or a source of bundles.
        source: String,
        /// Its `PolicyType`; empty where it could not be read, or is not known any more.
        policy_type: String,
        /// SHA-256 of its content; empty as above.
        sha256: String,
        /// What became of it.
        change: PolicyOutcome,
        /// What it changed, a phrase for each.
        changes: Vec<String>,
        /// Why it was refused.
        why: Option<String>,
    },
    /// Admin certificates were issued or taken back.
    Certificate {
        /// What was done.
        change: CertificateOutcome,
        /// The names they are for.
        names: Vec<String>,
        /// Their SHA-256 in lower-case hexadecimal digits.
        sha256: Vec<String>,
        /// Until when an issued one counts: RFC 3339, UTC.
        until: Option<String>,
    },
    /// A user was given an authenticator for MFA codes, or lost it.
    Enrollment {
        /// Whose.
        user: String,
        /// What was done.
        change: EnrollmentOutcome,
    },
    /// A file was not as blessed, and was restored or could not be.
    Restore {
        /// The file, from the agent root.
        file: String,
        /// Whether it is as blessed again.
        restored: bool,
        /// What was found, what was done, and what to do next.
        explanation: Explanation,
        /// What differs.
        keys: Vec<String>,
    },
    /// The end of the chain was torn by a crash and is put aside; it was never confirmed to anybody.
    PutAside {
        /// The file in `state/audit/` that has it now.
        file: String,
        /// Its length.
        bytes: u64,
        /// Its SHA-256 in lower-case hexadecimal digits.
        sha256: String,
    },
    /// So many entries that nobody waited for could not be written; the log said so when it happened.
    Lost {
        /// How many.
        entries: u64,
    },
}

impl Act {
    /// A request is over.
    pub(crate) fn end(status: Status, why: &Explanation) -> Self {
        Self::End { status: String::from(status.as_str()), why: why.why.clone() }
    }

    /// A certificate was issued, or the agent's own made anew.
    pub fn issued(change: CertificateOutcome, certificate: &AdminCertificate) -> Self {
        Self::Certificate {
            change,
            names: Vec::from([certificate.name.clone()]),
            sha256: Vec::from([certificate.sha256.clone()]),
            until: Some(certificate.not_after.to_rfc3339()),
        }
    }

    /// Certificates of this list were taken back.
    pub fn revoked(list: &[AdminCertificate], revoked: &BTreeSet<String>) -> Self {
        let names: BTreeSet<&String> =
            list.iter().filter(|one| revoked.contains(&one.sha256)).map(|one| &one.name).collect();
        Self::Certificate {
            change: CertificateOutcome::Revoked,
            names: names.into_iter().cloned().collect(),
            sha256: revoked.iter().cloned().collect(),
            until: None,
        }
    }
}

/// What became of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PolicyOutcome {
    /// It is in force.
    Applied,
    /// What was in force before still is.
    Refused,
    /// The settings that it set end; what it wrote stays.
    Forgotten,
}

/// What was done to admin certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CertificateOutcome {
    /// Made for somebody.
    Issued,
    /// Taken back.
    Revoked,
    /// The agent's own was made anew.
    Renewed,
}

/// What was done to a user's authenticator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EnrollmentOutcome {
    /// The user has one now.
    Enrolled,
    /// It counts no more.
    Removed,
}

impl EnrollmentOutcome {
    /// As a participle.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Enrolled => "enrolled",
            Self::Removed => "removed",
        }
    }
}
