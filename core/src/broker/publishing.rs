//! From PUBLISH to its receivers: the grant's decision, the watched topics, retained messages, fan-out and wills.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::effect::{BrokerEffect, BrokerEffects, CloseReason, PublishOutcome};
use super::event::Version;
use super::message::{Delivery, Message, Packet, Publication, QoS};
use super::retained::{RETAINED_BYTES, RETAINED_MESSAGES};
use super::session::Queued;
use super::{Broker, WATCHED_TOPICS};
use crate::acl::topic::TopicName;
use crate::acl::{Action, Decision, Denial, Subject};
use crate::event::BrokerReport;
use crate::id::ConnectionId;
use crate::time::Monotonic;
use crate::why::Explanation;

impl Broker {
    pub(super) fn on_publish(
        &mut self,
        now: Monotonic,
        connection: ConnectionId,
        publication: Publication,
        effects: &mut BrokerEffects,
    ) {
        let Some(session) = self.sessions.get(&connection) else {
            self.record_stranger(connection, "PUBLISH", effects);
            let outcome = PublishOutcome::NotAuthorized(String::from("The connection is being closed."));
            effects.push(BrokerEffect::AcknowledgePublish { connection, outcome });
            return;
        };
        let visible = self.settings.visible_denials && session.version == Version::V5;
        let topic = match TopicName::parse(&publication.topic) {
            Ok(topic) => topic,
            Err(invalid) => {
                let outcome = PublishOutcome::NotAuthorized(invalid.to_string());
                effects.push(BrokerEffect::AcknowledgePublish { connection, outcome });
                self.close(now, connection, CloseReason::TopicNameInvalid, effects);
                return;
            }
        };
        match session.grant.decide_publish(&topic) {
            Decision::Allow => {
                let subject = session.grant.subject.clone();
                effects.push(BrokerEffect::AcknowledgePublish { connection, outcome: PublishOutcome::Accepted });
                let packet = publication.packet;
                self.publish(now, connection, &subject, Message::new(now, topic, publication), packet, effects);
            }
            Decision::Deny(denial) => {
                let outcome = if visible {
                    PublishOutcome::NotAuthorized(denial.explanation.to_string())
                } else {
                    PublishOutcome::Accepted
                };
                effects.push(BrokerEffect::AcknowledgePublish { connection, outcome });
                self.report_denial(now, connection, *denial, effects);
            }
        }
    }

    /// The agent's own message; no grant applies to it.
    pub(super) fn on_own_publish(
        &mut self,
        now: Monotonic,
        topic: &str,
        payload: Vec<u8>,
        qos: u8,
        retain: bool,
        effects: &mut BrokerEffects,
    ) {
        let (topic, qos) = match (TopicName::parse(topic), QoS::from_level(qos)) {
            (Ok(topic), Some(qos)) => (topic, qos),
            (Err(invalid), _) => {
                effects.push(BrokerEffect::Anomaly(format!("the agent's own message is not published: {invalid}")));
                return;
            }
            (Ok(topic), None) => {
                effects.push(BrokerEffect::Anomaly(format!("the agent's own message on '{topic}' has no QoS {qos}.")));
                return;
            }
        };
        let payload = Arc::from(payload);
        let message = Message { topic, payload, qos, retain, expires_at: None, properties: None };
        self.route(now, None, Arc::new(message), effects);
    }

    /// The will of a client that is gone, under the permissions it has now.
    pub(super) fn publish_will(
        &mut self,
        now: Monotonic,
        connection: ConnectionId,
        grant: &crate::acl::Grant,
        will: Publication,
        effects: &mut BrokerEffects,
    ) {
        let decision = match TopicName::parse(&will.topic) {
            Ok(topic) => (grant.decide_publish(&topic), topic),
            Err(invalid) => {
                effects.push(BrokerEffect::Anomaly(format!("a will that was accepted cannot be published: {invalid}")));
                return;
            }
        };
        match decision {
            (Decision::Allow, topic) => {
                self.publish(now, connection, &grant.subject, Message::new(now, topic, will), None, effects);
            }
            (Decision::Deny(mut denial), _) => {
                denial.explanation.what = format!("The will is not published: {}", denial.explanation.what);
                effects.push(BrokerEffect::from(BrokerReport::Denied(*denial)));
            }
        }
    }

    fn publish(
        &mut self,
        now: Monotonic,
        connection: ConnectionId,
        subject: &Subject,
        message: Message,
        packet: Option<Packet>,
        effects: &mut BrokerEffects,
    ) {
        if WATCHED_TOPICS.contains(&message.topic.as_str()) {
            effects.push(BrokerEffect::from(BrokerReport::Published {
                subject: subject.clone(),
                topic: message.topic.to_string(),
                payload: Arc::clone(&message.payload),
                packet,
            }));
        }
        let message = Arc::new(message);
        if !self.route(now, Some(connection), Arc::clone(&message), effects) {
            let denial = not_retained(subject, &message.topic);
            self.report_denial(now, connection, denial, effects);
        }
    }

    /// Keeps and fans out an allowed message; whether it could be kept where that was asked.
    fn route(
        &mut self,
        now: Monotonic,
        publisher: Option<ConnectionId>,
        message: Arc<Message>,
        effects: &mut BrokerEffects,
    ) -> bool {
        let kept = !message.retain || self.retained.keep(now, &message).is_ok();
        for (receiver, target) in self.subscriptions.matching(&message.topic, publisher) {
            let delivery = Delivery {
                qos: message.qos.min(target.qos),
                retain: message.retain && target.retain_as_published,
                message: Arc::clone(&message),
                identifiers: target.identifiers,
                expiry_seconds: None,
            };
            self.deliver(now, receiver, delivery, effects);
        }
        if !kept && publisher.is_none() {
            let full = format!("the agent's own message on '{}' is not retained: the store is full.", message.topic);
            effects.push(BrokerEffect::Anomaly(full));
        }
        kept
    }

    /// Queues one message for one client and hands over what the shell has room for.
    pub(super) fn deliver(
        &mut self,
        now: Monotonic,
        receiver: ConnectionId,
        delivery: Delivery,
        effects: &mut BrokerEffects,
    ) {
        let Some(session) = self.sessions.get_mut(&receiver) else {
            effects.push(BrokerEffect::Anomaly(format!("connection {receiver} has a subscription but no session.")));
            return;
        };
        if session.enqueue(delivery, self.settings.max_queued_messages) == Queued::FirstDrop {
            let subject = session.grant.subject.clone();
            effects.push(BrokerEffect::from(dropped(subject, 1, self.settings.max_queued_messages, true)));
        }
        self.hand_over(now, receiver, effects);
    }

    pub(super) fn on_delivered(&mut self, now: Monotonic, connection: ConnectionId, effects: &mut BrokerEffects) {
        let Some(session) = self.sessions.get_mut(&connection) else {
            self.record_stranger(connection, "acknowledgement", effects);
            return;
        };
        if !session.delivered() {
            effects
                .push(BrokerEffect::Anomaly(format!("connection {connection} finished a delivery it did not have.")));
            return;
        }
        self.hand_over(now, connection, effects);
    }

    fn hand_over(&mut self, now: Monotonic, connection: ConnectionId, effects: &mut BrokerEffects) {
        let limit = self.settings.max_queued_messages;
        let Some(session) = self.sessions.get_mut(&connection) else {
            return;
        };
        while let Some(delivery) = session.next_delivery(now) {
            effects.push(BrokerEffect::Deliver { connection, delivery });
        }
        let lost = session.take_dropped();
        if lost > 0 {
            let subject = session.grant.subject.clone();
            effects.push(BrokerEffect::from(dropped(subject, lost, limit, false)));
        }
    }

    /// Reports a refusal, unless this client has too many at once.
    pub(super) fn report_denial(
        &mut self,
        now: Monotonic,
        connection: ConnectionId,
        denial: Denial,
        effects: &mut BrokerEffects,
    ) {
        if self.sessions.get_mut(&connection).is_none_or(|session| session.denials.admit(now)) {
            effects.push(BrokerEffect::from(BrokerReport::Denied(denial)));
        }
    }

    /// Reports how many refusals were not reported singly, for every client whose window is over.
    pub(super) fn sum_up_denials(&mut self, now: Monotonic, effects: &mut BrokerEffects) {
        for session in self.sessions.values_mut() {
            let sum = session.denials.take_sum(now);
            effects.extend(sum_of_denials(&session.grant.subject, sum));
        }
    }

    /// An event of a connection without a session: expected while it closes, else worth a line.
    pub(super) fn record_stranger(&self, connection: ConnectionId, what: &str, effects: &mut BrokerEffects) {
        if !self.closing.contains(&connection) {
            effects
                .push(BrokerEffect::Anomaly(format!("connection {connection} sent {what} without being connected.")));
        }
    }
}

/// The report of `sum` refusals that were not reported singly.
pub(super) fn sum_of_denials(subject: &Subject, sum: u64) -> Option<BrokerEffect> {
    if sum == 0 {
        return None;
    }
    let explanation = Explanation::new(
        format!("{sum} more refusals of {} are not listed singly.", subject.component),
        "It attempts what it may not faster than anybody could read.",
        "Correct what the refusals before this one name.",
    );
    let denial = subject.denial(Action::Publish, &subject.client_id, explanation, None);
    Some(BrokerEffect::from(BrokerReport::Denied(denial)))
}

/// The report of dropped messages, at the begin and at the end of a time of dropping.
pub(super) fn dropped(subject: Subject, messages: u64, limit: usize, ongoing: bool) -> BrokerReport {
    let what = if ongoing {
        format!("Messages for '{}' are being dropped.", subject.client_id)
    } else {
        format!("{messages} messages for '{}' were dropped.", subject.client_id)
    };
    let why = format!("It does not read fast enough, and {limit} messages waited for it already.");
    let fix = "Read faster, subscribe to less, or raise MqttBrokerSettings:MaxQueuedMessages in appsettings.json.";
    BrokerReport::Dropped { subject, messages, explanation: Explanation::new(what, why, fix) }
}

fn not_retained(subject: &Subject, topic: &TopicName) -> Denial {
    let explanation = Explanation::new(
        format!("The message on '{topic}' was delivered, but is not retained."),
        format!("The broker keeps at most {RETAINED_MESSAGES} messages of {RETAINED_BYTES} bytes in all."),
        "Retain less, or clear topics by publishing an empty retained message.",
    );
    subject.denial(Action::Publish, topic.as_str(), explanation, None)
}
