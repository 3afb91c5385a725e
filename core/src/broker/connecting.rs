//! From CONNECT to CONNACK: held until the agent has answered, whose client id it is, take-over, the will's first check.

use alloc::boxed::Box;
use alloc::collections::btree_map::Entry;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;

use super::effect::{BrokerEffect, BrokerEffects};
use super::link::Link;
use super::message::Publication;
use super::packet::{Connect, ConnectAck, Outgoing, ReasonCode, Version, Will};
use super::publishing::reason_string;
use super::session::{Session, SessionId};
use super::timers::Timer;
use super::{
    Broker, CONNECT_VERDICT_MILLIS, CONNECTIONS, HELD_CONNECTS, PROGRAMS, QUEUED_BYTES, RECEIVE_MAXIMUM,
    SESSION_EXPIRY_SECONDS, Stop, TOPIC_ALIASES,
};
use crate::acl::client_id;
use crate::acl::topic::TopicName;
use crate::acl::{Action, Decision, Denial, Grant};
use crate::api::CertificateFacts;
use crate::effect::{ConnectRefusal, ConnectVerdict};
use crate::event::BrokerReport;
use crate::id::{Component, ConnectionId, SpawnId};
use crate::time::Monotonic;
use crate::trust::{Peer, PeerFacts};
use crate::why::Explanation;

impl Broker {
    pub(super) fn on_connect(
        &mut self,
        now: Monotonic,
        connection: ConnectionId,
        connect: Box<Connect>,
        (peer, certificate): (PeerFacts, Option<CertificateFacts>),
        effects: &mut BrokerEffects,
    ) {
        if self.connections.contains_key(&connection) || self.closing.contains(&connection) {
            effects.push(BrokerEffect::Anomaly(format!("connection {connection} sent a second CONNECT.")));
            return;
        }
        let why = if self.stop != Stop::Running {
            Some(String::from("The agent is stopping."))
        } else if self.held.len() >= HELD_CONNECTS {
            Some(format!("{HELD_CONNECTS} other clients wait for their answer."))
        } else if self.connections.len() >= CONNECTIONS {
            Some(format!("{CONNECTIONS} clients are connected."))
        } else {
            None
        };
        if let Some(why) = why {
            self.refuse_unavailable(connection, &connect.client_id, why, effects);
            return;
        }
        if connect.has_authentication_method {
            let explanation = Explanation::new(
                "The connection is refused.",
                "Enhanced authentication is not offered.",
                "Connect without an authentication method.",
            );
            self.refuse_on_record(
                connection,
                &connect.client_id,
                ConnectRefusal::BadAuthenticationMethod,
                explanation,
                effects,
            );
            return;
        }
        let client_id = connect.client_id.clone();
        match self.held.entry(connection) {
            Entry::Vacant(place) => {
                place.insert(connect);
                if let Some(certificate) = &certificate {
                    self.certificates.insert(connection, certificate.sha256.clone());
                }
                self.timers.set(Timer::Verdict(connection), now.plus_millis(CONNECT_VERDICT_MILLIS));
                effects.push(BrokerEffect::from(BrokerReport::ConnectAsked {
                    connection,
                    client_id,
                    peer,
                    certificate,
                }));
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
        // Who left while its program was looked at, or was refused as overdue, is on record and cannot be told any more.
        let Some(connect) = self.held.remove(&connection) else { return };
        self.timers.clear(Timer::Verdict(connection));
        match verdict {
            ConnectVerdict::Accept(grant) => self.accept(now, connection, *connect, grant, effects),
            ConnectVerdict::Refuse { reason, explanation } => {
                self.refuse(connection, reason, &explanation, effects);
            }
        }
    }

    fn accept(
        &mut self,
        now: Monotonic,
        connection: ConnectionId,
        mut connect: Connect,
        grant: Arc<Grant>,
        effects: &mut BrokerEffects,
    ) {
        if let Some(former) = self.client_ids.get(&connect.client_id).copied() {
            if !self.may_take_over(former, &grant) {
                let denial = in_use(&grant, &connect.client_id);
                let reason = ConnectRefusal::ClientIdentifierNotValid;
                self.refuse(connection, reason, &denial.explanation, effects);
                effects.push(BrokerEffect::from(BrokerReport::Denied(denial)));
                return;
            }
            self.close(now, former, ReasonCode::SessionTakenOver, effects);
        }
        if is_program(&grant) && self.sessions.values().filter(|session| is_program(&session.grant)).count() >= PROGRAMS
        {
            let why = format!("{PROGRAMS} programs that the agent did not start are connected.");
            return self.refuse_unavailable(connection, &connect.client_id, why, effects);
        }
        let asked_seconds = connect.session_expiry_seconds;
        let wants_clean = connect.clean_start;
        if is_persistent(&grant) {
            (connect.clean_start, connect.session_expiry_seconds) = (false, u32::MAX);
        }
        let (session, is_own) = self.take_up(now, &connect, &grant, wants_clean, effects);
        let will = connect.will.take();
        let denied_will = will.as_ref().and_then(|will| {
            let has_room = self.has_budget(session, will.publication.cost());
            will_denial(&grant, &will.publication).or_else(|| (!has_room).then(|| no_room(&grant, &will.publication)))
        });
        let visible = self.settings.visible_denials && connect.version == Version::V5;
        let note = denied_will.as_ref().filter(|_| visible).map(|denial| reason_string(&denial.explanation));
        connect.session_expiry_seconds = connect.session_expiry_seconds.min(longest_session(&grant));
        let primary = grant.primary.clone();
        let subject = grant.subject.clone();
        self.connections.insert(connection, session);
        self.link(now, session, connection, &connect, grant, will.filter(|_| denied_will.is_none()));
        let acknowledgement = ConnectAck {
            session_present: is_own && !wants_clean,
            session_expiry_seconds: Some(connect.session_expiry_seconds).filter(|granted| *granted != asked_seconds),
            receive_maximum: RECEIVE_MAXIMUM,
            topic_alias_maximum: TOPIC_ALIASES,
            maximum_packet_bytes: self.settings.max_packet_bytes,
            note,
        };
        effects.push(BrokerEffect::Send { connection, packet: Outgoing::ConnectAck(Box::new(acknowledgement)) });
        effects.push(BrokerEffect::from(BrokerReport::Connected { subject }));
        effects.extend(denied_will.map(|denial| BrokerEffect::from(BrokerReport::Denied(*denial))));
        self.check_subscriptions(now, session, effects);
        if let Some(primary) = primary {
            self.subscribe_primary(session, &primary, effects);
        }
        self.hand_over(now, session, effects);
    }

    fn link(
        &mut self,
        now: Monotonic,
        id: SessionId,
        connection: ConnectionId,
        connect: &Connect,
        grant: Arc<Grant>,
        will: Option<Will>,
    ) {
        // It may survive the agent from now on, or no longer.
        self.note_session(id);
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let link = Link::new(now, connection, connect, &session.inflight);
        if let Some(patience) = link.patience_millis {
            self.timers.set(Timer::KeepAlive(id), now.plus_millis(patience));
        }
        session.version = connect.version;
        session.expiry_seconds = connect.session_expiry_seconds;
        session.grant = grant;
        session.counted(&mut self.ledger, |session| {
            session.replace_will(will);
            session.purge();
        });
        session.link = Some(link);
        self.timers.clear(Timer::Will(id));
        self.timers.clear(Timer::Expiry(id));
        self.note_session(id);
    }

    /// The session that the client goes on with, and whether it is this process's own (MQTT 5.0 3.1.2.4). A plugin that was started
    /// again has another process id and so another client id: it goes on with the session that its former process left.
    fn take_up(
        &mut self,
        now: Monotonic,
        connect: &Connect,
        grant: &Arc<Grant>,
        wants_clean: bool,
        effects: &mut BrokerEffects,
    ) -> (SessionId, bool) {
        let kept = self.client_ids.get(&connect.client_id).copied();
        let kept = kept.filter(|id| self.is_same_process(*id, grant)).or_else(|| self.left_behind(connect, grant));
        if let Some(kept) = kept.filter(|_| !connect.clean_start)
            && let Some(session) = self.sessions.get_mut(&kept)
        {
            let is_own = is_same_process(session, grant);
            // Who wants a clean start knows no packet of before either.
            if !is_own || wants_clean {
                session.renew();
            }
            if self.client_ids.get(&session.client_id) == Some(&kept) {
                self.client_ids.remove(&session.client_id);
            }
            session.client_id.clone_from(&connect.client_id);
            self.client_ids.insert(connect.client_id.clone(), kept);
            // A process that has no state of its own has to close when it is told that there is one (MQTT 5.0 3.2.2.1.1).
            return (kept, is_own);
        }
        let replaced = self.client_ids.get(&connect.client_id).copied();
        for former in [replaced, kept].into_iter().flatten() {
            self.end_session(now, former, effects);
        }
        self.last_session = self.last_session.saturating_add(1);
        let id = SessionId(self.last_session);
        self.client_ids.insert(connect.client_id.clone(), id);
        let log_rate = self.emptied.take(&connect.client_id);
        self.sessions.insert(id, Session::new(id, Arc::clone(grant), connect, log_rate));
        (id, false)
    }

    /// The session without a connection of a plugin's former process, of the same user.
    fn left_behind(&self, connect: &Connect, grant: &Grant) -> Option<SessionId> {
        let subject = &grant.subject;
        let is_former = |session: &Session| {
            let former = &session.grant;
            session.link.is_none()
                && (former.user, &former.subject.component) == (grant.user, &subject.component)
                && former.subject.spawn != subject.spawn
                && without_pid(&session.client_id) == without_pid(&connect.client_id)
        };
        match subject.component {
            Component::Job(_) | Component::Administrator(_) | Component::Program(_) => None,
            // Started by hand, it is no successor of what the agent started.
            Component::Plugin(_) if subject.spawn == SpawnId::NONE => None,
            Component::Plugin(_) => self.sessions.iter().find(|(_, session)| is_former(session)).map(|(id, _)| *id),
        }
    }

    /// Whether the session of this client id may be replaced: a connected one only by its own process (contract section 5), and one that
    /// waits by whom the agent started, who alone has no name but that of its component.
    fn may_take_over(&self, former: SessionId, grant: &Grant) -> bool {
        let is_started = grant.subject.spawn != SpawnId::NONE;
        self.sessions.get(&former).is_none_or(|session| session.link.is_none() && is_started)
            || self.is_same_process(former, grant)
    }

    fn is_same_process(&self, former: SessionId, grant: &Grant) -> bool {
        self.sessions.get(&former).is_some_and(|session| is_same_process(session, grant))
    }

    /// Refuses a CONNECT that the agent has not answered in time.
    pub(super) fn refuse_overdue(&mut self, connection: ConnectionId, effects: &mut BrokerEffects) {
        if let Some(connect) = self.held.remove(&connection) {
            let why = format!("The agent did not answer within {CONNECT_VERDICT_MILLIS} ms.");
            self.refuse_unavailable(connection, &connect.client_id, why, effects);
        }
    }

    /// Refuses every CONNECT that waits, because the agent stops.
    pub(super) fn refuse_held(&mut self, effects: &mut BrokerEffects) {
        for (connection, connect) in core::mem::take(&mut self.held) {
            self.timers.clear(Timer::Verdict(connection));
            self.refuse_unavailable(connection, &connect.client_id, String::from("The agent is stopping."), effects);
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
        self.refuse_on_record(connection, client_id, ConnectRefusal::ServerUnavailable, explanation, effects);
    }

    /// Refuses a CONNECT before anybody knows whose it is: on record stands what the client says of itself.
    fn refuse_on_record(
        &mut self,
        connection: ConnectionId,
        client_id: &str,
        reason: ConnectRefusal,
        explanation: Explanation,
        effects: &mut BrokerEffects,
    ) {
        self.refuse(connection, reason, &explanation, effects);
        effects.push(BrokerEffect::from(BrokerReport::Denied(Denial {
            action: Action::Connect,
            target: client_id.to_string(),
            component: None,
            client_id: Some(client_id.to_string()),
            peer: Peer::process(client_id::claimed_pid(client_id).ok()),
            explanation,
            declaration: None,
        })));
    }

    fn refuse(
        &mut self,
        connection: ConnectionId,
        reason: ConnectRefusal,
        explanation: &Explanation,
        effects: &mut BrokerEffects,
    ) {
        let note = reason_string(explanation);
        self.closing.insert(connection);
        effects.push(BrokerEffect::Send { connection, packet: Outgoing::ConnectRefused { reason, note } });
        effects.push(BrokerEffect::Close { connection, reason: None, note: None });
    }
}

/// The will is checked like a publish; a denied one is dropped and the client connected, as a denied publish would not
/// end its connection either.
fn will_denial(grant: &Grant, will: &Publication) -> Option<Box<Denial>> {
    let topic = will.topic.as_str();
    let response = will.properties.as_ref().and_then(|properties| properties.response_topic.as_deref());
    // No client could be sent the message (MQTT 5.0 3.3.2.3.5).
    let valid = response.map_or(Ok(()), |response| TopicName::parse(response).map(|_| ()));
    match valid.and_then(|()| TopicName::parse(topic)) {
        Ok(topic) => match grant.decide_publish(&topic) {
            Decision::Allow => None,
            Decision::Deny(mut denial) => {
                denial.explanation.what = format!("The will is dropped: {}", denial.explanation.what);
                Some(denial)
            }
        },
        Err(invalid) => {
            let explanation = Explanation::new("The will is dropped.", invalid.message, "Name valid topics.");
            Some(Box::new(grant.subject.denial(Action::Publish, topic, explanation, None)))
        }
    }
}

/// A will waits like a message in a queue, and counts like one.
fn no_room(grant: &Grant, will: &Publication) -> Box<Denial> {
    let explanation = Explanation::new(
        "The will is dropped: there is no room for it.",
        format!("What waits for all clients takes nearly {QUEUED_BYTES} bytes, and this client's part is not small."),
        "Name a smaller will, or let the clients read faster.",
    );
    Box::new(grant.subject.denial(Action::Publish, &will.topic, explanation, None))
}

/// Whether the session is kept whatever the client asks for: a plugin's whose file says so, as the client of its next process has
/// another client id, and many libraries ask for a clean session by themselves.
fn is_persistent(grant: &Grant) -> bool {
    grant.primary.as_ref().is_some_and(|primary| !primary.clean_session)
}

/// Whether it is trusted by its signature alone.
const fn is_program(grant: &Grant) -> bool {
    matches!(grant.subject.component, Component::Program(_))
}

/// How long a session may wait for its client, seconds. Nothing is kept for whom the agent did not start: a process of the same
/// number could come for it.
fn longest_session(grant: &Grant) -> u32 {
    if grant.subject.spawn == SpawnId::NONE { 0 } else { SESSION_EXPIRY_SECONDS }
}

fn is_same_process(session: &Session, grant: &Grant) -> bool {
    let (former, subject) = (&session.grant.subject, &grant.subject);
    (former.spawn, former.pid) == (subject.spawn, subject.pid)
}

/// A client id without the process id at its end.
fn without_pid(client_id: &str) -> &str {
    client_id.rsplit_once('_').map_or(client_id, |(name, _)| name)
}

fn in_use(grant: &Grant, client_id: &str) -> Denial {
    let explanation = Explanation::new(
        format!("The client id '{client_id}' is in use."),
        "Another process is connected with it, or left a session that waits.",
        "Form the client id with the process's own id, which no other process has.",
    );
    grant.subject.denial(Action::Connect, client_id, explanation, None)
}
