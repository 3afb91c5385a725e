//! A schedule's past: what it planned against what the history tells, with the reason for each difference.
//!
//! The history has three kinds of evidence: runs (with the instant they were for), notes of instants that led to no run, and the
//! lives of the agent. An instant that has neither run nor note fell into a time without an agent, was not planned then as it is
//! now, or is not recorded any more; [`compare`] says which.

#[cfg(test)]
mod tests;

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::preview;
use crate::job::{JobDefinition, MissedRuns, OperatingSystem, ScheduleDefinition};
use crate::limits::RUNS_PER_JOB;
use crate::run::history::Outcome;
use crate::time::WallTime;

/// A start this much after its instant is worth a word.
const LATE_MILLIS: i64 = 60_000;
/// So is a wait for a place of this length.
const WAIT_MILLIS: i64 = 1_000;
const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// What is on record besides runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Which start of the agent it is from.
    pub boot: u64,
    /// When it happened: RFC 3339, UTC.
    pub at: String,
    /// What.
    pub what: Happening,
}

/// What a note tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Happening {
    /// Schedules count from here on.
    Started,
    /// The agent was told to stop: nothing is due any more.
    Stopped,
    /// A schedule led to no run.
    #[serde(rename_all = "camelCase")]
    NotRun {
        /// The job's id.
        job_id: String,
        /// The instant, the first of several: RFC 3339, UTC; `None` for an interval.
        due: Option<String>,
        /// What kept it from running: `overlap`, `queue`, `trigger`, `late`.
        guard: String,
        /// A sentence, with the fix.
        why: String,
    },
}

/// What counts of a run here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PastRun {
    /// The run's id.
    pub run_id: String,
    /// What started it.
    pub trigger: String,
    /// The instant it was for.
    pub due: Option<WallTime>,
    /// When it was triggered.
    pub started: WallTime,
    /// When it got its place, once it did.
    pub begun: Option<WallTime>,
    /// When it ended, once it did.
    pub finished: Option<WallTime>,
    /// `running`, or the outcome.
    pub status: String,
    /// Why it ended so.
    pub reason: Option<String>,
}

/// One life of the agent, as far as there is a sign of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Life {
    /// When schedules began to count.
    pub started: WallTime,
    /// When it was told to stop; `None` where it runs, or was killed.
    pub stopped: Option<WallTime>,
    /// The last sign of it.
    pub seen: WallTime,
}

/// All that is known of a job's past.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Past {
    /// Its runs, oldest first.
    pub runs: Vec<PastRun>,
    /// Its notes, oldest first.
    pub notes: Vec<Note>,
    /// The agent's lives, oldest first.
    pub lives: Vec<Life>,
    /// Whether the agent runs now: its last life goes on.
    pub is_running: bool,
    /// When the job's file was written.
    pub defined: Option<WallTime>,
    /// `Settings:RunHistoryDays`.
    pub kept_days: u32,
    /// Runs of all jobs that waited for a place at the instant asked about.
    pub waiting: usize,
    /// The present.
    pub now: WallTime,
}

/// One instant and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct Actual {
    /// The instant: RFC 3339, UTC.
    pub due: String,
    /// `ran`, `madeUp`, `unplanned`, `notRun`, `missed` or `notRecorded`.
    pub result: &'static str,
    /// The run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// Its outcome, or `running`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Milliseconds from the instant to the beginning of the run's tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<i64>,
    /// What kept it from running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard: Option<String>,
    /// Why it is not simply as planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Every instant after `from` and up to `to`, at most `count`, and what came of each. An interval has no instants of its own: those
/// of its runs and notes stand for them.
///
/// # Errors
/// A sentence where the expression or a time zone is not one.
pub fn compare(
    job: &JobDefinition,
    machine_zone: &str,
    here: OperatingSystem,
    (from, to): (WallTime, WallTime),
    count: usize,
    past: &Past,
) -> Result<Vec<Actual>, String> {
    let is_interval = matches!(job.schedule, Some(ScheduleDefinition::Interval { .. }));
    let planned = match &job.schedule {
        Some(schedule) if !is_interval => {
            preview(schedule, machine_zone, from, count)?.into_iter().take_while(|due| *due <= to).collect()
        }
        Some(_) | None => Vec::new(),
    };
    let within = |at: WallTime| from < at && at <= to;
    let mut actual: Vec<(WallTime, Actual)> =
        planned.iter().map(|due| (*due, past.of_instant(job, here, *due))).collect();
    let planned: BTreeSet<WallTime> = planned.into_iter().collect();
    for run in past.runs.iter().filter(|run| run.trigger.starts_with("schedule")) {
        let due = run.due.unwrap_or(run.started);
        if within(due) && !planned.contains(&due) {
            let told = ran(run, due);
            let told = if is_interval {
                told
            } else {
                let reason = Some(String::from("The schedule had this instant then; it has it no more."));
                Actual { result: "unplanned", reason: told.reason.or(reason), ..told }
            };
            actual.push((due, told));
        }
    }
    for (at, due, guard, why) in past.not_run() {
        let due = due.unwrap_or(at);
        if within(due) && !planned.contains(&due) {
            actual.push((due, not_run(due, guard, why)));
        }
    }
    actual.sort_by_key(|(due, _)| *due);
    Ok(actual.into_iter().map(|(_, actual)| actual).collect())
}

impl Past {
    /// The notes of instants that led to no run: when noticed, the instant, the guard, the reason.
    fn not_run(&self) -> impl Iterator<Item = (WallTime, Option<WallTime>, &str, &str)> {
        self.notes.iter().filter_map(|note| match &note.what {
            Happening::NotRun { due, guard, why, .. } => {
                let due = due.as_deref().and_then(WallTime::parse_rfc3339);
                Some((WallTime::parse_rfc3339(&note.at)?, due, guard.as_str(), why.as_str()))
            }
            Happening::Started | Happening::Stopped => None,
        })
    }

    /// The note that covers an instant: its own, or that of the first of several which were noticed late together.
    pub(crate) fn note_of(&self, at: WallTime) -> Option<(&str, &str)> {
        let covers = |noticed: WallTime, due: WallTime, guard: &str| {
            due == at || (guard == "late" && due <= at && at <= noticed)
        };
        self.not_run()
            .find(|(noticed, due, guard, _)| due.is_some_and(|due| covers(*noticed, due, guard)))
            .map(|(_, _, guard, why)| (guard, why))
    }

    /// What came of one planned instant.
    fn of_instant(&self, job: &JobDefinition, here: OperatingSystem, due: WallTime) -> Actual {
        if let Some(run) = self.runs.iter().find(|run| run.due == Some(due)) {
            return ran(run, due);
        }
        let stands_for = |run: &&PastRun| run.due.is_some_and(|first| first < due) && due <= run.started;
        if let Some(run) = self.runs.iter().find(stands_for) {
            let first = run.due.unwrap_or(run.started).to_rfc3339();
            let reason = format!("missedRuns is runOnce: one run stands for all instants from {first} on.");
            return Actual { result: "madeUp", reason: Some(reason), ..ran(run, due) };
        }
        if let Some((guard, why)) = self.note_of(due) {
            return not_run(due, guard, why);
        }
        if let Some(reason) = self.forgotten(due) {
            return Actual { due: due.to_rfc3339(), result: "notRecorded", reason: Some(reason), ..Actual::default() };
        }
        if let Some(why) = self.absence(due) {
            let fix = match job.missed_runs {
                MissedRuns::Skip => " Set \"missedRuns\": \"runOnce\" to make up for missed runs.",
                MissedRuns::RunOnce => "",
            };
            let reason = Some(format!("{why}{fix}"));
            let guard = Some(String::from("agent"));
            return Actual { due: due.to_rfc3339(), result: "missed", guard, reason, ..Actual::default() };
        }
        let (guard, why) = self.not_planned_then(job, here, due);
        not_run(due, guard, &why)
    }

    /// Why nothing can be known of an instant.
    fn forgotten(&self, due: WallTime) -> Option<String> {
        let days = i64::from(self.kept_days);
        if due.as_millis() < self.now.as_millis().saturating_sub(days.saturating_mul(DAY_MILLIS)) {
            return Some(format!("Runs are kept for {days} days; raise Settings:RunHistoryDays to keep them longer."));
        }
        let oldest = self.runs.first().map(|run| run.started).filter(|_| self.runs.len() >= RUNS_PER_JOB);
        if oldest.is_some_and(|oldest| due < oldest) {
            return Some(format!("The newest {RUNS_PER_JOB} runs of a job are kept, and it has had more since."));
        }
        let Some(first) = self.lives.first() else {
            return Some(String::from("No agent has run on this root yet; castellan run --root starts one."));
        };
        (due < first.started)
            .then(|| format!("What is on record of this root begins at {}.", first.started.to_rfc3339()))
    }

    /// Why no agent was there to run anything at an instant; `None` where one was.
    pub(crate) fn absence(&self, at: WallTime) -> Option<String> {
        let Some(index) = self.lives.iter().rposition(|life| life.started <= at) else {
            return Some(String::from("The agent was not running: there is no sign of it from before."));
        };
        let life = self.lives.get(index)?;
        let next = self.lives.get(index.saturating_add(1));
        let back = next.map_or_else(
            || String::from("has not been started since"),
            |next| format!("was started again at {}", next.started.to_rfc3339()),
        );
        match life.stopped {
            Some(stopped) if stopped <= at => {
                Some(format!("The agent was not running: it was stopped at {} and {back}.", stopped.to_rfc3339()))
            }
            Some(_) => None,
            None if next.is_none() && self.is_running => None,
            None if at <= life.seen => None,
            None => Some(format!(
                "The agent was not running: it ended without being told to after {}, its last sign of life, and {back}.",
                life.seen.to_rfc3339()
            )),
        }
    }

    /// The agent ran, and left neither run nor note.
    fn not_planned_then(&self, job: &JobDefinition, here: OperatingSystem, due: WallTime) -> (&'static str, String) {
        if !job.enabled {
            return ("enabled", String::from("The job is disabled; set \"enabled\": true to run it."));
        }
        if !job.runs_here(here) {
            return ("osFilter", format!("osFilter excludes {here:?}; add it there to run the job here."));
        }
        match self.defined.filter(|defined| due <= *defined) {
            Some(defined) => {
                let defined = defined.to_rfc3339();
                (
                    "schedule",
                    format!(
                        "The job's file was written later, at {defined}; what stood there before had no such instant."
                    ),
                )
            }
            None => {
                let why = "The agent ran, but the job was not in service then: look for OutOfService and Definition in its log, and \
                           reload the jobs after a change.";
                ("schedule", why.to_string())
            }
        }
    }
}

/// What a run for an instant tells.
fn ran(run: &PastRun, due: WallTime) -> Actual {
    let begun = run.begun.unwrap_or(run.started);
    let late = run.started.as_millis().saturating_sub(due.as_millis());
    let waited = begun.as_millis().saturating_sub(run.started.as_millis());
    let mut reasons = Vec::new();
    if late > LATE_MILLIS {
        reasons.push(format!(
            "It was made up for at {}: the agent was not running, the machine slept, or its clock was set.",
            run.started.to_rfc3339()
        ));
    }
    if waited > WAIT_MILLIS {
        reasons.push(format!("It waited {} s for a place (overlap, priority, MaxConcurrentRuns).", waited / 1000));
    }
    let is_good = run.status == Outcome::Succeeded.as_str() || run.status == "running";
    reasons.extend(run.reason.clone().filter(|_| !is_good));
    let is_skipped = run.status == Outcome::Skipped.as_str();
    Actual {
        due: due.to_rfc3339(),
        result: "ran",
        run_id: Some(run.run_id.clone()),
        outcome: Some(run.status.clone()),
        delay_ms: Some(begun.as_millis().saturating_sub(due.as_millis())),
        guard: is_skipped.then(|| String::from("condition")),
        reason: (!reasons.is_empty()).then(|| reasons.join(" ")),
    }
}

fn not_run(due: WallTime, guard: &str, why: &str) -> Actual {
    let (guard, reason) = (Some(guard.to_string()), Some(why.to_string()));
    Actual { due: due.to_rfc3339(), result: "notRun", guard, reason, ..Actual::default() }
}
