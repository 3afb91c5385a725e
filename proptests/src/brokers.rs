//! What may happen to a broker, step by step: plausible and not, over few components, client ids and topics.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use castellan_core::acl::topic::TopicFilter;
use castellan_core::acl::{FilterSet, Grant, PrimarySubscription, Subject};
use castellan_core::broker::BrokerEvent;
use castellan_core::broker::message::{Publication, QoS};
use castellan_core::broker::packet::{
    Connect, Incoming, IncomingPublish, RetainHandling, Step as Acknowledgement, SubscribeRequest, Version, Will,
};
use castellan_core::effect::{BrokerOrder, ConnectRefusal, ConnectVerdict};
use castellan_core::id::{Component, ConnectionId, PluginId, SpawnId};
use castellan_core::why::Explanation;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::topics;

/// The topic lists of a definition.
#[derive(Debug, Clone)]
pub struct Lists {
    /// May be published.
    pub publish: Vec<TopicFilter>,
    /// May be subscribed.
    pub subscribe: Vec<TopicFilter>,
    /// A plugin's own subscription.
    pub primary: Option<TopicFilter>,
}

/// A message that a client or the agent sends.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The topic as sent.
    pub topic: String,
    /// 0 to 2.
    pub qos: u8,
    /// As sent.
    pub retain: bool,
}

/// One step. Connections are meant by their number, modulo those that were ever opened.
#[derive(Debug, Clone)]
pub enum Step {
    /// A new connection sends its CONNECT.
    Connect {
        /// One of few client ids.
        client: u8,
        /// Its will.
        will: Option<Sent>,
        /// Whether it goes on with a session that was kept, and wants its own kept.
        stays: bool,
    },
    /// The agent accepts a connection as this component.
    Accept {
        /// Which.
        connection: u64,
        /// One of few components, each one process.
        component: u8,
        /// What it may do.
        lists: Lists,
        /// Whether it is connected without permissions.
        withheld: bool,
    },
    /// The agent refuses a connection.
    Refuse(u64),
    /// A client publishes.
    Publish(u64, Sent),
    /// A client subscribes.
    Subscribe(u64, Vec<SubscribeRequest>),
    /// A client unsubscribes.
    Unsubscribe(u64, Vec<String>),
    /// A client says goodbye; whether it wants its will.
    Disconnect(u64, bool),
    /// A connection ends.
    Lost(u64),
    /// A client takes the oldest message of QoS 1 or 2 that it has not taken.
    Taken(u64),
    /// A definition changes.
    Regrant(u8, Lists),
    /// A process is no longer trusted.
    Revoke(u8),
    /// The agent publishes.
    Own(Sent),
    /// So many milliseconds go by.
    Wait(u64),
    /// The agent stops.
    Stop,
}

/// Some steps.
pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Now and then so many messages at once that they have to wait in a client's queue.
    let burst = (0..6_u64, sent(), 60..75_usize)
        .prop_map(|(connection, sent, times)| vec![Step::Publish(connection, sent); times]);
    let some = prop_oneof![40 => step().prop_map(|step| vec![step]), 1 => burst];
    vec(some, 1..60).prop_map(|steps| steps.concat())
}

fn step() -> impl Strategy<Value = Step> {
    let connection = || 0..6_u64;
    let component = || 0..3_u8;
    let requests = vec(request(), 1..4);
    prop_oneof![
        40 => (0..4_u8, option::weighted(0.3, sent()), any::<bool>())
            .prop_map(|(client, will, stays)| Step::Connect { client, will, stays }),
        40 => (connection(), component(), lists(), prop::bool::weighted(0.1))
            .prop_map(|(connection, component, lists, withheld)| Step::Accept { connection, component, lists, withheld }),
        3 => connection().prop_map(Step::Refuse),
        90 => (connection(), sent()).prop_map(|(connection, sent)| Step::Publish(connection, sent)),
        60 => (connection(), requests).prop_map(|(connection, requests)| Step::Subscribe(connection, requests)),
        10 => (connection(), vec(wanted(), 1..3)).prop_map(|(connection, filters)| Step::Unsubscribe(connection, filters)),
        5 => (connection(), any::<bool>()).prop_map(|(connection, keep)| Step::Disconnect(connection, keep)),
        10 => connection().prop_map(Step::Lost),
        20 => connection().prop_map(Step::Taken),
        25 => (component(), lists()).prop_map(|(component, lists)| Step::Regrant(component, lists)),
        6 => component().prop_map(Step::Revoke),
        6 => sent().prop_map(Step::Own),
        15 => (0..4000_u64).prop_map(Step::Wait),
        1 => Just(Step::Stop),
    ]
}

fn lists() -> impl Strategy<Value = Lists> {
    let filters = || vec(topics::filter(3), 0..3);
    (filters(), filters(), option::weighted(0.3, topics::filter(2))).prop_map(|(publish, subscribe, primary)| Lists {
        publish,
        subscribe,
        primary,
    })
}

fn sent() -> impl Strategy<Value = Sent> {
    let watched = select(&["KeeperLogger", "EventMessages", "$SYS/a", "a/+"][..]).prop_map(str::to_owned);
    let topic = prop_oneof![12 => topics::topic(3).prop_map(|topic| topic.to_string()), 1 => watched];
    (topic, 0..3_u8, prop::bool::weighted(0.3)).prop_map(|(topic, qos, retain)| Sent { topic, qos, retain })
}

fn wanted() -> impl Strategy<Value = String> {
    let plain = topics::filter(3).prop_map(|filter| filter.to_string());
    let shared = topics::filter(2).prop_map(|filter| format!("$share/g/{filter}"));
    prop_oneof![10 => plain, 2 => shared, 1 => Just(String::from("a#"))]
}

fn request() -> impl Strategy<Value = SubscribeRequest> {
    let handling = select(&[RetainHandling::AtSubscribe, RetainHandling::AtSubscribeNew, RetainHandling::No][..]);
    (wanted(), 0..3_u8, any::<bool>(), any::<bool>(), handling).prop_map(
        |(filter, qos, no_local, retain_as_published, retain_handling)| SubscribeRequest {
            filter,
            qos: level(qos),
            no_local,
            retain_as_published,
            retain_handling,
        },
    )
}

/// The level of a number.
pub fn level(qos: u8) -> QoS {
    QoS::from_level(qos).unwrap_or_default()
}

/// One of few components.
pub fn component(number: u8) -> Component {
    match PluginId::parse(&format!("P{number}")) {
        Ok(id) => Component::Plugin(id),
        Err(invalid) => unreachable!("{invalid:?}"),
    }
}

/// The process tree of a component; trees are counted from 1.
pub const fn spawn(number: u8) -> SpawnId {
    SpawnId((number as u64).saturating_add(1))
}

fn primary(topic: &TopicFilter) -> PrimarySubscription {
    PrimarySubscription { topic: topic.clone(), qos: 2, clean_session: true }
}

/// What the agent would grant.
pub fn grant(number: u8, lists: &Lists, withheld: bool) -> Grant {
    let pid = 100_u32.saturating_add(u32::from(number));
    let component = component(number);
    let client_id = format!("{}_{pid}", component.id());
    let subject = Subject { component, run: None, spawn: spawn(number), pid, client_id };
    if withheld {
        let withheld = Some(Explanation::new("Wrong form.", "It is a test.", "Nothing."));
        let nothing = FilterSet::default;
        return Grant { subject, publish: nothing(), subscribe: nothing(), primary: None, user: None, withheld };
    }
    let Lists { publish, subscribe, primary: topic } = lists.clone();
    let primary = topic.as_ref().map(primary);
    Grant { subject, publish: publish.into(), subscribe: subscribe.into(), primary, user: None, withheld: None }
}

/// QoS 1 and 2 messages that a client of these laws takes at a time: few, so that others wait.
pub const AT_A_TIME: u16 = 8;

/// Turns steps into events; each message carries its number as its payload.
#[derive(Debug, Default)]
pub struct Script {
    /// Messages that each connection got and has not taken: packet identifier and level.
    pub untaken: BTreeMap<ConnectionId, VecDeque<(u16, QoS)>>,
    packets: u16,
    /// Connections opened so far.
    pub connections: u64,
    /// Messages sent so far.
    pub messages: u64,
}

impl Script {
    /// The connection that a step means.
    pub fn meant(&self, number: u64) -> ConnectionId {
        ConnectionId(number.checked_rem(self.connections).unwrap_or_default().saturating_add(1))
    }

    /// The next event; `None` for a step that only lets time go by.
    pub fn event(&mut self, step: &Step) -> BrokerEvent {
        match step {
            Step::Connect { client, will, stays } => {
                self.connections = self.connections.saturating_add(1);
                let will = will.as_ref().map(|will| Will { publication: self.publication(will), delay_seconds: 0 });
                let version = if client.is_multiple_of(2) { Version::V5 } else { Version::V311 };
                let connect = Connect {
                    will,
                    clean_start: !stays,
                    session_expiry_seconds: if *stays { u32::MAX } else { 0 },
                    receive_maximum: AT_A_TIME,
                    ..Connect::plain(version, format!("client-{client}"))
                };
                let (connection, connect) = (ConnectionId(self.connections), Box::new(connect));
                let peer = Box::default();
                BrokerEvent::ConnectReceived { connection, connect, peer, certificate: None }
            }
            Step::Accept { connection, component, lists, withheld } => {
                let verdict = ConnectVerdict::Accept(Arc::new(grant(*component, lists, *withheld)));
                BrokerEvent::Ordered(BrokerOrder::AnswerConnect { connection: self.meant(*connection), verdict })
            }
            Step::Refuse(connection) => {
                let explanation = Explanation::new("Refused.", "It is a test.", "Nothing.");
                let verdict = ConnectVerdict::Refuse { reason: ConnectRefusal::NotAuthorized, explanation };
                BrokerEvent::Ordered(BrokerOrder::AnswerConnect { connection: self.meant(*connection), verdict })
            }
            Step::Publish(connection, sent) => {
                let publication = self.publication(sent);
                let packet = (publication.qos > QoS::AtMostOnce).then(|| self.next_packet());
                self.received(
                    *connection,
                    Incoming::Publish(IncomingPublish { packet, dup: false, alias: None, publication }),
                )
            }
            Step::Subscribe(connection, requests) => {
                let packet = self.next_packet();
                self.received(*connection, Incoming::Subscribe { packet, requests: requests.clone(), identifier: None })
            }
            Step::Unsubscribe(connection, filters) => {
                let packet = self.next_packet();
                self.received(*connection, Incoming::Unsubscribe { packet, filters: filters.clone() })
            }
            Step::Disconnect(connection, keep_will) => {
                let goodbye = Incoming::Disconnect { keep_will: *keep_will, session_expiry_seconds: None };
                self.received(*connection, goodbye)
            }
            Step::Lost(connection) => BrokerEvent::ConnectionLost {
                connection: self.meant(*connection),
                reason: String::from("it is a test"),
            },
            Step::Taken(connection) => self.taken(*connection),
            Step::Regrant(number, lists) => {
                let Lists { publish, subscribe, primary: topic } = lists.clone();
                let primary = topic.as_ref().map(primary);
                BrokerEvent::Ordered(BrokerOrder::Regrant {
                    component: component(*number),
                    publish: publish.into(),
                    subscribe: subscribe.into(),
                    primary,
                })
            }
            Step::Revoke(number) => BrokerEvent::Ordered(BrokerOrder::Revoke { spawn: spawn(*number) }),
            Step::Own(sent) => {
                let Publication { topic, payload, retain, .. } = self.publication(sent);
                BrokerEvent::Ordered(BrokerOrder::Publish { topic, payload: payload.to_vec(), qos: sent.qos, retain })
            }
            Step::Wait(_) => BrokerEvent::DeadlineReached,
            Step::Stop => BrokerEvent::Ordered(BrokerOrder::Stop),
        }
    }

    fn taken(&mut self, connection: u64) -> BrokerEvent {
        let untaken = self.untaken.get_mut(&self.meant(connection)).and_then(VecDeque::pop_front);
        let (packet, step) = match untaken {
            Some((packet, QoS::ExactlyOnce)) => (packet, Acknowledgement::Rec),
            Some((packet, _)) => (packet, Acknowledgement::Ack),
            None => (u16::MAX, Acknowledgement::Ack),
        };
        // A refusal finishes a message of QoS 2 in one step.
        let failed = step == Acknowledgement::Rec;
        self.received(connection, Incoming::Acknowledgement { step, packet, failed })
    }

    fn received(&self, connection: u64, packet: Incoming) -> BrokerEvent {
        BrokerEvent::Received { connection: self.meant(connection), packet }
    }

    const fn next_packet(&mut self) -> u16 {
        self.packets = self.packets.saturating_add(1);
        self.packets
    }

    fn publication(&mut self, sent: &Sent) -> Publication {
        self.messages = self.messages.saturating_add(1);
        let payload = Arc::from(self.messages.to_le_bytes());
        let Sent { topic, qos, retain } = sent.clone();
        Publication { topic, payload, qos: level(qos), retain, expiry_seconds: None, properties: None }
    }
}

/// The number that a payload carries.
pub fn number(payload: &[u8]) -> u64 {
    payload.try_into().map_or(0, u64::from_le_bytes)
}
