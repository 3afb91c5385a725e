//! `castellan policy`: policies, applied by the running agent and listed with what became of them; those about privileges are tested and
//! linted without it.

mod lint;
pub(super) mod test;
mod what_if;

use std::path::{Path, PathBuf};

use castellan_core::log_message::escape;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::agent::{Agent, encode};
use super::inputs;
use super::jobs::apply::refused;
use super::output::Globals;
use super::table::{Table, items, member, text};
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Apply a policy: all of it or nothing, once per content. One about privileges counts from then on.
    Apply(Options),
    /// List the policies that the agent has seen, and what became of each.
    #[command(after_help = "Example: castellan policy list -o wide")]
    List,
    /// Show a policy: what it is, what became of it and why, from each of its sources.
    #[command(after_help = "Example: castellan policy show add-scan")]
    Show {
        /// The policy's name, as castellan policy list shows it.
        name: String,
    },
    /// Read Policies/ again and apply what is new there.
    #[command(after_help = "Example: castellan policy reload")]
    Reload,
    /// Forget a policy: the settings that it set end, what it wrote into Jobs/ and Plugins/ stays.
    #[command(after_help = "Example: castellan policy remove add-scan")]
    Remove {
        /// The policy's name, as castellan policy list shows it.
        name: String,
    },
    /// Say what the policies about privileges would answer, and why. Asks nobody and starts nothing.
    Test(test::Options),
    /// Look for what is wrong or in vain in policies: what can never match, what another one makes void, controls that contradict.
    Lint(lint::Options),
    /// Say which of the decisions on record would come out otherwise with other policies.
    WhatIf(what_if::Options),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  castellan policy apply add-scan.json --dry-run
  castellan policy apply add-scan.json")]
pub(crate) struct Options {
    /// The policy's file; its name without .json is the policy's.
    file: PathBuf,
    /// Let the agent judge it, and say what would change.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(command: &Command, globals: &Globals) -> Result<(), Failure> {
    let agent = || Agent::find(&globals.root);
    match command {
        Command::Apply(options) => apply(options, &agent()?, globals),
        Command::List => list(&agent()?.get("/api/policies")?, globals),
        Command::Show { name } => show(name, &agent()?, globals),
        Command::Reload => list(&agent()?.ask("POST", "/api/policies/reload", None)?, globals),
        Command::Remove { name } => remove(name, &agent()?, globals),
        Command::Test(options) => test::run(options, globals),
        Command::Lint(options) => lint::run(options, globals),
        Command::WhatIf(options) => what_if::run(options, globals),
    }
}

fn apply(options: &Options, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    let bytes = inputs::read(&options.file)?;
    let name = options.file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let dry_run = if options.dry_run { "&dryRun=true" } else { "" };
    let target = format!("/api/policies?name={}{dry_run}", encode(name));
    let answer = agent.send("POST", &target, &[], Some(bytes.clone()))?;
    refused(&shown(&options.file), &bytes, &answer)?;
    let line = answer.accepted()?;
    globals.show(&line, &[name], || {
        let changes: Vec<String> = line.get("changes").map(items).unwrap_or_default().iter().map(phrase).collect();
        let done = match text(&line, "result") {
            Some("Applied") if changes.is_empty() => String::from("applied; everything was as it wants it"),
            Some("Applied") => format!("applied: {}", changes.join(", ")),
            Some("Valid") if changes.is_empty() => String::from("valid; nothing would change"),
            Some("Valid") => format!("valid (dry run): {}", changes.join(", ")),
            Some("Unchanged") => format!("unchanged: applied before ({})", escape(&globals.when(text(&line, "time")))),
            _ => format!("left alone: {}", escape(&member(&line, "why"))),
        };
        Ok(vec![format!("{} {done}", escape(name))])
    })
}

fn remove(name: &str, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    let done = agent.ask("DELETE", &format!("/api/policies/{}", encode(name)), None)?;
    globals.show(&done, &[name], || {
        let texts = |member| done.get(member).map(items).unwrap_or_default().iter().map(phrase).collect::<Vec<_>>();
        let mut lines = vec![format!("{} of {} is forgotten", escape(name), texts("sources").join(" and "))];
        lines.extend(texts("notes"));
        Ok(lines)
    })
}

fn list(lines: &Value, globals: &Globals) -> Result<(), Failure> {
    let names: Vec<&str> = items(lines).iter().filter_map(|line| text(line, "name")).collect();
    globals.show(lines, &names, || {
        let mut table =
            Table::new(globals, &["POLICY", "SOURCE", "TYPE", "STATUS", "CONTROLS", "RESULT", "TIME", "WHY"]);
        for line in items(lines) {
            let cell = |name| member(line, name);
            let time = globals.when(text(line, "time"));
            table.row(&[
                &cell("name"),
                &cell("source"),
                &cell("type"),
                &cell("status"),
                &controls(line),
                &cell("result"),
                &time,
                &cell("why"),
            ]);
        }
        if table.is_empty() {
            return Ok(vec![String::from("no policies")]);
        }
        table.lines()
    })
}

/// Everything that is known of a policy, from each of its sources.
fn show(name: &str, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    let all = agent.get("/api/policies")?;
    let found: Vec<Value> = items(&all).iter().filter(|line| text(line, "name") == Some(name)).cloned().collect();
    if found.is_empty() {
        let why = format!("there is no policy '{}'. castellan policy list shows those there are.", escape(name));
        return Err(Failure::not_found(why));
    }
    let of_one = |line: &Value| {
        let mut lines =
            vec![format!("policy {} of {}: {}", escape(name), shown_of(line, "source"), shown_of(line, "result"))];
        let texts =
            |member: &str| line.get(member).map(items).unwrap_or_default().iter().map(phrase).collect::<Vec<_>>();
        let told = |finding: &Value| format!("{} {}", shown_of(finding, "path"), shown_of(finding, "message"));
        let findings: Vec<String> = line.get("findings").map(items).unwrap_or_default().iter().map(told).collect();
        for (title, value) in [
            ("type", shown_of(line, "type")),
            ("status", shown_of(line, "status")),
            ("controls", controls(line)),
            ("what it does", texts("changes").join(", ")),
            ("why", shown_of(line, "why")),
            ("findings", findings.join(" ")),
            ("SHA-256", shown_of(line, "sha256")),
            ("since", globals.when(text(line, "time"))),
        ] {
            if !value.trim().is_empty() && value != "-" {
                lines.push(format!("  {title}: {value}"));
            }
        }
        lines
    };
    globals.show(&Value::Array(found.clone()), &[name], || Ok(found.iter().flat_map(of_one).collect()))
}

fn shown_of(line: &Value, member: &str) -> String {
    escape(text(line, member).unwrap_or_default())
}

fn controls(line: &Value) -> String {
    line.get("controls").map(items).unwrap_or_default().iter().map(phrase).collect::<Vec<_>>().join(" ")
}

fn phrase(change: &Value) -> String {
    escape(change.as_str().unwrap_or_default())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
