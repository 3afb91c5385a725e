//! The life of one process of a plugin (contract section 7, seed 004 "How Plugins are Loaded and Monitored"); `plugin/instances` has all of them.
//!
//! ```text
//! state      event                    next state   orders
//! ---------  -----------------------  -----------  --------------------------------------------
//! Stopped,
//! Waiting,
//! Backoff,
//! Failed     start or restart         Starting     Spawn
//! Backoff,
//! Failed     its deadline             Starting     Spawn
//! Waiting    what it requires is ready Starting    Spawn
//! Waiting,
//! Backoff,
//! Failed     stop                     Stopped
//! Starting   prepared                 Released     Release; Abort where it must not run; nothing once it was aborted
//! Starting   stop or restart          Starting     Abort
//! Starting,
//! Released   spawn failed             (ended)
//! Released   started                  Running
//! Released,
//! Running    exited                   Ending       Collect, Discard
//! Released,
//! Running    stop or restart          Stopping     Signal TERM; after the grace Signal KILL
//! any        leave                    as by stop, with the reason in the log
//! Running    it hangs (`liveness`)    Stopping     Signal TERM; after the grace Signal KILL
//! Stopping   spawn failed             (ended)
//! Stopping   exited                   Ending       Collect, Discard
//! Ending     collected                Ending       its last words are kept
//! Ending     discarded                (ended)
//! Stopping,
//! Ending     start                    same         what follows becomes a restart
//! Starting   start once stopped       same         what follows becomes a restart
//! any        any other                same         an anomaly on record
//! ```
//! `Released` is `Starting` seen from outside, `Ending` is `Stopping`, and `Waiting` is `Stopped`.
//! *ended*: `Stopped` where it was stopped or is not restarted, `Starting` where a restart was asked, else `Backoff`,
//! or `Failed` after five ends within a minute. A hang counts as an end.
//! Instead of `Spawn` there is `Waiting` where what the plugin requires is not ready (`agent/plugins` says so), and `Stopped` where it
//! cannot run at all by now, or where its definition wants another kind of process (`plugin/instances`).
//!
//! Never: two processes of one instance; a restart without a reason in the log.

mod ending;
mod launch;
mod liveness;
pub(crate) mod output;
mod process;
#[cfg(test)]
mod tests;
pub(crate) mod view;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;

pub(crate) use launch::query;
use liveness::Liveness;

use super::PluginDefinition;
use super::backoff::Backoff;
use crate::effect::{ProcessOrder, TreeSignal};
use crate::id::{Component, SpawnId};
use crate::job::finding::Finding;
use crate::log_message::Level;
use crate::time::{Deadline, Monotonic, WallTime};
use crate::turn::Turn;
use crate::user::RunAs;
use crate::user::sessions::Place;

/// Seconds between SIGTERM and SIGKILL of a plugin's tree.
pub(crate) const STOP_GRACE_SECONDS: u64 = 10;
/// Characters of a plugin's last words that go into the log when it ends.
const LAST_WORDS: usize = 400;

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Stopped,
    /// It starts for this reason, once what it requires is ready.
    Waiting {
        why: String,
    },
    Starting {
        spawn: SpawnId,
        released: bool,
    },
    Running {
        spawn: SpawnId,
    },
    Stopping {
        spawn: SpawnId,
        kill_at: Option<Monotonic>,
    },
    Ending {
        spawn: SpawnId,
        how: String,
        collected: bool,
    },
    Backoff {
        until: Monotonic,
    },
    Failed {
        until: Monotonic,
    },
}

/// What shall follow once the present process is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Supervise,
    Stop,
    /// For this reason.
    Restart(&'static str),
}

/// One process of a plugin, and what follows it.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pub(crate) definition: Arc<PluginDefinition>,
    /// The session that it is for; `None` where it runs as the agent itself.
    pub(crate) place: Option<Place>,
    /// Nothing follows its process: its session is over, or its definition wants another kind of process.
    pub(crate) leaves: bool,
    /// What its present process was asked for by; what a changed file says counts from the next.
    started_from: Arc<PluginDefinition>,
    state: State,
    then: Then,
    backoff: Backoff,
    started: Monotonic,
    pub(crate) last_start: Option<WallTime>,
    pub(crate) pid: Option<u32>,
    pub(crate) restarts: u64,
    liveness: Liveness,
    /// Why its process is stopped although it was left to run.
    hangs: Option<String>,
    pub(crate) last_reason: Option<String>,
    /// What it requires and is not ready, with what to do; looked up before every step of it.
    pub(crate) missing: Option<String>,
    /// What other definitions in service speak against it.
    pub(crate) conflict: Option<Finding>,
    /// What its last process that ended had written.
    pub(crate) last_output: Option<output::ProcessOutput>,
    /// Status and health as those were told who follow `GET /api/events`.
    pub(crate) told: Option<(&'static str, &'static str)>,
}

impl Supervisor {
    pub(crate) fn new(definition: Arc<PluginDefinition>, place: Option<Place>) -> Self {
        Self {
            started_from: Arc::clone(&definition),
            definition,
            place,
            leaves: false,
            state: State::Stopped,
            then: Then::Supervise,
            backoff: Backoff::default(),
            started: Monotonic::default(),
            last_start: None,
            pid: None,
            restarts: 0,
            liveness: Liveness::default(),
            hangs: None,
            last_reason: None,
            missing: None,
            conflict: None,
            last_output: None,
            told: None,
        }
    }

    /// Whether the tree is its present one.
    pub(crate) fn owns(&self, spawn: SpawnId) -> bool {
        match self.state {
            State::Starting { spawn: own, .. }
            | State::Running { spawn: own }
            | State::Stopping { spawn: own, .. }
            | State::Ending { spawn: own, .. } => own == spawn,
            State::Stopped | State::Waiting { .. } | State::Backoff { .. } | State::Failed { .. } => false,
        }
    }

    /// Whether those that require it may start.
    pub(crate) const fn is_ready(&self) -> bool {
        self.is_running() && self.is_connected()
    }

    /// Whether it is started again when it ends.
    pub(crate) fn is_restarted(&self) -> bool {
        self.definition.requires_monitoring && self.definition.auto_restart
    }

    /// Whether its process is being made.
    pub(crate) const fn is_starting(&self) -> bool {
        matches!(self.state, State::Starting { .. })
    }

    pub(crate) const fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// Whether it waits for what it requires.
    pub(crate) const fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting { .. })
    }

    pub(crate) const fn is_stopped(&self) -> bool {
        matches!(self.state, State::Stopped | State::Waiting { .. } | State::Backoff { .. } | State::Failed { .. })
    }

    pub(crate) fn next_deadline(&self) -> Option<Deadline> {
        let (at, reason) = match &self.state {
            State::Stopping { kill_at: Some(at), .. } => (*at, "the grace of a stopping plugin"),
            State::Backoff { until } | State::Failed { until } => (*until, "a plugin's restart"),
            State::Running { .. } => (self.liveness.next_deadline()?, "a plugin's sign of life"),
            State::Stopped
            | State::Waiting { .. }
            | State::Starting { .. }
            | State::Stopping { kill_at: None, .. }
            | State::Ending { .. } => return None,
        };
        Some(Deadline { at, reason })
    }

    /// Starts it by hand or at start-up; a process that exists already stays, one that is being stopped is followed by another.
    pub(crate) fn start(&mut self, turn: &mut Turn<'_>) {
        if self.is_stopped() {
            self.backoff.reset();
            self.spawn("it was asked to start", turn);
        } else if self.then == Then::Stop || matches!(self.state, State::Stopping { .. } | State::Ending { .. }) {
            self.backoff.reset();
            self.then = Then::Restart("it was asked to start");
        }
    }

    /// Stops it; it stays stopped.
    pub(crate) fn stop(&mut self, turn: &mut Turn<'_>) {
        self.stop_within(STOP_GRACE_SECONDS, turn);
    }

    /// Stops it, with so many seconds between SIGTERM and SIGKILL.
    pub(crate) fn stop_within(&mut self, grace_seconds: u64, turn: &mut Turn<'_>) {
        self.end(Then::Stop, grace_seconds, turn);
        if self.is_stopped() {
            self.state = State::Stopped;
        }
    }

    /// Stops it for good, for this reason.
    pub(crate) fn leave(&mut self, why: &str, turn: &mut Turn<'_>) {
        self.leaves = true;
        if !self.is_stopped() {
            self.last_reason = Some(why.to_string());
            self.log(Level::Information, "PluginStopping", format!("{} is stopped: {why}.", self.named()), turn);
        }
        self.stop(turn);
    }

    /// Stops it and starts it again once nothing of it is left.
    pub(crate) fn restart(&mut self, turn: &mut Turn<'_>) {
        if self.is_stopped() {
            return self.start(turn);
        }
        self.backoff.reset();
        self.end(Then::Restart("a restart was asked"), STOP_GRACE_SECONDS, turn);
    }

    /// Starts it again where its process is another than its definition asks for by now.
    pub(crate) fn renew(&mut self, turn: &mut Turn<'_>) {
        let (former, present) = (&self.started_from, &self.definition);
        let topic = |definition: &PluginDefinition| definition.health_check.as_ref().map(|check| check.topic.clone());
        let is_same = topic(former) == topic(present)
            && former.executable_path == present.executable_path
            && former.arguments == present.arguments
            && former.run_as == present.run_as
            && former.limits == present.limits;
        if !is_same && !self.is_stopped() && self.then == Then::Supervise {
            self.end(Then::Restart("its definition changed"), STOP_GRACE_SECONDS, turn);
        }
    }

    /// As whom its present process was asked for.
    pub(crate) fn run_as(&self) -> Option<RunAs> {
        self.started_from.run_as
    }

    /// How the log calls it.
    pub(super) fn named(&self) -> String {
        match &self.place {
            Some(place) => format!("Plugin {} in {place}", self.definition.id),
            None => format!("Plugin {}", self.definition.id),
        }
    }

    fn end(&mut self, then: Then, grace_seconds: u64, turn: &mut Turn<'_>) {
        let aborted = core::mem::replace(&mut self.then, then) != Then::Supervise;
        match &mut self.state {
            State::Starting { released: false, .. } if aborted => {}
            State::Starting { spawn, released: false } => {
                let spawn = *spawn;
                let reason = String::from("it was stopped before it could start.");
                turn.process(ProcessOrder::Abort { spawn, reason });
            }
            State::Starting { spawn, released: true } | State::Running { spawn } => {
                let spawn = *spawn;
                self.terminate(spawn, grace_seconds, turn);
            }
            // It has its SIGTERM; a shorter grace counts from now.
            State::Stopping { kill_at: Some(at), .. } => {
                *at = turn.now.monotonic.plus_seconds(grace_seconds).min(*at);
            }
            State::Stopped
            | State::Waiting { .. }
            | State::Stopping { kill_at: None, .. }
            | State::Ending { .. }
            | State::Backoff { .. }
            | State::Failed { .. } => {}
        }
    }

    fn terminate(&mut self, spawn: SpawnId, grace_seconds: u64, turn: &mut Turn<'_>) {
        self.state = State::Stopping { spawn, kill_at: Some(turn.now.monotonic.plus_seconds(grace_seconds)) };
        turn.process(ProcessOrder::Signal { spawn, signal: TreeSignal::Terminate });
    }

    /// What it requires may be ready by now.
    pub(crate) fn go_on(&mut self, turn: &mut Turn<'_>) {
        if let State::Waiting { why } = &self.state
            && self.missing.is_none()
        {
            let why = why.clone();
            self.spawn(&why, turn);
        }
    }

    fn spawn(&mut self, why: &str, turn: &mut Turn<'_>) {
        self.then = Then::Supervise;
        if let Some(obstacle) = self.obstacle() {
            let message = format!("{} is not started: {obstacle}", self.named());
            self.log(Level::Warning, "NotRun", message, turn);
            self.state = State::Stopped;
            return;
        }
        if self.place.is_some() != self.definition.run_as.is_some() {
            // Never as the agent itself what was made for a session, nor the other way round: another instance takes over.
            (self.state, self.leaves) = (State::Stopped, true);
            return;
        }
        if let Some(missing) = &self.missing {
            self.log(Level::Information, "PluginWaits", format!("{}: {missing}", self.named()), turn);
            self.state = State::Waiting { why: why.to_string() };
            return;
        }
        let spawn = turn.counters.spawn();
        self.state = State::Starting { spawn, released: false };
        self.started_from = Arc::clone(&self.definition);
        self.started = turn.now.monotonic;
        self.liveness = Liveness::since(turn.now.monotonic);
        self.last_start = Some(turn.now.wall);
        self.last_reason = Some(why.to_string());
        self.log(Level::Information, "PluginStarting", format!("{} starts: {why}.", self.named()), turn);
        match self.request(spawn, turn) {
            Ok(request) => turn.process(ProcessOrder::Spawn(request)),
            Err(reason) => self.ended(&reason, turn),
        }
    }

    /// A restart or the grace of a stop may be due.
    pub(crate) fn on_deadline(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.monotonic;
        match &mut self.state {
            State::Stopping { spawn, kill_at } => {
                if kill_at.take_if(|at| now >= *at).is_some() {
                    turn.process(ProcessOrder::Signal { spawn: *spawn, signal: TreeSignal::Kill });
                }
            }
            State::Backoff { until } | State::Failed { until } if now >= *until => {
                self.restarts = self.restarts.saturating_add(1);
                let why = self.last_reason.clone().unwrap_or_default();
                self.spawn(&format!("restart after {why}"), turn);
            }
            State::Running { .. } => self.look_after(turn),
            State::Stopped
            | State::Waiting { .. }
            | State::Starting { .. }
            | State::Ending { .. }
            | State::Backoff { .. }
            | State::Failed { .. } => {}
        }
    }

    fn log(&self, level: Level, category: &'static str, message: String, turn: &mut Turn<'_>) {
        turn.log_about(level, category, message, Some(&Component::Plugin(self.definition.id.clone())));
    }

    fn anomaly(&self, what: &str, turn: &mut Turn<'_>) {
        let message = format!("{} was told of {what} that does not fit its state; nothing changed.", self.named());
        self.log(Level::Warning, "Anomaly", message, turn);
    }
}
