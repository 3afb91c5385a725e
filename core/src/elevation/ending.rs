//! How a request ends where nothing was launched: its caller leaves, the agent stops, something speaks against it, its time is over.

use alloc::format;
use alloc::string::String;

use super::{CallerId, Elevation, State, Status};
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

    /// Its user ends it from another connection, by process `pid`, as if its caller had left; both are answered once that is on disk.
    ///
    /// # Errors
    /// It is past that.
    pub(crate) fn withdraw(&mut self, by: CallerId, pid: u32, turn: &mut Turn<'_>) -> Result<(), Explanation> {
        if matches!(self.state, State::Ended { .. }) {
            return Err(self.record.over());
        }
        if !self.is_unlaunched() {
            let fix = if self.record.substitute.is_some() {
                String::from("It runs by itself, in place of what was asked for: ask an administrator.")
            } else {
                let caller = self.record.caller_process_id;
                format!("Ctrl-C in its terminal ends it; so does kill {caller}, which is its castellan elevate.")
            };
            let what = format!("Request {} stays as it is.", self.id);
            return Err(Explanation::new(what, "Its program runs already.", fix));
        }
        let why = format!("Its user withdrew it from another connection (process {pid}).");
        let what = format!("Request {} was withdrawn.", self.id);
        self.withdrawer = Some(by);
        self.end(Status::Withdrawn, Explanation::new(what, why, "Ask again."), turn);
        Ok(())
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
        if !matches!(self.state, State::Launching { .. }) {
            let who = if status == Status::Withdrawn { self.user() } else { AGENT.into() };
            self.audit(who, Act::end(status, &explanation), turn);
        }
        self.close(status, explanation, turn);
    }

    /// The same, where the audit has an entry that says so: a decision, a control that was not met, an administrator's word. That of a
    /// launch is followed by what became of it in any case.
    pub(super) fn close(&mut self, status: Status, explanation: Explanation, turn: &mut Turn<'_>) {
        if matches!(self.state, State::Launching { .. }) {
            self.audit(self.user(), Act::Exit { status: format!("not started: {}", explanation.why) }, turn);
        }
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
