//! `castellan jobs enable`, `disable` and `delete`.

use castellan_core::log_message::escape;
use clap::Args;

use super::apply::refused;
use crate::cli::agent::Agent;
use crate::cli::confirm::Confirmation;
use crate::cli::names::{self, Kind};
use crate::cli::output::Globals;
use crate::cli::position;
use crate::failure::Failure;

#[derive(Debug, Args)]
#[command(after_help = "Example: castellan jobs delete old-backup --yes")]
pub(crate) struct Delete {
    /// Ids of jobs, in any case.
    #[arg(required = true, value_name = "JOB")]
    jobs: Vec<String>,
    #[command(flatten)]
    confirmation: Confirmation,
    /// Say what would be deleted.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  castellan jobs disable backup
  castellan jobs enable backup
  castellan jobs list -o name | xargs castellan jobs disable --dry-run")]
pub(crate) struct Switch {
    /// Ids of jobs, in any case.
    #[arg(required = true, value_name = "JOB")]
    jobs: Vec<String>,
    /// Say what would be done.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn delete(options: &Delete, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    let ids = names::ids(agent, Kind::Job, &options.jobs)?;
    let deleted = |id: &String| (id.clone(), String::from("deleted"));
    if options.dry_run {
        return globals.written(&ids.iter().map(deleted).collect::<Vec<_>>(), true);
    }
    options.confirmation.ask(&format!("Delete {}, with the file?", escape(&ids.join(", "))))?;
    let mut done = Vec::new();
    let outcome = ids.iter().try_for_each(|id| {
        agent.ask("DELETE", &format!("/api/Jobs/{id}"), None)?;
        done.push(deleted(id));
        Ok(())
    });
    globals.written(&done, false)?;
    outcome
}

pub(crate) fn switch(options: &Switch, enabled: bool, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    let mut done = Vec::new();
    let outcome = names::ids(agent, Kind::Job, &options.jobs)?.into_iter().try_for_each(|id| {
        let what = set_enabled(&id, enabled, options.dry_run, agent)?;
        done.push((id, what.to_owned()));
        Ok(())
    });
    globals.written(&done, options.dry_run)?;
    outcome
}

/// Sets `enabled` and leaves every other byte of the document as it is. Who changed the job meanwhile is not overwritten.
fn set_enabled(id: &str, enabled: bool, dry_run: bool, agent: &Agent) -> Result<&'static str, Failure> {
    let target = format!("/api/Jobs/{id}");
    let current = agent.send("GET", &target, &[], None)?;
    current.accepted()?;
    let text = String::from_utf8(current.body.clone()).map_err(Failure::failed)?;
    let Some(changed) = with_enabled(&text, enabled) else { return Ok("unchanged") };
    if !dry_run {
        let tag: Vec<(&str, &str)> = current.header("etag").map(|tag| ("If-Match", tag)).into_iter().collect();
        let answer = agent.send("PUT", &target, &tag, Some(changed.clone().into_bytes()))?;
        refused(id, changed.as_bytes(), &answer)?;
    }
    Ok(if enabled { "enabled" } else { "disabled" })
}

/// The document with this value of `enabled`; `None` where it has it already (a job is enabled where it does not say).
fn with_enabled(text: &str, enabled: bool) -> Option<String> {
    let Some(range) = position::range_of(text, "/enabled") else {
        let (before, after) = text.split_once('{')?;
        // A comma only where a member follows; `id` is required, so one does.
        return (!enabled).then(|| format!("{before}{{\n  \"enabled\": false,{after}"));
    };
    let value = text.get(range.start..range.end)?;
    let wanted = if enabled { "true" } else { "false" };
    let changed = [text.get(..range.start)?, wanted, text.get(range.end..)?].concat();
    (value != wanted).then_some(changed)
}

#[cfg(test)]
mod tests;
