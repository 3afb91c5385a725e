//! A policy's document to a [`Policy`], in each of its documented shapes, with findings that point at the place.
//!
//! Rules name the lists beside them: a list without its rule does not count, nor does a rule without its list. Lists inside `Filters` have
//! no rules and always count, as do those of `Extension`.

mod lists;
mod rules;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::collection::Collections;
use super::effect::{CONTROLS, Effect, Word};
use super::envelope::{About, Envelope, STATUSES, Status};
use super::filter::{Condition, Joined};
use super::{Approvers, PolicyId, PolicyType};
use crate::configuration_policy::Privileges;
use crate::job::finding::{Findings, Report, has_errors, quote};
use crate::job::parse::document;
use crate::json::read::{Field, ObjectReader};
use crate::schema::policy::{ACTIONS_TABLE, APPROVERS, EXTENSION, ON_FAILURE, ON_SUCCESS};

/// `Operator` of policies and rules.
pub(crate) const OPERATORS: [(&str, Joined); 2] = [("And", Joined::And), ("Or", Joined::Or)];

/// Characters of an id or a name: one line of a table.
const NAME_CHARS: usize = 256;
/// Characters of what a user is told: what a notice on a desktop shows.
const NOTICE_CHARS: usize = 2000;

/// A policy about privileges.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub(crate) id: PolicyId,
    /// Its file, without `.json`.
    pub(crate) file: String,
    pub(crate) name: String,
    pub(crate) policy_type: PolicyType,
    pub(crate) status: Status,
    pub(crate) effect: Effect,
    /// Joined by `operator`.
    pub(crate) rules: Vec<Condition>,
    pub(crate) operator: Joined,
    /// These have to hold in any case.
    pub(crate) scope: Vec<Condition>,
    pub(crate) notification: String,
    pub(crate) requires_acknowledge: bool,
    pub(crate) risk_level: u8,
    pub(crate) approvers: Option<Approvers>,
}

/// What a document is.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// A policy that is evaluated on request.
    Privileges(Box<Policy>),
    /// One that configures.
    Configures,
    /// One of a type that nothing here enforces.
    NotEnforced,
}

/// Reads the policy of a file. Notes and warnings come with it.
///
/// # Errors
/// All findings, at least one of them an error. Of policies that configure only the type is read here.
pub(crate) fn parse(bytes: &[u8], file: &str, collections: &Collections) -> Result<(Parsed, Findings), Findings> {
    let mut report = Report::default();
    let parsed = document(bytes, &mut report).and_then(|json| {
        let envelope = Envelope::read(&json, &mut report)?;
        Some(match envelope.about.1 {
            About::Privileges(policy_type) => {
                Parsed::Privileges(Box::new(policy(envelope, policy_type, file, collections, &mut report)?))
            }
            About::Configuration => Parsed::Configures,
            About::Other => {
                let message = "policies of this type are kept, and not enforced here.";
                report.note(envelope.reader.at("PolicyType"), "not-enforced", message);
                Parsed::NotEnforced
            }
        })
    });
    let findings = report.into_findings();
    match parsed {
        Some(parsed) if !has_errors(&findings) => Ok((parsed, findings)),
        _ => Err(findings),
    }
}

/// What a policy about privileges amounts to. Whether its lists are too long with their collections is not known here.
pub(crate) fn privileges(envelope: Envelope<'_>, policy_type: PolicyType, report: &mut Report) -> Option<Privileges> {
    let policy = policy(envelope, policy_type, "", &Collections::default(), report)?;
    Some(Privileges { status: policy.status, controls: policy.effect.names() })
}

fn policy(
    envelope: Envelope<'_>,
    policy_type: PolicyType,
    file: &str,
    collections: &Collections,
    report: &mut Report,
) -> Option<Policy> {
    let Envelope { reader, status, .. } = envelope;
    let status = match status {
        Some(field) => field.choice(&STATUSES, report),
        None => {
            let message = "'Status' is not given, so nobody can tell whether it counts; write enforce, monitor or off.";
            report.error(reader.at("Status"), "status-missing", message);
            None
        }
    };
    let lists = lists::Lists { collections };
    let effect = effect(&reader, report);
    let operator = reader.choice("Operator", &OPERATORS, report);
    let rules = rules::rules(&reader, &lists, report);
    let mut scope = rules::nested(&reader, &lists, report);
    let extension = reader.take("Extension").and_then(|field| field.object(&EXTENSION, report));
    let approvers = extension.and_then(|extension| {
        scope.extend(lists.folders(&extension, report));
        scope.extend(lists.commands(&extension, report).filter(|_| policy_type != PolicyType::FileAccess));
        let approvers = approvers(&extension, report);
        extension.finish(report);
        approvers
    });
    let mut text = |name, most| bounded(&reader, name, most, report);
    let (id, name) = (text("PolicyId", NAME_CHARS), text("PolicyName", NAME_CHARS));
    let notification = text("NotificationMessage", NOTICE_CHARS);
    let policy = Policy {
        id: PolicyId::new(if id.is_empty() { file } else { &id }),
        file: file.to_string(),
        name,
        policy_type,
        status: status.unwrap_or(Status::Off),
        effect,
        rules,
        operator,
        scope,
        notification,
        requires_acknowledge: reader.boolean("NotificationRequiresAcknowledge", report),
        risk_level: u8::try_from(reader.integer("RiskLevel", report)).unwrap_or_default(),
        approvers,
    };
    reader.finish(report);
    status.map(|_| policy)
}

/// A text of at most so many characters; empty where it is not given.
fn bounded(reader: &ObjectReader<'_>, name: &'static str, most: usize, report: &mut Report) -> String {
    let text = reader.text(name, report).unwrap_or_default();
    if text.chars().nth(most).is_some() {
        let message = alloc::format!("it has {} characters; at most {most} are allowed.", text.chars().count());
        report.error(reader.at(name), "too-long", message);
    }
    text.to_string()
}

/// The controls: those of `Actions.OnSuccess`, else of `OnSuccess`, else of the policy itself.
fn effect(reader: &ObjectReader<'_>, report: &mut Report) -> Effect {
    let actions = reader.take("Actions").and_then(|field| field.object(&ACTIONS_TABLE, report));
    let mut holders = Vec::new();
    if let Some(actions) = actions {
        holders.extend(actions.take("OnSuccess"));
        if let Some(failure) = actions.take("OnFailure").and_then(|field| field.object(&ON_FAILURE, report)) {
            if failure.text("Command", report).is_some_and(|command| !command.is_empty()) {
                let message = "it is kept, and not run; where the policy decides, the answer is all that happens.";
                report.note(failure.at("Command"), "not-run", message);
            }
            failure.finish(report);
        }
        actions.finish(report);
    }
    holders.extend(reader.take("OnSuccess"));
    let mut given: Vec<(String, Effect)> = Vec::new();
    for field in holders {
        if let Some(success) = field.object(&ON_SUCCESS, report) {
            given.extend(success.take("Controls").map(|field| controls(&field, report)));
            success.finish(report);
        }
    }
    given.extend(reader.take("Controls").map(|field| controls(&field, report)));
    let Some((place, effect)) = given.first().cloned() else { return Effect::default() };
    for (other, _) in given.iter().filter(|(_, other)| *other != effect) {
        let message = alloc::format!("these differ from the controls at {place}, which count; remove one of both.");
        report.warning(other.clone(), "controls-twice", message);
    }
    effect
}

fn controls(field: &Field<'_>, report: &mut Report) -> (String, Effect) {
    let words: Vec<Word> =
        field.array(report).unwrap_or_default().iter().filter_map(|item| item.choice(&CONTROLS, report)).collect();
    (field.pointer.clone(), Effect::of(words))
}

fn approvers(extension: &ObjectReader<'_>, report: &mut Report) -> Option<Approvers> {
    let field = extension.take("Approvers")?;
    let reader = field.object(&APPROVERS, report)?;
    let required = u32::try_from(reader.integer("required", report)).unwrap_or(1);
    let mut groups = Vec::new();
    for group in reader.array("groups", report) {
        let names: Vec<String> =
            group.array(report)?.iter().filter_map(|name| name.text(report)).map(String::from).collect();
        if names.is_empty() {
            report.error(group.pointer.clone(), "out-of-range", "the group has nobody in it; name who may approve.");
        } else if names.len() < usize::try_from(required).unwrap_or(usize::MAX) {
            let message = alloc::format!(
                "{required} of the group are required, and it has {}: nobody can meet that.",
                names.len()
            );
            report.warning(group.pointer.clone(), "approvers-too-few", message);
        }
        groups.push(names);
    }
    reader.finish(report);
    if groups.is_empty() {
        let at = quote(&field.pointer);
        report.warning(
            field.pointer,
            "approvers-missing",
            alloc::format!("{at} names no group; any administrator may approve."),
        );
        return None;
    }
    Some(Approvers { groups, required })
}
