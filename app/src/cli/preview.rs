//! `castellan schedule preview`: the next instants at which a job is due, or what came of the last ones.

use castellan_core::job::{JobDefinition, ScheduleDefinition};
use castellan_core::schedule::past::{Actual, compare};
use castellan_core::schedule::preview;
use castellan_core::time::WallTime;
use clap::Args;
use serde_json::json;

use super::inputs::System;
use super::output::Globals;
use super::{history, inputs};
use crate::clock::Clock;
use crate::failure::Failure;

/// Most instants of one preview.
const MOST: u64 = 100_000;
/// Units of a span of time, in milliseconds.
const UNITS: [(char, i64); 3] = [('d', 24 * 60 * 60 * 1000), ('h', 60 * 60 * 1000), ('m', 60 * 1000)];

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  castellan schedule preview Jobs/backup.json --next 5 --tz Europe/Vienna
  castellan schedule preview backup --past 7d --root /opt/castellan

With -o json: {\"due\":[RFC 3339 instants]}; with --past {\"job\",\"from\",\"to\",\"planned\":[{\"due\",\"result\",...}]}")]
pub(crate) struct Options {
    /// A job file, or the id of a job in the root.
    job: String,
    /// How many instants.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=MOST))]
    next: u64,
    /// Instants after this one (RFC 3339); now where not given. An interval is counted from here.
    #[arg(long)]
    from: Option<String>,
    /// Look back instead, so far (7d, 12h, 30m): what was planned, what came of it, and why that differs. Reads the root's history,
    /// whether the agent runs or not.
    #[arg(long, value_parser = span, conflicts_with_all = ["next", "from"])]
    past: Option<i64>,
    /// The machine's time zone, for schedules without their own: an IANA name. This machine's where not given.
    #[arg(long)]
    tz: Option<String>,
}

pub(crate) fn run(options: &Options, globals: &Globals) -> Result<(), Failure> {
    let job = inputs::job(&inputs::find(&options.job, &globals.root)?)?;
    let zone = options.tz.clone().unwrap_or_else(crate::surroundings::time_zone);
    if let Some(span) = options.past {
        return look_back(globals, &job, &zone, span);
    }
    let from = inputs::instant(options.from.as_deref())?;
    let count = usize::try_from(options.next).map_err(Failure::usage)?;
    let due = match &job.schedule {
        Some(schedule) => preview(schedule, &zone, from, count).map_err(Failure::usage)?,
        None => Vec::new(),
    };
    let due: Vec<String> = due.into_iter().map(WallTime::to_rfc3339).collect();
    let names: Vec<&str> = due.iter().map(String::as_str).collect();
    globals.show(&json!({ "due": due }), &names, || {
        Ok(match (names.is_empty(), &job.schedule) {
            (false, _) => due.clone(),
            (true, None) => vec![unscheduled(&job)],
            (true, Some(_)) => vec![format!("The schedule of '{}' has no instant left.", job.id)],
        })
    })
}

fn unscheduled(job: &JobDefinition) -> String {
    format!("'{}' has no schedule; it is never due by itself.", job.id)
}

/// `--past`: planned against actual.
fn look_back(globals: &Globals, job: &JobDefinition, zone: &str, span: i64) -> Result<(), Failure> {
    let to = Clock::start().now().wall;
    let from = WallTime::from_millis(to.as_millis().saturating_sub(span));
    let root = globals.root.display();
    let Some(past) = history::past(&globals.root, job, to)? else {
        let told = format!("There is no history at {root}/state/history.db: name the root of an agent with --root.");
        return Err(Failure::not_found(told));
    };
    let most = usize::try_from(MOST).map_err(Failure::usage)?;
    let planned = compare(job, zone, System::Linux.into(), (from, to), most, &past).map_err(Failure::usage)?;
    let document = json!({ "job": job.id, "from": from.to_rfc3339(), "to": to.to_rfc3339(), "planned": planned });
    let names: Vec<&str> = planned.iter().map(|one| one.due.as_str()).collect();
    globals.show(&document, &names, || Ok(told(job, &planned, from)))
}

/// The same for people.
fn told(job: &JobDefinition, planned: &[Actual], from: WallTime) -> Vec<String> {
    let mut lines: Vec<String> = planned.chunk_by(|one, next| ended(one) == ended(next)).map(shown).collect();
    match &job.schedule {
        None => lines.push(unscheduled(job)),
        Some(ScheduleDefinition::Interval { .. }) => lines.push(String::from(
            "An interval counts from the agent's start and has no instants of its own: these are those it had.",
        )),
        Some(
            ScheduleDefinition::Once { .. } | ScheduleDefinition::Cron { .. } | ScheduleDefinition::Calendar { .. },
        ) => {
            let well = |one: &&Actual| one.result == "ran" && one.outcome.as_deref() == Some("Succeeded");
            let well = planned.iter().filter(well).count();
            lines.push(format!("{} instants since {}, {well} ran and succeeded.", planned.len(), from.to_rfc3339()));
        }
    }
    lines
}

/// Instants of one fate as people read them: one line, however many there are.
fn shown(alike: &[Actual]) -> String {
    match alike {
        [] => String::new(),
        [one] => format!("{} {}", one.due, ended(one)),
        [first, .., last] => format!("{} to {}, {} times, {}", first.due, last.due, alike.len(), ended(first)),
    }
}

/// What became of an instant.
fn ended(one: &Actual) -> String {
    let run = one.run_id.as_ref().map(|run| format!(" as run {run}")).unwrap_or_default();
    let outcome = one.outcome.as_ref().map(|outcome| format!(", {outcome}")).unwrap_or_default();
    let result = match one.result {
        "ran" => "ran",
        "madeUp" => "made up for",
        "unplanned" => "ran, not planned any more,",
        "notRun" => "did not run",
        "missed" => "missed",
        _ => "not recorded",
    };
    let guard = one.guard.as_ref().map(|guard| format!(" ({guard})")).unwrap_or_default();
    let reason = one.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{result}{run}{outcome}{guard}{reason}")
}

/// Milliseconds of a span such as 7d, 12h or 30m.
pub(crate) fn span(text: &str) -> Result<i64, String> {
    let found = UNITS.iter().find_map(|(unit, millis)| {
        let count: u32 = text.strip_suffix(*unit)?.parse().ok()?;
        i64::from(count).checked_mul(*millis).filter(|span| *span > 0)
    });
    found.ok_or_else(|| format!("'{text}' is no span of time; write 7d, 12h or 30m"))
}
