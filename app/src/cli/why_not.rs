//! `castellan why-not`: which guard keeps a job from running.

use std::path::Path;

use castellan_core::config::Settings;
use castellan_core::log_message::escape;
use castellan_core::simulation::{Assumptions, Scenario, Trigger, why_not};
use clap::Args;
use serde_json::json;

use super::inputs::System;
use super::lkg::standing;
use super::output::Globals;
use super::{history, inputs};
use crate::failure::Failure;

#[derive(Debug, Args)]
#[command(
    after_help = "Example: castellan why-not backup --at 2026-06-01T02:00:00Z --root /opt/castellan\n\nWith -o json: {\"job\",\"at\",\"guards\":[{\"guard\",\"stops\",\"explanation\"}]}; with -o name: the guards that stop it."
)]
pub(crate) struct Options {
    /// A job file, or the id of a job in the root.
    job: String,
    /// The instant that is asked about (RFC 3339); now where not given.
    #[arg(long)]
    at: Option<String>,
    /// The values that a trigger would give: a file with one JSON object, or the object itself.
    #[arg(long)]
    context: Option<String>,
    /// The machine's time zone, for schedules without their own: an IANA name. This machine's where not given.
    #[arg(long)]
    tz: Option<String>,
    /// The system it is asked about.
    #[arg(long, value_enum, default_value_t = System::Linux)]
    os: System,
}

pub(crate) fn run(options: &Options, globals: &Globals) -> Result<(), Failure> {
    // A file that is named by its path is no item of the root.
    let is_item = !options.job.contains('/') && !Path::new(&options.job).exists();
    let standing = if is_item { standing::of_job(&globals.root, &options.job)? } else { None };
    let (blessed, standing) = standing.map(|standing| (standing.document, standing.guard)).unwrap_or_default();
    let found = match (blessed, inputs::find(&options.job, &globals.root), &standing) {
        (Some(document), ..) => inputs::in_service(&options.job, &globals.root, document)?,
        (None, Err(_), Some(guard)) if guard.stops => {
            let job = escape(&options.job);
            return Err(Failure::not_found(format!("there is no job '{job}' in service. {}", guard.explanation)));
        }
        (None, found, _) => found?,
    };
    let job = inputs::job(&found)?;
    let at = inputs::instant(options.at.as_deref())?;
    let zone = options.tz.clone().unwrap_or_else(crate::surroundings::time_zone);
    let context = inputs::context(options.context.as_deref())?;
    let past = history::past(&globals.root, &job, at)?;
    let scenario = Scenario {
        surroundings: inputs::surroundings(&globals.root, options.os, Some(&zone)),
        settings: Settings::default(),
        definitions: found.files,
        trigger: Trigger::Job { id: job.id.to_string(), context },
        assumptions: Assumptions::default(),
        at,
    };
    let mut guards = why_not(&job, scenario, past.as_ref()).map_err(Failure::usage)?;
    guards.extend(standing);
    let names: Vec<&str> = guards.iter().filter(|guard| guard.stops).map(|guard| guard.guard).collect();
    globals.show(&json!({ "job": job.id, "at": at.to_rfc3339(), "guards": guards }), &names, || {
        let line =
            |stops: bool, guard: &str, why: &str| format!("{} {guard}: {why}", if stops { "stops" } else { "  ok " });
        let mut lines: Vec<String> =
            guards.iter().map(|guard| line(guard.stops, guard.guard, &guard.explanation)).collect();
        if past.is_none() {
            let root = globals.root.display();
            lines.push(format!(
                "     ? agent, overlap, queue: not known without a history in {root}/state; name the root with --root."
            ));
        }
        if names.is_empty() {
            lines.push(format!("Nothing keeps '{}' from running at {}.", job.id, at.to_rfc3339()));
        }
        Ok(lines)
    })
}
