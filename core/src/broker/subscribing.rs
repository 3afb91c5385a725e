//! From SUBSCRIBE to SUBACK, filter by filter; a plugin's primary subscription; new permissions for open sessions.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::effect::{BrokerEffect, BrokerEffects};
use super::message::QoS;
use super::packet::{Outgoing, ReasonCode, RetainHandling, SubscribeOutcome, SubscribeRequest, UnsubscribeOutcome};
use super::session::{Replay, Session, SessionId};
use super::subscriptions::Options;
use super::{Broker, SUBSCRIPTIONS_PER_CLIENT};
use crate::acl::topic::TopicFilter;
use crate::acl::{Action, Decision, FilterSet, Grant, PrimarySubscription};
use crate::id::Component;
use crate::limits::FILTER_LEVELS;
use crate::time::Monotonic;
use crate::why::Explanation;

impl Broker {
    pub(super) fn on_subscribe(
        &mut self,
        now: Monotonic,
        id: SessionId,
        packet: u16,
        requests: Vec<SubscribeRequest>,
        identifier: Option<u32>,
        effects: &mut BrokerEffects,
    ) {
        if requests.iter().any(|request| request.no_local && request.filter.starts_with("$share/")) {
            let note = String::from("A shared subscription cannot have No Local.");
            self.close_with(now, id, ReasonCode::ProtocolError, Some(note), effects);
            return;
        }
        let mut outcomes = Vec::with_capacity(requests.len());
        if requests.len() > SUBSCRIPTIONS_PER_CLIENT {
            self.refuse_subscription(now, id, "a SUBSCRIBE of too many filters", effects);
        }
        for request in requests {
            // One packet has room for more filters than anybody else could wait for.
            let decided = if outcomes.len() < SUBSCRIPTIONS_PER_CLIENT {
                self.decide_subscription(now, id, &request.filter, effects)
            } else {
                Err(SubscribeOutcome::QuotaExceeded)
            };
            let outcome = match decided {
                Ok(filter) => {
                    let options = Options {
                        qos: request.qos,
                        no_local: request.no_local,
                        retain_as_published: request.retain_as_published,
                        identifier,
                    };
                    self.open(id, &filter, options, request.retain_handling);
                    SubscribeOutcome::Granted(request.qos)
                }
                Err(outcome) => outcome,
            };
            outcomes.push(outcome);
        }
        self.send(id, Outgoing::SubscribeAck { packet, outcomes }, effects);
        self.hand_over(now, id, effects);
    }

    /// Checks one filter: its form, the grant, the bounds.
    fn decide_subscription(
        &mut self,
        now: Monotonic,
        id: SessionId,
        text: &str,
        effects: &mut BrokerEffects,
    ) -> Result<TopicFilter, SubscribeOutcome> {
        let Ok(filter) = TopicFilter::parse(text) else {
            return Err(SubscribeOutcome::InvalidFilter);
        };
        let Some(session) = self.sessions.get(&id) else {
            return Err(SubscribeOutcome::NotAuthorized);
        };
        if let Decision::Deny(denial) = session.grant.decide_subscribe(&filter) {
            self.report_denial(now, id, *denial, effects);
            return Err(SubscribeOutcome::NotAuthorized);
        }
        let is_new = !session.filters.contains_key(&filter);
        if filter.levels().count() > FILTER_LEVELS || (is_new && session.filters.len() >= SUBSCRIPTIONS_PER_CLIENT) {
            self.refuse_subscription(now, id, text, effects);
            return Err(SubscribeOutcome::QuotaExceeded);
        }
        Ok(filter)
    }

    /// Reports what is over the bounds, as often as other refusals.
    fn refuse_subscription(&mut self, now: Monotonic, id: SessionId, target: &str, effects: &mut BrokerEffects) {
        let Some(session) = self.sessions.get(&id) else {
            return;
        };
        let subject = &session.grant.subject;
        let explanation = Explanation::new(
            format!("'{}' was refused a subscription.", subject.client_id),
            format!("A client has at most {SUBSCRIPTIONS_PER_CLIENT} of at most {FILTER_LEVELS} levels."),
            "Subscribe to fewer filters, with wildcards.",
        );
        let denial = subject.denial(Action::Subscribe, target, explanation, None);
        self.report_denial(now, id, denial, effects);
    }

    /// Adds a subscription; its retained messages follow as the client takes them (MQTT 5.0 3.3.1.3).
    fn open(&mut self, id: SessionId, filter: &TopicFilter, options: Options, handling: RetainHandling) {
        let is_new = self.subscriptions.insert(filter, id, options);
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.filters.insert(filter.clone(), options);
        let wanted = match handling {
            RetainHandling::AtSubscribe => true,
            RetainHandling::AtSubscribeNew => is_new,
            RetainHandling::No => false,
        };
        session.replays.retain(|replay| replay.filter != *filter);
        if wanted && filter.share_name().is_none() {
            session.replays.push_back(Replay { filter: filter.clone(), options, after: None });
        }
        self.note_session(id);
    }

    pub(super) fn on_unsubscribe(
        &mut self,
        id: SessionId,
        packet: u16,
        filters: &[String],
        effects: &mut BrokerEffects,
    ) {
        let outcomes = filters
            .iter()
            .map(|text| match TopicFilter::parse(text) {
                Ok(filter) if self.close_subscription(id, &filter) => UnsubscribeOutcome::Removed,
                Ok(_) => UnsubscribeOutcome::NoneExisted,
                Err(_) => UnsubscribeOutcome::InvalidFilter,
            })
            .collect();
        self.send(id, Outgoing::UnsubscribeAck { packet, outcomes }, effects);
    }

    fn close_subscription(&mut self, id: SessionId, filter: &TopicFilter) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else {
            return false;
        };
        session.replays.retain(|replay| replay.filter != *filter);
        let removed = session.filters.remove(filter).is_some() && self.subscriptions.remove(filter, id);
        self.note_session(id);
        removed
    }

    /// Subscribes a plugin's own topic for it, unless it did so itself (contract section 5).
    pub(super) fn subscribe_primary(
        &mut self,
        id: SessionId,
        primary: &PrimarySubscription,
        effects: &mut BrokerEffects,
    ) {
        if self.sessions.get(&id).is_none_or(|session| session.filters.contains_key(&primary.topic)) {
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
        self.open(id, &primary.topic, options, RetainHandling::AtSubscribe);
    }

    /// Ends the subscriptions that the session's grant does not allow (any more).
    pub(super) fn check_subscriptions(&mut self, now: Monotonic, id: SessionId, effects: &mut BrokerEffects) {
        let Some(session) = self.sessions.get(&id) else {
            return;
        };
        let ended: Vec<_> = session.filters.keys().filter_map(|filter| ended(&session.grant, filter)).collect();
        for (filter, denial) in ended {
            self.close_subscription(id, &filter);
            self.report_denial(now, id, denial, effects);
        }
    }

    /// New permissions for every session of a component. Subscriptions they do not allow end at once.
    pub(super) fn on_regrant(
        &mut self,
        now: Monotonic,
        component: &Component,
        publish: &FilterSet,
        subscribe: &FilterSet,
        primary: Option<&PrimarySubscription>,
        effects: &mut BrokerEffects,
    ) {
        let mut changed = Vec::new();
        for (id, session) in &mut self.sessions {
            // A client with the wrong form of client id has no permissions, whatever the definition says.
            if session.grant.subject.component != *component || session.grant.withheld.is_some() {
                continue;
            }
            session.grant = Arc::new(Grant {
                subject: session.grant.subject.clone(),
                publish: publish.clone(),
                subscribe: subscribe.clone(),
                primary: primary.cloned(),
                user: session.grant.user,
                withheld: None,
            });
            session.counted(&mut self.ledger, Session::purge);
            changed.push(*id);
        }
        for id in changed {
            self.check_subscriptions(now, id, effects);
            if let Some(primary) = primary {
                self.subscribe_primary(id, primary, effects);
            }
            self.hand_over(now, id, effects);
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
