//! What goes wrong with a policy source, and that it is over; each is told once.

use alloc::format;
use alloc::string::{String, ToString};

use super::{Fleet, State};
use crate::log_message::Level;
use crate::turn::Turn;
use crate::why::sentence;

/// Between two refusals in the log: whoever may publish to a topic must not be able to wash everything else out of it. The status and the
/// count have each of them.
const TOLD_MILLIS: u64 = 10_000;

impl Fleet {
    /// The source answered; MQTT keeps listening.
    pub(super) fn answered(&mut self, turn: &mut Turn<'_>) {
        if let State::Asking { .. } = self.state {
            self.pace.answered();
            self.state = State::Waiting { at: turn.now.monotonic.plus_millis(self.pace.poll()) };
            self.recovered(turn);
        }
    }

    /// A failure ends with the next answer, a refusal with the next good bundle.
    pub(super) fn recovered(&mut self, turn: &mut Turn<'_>) {
        if self.failure.take().is_some() {
            turn.log(Level::Information, "PolicySource", "The policy source answers again.".to_string());
        }
    }

    pub(super) fn on_failed(&mut self, why: String, turn: &mut Turn<'_>) {
        match self.state {
            // The question was given up before, and told then.
            State::Off | State::Waiting { .. } => return,
            State::Asking { .. } => {}
            State::Listening { since } => self.pace.listened(turn.now.monotonic.millis_since(since)),
        }
        self.failed = self.failed.saturating_add(1);
        let delay = self.pace.after_failure();
        self.state = State::Waiting { at: turn.now.monotonic.plus_millis(delay) };
        let source = self.source.as_ref().map(ToString::to_string).unwrap_or_default();
        let failure = format!("{source}: {}", sentence(&why));
        // A source that is away for days is told once, not at each question.
        if self.failure.as_ref() != Some(&failure) {
            let message = format!("The policy source failed; what is in force stays. It is asked again. {failure}");
            turn.log(Level::Warning, "PolicySource", message);
            self.failure = Some(failure);
        }
    }

    pub(super) fn refuse(&mut self, content: u64, why: String, turn: &mut Turn<'_>) {
        self.refused = self.refused.saturating_add(1);
        let refusal = (content, why);
        // A source that has nothing better is told once, not at each question.
        if self.refusal.as_ref() != Some(&refusal) {
            let stays = match &self.in_force {
                Some(former) => format!("Bundle '{}' {} stays in force.", former.name, former.sequence),
                None => String::from("No bundle is in force."),
            };
            let now = turn.now.monotonic;
            if self.told.is_none_or(|told| now.millis_since(told) >= TOLD_MILLIS) {
                turn.log(Level::Error, "PolicyBundleRefused", format!("{} {stays}", refusal.1));
                self.told = Some(now);
            }
            self.refusal = Some(refusal);
        }
    }
}
