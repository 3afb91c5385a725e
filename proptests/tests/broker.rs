//! Laws of the broker: in any interleaving nobody gets what its grant does not allow, nothing comes from who may not publish it,
//! and who is subscribed gets everything else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    reason = "a test may fail by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};

use castellan_core::acl::Grant;
use castellan_core::acl::topic::{TopicFilter, TopicName};
use castellan_core::broker::effect::{PublishOutcome, SubscribeOutcome, UnsubscribeOutcome};
use castellan_core::broker::event::SubscribeRequest;
use castellan_core::broker::{Broker, BrokerEffect, BrokerSettings, DELIVERY_WINDOW};
use castellan_core::event::BrokerReport;
use castellan_core::id::ConnectionId;
use castellan_core::time::{Monotonic, Now, WallTime};
use castellan_proptests::brokers::{self, Lists, Script, Sent, Step, steps};
use castellan_proptests::laws::config;
use castellan_proptests::topics::matches;
use proptest::prelude::*;

/// A client as the model sees it.
#[derive(Debug)]
struct Client {
    grant: Grant,
    /// Open subscriptions, and whether its own messages are wanted.
    filters: BTreeMap<TopicFilter, bool>,
    will: Option<(u64, String)>,
    handed: usize,
}

impl Client {
    fn may_publish(&self, topic: &str) -> bool {
        let valid = TopicName::parse(topic).is_ok() && !topic.starts_with("$SYS");
        valid && self.grant.publish.iter().any(|filter| matches(filter.as_str(), topic))
    }

    fn may_receive(&self, topic: &str) -> bool {
        let primary = self.grant.primary.iter().map(|primary| &primary.topic);
        self.grant.subscribe.iter().chain(primary).any(|filter| matches(filter.topics(), topic))
    }

    fn may_subscribe(&self, asked: &TopicFilter) -> bool {
        let primary = self.grant.primary.iter().map(|primary| &primary.topic);
        !asked.topics().starts_with("$SYS")
            && self.grant.subscribe.iter().chain(primary).any(|filter| filter.contains(asked))
    }

    fn subscribe_primary(&mut self) {
        if let Some(primary) = &self.grant.primary {
            self.filters.entry(primary.topic.clone()).or_insert(true);
        }
    }
}

#[derive(Default)]
struct Model {
    script: Script,
    wills: BTreeMap<ConnectionId, Option<(u64, String)>>,
    clients: BTreeMap<ConnectionId, Client>,
    /// Messages that somebody was allowed to publish.
    allowed: BTreeSet<u64>,
    reported: BTreeSet<String>,
    finished: bool,
}

impl Model {
    /// Before the broker hears of a step: what it changes.
    fn before(&mut self, step: &Step) {
        for client in self.clients.values() {
            if let Some((number, topic)) = &client.will {
                if client.may_publish(topic) {
                    self.allowed.insert(*number);
                } else {
                    self.allowed.remove(number);
                }
            }
        }
        match step {
            Step::Regrant(number, lists) => {
                let component = brokers::component(*number);
                for client in self.clients.values_mut() {
                    if client.grant.subject.component == component && client.grant.withheld.is_none() {
                        client.grant = brokers::grant(*number, lists, false);
                        let kept = std::mem::take(&mut client.filters);
                        client.filters = kept.into_iter().filter(|(filter, _)| client.may_subscribe(filter)).collect();
                        client.subscribe_primary();
                    }
                }
            }
            Step::Publish(connection, sent) => {
                let connection = self.script.meant(*connection);
                let number = self.script.messages + 1;
                if self.clients.get(&connection).is_some_and(|client| client.may_publish(&sent.topic)) {
                    self.allowed.insert(number);
                }
            }
            Step::Own(_) => {
                self.allowed.insert(self.script.messages + 1);
            }
            Step::Connect { will, .. } => {
                let will = will.as_ref().map(|will| (self.script.messages + 1, will.topic.clone()));
                self.wills.insert(ConnectionId(self.script.connections + 1), will);
            }
            Step::Delivered(connection) => {
                if let Some(client) = self.clients.get_mut(&self.script.meant(*connection)) {
                    client.handed = client.handed.saturating_sub(1);
                }
            }
            Step::Lost(connection) => {
                self.clients.remove(&self.script.meant(*connection));
            }
            _ => {}
        }
    }

    /// What the broker did, effect by effect.
    fn after(&mut self, step: &Step, effects: &[BrokerEffect]) {
        let mut receivers = BTreeSet::new();
        for effect in effects {
            assert!(!self.finished, "{effect:?} after the end");
            match effect {
                BrokerEffect::AcceptConnect { connection, .. } => self.accept(*connection, step),
                BrokerEffect::RefuseConnect { connection, .. } => {
                    assert!(!self.clients.contains_key(connection), "{connection} is refused and connected");
                }
                BrokerEffect::Close { connection, .. } => {
                    assert!(self.clients.remove(connection).is_some(), "{connection} closed without being connected");
                }
                BrokerEffect::Deliver { connection, delivery } => {
                    let number = brokers::number(&delivery.message.payload);
                    let topic = delivery.message.topic.as_str();
                    assert!(self.allowed.contains(&number), "message {number} on '{topic}' was not allowed");
                    let client = self.clients.get_mut(connection).expect("a delivery to nobody");
                    assert!(client.may_receive(topic), "'{topic}' is delivered to {client:?}");
                    assert!(delivery.qos <= delivery.message.qos);
                    client.handed += 1;
                    assert!(client.handed <= DELIVERY_WINDOW);
                    let twice = number == self.script.messages && !receivers.insert(*connection);
                    assert!(!twice || !matches!(step, Step::Publish(..)), "message {number} twice to {connection}");
                }
                BrokerEffect::Report(report) => self.report(report),
                BrokerEffect::Finish => self.finished = true,
                BrokerEffect::Anomaly(text) => assert!(!text.contains("no session"), "{text}"),
                _ => {}
            }
        }
        self.acknowledged(step, effects);
        if let Step::Publish(connection, sent) = step {
            self.complete(self.script.meant(*connection), sent, &receivers);
        }
    }

    fn accept(&mut self, connection: ConnectionId, step: &Step) {
        let Step::Accept { component, lists, withheld, .. } = step else { panic!("{connection} accepted by {step:?}") };
        let grant = brokers::grant(*component, lists, *withheld);
        let mut client = Client { grant, filters: BTreeMap::new(), will: None, handed: 0 };
        let will =
            self.wills.remove(&connection).expect("accepted twice").filter(|(_, topic)| client.may_publish(topic));
        client.will = will;
        client.subscribe_primary();
        assert!(self.clients.insert(connection, client).is_none());
    }

    /// What goes to the agent: watched messages only from who may publish them; each client comes before it goes.
    fn report(&mut self, report: &BrokerReport) {
        match report {
            BrokerReport::Published { payload, topic, .. } => {
                let number = brokers::number(payload);
                assert!(self.allowed.contains(&number), "message {number} on '{topic}' reached the agent");
            }
            BrokerReport::Stopped => assert!(self.reported.insert(String::from("stopped")), "stopped twice"),
            _ => {}
        }
    }

    /// Every packet has exactly one answer, and a subscription is granted exactly where the grant contains it.
    fn acknowledged(&mut self, step: &Step, effects: &[BrokerEffect]) {
        let count = |wanted: fn(&BrokerEffect) -> bool| effects.iter().filter(|effect| wanted(effect)).count();
        let publishes = count(|effect| matches!(effect, BrokerEffect::AcknowledgePublish { .. }));
        let subscribes = count(|effect| matches!(effect, BrokerEffect::AcknowledgeSubscribe { .. }));
        assert_eq!(publishes, usize::from(matches!(step, Step::Publish(..))));
        assert_eq!(subscribes, usize::from(matches!(step, Step::Subscribe(..))));
        for effect in effects {
            match (effect, step) {
                (BrokerEffect::AcknowledgeSubscribe { outcomes, .. }, Step::Subscribe(connection, requests)) => {
                    assert_eq!(outcomes.len(), requests.len());
                    let Some(client) = self.clients.get_mut(&self.script.meant(*connection)) else {
                        assert!(outcomes.iter().all(|outcome| *outcome == SubscribeOutcome::NotAuthorized));
                        continue;
                    };
                    for (outcome, request) in outcomes.iter().zip(requests) {
                        let filter = TopicFilter::parse(&request.filter);
                        let expect = match &filter {
                            Err(_) => SubscribeOutcome::InvalidFilter,
                            Ok(filter) if client.may_subscribe(filter) => SubscribeOutcome::Granted(request.qos),
                            Ok(_) => SubscribeOutcome::NotAuthorized,
                        };
                        assert_eq!(*outcome, expect, "{request:?} of {client:?}");
                        if let (SubscribeOutcome::Granted(_), Ok(filter)) = (outcome, filter) {
                            client.filters.insert(filter, !request.no_local);
                        }
                    }
                }
                (BrokerEffect::AcknowledgeUnsubscribe { outcomes, .. }, Step::Unsubscribe(connection, filters)) => {
                    assert_eq!(outcomes.len(), filters.len());
                    let client = self.clients.get_mut(&self.script.meant(*connection));
                    let mut open = client.map(|client| &mut client.filters);
                    for (outcome, text) in outcomes.iter().zip(filters) {
                        let filter = TopicFilter::parse(text).ok();
                        let removed = filter
                            .is_some_and(|filter| open.as_mut().is_some_and(|open| open.remove(&filter).is_some()));
                        assert_eq!(*outcome == UnsubscribeOutcome::Removed, removed, "{text}");
                    }
                }
                (BrokerEffect::AcknowledgePublish { outcome, .. }, Step::Publish(..)) => {
                    let refused = matches!(outcome, PublishOutcome::NotAuthorized(_));
                    assert!(
                        !refused || !self.allowed.contains(&self.script.messages),
                        "an allowed message was refused"
                    );
                }
                _ => {}
            }
        }
    }

    /// An allowed message reaches everybody who is subscribed and has room: each plain subscriber, one of each group.
    fn complete(&self, publisher: ConnectionId, sent: &Sent, receivers: &BTreeSet<ConnectionId>) {
        if !self.allowed.contains(&self.script.messages) {
            assert_eq!(receivers, &BTreeSet::new());
            return;
        }
        let mut groups: BTreeMap<&TopicFilter, Vec<ConnectionId>> = BTreeMap::new();
        for (connection, client) in self.clients.iter().filter(|(_, client)| client.handed < DELIVERY_WINDOW) {
            let open = client
                .filters
                .iter()
                .filter(|(filter, own)| (**own || *connection != publisher) && matches(filter.topics(), &sent.topic));
            for (filter, _) in open {
                if filter.share_name().is_some() {
                    groups.entry(filter).or_default().push(*connection);
                } else {
                    assert!(receivers.contains(connection), "{sent:?} did not reach {connection}: {client:?}");
                }
            }
        }
        for (filter, members) in groups {
            assert!(members.iter().any(|member| receivers.contains(member)), "{sent:?} reached nobody of {filter}");
        }
    }
}

fn deliveries(effects: &[BrokerEffect]) -> usize {
    effects.iter().filter(|effect| matches!(effect, BrokerEffect::Deliver { .. })).count()
}

fn at(millis: u64) -> Now {
    Now { monotonic: Monotonic::from_millis(millis), wall: WallTime::from_millis(0) }
}

/// Plays the steps to a broker under the eyes of the model; how many messages were delivered.
fn play(steps: &[Step], visible_denials: bool) -> usize {
    let mut broker = Broker::new(BrokerSettings { visible_denials, ..BrokerSettings::default() });
    let (mut model, mut now, mut effects, mut delivered) = (Model::default(), 1000, Vec::new(), 0);
    for step in steps {
        if model.finished {
            break;
        }
        if model.script.connections == 0 && !matches!(step, Step::Connect { .. }) {
            continue;
        }
        if let Step::Wait(millis) = step {
            now += millis;
        }
        model.before(step);
        let event = model.script.event(step);
        broker.handle(at(now), event, &mut effects);
        model.after(step, &effects);
        delivered += deliveries(&effects);
        effects.clear();
        if let (Step::Wait(_), Some(deadline)) = (step, broker.next_deadline()) {
            assert!(deadline.at > at(now).monotonic, "{deadline:?} is over at {now}");
        }
    }
    delivered
}

proptest! {
    #![proptest_config(config(800))]

    #[test]
    fn nobody_gets_or_sends_what_its_grant_does_not_allow(steps in steps(), visible_denials in any::<bool>()) {
        play(&steps, visible_denials);
    }
}

/// The laws speak of something: a message goes from a client to itself, and what waits in a queue goes with the permission.
#[test]
fn the_world_of_these_laws_is_not_empty() {
    let filter = |text: &str| TopicFilter::parse(text).unwrap();
    let lists = Lists { publish: vec![filter("a")], subscribe: vec![filter("a")], primary: None };
    let request = SubscribeRequest::plain(String::from("a"), brokers::level(1));
    let sent = Sent { topic: String::from("a"), qos: 1, retain: false };
    let mut steps = vec![
        Step::Connect { client: 0, will: None },
        Step::Accept { connection: 0, component: 0, lists: lists.clone(), withheld: false },
        Step::Subscribe(0, vec![request]),
        Step::Publish(0, sent.clone()),
    ];
    assert_eq!(play(&steps, false), 1);
    steps.extend(vec![Step::Publish(0, sent); DELIVERY_WINDOW]);
    assert_eq!(play(&steps, false), DELIVERY_WINDOW);
    let taken = vec![Step::Delivered(0); DELIVERY_WINDOW];
    assert_eq!(play(&[&steps[..], &taken].concat(), false), DELIVERY_WINDOW + 1);
    steps.push(Step::Regrant(0, Lists { subscribe: vec![], ..lists }));
    assert_eq!(play(&[&steps[..], &taken].concat(), false), DELIVERY_WINDOW);
}
