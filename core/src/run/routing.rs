//! Which task comes next, and why (contract section 3, "The run"). Pure functions over the job's list.

use alloc::format;
use alloc::string::String;

use super::history::Outcome;
use crate::job::OperatingSystem;
use crate::job::task::{Route, SettingReference, Task};
use crate::job::{JobDefinition, Lookup};

/// How an executed task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TaskEnd {
    Succeeded,
    Failed,
    TimedOut,
    Canceled,
}

impl TaskEnd {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::TimedOut => "TimedOut",
            Self::Canceled => "Canceled",
        }
    }

    const fn outcome(self) -> Outcome {
        match self {
            Self::Succeeded => Outcome::Succeeded,
            Self::Failed => Outcome::Failed,
            Self::TimedOut => Outcome::TimedOut,
            Self::Canceled => Outcome::Canceled,
        }
    }
}

/// Where a run goes, with the sentence that explains it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// To the task at this place in the list.
    Task(usize, String),
    /// The same task once more, after a pause.
    Again { index: usize, delay_seconds: u64, why: String },
    /// The run is over.
    End(Outcome, String),
}

/// Why a task is passed over; the next in list order follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Skip {
    pub(crate) reason: String,
    /// `contextWhenSkipped` applies: a plugin setting switched the task off.
    pub(crate) by_setting: bool,
}

/// Whether the task is skipped now; else the compared values of the condition that held, where it has one.
pub(crate) fn consider(
    task: &Task,
    here: OperatingSystem,
    lookup: Lookup<'_, '_>,
    setting: &dyn Fn(&SettingReference) -> Option<String>,
) -> Result<Option<String>, Skip> {
    let skip = |reason, by_setting| Err(Skip { reason, by_setting });
    if task.os_filter.is_some_and(|filter| !filter.includes(here)) {
        return skip(format!("osFilter excludes {here:?}."), false);
    }
    let evaluation = task.condition.as_ref().map(|condition| condition.evaluate(lookup));
    if let Some(evaluation) = evaluation.as_ref().filter(|evaluation| !evaluation.holds) {
        return skip(format!("The condition is false: {}.", evaluation.explanation), false);
    }
    let held = evaluation.map(|evaluation| evaluation.explanation);
    let Some(reference) = &task.skip_when_false else { return Ok(held) };
    match setting(reference) {
        Some(value) if value.eq_ignore_ascii_case("true") => Ok(held),
        Some(value) => skip(format!("The plugin setting {}:{} is {value}.", reference.plugin, reference.setting), true),
        None => skip(format!("The plugin setting {}:{} is not set.", reference.plugin, reference.setting), true),
    }
}

/// Whether a task that ended so is tried again, after `retries` that it had already.
pub(crate) fn again(job: &JobDefinition, index: usize, end: TaskEnd, retries: u32) -> Option<Next> {
    let retry = job.tasks.get(index)?.retry.filter(|retry| retries < retry.attempts)?;
    if !matches!(end, TaskEnd::Failed | TaskEnd::TimedOut) {
        return None;
    }
    let (next, delay_seconds) = (retries.saturating_add(1), retry.delay_seconds);
    let why = format!("retry: {next} of {} in {delay_seconds} s.", retry.attempts);
    Some(Next::Again { index, delay_seconds, why })
}

/// Where the run goes after the task at `index` ended.
pub(crate) fn after(job: &JobDefinition, index: usize, end: TaskEnd) -> Next {
    let Some(task) = job.tasks.get(index) else {
        return Next::End(Outcome::Failed, format!("There is no task {index} in the list."));
    };
    let (route, name) = match end {
        TaskEnd::Canceled => return Next::End(end.outcome(), format!("'{}' was canceled with the run.", task.id)),
        TaskEnd::Succeeded => (&task.on_success, "onSuccess"),
        TaskEnd::Failed | TaskEnd::TimedOut => (&task.on_failure, "onFailure"),
    };
    match route {
        Some(Route::Stop) => Next::End(end.outcome(), format!("{name} of '{}' says stop.", task.id)),
        Some(Route::Task(target)) => match job.tasks.iter().position(|candidate| candidate.id == *target) {
            Some(place) => Next::Task(place, format!("{name} of '{}'.", task.id)),
            None => Next::End(Outcome::Failed, format!("{name} of '{}' names no task: '{target}'.", task.id)),
        },
        None if end == TaskEnd::Succeeded => in_list_order(job, index, "Next in the list."),
        None if task.continue_on_failure => in_list_order(job, index, "continueOnFailure: next in the list."),
        None => Next::End(end.outcome(), format!("'{}' ended as {} and nothing routes on.", task.id, end.as_str())),
    }
}

/// The task behind `index` in the list, or the good end of the run.
pub(crate) fn in_list_order(job: &JobDefinition, index: usize, why: &str) -> Next {
    let place = index.saturating_add(1);
    if place < job.tasks.len() {
        Next::Task(place, String::from(why))
    } else {
        Next::End(Outcome::Succeeded, String::from("The list of tasks is done."))
    }
}
