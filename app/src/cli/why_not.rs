//! `castellan why-not`: which guard keeps a job from running.

use castellan_core::config::Settings;
use castellan_core::simulation::{Assumptions, Scenario, Trigger, why_not};
use clap::Args;
use serde_json::json;

use super::inputs::System;
use super::output::Globals;
use super::{history, inputs, lkg};
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
    let found = inputs::find(&options.job, &globals.root)?;
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
    // A file that is named by its path is no item of the root.
    if options.job == job.id.as_str() {
        guards.extend(lkg::guard(&globals.root, &options.job)?);
    }
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
