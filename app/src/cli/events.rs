//! `castellan events`: firing an event, so that the jobs that wait for it run.

use castellan_core::log_message::escape;
use clap::{Args, Subcommand};
use serde_json::json;

use super::agent::Agent;
use super::inputs;
use super::output::Globals;
use super::table::{items, member, text};
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Fire an event: every job that waits for it runs with its context.
    Emit(Options),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  castellan events emit ScanWanted --context '{\"Path\":\"/etc\"}'
  castellan events emit ScanWanted -o name | xargs -n1 castellan runs watch")]
pub(crate) struct Options {
    /// The event's name.
    event: String,
    /// Its values: a file with one JSON object, or the object itself.
    #[arg(long, value_name = "FILE|OBJECT")]
    context: Option<String>,
}

pub(crate) fn run(command: &Command, globals: &Globals) -> Result<(), Failure> {
    let Command::Emit(options) = command;
    let context = inputs::context(options.context.as_deref())?;
    let body = json!({ "eventName": options.event, "context": context });
    let answer = Agent::find(&globals.root)?.ask("POST", "/api/events", Some(&body))?;
    let runs = answer.get("runs").map(items).unwrap_or_default();
    let names: Vec<&str> = runs.iter().filter_map(|run| text(run, "runId")).collect();
    globals.show(&answer, &names, || {
        let event = escape(&options.event);
        let not_run = answer.get("notRun").map(items).unwrap_or_default();
        let begun = runs.iter().map(|run| format!("run {} of job {}", said(run, "runId"), said(run, "jobId")));
        let refused =
            not_run.iter().map(|job| format!("job {} did not run: {}", said(job, "jobId"), said(job, "reason")));
        let mut lines: Vec<String> = begun.chain(refused).collect();
        if answer.get("repeated") == Some(&serde_json::Value::Bool(true)) {
            lines.push(format!("event {event} came already under this messageId; nothing ran again"));
        } else if lines.is_empty() {
            lines.push(format!("no job waits for {event}"));
        }
        Ok(lines)
    })
}

fn said(run: &serde_json::Value, name: &str) -> String {
    escape(&member(run, name))
}
