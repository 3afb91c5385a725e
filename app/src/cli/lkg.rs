//! `castellan lkg`: Last Known Good of the running agent: what is blessed, what differs, and what becomes blessed.

mod change;
pub(super) mod standing;

use std::fs::DirEntry;
use std::io::ErrorKind;
use std::path::Path;

use castellan_core::json::read::hint;
use castellan_core::log_message::escape;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::agent::{Agent, encode};
use super::output::Globals;
use super::table::{Table, items, member, text};
use super::watch::Watch;
use crate::failure::Failure;

const LKG: &str = "/api/lkg";
/// Names in quarantine that are listed while no agent runs; the folder has them all.
const QUARANTINE_LISTED: usize = 100;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what is blessed: each item with its version, its state and its last drift; and alarms.
    Status(Status),
    /// Tell key by key how what is on disk or in quarantine differs from what is blessed. Exit code 1 where something differs, 0 where nothing does.
    Diff(Diff),
    /// List the versions of an item: when, by whom, how large.
    History(One),
    /// Bless the file on disk, or its removal where it is gone; where it was restored, what the last drift found, once it is valid.
    Accept(change::Accept),
    /// Bless an earlier version again.
    Rollback(change::Rollback),
    /// Open every reference and compare every file. Exit code 1 where something is not as blessed.
    #[command(after_help = "Example: sudo castellan lkg verify")]
    Verify,
    /// Make a new key and seal every reference with it.
    Rekey(change::Rekey),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  castellan lkg status
  castellan lkg status -o json | jq '.items[] | select(.state != \"InService\")'")]
pub(crate) struct Status {
    #[command(flatten)]
    watch: Watch,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  castellan lkg diff
  castellan lkg diff Jobs/scan
  castellan lkg diff Jobs/scan --from 2 --to 5")]
pub(crate) struct Diff {
    /// Jobs/ID or Plugins/ID, in any case; every item that differs where it is left out.
    item: Option<String>,
    /// A version instead of the blessed one.
    #[arg(long, value_name = "VERSION", requires = "item", value_parser = clap::value_parser!(u64).range(1..))]
    from: Option<u64>,
    /// A version instead of what is on disk or in quarantine.
    #[arg(long, value_name = "VERSION", requires = "item", value_parser = clap::value_parser!(u64).range(1..))]
    to: Option<u64>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: castellan lkg history Jobs/scan")]
pub(crate) struct One {
    /// Jobs/ID or Plugins/ID, in any case.
    item: String,
}

pub(crate) fn run(command: &Command, globals: &Globals) -> Result<(), Failure> {
    let agent = Agent::find(&globals.root).map_err(|failure| without_agent(failure, &globals.root))?;
    match command {
        Command::Status(options) => status(options, &agent, globals),
        Command::Diff(options) => diff(options, &agent, globals),
        Command::History(options) => history(options, &agent, globals),
        Command::Accept(options) => change::accept(options, &agent, globals),
        Command::Rollback(options) => change::rollback(options, &agent, globals),
        Command::Verify => verify(&agent, globals),
        Command::Rekey(options) => change::rekey(options, &agent, globals),
    }
}

/// What can be seen of Last Known Good while no agent runs: the references are sealed, the names in quarantine are not.
fn without_agent(failure: Failure, root: &Path) -> Failure {
    if !failure.is_unreachable() {
        return failure;
    }
    let folder = root.join("state/quarantine");
    let shown = escape(&folder.display().to_string());
    let name = |entry: std::io::Result<DirEntry>| Ok(escape(&entry?.file_name().to_string_lossy()));
    let names = match std::fs::read_dir(&folder).and_then(|entries| entries.map(name).collect::<Result<Vec<_>, _>>()) {
        Ok(mut names) => {
            // They begin with the time: the newest come first.
            names.sort_by(|one, other| other.cmp(one));
            names.truncate(QUARANTINE_LISTED);
            names
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Failure::unreachable(format!("{failure} {shown} cannot be listed: {error}.")),
    };
    let moved = match names.as_slice() {
        [] => format!("Nothing is in {shown}."),
        names => format!("In {shown}:\n  {}", names.join("\n  ")),
    };
    Failure::unreachable(format!(
        "{failure} Only a running agent opens references and compares files with them; what was moved away can be seen without it. {moved}"
    ))
}

/// `Jobs/scan` as the API spells it: the folder as it is called, the id as the reference has it, where there is one.
fn item(agent: &Agent, given: &str) -> Result<String, Failure> {
    let unknown = || {
        let shown = escape(given);
        Failure::usage(format!("'{shown}' names no item; say Jobs/ID or Plugins/ID, as `castellan lkg status` does."))
    };
    let (folder, id) = given.split_once('/').ok_or_else(unknown)?;
    let known = ["Jobs", "Plugins"].into_iter().find(|known| known.eq_ignore_ascii_case(folder));
    let meant = format!("{}/{id}", known.ok_or_else(unknown)?);
    let status = agent.get(LKG)?;
    let names = names(&status);
    let found = names.iter().find(|name| name.eq_ignore_ascii_case(&meant));
    Ok(found.cloned().unwrap_or(meant))
}

/// The names of the items of a status.
fn names(status: &Value) -> Vec<String> {
    let named = |item: &Value| format!("{}/{}", member(item, "kind"), member(item, "id"));
    status.get("items").map(items).unwrap_or_default().iter().map(named).collect()
}

/// Where the API has an item.
fn path(item: &str) -> String {
    let (folder, id) = item.split_once('/').unwrap_or((item, ""));
    format!("{LKG}/{folder}/{}", encode(id))
}

/// What the API says of one item; a slip of the pen is answered with the nearest one.
fn ask(agent: &Agent, method: &str, item: &str, target: &str, headers: &[(&str, &str)]) -> Result<Value, Failure> {
    let answer = agent.send(method, target, headers, None)?;
    let refused = match answer.accepted() {
        Err(failure) if answer.status == 404 => failure,
        other => return other,
    };
    let known = names(&agent.get(LKG)?);
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    // What is asked for is known: the nearest name would be its own.
    let nearest = if known.contains(&item) { String::new() } else { hint(item, &known) };
    Err(Failure::not_found(format!("{refused}{nearest}")))
}

fn status(options: &Status, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    if globals.is_for_programs() {
        let status = agent.get(LKG)?;
        let names = names(&status);
        return globals.show(&status, &names.iter().map(String::as_str).collect::<Vec<_>>(), || Ok(Vec::new()));
    }
    options.watch.repeat(globals, || {
        let status = agent.get(LKG)?;
        let mut lines = summary(&status);
        let sweep = globals.when(text(&status, "lastSweep"));
        lines.push(format!(
            "counter {}, key {}, last sweep {sweep}",
            shown(&status, "counter"),
            shown(&status, "keyId")
        ));
        lines.push(String::new());
        lines.extend(table(status.get("items").map(items).unwrap_or_default(), globals)?);
        lines.extend(standing::dropped_in(agent, &status)?);
        Ok(lines)
    })
}

/// A member for a sentence.
fn shown(object: &Value, name: &str) -> String {
    Some(escape(&member(object, name))).filter(|text| !text.is_empty()).unwrap_or_else(|| String::from("-"))
}

/// The state as a whole, and each alarm on a line of its own.
pub(crate) fn summary(status: &Value) -> Vec<String> {
    let is = |name: &str| status.get(name) == Some(&Value::Bool(true));
    let mode = match (is("enabled"), is("auditOnly")) {
        (false, _) => "off",
        (true, true) => "on, reports only",
        (true, false) => "on",
    };
    // What was removed, or never blessed, has no reference.
    let has_reference =
        |one: &&Value| text(one, "state") != Some("Tombstone") && one.get("version").is_some_and(Value::is_u64);
    let count = status.get("items").map(items).unwrap_or_default().iter().filter(has_reference).count();
    let moved = items(status.get("items").unwrap_or(&Value::Null));
    let moved = match moved.iter().filter(|one| text(one, "state") == Some("Quarantined")).count() {
        0 => String::new(),
        moved => format!(", {moved} in quarantine"),
    };
    let mut lines = vec![format!(
        "Last Known Good is {mode}: {count} items, {} out of service{moved}",
        shown(status, "outOfService")
    )];
    for alarm in status.get("alarms").map(items).unwrap_or_default() {
        let [what, why, fix] = ["what", "why", "fix"].map(|name| escape(&member(alarm, name)));
        lines.push(format!("ALARM: {what} {why} {fix}"));
    }
    lines
}

fn table(all: &[Value], globals: &Globals) -> Result<Vec<String>, Failure> {
    let mut heading = vec!["ITEM", "VERSION", "STATE", "DRIFT", "WHAT"];
    if globals.is_wide() {
        heading.extend(["RESTORES", "WHY", "FIX"]);
    }
    let mut table = Table::new(globals, &heading);
    for one in all {
        let said = |name: &str| member(one, name);
        let drift = one.get("lastDrift").unwrap_or(&Value::Null);
        let (item, when) = (format!("{}/{}", said("kind"), said("id")), globals.when(text(drift, "time")));
        let mut cells = vec![item, said("version"), said("state"), when, member(drift, "what")];
        if globals.is_wide() {
            cells.extend([said("restoresLastMinute"), said("why"), said("fix")]);
        }
        table.row(&cells.iter().map(String::as_str).collect::<Vec<_>>());
    }
    if table.is_empty() { Ok(vec![String::from("No items.")]) } else { table.lines() }
}

fn history(options: &One, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    let item = item(agent, &options.item)?;
    let found = ask(agent, "GET", &item, &path(&item), &[])?;
    let versions = found.get("history").map(items).unwrap_or_default();
    let numbers: Vec<String> = versions.iter().map(|one| member(one, "version")).collect();
    globals.show(&found, &numbers.iter().map(String::as_str).collect::<Vec<_>>(), || {
        let mut table = Table::new(globals, &["VERSION", "TIME", "WRITER", "ACTION", "BYTES", "SHA-256"]);
        for one in versions {
            let said = |name: &str| member(one, name);
            let (when, sha256) = (globals.when(text(one, "time")), said("sha256"));
            // As much as tells two versions apart; programs and wide columns get all of it.
            let digest = if globals.is_wide() { &*sha256 } else { sha256.get(..12).unwrap_or(&sha256) };
            table.row(&[&said("version"), &when, &said("writer"), &said("action"), &said("size"), digest]);
        }
        table.lines()
    })
}

/// What was looked up of one item, and whether it differs.
fn difference(agent: &Agent, item: &str, from: Option<u64>, to: Option<u64>) -> Result<Value, Failure> {
    let asked: Vec<String> = [("from", from), ("to", to)]
        .into_iter()
        .filter_map(|(name, version)| version.map(|version| format!("{name}={version}")))
        .collect();
    let mut found = ask(agent, "GET", item, &format!("{}/diff?{}", path(item), asked.join("&")), &[])?;
    if let Some(members) = found.as_object_mut() {
        members.insert(String::from("item"), Value::from(item));
    }
    Ok(found)
}

/// A difference as people read it: between what, then key by key.
fn told(found: &Value) -> Vec<String> {
    let [item, from, to] = ["item", "from", "to"].map(|name| shown(found, name));
    if found.get("differs") != Some(&Value::Bool(true)) {
        return vec![format!("{item}: {to} is as {from}")];
    }
    let mut lines = vec![format!("{item}: {to} differs from {from}")];
    let changes = found.get("changes").map(items).unwrap_or_default();
    lines.extend(changes.iter().filter_map(Value::as_str).map(|change| format!("  {}", escape(change))));
    lines
}

fn diff(options: &Diff, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    let (found, what) = match &options.item {
        Some(given) => (vec![compared(agent, &item(agent, given)?, options)?], "differs"),
        None => (differing(agent)?, "not as blessed"),
    };
    let differing: Vec<&Value> = found.iter().filter(|one| one.get("differs") == Some(&Value::Bool(true))).collect();
    let names: Vec<&str> = differing.iter().filter_map(|one| text(one, "item")).collect();
    globals.show(&found, &names, || {
        if found.is_empty() {
            return Ok(vec![String::from("Everything is as blessed.")]);
        }
        Ok(found.iter().flat_map(told).collect())
    })?;
    if differing.is_empty() { Ok(()) } else { Err(Failure::failed(format!("{what}: {}.", escape(&names.join(", "))))) }
}

/// One item: its versions, or what is not as blessed of it. Where nothing is, that is said too.
fn compared(agent: &Agent, item: &str, options: &Diff) -> Result<Value, Failure> {
    match difference(agent, item, options.from, options.to) {
        Err(failure) if failure.is_not_found() && options.from.is_none() && options.to.is_none() => {
            // Nothing could be compared key by key: the file is as blessed, or missing, or no file at all.
            if let Some(found) = differing(agent)?.into_iter().find(|one| text(one, "item") == Some(item)) {
                return Ok(found);
            }
            let version = agent.get(&path(item)).map_err(|_| failure)?;
            let from = format!("version {}", shown(&version, "version"));
            Ok(json!({ "item": item, "from": from, "to": format!("{item}.json"), "differs": false, "changes": [] }))
        }
        other => other,
    }
}

/// Every item that is not as blessed at this moment. Where nothing keyed can be told of one, its line says what is wrong.
fn differing(agent: &Agent) -> Result<Vec<Value>, Failure> {
    let verified = agent.ask("POST", &format!("{LKG}/verify"), None)?;
    let mut found = Vec::new();
    for one in verified.get("differences").map(items).unwrap_or_default() {
        let (item, what) = (member(one, "item"), member(one, "what"));
        let answer = agent.send("GET", &format!("{}/diff", path(&item)), &[], None)?;
        let mut value = if answer.status == 200 {
            answer.value()?
        } else {
            json!({ "from": "what is blessed", "to": "what is there", "changes": [what] })
        };
        if let Some(members) = value.as_object_mut() {
            members.insert(String::from("item"), Value::from(item));
            members.insert(String::from("differs"), Value::Bool(true));
        }
        found.push(value);
    }
    Ok(found)
}

fn verify(agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    let found = agent.ask("POST", &format!("{LKG}/verify"), None)?;
    let differences = found.get("differences").map(items).unwrap_or_default();
    let names: Vec<&str> = differences.iter().filter_map(|one| text(one, "item")).collect();
    globals.show(&found, &names, || {
        let line = |one: &Value| format!("{}: {}", shown(one, "item"), shown(one, "what"));
        let mut lines: Vec<String> = differences.iter().map(line).collect();
        lines.push(format!("{} references opened, {} not as blessed", shown(&found, "references"), differences.len()));
        Ok(lines)
    })?;
    if found.get("ok") == Some(&Value::Bool(true)) {
        return Ok(());
    }
    Err(Failure::failed("not everything is as blessed. `castellan lkg status -o wide` says what to do."))
}
