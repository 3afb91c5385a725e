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
//! (advance)   to be tried again        Pausing      PersistRun; at once where the delay is 0
//! Pausing     pause over               (advance)    the same task, its condition is not asked again
//! Pausing     cancel                   (finish)
//! (advance)   an Http task is met      Calling      Send; nothing where the agent answers itself
//! Calling     answered, failed         (advance)
//! Calling     limit or cancel          Calling      Cancel; after the grace (advance), at once where the agent answers itself
//! Clearing    last tree discarded      Closing      PersistRun
//! Closing     persisted, either way    Done
//! any         cancel                   same         the next *advance* is *finish*, unless it is finishing already
//! any         any other                same         an anomaly on record
//! ```
//! *advance* considers tasks until one must be executed: a skipped task leads to the next in list order, a built-in is
//! carried out at once, a process is asked for (`Preparing`, Spawn, and a PersistRun that nobody waits for), a request is sent
//! (`Calling`, Send), and the end of the list or a route to `stop` is
//! *finish*: every tree the run started is discarded (`Clearing`), then the outcome is recorded.
//!
//! Never: a process before its start is on record; more than [`TASKS_PER_RUN`](crate::limits::TASKS_PER_RUN) tasks; an event of another spawn
//! changes a phase.

pub mod admission;
pub(crate) mod built_in;
mod context;
mod detail;
mod ending;
pub mod history;
mod http;
mod launch;
mod message;
mod origin;
mod output;
mod phase;
mod progress;
mod publishing;
mod record;
mod routing;
mod saving;
pub(crate) mod secret;
#[cfg(test)]
mod tests;
mod tracing;

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde_json::{Map, Value};

use crate::api::stream::Kind;
use crate::effect::{ProcessOrder, StoreOrder};
use crate::event::{Captured, ExitStatus};
use crate::id::{Component, JobId, RunId, SpawnId, TicketId};
use crate::job::JobDefinition;
use crate::log_message::Level;
use crate::program::Fit;
use crate::time::Deadline;
use crate::turn::Turn;
use context::Context;
use history::{Outcome, RunRecord};
pub(crate) use http::OwnCall;
pub(crate) use launch::{own_program, query};
pub(crate) use message::{FiredEvent, JobRequest, Request};
pub(crate) use origin::{Admitted, Chain, Origin};
use output::Room;
use phase::{Live, Phase};
use routing::Next;
use saving::Saving;
use secret::Secrets;
pub(crate) use tracing::Publish;
use tracing::Tracing;

/// Seconds between SIGTERM and SIGKILL of a task's tree (contract section 3, `timeoutSeconds`).
pub(crate) const KILL_GRACE_SECONDS: u64 = 5;

/// One execution of a job.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) id: RunId,
    pub(crate) job: Arc<JobDefinition>,
    /// Its job, as log lines are about it.
    component: Component,
    /// Its place in the order of triggers.
    pub(crate) order: u64,
    /// How it came about.
    pub(crate) origin: Origin,
    /// What its trigger gave, until it begins.
    given: Map<String, Value>,
    context: Context,
    /// Shared with the order to save it; copied where it changes before that is done.
    record: Arc<RunRecord>,
    room: Room,
    skipped_by_condition: bool,
    phase: Phase,
    executed: u32,
    trees: BTreeSet<SpawnId>,
    canceled: Option<String>,
    requests: Vec<Request>,
    secrets: Secrets,
    /// How often the task in hand was tried again.
    retries: u32,
    saving: Saving,
    /// Where traces are told.
    tracing: Option<Tracing>,
}

impl Run {
    /// Puts the start of the run on record, which need not outlive more than the agent; everything else follows from that.
    pub(crate) fn begin(id: RunId, admitted: Admitted, turn: &mut Turn<'_>) -> Self {
        let Admitted { job, origin, given, context } = admitted;
        let mut secrets = origin.chain.secrets.clone();
        secrets.learn(&context, &job.parameters);
        let record = Arc::new(record::opening(&id, &job, &origin, &context, &secrets, turn));
        let ticket = turn.counters.ticket();
        turn.store(StoreOrder::PersistRun { ticket, record: Arc::clone(&record), durable: false });
        let component = Component::Job(job.id.clone());
        let tracing = Tracing::begin(&id, &origin.chain, turn);
        turn.trace = tracing.as_ref().map(|tracing| tracing.run);
        let message = format!("Run {id} of '{}' was triggered by {}.", job.name, origin.trigger);
        turn.log_of_run(Level::Information, "RunTriggered", message, &component, &id);
        turn.tell(Kind::Run, &publishing::progress(&record, "triggered", None, turn.now));
        Self {
            id,
            job,
            component,
            order: ticket.0,
            origin,
            given,
            context,
            record,
            room: Room::default(),
            skipped_by_condition: false,
            phase: Phase::Recording(ticket),
            executed: 0,
            trees: BTreeSet::new(),
            canceled: None,
            requests: Vec::new(),
            secrets,
            retries: 0,
            saving: Saving::default(),
            tracing,
        }
    }

    /// What it hands down to a run that it starts.
    pub(crate) fn chain(&self) -> Chain {
        let Chain { depth, elevation, .. } = &self.origin.chain;
        let (depth, elevation) = (depth.saturating_add(1), elevation.clone());
        Chain { depth, secrets: self.secrets.clone(), trace: self.task_context(), elevation }
    }

    /// A text about it as it may be seen.
    pub(crate) fn mask(&self, text: String) -> String {
        self.secrets.mask(text)
    }

    /// The run as it stands.
    pub(crate) fn record(&self) -> &RunRecord {
        &self.record
    }

    fn record_mut(&mut self) -> &mut RunRecord {
        Arc::make_mut(&mut self.record)
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
        if let Phase::Pausing(pause) = &self.phase {
            return Some(pause.deadline());
        }
        self.phase.limited().and_then(Live::next_deadline)
    }

    /// A record of this run reached the disk, or failed to.
    pub(crate) fn on_persisted(&mut self, ticket: TicketId, result: &Result<(), String>, turn: &mut Turn<'_>) {
        if self.saving.is_answer(ticket) {
            return self.on_saved(result, turn);
        }
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

    /// Its job was changed before it began: it runs as the job is now, if it still may.
    pub(crate) fn on_redefined(&mut self, job: &Arc<JobDefinition>, turn: &mut Turn<'_>) {
        if !matches!(self.phase, Phase::Recording(_) | Phase::Waiting) {
            return;
        }
        if !job.enabled || !job.runs_here(turn.surroundings.here) {
            return self.cancel("its job was disabled, or excluded here by osFilter, before it began.", turn);
        }
        match Context::new(&self.given, &job.parameters) {
            Err(invalid) => {
                let reason = format!("its job was changed before it began, and now {}", invalid.message);
                self.cancel(&reason, turn);
            }
            Ok(context) => {
                self.secrets.learn(&context, &job.parameters);
                self.record_mut().context = self.secrets.shown(&context, &job.parameters);
                self.context = context;
                self.job = Arc::clone(job);
                let message = format!("Run {} has not begun and takes the new definition of its job.", self.id);
                self.log(Level::Information, "RunRedefined", message, turn);
            }
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
        self.given = Map::new();
        self.record_mut().begun_at = Some(turn.now.wall.to_rfc3339());
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

    /// The process exists and waits for what it becomes; an error says why it must not run.
    pub(crate) fn on_prepared(&mut self, spawn: SpawnId, pid: u32, fit: Result<Fit, String>, turn: &mut Turn<'_>) {
        let Some(live) = self.awaited(spawn).cloned() else { return self.anomaly("a prepared process", turn) };
        if live.is_stopping() {
            // It was stopped meanwhile and the abort is under way.
            return;
        }
        let Fit { way, shown, person } = match fit {
            Ok(fit) => fit,
            Err(reason) => return turn.process(ProcessOrder::Abort { spawn, reason }),
        };
        self.record_mut().set_pid(pid);
        self.record_mut().set_program(shown);
        self.phase = Phase::Releasing(live);
        turn.process(ProcessOrder::Release { spawn, way, person });
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
        let limits = self.job.tasks.get(live.index).map(|task| task.limits).unwrap_or_default();
        let (end, reason) = live.judge(status, limits);
        // What the task merged may be a new secret, so it counts before anything is recorded.
        self.remember(live.index, status, &output::text(stdout), turn);
        let (stdout, stderr) = (output::masked(stdout, &self.secrets), output::masked(stderr, &self.secrets));
        Arc::make_mut(&mut self.record).set_result(status, stdout, stderr, &mut self.room);
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
}
