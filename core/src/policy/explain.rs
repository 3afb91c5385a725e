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
use super::{Change, Compared, Considered, Explanation, Standing, Verdict};
use crate::job::finding::{brief, quote};

/// Policies named in a sentence.
const NAMED: usize = 3;

pub(super) fn explain(evaluation: &Evaluation<'_>, verdict: &Verdict) -> Explanation {
    let Evaluation { set, facts, .. } = evaluation;
    let asked = facts.request.policy_type;
    let unreadable = set.unreadable.iter().filter(|one| one.may_concern(asked));
    let policies = set.policies.iter().filter(|policy| policy.concerns(asked));
    let mut considered: Vec<Considered> = unreadable.map(|one| broken(one, evaluation, verdict)).collect();
    considered.extend(policies.clone().map(|policy| whole(policy, evaluation, verdict)));
    considered.sort_by(|one, other| {
        (one.standing, &one.policy_id, &one.file).cmp(&(other.standing, &other.policy_id, &other.file))
    });
    let nearest = if evaluation.fault().is_some() {
        None
    } else {
        removal(&considered, evaluation).or_else(|| meeting(policies, evaluation, verdict))
    };
    let request = facts.request;
    Explanation {
        what: format!("{verdict} for {} of {}.", quote(&request.command_line), quote(&request.user.name)),
        why: why(evaluation, verdict, &considered),
        fix: fix(evaluation, nearest.as_ref(), &considered),
        nearest,
        policies: considered,
        left_out: 0,
    }
}

fn broken(unreadable: &Unreadable, evaluation: &Evaluation<'_>, verdict: &Verdict) -> Considered {
    let without = evaluation.tally.without_unreadable().verdict();
    Considered {
        policy_id: unreadable.id.clone(),
        file: unreadable.id.to_string(),
        name: String::new(),
        status: String::new(),
        controls: Vec::new(),
        standing: Standing::Unreadable,
        decisive: evaluation.fault().is_none() && without != *verdict,
        filters: Vec::new(),
        why: brief(&unreadable.why),
    }
}

fn whole(policy: &Policy, evaluation: &Evaluation<'_>, verdict: &Verdict) -> Considered {
    let is_off = policy.status == Status::Off;
    let matches = !is_off && policy.matches(&evaluation.facts);
    let counts = matches && policy.status == Status::Enforce;
    let standing = match () {
        () if is_off => Standing::NotEvaluated,
        () if counts && evaluation.decides(verdict, policy.effect) => Standing::Decided,
        () if matches => Standing::Matched,
        () => Standing::NotMatched,
    };
    let decisive =
        counts && evaluation.fault().is_none() && evaluation.tally.without(policy.effect).verdict() != *verdict;
    let why = match policy.status {
        Status::Off => "Its Status keeps it from being evaluated.",
        Status::Monitor => "It is only audited.",
        Status::MonitorAndNotify => "It is only audited and told.",
        Status::Enforce => "",
    };
    let filters = policy.conditions().filter(|_| !is_off).map(|condition| compared(condition, &evaluation.facts));
    Considered {
        policy_id: policy.id.clone(),
        file: policy.file.clone(),
        name: brief(&policy.name),
        status: policy.status.as_str().to_string(),
        controls: policy.effect.names(),
        standing,
        decisive,
        filters: filters.collect(),
        why: why.to_string(),
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
fn removal(considered: &[Considered], evaluation: &Evaluation<'_>) -> Option<Change> {
    let decisive = considered.iter().find(|policy| policy.decisive)?;
    let found = |policy: &&Policy| policy.id == decisive.policy_id && policy.file == decisive.file;
    let verdict = match decisive.standing {
        Standing::Unreadable => evaluation.tally.without_unreadable().verdict(),
        Standing::Decided | Standing::Matched | Standing::NotMatched | Standing::NotEvaluated => {
            evaluation.tally.without(evaluation.set.policies.iter().find(found)?.effect).verdict()
        }
    };
    Some(Change { policy_id: decisive.policy_id.clone(), filters: Vec::new(), verdict })
}

/// The policy with the fewest filters that would have to hold for another outcome.
fn meeting<'a>(
    policies: impl Iterator<Item = &'a Policy>,
    evaluation: &Evaluation<'_>,
    verdict: &Verdict,
) -> Option<Change> {
    let changes = policies.filter(|policy| policy.status == Status::Enforce).filter_map(|policy| {
        let then = evaluation.tally.with(policy.effect).verdict();
        let filters = failing(policy, &evaluation.facts);
        (then != *verdict && !filters.is_empty()).then(|| Change {
            policy_id: policy.id.clone(),
            filters,
            verdict: then,
        })
    });
    changes.min_by_key(|change| change.filters.len())
}

/// The filters that would have to hold for a policy to match; none where it does.
fn failing(policy: &Policy, facts: &Facts<'_>) -> Vec<String> {
    let fails = |condition: &&Condition| !condition.holds(facts);
    let rules = policy.rules.iter().filter(fails);
    let rules: Vec<&Condition> = match policy.operator {
        Joined::And => rules.collect(),
        Joined::Or if policy.rules.iter().any(|condition| condition.holds(facts)) => Vec::new(),
        Joined::Or => rules.take(1).collect(),
    };
    rules.into_iter().chain(policy.scope.iter().filter(fails)).map(|condition| condition.filter.clone()).collect()
}

fn why(evaluation: &Evaluation<'_>, verdict: &Verdict, considered: &[Considered]) -> String {
    if let Some(fault) = evaluation.fault() {
        return fault.to_string();
    }
    let of = |standing| considered.iter().filter(move |policy| policy.standing == standing);
    let deciding = named(of(Standing::Decided));
    let matching = of(Standing::Matched).filter(|policy| policy.status == Status::Enforce.as_str());
    match verdict {
        Verdict::Deny if evaluation.tally.denies() => format!("It is denied by {deciding}."),
        Verdict::Deny if evaluation.tally.unreadable() > 0 => {
            let broken = named(of(Standing::Unreadable));
            format!(
                "Nobody can tell what {broken} would say, because it cannot be read, and it may be one that denies."
            )
        }
        Verdict::Deny if considered.is_empty() => String::from("There is no policy about it."),
        Verdict::Deny if matching.clone().next().is_some() => {
            format!("Of the enforced policies {} match, and none allows it.", named(matching))
        }
        Verdict::Deny => format!("None of {} policies about it is enforced and matches.", considered.len()),
        Verdict::Pending(_) => format!("It is required by {deciding}."),
        Verdict::Allow => format!("It is allowed by {deciding}, and nothing denies it or requires more."),
    }
}

fn fix(evaluation: &Evaluation<'_>, nearest: Option<&Change>, considered: &[Considered]) -> String {
    if evaluation.fault().is_some() {
        return String::from("Ask with the path that the file has.");
    }
    let Some(Change { policy_id, filters, verdict }) = nearest else {
        return if considered.is_empty() {
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

fn named<'a>(policies: impl Iterator<Item = &'a Considered> + Clone) -> String {
    let names: Vec<String> = policies.clone().take(NAMED).map(|policy| quote(policy.policy_id.as_str())).collect();
    match policies.count().saturating_sub(NAMED) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}
