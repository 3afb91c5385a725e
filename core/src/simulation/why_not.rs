//! Which guard keeps a job from running: each one that a trigger has to pass, with the facts it rests on.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;

use super::{Scenario, simulate};
use crate::job::{JobDefinition, Overlap};
use crate::limits::QUEUED_RUNS;
use crate::run::history::Outcome;
use crate::schedule::past::{Past, PastRun};
use crate::schedule::preview;
use crate::time::WallTime;

/// An instant counts as due for so long, as the agent's own lateness does.
const MINUTE_MILLIS: i64 = 60_000;

/// One guard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Guard {
    /// Its name: `enabled`, `osFilter`, `schedule`, `agent`, `overlap`, `queue`, `trigger`, `condition`.
    pub guard: &'static str,
    /// Whether it keeps the job from running.
    pub stops: bool,
    /// A sentence.
    pub explanation: String,
}

/// Every guard that a job has to pass at the scenario's instant: what it is, what stood against it then where its past is known, and
/// what the machine does with its trigger.
///
/// # Errors
/// A sentence where the machine's time zone is none.
pub fn why_not(job: &JobDefinition, scenario: Scenario, past: Option<&Past>) -> Result<Vec<Guard>, String> {
    let here = scenario.surroundings.here;
    let mut guards = Vec::new();
    let mut guard = |guard, stops, explanation: String| guards.push(Guard { guard, stops, explanation });
    let enabled =
        if job.enabled { "The job is enabled." } else { "The job is disabled; set \"enabled\": true to run it." };
    guard("enabled", !job.enabled, enabled.to_string());
    let here_text = if job.runs_here(here) { "lets it run on" } else { "excludes" };
    guard("osFilter", !job.runs_here(here), format!("osFilter {here_text} {here:?}."));
    let (due, explanation) = due(job, &scenario.surroundings.time_zone, scenario.at)?;
    guard("schedule", due.is_none(), explanation);
    if let Some(past) = past {
        guards.extend(then(job, scenario.at, due.unwrap_or(scenario.at), past));
    }
    let mut guard = |guard, stops, explanation: String| guards.push(Guard { guard, stops, explanation });
    if !job.enabled || !job.runs_here(here) {
        return Ok(guards);
    }
    let story = simulate(scenario);
    if let Some(refusal) = story.refusal {
        guard("trigger", true, refusal);
    } else if let Some(run) = story.runs.first() {
        let skipped = run.outcome == Some(Outcome::Skipped);
        let reason = run.reason.clone().unwrap_or_default();
        let explanation = match (&job.condition, skipped) {
            (None, _) => String::from("The job has no condition."),
            (Some(condition), false) => format!("The job's condition holds: {condition}."),
            (Some(_), true) => match &job.alternate_job {
                Some(alternate) => format!("{reason} '{alternate}' runs instead."),
                None => reason,
            },
        };
        guard("condition", skipped, explanation);
    }
    Ok(guards)
}

/// What stood against a run at an instant that is over, as the history tells it: no agent, a run of the job, too many others.
fn then(job: &JobDefinition, at: WallTime, due: WallTime, past: &Past) -> [Guard; 3] {
    let guard = |guard, stop: Option<String>, otherwise: String| {
        let stops = stop.is_some();
        Guard { guard, stops, explanation: stop.unwrap_or(otherwise) }
    };
    let note = past.note_of(due);
    let noted = |name: &str| note.filter(|(guard, _)| *guard == name).map(|(_, why)| why.to_string());
    let absent = past.absence(at).map(|why| {
        format!("{why} Start it and keep it running, or set \"missedRuns\": \"runOnce\" to make up for what it misses.")
    });
    let active =
        |run: &&PastRun| run.due != Some(due) && run.started < at && run.finished.is_none_or(|finished| at < finished);
    let other = past.runs.iter().find(active);
    let (overlap, free) = match other {
        None => (None, String::from("No other run of the job was active.")),
        Some(run) => {
            let until = run.finished.map_or_else(|| String::from("now"), WallTime::to_rfc3339);
            let told = format!("Run {} was active from {} until {until}", run.run_id, run.started.to_rfc3339());
            match job.overlap {
                Overlap::Skip => {
                    (Some(format!("{told}, and overlap is skip; set it to queue or parallel.")), String::new())
                }
                Overlap::Queue => (None, format!("{told}; overlap is queue, so another one waits until then.")),
                Overlap::Parallel => (None, format!("{told}; overlap is parallel, so that is no obstacle.")),
            }
        }
    };
    let waiting = past.waiting;
    let full = (waiting >= QUEUED_RUNS).then(|| {
        format!("{waiting} runs waited for a place, which is the most; raise MaxConcurrentRuns, or trigger fewer runs.")
    });
    [
        guard("agent", noted("late").or(absent), String::from("The agent was running.")),
        guard("overlap", noted("overlap").or(overlap), free),
        guard("queue", noted("queue").or(full), format!("{waiting} runs of {QUEUED_RUNS} waited for a place.")),
    ]
}

/// The schedule's instant in the minute before `at`, and a sentence about it.
fn due(job: &JobDefinition, zone: &str, at: WallTime) -> Result<(Option<WallTime>, String), String> {
    let Some(schedule) = &job.schedule else {
        let events =
            if job.events.is_empty() { String::from("by hand") } else { format!("by {}", job.events.join(", ")) };
        return Ok((None, format!("The job has no schedule; it is started {events} alone.")));
    };
    let from = WallTime::from_millis(at.as_millis().saturating_sub(MINUTE_MILLIS));
    let next = preview(schedule, zone, from, 1)?.first().copied();
    Ok(match next {
        Some(next) if next <= at => (Some(next), format!("It is due at {}.", next.to_rfc3339())),
        Some(next) => {
            (None, format!("It is not due at {}; the next instant is {}.", at.to_rfc3339(), next.to_rfc3339()))
        }
        None => (None, String::from("Its schedule has no instant left.")),
    })
}
