//! `castellan why REQUEST`: the whole story of a request for more privileges, from the audit; how it stands, where an agent runs; and what to
//! do next.

use castellan_core::id::ElevationId;
use castellan_core::log_message::escape;
use castellan_core::policy::{Explanation, Standing};
use serde_json::{Value, json};

use super::super::agent::{Agent, encode};
use super::super::output::Globals;
use super::super::policies::test::considered;
use super::super::table::{coloured, items, member, text};
use super::super::{audit, output};
use crate::failure::Failure;

pub(super) fn tell(id: &str, globals: &Globals) -> Result<(), Failure> {
    let id = ElevationId::from_text(id).ok_or_else(|| {
        let fix = "castellan why denied tells what was refused, castellan runs show RUN what a run did.";
        Failure::usage(format!("'{}' is not the id of a request, as in E7-12. {fix}", escape(id)))
    })?;
    let id = id.as_str();
    let entries = audit::of_request(globals, id)?;
    let record = record(id, globals)?;
    if entries.is_empty() && record.is_none() {
        let fix = "castellan requests list --all shows those that are kept.";
        return Err(Failure::not_found(format!("there is no request '{id}' on record. {fix}")));
    }
    globals.show(&json!({ "request": record, "entries": entries }), &[id], || {
        let mut lines = vec![heading(id, record.as_ref(), &entries, globals)];
        for entry in &entries {
            let (first, rest) = happened(entry);
            lines.push(format!("  {}  {}", globals.when(text(entry, "time")), escape(&first)));
            lines.extend(rest.iter().map(|line| format!("      {}", escape(line))));
        }
        lines
            .extend(record.as_ref().map(standing).unwrap_or_default().iter().map(|line| format!("  {}", escape(line))));
        Ok(lines)
    })
}

/// How it stands, where an agent runs and knows it.
fn record(id: &str, globals: &Globals) -> Result<Option<Value>, Failure> {
    let agent = match Agent::find(&globals.root) {
        Ok(agent) => agent,
        Err(failure) if failure.is_unreachable() => {
            output::warn("no agent runs here: the audit says what happened, not how it stands now.")?;
            return Ok(None);
        }
        Err(failure) => return Err(failure),
    };
    let answer = agent.send("GET", &format!("/api/elevation/{}", encode(id)), &[], None)?;
    if answer.status == 404 { Ok(None) } else { answer.accepted().map(Some) }
}

fn heading(id: &str, record: Option<&Value>, entries: &[Value], globals: &Globals) -> String {
    let asked = entries.iter().find(|entry| text(entry, "kind") == Some("request"));
    let user = record.map(|record| member(record, "UserName"));
    let user = user.or_else(|| asked.map(|entry| member(entry, "user"))).unwrap_or_default();
    let status = record.map(|record| member(record, "Status")).unwrap_or_default();
    let status = if globals.has_colours() { coloured(&escape(&status)) } else { escape(&status) };
    let status = if status.is_empty() { status } else { format!(": {status}") };
    format!("request {id} of {}{status}", escape(&user))
}

/// What an entry says: a sentence, and its particulars.
fn happened(entry: &Value) -> (String, Vec<String>) {
    let said = |name: &str| member(entry, name);
    let because = |name: &str| text(entry, name).map(|reason| vec![format!("reason: {reason}")]).unwrap_or_default();
    let who = said("who");
    let who = who.split_once(':').map_or(who.as_str(), |(_, name)| name).to_owned();
    match text(entry, "kind").unwrap_or_default() {
        "request" => {
            let (uid, pid, folder) = (said("uid"), said("pid"), said("folder"));
            let place = if folder.is_empty() { folder } else { format!(" in {folder}") };
            (
                format!("{who} (user {uid}, process {pid}) asks to run '{}'{place}", words(entry, "command")),
                because("reason"),
            )
        }
        "decision" => {
            let controls = listed(entry, "controls");
            let controls = if controls.is_empty() { controls } else { format!(" ({controls})") };
            (format!("{who} decides {}{controls}", said("decision")), decided(entry))
        }
        "control" => {
            let met = match (entry.get("satisfied"), text(entry, "control")) {
                (Some(Value::Bool(true)), _) => "is met",
                // Nobody's word refuses it: that is an entry of its own.
                (_, Some("APPROVAL")) => "needs more than",
                _ => "is not met",
            };
            (format!("{} {met}: {}", said("control"), said("reason")), Vec::new())
        }
        "approval" => {
            let verb = if entry.get("approved") == Some(&Value::Bool(true)) { "approves" } else { "denies" };
            (format!("administrator {who} {verb} it"), because("reason"))
        }
        "grant" => (format!("it is good until {} for the same command", said("until")), Vec::new()),
        "launch" => {
            let hash = text(entry, "sha256").map(|hash| format!("SHA-256 {hash}"));
            let instead = entry.get("insteadOf").map(|asked| {
                let (program, rule) = (escape(&member(asked, "program")), escape(&member(asked, "rule")));
                format!("in place of {program}, by rule {rule} of RedirectEvaluator")
            });
            let told = format!("{} is launched as {}: {}", said("program"), said("runAs"), words(entry, "command"));
            (told, instead.into_iter().chain(hash).collect())
        }
        "end" => (format!("it is over, {}: {}", said("status"), said("why")), Vec::new()),
        "exit" => (format!("it ended: {}", said("status")), Vec::new()),
        // Everybody may give up what is his own.
        "revocation" if said("who").starts_with("user:") => {
            (format!("{who} gives up grant {}", said("grant")), because("reason"))
        }
        "revocation" => (format!("administrator {who} revokes grant {}", said("grant")), because("reason")),
        other => (format!("{who}: {other}"), Vec::new()),
    }
}

/// Which policies decided, with the filters that were compared; where none did, those that did not match.
fn decided(entry: &Value) -> Vec<String> {
    let explanation = entry.get("explanation").cloned().unwrap_or_default();
    let Ok(explanation) = serde_json::from_value::<Explanation>(explanation) else { return Vec::new() };
    let of = |standing: Standing| explanation.policies.iter().filter(move |policy| policy.standing == standing);
    let deciding = || of(Standing::Decided).chain(of(Standing::Unreadable));
    let policies: Vec<_> =
        if deciding().next().is_some() { deciding().collect() } else { of(Standing::NotMatched).collect() };
    [explanation.why.clone()].into_iter().chain(policies.into_iter().flat_map(considered)).collect()
}

/// Why it stands as it does, and what to do next.
fn standing(record: &Value) -> Vec<String> {
    let id = member(record, "RequestId");
    let outstanding: Vec<&str> =
        record.get("Outstanding").map(items).unwrap_or_default().iter().filter_map(Value::as_str).collect();
    let explanation = record.get("Explanation").unwrap_or(&Value::Null);
    let sentence = |name: &str| text(explanation, name).unwrap_or_default().to_owned();
    match text(record, "Status").unwrap_or_default() {
        "AwaitingControls" if outstanding.contains(&"APPROVAL") => vec![
            format!("waits for: {}", outstanding.join(", ")),
            format!("next: castellan requests approve {id}, or castellan requests deny {id}"),
        ],
        "AwaitingControls" => vec![
            format!("waits for: {}", outstanding.join(", ")),
            format!("next: {} answers where the command was given", member(record, "UserName")),
        ],
        "Finished" => granted(record, &id).into_iter().collect(),
        "Denied" | "Expired" | "Withdrawn" => {
            vec![format!("{} {}", sentence("what"), sentence("why")), format!("next: {}", sentence("fix"))]
        }
        _ => Vec::new(),
    }
}

/// What it is still good for.
fn granted(record: &Value, id: &str) -> Option<String> {
    let grant = record.get("Grant").filter(|grant| grant.is_object())?;
    match text(grant, "Revoked") {
        Some(by) => Some(format!("its grant was ended by {by}")),
        None => Some(format!("next: castellan grants revoke {id} ends what it is good for")),
    }
}

fn words(entry: &Value, name: &str) -> String {
    joined(entry, name, " ")
}

fn listed(entry: &Value, name: &str) -> String {
    joined(entry, name, ", ")
}

fn joined(entry: &Value, name: &str, separator: &str) -> String {
    let words: Vec<&str> = entry.get(name).map(items).unwrap_or_default().iter().filter_map(Value::as_str).collect();
    words.join(separator)
}
