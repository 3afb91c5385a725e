//! How a request ends where nothing was launched: its caller leaves, the agent stops, something speaks against it, its time is over.

use alloc::format;

use super::{Elevation, State, Status};
use crate::audit::{AGENT, Act};
use crate::log_message::Level;
use crate::policy::Control;
use crate::turn::Turn;
use crate::why::Explanation;

impl Elevation {
    /// The caller's connection is over.
    pub(crate) fn on_left(&mut self, turn: &mut Turn<'_>) {
        if self.caller.take().is_none() {
            return;
        }
        if self.is_unlaunched() {
            return self.end(Status::Withdrawn, self.withdrawn(), turn);
        }
        self.end_running(turn);
    }

    /// The agent stops, or the grant that it rests on was revoked: what has not started does not start, what runs is asked to end.
    pub(crate) fn stop(&mut self, why: &str, turn: &mut Turn<'_>) {
        if self.is_unlaunched() {
            return self.end(Status::Denied, self.denied(why, "Ask again later."), turn);
        }
        let explanation = self.denied(why, "Ask again later.");
        if let State::Launching { fault, .. } = &mut self.state {
            fault.get_or_insert((Status::Denied, explanation));
        }
        self.end_running(turn);
    }

    /// It is over, and nothing was launched. That is in the audit.
    pub(super) fn end(&mut self, status: Status, explanation: Explanation, turn: &mut Turn<'_>) {
        let is_launched = matches!(self.state, State::Launching { .. });
        let what = if is_launched {
            Act::Exit { status: format!("not started: {}", explanation.why) }
        } else {
            Act::end(status, &explanation)
        };
        let is_own = is_launched || status == Status::Withdrawn;
        self.audit(if is_own { self.user() } else { AGENT.into() }, what, turn);
        self.close(status, explanation, turn);
    }

    /// The same, where the audit has an entry that says so: a decision, a control that was not met, an administrator's word.
    pub(super) fn close(&mut self, status: Status, explanation: Explanation, turn: &mut Turn<'_>) {
        self.state = State::Ended { tree: None };
        (self.wanted, self.audit) = (None, None);
        if status == Status::Denied {
            // Whoever denies it denies what it would have been good for, too.
            self.take_back(&explanation.why, turn);
        }
        turn.log(Level::Information, "Elevation", format!("{explanation}"));
        if self.record.controls.contains(&Control::Approval) {
            self.record.status = status;
            self.publish_change(turn);
        }
        self.record.explanation = Some(explanation);
        self.keep(status, true, turn);
    }
}
