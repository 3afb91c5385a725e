//! Messages of QoS 1 and 2 that were taken lately, so that a copy of one of them starts nothing again.
//!
//! A client that never got its acknowledgement sends the same packet once more, marked DUP, mostly over a new connection. Whether
//! the acknowledgement or the message was lost shows only here: a copy of what was taken is dropped, any other one is taken.

#[cfg(test)]
mod tests;

use alloc::collections::VecDeque;

use crate::acl::Subject;
use crate::broker::message::Packet;
use crate::digest::digest;
use crate::id::SpawnId;
use crate::limits::{TAKEN_MESSAGES, TAKEN_SENDERS};

/// What was taken of each process, the one that was heard last in front.
#[derive(Debug, Default)]
pub(super) struct Taken {
    senders: VecDeque<(SpawnId, VecDeque<Mark>)>,
}

/// One message; its client and its content as digests. Whoever finds two messages with one digest only loses a message of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    client: u64,
    identifier: u16,
    content: u64,
}

impl Taken {
    /// Whether a message is to be taken, and from then on remembered; `lives` tells which processes may still send.
    pub(super) fn is_new(
        &mut self,
        subject: &Subject,
        topic: &str,
        payload: &[u8],
        packet: Packet,
        lives: &dyn Fn(SpawnId) -> bool,
    ) -> bool {
        let client = digest(&[subject.client_id.as_bytes()]);
        let mark = Mark { client, identifier: packet.identifier, content: digest(&[topic.as_bytes(), payload]) };
        let mut marks = self.of(subject.spawn);
        let is_new = !packet.duplicate || !marks.contains(&mark);
        if is_new {
            // An identifier that is used again, or a copy with other content: what it stood for is acknowledged for good.
            marks.retain(|other| (other.client, other.identifier) != (client, packet.identifier));
            marks.truncate(TAKEN_MESSAGES.saturating_sub(1));
            marks.push_front(mark);
        }
        if self.senders.len() >= TAKEN_SENDERS {
            self.senders.retain(|(sender, _)| lives(*sender));
            self.senders.truncate(TAKEN_SENDERS.saturating_sub(1));
        }
        self.senders.push_front((subject.spawn, marks));
        is_new
    }

    /// Takes out what was taken of this process.
    fn of(&mut self, spawn: SpawnId) -> VecDeque<Mark> {
        let known = self.senders.iter().position(|(sender, _)| *sender == spawn);
        known.and_then(|place| self.senders.remove(place)).map(|(_, marks)| marks).unwrap_or_default()
    }
}
