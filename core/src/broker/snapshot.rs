//! Between the broker's own values and what the store keeps: monotonic instants become instants on the wall clock and back.

use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Broker;
use super::journal::Taken;
use super::message::{Delivery, Message};
use super::session::{Session, SessionId};
use super::stored::{Change, StoredDelivery, StoredMessage, StoredSession, StoredSubscription};
use super::subscriptions::Options;
use super::timers::Timer;
use crate::acl::topic::{InvalidTopic, TopicFilter, TopicName};
use crate::id::Component;
use crate::time::{Monotonic, Now, WallTime};

impl Broker {
    /// What has changed, as it is now.
    pub(super) fn changed(&self, now: Now, taken: Taken) -> Vec<Change> {
        let retained = taken.retained.iter().map(|topic| Change::Retained {
            topic: topic.to_string(),
            message: self.retained.get(topic).map(|message| stored_message(now, message)),
        });
        let sessions =
            taken.sessions.iter().map(|id| Change::Session { session: id.0, state: self.stored_session(now, *id) });
        let waiting = taken.waiting.into_iter().filter_map(|((id, place), delivery)| {
            // A session that has ended takes its messages with it.
            self.durable(id)?;
            let delivery = delivery.map(|delivery| stored_delivery(now, &delivery));
            Some(Change::Waiting { session: id.0, place, delivery })
        });
        retained.chain(sessions).chain(waiting).collect()
    }

    /// All there is.
    pub(super) fn everything(&self, now: Now) -> Vec<Change> {
        let retained = self.retained.iter().map(|message| Change::Retained {
            topic: message.topic.to_string(),
            message: Some(stored_message(now, message)),
        });
        let durable = || self.sessions.iter().filter(|(_, session)| session.is_durable());
        let sessions = durable().map(|(id, _)| Change::Session { session: id.0, state: self.stored_session(now, *id) });
        let waiting = durable().flat_map(|(id, session)| {
            session.kept().filter_map(|delivery| {
                let place = delivery.place?;
                Some(Change::Waiting { session: id.0, place, delivery: Some(stored_delivery(now, delivery)) })
            })
        });
        retained.chain(sessions).chain(waiting).collect()
    }

    fn durable(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id).filter(|session| session.is_durable())
    }

    fn stored_session(&self, now: Now, id: SessionId) -> Option<StoredSession> {
        let session = self.durable(id)?;
        let plugin = match &session.grant.subject.component {
            Component::Plugin(plugin) => plugin.to_string(),
            Component::Job(_) | Component::Administrator(_) | Component::Program(_) => return None,
        };
        let subscriptions = session.filters.iter().map(|(filter, options)| StoredSubscription {
            filter: filter.to_string(),
            qos: options.qos,
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
            identifier: options.identifier,
        });
        Some(StoredSession {
            plugin,
            client_id: session.client_id.clone(),
            user: session.grant.user,
            expiry_seconds: session.expiry_seconds,
            ends_at: self.timers.get(Timer::Expiry(id)).map(|end| on_the_wall(now, end)),
            subscriptions: subscriptions.collect(),
        })
    }
}

fn stored_message(now: Now, message: &Message) -> StoredMessage {
    StoredMessage {
        topic: message.topic.to_string(),
        payload: Arc::clone(&message.payload),
        qos: message.qos,
        retain: message.retain,
        expires_at: message.expires_at.map(|end| on_the_wall(now, end)),
        expires_in_millis: message.expires_at.map(|end| end.millis_since(now.monotonic)),
        properties: message.properties.clone(),
    }
}

fn stored_delivery(now: Now, delivery: &Delivery) -> StoredDelivery {
    StoredDelivery {
        message: stored_message(now, &delivery.message),
        qos: delivery.qos,
        retain: delivery.retain,
        identifiers: delivery.identifiers.clone(),
        share: delivery.share.as_ref().map(|share| share.to_string()),
    }
}

/// A stored message as the broker has it.
pub(super) fn message(now: Now, stored: StoredMessage) -> Result<Message, InvalidTopic> {
    let StoredMessage { topic, payload, qos, retain, expires_at, expires_in_millis, properties } = stored;
    let topic = TopicName::parse(&topic)?;
    let left = |end| millis_left(now, end).min(expires_in_millis.unwrap_or(u64::MAX));
    let expires_at = expires_at.map(|end| now.monotonic.plus_millis(left(end)));
    Ok(Message { topic, payload, qos, retain, expires_at, properties })
}

/// A stored delivery as the broker has it.
pub(super) fn delivery(now: Now, place: u64, stored: StoredDelivery) -> Result<Delivery, InvalidTopic> {
    let StoredDelivery { message: stored, qos, retain, identifiers, share } = stored;
    let share = share.map(|share| TopicFilter::parse(&share)).transpose()?;
    let message = Arc::new(message(now, stored)?);
    let delivery = Delivery::new(&message, qos, retain, identifiers);
    Ok(Delivery { share: share.map(Arc::new), place: Some(place), ..delivery })
}

/// A stored subscription as the broker has it.
pub(super) fn subscription(stored: &StoredSubscription) -> Result<(TopicFilter, Options), InvalidTopic> {
    let StoredSubscription { filter, qos, no_local, retain_as_published, identifier } = stored;
    let options =
        Options { qos: *qos, no_local: *no_local, retain_as_published: *retain_as_published, identifier: *identifier };
    Ok((TopicFilter::parse(filter)?, options))
}

/// How much is left until an instant; 0 where it is over.
pub(super) fn millis_left(now: Now, end: WallTime) -> u64 {
    u64::try_from(end.as_millis().saturating_sub(now.wall.as_millis())).unwrap_or(0)
}

fn on_the_wall(now: Now, end: Monotonic) -> WallTime {
    let left = end.millis_since(now.monotonic);
    WallTime::from_millis(now.wall.as_millis().saturating_add_unsigned(left))
}
