//! Random jobs, and the contract's paragraph "The run" as an interpreter so plain that it can be read beside it.

use castellan_core::run::history::{Outcome, RunRecord, TaskRecord};
use serde_json::{Value, json};

use super::dice::Dice;

/// Most tasks that a run executes (contract section 3).
const MOST_EXECUTED: usize = 1000;

/// Where a task routes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Stop,
    Task(usize),
}

/// Why a task may be skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guard {
    None,
    /// `osFilter` without this system.
    Elsewhere,
    /// `skipWhenPluginSettingFalse` of a setting that nobody has.
    NoSetting,
    /// `LastExitCode > 0`.
    AfterFailure,
}

#[derive(Debug, Clone)]
struct Task {
    program: bool,
    guard: Guard,
    success: Option<Route>,
    failure: Option<Route>,
    goes_on: bool,
}

/// How a job's triggers meet its runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// One after the other.
    Queue,
    /// Dropped while one is there.
    Skip,
    /// Side by side.
    Parallel,
}

/// A random job.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// 1 to 10.
    pub priority: u64,
    /// What a trigger does while a run is active.
    pub overlap: Overlap,
    condition: bool,
    schedule: Value,
    tasks: Vec<Task>,
}

impl Job {
    /// The job of this number.
    pub fn random(number: usize, dice: &mut Dice) -> Self {
        let count = dice.place(5).saturating_add(1);
        // Only programs route back: a loop of built-ins is over in one step and fills the world with its thousand records.
        let route = |dice: &mut Dice, from: usize| match dice.below(8) {
            0 => Some(Route::Stop),
            1..4 if from < count => Some(Route::Task(from.saturating_add(dice.place(count.saturating_sub(from))))),
            _ => None,
        };
        let task = |place: usize, dice: &mut Dice| {
            let program = dice.percent(70);
            let from = if program { 0 } else { place.saturating_add(1) };
            let guard = match dice.below(10) {
                0 => Guard::Elsewhere,
                1 => Guard::NoSetting,
                2 => Guard::AfterFailure,
                _ => Guard::None,
            };
            let (success, failure) = (route(dice, from), route(dice, from));
            Task { program, guard, success, failure, goes_on: dice.percent(30) }
        };
        let tasks = (0..count).map(|place| task(place, dice)).collect();
        let schedule = match dice.below(4) {
            0 => json!({"intervalMinutes": dice.below(3).saturating_add(1)}),
            1 => json!({"cronExpression": "*/2 * * * *", "timeZone": "Europe/Vienna"}),
            2 => json!({"calendar": [{"time": "03:30"}, {"time": "22:20"}]}),
            _ => Value::Null,
        };
        let overlap = match dice.below(3) {
            0 => Overlap::Queue,
            1 => Overlap::Skip,
            _ => Overlap::Parallel,
        };
        let condition = !dice.percent(10);
        Self {
            id: format!("job{number}"),
            priority: dice.below(3).saturating_add(4),
            overlap,
            condition,
            schedule,
            tasks,
        }
    }

    /// The document as an integrator would write it.
    pub fn document(&self) -> Vec<u8> {
        let route = |route: Option<Route>| match route {
            Some(Route::Stop) => json!("stop"),
            Some(Route::Task(place)) => json!(format!("t{place}")),
            None => Value::Null,
        };
        let task = |(place, task): (usize, &Task)| {
            let command = if task.program { "program" } else { "echo" };
            let mut document = json!({
                "id": format!("t{place}"), "command": command, "arguments": format!("{{RunId}} t{place}"),
                "timeoutSeconds": 20, "continueOnFailure": task.goes_on,
            });
            let mut set = |name: &str, value: Value| {
                if let Some(object) = document.as_object_mut().filter(|_| !value.is_null()) {
                    object.insert(name.to_owned(), value);
                }
            };
            set("onSuccess", route(task.success));
            set("onFailure", route(task.failure));
            match task.guard {
                Guard::None => {}
                Guard::Elsewhere => set("osFilter", json!({"windows": true})),
                Guard::NoSetting => set("skipWhenPluginSettingFalse", json!("Nobody:nothing")),
                Guard::AfterFailure => set("condition", json!("exists(LastExitCode) && LastExitCode > 0")),
            }
            document
        };
        let tasks: Vec<Value> = self.tasks.iter().enumerate().map(task).collect();
        let overlap = match self.overlap {
            Overlap::Queue => "queue",
            Overlap::Skip => "skip",
            Overlap::Parallel => "parallel",
        };
        let mut document = json!({
            "id": self.id, "name": self.id, "priority": self.priority, "overlap": overlap, "events": ["Startup", "Go"],
            "missedRuns": "runOnce", "tasks": tasks,
        });
        if let Some(object) = document.as_object_mut() {
            if !self.schedule.is_null() {
                object.insert(String::from("schedule"), self.schedule.clone());
            }
            if !self.condition {
                object.insert(String::from("condition"), json!("1 > 2"));
            }
        }
        document.to_string().into_bytes()
    }

    /// Whether a finished run went as the contract says, given how each executed task ended.
    ///
    /// # Errors
    /// What it did instead.
    pub fn judge(&self, record: &RunRecord) -> Result<(), String> {
        let ended = record.outcome.ok_or("it has no outcome")?;
        if matches!(ended, Outcome::Canceled | Outcome::Lost) || (ended == Outcome::Failed && record.tasks.is_empty()) {
            // It ended from outside, or before it began: the tasks so far must still be right.
            return self.follow(record).map(|_| ());
        }
        if !self.condition {
            let right = ended == Outcome::Skipped && record.tasks.is_empty();
            return if right { Ok(()) } else { Err(format!("its condition is false and it ended as {ended:?}")) };
        }
        match self.follow(record)? {
            Some(expected) if expected == ended => Ok(()),
            expected => Err(format!("it ended as {ended:?}; by the contract {expected:?}")),
        }
    }

    /// Walks the tasks of a record; the outcome, where the walk comes to an end.
    fn follow(&self, record: &RunRecord) -> Result<Option<Outcome>, String> {
        let (mut place, mut executed, mut last) = (0_usize, 0_usize, None);
        let mut over = None;
        for done in &record.tasks {
            if let Some(outcome) = over {
                return Err(format!("{} follows although the run is over as {outcome:?}", done.task_id));
            }
            let task = self.tasks.get(place).ok_or_else(|| format!("{} follows the last task", done.task_id))?;
            if done.task_id != format!("t{place}") {
                return Err(format!("{} follows where t{place} should", done.task_id));
            }
            let is_skipped = match task.guard {
                Guard::None => false,
                Guard::Elsewhere | Guard::NoSetting => true,
                Guard::AfterFailure => last.is_none_or(|code| code <= 0),
            };
            if is_skipped != (done.outcome == "Skipped") {
                return Err(format!("t{place} is {} and should be skipped: {is_skipped}", done.outcome));
            }
            let mut next = place.saturating_add(1);
            if !is_skipped {
                executed = executed.saturating_add(1);
                last = code(done).or(last);
                match self.after(task, done)? {
                    Some(Ok(target)) => next = target,
                    Some(Err(outcome)) => over = Some(outcome),
                    None => {}
                }
            }
            place = next;
            if over.is_none() && place >= self.tasks.len() {
                over = Some(Outcome::Succeeded);
            }
        }
        Ok(over.or((executed >= MOST_EXECUTED).then_some(Outcome::Failed)))
    }

    /// Where an executed task leads: to a task, to the end, or (`None`) to the next in the list.
    fn after(&self, task: &Task, done: &TaskRecord) -> Result<Option<Result<usize, Outcome>>, String> {
        let (route, end) = match done.outcome.as_str() {
            "Succeeded" if code(done) == Some(0) => (task.success, Outcome::Succeeded),
            "Failed" if code(done) != Some(0) => (task.failure, Outcome::Failed),
            "TimedOut" => (task.failure, Outcome::TimedOut),
            "Canceled" => return Ok(Some(Err(Outcome::Canceled))),
            "Running" | "Lost" => return Ok(Some(Err(Outcome::Lost))),
            other => return Err(format!("{} is {other} with exit code {:?}", done.task_id, done.exit_code)),
        };
        Ok(match route {
            Some(Route::Stop) => Some(Err(end)),
            Some(Route::Task(target)) => Some(Ok(target)),
            None if end == Outcome::Succeeded || task.goes_on => None,
            None => Some(Err(end)),
        })
    }
}

/// The exit code as conditions see it: a signal counts 128 and its number.
fn code(done: &TaskRecord) -> Option<i32> {
    done.exit_code.or_else(|| done.signal.map(|signal| signal.saturating_add(128)))
}
