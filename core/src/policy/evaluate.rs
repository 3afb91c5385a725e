//! A request held against all policies of a set: first only what it amounts to; the whole decision where somebody wants it.

#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::vec::Vec;

use super::effect::{Effect, Tally, Word};
use super::envelope::Status;
use super::explain;
use super::filter::Facts;
use super::parse::Policy;
use super::pattern::is_normal;
use super::set::PolicySet;
use super::{Approvers, Control, Decision, Notice, PolicyId, Request, Verdict};

/// `RiskLevel` where no policy says one.
const RISK: u8 = 50;

/// What a request amounts to under a set of policies.
#[derive(Debug)]
pub struct Evaluation<'a> {
    pub(super) set: &'a PolicySet,
    pub(super) facts: Facts<'a>,
    /// The policies about such requests that are not off and match, in order.
    matching: Vec<&'a Policy>,
    pub(super) tally: Tally,
}

impl<'a> Evaluation<'a> {
    pub(super) fn of(set: &'a PolicySet, request: &'a Request) -> Self {
        let facts = Facts::of(request);
        let counts = |policy: &&Policy| {
            policy.status != Status::Off && policy.concerns(request.policy_type) && policy.matches(&facts)
        };
        let candidates = set.index.candidates(&facts);
        let matching = candidates.into_iter().filter_map(|place| set.policies.get(place)).filter(counts).collect();
        let mut evaluation = Self { set, facts, matching, tally: Tally::default() };
        let unreadable = evaluation.unreadable().count();
        let tally = (0..unreadable).fold(Tally::default(), |tally, _| tally.with_unreadable());
        evaluation.tally = evaluation.enforced().fold(tally, |tally, policy| tally.with(policy.effect));
        evaluation
    }

    /// The answer.
    pub fn verdict(&self) -> Verdict {
        if self.fault().is_some() { Verdict::Deny } else { self.tally.verdict() }
    }

    /// The answer with all that follows from it, and how it came about.
    pub fn decision(&self) -> Decision {
        self.decision_listing(usize::MAX)
    }

    /// The same, where the explanation lists no more than the first so many policies, those that decided among them, and counts the rest.
    pub fn decision_listing(&self, most: usize) -> Decision {
        let verdict = self.verdict();
        let deciding: Vec<&Policy> = self.enforced().filter(|policy| self.decides(&verdict, policy.effect)).collect();
        let mut policies: Vec<PolicyId> = deciding.iter().map(|policy| policy.id.clone()).collect();
        if self.fault().is_none() {
            policies.extend(self.unreadable().map(|unreadable| unreadable.id.clone()));
        }
        let asks = |policy: &&&Policy| policy.effect.has(Word::Require(Control::Approval));
        let mut approvers: Vec<Approvers> =
            deciding.iter().filter(asks).filter_map(|policy| policy.approvers.clone()).collect();
        approvers.sort();
        approvers.dedup();
        Decision {
            policies,
            notify: self.notices(),
            audit: self
                .matching
                .iter()
                .any(|policy| policy.status != Status::Enforce || policy.effect.has(Word::Audit)),
            record: self.enforced().any(|policy| policy.effect.has(Word::Record)),
            risk_level: deciding.iter().map(|policy| policy.risk_level).max().unwrap_or(RISK),
            approvers,
            explanation: explain::explain(self, &verdict, most),
            verdict,
        }
    }

    /// The files of the policies that the answer follows from.
    pub(super) fn deciding_files(&self) -> impl Iterator<Item = &'a str> {
        let verdict = self.verdict();
        self.enforced().filter(move |policy| self.decides(&verdict, policy.effect)).map(|policy| policy.file.as_str())
    }

    /// Why the request itself cannot be judged, if so: a path that files have under another name, too, would pass by a DENY for it.
    pub(super) fn fault(&self) -> Option<&'static str> {
        let path = &self.facts.request.file_path;
        let is_judged = is_normal(path) && (path.len() == 1 || !path.ends_with('/')) && !path.contains('\0');
        (!is_judged).then_some("FilePath is no absolute path without links, . and .., which alone is judged.")
    }

    /// Whether this answer follows from policies with such controls.
    pub(super) fn decides(&self, verdict: &Verdict, effect: Effect) -> bool {
        match verdict {
            _ if self.fault().is_some() => false,
            Verdict::Deny => effect.has(Word::Deny),
            Verdict::Pending(_) => effect.requires(),
            Verdict::Allow => effect.has(Word::Allow),
        }
    }

    fn enforced(&self) -> impl Iterator<Item = &'a Policy> {
        self.matching.iter().copied().filter(|policy| policy.status == Status::Enforce)
    }

    /// The policies about such requests, in order.
    pub(super) fn policies(&self) -> impl Iterator<Item = &'a Policy> + use<'a> {
        let asked = self.facts.request.policy_type;
        self.set.policies.iter().filter(move |policy| policy.concerns(asked))
    }

    pub(super) fn unreadable(&self) -> impl Iterator<Item = &'a super::Unreadable> + use<'a> {
        let asked = self.facts.request.policy_type;
        self.set.unreadable.iter().filter(move |unreadable| unreadable.may_concern(asked))
    }

    fn notices(&self) -> Vec<Notice> {
        let wants = |policy: &&Policy| match policy.status {
            Status::Enforce => policy.effect.has(Word::Notify),
            Status::MonitorAndNotify => true,
            Status::Monitor | Status::Off => false,
        };
        let notice = |policy: &Policy| Notice {
            policy_id: policy.id.clone(),
            message: String::from(policy.notification.as_str()),
            requires_acknowledge: policy.requires_acknowledge,
        };
        self.matching.iter().copied().filter(wants).map(notice).collect()
    }
}
