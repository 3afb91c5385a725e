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

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use castellan_core::acl::Grant;
use castellan_core::acl::topic::{TopicFilter, TopicName};
use castellan_core::broker::packet::{
    Outgoing, ReasonCode, Step as Acknowledgement, SubscribeOutcome, SubscribeRequest, UnsubscribeOutcome,
};
use castellan_core::broker::{Broker, BrokerEffect, BrokerEvent, BrokerSettings};
use castellan_core::event::BrokerReport;
use castellan_core::id::ConnectionId;
use castellan_core::time::{Monotonic, Now, WallTime};
use castellan_proptests::brokers::{self, Lists, Script, Sent, Step, steps};
use castellan_proptests::laws::config;
use castellan_proptests::topics::matches;
use proptest::prelude::*;

/// A client's session as the model sees it.
#[derive(Debug)]
struct Client {
    grant: Grant,
    /// Open subscriptions, and whether its own messages are wanted.
    filters: BTreeMap<TopicFilter, bool>,
    will: Option<(u64, String)>,
    stays: bool,
}

/// A CONNECT that waits for its answer.
#[derive(Debug, Clone)]
struct Asked {
    client: u8,
    will: Option<(u64, String)>,
    stays: bool,
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
    asked: BTreeMap<ConnectionId, Asked>,
    /// Connected clients.
    clients: BTreeMap<ConnectionId, (u8, Client)>,
    /// Sessions without a connection.
    offline: BTreeMap<u8, Client>,
    /// Messages that somebody was allowed to publish.
    allowed: BTreeSet<u64>,
    reported: BTreeSet<String>,
    finished: bool,
}

impl Model {
    /// Before the broker hears of a step: what it changes.
    fn before(&mut self, step: &Step) {
        for client in self.clients.values().map(|(_, client)| client) {
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
                let online = self.clients.values_mut().map(|(_, client)| client);
                for client in online.chain(self.offline.values_mut()) {
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
                if self.clients.get(&connection).is_some_and(|(_, client)| client.may_publish(&sent.topic)) {
                    self.allowed.insert(number);
                }
            }
            Step::Own(_) => {
                self.allowed.insert(self.script.messages + 1);
            }
            Step::Connect { client, will, stays } => {
                let will = will.as_ref().map(|will| (self.script.messages + 1, will.topic.clone()));
                let asked = Asked { client: *client, will, stays: *stays };
                self.asked.insert(ConnectionId(self.script.connections + 1), asked);
            }
            Step::Lost(connection) | Step::Disconnect(connection, _) => self.leave(self.script.meant(*connection)),
            _ => {}
        }
    }

    /// The connected clients for whom nothing waits: they can take one more message.
    fn ready(&self) -> BTreeSet<ConnectionId> {
        let untaken = |connection| self.script.untaken.get(connection).map_or(0, VecDeque::len);
        let ready = self.clients.keys().filter(|connection| untaken(connection) < usize::from(brokers::AT_A_TIME));
        ready.copied().collect()
    }

    /// What the broker did, effect by effect.
    fn after(&mut self, step: &Step, effects: &[BrokerEffect]) {
        let mut receivers = BTreeSet::new();
        let ready = self.ready();
        for effect in effects {
            assert!(!self.finished, "{effect:?} after the end");
            match effect {
                BrokerEffect::Send { connection, packet } => match packet {
                    Outgoing::ConnectAck(answer) => self.accept(*connection, step, answer.session_present),
                    Outgoing::ConnectRefused { .. } => {
                        assert!(!self.clients.contains_key(connection), "{connection} is refused and connected");
                    }
                    Outgoing::Publish(delivery) => {
                        let number = brokers::number(&delivery.message.payload);
                        let topic = delivery.message.topic.as_str();
                        assert!(self.allowed.contains(&number), "message {number} on '{topic}' was not allowed");
                        let (_, client) = self.clients.get(connection).expect("a delivery to nobody");
                        assert!(client.may_receive(topic), "'{topic}' is delivered to {client:?}");
                        assert!(delivery.qos <= delivery.message.qos);
                        if let Some(packet) = delivery.packet {
                            let untaken = self.script.untaken.entry(*connection).or_default();
                            untaken.push_back((packet, delivery.qos));
                            assert!(untaken.len() <= usize::from(brokers::AT_A_TIME));
                        }
                        receivers.insert(*connection);
                    }
                    _ => {}
                },
                BrokerEffect::Close { connection, reason: Some(_), .. } => {
                    assert!(self.clients.contains_key(connection), "{connection} closed without being connected");
                    self.leave(*connection);
                }
                BrokerEffect::Report(report) => self.report(report),
                BrokerEffect::Finish => self.finished = true,
                BrokerEffect::Anomaly(text) => assert!(!text.contains("is gone"), "{text}"),
                _ => {}
            }
        }
        self.acknowledged(step, effects);
        if let Step::Publish(connection, sent) = step {
            self.complete(self.script.meant(*connection), sent, &ready, &receivers);
        }
    }

    fn leave(&mut self, connection: ConnectionId) {
        self.script.untaken.remove(&connection);
        if let Some((number, client)) = self.clients.remove(&connection).filter(|(_, client)| client.stays) {
            self.offline.insert(number, client);
        }
    }

    fn accept(&mut self, connection: ConnectionId, step: &Step, session_present: bool) {
        let Step::Accept { component, lists, withheld, .. } = step else { panic!("{connection} accepted by {step:?}") };
        let Asked { client: number, will, stays } = self.asked.remove(&connection).expect("accepted twice");
        let grant = brokers::grant(*component, lists, *withheld);
        let kept = self.offline.remove(&number);
        let kept = kept.filter(|former| stays && former.grant.subject.spawn == grant.subject.spawn);
        assert_eq!(session_present, kept.is_some(), "{connection}");
        let filters = kept.map(|former| former.filters).unwrap_or_default();
        let mut client = Client { grant, filters, will: None, stays };
        client.will = will.filter(|(_, topic)| client.may_publish(topic));
        let kept = std::mem::take(&mut client.filters);
        client.filters = kept.into_iter().filter(|(filter, _)| client.may_subscribe(filter)).collect();
        client.subscribe_primary();
        assert!(self.clients.insert(connection, (number, client)).is_none());
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
        let packets = effects.iter().filter_map(|effect| match effect {
            BrokerEffect::Send { packet, .. } => Some(packet),
            _ => None,
        });
        let mut answers = 0;
        for packet in packets {
            match (packet, step) {
                (Outgoing::SubscribeAck { outcomes, .. }, Step::Subscribe(connection, requests)) => {
                    answers += 1;
                    assert_eq!(outcomes.len(), requests.len());
                    self.subscribed(self.script.meant(*connection), outcomes, requests);
                }
                (Outgoing::UnsubscribeAck { outcomes, .. }, Step::Unsubscribe(connection, filters)) => {
                    answers += 1;
                    assert_eq!(outcomes.len(), filters.len());
                    let (_, client) =
                        self.clients.get_mut(&self.script.meant(*connection)).expect("an answer to nobody");
                    for (outcome, text) in outcomes.iter().zip(filters) {
                        let filter = TopicFilter::parse(text).ok();
                        let removed = filter.is_some_and(|filter| client.filters.remove(&filter).is_some());
                        assert_eq!(*outcome == UnsubscribeOutcome::Removed, removed, "{text}");
                    }
                }
                (Outgoing::Acknowledgement { step: Acknowledgement::Ack | Acknowledgement::Rec, reason, .. }, _) => {
                    answers += 1;
                    let refused = *reason == ReasonCode::NotAuthorized;
                    assert!(
                        !refused || !self.allowed.contains(&self.script.messages),
                        "an allowed message was refused"
                    );
                }
                _ => {}
            }
        }
        let connected = |connection: u64| usize::from(self.clients.contains_key(&self.script.meant(connection)));
        let expected = match step {
            Step::Publish(connection, sent) if sent.qos > 0 => connected(*connection),
            Step::Subscribe(connection, requests) if requests.iter().all(is_lawful) => connected(*connection),
            Step::Unsubscribe(connection, _) => connected(*connection),
            _ => 0,
        };
        assert_eq!(answers, expected, "{step:?}: {effects:?}");
    }

    fn subscribed(&mut self, connection: ConnectionId, outcomes: &[SubscribeOutcome], requests: &[SubscribeRequest]) {
        let (_, client) = self.clients.get_mut(&connection).expect("an answer to nobody");
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

    /// An allowed message reaches everybody who is subscribed and has room: each plain subscriber, one of each group.
    fn complete(
        &self,
        publisher: ConnectionId,
        sent: &Sent,
        ready: &BTreeSet<ConnectionId>,
        receivers: &BTreeSet<ConnectionId>,
    ) {
        if !self.allowed.contains(&self.script.messages) {
            assert_eq!(receivers, &BTreeSet::new());
            return;
        }
        let mut groups: BTreeMap<&TopicFilter, Vec<ConnectionId>> = BTreeMap::new();
        for (connection, (_, client)) in &self.clients {
            if !ready.contains(connection) {
                continue;
            }
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
        // A group may choose a member for whom others wait already.
        for (filter, members) in groups.into_iter().filter(|_| ready.len() == self.clients.len()) {
            assert!(members.iter().any(|member| receivers.contains(member)), "{sent:?} reached nobody of {filter}");
        }
    }
}

/// A shared subscription cannot have No Local.
fn is_lawful(request: &SubscribeRequest) -> bool {
    !(request.no_local && request.filter.starts_with("$share/"))
}

fn deliveries(effects: &[BrokerEffect]) -> usize {
    let is_delivery =
        |effect: &&BrokerEffect| matches!(effect, BrokerEffect::Send { packet: Outgoing::Publish(_), .. });
    effects.iter().filter(is_delivery).count()
}

/// The peer reads at once, and the disk writes at once.
fn answer(effect: &BrokerEffect) -> Option<BrokerEvent> {
    match effect {
        BrokerEffect::AwaitFlush { connection } => Some(BrokerEvent::Flushed { connection: *connection }),
        BrokerEffect::Save(batch) => Some(BrokerEvent::Saved { number: batch.number, result: Ok(()) }),
        _ => None,
    }
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
        let mut seen = 0;
        while let Some(effect) = effects.get(seen) {
            seen += 1;
            if let Some(event) = answer(effect) {
                broker.handle(at(now), event, &mut effects);
            }
        }
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
    let at_a_time = usize::from(brokers::AT_A_TIME);
    let mut steps = vec![
        Step::Connect { client: 0, will: None, stays: true },
        Step::Accept { connection: 0, component: 0, lists: lists.clone(), withheld: false },
        Step::Subscribe(0, vec![request]),
        Step::Publish(0, sent.clone()),
    ];
    assert_eq!(play(&steps, false), 1);
    steps.extend(vec![Step::Publish(0, sent); at_a_time]);
    assert_eq!(play(&steps, false), at_a_time);
    let taken = vec![Step::Taken(0); at_a_time];
    assert_eq!(play(&[&steps[..], &taken].concat(), false), at_a_time + 1);
    let accept = Step::Accept { connection: 1, component: 0, lists: lists.clone(), withheld: false };
    let back = [Step::Lost(0), Step::Connect { client: 0, will: None, stays: true }, accept];
    assert_eq!(play(&[&steps[..], &back].concat(), false), 2 * at_a_time, "what was not taken is sent again");
    steps.push(Step::Regrant(0, Lists { subscribe: vec![], ..lists }));
    assert_eq!(play(&[&steps[..], &taken].concat(), false), at_a_time);
}
