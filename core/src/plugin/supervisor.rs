//! The life of one plugin (contract section 7, seed 004 "How Plugins are Loaded and Monitored").
//!
//! ```text
//! state      event                    next state   orders
//! ---------  -----------------------  -----------  --------------------------------------------
//! Stopped,
//! Backoff,
//! Failed     start or restart         Starting     Spawn
//! Backoff,
//! Failed     its deadline             Starting     Spawn
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
//! Stopping   spawn failed             (ended)
//! Stopping   exited                   Ending       Collect, Discard
//! Ending     collected                Ending       its last words are kept
//! Ending     discarded                (ended)
//! any above  start once stopped       same         what follows becomes a restart
//! any        any other                same         an anomaly on record
//! ```
//! `Released` is `Starting` seen from outside, and `Ending` is `Stopping`.
//! *ended*: `Stopped` where it was stopped or is not restarted, `Starting` where a restart was asked, else `Backoff`,
//! or `Failed` after five exits within a minute.
//!
//! Never: two processes of one plugin; a restart without a reason in the log.

mod ending;
mod launch;
#[cfg(test)]
mod tests;
mod view;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;

pub(crate) use launch::query;

use super::PluginDefinition;
use super::backoff::Backoff;
use crate::effect::{ProcessOrder, TreeSignal};
use crate::event::{Captured, ExitStatus};
use crate::id::{Component, SpawnId};
use crate::log_message::Level;
use crate::program::Fit;
use crate::time::{Deadline, Monotonic, WallTime};
use crate::turn::Turn;
use crate::user::RunAs;

/// Seconds between SIGTERM and SIGKILL of a plugin's tree.
pub(crate) const STOP_GRACE_SECONDS: u64 = 10;
/// Characters of a plugin's last words that go into the log when it ends.
const LAST_WORDS: usize = 400;

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Stopped,
    Starting { spawn: SpawnId, released: bool },
    Running { spawn: SpawnId },
    Stopping { spawn: SpawnId, kill_at: Option<Monotonic> },
    Ending { spawn: SpawnId, how: String, collected: bool },
    Backoff { until: Monotonic },
    Failed { until: Monotonic },
}

/// What shall follow once the present process is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Supervise,
    Stop,
    Restart,
}

/// One plugin.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pub(crate) definition: Arc<PluginDefinition>,
    /// As whom its present process was asked for; what a changed file says counts from the next.
    pub(crate) run_as: Option<RunAs>,
    state: State,
    then: Then,
    backoff: Backoff,
    started: Monotonic,
    pub(crate) last_start: Option<WallTime>,
    pub(crate) pid: Option<u32>,
    pub(crate) restarts: u64,
    pub(crate) connections: u32,
    pub(crate) last_reason: Option<String>,
    /// Its definition is out of service; it leaves with its process.
    pub(crate) retired: bool,
    /// Status and health as those were told who follow `GET /api/events`.
    pub(crate) told: Option<(&'static str, &'static str)>,
}

impl Supervisor {
    pub(crate) fn new(definition: Arc<PluginDefinition>) -> Self {
        Self {
            definition,
            run_as: None,
            state: State::Stopped,
            then: Then::Supervise,
            backoff: Backoff::default(),
            started: Monotonic::default(),
            last_start: None,
            pid: None,
            restarts: 0,
            connections: 0,
            last_reason: None,
            retired: false,
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
            State::Stopped | State::Backoff { .. } | State::Failed { .. } => false,
        }
    }

    pub(crate) const fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    pub(crate) const fn is_stopped(&self) -> bool {
        matches!(self.state, State::Stopped | State::Backoff { .. } | State::Failed { .. })
    }

    pub(crate) fn next_deadline(&self) -> Option<Deadline> {
        let (at, reason) = match &self.state {
            State::Stopping { kill_at: Some(at), .. } => (*at, "the grace of a stopping plugin"),
            State::Backoff { until } | State::Failed { until } => (*until, "a plugin's restart"),
            State::Stopped
            | State::Starting { .. }
            | State::Running { .. }
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
        } else if self.then == Then::Stop {
            self.backoff.reset();
            self.then = Then::Restart;
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

    /// Stops it and starts it again once nothing of it is left.
    pub(crate) fn restart(&mut self, turn: &mut Turn<'_>) {
        if self.is_stopped() {
            return self.start(turn);
        }
        self.backoff.reset();
        self.end(Then::Restart, STOP_GRACE_SECONDS, turn);
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
                let kill_at = Some(turn.now.monotonic.plus_seconds(grace_seconds));
                self.state = State::Stopping { spawn, kill_at };
                turn.process(ProcessOrder::Signal { spawn, signal: TreeSignal::Terminate });
            }
            // It has its SIGTERM; a shorter grace counts from now.
            State::Stopping { kill_at: Some(at), .. } => {
                *at = turn.now.monotonic.plus_seconds(grace_seconds).min(*at);
            }
            State::Stopped
            | State::Stopping { kill_at: None, .. }
            | State::Ending { .. }
            | State::Backoff { .. }
            | State::Failed { .. } => {}
        }
    }

    fn spawn(&mut self, why: &str, turn: &mut Turn<'_>) {
        let spawn = turn.counters.spawn();
        self.then = Then::Supervise;
        self.state = State::Starting { spawn, released: false };
        self.run_as = self.definition.run_as;
        self.started = turn.now.monotonic;
        self.last_start = Some(turn.now.wall);
        self.last_reason = Some(why.to_string());
        self.log(Level::Information, "PluginStarting", format!("Plugin {} starts: {why}.", self.definition.id), turn);
        match self.request(spawn, turn) {
            Ok(request) => turn.process(ProcessOrder::Spawn(request)),
            Err(reason) => self.ended(&reason, turn),
        }
    }

    /// Whether this process was asked for and has not been reported yet.
    pub(crate) fn awaits(&self, spawn: SpawnId) -> bool {
        self.state == State::Starting { spawn, released: false }
    }

    /// The process exists and waits; an error says why it must not run.
    pub(crate) fn on_prepared(&mut self, spawn: SpawnId, pid: u32, fit: Result<Fit, String>, turn: &mut Turn<'_>) {
        if !self.awaits(spawn) {
            return self.anomaly("a prepared process", turn);
        }
        if self.then != Then::Supervise {
            // It was stopped meanwhile and the abort is under way.
            return;
        }
        let Fit { way, person, .. } = match fit {
            Ok(fit) => fit,
            Err(reason) => return turn.process(ProcessOrder::Abort { spawn, reason }),
        };
        self.pid = Some(pid);
        self.state = State::Starting { spawn, released: true };
        turn.process(ProcessOrder::Release { spawn, way, person });
    }

    /// Its program runs.
    pub(crate) fn on_started(&mut self, spawn: SpawnId, turn: &mut Turn<'_>) {
        match self.state {
            State::Starting { spawn: own, released: true } if own == spawn => {
                self.state = State::Running { spawn };
                let message = format!("Plugin {} runs with pid {}.", self.definition.id, self.pid.unwrap_or_default());
                self.log(Level::Information, "PluginRunning", message, turn);
            }
            // Stopped or ended before this was seen: nothing to add.
            State::Stopping { spawn: own, .. } | State::Ending { spawn: own, .. } if own == spawn => {}
            State::Stopped
            | State::Starting { .. }
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Ending { .. }
            | State::Backoff { .. }
            | State::Failed { .. } => self.anomaly("a started process", turn),
        }
    }

    /// There is no process, and this is why.
    pub(crate) fn on_spawn_failed(&mut self, spawn: SpawnId, reason: &str, turn: &mut Turn<'_>) {
        // It may have been stopped between its release and this; a program that ran ends by an exit.
        let never_ran = matches!(self.state, State::Starting { .. } | State::Stopping { .. });
        if !self.owns(spawn) || !never_ran {
            return self.anomaly("a failed spawn", turn);
        }
        self.ended(&format!("it could not be started: {reason}"), turn);
    }

    /// Its main process ended.
    pub(crate) fn on_exited(&mut self, spawn: SpawnId, status: ExitStatus, turn: &mut Turn<'_>) {
        if !self.has_process(spawn) {
            return self.anomaly("an exit", turn);
        }
        let how = match status {
            ExitStatus::Code(code) => format!("it exited with code {code}"),
            ExitStatus::Signal(signal) => format!("signal {signal} ended it"),
        };
        self.state = State::Ending { spawn, how, collected: false };
        // Both at once, one after the other in the port: a replacement waits until nothing is left.
        turn.process(ProcessOrder::Collect { spawn });
        turn.process(ProcessOrder::Discard { spawn });
    }

    /// Whether this is its tree, released, and its main process is not known to have ended.
    fn has_process(&self, spawn: SpawnId) -> bool {
        let running = match self.state {
            State::Starting { released, .. } => released,
            State::Running { .. } | State::Stopping { .. } => true,
            State::Stopped | State::Ending { .. } | State::Backoff { .. } | State::Failed { .. } => false,
        };
        running && self.owns(spawn)
    }

    /// Its last words are here.
    pub(crate) fn on_collected(&mut self, spawn: SpawnId, stderr: &Captured, turn: &mut Turn<'_>) {
        let State::Ending { spawn: own, how, collected: collected @ false } = &mut self.state else {
            return self.anomaly("captured output", turn);
        };
        if *own != spawn {
            return self.anomaly("captured output", turn);
        }
        *collected = true;
        let words =
            String::from_utf8_lossy(if stderr.tail.is_empty() { &stderr.head } else { &stderr.tail }).into_owned();
        let words = turn.plugin_settings.mask(self.definition.id.as_str(), words);
        if let Some((index, _)) = words.trim_end().char_indices().rev().nth(LAST_WORDS.saturating_sub(1)) {
            *how = format!("{how}; it last wrote: {}", words.get(index..).unwrap_or_default().trim_end());
        } else if !words.trim().is_empty() {
            *how = format!("{how}; it last wrote: {}", words.trim());
        }
    }

    /// Nothing of it is left.
    pub(crate) fn on_discarded(&mut self, spawn: SpawnId, turn: &mut Turn<'_>) {
        match &self.state {
            State::Ending { spawn: own, how, .. } if *own == spawn => {
                let how = how.clone();
                self.ended(&how, turn);
            }
            State::Stopped
            | State::Starting { .. }
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Ending { .. }
            | State::Backoff { .. }
            | State::Failed { .. } => self.anomaly("a discarded tree", turn),
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
            State::Stopped
            | State::Starting { .. }
            | State::Running { .. }
            | State::Ending { .. }
            | State::Backoff { .. }
            | State::Failed { .. } => {}
        }
    }

    fn log(&self, level: Level, category: &'static str, message: String, turn: &mut Turn<'_>) {
        turn.log_about(level, category, message, Some(&Component::Plugin(self.definition.id.clone())));
    }

    fn anomaly(&self, what: &str, turn: &mut Turn<'_>) {
        let message =
            format!("Plugin {} was told of {what} that does not fit its state; nothing changed.", self.definition.id);
        self.log(Level::Warning, "Anomaly", message, turn);
    }
}
