//! The end of connections: DISCONNECT, loss, take-over, revocation and stop; what happens to the will in each case.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::effect::{BrokerEffect, BrokerEffects, CloseReason};
use super::publishing::{dropped, sum_of_denials};
use super::session::Session;
use super::{Broker, REVOKE_GRACE_MILLIS, STOP_MILLIS, Stop};
use crate::acl::Action;
use crate::event::BrokerReport;
use crate::id::{ConnectionId, SpawnId};
use crate::time::Monotonic;
use crate::why::Explanation;

impl Broker {
    pub(super) fn on_disconnect(&mut self, connection: ConnectionId, keep_will: bool, effects: &mut BrokerEffects) {
        let Some(session) = self.sessions.get_mut(&connection) else {
            self.record_stranger(connection, "DISCONNECT", effects);
            return;
        };
        if !keep_will {
            session.will = None;
        }
    }

    pub(super) fn on_lost(
        &mut self,
        now: Monotonic,
        connection: ConnectionId,
        reason: String,
        effects: &mut BrokerEffects,
    ) {
        let known = self.closing.remove(&connection) || self.held.remove(&connection).is_some();
        if let Some(session) = self.remove_session(connection) {
            self.end_session(now, connection, session, reason, true, effects);
        } else if !known {
            effects.push(BrokerEffect::Anomaly(format!("connection {connection} ended, which was not known.")));
        }
        self.finish_stop(effects);
    }

    pub(super) fn on_revoke(&mut self, now: Monotonic, spawn: SpawnId) {
        for session in self.sessions.values_mut().filter(|session| session.grant.subject.spawn == spawn) {
            session.revoked_at.get_or_insert(now.plus_millis(REVOKE_GRACE_MILLIS));
        }
    }

    pub(super) fn close_revoked(&mut self, now: Monotonic, effects: &mut BrokerEffects) {
        let due = |session: &Session| session.revoked_at.is_some_and(|at| at <= now);
        let revoked: Vec<_> = self.sessions.iter().filter(|(_, session)| due(session)).map(|(id, _)| *id).collect();
        for connection in revoked {
            self.close(now, connection, CloseReason::NotAuthorized, effects);
        }
    }

    pub(super) fn on_stop(&mut self, now: Monotonic, effects: &mut BrokerEffects) {
        if self.stop != Stop::Running {
            effects.push(BrokerEffect::Anomaly(String::from("the broker was told to stop twice.")));
            return;
        }
        self.stop = Stop::Closing(now.plus_millis(STOP_MILLIS));
        effects.push(BrokerEffect::CloseListener);
        self.refuse_held(effects);
        let connected: Vec<_> = self.sessions.keys().copied().collect();
        for connection in connected {
            self.close(now, connection, CloseReason::ShuttingDown, effects);
        }
        self.finish_stop(effects);
    }

    pub(super) fn finish_stop(&mut self, effects: &mut BrokerEffects) {
        if matches!(self.stop, Stop::Closing(_)) && self.closing.is_empty() {
            self.stop = Stop::Stopped;
            effects.push(BrokerEffect::from(BrokerReport::Stopped));
            effects.push(BrokerEffect::Finish);
        }
    }

    /// Ends a session on the broker's side. Its will is published after a take-over (MQTT 5.0 3.1.4) and where the client
    /// broke the protocol; a process that is no longer trusted has none, and at a stop nobody is left to read it.
    pub(super) fn close(
        &mut self,
        now: Monotonic,
        connection: ConnectionId,
        reason: CloseReason,
        effects: &mut BrokerEffects,
    ) {
        let Some(session) = self.remove_session(connection) else {
            return;
        };
        self.closing.insert(connection);
        effects.push(BrokerEffect::Close { connection, reason });
        let (text, with_will) = match reason {
            CloseReason::TakenOver => ("the same process connected again with the same client id", true),
            CloseReason::NotAuthorized => ("the process is no longer trusted", false),
            CloseReason::ShuttingDown => ("the broker stops", false),
            CloseReason::TopicNameInvalid => ("it published to an invalid topic name", true),
        };
        if let Some(will) = session.will.as_ref().filter(|_| reason == CloseReason::NotAuthorized) {
            let explanation = Explanation::new(
                format!("The will on '{}' is not published.", will.topic.escape_debug()),
                "Its process is no longer trusted, and its connection was still open.",
                "End the connection before the process ends.",
            );
            let denial = session.grant.subject.denial(Action::Publish, &will.topic, explanation, None);
            effects.push(BrokerEffect::from(BrokerReport::Denied(denial)));
        }
        self.end_session(now, connection, session, text.to_string(), with_will, effects);
    }

    /// Takes a session out of every table.
    fn remove_session(&mut self, connection: ConnectionId) -> Option<Session> {
        let session = self.sessions.remove(&connection)?;
        for filter in &session.filters {
            self.subscriptions.remove(filter, connection);
        }
        self.client_ids.retain(|_, owner| *owner != connection);
        Some(session)
    }

    fn end_session(
        &mut self,
        now: Monotonic,
        connection: ConnectionId,
        mut session: Session,
        reason: String,
        with_will: bool,
        effects: &mut BrokerEffects,
    ) {
        let subject = session.grant.subject.clone();
        effects.extend(sum_of_denials(&subject, session.denials.take_rest()));
        let lost = session.dropped_at_end();
        if lost > 0 {
            let limit = self.settings.max_queued_messages;
            effects.push(BrokerEffect::from(dropped(subject.clone(), lost, limit, false)));
        }
        if let Some(will) = session.will.take().filter(|_| with_will) {
            self.publish_will(now, connection, &session.grant, will, effects);
        }
        effects.push(BrokerEffect::from(BrokerReport::Disconnected { subject, reason }));
    }
}
