//! `castellan policy`: configuration policies, applied by the running agent and listed with what became of them; and policies about
//! privileges, tested and linted without it.

mod lint;
pub(super) mod test;

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
    /// Apply a configuration policy: all of it or nothing, once per content.
    Apply(Options),
    /// List the configuration policies that the agent has seen, and what became of each.
    #[command(after_help = "Example: castellan policy list -o wide")]
    List,
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
        Command::Reload => list(&agent()?.ask("POST", "/api/policies/reload", None)?, globals),
        Command::Remove { name } => remove(name, &agent()?, globals),
        Command::Test(options) => test::run(options, globals),
        Command::Lint(options) => lint::run(options, globals),
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
        let mut table = Table::new(globals, &["POLICY", "SOURCE", "TYPE", "RESULT", "TIME", "WHY"]);
        for line in items(lines) {
            let cell = |name| member(line, name);
            let time = globals.when(text(line, "time"));
            table.row(&[&cell("name"), &cell("source"), &cell("type"), &cell("result"), &time, &cell("why")]);
        }
        if table.is_empty() {
            return Ok(vec![String::from("no policies")]);
        }
        table.lines()
    })
}

fn phrase(change: &Value) -> String {
    escape(change.as_str().unwrap_or_default())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
