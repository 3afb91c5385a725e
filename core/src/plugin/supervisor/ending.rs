//! What follows once nothing of a plugin's process is left: nothing, another one, or another one later.

use alloc::format;
use alloc::string::ToString;

use super::liveness::Liveness;
use super::{State, Supervisor, Then};
use crate::log_message::Level;
use crate::plugin::backoff::Verdict;
use crate::turn::Turn;

impl Supervisor {
    /// Decides what follows now that there is no process.
    pub(super) fn ended(&mut self, how: &str, turn: &mut Turn<'_>) {
        self.pid = None;
        self.liveness = Liveness::default();
        let how = &self.hangs.take().map_or_else(|| how.to_string(), |why| format!("it hangs: {why}; {how}"));
        self.last_reason = Some(how.clone());
        let (id, named) = (self.definition.id.clone(), self.named());
        match self.then {
            Then::Stop => {
                self.state = State::Stopped;
                self.log(Level::Information, "PluginStopped", format!("{named} is stopped: {how}."), turn);
            }
            Then::Restart(why) => {
                self.restarts = self.restarts.saturating_add(1);
                self.spawn(why, turn);
            }
            Then::Supervise if self.is_restarted() => self.back_off(how, turn),
            Then::Supervise => {
                self.state = State::Stopped;
                let message = format!(
                    "{named} ended: {how}. It is not restarted because requiresMonitoring and autoRestart are not both true; \
                     start it with POST /api/plugins/{id}/start."
                );
                self.log(Level::Warning, "PluginEnded", message, turn);
            }
        }
    }

    fn back_off(&mut self, how: &str, turn: &mut Turn<'_>) {
        let (id, named) = (self.definition.id.clone(), self.named());
        let now = turn.now.monotonic;
        match self.backoff.on_exit(self.started, now, &turn.monitoring) {
            Verdict::RestartAt(until) => {
                self.state = State::Backoff { until };
                let message = format!("{named} ended: {how}. It is restarted in {} ms.", until.millis_since(now));
                self.log(Level::Warning, "PluginEnded", message, turn);
                // A delay of none is over already.
                self.on_deadline(turn);
            }
            Verdict::FailedUntil(until) => {
                self.state = State::Failed { until };
                let message = format!(
                    "{named} failed: {how}, for the fifth time within a minute. It is tried again in {} s; mend it and \
                     start it with POST /api/plugins/{id}/start.",
                    until.millis_since(now) / 1000
                );
                self.log(Level::Error, "PluginFailed", message, turn);
            }
        }
    }
}
