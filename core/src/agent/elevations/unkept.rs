//! Records of requests that ended while the disk took nothing: they are written again, so that the next life of the agent, which goes by
//! what is on disk, tells no other end of them.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;

use super::Elevations;
use crate::agent::Agent;
use crate::effect::{Effects, StoreOrder};
use crate::elevation::ElevationRecord;
use crate::id::{ElevationId, TicketId};
use crate::limits::ENDED_ELEVATIONS;
use crate::time::{Deadline, Monotonic, Now};
use crate::turn::Turn;

/// From a write that failed to the next: soon enough after somebody made room, and little work while nobody does.
const AGAIN_SECONDS: u64 = 30;

/// Which of those that ended lately are not on disk as they ended.
#[derive(Debug, Default)]
pub(super) struct Unkept {
    requests: BTreeSet<ElevationId>,
    /// The write that is under way; one at a time, as the disk is probably full still.
    write: Option<(TicketId, ElevationId)>,
    again: Monotonic,
}

impl Unkept {
    pub(super) fn next_deadline(&self) -> Option<Deadline> {
        let is_waiting = self.write.is_none() && !self.requests.is_empty();
        is_waiting.then_some(Deadline { at: self.again, reason: "records of requests that the disk did not take" })
    }

    /// The record of this one was refused.
    pub(super) fn add(&mut self, id: ElevationId, now: Now) {
        self.requests.insert(id);
        if self.requests.len() > ENDED_ELEVATIONS {
            // The oldest; no more records are known.
            self.requests.pop_first();
        }
        self.again = now.monotonic.plus_seconds(AGAIN_SECONDS);
    }

    /// Something else was written, so there is room.
    pub(super) const fn hasten(&mut self, now: Now) {
        self.again = now.monotonic;
    }

    /// Whether it was the write that is under way that came to this end.
    pub(super) fn on_kept(&mut self, now: Now, ticket: TicketId, is_kept: bool) -> bool {
        let Some((_, id)) = self.write.take_if(|(own, _)| *own == ticket) else { return false };
        if is_kept {
            self.requests.remove(&id);
            self.hasten(now);
        } else {
            self.again = now.monotonic.plus_seconds(AGAIN_SECONDS);
        }
        true
    }
}

impl Elevations {
    /// Those that are not on disk, of which nobody waits for the write.
    fn unkept(&self) -> impl Iterator<Item = (&ElevationId, &ElevationRecord)> {
        let record = |id: &ElevationId| self.ended.iter().find(|record| record.request_id == id.as_str());
        self.unkept.requests.iter().filter_map(move |id| Some((id, record(id)?)))
    }
}

impl Agent {
    /// Writes the next one, where it is time.
    pub(super) fn keep_again(&mut self, now: Now, effects: &mut Effects) {
        if self.elevations.unkept.next_deadline().is_none_or(|deadline| deadline.at > now.monotonic) {
            return;
        }
        let next = self.elevations.unkept().next().map(|(id, record)| (id.clone(), record.clone()));
        let Some((id, record)) = next else {
            // Too many ended since: nothing is known of them any more.
            self.elevations.unkept.requests.clear();
            return;
        };
        let ticket = write(record, &mut self.desk.turn(now, effects));
        self.elevations.unkept.write = Some((ticket, id));
    }

    /// The agent stops: all of them, whatever becomes of that.
    pub(super) fn keep_at_last(&mut self, now: Now, effects: &mut Effects) {
        let mut turn = self.desk.turn(now, effects);
        for (_, record) in self.elevations.unkept() {
            write(record.clone(), &mut turn);
        }
        self.elevations.unkept = Unkept::default();
    }
}

fn write(record: ElevationRecord, turn: &mut Turn<'_>) -> TicketId {
    let ticket = turn.counters.ticket();
    turn.store(StoreOrder::KeepElevation { ticket, record: Box::new(record), durable: true });
    ticket
}
