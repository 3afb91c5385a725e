//! What has to be met before a program may be launched, and the facts that meet it: each is made of something the agent verified itself.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::grant::Grant;
use crate::job::finding::quote;
use crate::limits::JUSTIFICATION_CHARS;
use crate::mfa::Verdict;
use crate::policy::{Approvers, Control};
use crate::time::Now;

/// What a request has to meet, and what of it is outstanding.
#[derive(Debug, Clone, Default)]
pub(crate) struct Controls {
    outstanding: BTreeSet<Control>,
    approvers: Vec<Approvers>,
    approved: BTreeSet<String>,
}

/// A reason in words that says something.
#[derive(Debug, Clone)]
pub(crate) struct Justification(String);

/// An administrator who may speak about a request, by the name of the certificate.
#[derive(Debug, Clone)]
pub(crate) struct Approver(String);

/// A code of the requester's authenticator that was right, and is used now.
#[derive(Debug)]
pub(crate) struct SecondFactor(());

/// Something that was verified.
#[derive(Debug)]
pub(super) enum Fact<'f> {
    Justified(&'f Justification),
    Identified(&'f SecondFactor),
    Approved(&'f Approver),
    /// That it covers now.
    Granted(&'f Grant, Now),
}

impl SecondFactor {
    /// Of a code that was judged, durably.
    pub(crate) fn of(verdict: Verdict) -> Option<Self> {
        (verdict == Verdict::Verified).then_some(Self(()))
    }
}

impl Justification {
    /// Takes a text with a word in it and no control characters.
    ///
    /// # Errors
    /// A sentence that says what to write.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if !text.chars().any(char::is_alphanumeric) {
            return Err(String::from("A reason has at least one word."));
        }
        let length = text.chars().count();
        if length > JUSTIFICATION_CHARS {
            return Err(format!("A reason has at most {JUSTIFICATION_CHARS} characters; this one has {length}."));
        }
        if text.chars().any(char::is_control) {
            return Err(String::from("A reason is one line without control characters."));
        }
        Ok(Self(text.to_string()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Approver {
    /// Takes the name of an admin certificate, which must not be the requester's own.
    ///
    /// # Errors
    /// A sentence.
    pub(crate) fn of(certificate: &str, requester: &str) -> Result<Self, String> {
        if certificate.eq_ignore_ascii_case(requester) {
            return Err(format!("{} asks for it, and nobody approves a request of their own.", quote(requester)));
        }
        Ok(Self(certificate.to_string()))
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }
}

impl Controls {
    /// All of these; where nobody is named, any administrator approves.
    pub(super) fn required(outstanding: BTreeSet<Control>, approvers: Vec<Approvers>) -> Self {
        Self { outstanding, approvers, approved: BTreeSet::new() }
    }

    pub(super) const fn outstanding(&self) -> &BTreeSet<Control> {
        &self.outstanding
    }

    pub(super) fn awaits(&self, control: Control) -> bool {
        self.outstanding.contains(&control)
    }

    /// Why this administrator's word does not count, if so.
    pub(super) fn stranger(&self, approver: &Approver) -> Option<String> {
        let mut named = self.approvers.iter().flat_map(|approvers| approvers.groups.iter().flatten());
        if self.approvers.is_empty() || named.any(|name| name.eq_ignore_ascii_case(approver.name())) {
            return None;
        }
        let names: BTreeSet<&str> =
            self.approvers.iter().flat_map(|approvers| approvers.groups.iter().flatten()).map(String::as_str).collect();
        let names: Vec<&str> = names.into_iter().collect();
        Some(format!("{} is none of its approvers: {}.", quote(approver.name()), names.join(", ")))
    }

    /// Takes a fact; whether it changed anything.
    pub(super) fn meet(&mut self, fact: &Fact<'_>) -> bool {
        match fact {
            Fact::Justified(reason) => !reason.as_str().is_empty() && self.outstanding.remove(&Control::Justify),
            Fact::Identified(SecondFactor(())) => self.outstanding.remove(&Control::Mfa),
            Fact::Approved(approver) => {
                let is_new = self.awaits(Control::Approval) && self.approved.insert(approver.name().to_lowercase());
                if self.is_approved() {
                    self.outstanding.remove(&Control::Approval);
                }
                is_new
            }
            Fact::Granted(grant, now) => {
                let before = self.outstanding.len();
                self.outstanding.retain(|control| !grant.covers(*control, *now));
                self.outstanding.len() < before
            }
        }
    }

    /// So many of each group as are required; of nobody in particular one.
    fn is_approved(&self) -> bool {
        let agrees = |name: &&String| self.approved.contains(&name.to_lowercase());
        let enough = |approvers: &Approvers| {
            let required = usize::try_from(approvers.required.max(1)).unwrap_or(usize::MAX);
            approvers.groups.iter().all(|group| group.iter().filter(agrees).count() >= required)
        };
        !self.approved.is_empty() && self.approvers.iter().all(enough)
    }
}
