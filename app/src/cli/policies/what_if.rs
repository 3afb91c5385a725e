//! `castellan policy what-if`: the decisions of the audit by other policies, and those that would come out otherwise.

use std::path::PathBuf;

use castellan_core::log_message::escape;
use castellan_core::policy::what_if::{Change, Outcome, WhatIf};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::audit::Walk;
use crate::cli::inputs;
use crate::cli::logs::{Since, since};
use crate::cli::output::{self, Globals};
use crate::failure::Failure;
use crate::policies_in_force::PoliciesInForce;
use crate::policy_files::PolicyFiles;

/// Changes that are listed to people who do not want all.
const LISTED: usize = 20;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sudo castellan policy what-if --with Policies.new/ --since 30d
  sudo castellan policy what-if --with drafts/apt.json --all

Each recorded decision is judged again with what was known then: the user's groups, the moment, the machine. Decisions come from the audit,
which is verified on the way; entries that were edited are not judged, and told. Equal changes of one user and program are one line, which
tells of the latest. With -o json: decisions, changed, incomplete, unreadable, notListed, since, findings, and changes, each with count, time,
request, user, program, command, before, after, policies, why; with -o name: the requests.

Exit codes: 0 no decision would change, 1 some would, 6 the audit is not as it was written.")]
pub(crate) struct Options {
    /// A folder: stands for the whole folder Policies. A file: stands for the file of its name or its PolicyId there, else it is one more; in a
    /// folder named collections for the collections of its name.
    #[arg(long, value_name = "FILE|DIR")]
    with: PathBuf,
    /// Decisions not older than this: a span (7d, 12h, 30m) or an instant (RFC 3339).
    #[arg(long, value_parser = since)]
    since: Option<Since>,
    /// List all changes, not only the latest.
    #[arg(long)]
    all: bool,
}

pub(super) fn run(options: &Options, globals: &Globals) -> Result<(), Failure> {
    let files = if options.with.is_dir() {
        PolicyFiles::of_folder(&options.with)?
    } else {
        PoliciesInForce::open(&globals.root)?.read(inputs::instant(None)?).with(&options.with)?
    };
    let set = files.compile();
    for file in set.unreadable() {
        let (id, why) = (escape(file.id.as_str()), escape(&file.why));
        output::warn(&format!("{id} cannot be read, and denies what it may be about: {why}"))?;
    }
    let since = options.since.map(Since::instant);
    let mut what_if = WhatIf::new(&set, since);
    let report = Walk::of_root(&globals.root)?.go(|line, is_sound| {
        // The walk tells of every other one.
        if is_sound && let Ok(entry) = serde_json::from_slice(&line.bytes) {
            what_if.take(&entry);
        }
    })?;
    let (outcome, changes) = what_if.finish();
    let since = since.map(|since| since.to_rfc3339());
    let document = document(&outcome, &changes, since.as_deref(), json!(report.findings))?;
    let names: Vec<&str> = changes.iter().map(|change| change.request.as_str()).collect();
    globals.show(&document, &names, || {
        let listed = if options.all { changes.len() } else { LISTED };
        let mut lines = report.told();
        lines.extend(changes.iter().take(listed).flat_map(told));
        lines.extend(summary(&outcome, changes.len().saturating_sub(listed), since.as_deref()));
        Ok(lines)
    })?;
    report.judged()?;
    match outcome.changed {
        0 => Ok(()),
        changed => Err(Failure::failed(format!("{changed} decisions would change."))),
    }
}

fn document(outcome: &Outcome, changes: &[Change], since: Option<&str>, findings: Value) -> Result<Value, Failure> {
    let mut document = serde_json::to_value(outcome).map_err(Failure::failed)?;
    let more = [("since", json!(since)), ("changes", json!(changes)), ("findings", findings)];
    if let Some(members) = document.as_object_mut() {
        members.extend(more.map(|(name, value)| (name.to_owned(), value)));
    }
    Ok(document)
}

/// A change for people.
fn told(change: &Change) -> [String; 2] {
    let Change { count, time, request, user, program, command, before, after, policies, why } = change;
    let times = if *count == 1 { String::new() } else { format!(", and {} before", count.saturating_sub(1)) };
    let by = if policies.is_empty() { String::from("no policy") } else { policies.join(", ") };
    let (user, program, command, by) = (escape(user), escape(program), escape(command), escape(&by));
    [
        format!("{time} {request} {user} '{command}' ({program}): {before} -> {after}{times}"),
        format!("  by {by}: {}", escape(why)),
    ]
}

fn summary(outcome: &Outcome, left_out: usize, since: Option<&str>) -> Vec<String> {
    let Outcome { decisions, changed, incomplete, unreadable, not_listed } = outcome;
    let since = since.map(|since| format!(" since {since}")).unwrap_or_default();
    let more = [
        (left_out as u64, "more changes; --all lists them."),
        (*not_listed, "changed decisions are counted alone, as there are too many that differ."),
        (*incomplete, "decisions cannot be judged again: what was known of the user then is not on record."),
        (*unreadable, "decisions cannot be judged again: they have another form."),
    ];
    let mut lines: Vec<String> =
        more.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    lines.push(format!("{decisions} decisions{since}, {changed} would change."));
    lines
}
