//! Keeping the story of a run: every task that was considered, what it did, and where the run went from there.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde_json::Value;

use super::context::Context;
use super::history::{Outcome, RunRecord, TaskRecord};
use super::output::Room;
use super::phase::Live;
use super::routing::{self, Next, Skip, TaskEnd};
use super::secret::Secrets;
use super::{Origin, Run, launch};
use crate::event::ExitStatus;
use crate::id::RunId;
use crate::job::JobDefinition;
use crate::job::task::Task;
use crate::json::Json;
use crate::limits::RUN_WARNINGS;
use crate::log_message::Level;
use crate::time::{Now, WallTime};
use crate::turn::Turn;

/// Added to a signal's number to make an exit code of it, as shells do.
const SIGNAL_CODE: i32 = 128;
/// The signal by which the kernel ends what needs too much memory.
const SIGKILL: i32 = 9;

/// The record of a run that just began.
pub(super) fn opening(
    id: &RunId,
    job: &JobDefinition,
    origin: &Origin,
    context: &Context,
    secrets: &Secrets,
    turn: &Turn<'_>,
) -> RunRecord {
    let shadowed = context.values().keys().filter(|name| launch::is_always_there(name, job, turn.surroundings));
    let warning =
        |name: &String| format!("The value given for '{name}' is not used: {{{name}}} is always the agent's own.");
    RunRecord {
        run_id: id.to_string(),
        job_id: job.id.to_string(),
        trigger: origin.trigger.clone(),
        due: origin.due.map(WallTime::to_rfc3339),
        status: "running".to_string(),
        outcome: None,
        started_at: turn.now.wall.to_rfc3339(),
        begun_at: None,
        finished_at: None,
        reason: None,
        context: secrets.shown(context, &job.parameters),
        tasks: Vec::new(),
        warnings: shadowed.take(RUN_WARNINGS).map(warning).collect(),
    }
}

impl RunRecord {
    /// Whether the run ended without anything to look into.
    pub(super) fn is_good(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Succeeded | Outcome::Skipped))
    }

    pub(super) fn close(&mut self, outcome: Outcome, reason: String, now: Now) {
        self.status = outcome.as_str().to_string();
        self.outcome = Some(outcome);
        self.reason = Some(reason);
        self.finished_at = Some(now.wall.to_rfc3339());
    }

    /// The task in hand, to be changed.
    pub(super) fn task(&mut self) -> Option<&mut TaskRecord> {
        self.tasks.last_mut().map(Arc::make_mut)
    }

    pub(super) fn set_pid(&mut self, pid: u32) {
        if let Some(task) = self.task() {
            task.pid = Some(pid);
        }
    }

    pub(super) fn set_command_line(&mut self, command: &str, arguments: Vec<String>, room: &mut Room) {
        let texts = core::iter::once(command.to_string()).chain(arguments);
        let line = texts.map(|text| room.take(text)).collect();
        if let Some(task) = self.task() {
            task.command_line = line;
        }
    }

    /// What carries the command out, where the command itself does not say it.
    pub(super) fn set_program(&mut self, program: Vec<String>) {
        if let Some(task) = self.task().filter(|_| !program.is_empty()) {
            let arguments = task.command_line.iter().skip(1).cloned();
            task.command_line = program.into_iter().chain(arguments).collect();
        }
    }

    pub(super) fn set_stdout(&mut self, stdout: String, room: &mut Room) {
        if let Some(task) = self.task() {
            task.stdout = room.take(stdout);
            task.exit_code = Some(0);
        }
    }

    pub(super) fn set_http_status(&mut self, status: u16) {
        if let Some(task) = self.task() {
            task.http_status = Some(status);
        }
    }

    /// Something odd that did not change the course of the run; the same thing once.
    pub(super) fn warn(&mut self, warning: String) {
        if self.warnings.len() < RUN_WARNINGS && !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    pub(super) fn set_result(&mut self, status: ExitStatus, stdout: String, stderr: String, room: &mut Room) {
        let Some(task) = self.task() else { return };
        match status {
            ExitStatus::Code(code) => task.exit_code = Some(code),
            ExitStatus::Signal(signal) => task.signal = Some(signal),
            ExitStatus::OutOfMemory => task.signal = Some(SIGKILL),
        }
        task.stdout = room.take(stdout);
        task.stderr = room.take(stderr);
    }
}

impl TaskRecord {
    pub(super) fn starting(task_id: &str) -> Self {
        Self {
            task_id: task_id.to_string(),
            outcome: Cow::Borrowed("Running"),
            reason: None,
            command_line: Vec::new(),
            pid: None,
            exit_code: None,
            http_status: None,
            signal: None,
            stdout: String::new(),
            stderr: String::new(),
            duration_ms: None,
            route: None,
        }
    }
}

impl Run {
    /// What tokens and conditions of this run resolve to.
    pub(super) fn lookup<'s>(&'s self, turn: &'s Turn<'_>) -> impl Fn(&str) -> Option<Cow<'s, Value>> + 's {
        |name| launch::value(name, &self.job, &self.id, &self.context, turn.surroundings)
    }

    /// Records the end of an executed task and says where the run goes.
    pub(super) fn task_ended(
        &mut self,
        index: usize,
        end: TaskEnd,
        reason: Option<String>,
        live: &Live,
        turn: &mut Turn<'_>,
    ) -> Next {
        let again = routing::again(&self.job, index, end, self.retries);
        self.retries = if again.is_some() { self.retries.saturating_add(1) } else { 0 };
        let next = again.unwrap_or_else(|| routing::after(&self.job, index, end));
        let reason = reason.map(|reason| self.mask(reason));
        let message = {
            let Some(task) = Arc::make_mut(&mut self.record).task() else { return next };
            task.outcome = Cow::Borrowed(end.as_str());
            task.reason = reason;
            task.duration_ms = Some(turn.now.monotonic.millis_since(live.started));
            task.route = Some(describe(&next, &self.job));
            format!(
                "Task {} of run {} ended as {}. {}{}",
                task.task_id,
                self.id,
                task.outcome,
                task.reason.as_ref().map_or_else(String::new, |reason| format!("{reason} ")),
                task.route.as_deref().unwrap_or_default()
            )
        };
        self.trace_task(Some(live), turn);
        let level = if end == TaskEnd::Succeeded { Level::Information } else { Level::Warning };
        self.log(level, "TaskFinished", message, turn);
        self.publish_event("taskFinished", self.record.tasks.last().map(AsRef::as_ref), turn);
        next
    }

    /// Records a skipped task; the next in list order follows.
    pub(super) fn task_skipped(&mut self, index: usize, task: &Task, skip: &Skip, turn: &mut Turn<'_>) -> Next {
        if skip.by_setting {
            let merged = self.context.merge(&task.context_when_skipped);
            self.secrets.learn(&self.context, &self.job.parameters);
            match merged {
                Ok(()) => self.tell_merge(task, "contextWhenSkipped", &task.context_when_skipped, turn),
                Err(error) => self.warn(format!("contextWhenSkipped of '{}': {error}", task.id)),
            }
        }
        let next = routing::in_list_order(&self.job, index, "Skipped: next in the list.");
        let mut record = TaskRecord::starting(&task.id);
        record.outcome = Cow::Borrowed("Skipped");
        record.reason = Some(self.mask(skip.reason.clone()));
        record.route = Some(describe(&next, &self.job));
        let message = format!("Task {} of run {} is skipped. {}", task.id, self.id, skip.reason);
        self.record_mut().tasks.push(Arc::new(record));
        self.trace_task(None, turn);
        self.log(Level::Information, "TaskSkipped", message, turn);
        next
    }

    /// Makes a task's result available to the tasks behind it: `{LastExitCode}`, `{LastOutput}`, `{taskId.ExitCode}`, merged JSON.
    pub(super) fn remember(&mut self, index: usize, status: ExitStatus, stdout: &str, turn: &mut Turn<'_>) {
        let job = Arc::clone(&self.job);
        let Some(task) = job.tasks.get(index) else { return };
        let code = match status {
            ExitStatus::Code(code) => Value::from(code),
            ExitStatus::Signal(signal) => Value::from(signal.saturating_add(SIGNAL_CODE)),
            ExitStatus::OutOfMemory => Value::from(SIGKILL.saturating_add(SIGNAL_CODE)),
        };
        self.context.set_result("LastExitCode", code.clone());
        self.context.set_result(&format!("{}.ExitCode", task.id), code);
        if task.merge_stdout {
            self.merge_stdout(task, stdout, turn);
        }
        self.context.set_result("LastOutput", Value::String(clip(stdout.trim_end())));
    }

    /// Only a standard output that is one JSON object as a whole is merged.
    fn merge_stdout(&mut self, task: &Task, stdout: &str, turn: &mut Turn<'_>) {
        let merged = match Json::parse(stdout.trim().as_bytes()).map(|json| json.to_value()) {
            Ok(Value::Object(values)) => self.context.merge(&values).map(|()| values),
            Ok(_) => Err(String::from("the output is JSON, but not an object.")),
            Err(error) => Err(format!("the output is not one JSON object: {error}")),
        };
        self.secrets.learn(&self.context, &self.job.parameters);
        match merged {
            Ok(values) => self.tell_merge(task, "its output", &values, turn),
            Err(error) => self.warn(format!("Nothing of the output of '{}' was merged: {error}", task.id)),
        }
    }

    fn warn(&mut self, warning: String) {
        let warning = self.mask(warning);
        self.record_mut().warn(warning);
    }

    pub(super) fn warn_unknown(&mut self, task: &str, unknown: &[String]) {
        for token in unknown {
            self.warn(format!("Task '{task}': nobody sets {{{token}}}; it stays as it is."));
        }
    }

    pub(super) fn log(&self, level: Level, category: &'static str, message: String, turn: &mut Turn<'_>) {
        turn.trace = self.run_context();
        turn.log_of_run(level, category, self.mask(message), &self.component, &self.id);
    }

    pub(super) fn anomaly(&self, what: &str, turn: &mut Turn<'_>) {
        let message = format!("Run {} was told of {what} that does not fit its state; nothing changed.", self.id);
        self.log(Level::Warning, "Anomaly", message, turn);
    }
}

/// `{LastOutput}` is for conditions and arguments; what is longer stands in the history.
pub(super) const LAST_OUTPUT_CHARACTERS: usize = 8192;

fn clip(text: &str) -> String {
    let end = text.char_indices().nth(LAST_OUTPUT_CHARACTERS).map_or(text.len(), |(end, _)| end);
    text.get(..end).unwrap_or_default().to_string()
}

fn describe(next: &Next, job: &JobDefinition) -> String {
    match next {
        Next::Again { why, .. } => format!("Once more. {why}"),
        Next::Task(index, why) => {
            let target = job.tasks.get(*index).map_or("?", |task| task.id.as_str());
            format!("To '{target}'. {why}")
        }
        Next::End(_, why) => format!("The run ends. {why}"),
    }
}
