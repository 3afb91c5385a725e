//! Lint of policies: what the parser finds, and beyond it what can never match, what another policy makes void, and controls that
//! contradict each other.

#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::collection::Collections;
use super::effect::{Tally, Word};
use super::envelope::Status;
use super::filter::{Condition, Joined, Test};
use super::parse::{Parsed, Policy, parse};
use super::{Control, PolicyType, Verdict};
use crate::configuration_policy;
use crate::job::OperatingSystem;
use crate::job::finding::{Findings, Report, has_errors, quote};
use crate::job::lint::{Document, Linted};

/// A policy about privileges with its place among the files.
struct Placed {
    place: usize,
    policy: Policy,
}

/// Looks at the files of policies together, and at those of collections: first all policies, then all collections.
pub fn lint(policies: &[Document<'_>], collections: &[Document<'_>], here: OperatingSystem) -> Vec<Linted> {
    let mut known = Collections::default();
    let mut of_collections = Vec::new();
    for document in collections {
        let findings = known.add(document.bytes).err().unwrap_or_default();
        of_collections.push(linted(document, findings));
    }
    let mut found = Vec::new();
    let mut placed: Vec<Placed> = Vec::new();
    for (place, document) in policies.iter().enumerate() {
        let findings = match parse(document.bytes, document.stem, &known) {
            Ok((Parsed::Privileges(policy), findings)) => {
                placed.push(Placed { place, policy: *policy });
                findings
            }
            Ok((Parsed::Configures, _)) => configuration_policy::parse::parse(document.bytes, here)
                .map_or_else(|findings| findings, |(_, findings)| findings),
            Ok((Parsed::NotEnforced, findings)) | Err(findings) => findings,
        };
        found.push(linted(document, findings));
    }
    for one in &placed {
        let mut report = Report::default();
        contradictions(&one.policy, &mut report);
        impossible(&one.policy, &mut report);
        twins(one, &placed, policies, &mut report);
        shadows(one, &placed, policies, &mut report);
        if let Some(linted) = found.get_mut(one.place) {
            linted.findings.extend(report.into_findings());
        }
    }
    found.extend(of_collections);
    found
}

fn linted(document: &Document<'_>, findings: Findings) -> Linted {
    Linted { file: document.file.to_string(), valid: !has_errors(&findings), findings }
}

/// Controls that contradict each other or do nothing.
fn contradictions(policy: &Policy, report: &mut Report) {
    let effect = policy.effect;
    let has = |word| effect.has(word);
    if has(Word::Deny) && (has(Word::Allow) || effect.requires()) {
        let message = "DENY wins, so what else is allowed or required here never counts; give DENY alone.";
        report.warning("", "controls-contradict", message);
    } else if has(Word::Allow) && effect.requires() {
        report.note("", "allow-in-vain", "ALLOW says nothing beside what is required; it goes on once that is met.");
    }
    if effect.names().is_empty() {
        report.warning("", "no-controls", "it has no controls, so it does nothing where it matches.");
    }
    if policy.approvers.is_some() && !has(Word::Require(Control::Approval)) {
        report.warning(
            "/Extension/Approvers",
            "approvers-in-vain",
            "nobody is asked without APPROVAL among the controls.",
        );
    }
    if Tally::of(effect).verdict() == Verdict::Deny {
        return;
    }
    let counting: Vec<&Condition> = policy.conditions().filter(|one| one.test != Test::Everything).collect();
    if counting.is_empty() {
        let message =
            "no filter counts, so it is for everybody and everything; name users and files, or * where that is meant.";
        report.warning("", "applies-to-everything", message);
    } else if counting.iter().all(|one| matches!(one.test, Test::Expressions(..))) {
        let message = "it rests on texts of the command line alone, which whoever asks chooses; name users and files.";
        report.warning(pointer(counting.first()), "rests-on-text", message);
    }
}

/// Filters that no request meets.
fn impossible(policy: &Policy, report: &mut Report) {
    let never = |condition: &&Condition| condition.test.is_impossible();
    let mut rules = policy.rules.iter();
    let by_rules = match policy.operator {
        Joined::And => rules.find(never),
        Joined::Or if policy.rules.iter().all(|condition| never(&condition)) => rules.next(),
        Joined::Or => None,
    };
    if let Some(condition) = by_rules.or_else(|| policy.scope.iter().find(never)) {
        let message = "nothing meets this filter, so the policy never matches.";
        report.warning(pointer(Some(&condition)), "never-matches", message);
    }
}

fn pointer(condition: Option<&&Condition>) -> String {
    condition.map_or_else(String::new, |condition| format!("/{}", condition.filter.replace('.', "/")))
}

fn twins(one: &Placed, all: &[Placed], documents: &[Document<'_>], report: &mut Report) {
    let twin = all.iter().find(|other| other.place < one.place && other.policy.id == one.policy.id);
    if let Some(document) = twin.and_then(|twin| documents.get(twin.place)) {
        let message = format!(
            "{} has the id {} too; both count, and nobody can tell them apart.",
            document.file,
            quote(one.policy.id.as_str())
        );
        report.warning("/PolicyId", "duplicate-id", message);
    }
}

/// Whether the decision is the same with and without it, because another one matches wherever it does.
fn shadows(one: &Placed, all: &[Placed], documents: &[Document<'_>], report: &mut Report) {
    let is_void = |other: &&Placed| {
        other.place != one.place
            && makes_void(&other.policy, &one.policy)
            && !(one.place < other.place && makes_void(&one.policy, &other.policy))
    };
    if one.policy.status != Status::Enforce {
        return;
    }
    if let Some(document) = all.iter().find(is_void).and_then(|other| documents.get(other.place)) {
        let message =
            format!("it changes nothing: {} matches wherever it does, and wins or says the same.", document.file);
        report.warning("", "shadowed", message);
    }
}

/// Whether one policy leaves nothing for the other to change, whatever others say.
fn makes_void(wide: &Policy, narrow: &Policy) -> bool {
    let (strong, weak) = (wide.effect, narrow.effect);
    let told = [Word::Notify, Word::Audit, Word::Record];
    let tells_no_more = told.into_iter().all(|word| strong.has(word) || !weak.has(word));
    let required = Control::ALL.map(Word::Require);
    let requires_no_more =
        !weak.has(Word::Deny) && required.into_iter().all(|word| strong.has(word) || !weak.has(word));
    let allows_no_more = !weak.has(Word::Allow) || strong.has(Word::Allow) || strong.requires();
    wide.status == Status::Enforce
        && tells_no_more
        && (strong.has(Word::Deny) || (requires_no_more && allows_no_more))
        && (narrow.approvers.is_none() || narrow.approvers == wide.approvers)
        && PolicyType::ALL.into_iter().all(|asked| !narrow.concerns(asked) || wide.concerns(asked))
        && covers(wide, narrow)
}

/// Whether it is certain that one policy matches wherever the other does.
fn covers(wide: &Policy, narrow: &Policy) -> bool {
    let is_certain = narrow.operator == Joined::And || narrow.rules.len() == 1;
    let certain: Vec<&Condition> = narrow.rules.iter().filter(|_| is_certain).chain(&narrow.scope).collect();
    let is_met = |condition: &Condition| {
        condition.test == Test::Everything || certain.iter().any(|other| condition.test.covers(&other.test))
    };
    let by_rules = match wide.operator {
        _ if wide.rules.is_empty() => true,
        Joined::And => wide.rules.iter().all(is_met),
        Joined::Or => wide.rules.iter().any(is_met),
    };
    by_rules && wide.scope.iter().all(is_met)
}
