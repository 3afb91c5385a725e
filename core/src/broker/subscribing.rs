//! From SUBSCRIBE to SUBACK, filter by filter; a plugin's primary subscription; new permissions for open sessions.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::effect::{BrokerEffect, BrokerEffects, SubscribeOutcome, UnsubscribeOutcome};
use super::event::{RetainHandling, SubscribeRequest};
use super::message::{Delivery, QoS};
use super::subscriptions::{FILTER_LEVELS, Options};
use super::{Broker, SUBSCRIPTIONS_PER_CLIENT};
use crate::acl::topic::TopicFilter;
use crate::acl::{Decision, Grant, PrimarySubscription};
use crate::event::BrokerReport;
use crate::id::{Component, ConnectionId};
use crate::time::Monotonic;

impl Broker {
    pub(super) fn on_subscribe(
        &mut self,
        now: Monotonic,
        connection: ConnectionId,
        requests: Vec<SubscribeRequest>,
        identifier: Option<u32>,
        effects: &mut BrokerEffects,
    ) {
        if !self.sessions.contains_key(&connection) {
            self.record_stranger(connection, "SUBSCRIBE", effects);
            let outcomes = requests.iter().map(|_| SubscribeOutcome::NotAuthorized).collect();
            effects.push(BrokerEffect::AcknowledgeSubscribe { connection, outcomes });
            return;
        }
        let mut outcomes = Vec::with_capacity(requests.len());
        let mut opened = Vec::new();
        for request in requests {
            let outcome = match self.decide_subscription(now, connection, &request.filter, effects) {
                Ok(filter) => {
                    let options = Options {
                        qos: request.qos,
                        no_local: request.no_local,
                        retain_as_published: request.retain_as_published,
                        identifier,
                    };
                    let is_new = self.open(connection, &filter, options);
                    opened.push((filter, options, sends_retained(request.retain_handling, is_new)));
                    SubscribeOutcome::Granted(request.qos)
                }
                Err(outcome) => outcome,
            };
            outcomes.push(outcome);
        }
        effects.push(BrokerEffect::AcknowledgeSubscribe { connection, outcomes });
        for (filter, options, _) in opened.iter().filter(|(_, _, retained)| *retained) {
            self.send_retained(now, connection, filter, *options, effects);
        }
    }

    /// Checks one filter: its form, the grant, the bounds.
    fn decide_subscription(
        &mut self,
        now: Monotonic,
        connection: ConnectionId,
        text: &str,
        effects: &mut BrokerEffects,
    ) -> Result<TopicFilter, SubscribeOutcome> {
        let Ok(filter) = TopicFilter::parse(text) else {
            return Err(SubscribeOutcome::InvalidFilter);
        };
        let Some(session) = self.sessions.get(&connection) else {
            return Err(SubscribeOutcome::NotAuthorized);
        };
        if let Decision::Deny(denial) = session.grant.decide_subscribe(&filter) {
            self.report_denial(now, connection, *denial, effects);
            return Err(SubscribeOutcome::NotAuthorized);
        }
        let is_new = !session.filters.contains(&filter);
        if filter.levels().count() > FILTER_LEVELS || (is_new && session.filters.len() >= SUBSCRIPTIONS_PER_CLIENT) {
            effects.push(BrokerEffect::Anomaly(format!(
                "'{}' was refused a subscription: at most {SUBSCRIPTIONS_PER_CLIENT} of at most {FILTER_LEVELS} levels.",
                session.grant.subject.client_id
            )));
            return Err(SubscribeOutcome::QuotaExceeded);
        }
        Ok(filter)
    }

    fn open(&mut self, connection: ConnectionId, filter: &TopicFilter, options: Options) -> bool {
        if let Some(session) = self.sessions.get_mut(&connection) {
            session.filters.insert(filter.clone());
        }
        self.subscriptions.insert(filter, connection, options)
    }

    fn send_retained(
        &mut self,
        now: Monotonic,
        connection: ConnectionId,
        filter: &TopicFilter,
        options: Options,
        effects: &mut BrokerEffects,
    ) {
        if filter.share_name().is_some() {
            return;
        }
        for message in self.retained.matching(now, filter) {
            let delivery = Delivery {
                qos: message.qos.min(options.qos),
                retain: true,
                identifiers: options.identifier.into_iter().collect(),
                expiry_seconds: None,
                message,
            };
            self.deliver(now, connection, delivery, effects);
        }
    }

    pub(super) fn on_unsubscribe(
        &mut self,
        connection: ConnectionId,
        filters: Vec<String>,
        effects: &mut BrokerEffects,
    ) {
        if !self.sessions.contains_key(&connection) {
            self.record_stranger(connection, "UNSUBSCRIBE", effects);
        }
        let outcomes = filters
            .iter()
            .map(|text| match TopicFilter::parse(text) {
                Ok(filter) if self.close_subscription(connection, &filter) => UnsubscribeOutcome::Removed,
                Ok(_) => UnsubscribeOutcome::NoneExisted,
                Err(_) => UnsubscribeOutcome::InvalidFilter,
            })
            .collect();
        effects.push(BrokerEffect::AcknowledgeUnsubscribe { connection, outcomes });
    }

    fn close_subscription(&mut self, connection: ConnectionId, filter: &TopicFilter) -> bool {
        let known = self.sessions.get_mut(&connection).is_some_and(|session| session.filters.remove(filter));
        known && self.subscriptions.remove(filter, connection)
    }

    /// Subscribes a plugin's own topic for it, unless it did so itself (contract section 5).
    pub(super) fn subscribe_primary(
        &mut self,
        now: Monotonic,
        connection: ConnectionId,
        primary: &PrimarySubscription,
        effects: &mut BrokerEffects,
    ) {
        if self.sessions.get(&connection).is_none_or(|session| session.filters.contains(&primary.topic)) {
            return;
        }
        if primary.topic.levels().count() > FILTER_LEVELS {
            let topic = &primary.topic;
            effects.push(BrokerEffect::Anomaly(format!(
                "the primary subscription '{topic}' has over {FILTER_LEVELS} levels."
            )));
            return;
        }
        let qos = QoS::from_level(primary.qos).unwrap_or(QoS::ExactlyOnce);
        let options = Options { qos, no_local: false, retain_as_published: false, identifier: None };
        self.open(connection, &primary.topic, options);
        self.send_retained(now, connection, &primary.topic, options, effects);
    }

    /// New permissions for every session of a component. Subscriptions they do not allow end at once.
    pub(super) fn on_regrant(
        &mut self,
        now: Monotonic,
        component: &Component,
        publish: &[TopicFilter],
        subscribe: &[TopicFilter],
        primary: Option<&PrimarySubscription>,
        effects: &mut BrokerEffects,
    ) {
        let mut changed = Vec::new();
        for (connection, session) in &mut self.sessions {
            // A client with the wrong form of client id has no permissions, whatever the definition says.
            if session.grant.subject.component != *component || session.grant.withheld.is_some() {
                continue;
            }
            let grant = Arc::new(Grant {
                subject: session.grant.subject.clone(),
                publish: publish.to_vec(),
                subscribe: subscribe.to_vec(),
                primary: primary.cloned(),
                withheld: None,
            });
            session.grant = Arc::clone(&grant);
            session.purge();
            let ended: Vec<_> = session.filters.iter().filter_map(|filter| ended(&grant, filter)).collect();
            changed.push((*connection, ended));
        }
        for (connection, ended) in changed {
            for (filter, denial) in ended {
                self.close_subscription(connection, &filter);
                effects.push(BrokerEffect::from(BrokerReport::Denied(denial)));
            }
            if let Some(primary) = primary {
                self.subscribe_primary(now, connection, primary, effects);
            }
        }
    }
}

fn ended(grant: &Grant, filter: &TopicFilter) -> Option<(TopicFilter, crate::acl::Denial)> {
    match grant.decide_subscribe(filter) {
        Decision::Allow => None,
        Decision::Deny(mut denial) => {
            denial.explanation.what = format!("An open subscription ends: {}", denial.explanation.what);
            Some((filter.clone(), *denial))
        }
    }
}

const fn sends_retained(handling: RetainHandling, is_new: bool) -> bool {
    match handling {
        RetainHandling::AtSubscribe => true,
        RetainHandling::AtSubscribeNew => is_new,
        RetainHandling::No => false,
    }
}
