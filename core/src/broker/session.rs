//! One connected client: its grant, its open subscriptions, its will, and the bounded queue of what waits for it.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;

use super::DELIVERY_WINDOW;
use super::denials::DenialGate;
use super::event::Version;
use super::message::{Delivery, Publication, QoS};
use crate::acl::Grant;
use crate::acl::topic::TopicFilter;
use crate::time::Monotonic;

/// A connected client.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) grant: Arc<Grant>,
    pub(super) version: Version,
    pub(super) will: Option<Publication>,
    pub(super) filters: BTreeSet<TopicFilter>,
    /// When its connection is closed because its process is no longer trusted.
    pub(super) revoked_at: Option<Monotonic>,
    pub(super) denials: DenialGate,
    queue: VecDeque<Delivery>,
    /// Deliveries that the shell has and has not finished.
    handed: usize,
    /// Messages dropped since the queue was last empty.
    dropped: u64,
}

/// What became of a message that was queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Queued {
    /// It waits or is on its way.
    Kept,
    /// The queue was full and something was dropped for the first time since it was empty.
    FirstDrop,
    /// The same once more.
    MoreDropped,
}

impl Session {
    pub(super) fn new(grant: Arc<Grant>, version: Version, will: Option<Publication>) -> Self {
        Self {
            grant,
            version,
            will,
            filters: BTreeSet::new(),
            revoked_at: None,
            denials: DenialGate::default(),
            queue: VecDeque::new(),
            handed: 0,
            dropped: 0,
        }
    }

    /// Puts a message into the queue. Where it is full the oldest message of QoS 0 goes, or else the new one.
    pub(super) fn enqueue(&mut self, delivery: Delivery, limit: usize) -> Queued {
        if self.queue.len() < limit || self.handed < DELIVERY_WINDOW {
            self.queue.push_back(delivery);
            return Queued::Kept;
        }
        if delivery.qos > QoS::AtMostOnce
            && let Some(oldest) = self.queue.iter().position(|waiting| waiting.qos == QoS::AtMostOnce)
        {
            self.queue.remove(oldest);
            self.queue.push_back(delivery);
        }
        self.dropped = self.dropped.saturating_add(1);
        if self.dropped == 1 { Queued::FirstDrop } else { Queued::MoreDropped }
    }

    /// The next message for the shell, if it has room for one. Expired ones are passed over (MQTT 5.0 3.3.2.3.3).
    pub(super) fn next_delivery(&mut self, now: Monotonic) -> Option<Delivery> {
        if self.handed >= DELIVERY_WINDOW {
            return None;
        }
        while let Some(mut delivery) = self.queue.pop_front() {
            if delivery.message.is_expired(now) {
                continue;
            }
            self.handed = self.handed.saturating_add(1);
            delivery.expiry_seconds = delivery.message.expiry_left(now);
            return Some(delivery);
        }
        None
    }

    /// The shell finished one delivery; `false` where it had none.
    pub(super) fn delivered(&mut self) -> bool {
        let had = self.handed > 0;
        self.handed = self.handed.saturating_sub(1);
        had
    }

    /// How many messages were dropped, once the queue is empty again; 0 where none were or it is not.
    pub(super) fn take_dropped(&mut self) -> u64 {
        if self.queue.is_empty() { core::mem::take(&mut self.dropped) } else { 0 }
    }

    /// How many messages were dropped and not yet summed up, at the end of the session.
    pub(super) fn dropped_at_end(&self) -> u64 {
        self.dropped
    }

    /// Drops what the client may no longer receive.
    pub(super) fn purge(&mut self) {
        let grant = &self.grant;
        self.queue.retain(|delivery| grant.may_receive(&delivery.message.topic));
    }
}
