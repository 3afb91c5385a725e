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
    /// The opposite, which a retry would break if it asked again.
    UnlessFailure,
    /// `n > 1`, where a task may have merged `n`.
    Found,
}

/// How a task is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Program,
    BuiltIn,
    Http,
    /// There is no session, so it fails at once.
    User,
}

#[derive(Debug, Clone)]
struct Task {
    kind: Kind,
    guard: Guard,
    /// Retries, and seconds before each.
    retry: Option<(u64, u64)>,
    /// Whether a JSON object that it writes is merged.
    merges: bool,
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
    /// The job that runs where this one's condition is false; a later one, so that alternates come to an end.
    pub alternate: Option<usize>,
    /// Whether missed runs are made up for.
    pub makes_up: bool,
    condition: bool,
    schedule: Value,
    tasks: Vec<Task>,
}

impl Job {
    /// The job of this number among so many.
    pub fn random(number: usize, jobs: usize, dice: &mut Dice) -> Self {
        let count = dice.place(5).saturating_add(1);
        // Only programs route back: a loop of built-ins is over in one step and fills the world with its thousand records.
        let route = |dice: &mut Dice, from: usize| match dice.below(8) {
            0 => Some(Route::Stop),
            1..4 if from < count => Some(Route::Task(from.saturating_add(dice.place(count.saturating_sub(from))))),
            _ => None,
        };
        let task = |place: usize, dice: &mut Dice| {
            let kind = match dice.below(10) {
                0..5 => Kind::Program,
                5..7 => Kind::Http,
                7..9 => Kind::BuiltIn,
                _ => Kind::User,
            };
            let from = if matches!(kind, Kind::Program | Kind::Http) { 0 } else { place.saturating_add(1) };
            let guard = match dice.below(10) {
                0 => Guard::Elsewhere,
                1 => Guard::NoSetting,
                2 => Guard::AfterFailure,
                3 => Guard::UnlessFailure,
                4 => Guard::Found,
                _ => Guard::None,
            };
            let retry = dice.percent(40).then(|| (dice.below(2).saturating_add(1), dice.below(3)));
            let (success, failure) = (route(dice, from), route(dice, from));
            Task { kind, guard, retry, merges: dice.percent(40), success, failure, goes_on: dice.percent(30) }
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
        let condition = !dice.percent(20);
        let later = jobs.saturating_sub(number).saturating_sub(1);
        let alternate = (later > 0).then(|| number.saturating_add(1).saturating_add(dice.place(later)));
        Self {
            id: format!("job{number}"),
            priority: dice.below(3).saturating_add(4),
            overlap,
            alternate: alternate.filter(|_| dice.percent(70)),
            makes_up: dice.percent(70),
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
            let (id, command) = (format!("t{place}"), if task.kind == Kind::BuiltIn { "echo" } else { "program" });
            let mut document = if task.kind == Kind::Http {
                json!({ "id": id, "executionType": "Http", "method": "GET", "url": "https://x.example/{RunId}" })
            } else {
                json!({ "id": id, "command": command, "arguments": format!("{{RunId}} t{place}") })
            };
            let mut set = |name: &str, value: Value| {
                if let Some(object) = document.as_object_mut().filter(|_| !value.is_null()) {
                    object.insert(name.to_owned(), value);
                }
            };
            set("timeoutSeconds", json!(20));
            set("continueOnFailure", json!(task.goes_on));
            set("mergeStdoutJsonIntoContext", json!(task.merges));
            set("executionType", if task.kind == Kind::User { json!("User") } else { Value::Null });
            let retry = task.retry.map(|(attempts, delay)| json!({ "attempts": attempts, "delaySeconds": delay }));
            set("retry", retry.unwrap_or_default());
            set("onSuccess", route(task.success));
            set("onFailure", route(task.failure));
            match task.guard {
                Guard::None => {}
                Guard::Elsewhere => set("osFilter", json!({"windows": true})),
                Guard::NoSetting => set("skipWhenPluginSettingFalse", json!("Nobody:nothing")),
                Guard::AfterFailure => set("condition", json!("exists(LastExitCode) && LastExitCode > 0")),
                Guard::UnlessFailure => set("condition", json!("!(exists(LastExitCode) && LastExitCode > 0)")),
                Guard::Found => set("condition", json!("exists(n) && n > 1")),
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
            "missedRuns": if self.makes_up { "runOnce" } else { "skip" }, "tasks": tasks,
        });
        if let Some(object) = document.as_object_mut() {
            if !self.schedule.is_null() {
                object.insert(String::from("schedule"), self.schedule.clone());
            }
            if !self.condition {
                object.insert(String::from("condition"), json!("1 > 2"));
            }
            if let Some(alternate) = self.alternate {
                object.insert(String::from("alternateJobId"), json!(format!("job{alternate}")));
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
        let (mut place, mut executed, mut last, mut found) = (0_usize, 0_usize, None, None);
        let (mut over, mut retries) = (None, 0);
        for done in &record.tasks {
            if let Some(outcome) = over {
                return Err(format!("{} follows although the run is over as {outcome:?}", done.task_id));
            }
            let task = self.tasks.get(place).ok_or_else(|| format!("{} follows the last task", done.task_id))?;
            if done.task_id != format!("t{place}") {
                return Err(format!("{} follows where t{place} should", done.task_id));
            }
            let is_skipped = match task.guard {
                // A retry does not ask again.
                _ if retries > 0 => false,
                Guard::None => false,
                Guard::Elsewhere | Guard::NoSetting => true,
                Guard::AfterFailure => last.is_none_or(|code| code <= 0),
                Guard::UnlessFailure => last.is_some_and(|code| code > 0),
                Guard::Found => found.is_none_or(|found| found <= 1),
            };
            if is_skipped != (done.outcome == "Skipped") {
                return Err(format!("t{place} is {} and should be skipped: {is_skipped}", done.outcome));
            }
            let mut next = place.saturating_add(1);
            if !is_skipped {
                executed = executed.saturating_add(1);
                // A request that nobody answered has the exit code -1.
                last = code(done).or(if task.kind == Kind::Http { Some(-1) } else { last });
                found = if task.merges { merged(done).or(found) } else { found };
                let may_be_retried = matches!(&*done.outcome, "Failed" | "TimedOut");
                if may_be_retried && task.retry.is_some_and(|(attempts, _)| retries < attempts) {
                    retries = retries.saturating_add(1);
                    next = place;
                } else {
                    retries = 0;
                    match self.after(task, done)? {
                        Some(Ok(target)) => next = target,
                        Some(Err(outcome)) => over = Some(outcome),
                        None => {}
                    }
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
        let is_without_session = done.reason.as_deref().is_some_and(|reason| reason.starts_with("NoActiveSession"));
        // In some worlds somebody is logged in, in others nobody.
        if is_without_session && task.kind != Kind::User {
            return Err(format!(
                "{} is a task of {:?} and {} because {:?}",
                done.task_id, task.kind, done.outcome, done.reason
            ));
        }
        let (route, end) = match &*done.outcome {
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

/// The `n` that a task merged.
fn merged(done: &TaskRecord) -> Option<u64> {
    let written: Value = serde_json::from_str(&done.stdout).ok()?;
    written.get("n")?.as_u64()
}

/// The exit code as conditions see it: a signal counts 128 and its number.
fn code(done: &TaskRecord) -> Option<i32> {
    done.exit_code.or_else(|| done.signal.map(|signal| signal.saturating_add(128)))
}
