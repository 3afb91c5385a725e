//! The end of connections and of sessions: DISCONNECT, loss, take-over, revocation, expiry and stop; what happens to the will and
//! to what still waits in each case.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::denials::sums_of_denials;
use super::effect::{BrokerEffect, BrokerEffects};
use super::packet::ReasonCode;
use super::session::SessionId;
use super::timers::{Timer, Timers};
use super::{Broker, CONNECTIONS, OFFLINE_SESSIONS, REVOKE_GRACE_MILLIS, SHELL_FAILURE_SECONDS, STOP_MILLIS, Stop};
use crate::acl::Action;
use crate::event::{BrokerReport, Traced};
use crate::id::{Component, ConnectionId, SpawnId};
use crate::time::Monotonic;
use crate::why::Explanation;

impl Broker {
    /// The client says goodbye (MQTT 5.0 3.14).
    pub(super) fn on_disconnect(
        &mut self,
        now: Monotonic,
        id: SessionId,
        keep_will: bool,
        session_expiry_seconds: Option<u32>,
        effects: &mut BrokerEffects,
    ) {
        // Its last word may be that the session ends.
        self.note_session(id);
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        match session_expiry_seconds {
            // A session that ends with its connection cannot be made to stay (MQTT 5.0 3.14.2.2.2).
            Some(1..) if session.expiry_seconds == 0 => {
                self.close(now, id, ReasonCode::ProtocolError, effects);
                return;
            }
            Some(seconds) => session.expiry_seconds = seconds.min(super::SESSION_EXPIRY_SECONDS),
            None => {}
        }
        if !keep_will {
            session.counted(&mut self.ledger, |session| session.replace_will(None));
        }
        if let Some(connection) = self.unlink(id) {
            effects.push(BrokerEffect::Close { connection, reason: None, note: None });
        }
        self.detach(now, id, String::from("the client sent DISCONNECT"), effects);
    }

    pub(super) fn on_lost(
        &mut self,
        now: Monotonic,
        connection: ConnectionId,
        reason: String,
        effects: &mut BrokerEffects,
    ) {
        let mut known = self.closing.remove(&connection);
        self.certificates.remove(&connection);
        if self.held.remove(&connection).is_some() {
            self.timers.clear(Timer::Verdict(connection));
            known = true;
        }
        if let Some(id) = self.connections.get(&connection).copied() {
            self.unlink(id);
            self.closing.remove(&connection);
            self.detach(now, id, reason, effects);
        } else if !known {
            effects.push(BrokerEffect::Anomaly(format!("connection {connection} ended, which was not known.")));
        }
        self.finish_stop(effects);
    }

    /// The shell has forgotten every connection.
    pub(super) fn on_all_lost(&mut self, now: Monotonic, effects: &mut BrokerEffects) {
        self.spared_until = Some(now.plus_seconds(SHELL_FAILURE_SECONDS));
        let held = self.held.keys();
        let connections: BTreeSet<_> = held.chain(self.connections.keys()).chain(&self.closing).copied().collect();
        for connection in connections {
            self.on_lost(
                now,
                connection,
                String::from("the broker's network shell failed and was started again"),
                effects,
            );
        }
    }

    /// A process tree is no longer trusted. Its connections get a short grace; a job's sessions end, because no later process can
    /// have their client ids; a plugin's stay for its next process.
    pub(super) fn on_revoke(&mut self, now: Monotonic, spawn: SpawnId, effects: &mut BrokerEffects) {
        let mut over = Vec::new();
        for (id, session) in self.sessions.iter_mut().filter(|(_, session)| session.grant.subject.spawn == spawn) {
            if matches!(session.grant.subject.component, Component::Job(_)) {
                session.expiry_seconds = 0;
            }
            if session.link.is_some() {
                self.timers.set_first(Timer::Revoked(*id), now.plus_millis(REVOKE_GRACE_MILLIS));
            } else if session.expiry_seconds == 0 {
                over.push(*id);
            }
        }
        for id in over {
            self.end_session(now, id, effects);
        }
    }

    /// A certificate is no longer trusted. There is no grace: its holder may be the reason. One that still waits for its verdict is
    /// refused by the agent.
    pub(super) fn on_certificate_revoked(&mut self, now: Monotonic, sha256: &str, effects: &mut BrokerEffects) {
        let showed = self.certificates.iter().filter(|(_, shown)| *shown == sha256);
        let sessions: Vec<_> = showed.filter_map(|(connection, _)| self.connections.get(connection).copied()).collect();
        let note = "The client certificate expired or was revoked.";
        for id in sessions {
            self.close_with(now, id, ReasonCode::NotAuthorized, Some(String::from(note)), effects);
        }
    }

    /// The grace of a revoked process is over. Its will is not published: what it says is not trusted any more.
    pub(super) fn close_revoked(&mut self, now: Monotonic, id: SessionId, effects: &mut BrokerEffects) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if let Some(will) = session.counted(&mut self.ledger, |session| session.replace_will(None)) {
            let explanation = Explanation::new(
                format!("The will on '{}' is not published.", will.publication.topic.escape_debug()),
                "Its process is no longer trusted, and its connection was still open.",
                "End the connection before the process ends.",
            );
            let denial = session.grant.subject.denial(Action::Publish, &will.publication.topic, explanation, None);
            effects.push(BrokerEffect::from(BrokerReport::Denied(denial)));
        }
        self.close(now, id, ReasonCode::NotAuthorized, effects);
    }

    pub(super) fn on_stop(&mut self, now: Monotonic, effects: &mut BrokerEffects) {
        if self.stop != Stop::Running {
            effects.push(BrokerEffect::Anomaly(String::from("the broker was told to stop twice.")));
            return;
        }
        self.stop = Stop::Closing;
        self.timers.set(Timer::Stop, now.plus_millis(STOP_MILLIS));
        effects.push(BrokerEffect::CloseListener);
        self.refuse_held(effects);
        let connected: Vec<_> = self.connections.values().copied().collect();
        for id in connected {
            self.close(now, id, ReasonCode::ServerShuttingDown, effects);
        }
        // No delay outlives the agent. What a will says stays where it is retained, or for a plugin that comes back.
        let waiting: Vec<_> = self.sessions.keys().copied().collect();
        for id in waiting {
            self.publish_will(now, id, effects);
        }
        self.ledger.journal.retry();
        self.finish_stop(effects);
    }

    /// The stop has waited long enough.
    pub(super) fn give_up_stop(&mut self, effects: &mut BrokerEffects) {
        let left = core::mem::take(&mut self.closing).len();
        if left > 0 {
            effects.push(BrokerEffect::Anomaly(format!(
                "{left} MQTT connections had not ended {STOP_MILLIS} ms after the stop; they are dropped."
            )));
        }
        if !self.ledger.journal.is_clean() {
            effects.push(BrokerEffect::Anomaly(String::from(
                "the last changes of sessions and retained messages were not saved in time and are lost. Look for what slows or fills the disk.",
            )));
        }
        self.end_stop(effects);
    }

    pub(super) fn finish_stop(&mut self, effects: &mut BrokerEffects) {
        if self.stop == Stop::Closing && self.closing.is_empty() && self.ledger.journal.is_clean() {
            self.end_stop(effects);
        }
    }

    fn end_stop(&mut self, effects: &mut BrokerEffects) {
        self.stop = Stop::Stopped;
        self.timers = Timers::default();
        effects.push(BrokerEffect::from(BrokerReport::Stopped));
        effects.push(BrokerEffect::Finish);
    }

    /// Ends a session's connection on the broker's side, and tells the client why.
    pub(super) fn close(&mut self, now: Monotonic, id: SessionId, reason: ReasonCode, effects: &mut BrokerEffects) {
        self.close_with(now, id, reason, None, effects);
    }

    /// The same, with a reason string.
    pub(super) fn close_with(
        &mut self,
        now: Monotonic,
        id: SessionId,
        reason: ReasonCode,
        note: Option<String>,
        effects: &mut BrokerEffects,
    ) {
        let Some(connection) = self.unlink(id) else {
            return;
        };
        let text = note.as_ref().map_or_else(|| reason.text().to_string(), |note| format!("{}: {note}", reason.text()));
        effects.push(BrokerEffect::Close { connection, reason: Some(reason), note });
        self.detach(now, id, text, effects);
    }

    /// Takes a session's connection from it; `ConnectionLost` is still to come.
    fn unlink(&mut self, id: SessionId) -> Option<ConnectionId> {
        let link = self.sessions.get_mut(&id)?.link.take()?;
        self.ledger.acknowledgements = self.ledger.acknowledgements.saturating_sub(link.unsaved.len());
        self.connections.remove(&link.connection);
        self.closing.insert(link.connection);
        Some(link.connection)
    }

    /// A session is without a connection from now on: it ends, or waits for its client. A will goes at once, or when its delay is
    /// over, or when the session ends (MQTT 5.0 3.1.3.2.2).
    fn detach(&mut self, now: Monotonic, id: SessionId, reason: String, effects: &mut BrokerEffects) {
        for timer in
            [Timer::KeepAlive(id), Timer::Revoked(id), Timer::Denials(id), Timer::LogRate(id), Timer::Unsaved(id)]
        {
            self.timers.clear(timer);
        }
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.left_at = Some(now);
        let subject = session.grant.subject.clone();
        effects.extend(sums_of_denials(&subject, session.denials.take_rest()));
        effects.extend(session.log_rate.take_report(now, &subject));
        self.emptied.keep(now, self.settings.log_rate, &subject.client_id, &session.log_rate);
        session.traced = 0;
        let left_out = core::mem::take(&mut session.untraced);
        if left_out > 0 {
            let traced = Traced::LeftOut(left_out);
            effects.push(BrokerEffect::from(BrokerReport::Traced { subject: subject.clone(), traced }));
        }
        effects.push(BrokerEffect::from(BrokerReport::Disconnected { subject, reason }));
        let (expiry_seconds, will) = (session.expiry_seconds, session.will());
        match will.map(|will| will.delay_seconds) {
            Some(0) => self.publish_will(now, id, effects),
            Some(delay) => self.timers.set(Timer::Will(id), now.plus_seconds(u64::from(delay))),
            None => {}
        }
        if expiry_seconds == 0 {
            self.end_session(now, id, effects);
            return;
        }
        self.timers.set(Timer::Expiry(id), now.plus_seconds(u64::from(expiry_seconds)));
        self.note_session(id);
    }

    /// Ends the sessions that have waited longest where too many wait. A failure of the shell makes all of them wait at once; their
    /// clients get the time to come back.
    pub(super) fn bound_offline(&mut self, now: Monotonic, effects: &mut BrokerEffects) {
        let is_spared = self.spared_until.is_some_and(|until| now < until);
        let limit = if is_spared { OFFLINE_SESSIONS.saturating_add(CONNECTIONS) } else { OFFLINE_SESSIONS };
        while self.sessions.len().saturating_sub(self.connections.len()) > limit {
            let offline = self.sessions.iter().filter(|(_, session)| session.link.is_none());
            let oldest = offline.min_by_key(|(_, session)| session.left_at);
            let Some((id, client_id)) = oldest.map(|(id, session)| (*id, session.client_id.clone())) else {
                return;
            };
            effects.push(BrokerEffect::Anomaly(format!(
                "the session of '{client_id}' ends before its time: at most {limit} wait for their clients."
            )));
            self.end_session(now, id, effects);
        }
    }

    /// Takes a session without a connection out of every table. Its will goes if it was still delayed; what it shared goes to
    /// others.
    pub(super) fn end_session(&mut self, now: Monotonic, id: SessionId, effects: &mut BrokerEffects) {
        self.publish_will(now, id, effects);
        self.note_session(id);
        let Some(mut session) = self.sessions.remove(&id) else {
            return;
        };
        for timer in [Timer::Will(id), Timer::Expiry(id), Timer::Denials(id)] {
            self.timers.clear(timer);
        }
        effects.extend(sums_of_denials(&session.grant.subject, session.denials.take_rest()));
        if self.client_ids.get(&session.client_id) == Some(&id) {
            self.client_ids.remove(&session.client_id);
        }
        for filter in session.filters.keys() {
            self.subscriptions.remove(filter, id);
        }
        self.ledger.bytes = self.ledger.bytes.saturating_sub(session.bytes());
        let lost = session.dropped_at_end();
        if lost > 0 {
            effects.push(BrokerEffect::from(self.dropped(session.grant.subject.clone(), lost, false)));
        }
        for delivery in session.take_shared() {
            self.share_again(now, delivery, effects);
        }
    }
}
