//! What a requester is asked, one thing at a time: a reason, a code of the authenticator. What came with the request is taken instead.

use alloc::format;
use alloc::string::{String, ToString};

use super::answering::Call;
use super::control::{Fact, Justification, SecondFactor};
use super::{Elevation, State, TRIES};
use crate::effect::{Effect, ElevationOrder, StoreOrder};
use crate::event::Reply;
use crate::id::TicketId;
use crate::mfa::{MfaOrder, Secret, Verdict};
use crate::policy::Control;
use crate::turn::Turn;

/// Seconds that somebody has to type an answer.
const PROMPT_SECONDS: u64 = 5 * 60;
/// What helps who gave no reason that counts.
const REASON_FIX: &str = "Ask again, and answer what is asked; --reason gives it in advance.";
/// What helps who gave no code that counts.
const CODE_FIX: &str = "Ask again, with the code that the authenticator shows then; --code gives it in advance.";

impl Elevation {
    /// Asks for what some task waits for, where nothing is being asked or judged.
    pub(super) fn ask_requester(&mut self, turn: &mut Turn<'_>) {
        if self.code.is_some() || !matches!(self.state, State::Awaiting { prompt: None, .. }) {
            return;
        }
        let mut wanted = self.calls.iter().filter_map(|(call, _)| match call {
            Call::Control(control) => Some(*control).filter(|control| self.controls.awaits(*control)),
            Call::Vote | Call::Launch => None,
        });
        match wanted.find(|control| *control != Control::Approval) {
            Some(Control::Mfa) => match self.asked.code.take() {
                Some(code) => self.check(code, turn),
                None => self.prompt(Control::Mfa, turn),
            },
            Some(Control::Justify) => match self.asked.reason.take() {
                Some(reason) => self.on_reason(&reason, turn),
                None => self.prompt(Control::Justify, turn),
            },
            Some(Control::Approval) | None => {}
        }
    }

    fn prompt(&mut self, control: Control, turn: &mut Turn<'_>) {
        let State::Awaiting { prompt, .. } = &mut self.state else { return };
        let (Some(caller), None) = (self.caller, *prompt) else { return };
        (self.prompts, self.tries) = (self.prompts.saturating_add(1), self.tries.saturating_add(1));
        *prompt = Some((self.prompts, control));
        let (command, is_code) = (self.record.command_line(), control == Control::Mfa);
        let text = if is_code {
            format!("Code of your authenticator for running '{command}': ")
        } else {
            format!("Reason for running '{command}': ")
        };
        let (prompt, seconds) = (self.prompts, PROMPT_SECONDS);
        let order = ElevationOrder::Prompt { caller, prompt, text, secret: is_code, seconds };
        turn.effects.push(Effect::Elevation(order));
    }

    /// What the requester typed.
    pub(crate) fn on_replied(&mut self, number: u32, reply: &Reply, turn: &mut Turn<'_>) {
        let State::Awaiting { prompt, .. } = &mut self.state else { return };
        let Some((_, control)) = prompt.take_if(|(asked, _)| *asked == number) else { return };
        match (reply, control) {
            (Reply::Text(code), Control::Mfa) => self.check(code.clone(), turn),
            (Reply::Text(text), Control::Justify | Control::Approval) => self.on_reason(text.expose(), turn),
            (Reply::Refused, Control::Mfa) => self.refuse(Control::Mfa, "No code was given.", CODE_FIX, turn),
            (Reply::Refused, Control::Justify | Control::Approval) => {
                self.refuse(Control::Justify, "No reason was given.", REASON_FIX, turn);
            }
        }
    }

    fn on_reason(&mut self, text: &str, turn: &mut Turn<'_>) {
        match Justification::parse(text) {
            Ok(reason) => {
                self.record.justification = Some(reason.as_str().to_string());
                self.met(&Fact::Justified(&reason), Control::Justify, reason.as_str(), turn);
            }
            Err(why) if self.tries < TRIES => {
                self.tell(why, turn);
                self.prompt(Control::Justify, turn);
            }
            Err(why) => self.refuse(Control::Justify, &why, REASON_FIX, turn),
        }
    }

    fn check(&mut self, code: Secret, turn: &mut Turn<'_>) {
        let ticket = turn.counters.ticket();
        self.code = Some(ticket);
        let order = MfaOrder::Check { user: self.record.user_name.clone(), code };
        turn.store(StoreOrder::Mfa { ticket, order, at: turn.now.wall });
    }

    /// What a code is worth; what follows from that is on disk.
    pub(crate) fn on_code(&mut self, ticket: TicketId, result: Result<Verdict, String>, turn: &mut Turn<'_>) {
        if self.code.take_if(|own| *own == ticket).is_none() || !matches!(self.state, State::Awaiting { .. }) {
            return;
        }
        let user = self.record.user_name.clone();
        let (why, fix) = match result {
            Ok(verdict @ Verdict::Verified) => {
                if let Some(factor) = SecondFactor::of(verdict) {
                    self.is_identified = true;
                    self.met(&Fact::Identified(&factor), Control::Mfa, "A code of the authenticator was right.", turn);
                }
                return;
            }
            Ok(Verdict::Wrong { left }) => {
                let why =
                    format!("That code is wrong, too old, or was used before; {left} wrong ones more lock {user}.");
                if self.tries < TRIES {
                    self.tell(why, turn);
                    return self.prompt(Control::Mfa, turn);
                }
                (why, CODE_FIX.to_string())
            }
            Ok(Verdict::Locked { until }) => {
                let until = until.to_rfc3339();
                (format!("After too many wrong codes none of {user} is looked at until {until}."), CODE_FIX.to_string())
            }
            Ok(Verdict::NotEnrolled) => {
                let fix = format!("Have an administrator enroll you: castellan mfa enroll {user}");
                (format!("{user} has no authenticator."), fix)
            }
            Err(reason) => {
                let fix = "Look at the disk that holds the agent root, then ask again with a new code.";
                (format!("The code could not be judged: {reason}"), fix.to_string())
            }
        };
        self.refuse(Control::Mfa, &why, &fix, turn);
    }
}
