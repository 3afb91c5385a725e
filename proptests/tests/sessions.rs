//! Laws of sessions: over connections that are cut at any moment, with whatever was under way lost, a message of QoS 1 arrives at
//! least once, a message of QoS 2 exactly once, and both in their order (MQTT 5.0 4.3, 4.4, 4.6). Over crashes of the agent, what was
//! acknowledged arrives.
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
use std::sync::Arc;

use castellan_core::acl::topic::TopicFilter;
use castellan_core::broker::message::{Publication, QoS};
use castellan_core::broker::packet::{
    Connect, Incoming, IncomingPublish, Outgoing, Step as Acknowledgement, SubscribeRequest, Version,
};
use castellan_core::broker::stored::{Batch, Stored};
use castellan_core::broker::{Broker, BrokerEffect, BrokerEvent, BrokerSettings};
use castellan_core::effect::{BrokerOrder, ConnectVerdict};
use castellan_core::id::ConnectionId;
use castellan_core::time::{Monotonic, Now, WallTime};
use castellan_core::trust::PeerFacts;
use castellan_proptests::brokers::{self, Lists, level, number};
use castellan_proptests::laws::config;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// What may happen next.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The writer sends one more message, of this QoS.
    Write(u8),
    /// A client's oldest packet arrives at the broker.
    Up(usize),
    /// The broker's oldest packet arrives at a client.
    Down(usize),
    /// A client's connection is cut, and what was under way is lost.
    Cut(usize),
    /// The disk has written what it was asked to, or fails to.
    Disk(bool),
    /// The agent is killed, and with it both clients. All start again with what is on disk.
    Crash,
    /// Time passes.
    Wait,
}

const WRITER: usize = 0;
const READER: usize = 1;

/// A client that keeps its session over its connections, as MQTT 5.0 4.1 wants it.
#[derive(Debug, Default)]
struct Peer {
    connection: Option<ConnectionId>,
    up: VecDeque<Incoming>,
    down: VecDeque<Outgoing>,
    /// What it sent and is not finished: the message while it waits for PUBACK or PUBREC, nothing while it waits for PUBCOMP.
    sent: BTreeMap<u16, Option<IncomingPublish>>,
    packets: u16,
    /// Messages of QoS 2 that it has and were not released.
    held: BTreeSet<u16>,
    /// What it gave to its application.
    got: Vec<(u64, QoS)>,
    /// What was acknowledged to it.
    acknowledged: BTreeSet<u64>,
}

impl Peer {
    fn acknowledge(&mut self, step: Acknowledgement, packet: u16) {
        self.up.push_back(Incoming::Acknowledgement { step, packet, failed: false });
    }

    fn send(&mut self, publication: Publication) {
        self.packets += 1;
        let publish = IncomingPublish { packet: Some(self.packets), dup: false, alias: None, publication };
        self.sent.insert(self.packets, Some(publish.clone()));
        if self.connection.is_some() {
            self.up.push_back(Incoming::Publish(publish));
        }
    }

    /// What it sends again on a new connection.
    fn send_again(&mut self) {
        for (packet, publish) in self.sent.clone() {
            match publish {
                Some(publish) => self.up.push_back(Incoming::Publish(IncomingPublish { dup: true, ..publish })),
                None => self.acknowledge(Acknowledgement::Rel, packet),
            }
        }
    }

    fn finish(&mut self, packet: u16) {
        let message = self.sent.remove(&packet).flatten();
        self.acknowledged.extend(message.map(|publish| number(&publish.publication.payload)));
    }

    fn take(&mut self, packet: Outgoing) {
        match packet {
            Outgoing::Publish(delivery) => {
                let message = (number(&delivery.message.payload), delivery.qos);
                match (delivery.qos, delivery.packet) {
                    (QoS::AtLeastOnce, Some(packet)) => {
                        self.got.push(message);
                        self.acknowledge(Acknowledgement::Ack, packet);
                    }
                    (QoS::ExactlyOnce, Some(packet)) => {
                        if self.held.insert(packet) {
                            self.got.push(message);
                        }
                        self.acknowledge(Acknowledgement::Rec, packet);
                    }
                    other => panic!("{other:?}"),
                }
            }
            Outgoing::Acknowledgement { step, packet, .. } => match step {
                Acknowledgement::Ack | Acknowledgement::Comp => {
                    self.finish(packet);
                }
                Acknowledgement::Rec => {
                    self.finish(packet);
                    self.sent.insert(packet, None);
                    self.acknowledge(Acknowledgement::Rel, packet);
                }
                Acknowledgement::Rel => {
                    self.held.remove(&packet);
                    self.acknowledge(Acknowledgement::Comp, packet);
                }
            },
            _ => {}
        }
    }
}

struct World {
    broker: Broker,
    peers: [Peer; 2],
    connections: u64,
    written: Vec<QoS>,
    receive_maximum: u16,
    now: u64,
    stored: Stored,
    /// The batch that the disk has to write.
    batch: Option<Batch>,
}

impl World {
    fn new(receive_maximum: u16) -> Self {
        let broker = Broker::new(BrokerSettings::default());
        let mut world = Self {
            broker,
            peers: [Peer::default(), Peer::default()],
            connections: 0,
            written: vec![],
            receive_maximum,
            now: 0,
            stored: Stored::default(),
            batch: None,
        };
        world.connect(WRITER);
        world.connect(READER);
        world.subscribe();
        world
    }

    fn subscribe(&mut self) {
        let requests = vec![SubscribeRequest::plain(String::from("a"), QoS::ExactlyOnce)];
        let packet = Incoming::Subscribe { packet: 1, requests, identifier: None };
        self.tell(BrokerEvent::Received { connection: self.peers[READER].connection.unwrap(), packet });
    }

    fn tell(&mut self, event: BrokerEvent) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let mut effects = Vec::new();
            self.broker.handle(self.clocks(), event, &mut effects);
            for effect in effects {
                match effect {
                    BrokerEffect::Send { connection, packet } => {
                        let peer = self.peers.iter_mut().find(|peer| peer.connection == Some(connection));
                        peer.expect("a packet to nobody").down.push_back(packet);
                    }
                    BrokerEffect::AwaitFlush { connection } => events.push_back(BrokerEvent::Flushed { connection }),
                    BrokerEffect::Save(batch) => assert!(self.batch.replace(*batch).is_none(), "one at a time"),
                    BrokerEffect::Close { .. } => panic!("{effect:?}"),
                    BrokerEffect::Anomaly(text) => assert!(text.contains("saved"), "{text}"),
                    _ => {}
                }
            }
        }
    }

    fn clocks(&self) -> Now {
        let wall = WallTime::from_millis(i64::try_from(self.now).unwrap());
        Now { monotonic: Monotonic::from_millis(self.now), wall }
    }

    fn connect(&mut self, which: usize) {
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        let component = u8::try_from(which).unwrap();
        let filters = || vec![TopicFilter::parse("a").unwrap()];
        let grant =
            brokers::grant(component, &Lists { publish: filters(), subscribe: filters(), primary: None }, false);
        let connect = Connect {
            clean_start: false,
            session_expiry_seconds: 3600,
            receive_maximum: self.receive_maximum,
            ..Connect::plain(Version::V5, grant.subject.client_id.clone())
        };
        self.peers[which].connection = Some(connection);
        let (connect, peer) = (Box::new(connect), Box::new(PeerFacts::default()));
        self.tell(BrokerEvent::ConnectReceived { connection, connect, peer, certificate: None });
        let verdict = ConnectVerdict::Accept(Arc::new(grant));
        self.tell(BrokerEvent::Ordered(BrokerOrder::AnswerConnect { connection, verdict }));
        self.peers[which].send_again();
    }

    fn cut(&mut self, which: usize) {
        let connection = self.peers[which].connection.take().unwrap();
        self.peers[which].up.clear();
        self.peers[which].down.clear();
        self.tell(BrokerEvent::ConnectionLost { connection, reason: String::from("cut") });
        self.connect(which);
    }

    fn disk(&mut self, works: bool) -> bool {
        let Some(batch) = self.batch.take() else { return false };
        if works {
            self.stored.keep(&batch);
        }
        let result = if works { Ok(()) } else { Err(String::from("full")) };
        self.tell(BrokerEvent::Saved { number: batch.number, result });
        true
    }

    fn crash(&mut self) {
        self.batch = None;
        for peer in &mut self.peers {
            let Peer { got, acknowledged, .. } = std::mem::take(peer);
            *peer = Peer { got, acknowledged, ..Peer::default() };
        }
        let (broker, effects) = Broker::restore(BrokerSettings::default(), self.clocks(), self.stored.clone());
        assert!(effects.is_empty(), "{effects:?}");
        self.broker = broker;
        self.connect(WRITER);
        self.connect(READER);
        self.subscribe();
    }

    /// Longer than a failed disk is left alone, shorter than a client waits for it.
    fn wait(&mut self) {
        self.now += 2000;
        self.tell(BrokerEvent::DeadlineReached);
    }

    fn up(&mut self, which: usize) -> bool {
        let Some(packet) = self.peers[which].up.pop_front() else { return false };
        self.tell(BrokerEvent::Received { connection: self.peers[which].connection.unwrap(), packet });
        true
    }

    fn down(&mut self, which: usize) -> bool {
        let Some(packet) = self.peers[which].down.pop_front() else { return false };
        self.peers[which].take(packet);
        true
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Write(qos) => {
                let payload = Arc::from(u64::try_from(self.written.len()).unwrap().to_le_bytes());
                self.written.push(level(qos));
                let topic = String::from("a");
                let (qos, retain) = (level(qos), false);
                let publication = Publication { topic, payload, qos, retain, expiry_seconds: None, properties: None };
                self.peers[WRITER].send(publication);
            }
            Step::Up(which) => {
                self.up(which);
            }
            Step::Down(which) => {
                self.down(which);
            }
            Step::Cut(which) => self.cut(which),
            Step::Disk(works) => {
                self.disk(works);
            }
            Step::Crash => self.crash(),
            Step::Wait => self.wait(),
        }
    }

    /// Everything arrives that is under way.
    fn settle(&mut self) {
        for _ in 0..2 {
            while [WRITER, READER].into_iter().any(|which| self.up(which) || self.down(which)) || self.disk(true) {}
            self.wait();
        }
    }
}

/// The messages of one level in the order of their first arrival, and all arrivals.
fn arrived(got: &[(u64, QoS)], wanted: QoS) -> (Vec<u64>, Vec<u64>) {
    let all: Vec<u64> = got.iter().filter(|(_, qos)| *qos == wanted).map(|(message, _)| *message).collect();
    let mut seen = BTreeSet::new();
    (all.iter().copied().filter(|message| seen.insert(*message)).collect(), all)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = || select(&[WRITER, READER][..]);
    let step = prop_oneof![
        3 => (1..3_u8).prop_map(Step::Write),
        8 => which().prop_map(Step::Up),
        8 => which().prop_map(Step::Down),
        1 => which().prop_map(Step::Cut),
        4 => prop::bool::weighted(0.9).prop_map(Step::Disk),
        1 => Just(Step::Wait),
    ];
    vec(step, 1..200)
}

fn steps_with_crashes() -> impl Strategy<Value = Vec<Step>> {
    vec(steps(), 1..4).prop_map(|lives| lives.join(&Step::Crash))
}

fn play(steps: &[Step], receive_maximum: u16) -> World {
    let mut world = World::new(receive_maximum);
    for step in steps {
        world.step(*step);
    }
    world.settle();
    world
}

proptest! {
    #![proptest_config(config(1500))]

    #[test]
    fn nothing_is_lost_and_qos_2_comes_once(steps in steps(), receive_maximum in 1..6_u16) {
        let mut world = play(&steps, receive_maximum);
        let of = |wanted: QoS| {
            let written = (0_u64..).zip(&world.written);
            written.filter(|(_, qos)| **qos == wanted).map(|(message, _)| message).collect::<Vec<_>>()
        };
        let got = &world.peers[READER].got;
        prop_assert_eq!(arrived(got, QoS::AtLeastOnce).0, of(QoS::AtLeastOnce));
        prop_assert_eq!(arrived(got, QoS::ExactlyOnce).1, of(QoS::ExactlyOnce));
        prop_assert!(world.peers.iter().all(|peer| peer.sent.is_empty() && peer.held.is_empty()));
        let before = world.peers[READER].got.len();
        world.cut(READER);
        world.settle();
        prop_assert_eq!(world.peers[READER].got.len(), before, "everything was finished");
    }
}

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn what_was_acknowledged_survives_the_agent(steps in steps_with_crashes(), receive_maximum in 1..6_u16) {
        let world = play(&steps, receive_maximum);
        let got: BTreeSet<u64> = world.peers[READER].got.iter().map(|(message, _)| *message).collect();
        let lost: Vec<_> = world.peers[WRITER].acknowledged.difference(&got).collect();
        prop_assert!(lost.is_empty(), "acknowledged and lost: {:?}", lost);
        prop_assert_eq!(&world.stored.waiting, &vec![], "what arrived is not kept");
    }
}

/// That law speaks of something, too: an acknowledged message that its reader did not get before the crash comes after it.
#[test]
fn a_crash_leaves_something_to_deliver() {
    let write = [Step::Disk(true), Step::Wait, Step::Write(1), Step::Up(WRITER)];
    let crash = [Step::Disk(true), Step::Disk(true), Step::Down(WRITER), Step::Down(WRITER), Step::Crash];
    let world = play(&[&write[..], &crash].concat(), 5);
    assert_eq!(world.peers[WRITER].acknowledged.len(), 1);
    assert_eq!(world.peers[READER].got.len(), 1);
}

/// The law speaks of something: a cut at the wrong moment repeats a message of QoS 1, and none of QoS 2.
#[test]
fn the_world_of_this_law_is_not_empty() {
    for (qos, copies) in [(1, 2), (2, 1)] {
        let steps = [
            Step::Write(qos),
            Step::Up(WRITER),
            Step::Down(READER),
            Step::Down(READER),
            Step::Down(READER),
            Step::Cut(READER),
        ];
        let world = play(&steps, 5);
        assert_eq!(world.peers[READER].got.len(), copies, "QoS {qos}");
    }
}
