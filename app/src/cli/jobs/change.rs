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

fn ids(given: &[String], agent: &Agent) -> Result<Vec<String>, Failure> {
    given.iter().map(|given| names::id(agent, Kind::Job, given)).collect()
}

pub(crate) fn delete(options: &Delete, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    let ids = ids(&options.jobs, agent)?;
    if options.dry_run {
        return ids.iter().try_for_each(|id| globals.done(&format!("{} deleted (dry run)", escape(id))));
    }
    options.confirmation.ask(&format!("Delete {}, with the file?", escape(&ids.join(", "))))?;
    for id in &ids {
        agent.ask("DELETE", &format!("/api/Jobs/{id}"), None)?;
        globals.done(&format!("{} deleted", escape(id)))?;
    }
    Ok(())
}

/// Sets `enabled` and leaves every other byte of the document as it is. Who changed the job meanwhile is not overwritten.
pub(crate) fn switch(options: &Switch, enabled: bool, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    let done = if enabled { "enabled" } else { "disabled" };
    for id in ids(&options.jobs, agent)? {
        let target = format!("/api/Jobs/{id}");
        let current = agent.send("GET", &target, &[], None)?;
        current.accepted()?;
        let text = String::from_utf8(current.body.clone()).map_err(Failure::failed)?;
        let shown = escape(&id);
        let Some(changed) = with_enabled(&text, enabled) else {
            globals.done(&format!("{shown} unchanged"))?;
            continue;
        };
        if options.dry_run {
            globals.done(&format!("{shown} {done} (dry run)"))?;
            continue;
        }
        let tag: Vec<(&str, &str)> = current.header("etag").map(|tag| ("If-Match", tag)).into_iter().collect();
        let answer = agent.send("PUT", &target, &tag, Some(changed.clone().into_bytes()))?;
        refused(&id, changed.as_bytes(), &answer)?;
        globals.done(&format!("{shown} {done}"))?;
    }
    Ok(())
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
