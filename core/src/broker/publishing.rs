//! From PUBLISH to its receivers: packet identifiers, topic aliases, the grant's decision, the watched topics, wills.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::effect::{BrokerEffect, BrokerEffects};
use super::message::{Message, Packet, Publication, QoS};
use super::packet::{IncomingPublish, Outgoing, ReasonCode, Step, Version};
use super::retained::{RETAINED_BYTES, RETAINED_MESSAGES};
use super::session::{Session, SessionId};
use super::timers::Timer;
use super::{Broker, LOG_TOPIC, REASON_CHARACTERS, RECEIVE_MAXIMUM, TOPIC_ALIASES, WATCHED_TOPICS};
use crate::acl::topic::TopicName;
use crate::acl::{Action, Decision, Denial, Grant, Subject};
use crate::config::LogRateLimit;
use crate::event::{BrokerReport, Traced};
use crate::limits::TRACED_PUBLISHES;
use crate::time::Monotonic;
use crate::why::Explanation;

/// A PUBLISH that ends its connection.
struct Violation(ReasonCode, String);

/// What a PUBACK or PUBREC says; nothing where there is no packet identifier.
struct Answer {
    qos: QoS,
    packet: Option<u16>,
    reason: ReasonCode,
    note: Option<String>,
}

impl Answer {
    const fn taken(qos: QoS, packet: Option<u16>) -> Self {
        Self { qos, packet, reason: ReasonCode::Success, note: None }
    }
}

impl Broker {
    pub(super) fn on_publish(
        &mut self,
        now: Monotonic,
        id: SessionId,
        publish: IncomingPublish,
        effects: &mut BrokerEffects,
    ) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let topic = match session.admit(&publish) {
            Ok(topic) => topic,
            Err(Violation(reason, note)) => {
                self.close_with(now, id, reason, Some(note), effects);
                return;
            }
        };
        let IncomingPublish { packet, dup, publication, .. } = publish;
        if publication.qos == QoS::ExactlyOnce && packet.is_some_and(|packet| session.received.contains(&packet)) {
            // It was taken already, and the client does not know it yet (MQTT 5.0 4.3.3). It may not be saved yet either.
            let batch = self.ledger.journal.owed();
            self.acknowledge(now, id, Answer::taken(publication.qos, packet), batch, effects);
            return;
        }
        let answer = Answer::taken(publication.qos, packet);
        if let Some(text) = misdeclared(&publication) {
            let denial = not_utf8(&session.grant.subject, &topic, &text);
            let answer = Answer { reason: ReasonCode::PayloadFormatInvalid, note: Some(text), ..answer };
            self.acknowledge(now, id, answer, None, effects);
            self.report_denial(now, id, denial, effects);
            return;
        }
        let visible = self.settings.visible_denials && session.version == Version::V5;
        if session.grant.may_publish(&topic) {
            if topic.as_str() == LOG_TOPIC && !session.log_rate.admit(now, self.settings.log_rate) {
                return self.drop_log(now, id, answer, visible, effects);
            }
            let subject = session.grant.subject.clone();
            let packet = packet.map(|identifier| Packet { identifier, duplicate: dup });
            let before = self.ledger.journal.changes();
            self.publish(now, id, &subject, Message::new(now, topic, publication), packet, effects);
            let batch = self.ledger.journal.owed().filter(|_| self.ledger.journal.changes() > before);
            self.acknowledge(now, id, answer, batch, effects);
            return;
        }
        let reason = if visible { ReasonCode::NotAuthorized } else { ReasonCode::Success };
        let note = visible.then(|| reason_string(&session.grant.publish_denial(&topic).explanation));
        self.acknowledge(now, id, Answer { reason, note, ..answer }, None, effects);
        let denial = |grant: &Grant| grant.publish_denial(&topic);
        let reported = self.admit_denial(now, id, Action::Publish, topic.as_str(), denial);
        effects.extend(reported.map(|denial| BrokerEffect::from(BrokerReport::Denied(denial))));
    }

    /// A log message beyond its client's rate: nobody gets it, and the count is reported.
    fn drop_log(&mut self, now: Monotonic, id: SessionId, answer: Answer, visible: bool, effects: &mut BrokerEffects) {
        let due = self.sessions.get(&id).and_then(|session| session.log_rate.due());
        if let Some(due) = due {
            self.timers.set_first(Timer::LogRate(id), due);
        }
        let reason = if visible { ReasonCode::QuotaExceeded } else { ReasonCode::Success };
        let LogRateLimit { per_second, burst } = self.settings.log_rate;
        let note =
            visible.then(|| format!("Dropped: over {per_second} log messages a second, after a burst of {burst}."));
        self.acknowledge(now, id, Answer { reason, note, ..answer }, None, effects);
    }

    /// PUBACK or PUBREC, not before this batch is saved. After a PUBREC that refused, the packet identifier is free again (MQTT 5.0
    /// 4.3.3).
    fn acknowledge(
        &mut self,
        now: Monotonic,
        id: SessionId,
        answer: Answer,
        batch: Option<u64>,
        effects: &mut BrokerEffects,
    ) {
        let Answer { qos, packet, reason, note } = answer;
        let Some((session, packet)) = self.sessions.get_mut(&id).zip(packet) else {
            return;
        };
        let step = if qos == QoS::ExactlyOnce { Step::Rec } else { Step::Ack };
        if step == Step::Rec && reason == ReasonCode::Success {
            session.received.insert(packet);
        }
        self.acknowledge_saved(now, id, Outgoing::Acknowledgement { step, packet, reason, note }, batch, effects);
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
        let message = Arc::new(Message { topic, payload, qos, retain, expires_at: None, properties: None });
        if !self.route(now, None, &message, effects) {
            let full = format!("the agent's own message on '{}' is not retained: the store is full.", message.topic);
            effects.push(BrokerEffect::Anomaly(full));
        }
    }

    /// The will of a client that is gone, once, under the permissions it has now.
    pub(super) fn publish_will(&mut self, now: Monotonic, id: SessionId, effects: &mut BrokerEffects) {
        self.timers.clear(Timer::Will(id));
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let Some(will) = session.counted(&mut self.ledger, |session| session.replace_will(None)) else {
            return;
        };
        let topic = match TopicName::parse(&will.publication.topic) {
            Ok(topic) => topic,
            Err(invalid) => {
                effects.push(BrokerEffect::Anomaly(format!("a will that was accepted cannot be published: {invalid}")));
                return;
            }
        };
        match session.grant.decide_publish(&topic) {
            Decision::Allow => {
                let subject = session.grant.subject.clone();
                self.publish(now, id, &subject, Message::new(now, topic, will.publication), None, effects);
            }
            Decision::Deny(mut denial) => {
                denial.explanation.what = format!("The will is not published: {}", denial.explanation.what);
                effects.push(BrokerEffect::from(BrokerReport::Denied(*denial)));
            }
        }
    }

    /// Tells of a task's publish, or only counts it. A log message has its own record; what starts runs is always told.
    fn trace(&mut self, id: SessionId, message: &Message, effects: &mut BrokerEffects) {
        let Some(session) = self.sessions.get_mut(&id).filter(|_| self.settings.traced) else { return };
        let subject = &session.grant.subject;
        if subject.run.is_none() || message.topic.as_str() == LOG_TOPIC {
            return;
        }
        let is_watched = WATCHED_TOPICS.contains(&message.topic.as_str());
        if !is_watched && session.traced >= TRACED_PUBLISHES {
            session.untraced = session.untraced.saturating_add(1);
            return;
        }
        session.traced = session.traced.saturating_add(1);
        let (topic, qos, bytes) = (message.topic.to_string(), message.qos, message.payload.len());
        let traced = Traced::Publish { topic, qos, bytes };
        effects.push(BrokerEffect::from(BrokerReport::Traced { subject: subject.clone(), traced }));
    }

    fn publish(
        &mut self,
        now: Monotonic,
        id: SessionId,
        subject: &Subject,
        message: Message,
        packet: Option<Packet>,
        effects: &mut BrokerEffects,
    ) {
        self.trace(id, &message, effects);
        if WATCHED_TOPICS.contains(&message.topic.as_str()) {
            effects.push(BrokerEffect::from(BrokerReport::Published {
                subject: subject.clone(),
                topic: message.topic.to_string(),
                payload: Arc::clone(&message.payload),
                packet,
            }));
        }
        let message = Arc::new(message);
        if !self.route(now, Some(id), &message, effects) {
            let denial = not_retained(subject, &message.topic);
            self.report_denial(now, id, denial, effects);
        }
    }
}

impl Session {
    /// Checks a PUBLISH against the connection: how much is in flight, the topic alias, the topic name.
    fn admit(&mut self, publish: &IncomingPublish) -> Result<TopicName, Violation> {
        // A message of QoS 0 has no packet identifier and takes no place (MQTT 5.0 4.9).
        let is_new = publish.packet.is_some_and(|packet| !self.received.contains(&packet));
        // Only MQTT 5.0 has a limit that the client knows (3.3.4); in 3.1.1 the packet identifiers are one.
        let unsaved = self.link.as_ref().map_or(0, |link| link.unsaved.len());
        let limit = if self.version == Version::V5 { usize::from(RECEIVE_MAXIMUM) } else { usize::from(u16::MAX) };
        if is_new && self.received.len().max(unsaved) >= limit {
            let note = format!("At most {limit} messages of QoS 1 and 2 may be under way.");
            return Err(Violation(ReasonCode::ReceiveMaximumExceeded, note));
        }
        let Publication { topic, properties, .. } = &publish.publication;
        let response = properties.as_ref().and_then(|properties| properties.response_topic.as_deref());
        if let Some(Err(invalid)) = response.map(TopicName::parse) {
            return Err(Violation(ReasonCode::ProtocolError, format!("The response topic is none: {invalid}")));
        }
        let named = match (topic.as_str(), publish.alias) {
            ("", Some(_)) => None,
            (name, _) => Some(
                TopicName::parse(name)
                    .map_err(|invalid| Violation(ReasonCode::TopicNameInvalid, invalid.to_string()))?,
            ),
        };
        let Some((alias, link)) = publish.alias.zip(self.link.as_mut()) else {
            return named.ok_or_else(|| Violation(ReasonCode::ProtocolError, String::from("There is no topic name.")));
        };
        if !(1..=TOPIC_ALIASES).contains(&alias) {
            let note = format!("Topic alias {alias} is not between 1 and {TOPIC_ALIASES}.");
            return Err(Violation(ReasonCode::TopicAliasInvalid, note));
        }
        match named {
            Some(name) => {
                link.aliases.insert(alias, name.clone());
                Ok(name)
            }
            None => link.aliases.get(&alias).cloned().ok_or_else(|| {
                Violation(
                    ReasonCode::ProtocolError,
                    format!("Topic alias {alias} stands for no topic on this connection."),
                )
            }),
        }
    }
}

/// What is wrong with a payload that claims to be UTF-8 (MQTT 5.0 3.3.2.3.2).
fn misdeclared(publication: &Publication) -> Option<String> {
    let claims = publication.properties.as_ref().is_some_and(|properties| properties.is_utf8);
    let invalid = core::str::from_utf8(&publication.payload).err().filter(|_| claims)?;
    Some(format!("The payload claims to be UTF-8 and is not: {invalid}."))
}

fn not_utf8(subject: &Subject, topic: &TopicName, text: &str) -> Denial {
    let explanation = Explanation::new(
        format!("A message on '{topic}' is not delivered."),
        text,
        "Send UTF-8, or leave the payload format indicator out.",
    );
    subject.denial(Action::Publish, topic.as_str(), explanation, None)
}

/// An explanation as a client is told it. Its record in full is the agent's.
pub(super) fn reason_string(explanation: &Explanation) -> String {
    explanation.to_string().chars().take(REASON_CHARACTERS).collect()
}

fn not_retained(subject: &Subject, topic: &TopicName) -> Denial {
    let explanation = Explanation::new(
        format!("The message on '{topic}' was delivered, but is not retained."),
        format!("The broker keeps at most {RETAINED_MESSAGES} messages of {RETAINED_BYTES} bytes in all."),
        "Retain less, or clear topics by publishing an empty retained message.",
    );
    subject.denial(Action::Publish, topic.as_str(), explanation, None)
}
