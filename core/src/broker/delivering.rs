//! From an allowed message to its receivers: fan-out, queues and their bounds, what may be sent now, acknowledgements.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::sync::Arc;

use super::effect::{BrokerEffect, BrokerEffects};
use super::message::{Delivery, Message, QoS};
use super::packet::{Outgoing, ReasonCode, Step, Version};
use super::session::{Next, Queued, Session, SessionId};
use super::{Broker, FIRST_COME_BYTES, QUEUED_BYTES, Stop};
use crate::acl::{Action, Grant, Subject};
use crate::event::BrokerReport;
use crate::time::Monotonic;
use crate::why::Explanation;

/// Bytes of a packet that is not a PUBLISH, about, and of what a small one costs beside its own.
const SMALL_PACKET_BYTES: usize = 64;

impl Broker {
    /// Keeps and fans out an allowed message; whether it could be kept where that was asked.
    pub(super) fn route(
        &mut self,
        now: Monotonic,
        publisher: Option<SessionId>,
        message: &Arc<Message>,
        effects: &mut BrokerEffects,
    ) -> bool {
        let (retained, journal) = (&mut self.retained, &mut self.ledger.journal);
        let kept = !message.retain || retained.keep(now, message, |topic| journal.note_retained(topic)).is_ok();
        let (sessions, limit) = (&self.sessions, self.settings.max_queued_messages);
        let targets = self.subscriptions.matching(&message.topic, publisher, |id| is_ready(sessions, id, limit));
        for (receiver, target) in targets {
            let retain = message.retain && target.retain_as_published;
            let mut delivery = Delivery::new(message, target.qos, retain, target.identifiers);
            delivery.share = target.share;
            self.deliver(now, receiver, delivery, effects);
        }
        kept
    }

    /// Gives a message of a shared subscription to another member, because the chosen one has gone for good.
    pub(super) fn share_again(&mut self, now: Monotonic, mut delivery: Delivery, effects: &mut BrokerEffects) {
        let (sessions, limit) = (&self.sessions, self.settings.max_queued_messages);
        let Some(share) = delivery.share.clone() else {
            return;
        };
        // In a stop the others go too, but for sessions that outlive it.
        let is_stopping = self.stop != Stop::Running;
        let stays = |id| sessions.get(&id).is_some_and(Session::is_durable);
        let is_preferred = |id| if is_stopping { stays(id) } else { is_ready(sessions, id, limit) };
        let next = self.subscriptions.next_member(&share, is_preferred);
        let Some((receiver, options)) = next.filter(|(receiver, _)| !is_stopping || stays(*receiver)) else {
            return;
        };
        delivery.qos = delivery.message.qos.min(options.qos);
        delivery.identifiers = options.identifier.into_iter().collect();
        delivery.packet = None;
        delivery.place = None;
        self.deliver(now, receiver, delivery, effects);
    }

    /// Whether so many more bytes may wait for one client.
    pub(super) fn has_budget(&self, id: SessionId, cost: usize) -> bool {
        let total = self.ledger.bytes.saturating_add(cost);
        let share = QUEUED_BYTES.saturating_sub(FIRST_COME_BYTES).checked_div(self.sessions.len()).unwrap_or(0);
        let is_modest = || self.sessions.get(&id).is_some_and(|session| session.bytes().saturating_add(cost) <= share);
        total <= FIRST_COME_BYTES || (total <= QUEUED_BYTES && is_modest())
    }

    /// Queues one message for one client and sends what may go.
    fn deliver(&mut self, now: Monotonic, receiver: SessionId, mut delivery: Delivery, effects: &mut BrokerEffects) {
        let has_budget = self.has_budget(receiver, delivery.cost());
        let limit = self.settings.max_queued_messages;
        let Some(session) = self.sessions.get_mut(&receiver) else {
            effects.push(BrokerEffect::Anomaly(format!("session {} has a subscription and is gone.", receiver.0)));
            return;
        };
        // What is lost with the agent need not be written.
        let durable = (session.is_durable() && delivery.qos > QoS::AtMostOnce).then(|| {
            let place = self.ledger.journal.next_place();
            delivery.place = Some(place);
            (place, delivery.clone())
        });
        let queued = session.counted(&mut self.ledger, |session| session.enqueue(delivery, limit, has_budget));
        let is_kept = !matches!(queued, Queued::Dropped { guaranteed: true, .. });
        if let Some((place, delivery)) = durable.filter(|_| is_kept) {
            self.ledger.journal.note_waiting(receiver, place, delivery);
        }
        if let Queued::Dropped { first, guaranteed } = queued {
            if guaranteed && session.link.is_some() {
                self.overfull.insert(receiver);
            }
            let subject = session.grant.subject.clone();
            if first {
                effects.push(BrokerEffect::from(self.dropped(subject, 1, true)));
            }
            return;
        }
        self.hand_over(now, receiver, effects);
    }

    /// Sends what may go to one client.
    pub(super) fn hand_over(&mut self, now: Monotonic, id: SessionId, effects: &mut BrokerEffects) {
        loop {
            let Some(session) = self.sessions.get_mut(&id) else {
                return;
            };
            let next = session.counted(&mut self.ledger, |session| session.next(now, &self.retained));
            match next {
                Next::Packet(packet) => self.send(id, packet, effects),
                Next::TooLarge(delivery) => {
                    let subject = session.grant.subject.clone();
                    let topic = delivery.message.topic.as_str();
                    let denial =
                        |_: &Grant| subject.denial(Action::Subscribe, topic, too_large(&subject, &delivery), None);
                    if let Some(denial) = self.admit_denial(now, id, Action::Subscribe, topic, denial) {
                        let explanation = denial.explanation;
                        effects.push(BrokerEffect::from(BrokerReport::Dropped { subject, messages: 1, explanation }));
                    }
                }
                Next::Nothing => break,
            }
        }
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let lost = session.take_dropped();
        if lost > 0 {
            let subject = session.grant.subject.clone();
            effects.push(BrokerEffect::from(self.dropped(subject, lost, false)));
        }
    }

    /// Sends one packet to a connected client, and asks for a sign when much has been sent.
    pub(super) fn send(&mut self, id: SessionId, packet: Outgoing, effects: &mut BrokerEffects) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let Some(link) = session.link.as_mut() else {
            return;
        };
        let bytes = match &packet {
            Outgoing::Publish(delivery) => delivery.packet_bytes(session.version).saturating_add(SMALL_PACKET_BYTES),
            Outgoing::ConnectAck(_)
            | Outgoing::ConnectRefused { .. }
            | Outgoing::Acknowledgement { .. }
            | Outgoing::SubscribeAck { .. }
            | Outgoing::UnsubscribeAck { .. }
            | Outgoing::PingResponse => SMALL_PACKET_BYTES,
        };
        let connection = link.connection;
        effects.push(BrokerEffect::Send { connection, packet });
        if link.sent(bytes) {
            effects.push(BrokerEffect::AwaitFlush { connection });
        }
    }

    pub(super) fn on_flushed(&mut self, now: Monotonic, id: SessionId, effects: &mut BrokerEffects) {
        if let Some(link) = self.sessions.get_mut(&id).and_then(|session| session.link.as_mut()) {
            link.flushed(now);
        }
        self.hand_over(now, id, effects);
    }

    /// PUBACK, PUBREC, PUBREL or PUBCOMP of a client (MQTT 5.0 4.3).
    pub(super) fn on_acknowledgement(
        &mut self,
        now: Monotonic,
        id: SessionId,
        step: Step,
        packet: u16,
        failed: bool,
        effects: &mut BrokerEffects,
    ) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let answer = match (step, session.waits_for(packet)) {
            (Step::Rel, _) => Some((Step::Comp, session.received.remove(&packet))),
            (Step::Ack, Some(Step::Ack)) | (Step::Comp, Some(Step::Comp)) => {
                session.counted(&mut self.ledger, |session| session.finish(packet));
                None
            }
            // A refusal ends a message as an acceptance does.
            (Step::Rec, Some(Step::Rec)) if failed => {
                session.counted(&mut self.ledger, |session| session.finish(packet));
                None
            }
            (Step::Rec, Some(Step::Rec)) => {
                session.counted(&mut self.ledger, |session| session.release(packet));
                // Once its client has it, a message of QoS 2 must not come again.
                if session.is_durable() {
                    self.ledger.journal.hurry();
                }
                Some((Step::Rel, true))
            }
            (Step::Rec, Some(Step::Comp)) => Some((Step::Rel, true)),
            (Step::Rec, None) if !failed => Some((Step::Rel, false)),
            // Of a message that was finished before the last connection ended.
            (Step::Ack | Step::Rec | Step::Comp, None) => None,
            (Step::Ack | Step::Rec | Step::Comp, Some(_)) => {
                let note = format!("Packet {packet} waits for another acknowledgement.");
                self.close_with(now, id, ReasonCode::ProtocolError, Some(note), effects);
                return;
            }
        };
        let version = session.version;
        if let Some((step, known)) = answer {
            let unknown = !known && version == Version::V5;
            let reason = if unknown { ReasonCode::PacketIdentifierNotFound } else { ReasonCode::Success };
            self.send(id, Outgoing::Acknowledgement { step, packet, reason, note: None }, effects);
        }
        self.hand_over(now, id, effects);
    }

    /// Closes the clients whose queue had no room for a message of QoS 1 or 2 (design/broker-users.md, rows 11 and 13).
    pub(super) fn close_overfull(&mut self, now: Monotonic, effects: &mut BrokerEffects) {
        while let Some(id) = self.overfull.pop_first() {
            let limit = self.settings.max_queued_messages;
            let note = format!("{limit} messages wait for this client, or {QUEUED_BYTES} bytes in all.");
            self.close_with(now, id, ReasonCode::QuotaExceeded, Some(note), effects);
        }
    }

    /// The report of dropped messages, at the begin and at the end of a time of dropping.
    pub(super) fn dropped(&self, subject: Subject, messages: u64, ongoing: bool) -> BrokerReport {
        let limit = self.settings.max_queued_messages;
        let what = if ongoing {
            format!("Messages for '{}' are being dropped.", subject.client_id)
        } else {
            format!("{messages} messages for '{}' were dropped.", subject.client_id)
        };
        let why = format!(
            "It does not read fast enough: {limit} messages waited for it already, or {QUEUED_BYTES} bytes for all clients together."
        );
        let fix = "Read faster, subscribe to less, or raise MqttBrokerSettings:MaxQueuedMessages in appsettings.json.";
        BrokerReport::Dropped { subject, messages, explanation: Explanation::new(what, why, fix) }
    }
}

/// Whether a member of a group is connected and has room, so that it may be preferred to others.
fn is_ready(sessions: &BTreeMap<SessionId, Session>, id: SessionId, limit: usize) -> bool {
    sessions.get(&id).is_some_and(|session| session.link.is_some() && session.has_room(limit))
}

fn too_large(subject: &Subject, delivery: &Delivery) -> Explanation {
    Explanation::new(
        format!("A message on '{}' is not sent to '{}'.", delivery.message.topic, subject.client_id),
        "Its packet is larger than the Maximum Packet Size that the client named in its CONNECT.",
        "Send smaller messages, or let the client name a larger size.",
    )
}
