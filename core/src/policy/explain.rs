//! How a decision came about: every policy with what its filters compared, and the nearest change that would give another outcome.
//!
//! Nearest is the removal of one policy where that alone changes the outcome; else the policy that would change it if the fewest of its
//! filters held. So a denial for want of a policy names the one that almost matched.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::envelope::Status;
use super::evaluate::Evaluation;
use super::filter::{Condition, Facts, Joined};
use super::parse::Policy;
use super::set::Unreadable;
use super::{Change, Compared, Considered, Explanation, PolicyId, Standing, Verdict};
use crate::job::finding::{brief, quote};

/// Policies named in a sentence.
const NAMED: usize = 3;

/// A policy that was looked at, or a file that cannot be read, with what became of it.
struct Found<'a> {
    standing: Standing,
    /// Whether the outcome would be another without it.
    decisive: bool,
    of: Of<'a>,
}

#[derive(Clone, Copy)]
enum Of<'a> {
    Policy(&'a Policy),
    Unreadable(&'a Unreadable),
}

/// Looks at all policies, and lists the first `most`, of which those that decided stand in front: what filters compared is put into words
/// for these alone.
pub(super) fn explain(evaluation: &Evaluation<'_>, verdict: &Verdict, most: usize) -> Explanation {
    let found = found(evaluation, verdict);
    let nearest = if evaluation.fault().is_some() {
        None
    } else {
        removal(&found, evaluation).or_else(|| meeting(evaluation, verdict))
    };
    let request = evaluation.facts.request;
    Explanation {
        what: format!("{verdict} for {} of {}.", quote(&request.command_line), quote(&request.user.name)),
        why: why(evaluation, verdict, &found),
        fix: fix(evaluation, nearest.as_ref(), found.is_empty()),
        nearest,
        policies: found.iter().take(most).map(|one| one.told(&evaluation.facts)).collect(),
        left_out: found.len().saturating_sub(most),
    }
}

/// All that there is about such requests, in the order in which it is told.
fn found<'a>(evaluation: &Evaluation<'a>, verdict: &Verdict) -> Vec<Found<'a>> {
    let is_judged = evaluation.fault().is_none();
    let without_unreadable = evaluation.tally.without_unreadable().verdict();
    let unreadable = evaluation.unreadable().map(|one| Found {
        standing: Standing::Unreadable,
        decisive: is_judged && without_unreadable != *verdict,
        of: Of::Unreadable(one),
    });
    // Each is held against the request again: so an answer that overlooked one would show.
    let policies = evaluation.policies().map(|policy| {
        let is_off = policy.status == Status::Off;
        let matches = !is_off && policy.matches(&evaluation.facts);
        let counts = matches && policy.status == Status::Enforce;
        let standing = match () {
            () if is_off => Standing::NotEvaluated,
            () if counts && evaluation.decides(verdict, policy.effect) => Standing::Decided,
            () if matches => Standing::Matched,
            () => Standing::NotMatched,
        };
        let decisive = counts && is_judged && evaluation.tally.without(policy.effect).verdict() != *verdict;
        Found { standing, decisive, of: Of::Policy(policy) }
    });
    let mut found: Vec<Found<'_>> = unreadable.chain(policies).collect();
    found.sort_by(|one, other| {
        (one.standing, one.of.id(), one.of.file()).cmp(&(other.standing, other.of.id(), other.of.file()))
    });
    found
}

impl<'a> Of<'a> {
    fn id(self) -> &'a PolicyId {
        match self {
            Self::Policy(policy) => &policy.id,
            Self::Unreadable(unreadable) => &unreadable.id,
        }
    }

    fn file(self) -> &'a str {
        match self {
            Self::Policy(policy) => &policy.file,
            Self::Unreadable(unreadable) => unreadable.id.as_str(),
        }
    }

    fn is_enforced(self) -> bool {
        match self {
            Self::Policy(policy) => policy.status == Status::Enforce,
            Self::Unreadable(_) => false,
        }
    }
}

impl Found<'_> {
    fn told(&self, facts: &Facts<'_>) -> Considered {
        let (policy_id, file) = (self.of.id().clone(), self.of.file().to_string());
        let Self { standing, decisive, of } = *self;
        match of {
            Of::Unreadable(unreadable) => Considered {
                policy_id,
                file,
                name: String::new(),
                status: String::new(),
                controls: Vec::new(),
                standing,
                decisive,
                filters: Vec::new(),
                why: brief(&unreadable.why),
            },
            Of::Policy(policy) => Considered {
                policy_id,
                file,
                name: brief(&policy.name),
                status: policy.status.as_str().to_string(),
                controls: policy.effect.names(),
                standing,
                decisive,
                filters: match policy.status {
                    Status::Off => Vec::new(),
                    Status::Monitor | Status::MonitorAndNotify | Status::Enforce => {
                        policy.conditions().map(|condition| compared(condition, facts)).collect()
                    }
                },
                why: of_status(policy.status).to_string(),
            },
        }
    }
}

const fn of_status(status: Status) -> &'static str {
    match status {
        Status::Off => "Its Status keeps it from being evaluated.",
        Status::Monitor => "It is only audited.",
        Status::MonitorAndNotify => "It is only audited and told.",
        Status::Enforce => "",
    }
}

fn compared(condition: &Condition, facts: &Facts<'_>) -> Compared {
    let holds = condition.holds(facts);
    Compared {
        filter: condition.filter.clone(),
        holds,
        asked: brief(&condition.asked(facts)),
        against: condition.entries.clone(),
        message: if holds { String::new() } else { brief(&condition.message) },
    }
}

/// The first policy without which the outcome is another.
fn removal(found: &[Found<'_>], evaluation: &Evaluation<'_>) -> Option<Change> {
    let decisive = found.iter().find(|one| one.decisive)?;
    let tally = match decisive.of {
        Of::Policy(policy) => evaluation.tally.without(policy.effect),
        Of::Unreadable(_) => evaluation.tally.without_unreadable(),
    };
    Some(Change { policy_id: decisive.of.id().clone(), filters: Vec::new(), verdict: tally.verdict() })
}

/// The policy with the fewest filters that would have to hold for another outcome.
fn meeting(evaluation: &Evaluation<'_>, verdict: &Verdict) -> Option<Change> {
    let enforced = evaluation.policies().filter(|policy| policy.status == Status::Enforce);
    let changes = enforced.filter_map(|policy| {
        let then = evaluation.tally.with(policy.effect).verdict();
        let failing = failing(policy, &evaluation.facts);
        (then != *verdict && !failing.is_empty()).then_some((policy, failing, then))
    });
    let (policy, failing, verdict) = changes.min_by_key(|(_, failing, _)| failing.len())?;
    let filters = failing.into_iter().map(|condition| condition.filter.clone()).collect();
    Some(Change { policy_id: policy.id.clone(), filters, verdict })
}

/// The filters that would have to hold for a policy to match; none where it does.
fn failing<'a>(policy: &'a Policy, facts: &Facts<'_>) -> Vec<&'a Condition> {
    let fails = |condition: &&Condition| !condition.holds(facts);
    let rules = policy.rules.iter().filter(fails);
    let rules: Vec<&Condition> = match policy.operator {
        Joined::And => rules.collect(),
        Joined::Or if policy.rules.iter().any(|condition| condition.holds(facts)) => Vec::new(),
        Joined::Or => rules.take(1).collect(),
    };
    rules.into_iter().chain(policy.scope.iter().filter(fails)).collect()
}

fn why(evaluation: &Evaluation<'_>, verdict: &Verdict, found: &[Found<'_>]) -> String {
    if let Some(fault) = evaluation.fault() {
        return fault.to_string();
    }
    let of = |standing| found.iter().filter(move |one| one.standing == standing).map(|one| one.of);
    let deciding = named(of(Standing::Decided));
    let matching = of(Standing::Matched).filter(|one| one.is_enforced());
    match verdict {
        Verdict::Deny if evaluation.tally.denies() => format!("It is denied by {deciding}."),
        Verdict::Deny if evaluation.tally.unreadable() > 0 => {
            let broken = named(of(Standing::Unreadable));
            format!(
                "Nobody can tell what {broken} would say, because it cannot be read, and it may be one that denies."
            )
        }
        Verdict::Deny if found.is_empty() => String::from("There is no policy about it."),
        Verdict::Deny if matching.clone().next().is_some() => {
            format!("Of the enforced policies {} match, and none allows it.", named(matching))
        }
        Verdict::Deny => format!("None of {} policies about it is enforced and matches.", found.len()),
        Verdict::Pending(_) => format!("It is required by {deciding}."),
        Verdict::Allow => format!("It is allowed by {deciding}, and nothing denies it or requires more."),
    }
}

fn fix(evaluation: &Evaluation<'_>, nearest: Option<&Change>, is_alone: bool) -> String {
    if evaluation.fault().is_some() {
        return String::from("Ask with the path that the file has.");
    }
    let Some(Change { policy_id, filters, verdict }) = nearest else {
        return if is_alone {
            String::from("An administrator may put a policy that allows it into the folder Policies of the agent root.")
        } else {
            String::from("No change of a single policy gives another outcome.")
        };
    };
    if filters.is_empty() {
        return format!("Without the policy {} it would be {verdict}.", quote(policy_id.as_str()));
    }
    format!("With the policy {} it would be {verdict}, if {} held.", quote(policy_id.as_str()), filters.join(" and "))
}

fn named<'a>(policies: impl Iterator<Item = Of<'a>> + Clone) -> String {
    let names: Vec<String> = policies.clone().take(NAMED).map(|one| quote(one.id().as_str())).collect();
    match policies.count().saturating_sub(NAMED) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}
