//! A policy's document to what it does, with findings that point at the place.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Action, Configuration, Policy, Privileges};
use crate::id::{InvalidId, JobId, PluginId};
use crate::job::finding::{Findings, Report, Severity, has_errors, quote};
use crate::job::parse::document;
use crate::job::{JobDefinition, OperatingSystem};
use crate::json::read::{Field, ObjectReader};
use crate::json::{Json, pointer_to};
use crate::limits::{SETTING_BYTES, SETTING_KEY_BYTES, STORED_SETTINGS};
use crate::plugin::PluginDefinition;
use crate::plugin::settings::{flatten, is_agent, is_definition, is_key};
use crate::policy::envelope::{About, Envelope, STATUSES, Status};
use crate::policy::parse::privileges;
use crate::schema::policy::EXTENSION;

/// The types that are applied here.
const TYPES: [(&str, Kind); 3] =
    [("JobUpdate", Kind::Job), ("SettingsUpdate", Kind::Settings), ("UpdateSettings", Kind::Reload)];
/// What a `JobUpdate` does.
const ACTIONS: [(&str, JobAction); 3] =
    [("Add", JobAction::Add), ("Update", JobAction::Update), ("Delete", JobAction::Delete)];
#[derive(Debug, Clone, Copy)]
enum Kind {
    Job,
    Settings,
    Reload,
}

#[derive(Debug, Clone, Copy)]
enum JobAction {
    Add,
    Update,
    Delete,
}

/// Reads a policy for the system `here`. Notes and warnings come with it.
///
/// # Errors
/// All findings, at least one of them an error.
pub(crate) fn parse(bytes: &[u8], here: OperatingSystem) -> Result<(Policy, Findings), Findings> {
    let mut report = Report::default();
    let policy = document(bytes, &mut report).and_then(|json| policy(&json, here, &mut report));
    let findings = report.into_findings();
    match policy {
        Some(policy) if !has_errors(&findings) => Ok((policy, findings)),
        _ => Err(findings),
    }
}

fn policy(json: &Json, here: OperatingSystem, report: &mut Report) -> Option<Policy> {
    let envelope = Envelope::read(json, report)?;
    if let (Some(policy_type), About::Privileges(about)) = envelope.about {
        let privileges = privileges(envelope, about, report)?;
        return Some(Policy::Configuration(Box::new(Configuration {
            policy_type,
            action: Action::Decide(privileges),
        })));
    }
    let Envelope { reader, type_name, status, .. } = envelope;
    let Some((policy_type, kind)) = TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(type_name)) else {
        let why = String::from("Policies of this type configure nothing; they are left alone.");
        return Some(Policy::Idle { policy_type: type_name.to_string(), why });
    };
    if let Some(field) = status
        && field.choice(&STATUSES, report)? != Status::Enforce
    {
        let why = format!("Its Status is {}; only enforce and enabled are applied.", quote(field.text(report)?));
        return Some(Policy::Idle { policy_type: (*policy_type).to_string(), why });
    }
    let extension = reader.take("Extension").and_then(|field| field.object(&EXTENSION, report));
    let action = match kind {
        Kind::Reload => Some(Action::Reload),
        Kind::Job | Kind::Settings => match &extension {
            Some(extension) if matches!(kind, Kind::Job) => job(extension, report),
            Some(extension) => settings(extension, here, report),
            None => {
                reader.required("Extension", report);
                None
            }
        },
    };
    if let Some(extension) = extension {
        extension.finish(report);
    }
    reader.finish(report);
    Some(Policy::Configuration(Box::new(Configuration { policy_type, action: action? })))
}

/// What a document that was applied amounts to, where it is about privileges.
pub(crate) fn privileges_of(bytes: &[u8], here: OperatingSystem) -> Option<Privileges> {
    match parse(bytes, here).ok()?.0 {
        Policy::Configuration(policy) => match policy.action {
            Action::Decide(privileges) => Some(privileges),
            Action::AddJob(_)
            | Action::UpdateJob(_)
            | Action::DeleteJob(_)
            | Action::ReplacePlugin(_)
            | Action::SetSettings(..)
            | Action::Reload => None,
        },
        Policy::Idle { .. } => None,
    }
}

fn job(extension: &ObjectReader<'_>, report: &mut Report) -> Option<Action> {
    let action = extension.required("Action", report)?.choice(&ACTIONS, report)?;
    let id = id(extension, "JobId", JobId::parse, report)?;
    if matches!(action, JobAction::Delete) {
        if id.is_none() {
            extension.required("JobId", report);
        }
        return id.map(Action::DeleteJob);
    }
    let field = extension.required("JobJson", report)?;
    let bytes = embedded(&field, report)?;
    let job = within(&field.pointer, JobDefinition::parse(&bytes, id.as_ref().map(JobId::as_str)), report)?;
    Some(if matches!(action, JobAction::Add) { Action::AddJob(job) } else { Action::UpdateJob(job) })
}

fn settings(extension: &ObjectReader<'_>, here: OperatingSystem, report: &mut Report) -> Option<Action> {
    let id = id(extension, "PluginId", PluginId::parse, report)?;
    match (extension.take("SettingsJson"), extension.take("Settings")) {
        (Some(field), None) => {
            let bytes = embedded(&field, report)?;
            let parsed = PluginDefinition::parse(&bytes, id.as_ref().map(PluginId::as_str), here);
            within(&field.pointer, parsed, report).map(Action::ReplacePlugin)
        }
        (None, Some(field)) => {
            let Some(id) = id else {
                extension.required("PluginId", report);
                return None;
            };
            if is_agent(&id) {
                let message = "these are the agent's own settings, which stand in appsettings.json.";
                report.error(extension.at("PluginId"), "settings-of-agent", message);
            }
            layer(&field, report).map(|values| Action::SetSettings(id, values))
        }
        (json, _) => {
            let message = if json.is_some() {
                "both 'SettingsJson' (the whole file) and 'Settings' (single values) are given; give one."
            } else {
                "neither 'SettingsJson' (the whole file) nor 'Settings' (single values) is given; give one."
            };
            report.error(extension.pointer.clone(), "one-of", message);
            None
        }
    }
}

/// Outer `None`: it is given and is no id.
#[expect(clippy::option_option, reason = "not given and given wrongly are different things")]
fn id<T>(
    extension: &ObjectReader<'_>,
    name: &'static str,
    parse: fn(&str) -> Result<T, InvalidId>,
    report: &mut Report,
) -> Option<Option<T>> {
    let Some(field) = extension.take(name) else { return Some(None) };
    match parse(field.text(report)?) {
        Ok(id) => Some(Some(id)),
        Err(invalid) => {
            report.error(field.pointer, "id-invalid", invalid.message);
            None
        }
    }
}

/// The bytes of a document inside the policy: an object, written out for people to read, or a text that is the document itself.
fn embedded(field: &Field<'_>, report: &mut Report) -> Option<Vec<u8>> {
    match field.value {
        Json::String(text) => Some(text.clone().into_bytes()),
        Json::Object(_) => match serde_json::to_vec_pretty(field.value) {
            Ok(mut bytes) => {
                bytes.push(b'\n');
                Some(bytes)
            }
            Err(error) => {
                report.error(field.pointer.clone(), "not-written", format!("it cannot be written out: {error}."));
                None
            }
        },
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) => {
            field.wrong_type("an object, or a text that holds one", report);
            None
        }
    }
}

/// Takes over the findings of a document inside the policy, with its place in front of theirs.
fn within<T>(place: &str, parsed: Result<(T, Findings), Findings>, report: &mut Report) -> Option<T> {
    let (value, findings) = match parsed {
        Ok((value, findings)) => (Some(value), findings),
        Err(findings) => (None, findings),
    };
    for finding in findings {
        let path = format!("{place}{}", finding.path);
        match finding.severity {
            Severity::Error => report.error(path, finding.code, finding.message),
            Severity::Warning => report.warning(path, finding.code, finding.message),
            Severity::Note => report.note(path, finding.code, finding.message),
        }
    }
    value
}

/// The values that a policy sets, by dotted key.
fn layer(field: &Field<'_>, report: &mut Report) -> Option<BTreeMap<String, String>> {
    let Json::Object(_) = field.value else {
        field.wrong_type("an object", report);
        return None;
    };
    let values = flatten(field.value);
    if values.len() > STORED_SETTINGS {
        let message = format!("these are {} settings; a policy sets at most {STORED_SETTINGS}.", values.len());
        report.error(field.pointer.clone(), "too-many-entries", message);
    }
    for (key, value) in &values {
        let at = || pointer_to(&field.pointer, key);
        if !is_key(key) {
            let message =
                format!("a key has 1 to {SETTING_KEY_BYTES} bytes, and no control character, '/' or '\\' in it.");
            report.error(at(), "setting-key", message);
        } else if is_definition(key) {
            let message = "it is a part of what the plugin is, which only its file says; use 'SettingsJson'.";
            report.error(at(), "setting-definition", message);
        } else if value.len() > SETTING_BYTES {
            let message = format!("it has {} bytes; a setting has at most {SETTING_BYTES}.", value.len());
            report.error(at(), "setting-too-long", message);
        }
    }
    Some(values)
}
