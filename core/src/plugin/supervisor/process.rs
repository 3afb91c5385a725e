//! What the process port reports of a plugin's process, from its making to the last of its tree.

use alloc::format;
use alloc::string::String;

use super::{LAST_WORDS, State, Supervisor, Then};
use crate::effect::ProcessOrder;
use crate::event::{Captured, ExitStatus};
use crate::id::SpawnId;
use crate::log_message::Level;
use crate::program::Fit;
use crate::turn::Turn;

impl Supervisor {
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
                let message = format!("{} runs with pid {}.", self.named(), self.pid.unwrap_or_default());
                self.log(Level::Information, "PluginRunning", message, turn);
            }
            // Stopped or ended before this was seen: nothing to add.
            State::Stopping { spawn: own, .. } | State::Ending { spawn: own, .. } if own == spawn => {}
            State::Stopped
            | State::Waiting { .. }
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
            ExitStatus::OutOfMemory => format!("it ran out of memory: {}", self.started_from.limits.out_of_memory()),
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
            State::Stopped
            | State::Waiting { .. }
            | State::Ending { .. }
            | State::Backoff { .. }
            | State::Failed { .. } => false,
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
            | State::Waiting { .. }
            | State::Starting { .. }
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Ending { .. }
            | State::Backoff { .. }
            | State::Failed { .. } => self.anomaly("a discarded tree", turn),
        }
    }
}
