//! One session (MQTT 5.0 4.1): its grant, its subscriptions, its will, what waits for its client and what is in flight. It has a
//! connection, or it waits for its client to come back.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::denials::DenialGate;
use super::inflight::{Inflight, Window};
use super::journal::Ledger;
use super::link::Link;
use super::log_rate::LogRate;
use super::message::{Delivery, QoS};
use super::packet::{Connect, Outgoing, ReasonCode, Step, Version, Will};
use super::retained::Retained;
use super::subscriptions::Options;
use crate::acl::Grant;
use crate::acl::topic::{TopicFilter, TopicName};
use crate::id::Component;
use crate::time::Monotonic;

/// The broker's own number of a session, never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SessionId(pub(super) u64);

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    id: SessionId,
    pub(super) client_id: String,
    pub(super) grant: Arc<Grant>,
    pub(super) version: Version,
    will: Option<Will>,
    pub(super) filters: BTreeMap<TopicFilter, Options>,
    /// How long it outlives its connection, seconds.
    pub(super) expiry_seconds: u32,
    pub(super) link: Option<Link>,
    /// When its last connection ended.
    pub(super) left_at: Option<Monotonic>,
    pub(super) denials: DenialGate,
    pub(super) log_rate: LogRate,
    /// Publishes of this connection that were told to the agent, and those that were only counted.
    pub(super) traced: u32,
    pub(super) untraced: u64,
    /// Packet identifiers of QoS 2 messages that came in and are not released yet (MQTT 5.0 4.3.3).
    pub(super) received: BTreeSet<u16>,
    pub(super) inflight: Window,
    /// Retained messages still to be sent for new subscriptions, in the order these were made.
    pub(super) replays: VecDeque<Replay>,
    queue: VecDeque<Delivery>,
    /// How many messages of QoS 0 the queue has, so that none is looked for in vain.
    lossy: usize,
    /// What the queue, the messages in flight and the will cost.
    bytes: usize,
    /// Messages dropped since the queue was last empty.
    dropped: u64,
    /// The places of messages that survive the agent and are not kept any more, since the last [`Session::counted`].
    gone: Vec<u64>,
}

/// The retained messages of one new subscription that are still to be sent.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) filter: TopicFilter,
    pub(super) options: Options,
    /// The topic of the last one sent.
    pub(super) after: Option<TopicName>,
}

/// What became of a message that was queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Queued {
    /// It waits or is on its way.
    Kept,
    /// The queue was full and something was dropped; whether it is the first since the queue was empty.
    Dropped {
        /// The first.
        first: bool,
        /// Whether it was a message of QoS 1 or 2, so that a connected client has to go.
        guaranteed: bool,
    },
}

/// What can be sent now.
#[derive(Debug)]
pub(super) enum Next {
    Packet(Outgoing),
    /// Passed over: larger than the client takes (MQTT 5.0 3.1.2.11.4).
    TooLarge(Delivery),
    Nothing,
}

impl Session {
    pub(super) fn new(id: SessionId, grant: Arc<Grant>, connect: &Connect, log_rate: LogRate) -> Self {
        Self {
            id,
            client_id: connect.client_id.clone(),
            grant,
            version: connect.version,
            will: None,
            filters: BTreeMap::new(),
            expiry_seconds: 0,
            link: None,
            left_at: None,
            denials: DenialGate::default(),
            log_rate,
            traced: 0,
            untraced: 0,
            received: BTreeSet::new(),
            inflight: Window::default(),
            replays: VecDeque::new(),
            queue: VecDeque::new(),
            lossy: 0,
            bytes: 0,
            dropped: 0,
            gone: Vec::new(),
        }
    }

    /// What its queue, the messages in flight and its will cost, bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it survives the agent. A job's processes do not, and nobody else may take up their sessions.
    pub(super) fn is_durable(&self) -> bool {
        match self.grant.subject.component {
            Component::Plugin(_) => self.expiry_seconds > 0,
            Component::Job(_) | Component::Administrator(_) | Component::Program(_) => false,
        }
    }

    /// Changes the session, and the broker's ledger by what that changed of its cost and of what must be saved.
    pub(super) fn counted<R>(&mut self, ledger: &mut Ledger, change: impl FnOnce(&mut Self) -> R) -> R {
        let before = self.bytes;
        let result = change(self);
        ledger.bytes = ledger.bytes.saturating_sub(before).saturating_add(self.bytes);
        for place in self.gone.drain(..) {
            ledger.journal.note_gone(self.id, place);
        }
        result
    }

    /// A message that is not kept any more.
    fn forget(&mut self, delivery: &Delivery) {
        self.bytes = self.bytes.saturating_sub(delivery.cost());
        self.gone.extend(delivery.place);
    }

    /// What it keeps, in the order it was queued.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Delivery> {
        self.inflight.published().chain(&self.queue)
    }

    /// The will that is published when the client goes without a word.
    pub(super) const fn will(&self) -> Option<&Will> {
        self.will.as_ref()
    }

    /// Puts another will in the place of the former one.
    pub(super) fn replace_will(&mut self, will: Option<Will>) -> Option<Will> {
        let cost = |will: &Option<Will>| will.as_ref().map_or(0, |will| will.publication.cost());
        self.bytes = self.bytes.saturating_sub(cost(&self.will)).saturating_add(cost(&will));
        core::mem::replace(&mut self.will, will)
    }

    /// Puts a message into the queue. Where there is no room the oldest message of QoS 0 goes, or else the new one. What can be
    /// sent at once does not wait, and needs no room.
    pub(super) fn enqueue(&mut self, delivery: Delivery, limit: usize, has_budget: bool) -> Queued {
        if (self.queue.len() < limit && has_budget) || self.passes(&delivery) {
            self.push(delivery);
            return Queued::Kept;
        }
        let guaranteed = delivery.qos > QoS::AtMostOnce;
        let oldest = || self.queue.iter().position(|waiting| waiting.qos == QoS::AtMostOnce);
        let oldest = if self.lossy > 0 { oldest() } else { None };
        self.dropped = self.dropped.saturating_add(1);
        let first = self.dropped == 1;
        if let Some(oldest) = oldest {
            self.bytes = self.bytes.saturating_sub(self.queue.remove(oldest).map_or(0, |gone| gone.cost()));
            self.lossy = self.lossy.saturating_sub(1);
            self.push(delivery);
            return Queued::Dropped { first, guaranteed: false };
        }
        Queued::Dropped { first, guaranteed }
    }

    fn passes(&self, delivery: &Delivery) -> bool {
        let nothing_waits = self.queue.is_empty() && self.replays.is_empty();
        let in_flight = |link: &Link| delivery.qos == QoS::AtMostOnce || link.takes(&self.inflight);
        nothing_waits && self.link.as_ref().is_some_and(|link| !link.blocked && in_flight(link))
    }

    fn push(&mut self, delivery: Delivery) {
        self.bytes = self.bytes.saturating_add(delivery.cost());
        self.lossy = self.lossy.saturating_add(usize::from(delivery.qos == QoS::AtMostOnce));
        self.queue.push_back(delivery);
    }

    /// The next packet that may go out now. Expired messages are passed over (MQTT 5.0 3.3.2.3.3).
    pub(super) fn next(&mut self, now: Monotonic, retained: &Retained) -> Next {
        let version = self.version;
        if self.link.as_ref().is_none_or(|link| link.blocked) {
            return Next::Nothing;
        }
        if let Some(next) = self.next_again(now) {
            return next;
        }
        loop {
            if self.queue.is_empty() && !self.replay(now, retained) {
                return Next::Nothing;
            }
            let Some(link) = self.link.as_mut() else {
                return Next::Nothing;
            };
            let full = !link.takes(&self.inflight);
            let waits = |front: &mut Delivery| front.qos > QoS::AtMostOnce && full && !front.message.is_expired(now);
            if self.queue.front_mut().is_none_or(waits) {
                return Next::Nothing;
            }
            let Some(mut delivery) = self.queue.pop_front() else {
                return Next::Nothing;
            };
            self.lossy = self.lossy.saturating_sub(usize::from(delivery.qos == QoS::AtMostOnce));
            if delivery.message.is_expired(now) {
                self.forget(&delivery);
                continue;
            }
            delivery.expiry_seconds = delivery.message.expiry_left(now);
            if !link.fits(&delivery, version) {
                self.forget(&delivery);
                return Next::TooLarge(delivery);
            }
            if delivery.qos == QoS::AtMostOnce {
                self.forget(&delivery);
            } else {
                link.outstanding = link.outstanding.saturating_add(1);
                delivery = self.inflight.push(delivery);
            }
            return Next::Packet(Outgoing::Publish(delivery));
        }
    }

    /// What was in flight when the last connection ended, in its order, marked (MQTT 5.0 4.4).
    fn next_again(&mut self, now: Monotonic) -> Option<Next> {
        let link = self.link.as_mut()?;
        let (from, end) = link.resend;
        if from >= end {
            return None;
        }
        let Some((place, packet, found)) = self.inflight.from(from).filter(|(place, ..)| *place < end) else {
            link.resend.0 = end;
            return None;
        };
        if link.outstanding >= link.receive_maximum {
            return None;
        }
        link.resend.0 = place.saturating_add(1);
        let packet = match found {
            Inflight::Published(delivery) => {
                let expiry_seconds = delivery.message.expiry_left(now);
                let again = Delivery { dup: true, expiry_seconds, ..delivery.clone() };
                // The client takes less on this connection than on the one before.
                if !link.fits(&again, self.version) {
                    self.inflight.remove(packet);
                    self.forget(&again);
                    return Some(Next::TooLarge(again));
                }
                Outgoing::Publish(again)
            }
            Inflight::Released => {
                Outgoing::Acknowledgement { step: Step::Rel, packet, reason: ReasonCode::Success, note: None }
            }
        };
        link.outstanding = link.outstanding.saturating_add(1);
        Some(Next::Packet(packet))
    }

    /// Moves one retained message into the empty queue; `false` where there is none.
    fn replay(&mut self, now: Monotonic, retained: &Retained) -> bool {
        while let Some(replay) = self.replays.front_mut() {
            if let Some(message) = retained.next(now, &replay.filter, replay.after.as_ref()) {
                replay.after = Some(message.topic.clone());
                let identifiers = replay.options.identifier.into_iter().collect();
                let delivery = Delivery::new(message, replay.options.qos, true, identifiers);
                if self.grant.may_receive(&delivery.message.topic) {
                    self.push(delivery);
                    return true;
                }
            } else {
                self.replays.pop_front();
            }
        }
        false
    }

    /// Which acknowledgement the message with this packet identifier waits for; `None` where there is no such message.
    pub(super) fn waits_for(&mut self, packet: u16) -> Option<Step> {
        Some(match self.inflight.get_mut(packet)? {
            Inflight::Published(Delivery { qos: QoS::ExactlyOnce, .. }) => Step::Rec,
            Inflight::Published(_) => Step::Ack,
            Inflight::Released => Step::Comp,
        })
    }

    /// Finishes a message in flight.
    pub(super) fn finish(&mut self, packet: u16) {
        let place = self.inflight.place(packet);
        if let Some(Inflight::Published(delivery)) = self.inflight.remove(packet) {
            self.forget(&delivery);
        }
        // What waits for being sent again takes no place yet.
        if let Some(link) = &mut self.link
            && place.is_some_and(|place| link.has_sent(place))
        {
            link.outstanding = link.outstanding.saturating_sub(1);
        }
    }

    /// The client has a QoS 2 message (MQTT 5.0 4.3.3).
    pub(super) fn release(&mut self, packet: u16) {
        if let Some(found) = self.inflight.get_mut(packet)
            && let Inflight::Published(delivery) = core::mem::replace(found, Inflight::Released)
        {
            self.forget(&delivery);
        }
    }

    /// How many messages were dropped, once the queue is empty again; 0 where none were or it is not.
    pub(super) fn take_dropped(&mut self) -> u64 {
        if self.queue.is_empty() { core::mem::take(&mut self.dropped) } else { 0 }
    }

    /// How many messages were dropped and not yet summed up, at the end of the session.
    pub(super) const fn dropped_at_end(&self) -> u64 {
        self.dropped
    }

    /// Another process takes the session up, whose packet identifiers are its own: a message that the former one had not
    /// acknowledged goes out as a new one, and what that one sent and had not released is forgotten.
    pub(super) fn renew(&mut self) {
        self.received.clear();
        let sent = self.inflight.take_all().filter_map(|one| match one {
            Inflight::Published(delivery) => Some(Delivery { packet: None, ..delivery }),
            Inflight::Released => None,
        });
        self.queue = sent.chain(core::mem::take(&mut self.queue)).collect();
    }

    /// Whether one more message finds room in its queue.
    pub(super) fn has_room(&self, limit: usize) -> bool {
        self.queue.len() < limit.max(1)
    }

    /// Drops what the client may no longer receive and was not sent on this connection.
    pub(super) fn purge(&mut self) {
        let grant = Arc::clone(&self.grant);
        for delivery in core::mem::take(&mut self.queue) {
            if grant.may_receive(&delivery.message.topic) {
                self.queue.push_back(delivery);
            } else {
                self.forget(&delivery);
            }
        }
        self.lossy = self.queue.iter().filter(|delivery| delivery.qos == QoS::AtMostOnce).count();
        if self.link.is_none() {
            let denied = |one: &Inflight| matches!(one, Inflight::Published(delivery) if !grant.may_receive(&delivery.message.topic));
            for packet in self.inflight.find(denied) {
                self.finish(packet);
            }
        }
    }

    /// The messages of shared subscriptions that another member must get, because this session has ended (MQTT 5.0 4.8.2).
    pub(super) fn take_shared(&mut self) -> Vec<Delivery> {
        let sent = self.inflight.take_all().filter_map(|one| match one {
            Inflight::Published(delivery) if delivery.qos == QoS::AtLeastOnce => Some(delivery),
            Inflight::Published(_) | Inflight::Released => None,
        });
        let waiting = core::mem::take(&mut self.queue).into_iter();
        sent.chain(waiting).filter(|delivery| delivery.share.is_some() && delivery.qos > QoS::AtMostOnce).collect()
    }
}
