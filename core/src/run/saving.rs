//! The record on its way: saved whenever a task begins or ends, so that a lost run shows where it was. Nobody waits for it.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use super::Run;
use super::phase::Phase;
use crate::effect::StoreOrder;
use crate::id::TicketId;
use crate::log_message::Level;
use crate::turn::Turn;

/// At most one such record is under way, so that a slow disk is never behind by more than one.
#[derive(Debug, Default)]
pub(super) struct Saving {
    pub(super) asked: Option<TicketId>,
    stale: bool,
}

impl Saving {
    pub(super) fn is_answer(&self, ticket: TicketId) -> bool {
        self.asked == Some(ticket)
    }
}

impl Run {
    /// Saves the record as it stands, now or when the one under way has arrived.
    pub(super) fn save(&mut self, turn: &mut Turn<'_>) {
        if self.saving.asked.is_some() {
            self.saving.stale = true;
            return;
        }
        let ticket = turn.counters.ticket();
        turn.store(StoreOrder::PersistRun { ticket, record: Arc::clone(&self.record), durable: false });
        self.saving = Saving { asked: Some(ticket), stale: false };
    }

    /// The record under way arrived, or failed to; the run goes on either way.
    pub(super) fn on_saved(&mut self, result: &Result<(), String>, turn: &mut Turn<'_>) {
        self.saving.asked = None;
        if let Err(error) = result {
            let message = format!("How far run {} came could not be recorded: {error}.", self.id);
            self.log(Level::Error, "HistoryNotWritten", message, turn);
        }
        if self.saving.stale && !matches!(self.phase, Phase::Clearing | Phase::Closing(_) | Phase::Done) {
            self.save(turn);
        }
    }
}
