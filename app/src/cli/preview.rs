//! `castellan schedule preview`: the next instants at which a job is due.

use std::path::PathBuf;

use castellan_core::schedule::preview;
use clap::Args;
use serde_json::json;

use super::output::{self, Form};
use super::{DEFAULT_ROOT, inputs};
use crate::failure::Failure;

/// Most instants of one preview.
const MOST: u64 = 100_000;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A job file, or the id of a job in the root.
    job: String,
    /// How many instants.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=MOST))]
    next: u64,
    /// Instants after this one (RFC 3339); now where not given. An interval is counted from here.
    #[arg(long)]
    from: Option<String>,
    /// The machine's time zone, for schedules without their own: an IANA name. This machine's where not given.
    #[arg(long)]
    tz: Option<String>,
    /// The agent root, for a job by its id.
    #[arg(long, env = "CASTELLAN_ROOT", default_value = DEFAULT_ROOT)]
    root: PathBuf,
    /// Text, or json: {"due":[RFC 3339 instants]}.
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let job = inputs::job(&inputs::find(&options.job, &options.root)?)?;
    let from = inputs::instant(options.from.as_deref())?;
    let zone = options.tz.clone().unwrap_or_else(crate::surroundings::time_zone);
    let count = usize::try_from(options.next).map_err(Failure::usage)?;
    let due = match &job.schedule {
        Some(schedule) => preview(schedule, &zone, from, count).map_err(Failure::usage)?,
        None => Vec::new(),
    };
    let due: Vec<String> = due.into_iter().map(castellan_core::time::WallTime::to_rfc3339).collect();
    match options.output {
        Form::Json => output::json(&json!({ "due": due })),
        Form::Text if due.is_empty() && job.schedule.is_none() => {
            output::lines(&[format!("'{}' has no schedule; it is never due by itself.", job.id)])
        }
        Form::Text if due.is_empty() => output::lines(&[format!("The schedule of '{}' has no instant left.", job.id)]),
        Form::Text => output::lines(&due),
    }
}
