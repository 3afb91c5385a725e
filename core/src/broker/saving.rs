//! What survives the agent: durable sessions and retained messages go to the store in batches, acknowledgements wait for them, and
//! a start takes up what the last one left.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::effect::{BrokerEffect, BrokerEffects};
use super::journal::Journal;
use super::log_rate::LogRate;
use super::packet::{Connect, Outgoing, ReasonCode, Version};
use super::session::{Queued, Session, SessionId};
use super::snapshot::{self, millis_left};
use super::stored::{Batch, Stored, StoredDelivery, StoredMessage, StoredSession};
use super::timers::Timer;
use super::{
    Broker, BrokerSettings, IN_FLIGHT, OFFLINE_SESSIONS, SAVE_DELAY_MILLIS, SAVE_PATIENCE_MILLIS, SAVE_RETRY_MILLIS,
    SESSION_EXPIRY_SECONDS, SUBSCRIPTIONS_PER_CLIENT, Stop, UNSAVED_ACKNOWLEDGEMENTS,
};
use crate::acl::{FilterSet, Grant, Subject};
use crate::id::{Component, PluginId, SpawnId};
use crate::limits::FILTER_LEVELS;
use crate::time::{Monotonic, Now};
use crate::why::Explanation;

impl Broker {
    /// A broker that goes on where the last one stopped, and what of its state cannot be taken up.
    pub fn restore(settings: BrokerSettings, now: Now, stored: Stored) -> (Self, BrokerEffects) {
        let Stored { retained, sessions, mut waiting } = stored;
        let mut broker = Self::new(settings);
        let mut effects = BrokerEffects::new();
        waiting.sort_by_key(|(_, place, _)| *place);
        broker.ledger.journal = Journal::new(waiting.last().map_or(0, |(_, place, _)| *place));
        for stored in retained {
            broker.restore_retained(now, stored, &mut effects);
        }
        for (number, stored) in sessions {
            broker.restore_session(now, SessionId(number), &stored, &mut effects);
        }
        for (number, place, stored) in waiting {
            broker.restore_waiting(now, SessionId(number), place, stored, &mut effects);
        }
        (broker, effects)
    }

    fn restore_retained(&mut self, now: Now, stored: StoredMessage, effects: &mut BrokerEffects) {
        match snapshot::message(now, stored) {
            Ok(message) if !message.is_expired(now.monotonic) => {
                let message = Arc::new(message);
                // It is on disk already.
                if self.retained.keep(now.monotonic, &message, |_| ()).is_err() {
                    effects.push(left_out("a retained message", "the broker keeps no more of them"));
                    self.ledger.journal.note_retained(&message.topic);
                }
            }
            Ok(expired) => self.ledger.journal.note_retained(&expired.topic),
            Err(invalid) => effects.push(left_out("a retained message", &invalid.message)),
        }
    }

    fn restore_session(&mut self, now: Now, id: SessionId, stored: &StoredSession, effects: &mut BrokerEffects) {
        self.last_session = self.last_session.max(id.0);
        let expiry_seconds = stored.expiry_seconds.min(SESSION_EXPIRY_SECONDS);
        let whole = u64::from(expiry_seconds).saturating_mul(1000);
        // A clock that was set back makes nothing live longer than it was meant to.
        let left = stored.ends_at.map_or(whole, |end| millis_left(now, end).min(whole));
        let plugin = PluginId::parse(&stored.plugin).ok();
        let is_new = !self.client_ids.contains_key(&stored.client_id);
        let Some(plugin) = plugin.filter(|_| is_new && left > 0 && self.sessions.len() < OFFLINE_SESSIONS) else {
            self.ledger.journal.note_session(id);
            return;
        };
        let connect = Connect::plain(Version::V5, stored.client_id.clone());
        let mut session = Session::new(
            id,
            Arc::new(nobody_yet(plugin, &stored.client_id, stored.user)),
            &connect,
            LogRate::default(),
        );
        session.expiry_seconds = expiry_seconds;
        session.left_at = Some(now.monotonic);
        for stored in stored.subscriptions.iter().take(SUBSCRIPTIONS_PER_CLIENT) {
            match snapshot::subscription(stored) {
                Ok((filter, options)) if filter.levels().count() <= FILTER_LEVELS => {
                    self.subscriptions.insert(&filter, id, options);
                    session.filters.insert(filter, options);
                }
                Ok((filter, _)) => effects.push(left_out("a subscription", &format!("'{filter}' has too many levels"))),
                Err(invalid) => effects.push(left_out("a subscription", &invalid.message)),
            }
        }
        self.client_ids.insert(stored.client_id.clone(), id);
        self.sessions.insert(id, session);
        self.timers.set(Timer::Expiry(id), now.monotonic.plus_millis(left));
    }

    fn restore_waiting(
        &mut self,
        now: Now,
        id: SessionId,
        place: u64,
        stored: StoredDelivery,
        effects: &mut BrokerEffects,
    ) {
        // The store forgets the messages of a session together with it.
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        // What was under way when the agent ended waits beside what waited then.
        let limit = self.settings.max_queued_messages.saturating_add(IN_FLIGHT);
        let kept = match snapshot::delivery(now, place, stored) {
            Ok(delivery) if delivery.message.is_expired(now.monotonic) => false,
            Ok(delivery) => {
                let queued = session.counted(&mut self.ledger, |session| session.enqueue(delivery, limit, true));
                let subject = session.grant.subject.clone();
                if queued == (Queued::Dropped { first: true, guaranteed: true }) {
                    effects.push(BrokerEffect::from(self.dropped(subject, 1, true)));
                }
                queued == Queued::Kept
            }
            Err(invalid) => {
                effects.push(left_out("a message that waits for a client", &invalid.message));
                false
            }
        };
        if !kept {
            self.ledger.journal.note_gone(id, place);
        }
    }
}

/// The permissions of a session whose plugin has no process yet: nothing is delivered before there is one, with its own.
fn nobody_yet(plugin: PluginId, client_id: &str, user: Option<u32>) -> Grant {
    let component = Component::Plugin(plugin);
    let subject = Subject { component, run: None, spawn: SpawnId::NONE, pid: 0, client_id: client_id.to_string() };
    let nothing = FilterSet::default;
    Grant { subject, publish: nothing(), subscribe: nothing(), primary: None, user, withheld: None }
}

fn left_out(what: &str, why: &str) -> BrokerEffect {
    BrokerEffect::Anomaly(format!("{what} of the last start is left out: {why}."))
}

/// What happens while the broker works.
impl Broker {
    /// Sends an acknowledgement, or keeps it back: until what its message changed is saved, and behind those before it (MQTT 5.0 4.6).
    pub(super) fn acknowledge_saved(
        &mut self,
        now: Monotonic,
        id: SessionId,
        packet: Outgoing,
        batch: Option<u64>,
        effects: &mut BrokerEffects,
    ) {
        let Some(link) = self.sessions.get_mut(&id).and_then(|session| session.link.as_mut()) else {
            return;
        };
        let behind = link.unsaved.back().map(|(batch, _)| *batch);
        let Some(batch) = batch.max(behind) else {
            self.send(id, packet, effects);
            return;
        };
        link.unsaved.push_back((batch, packet));
        self.ledger.acknowledgements = self.ledger.acknowledgements.saturating_add(1);
        self.ledger.journal.hurry();
        self.unsaved.insert(id);
        self.timers.set_first(Timer::Unsaved(id), now.plus_millis(SAVE_PATIENCE_MILLIS));
        if self.ledger.acknowledgements > UNSAVED_ACKNOWLEDGEMENTS {
            self.close_who_has_most(now, effects);
        }
    }

    /// Ends the connection of the client that waits for most acknowledgements; it may come again and send again.
    fn close_who_has_most(&mut self, now: Monotonic, effects: &mut BrokerEffects) {
        let unsaved = |id: &SessionId| self.sessions.get(id)?.link.as_ref().map(|link| link.unsaved.len());
        if let Some(most) = self.unsaved.iter().copied().max_by_key(unsaved) {
            let note =
                format!("{UNSAVED_ACKNOWLEDGEMENTS} acknowledgements wait for the disk, most of them this client's.");
            self.close_with(now, most, ReasonCode::QuotaExceeded, Some(note), effects);
        }
    }

    /// Takes note of what changed of a session, if it survives the agent.
    pub(super) fn note_session(&mut self, id: SessionId) {
        if self.sessions.get(&id).is_some_and(Session::is_durable) {
            self.ledger.journal.note_session(id);
        }
    }

    pub(super) fn on_saved(
        &mut self,
        now: Monotonic,
        number: u64,
        result: Result<(), String>,
        effects: &mut BrokerEffects,
    ) {
        if !self.ledger.journal.saved(number, result.is_ok()) {
            effects.push(BrokerEffect::Anomaly(format!("batch {number} was answered, which is not on its way.")));
            return;
        }
        match result {
            Ok(()) if core::mem::take(&mut self.save_failed) => {
                effects.push(BrokerEffect::Anomaly(String::from("the broker's state is saved again.")));
            }
            Ok(()) => {}
            Err(why) => {
                self.timers.set(Timer::Save, now.plus_millis(SAVE_RETRY_MILLIS));
                if !core::mem::replace(&mut self.save_failed, true) {
                    effects.push(BrokerEffect::Anomaly(
                        Explanation::new(
                            "the broker's state is not saved, and messages that it has to keep are not acknowledged.",
                            why,
                            "Make room on the disk, or repair it; it is tried again every two seconds.",
                        )
                        .to_string(),
                    ));
                }
            }
        }
        self.release_saved(now, effects);
        self.finish_stop(effects);
    }

    /// Sends the acknowledgements whose time has come.
    fn release_saved(&mut self, now: Monotonic, effects: &mut BrokerEffects) {
        self.ledger.journal.settle();
        for id in core::mem::take(&mut self.unsaved) {
            let journal = &self.ledger.journal;
            let mut ready = Vec::new();
            let link = self.sessions.get_mut(&id).and_then(|session| session.link.as_mut());
            let still_waits = link.is_some_and(|link| {
                while link.unsaved.front().is_some_and(|(batch, _)| journal.is_saved(*batch)) {
                    ready.extend(link.unsaved.pop_front());
                }
                !link.unsaved.is_empty()
            });
            self.ledger.acknowledgements = self.ledger.acknowledgements.saturating_sub(ready.len());
            if !still_waits {
                self.timers.clear(Timer::Unsaved(id));
            } else {
                self.unsaved.insert(id);
                if !ready.is_empty() {
                    self.timers.set(Timer::Unsaved(id), now.plus_millis(SAVE_PATIENCE_MILLIS));
                }
            }
            for (_, packet) in ready {
                self.send(id, packet, effects);
            }
        }
    }

    /// Ends the connection of a client that has waited too long for the disk: it may come again and send again what was not
    /// acknowledged.
    pub(super) fn close_unsaved(&mut self, now: Monotonic, id: SessionId, effects: &mut BrokerEffects) {
        let note = format!("Nothing was written for {SAVE_PATIENCE_MILLIS} ms. Look for what slows or fills the disk.");
        self.close_with(now, id, ReasonCode::ImplementationSpecific, Some(note), effects);
    }

    /// Asks for the next batch to be written, where it is wanted now and nothing is on its way. The end of every event.
    pub(super) fn save(&mut self, now: Now, effects: &mut BrokerEffects) {
        // Only where nothing is left to save; what a batch sets free waits for its `Saved`.
        if !self.unsaved.is_empty() && self.ledger.journal.is_clean() {
            self.release_saved(now.monotonic, effects);
        }
        if !self.unsaved.is_empty() || self.stop == Stop::Closing {
            self.ledger.journal.hurry();
        }
        if self.ledger.journal.is_due() {
            self.timers.clear(Timer::Save);
            let batch = self.batch(now);
            effects.push(BrokerEffect::Save(Box::new(batch)));
        } else if self.ledger.journal.is_behind() {
            self.timers.set_first(Timer::Save, now.monotonic.plus_millis(SAVE_DELAY_MILLIS));
        }
    }

    fn batch(&mut self, now: Now) -> Batch {
        let taken = self.ledger.journal.take();
        let (number, replaces_all) = (taken.number, taken.everything);
        let changes = if replaces_all { self.everything(now) } else { self.changed(now, taken) };
        Batch { number, replaces_all, changes }
    }
}
