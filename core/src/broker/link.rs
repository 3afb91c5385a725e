//! The connection of a session: what its client takes, what was sent on it, whether the peer has to read first.

use alloc::collections::{BTreeMap, VecDeque};

use super::inflight::Window;
use super::message::Delivery;
use super::packet::{Connect, Outgoing, Version};
use super::{IN_FLIGHT, WRITE_WINDOW_BYTES};
use crate::acl::topic::TopicName;
use crate::id::ConnectionId;
use crate::time::Monotonic;

/// The connection of a session.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) connection: ConnectionId,
    /// One and a half keep-alive intervals; `None` is no limit.
    pub(super) patience_millis: Option<u64>,
    pub(super) heard: Monotonic,
    pub(super) aliases: BTreeMap<u16, TopicName>,
    pub(super) receive_maximum: usize,
    maximum_packet_bytes: Option<usize>,
    /// Messages of QoS 1 and 2 sent on this connection and not finished.
    pub(super) outstanding: usize,
    /// From which place on messages in flight must be sent again, and where these end.
    pub(super) resend: (u64, u64),
    /// Bytes sent since the last `Flushed`.
    unflushed: usize,
    /// `AwaitFlush` was asked.
    pub(super) blocked: bool,
    /// Acknowledgements that wait until their batch is saved, in their order.
    pub(super) unsaved: VecDeque<(u64, Outgoing)>,
}

impl Link {
    pub(super) fn new(now: Monotonic, connection: ConnectionId, connect: &Connect, inflight: &Window) -> Self {
        let keep_alive = u64::from(connect.keep_alive_seconds);
        Self {
            connection,
            patience_millis: (keep_alive > 0).then(|| keep_alive.saturating_mul(1500)),
            heard: now,
            aliases: BTreeMap::new(),
            receive_maximum: usize::from(connect.receive_maximum.max(1)).min(IN_FLIGHT),
            maximum_packet_bytes: connect.maximum_packet_bytes.and_then(|bytes| usize::try_from(bytes).ok()),
            outstanding: 0,
            resend: (0, inflight.end()),
            unflushed: 0,
            blocked: false,
            unsaved: VecDeque::new(),
        }
    }

    /// Whether the client takes a packet of this size (MQTT 5.0 3.1.2.11.4).
    pub(super) fn fits(&self, delivery: &Delivery, version: Version) -> bool {
        self.maximum_packet_bytes.is_none_or(|limit| delivery.packet_bytes(version) <= limit)
    }

    /// Counts what was sent; whether the peer has to read before more is.
    pub(super) fn sent(&mut self, bytes: usize) -> bool {
        self.unflushed = self.unflushed.saturating_add(bytes);
        let fills = !self.blocked && self.unflushed >= WRITE_WINDOW_BYTES;
        self.blocked |= fills;
        fills
    }

    /// Whether one more message of QoS 1 or 2 may go out (MQTT 5.0 4.9); what is sent again goes first (4.4).
    pub(super) fn takes(&self, inflight: &Window) -> bool {
        self.resend.0 >= self.resend.1 && self.outstanding < self.receive_maximum && inflight.has_room()
    }

    /// Whether the shell waits for the peer to read. It reads nothing of the peer until then.
    pub(super) const fn is_blocked(&self) -> bool {
        self.blocked
    }

    pub(super) fn flushed(&mut self, now: Monotonic) {
        self.unflushed = 0;
        self.blocked = false;
        self.heard = now;
    }

    /// Whether the message at this place was sent on this connection.
    pub(super) const fn has_sent(&self, place: u64) -> bool {
        place < self.resend.0 || place >= self.resend.1
    }
}
