//! `castellan jobs run` and `trigger`: a run now, with or without waiting for its end.

use castellan_core::log_message::escape;
use clap::Args;
use serde_json::{Value, json};

use crate::cli::agent::Agent;
use crate::cli::inputs;
use crate::cli::names::{self, Kind};
use crate::cli::output::Globals;
use crate::cli::runs;
use crate::cli::table::text;
use crate::cli::watch::Limit;
use crate::failure::Failure;

#[derive(Debug, Args)]
pub(crate) struct What {
    /// The job's id, in any case.
    job: String,
    /// The values of the trigger: a file with one JSON object, or the object itself.
    #[arg(long, value_name = "FILE|OBJECT")]
    context: Option<String>,
    /// A key under which the agent makes one run only, however often the same is asked for.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  castellan jobs run backup
  castellan jobs run scan --context '{\"Path\":\"/etc\"}' --timeout 600
  castellan jobs run scan -o json | jq .context

Ctrl-C ends the wait, not the run: castellan runs cancel RUN ends that.")]
pub(crate) struct Run {
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    limit: Limit,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  castellan jobs trigger backup
  castellan jobs trigger backup -o name | xargs castellan runs watch")]
pub(crate) struct Trigger {
    #[command(flatten)]
    what: What,
    /// Wait for the run's end; exit code 1 where it failed. Ctrl-C ends the wait, not the run.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    limit: Limit,
}

/// Begins a run.
fn begin(what: &What, agent: &Agent) -> Result<Value, Failure> {
    let context = inputs::context(what.context.as_deref())?;
    let id = names::id(agent, Kind::Job, &what.job)?;
    let key: Vec<(&str, &str)> = what.idempotency_key.iter().map(|key| ("Idempotency-Key", key.as_str())).collect();
    let body = json!({ "context": context }).to_string().into_bytes();
    agent.send("POST", &format!("/api/Jobs/{id}/trigger"), &key, Some(body))?.accepted()
}

pub(crate) fn run(options: &Run, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    let begun = begin(&options.what, agent)?;
    let id = text(&begun, "runId").unwrap_or_default();
    globals.note(&format!("run {} of job {}", escape(id), escape(&options.what.job)))?;
    let mut each = |task: &Value| if globals.is_for_programs() { Ok(()) } else { runs::print(task, false) };
    let record = runs::follow(agent, globals, id, &options.limit, &mut each)?;
    if globals.is_for_programs() {
        globals.show(&record, &[id], || Ok(Vec::new()))?;
    }
    runs::verdict(&record)
}

pub(crate) fn trigger(options: &Trigger, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    let begun = begin(&options.what, agent)?;
    let id = text(&begun, "runId").unwrap_or_default();
    if !options.wait {
        return globals.show(&begun, &[id], || Ok(vec![format!("run {}", escape(id))]));
    }
    let record = runs::follow(agent, globals, id, &options.limit, &mut |_| Ok(()))?;
    let status = text(&record, "status").unwrap_or_default();
    globals.show(&record, &[id], || Ok(vec![format!("run {} ended: {}", escape(id), escape(status))]))?;
    runs::verdict(&record)
}
