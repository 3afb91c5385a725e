//! How a run ends, early or in time: limits, cancellation, its trees, its last record.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;

use super::Run;
use super::history::Outcome;
use super::phase::{Over, Phase, Stop};
use super::routing::Next;
use crate::effect::{ProcessOrder, StoreOrder, TreeSignal};
use crate::log_message::Level;
use crate::turn::Turn;

impl Run {
    /// A time limit, a grace or a pause may be over.
    pub(crate) fn on_deadline(&mut self, turn: &mut Turn<'_>) {
        if let Phase::Pausing(pause) = &self.phase {
            if pause.until <= turn.now.monotonic {
                let index = pause.index;
                self.advance(Next::Again { index, delay_seconds: 0, why: String::new() }, turn);
            }
            return;
        }
        let Some(live) = self.phase.live_mut() else { return };
        match live.due(turn.now.monotonic) {
            None => {}
            Some(Over::Limit) => {
                let seconds = self.job.tasks.get(live.index).map_or(0, |task| task.timeout_seconds);
                self.stop_task(Stop::TimedOut { seconds }, turn);
            }
            Some(Over::Grace) => {
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
        if matches!(self.phase, Phase::Waiting | Phase::Pausing(_)) {
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
    pub(super) fn finish(&mut self, outcome: Outcome, reason: String, turn: &mut Turn<'_>) {
        if !self.trees.is_empty() {
            // Its trees may take a while to go; the end of the last task is on record meanwhile.
            self.save(turn);
        }
        let reason = self.mask(reason);
        self.record_mut().close(outcome, reason, turn.now);
        self.phase = Phase::Clearing;
        for spawn in &self.trees {
            turn.process(ProcessOrder::Discard { spawn: *spawn });
        }
        if self.trees.is_empty() {
            self.close(turn);
        }
    }

    pub(super) fn close(&mut self, turn: &mut Turn<'_>) {
        let ticket = turn.counters.ticket();
        self.record_mut().context = self.secrets.shown(&self.context, &self.job.parameters);
        turn.store(StoreOrder::PersistRun { ticket, record: Arc::clone(&self.record), durable: true });
        self.phase = Phase::Closing(ticket);
        let message = format!(
            "Run {} ended as {}. {}",
            self.id,
            self.record.status,
            self.record.reason.as_deref().unwrap_or_default()
        );
        let level = if self.record.is_good() { Level::Information } else { Level::Warning };
        self.log(level, "RunFinished", message, turn);
        self.trace_run(turn);
        self.publish_event("finished", None, turn);
        self.publish_completion(turn);
    }
}
