//! Which guard keeps a job from running: each one that a trigger has to pass, with the facts it rests on.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;

use super::{Scenario, simulate};
use crate::job::JobDefinition;
use crate::run::history::Outcome;
use crate::schedule::preview;
use crate::time::WallTime;

/// An instant counts as due for so long, as the agent's own lateness does.
const MINUTE_MILLIS: i64 = 60_000;

/// One guard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Guard {
    /// Its name: `enabled`, `osFilter`, `schedule`, `trigger`, `condition`.
    pub guard: &'static str,
    /// Whether it keeps the job from running.
    pub stops: bool,
    /// A sentence.
    pub explanation: String,
}

/// Every guard that a job has to pass at the scenario's instant: what it is, and what the machine does with its trigger.
///
/// # Errors
/// A sentence where the machine's time zone is none.
pub fn why_not(job: &JobDefinition, scenario: Scenario) -> Result<Vec<Guard>, String> {
    let here = scenario.surroundings.here;
    let mut guards = Vec::new();
    let mut guard = |guard, stops, explanation: String| guards.push(Guard { guard, stops, explanation });
    let enabled =
        if job.enabled { "The job is enabled." } else { "The job is disabled; set \"enabled\": true to run it." };
    guard("enabled", !job.enabled, enabled.to_string());
    let here_text = if job.runs_here(here) { "lets it run on" } else { "excludes" };
    guard("osFilter", !job.runs_here(here), format!("osFilter {here_text} {here:?}."));
    let (due, explanation) = due(job, &scenario.surroundings.time_zone, scenario.at)?;
    guard("schedule", !due, explanation);
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

/// Whether the schedule has an instant in the minute before `at`, in words too.
fn due(job: &JobDefinition, zone: &str, at: WallTime) -> Result<(bool, String), String> {
    let Some(schedule) = &job.schedule else {
        let events =
            if job.events.is_empty() { String::from("by hand") } else { format!("by {}", job.events.join(", ")) };
        return Ok((false, format!("The job has no schedule; it is started {events} alone.")));
    };
    let from = WallTime::from_millis(at.as_millis().saturating_sub(MINUTE_MILLIS));
    let next = preview(schedule, zone, from, 1)?.first().copied();
    Ok(match next {
        Some(next) if next <= at => (true, format!("It is due at {}.", next.to_rfc3339())),
        Some(next) => {
            (false, format!("It is not due at {}; the next instant is {}.", at.to_rfc3339(), next.to_rfc3339()))
        }
        None => (false, String::from("Its schedule has no instant left.")),
    })
}
