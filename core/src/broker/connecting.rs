//! From CONNECT to CONNACK: held until the agent has answered, take-over of a client id, the will's first check.

use alloc::boxed::Box;
use alloc::collections::btree_map::Entry;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;

use super::effect::{BrokerEffect, BrokerEffects, CloseReason};
use super::event::{Connect, Version};
use super::session::Session;
use super::{Broker, CONNECT_VERDICT_MILLIS, CONNECTIONS, HELD_CONNECTS, Stop};
use crate::acl::topic::TopicName;
use crate::acl::{Action, Decision, Denial, Grant};
use crate::effect::{ConnectRefusal, ConnectVerdict};
use crate::event::BrokerReport;
use crate::id::ConnectionId;
use crate::time::Monotonic;
use crate::trust::PeerFacts;
use crate::why::Explanation;

/// A CONNECT that waits for the agent.
#[derive(Debug)]
pub(super) struct Held {
    connect: Box<Connect>,
    pub(super) deadline: Monotonic,
}

impl Broker {
    pub(super) fn on_connect(
        &mut self,
        now: Monotonic,
        connection: ConnectionId,
        connect: Box<Connect>,
        peer: PeerFacts,
        effects: &mut BrokerEffects,
    ) {
        if self.sessions.contains_key(&connection) || self.closing.contains(&connection) {
            effects.push(BrokerEffect::Anomaly(format!("connection {connection} sent a second CONNECT.")));
            return;
        }
        let why = if self.stop != Stop::Running {
            Some(String::from("The agent is stopping."))
        } else if self.held.len() >= HELD_CONNECTS {
            Some(format!("{HELD_CONNECTS} other clients wait for their answer."))
        } else if self.sessions.len() >= CONNECTIONS {
            Some(format!("{CONNECTIONS} clients are connected."))
        } else {
            None
        };
        if let Some(why) = why {
            self.refuse_unavailable(connection, &connect.client_id, why, effects);
            return;
        }
        let client_id = connect.client_id.clone();
        let deadline = now.plus_millis(CONNECT_VERDICT_MILLIS);
        match self.held.entry(connection) {
            Entry::Vacant(place) => {
                place.insert(Held { connect, deadline });
                effects.push(BrokerEffect::from(BrokerReport::ConnectAsked { connection, client_id, peer }));
            }
            Entry::Occupied(_) => {
                effects.push(BrokerEffect::Anomaly(format!("connection {connection} sent a second CONNECT.")));
            }
        }
    }

    pub(super) fn on_verdict(
        &mut self,
        now: Monotonic,
        connection: ConnectionId,
        verdict: ConnectVerdict,
        effects: &mut BrokerEffects,
    ) {
        let Some(held) = self.held.remove(&connection) else {
            effects.push(BrokerEffect::Anomaly(format!(
                "a verdict came for connection {connection}, which does not wait."
            )));
            return;
        };
        match verdict {
            ConnectVerdict::Accept(grant) => self.accept(now, connection, *held.connect, grant, effects),
            ConnectVerdict::Refuse { reason, explanation } => {
                self.refuse(connection, reason, explanation.to_string(), effects);
            }
        }
    }

    fn accept(
        &mut self,
        now: Monotonic,
        connection: ConnectionId,
        connect: Connect,
        grant: Arc<Grant>,
        effects: &mut BrokerEffects,
    ) {
        if let Some(former) = self.client_ids.get(&connect.client_id).copied() {
            if !self.is_same_process(former, &grant) {
                let denial = in_use(&grant, &connect.client_id);
                self.refuse(
                    connection,
                    ConnectRefusal::ClientIdentifierNotValid,
                    denial.explanation.to_string(),
                    effects,
                );
                effects.push(BrokerEffect::from(BrokerReport::Denied(denial)));
                return;
            }
            self.close(now, former, CloseReason::TakenOver, effects);
        }
        let Connect { version, client_id, will } = connect;
        let denied_will = will.as_ref().and_then(|will| will_denial(&grant, &will.topic));
        let will = will.filter(|_| denied_will.is_none());
        let subject = grant.subject.clone();
        let primary = grant.primary.clone();
        self.client_ids.insert(client_id, connection);
        self.sessions.insert(connection, Session::new(grant, version, will));
        let visible = self.settings.visible_denials && version == Version::V5;
        let note = denied_will.as_ref().filter(|_| visible).map(|denial| denial.explanation.to_string());
        effects.push(BrokerEffect::AcceptConnect { connection, note });
        effects.push(BrokerEffect::from(BrokerReport::Connected { subject }));
        effects.extend(denied_will.map(|denial| BrokerEffect::from(BrokerReport::Denied(*denial))));
        if let Some(primary) = primary {
            self.subscribe_primary(now, connection, &primary, effects);
        }
    }

    fn is_same_process(&self, former: ConnectionId, grant: &Grant) -> bool {
        self.sessions.get(&former).is_some_and(|session| {
            let subject = &session.grant.subject;
            (subject.spawn, subject.pid) == (grant.subject.spawn, grant.subject.pid)
        })
    }

    /// Refuses every CONNECT that the agent has not answered in time.
    pub(super) fn refuse_overdue(&mut self, now: Monotonic, effects: &mut BrokerEffects) {
        let overdue = self.held.extract_if(.., |_, held| held.deadline <= now);
        let overdue: alloc::vec::Vec<_> =
            overdue.map(|(connection, held)| (connection, held.connect.client_id)).collect();
        for (connection, client_id) in overdue {
            let why = format!("The agent did not answer within {CONNECT_VERDICT_MILLIS} ms.");
            self.refuse_unavailable(connection, &client_id, why, effects);
        }
    }

    /// Refuses every CONNECT that waits, because the agent stops.
    pub(super) fn refuse_held(&mut self, effects: &mut BrokerEffects) {
        for (connection, held) in core::mem::take(&mut self.held) {
            self.refuse_unavailable(
                connection,
                &held.connect.client_id,
                String::from("The agent is stopping."),
                effects,
            );
        }
    }

    fn refuse_unavailable(
        &mut self,
        connection: ConnectionId,
        client_id: &str,
        why: String,
        effects: &mut BrokerEffects,
    ) {
        let explanation =
            Explanation::new("The broker cannot take this connection now.", why, "Connect again in a moment.");
        self.refuse(connection, ConnectRefusal::ServerUnavailable, explanation.to_string(), effects);
        let client_id = client_id.to_string();
        effects.push(BrokerEffect::from(BrokerReport::Denied(Denial {
            action: Action::Connect,
            target: client_id.clone(),
            component: None,
            client_id: Some(client_id),
            pid: None,
            explanation,
            declaration: None,
        })));
    }

    fn refuse(&mut self, connection: ConnectionId, refusal: ConnectRefusal, note: String, effects: &mut BrokerEffects) {
        self.closing.insert(connection);
        effects.push(BrokerEffect::RefuseConnect { connection, refusal, note });
    }
}

/// The will is checked like a publish; a denied one is dropped and the client connected, as a denied publish would not
/// end its connection either.
fn will_denial(grant: &Grant, topic: &str) -> Option<Box<Denial>> {
    match TopicName::parse(topic) {
        Ok(topic) => match grant.decide_publish(&topic) {
            Decision::Allow => None,
            Decision::Deny(mut denial) => {
                denial.explanation.what = format!("The will is dropped: {}", denial.explanation.what);
                Some(denial)
            }
        },
        Err(invalid) => {
            let explanation = Explanation::new("The will is dropped.", invalid.message, "Name a valid topic.");
            Some(Box::new(grant.subject.denial(Action::Publish, topic, explanation, None)))
        }
    }
}

fn in_use(grant: &Grant, client_id: &str) -> Denial {
    let explanation = Explanation::new(
        format!("The client id '{client_id}' is in use."),
        "Another process is connected with it.",
        "Form the client id with the process's own id, which no other process has.",
    );
    grant.subject.denial(Action::Connect, client_id, explanation, None)
}
