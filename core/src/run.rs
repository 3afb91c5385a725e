//! A run: one execution of a job, from its start record to its last record (contract section 3, "The run").
//!
//! ```text
//! phase       event                    next phase   orders
//! ----------  -----------------------  -----------  ---------------------------------------------
//! (none)      begin                    Recording    PersistRun
//! Recording   persisted, ok            Waiting      (finish) where it was canceled meanwhile
//! Recording   persisted, failed        (finish)     nothing runs that is not on record
//! Waiting     admitted                 (advance)    see below
//! Waiting     cancel                   (finish)
//! Preparing   prepared                 Releasing    Release; Abort where it must not run; nothing once it was aborted
//! Preparing   limit or cancel          Preparing    Abort
//! Preparing,
//! Releasing   spawn failed             (advance)
//! Releasing   started                  Running
//! Releasing,
//! Running     exited                   Collecting   Collect
//! Releasing,
//! Running     limit or cancel          same         Signal TERM; after the grace Signal KILL
//! Collecting  started                  Collecting   its end was seen first
//! Collecting  collected                (advance)
//! (advance)   an Http task is met      Calling      Send; nothing where the agent answers itself
//! Calling     answered, failed         (advance)
//! Calling     limit or cancel          Calling      Cancel; after the grace (advance), at once where the agent answers itself
//! Clearing    last tree discarded      Closing      PersistRun
//! Closing     persisted, either way    Done
//! any         cancel                   same         the next *advance* is *finish*, unless it is finishing already
//! any         any other                same         an anomaly on record
//! ```
//! *advance* considers tasks until one must be executed: a skipped task leads to the next in list order, a built-in is
//! carried out at once, a process is asked for (`Preparing`, Spawn), a request is sent (`Calling`, Send), and the end of the list or a route to `stop` is
//! *finish*: every tree the run started is discarded (`Clearing`), then the outcome is recorded.
//!
//! Never: a process before its start record is durable; more than [`TASKS_PER_RUN`](crate::limits::TASKS_PER_RUN) tasks; an event of another spawn
//! changes a phase.

pub mod admission;
mod built_in;
mod context;
pub mod history;
mod http;
mod launch;
mod message;
mod phase;
mod progress;
mod record;
mod routing;
#[cfg(test)]
mod tests;

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde_json::{Map, Value};

use crate::effect::{ProcessOrder, StoreOrder, TreeSignal};
use crate::event::{Captured, ExitStatus};
use crate::id::{Component, JobId, RunId, SpawnId, TicketId};
use crate::job::JobDefinition;
use crate::log_message::Level;
use crate::time::Deadline;
use crate::turn::Turn;
use context::Context;
use history::{Outcome, RunRecord};
pub(crate) use http::OwnCall;
pub(crate) use launch::candidates;
pub(crate) use message::{FiredEvent, JobRequest, Request};
use phase::{Live, Phase, Stop};
use routing::Next;

/// Seconds between SIGTERM and SIGKILL of a task's tree (contract section 3, `timeoutSeconds`).
pub(crate) const KILL_GRACE_SECONDS: u64 = 5;

/// One execution of a job.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) id: RunId,
    pub(crate) job: Arc<JobDefinition>,
    /// Its place in the order of triggers.
    pub(crate) order: u64,
    /// How it came about.
    pub(crate) origin: Origin,
    context: Context,
    record: RunRecord,
    skipped_by_condition: bool,
    phase: Phase,
    executed: u32,
    trees: BTreeSet<SpawnId>,
    canceled: Option<String>,
    requests: Vec<Request>,
}

/// A run that may start: its job and the values it was given.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) job: Arc<JobDefinition>,
    pub(crate) origin: Origin,
    context: Context,
}

/// How a run came about.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    /// What started it, for people: `event Startup`, `schedule`, `api`.
    pub(crate) trigger: String,
    /// How many events led from one run to the next before this one.
    pub(crate) depth: u32,
    /// The jobs whose conditions were false and that named this one as their alternate.
    pub(crate) lineage: Vec<JobId>,
}

impl Admitted {
    /// Checks the values against the job's parameters.
    pub(crate) fn new(job: Arc<JobDefinition>, origin: Origin, values: &Map<String, Value>) -> Result<Self, String> {
        let context = Context::new(values, &job.parameters).map_err(|invalid| invalid.message)?;
        Ok(Self { job, origin, context })
    }
}

impl Run {
    /// Makes the start of the run durable; everything else follows from that.
    pub(crate) fn begin(id: RunId, admitted: Admitted, turn: &mut Turn<'_>) -> Self {
        let Admitted { job, origin, context } = admitted;
        let record = record::opening(&id, &job, &origin.trigger, &context, turn);
        let ticket = turn.counters.ticket();
        turn.store(StoreOrder::PersistRun { ticket, record: record.clone() });
        let component = Component::Job(job.id.clone());
        let message = format!("Run {id} of '{}' was triggered by {}.", job.name, origin.trigger);
        turn.log_about(Level::Information, "RunTriggered", message, Some(&component));
        Self {
            id,
            job,
            order: ticket.0,
            origin,
            context,
            record,
            skipped_by_condition: false,
            phase: Phase::Recording(ticket),
            executed: 0,
            trees: BTreeSet::new(),
            canceled: None,
            requests: Vec::new(),
        }
    }

    /// The run as it stands.
    pub(crate) const fn record(&self) -> &RunRecord {
        &self.record
    }

    /// Whether the tree is one of its tasks'.
    pub(crate) fn owns(&self, spawn: SpawnId) -> bool {
        self.trees.contains(&spawn)
    }

    /// Whether nothing more will happen.
    pub(crate) const fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done)
    }

    /// Runs that its tasks asked for since the last call.
    pub(crate) fn take_requests(&mut self) -> Vec<Request> {
        core::mem::take(&mut self.requests)
    }

    /// When it wants to be called next.
    pub(crate) fn next_deadline(&self) -> Option<Deadline> {
        self.phase.limited().and_then(Live::next_deadline)
    }

    /// A record of this run reached the disk, or failed to.
    pub(crate) fn on_persisted(&mut self, ticket: TicketId, result: &Result<(), String>, turn: &mut Turn<'_>) {
        match (&self.phase, result) {
            (Phase::Recording(asked), Ok(())) if *asked == ticket => match self.canceled.clone() {
                Some(reason) => self.finish(Outcome::Canceled, reason, turn),
                None => self.phase = Phase::Waiting,
            },
            (Phase::Recording(asked), Err(error)) if *asked == ticket => {
                let reason = format!("The history could not be written ({error}), so nothing was run.");
                self.finish(Outcome::Failed, reason, turn);
            }
            (Phase::Closing(asked), result) if *asked == ticket => {
                if let Err(error) = result {
                    let message = format!("The end of run {} could not be recorded: {error}.", self.id);
                    self.log(Level::Error, "HistoryNotWritten", message, turn);
                }
                self.phase = Phase::Done;
            }
            _ => self.anomaly("a record", turn),
        }
    }

    /// Whether it waits for a free place.
    pub(crate) const fn is_waiting(&self) -> bool {
        matches!(self.phase, Phase::Waiting)
    }

    /// Whether it holds one of the places: its tasks are being carried out.
    pub(crate) const fn is_active(&self) -> bool {
        !matches!(self.phase, Phase::Recording(_) | Phase::Waiting | Phase::Done)
    }

    /// It has a place: its tasks begin.
    pub(crate) fn on_admitted(&mut self, turn: &mut Turn<'_>) {
        if !self.is_waiting() {
            return self.anomaly("its admission", turn);
        }
        self.publish_event("started", None, turn);
        let first = self.job_condition(turn).unwrap_or_else(|| Next::Task(0, String::from("First in the list.")));
        self.skipped_by_condition = matches!(first, Next::End(Outcome::Skipped, _));
        self.advance(first, turn);
    }

    /// The job that runs instead, where this one's condition was false, with the values this one was given.
    pub(crate) fn alternate(&self) -> Option<(&JobId, Map<String, Value>)> {
        let alternate = self.job.alternate_job.as_ref()?;
        self.skipped_by_condition.then(|| (alternate, self.context.values().clone()))
    }

    /// Whether this process was asked for and has not been reported yet.
    pub(crate) fn awaits(&self, spawn: SpawnId) -> bool {
        self.awaited(spawn).is_some()
    }

    fn awaited(&self, spawn: SpawnId) -> Option<&Live> {
        let Phase::Preparing(live) = &self.phase else { return None };
        (live.spawn == spawn).then_some(live)
    }

    /// The process exists and waits; `refusal` says why it must not run.
    pub(crate) fn on_prepared(&mut self, spawn: SpawnId, pid: u32, refusal: Option<String>, turn: &mut Turn<'_>) {
        let Some(live) = self.awaited(spawn).cloned() else { return self.anomaly("a prepared process", turn) };
        if live.is_stopping() {
            // It was stopped meanwhile and the abort is under way.
            return;
        }
        if let Some(reason) = refusal {
            turn.process(ProcessOrder::Abort { spawn, reason });
            return;
        }
        self.record.set_pid(pid);
        self.phase = Phase::Releasing(live);
        turn.process(ProcessOrder::Release { spawn });
        self.log(
            Level::Information,
            "ProcessRegistered",
            format!("Process {pid} is registered before its first instruction."),
            turn,
        );
    }

    /// The task's program runs.
    pub(crate) fn on_started(&mut self, spawn: SpawnId, turn: &mut Turn<'_>) {
        match (&self.phase, self.phase.live_of(spawn)) {
            (Phase::Releasing(_), Some(live)) => self.phase = Phase::Running(live),
            // The program was so short that its end was seen first.
            (Phase::Collecting(..), Some(_)) => {}
            _ => self.anomaly("a started process", turn),
        }
    }

    /// The process could not be made, or was refused.
    pub(crate) fn on_spawn_failed(&mut self, spawn: SpawnId, reason: &str, turn: &mut Turn<'_>) {
        let (Phase::Preparing(_) | Phase::Releasing(_), Some(live)) = (&self.phase, self.phase.live_of(spawn)) else {
            return self.anomaly("a failed spawn", turn);
        };
        self.trees.remove(&spawn);
        let end = live.end_of_failure();
        let next = self.task_ended(live.index, end, Some(reason.to_string()), &live, turn);
        self.advance(next, turn);
    }

    /// The task's main process ended.
    pub(crate) fn on_exited(&mut self, spawn: SpawnId, status: ExitStatus, turn: &mut Turn<'_>) {
        match (&self.phase, self.phase.live_of(spawn)) {
            (Phase::Releasing(_) | Phase::Running(_), Some(live)) => {
                self.phase = Phase::Collecting(live, status);
                turn.process(ProcessOrder::Collect { spawn });
            }
            _ => self.anomaly("an exit", turn),
        }
    }

    /// What the task wrote is here; the run goes on.
    pub(crate) fn on_collected(&mut self, spawn: SpawnId, stdout: &Captured, stderr: &Captured, turn: &mut Turn<'_>) {
        let Phase::Collecting(live, status) = &self.phase else { return self.anomaly("captured output", turn) };
        if live.spawn != spawn {
            return self.anomaly("captured output", turn);
        }
        let (live, status) = (live.clone(), *status);
        let (end, reason) = live.judge(status);
        self.record.set_result(status, stdout, stderr);
        self.remember(live.index, status, &record::text(stdout));
        let next = self.task_ended(live.index, end, reason, &live, turn);
        self.advance(next, turn);
    }

    /// A tree is gone.
    pub(crate) fn on_discarded(&mut self, spawn: SpawnId, turn: &mut Turn<'_>) {
        if !matches!(self.phase, Phase::Clearing) || !self.trees.remove(&spawn) {
            return self.anomaly("a discarded tree", turn);
        }
        if self.trees.is_empty() {
            self.close(turn);
        }
    }

    /// A time limit or grace may be over.
    pub(crate) fn on_deadline(&mut self, turn: &mut Turn<'_>) {
        let Some(live) = self.phase.live_mut() else { return };
        match live.due(turn.now.monotonic) {
            None => {}
            Some(TreeSignal::Terminate) => {
                let seconds = self.job.tasks.get(live.index).map_or(0, |task| task.timeout_seconds);
                self.stop_task(Stop::TimedOut { seconds }, turn);
            }
            Some(TreeSignal::Kill) => {
                let spawn = live.spawn;
                if matches!(self.phase, Phase::Calling(..)) {
                    return self.give_up_call(turn);
                }
                turn.process(ProcessOrder::Signal { spawn, signal: TreeSignal::Kill });
            }
        }
    }

    /// Ends the run early; its trees are terminated, later killed. A run that is ending already ends as it was going to.
    pub(crate) fn cancel(&mut self, reason: &str, turn: &mut Turn<'_>) {
        if self.canceled.is_some() || matches!(self.phase, Phase::Clearing | Phase::Closing(_) | Phase::Done) {
            return;
        }
        self.canceled = Some(reason.to_string());
        if self.is_waiting() {
            return self.finish(Outcome::Canceled, reason.to_string(), turn);
        }
        self.stop_task(Stop::Canceled { reason: reason.to_string() }, turn);
    }

    fn stop_task(&mut self, stop: Stop, turn: &mut Turn<'_>) {
        let prepared_yet = matches!(self.phase, Phase::Releasing(_) | Phase::Running(_));
        let Some(live) = self.phase.live_mut() else { return };
        if !live.stop(stop, turn.now.monotonic) {
            return;
        }
        let spawn = live.spawn;
        if let Phase::Calling(_, call) = self.phase {
            return self.stop_call(call, turn);
        }
        let order = if prepared_yet {
            ProcessOrder::Signal { spawn, signal: TreeSignal::Terminate }
        } else {
            ProcessOrder::Abort { spawn, reason: String::from("it was stopped before it could start.") }
        };
        turn.process(order);
    }

    /// Ends what is left of the run's processes, then records the outcome.
    fn finish(&mut self, outcome: Outcome, reason: String, turn: &mut Turn<'_>) {
        self.record.close(outcome, reason, turn.now);
        self.phase = Phase::Clearing;
        for spawn in &self.trees {
            turn.process(ProcessOrder::Discard { spawn: *spawn });
        }
        if self.trees.is_empty() {
            self.close(turn);
        }
    }

    fn close(&mut self, turn: &mut Turn<'_>) {
        let ticket = turn.counters.ticket();
        self.record.context = record::shown(&self.context, &self.job);
        turn.store(StoreOrder::PersistRun { ticket, record: self.record.clone() });
        self.phase = Phase::Closing(ticket);
        let message = format!(
            "Run {} ended as {}. {}",
            self.id,
            self.record.status,
            self.record.reason.clone().unwrap_or_default()
        );
        let level = if self.record.is_good() { Level::Information } else { Level::Warning };
        self.log(level, "RunFinished", message, turn);
        self.publish_event("finished", None, turn);
        self.publish_completion(turn);
    }
}
