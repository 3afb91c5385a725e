//! The broker machine as stories: events in, effects out, no network.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    reason = "the arithmetic of a test may panic, and it picks the one effect it asks about"
)]

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use std::vec;
use std::vec::Vec;

use super::message::{Delivery, Publication, QoS};
use super::packet::{
    Connect, Incoming, IncomingPublish, Outgoing, ReasonCode, RetainHandling, Step, SubscribeOutcome, SubscribeRequest,
    UnsubscribeOutcome, Version, Will,
};
use super::stored::{Batch, Stored};
use super::{
    Broker, BrokerEffect, BrokerEvent, BrokerSettings, CONNECT_VERDICT_MILLIS, REVOKE_GRACE_MILLIS, STOP_MILLIS,
};
use crate::acl::topic::TopicFilter;
use crate::acl::{Denial, FilterSet, Grant, PrimarySubscription, Subject};
use crate::effect::{BrokerOrder, ConnectRefusal, ConnectVerdict};
use crate::event::BrokerReport;
use crate::id::{Component, ConnectionId, JobId, PluginId, SpawnId};
use crate::time::{Monotonic, Now, WallTime};
use crate::trust::PeerFacts;
use crate::why::Explanation;

mod administrators;
mod denials;
mod durable;
mod limits;
mod sessions;
mod users;

/// A broker with a clock and the effects of the last event.
struct Story {
    broker: Broker,
    now: u64,
    effects: Vec<BrokerEffect>,
    /// The packet identifier of the last packet that a client sent.
    packet: u16,
    disk: Disk,
}

/// What becomes of a batch.
#[derive(Debug, Default)]
struct Disk {
    stored: Stored,
    state: DiskState,
    /// The batch that was not answered yet.
    waits: Option<Batch>,
    /// Changes of the largest batch that was kept.
    largest: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum DiskState {
    #[default]
    Works,
    Fails,
    Hangs,
}

fn filters(list: &[&str]) -> FilterSet {
    list.iter().map(|text| TopicFilter::parse(text).unwrap()).collect::<Vec<_>>().into()
}

fn grant(spawn: u64, publish: &[&str], subscribe: &[&str]) -> Grant {
    let component = Component::Job(JobId::parse("scan").unwrap());
    let client_id = format!("scan_Tok_{spawn}");
    let subject = Subject { component, run: None, spawn: SpawnId(spawn), pid: 100, client_id };
    Grant {
        subject,
        publish: filters(publish),
        subscribe: filters(subscribe),
        primary: None,
        user: None,
        withheld: None,
    }
}

fn publication(topic: &str, payload: &str, qos: QoS) -> Publication {
    let payload = Arc::from(payload.as_bytes());
    Publication { topic: topic.to_string(), payload, qos, retain: false, expiry_seconds: None, properties: None }
}

impl Story {
    fn new(settings: BrokerSettings) -> Self {
        Self { broker: Broker::new(settings), now: 1000, effects: Vec::new(), packet: 0, disk: Disk::default() }
    }

    fn tell(&mut self, event: BrokerEvent) -> &mut Self {
        let monotonic = Monotonic::from_millis(self.now);
        self.effects.clear();
        self.broker.handle(self.clocks(), event, &mut self.effects);
        self.save();
        // A deadline that is over must be gone after it was told (machine rule 4).
        if let Some(deadline) = self.broker.next_deadline() {
            assert!(deadline.at >= monotonic, "{deadline:?} at {monotonic:?}");
        }
        self
    }

    fn clocks(&self) -> Now {
        Now {
            monotonic: Monotonic::from_millis(self.now),
            wall: WallTime::from_millis(i64::try_from(self.now).unwrap()),
        }
    }

    /// Does what was asked of the disk, which may ask for more.
    fn save(&mut self) {
        let batches = |effects: &[BrokerEffect]| -> Vec<Batch> {
            effects
                .iter()
                .filter_map(
                    |effect| if let BrokerEffect::Save(batch) = effect { Some((**batch).clone()) } else { None },
                )
                .collect()
        };
        let mut asked = batches(&self.effects);
        assert!(asked.len() <= 1 && (asked.is_empty() || self.disk.waits.is_none()), "one batch at a time");
        self.disk.waits = self.disk.waits.take().or(asked.pop());
        while self.disk.state != DiskState::Hangs {
            let Some(batch) = self.disk.waits.take() else {
                return;
            };
            let works = self.disk.state == DiskState::Works;
            if works {
                self.disk.stored.keep(&batch);
                self.disk.largest = self.disk.largest.max(batch.changes.len());
            }
            let result = if works { Ok(()) } else { Err(String::from("the disk is full")) };
            let mut more = Vec::new();
            self.broker.handle(self.clocks(), BrokerEvent::Saved { number: batch.number, result }, &mut more);
            self.disk.waits = batches(&more).pop();
            self.effects.extend(more);
        }
    }

    fn pass(&mut self, millis: u64) -> &mut Self {
        self.now += millis;
        self.tell(BrokerEvent::DeadlineReached)
    }

    fn order(&mut self, order: BrokerOrder) -> &mut Self {
        self.tell(BrokerEvent::Ordered(order))
    }

    fn ask(&mut self, number: u64, client_id: &str, version: Version, will: Option<Publication>) -> &mut Self {
        let will = will.map(|publication| Will { publication, delay_seconds: 0 });
        self.ask_with(number, Connect { will, ..Connect::plain(version, client_id.to_string()) })
    }

    fn ask_with(&mut self, number: u64, connect: Connect) -> &mut Self {
        let peer = Box::new(PeerFacts { own_end_established: true, ..PeerFacts::default() });
        let connect = Box::new(connect);
        let connection = ConnectionId(number);
        self.tell(BrokerEvent::ConnectReceived { connection, connect, peer, certificate: None })
    }

    fn admit(&mut self, number: u64, grant: Grant, will: Option<Publication>) -> &mut Self {
        let client_id = grant.subject.client_id.clone();
        self.ask(number, &client_id, Version::V5, will);
        self.accept(number, grant)
    }

    /// Connects with what `change` makes of a plain CONNECT.
    fn admit_with(&mut self, number: u64, grant: Grant, change: impl FnOnce(&mut Connect)) -> &mut Self {
        let mut connect = Connect::plain(Version::V5, grant.subject.client_id.clone());
        change(&mut connect);
        self.ask_with(number, connect);
        self.accept(number, grant)
    }

    fn accept(&mut self, number: u64, grant: Grant) -> &mut Self {
        let verdict = ConnectVerdict::Accept(Arc::new(grant));
        self.order(BrokerOrder::AnswerConnect { connection: ConnectionId(number), verdict })
    }

    fn receive(&mut self, number: u64, packet: Incoming) -> &mut Self {
        self.tell(BrokerEvent::Received { connection: ConnectionId(number), packet })
    }

    fn publish(&mut self, number: u64, publication: Publication) -> &mut Self {
        let packet = (publication.qos > QoS::AtMostOnce).then(|| self.next_packet());
        self.receive(number, Incoming::Publish(IncomingPublish { packet, dup: false, alias: None, publication }))
    }

    fn next_packet(&mut self) -> u16 {
        self.packet += 1;
        self.packet
    }

    fn acknowledge(&mut self, number: u64, step: Step, packet: u16) -> &mut Self {
        self.receive(number, Incoming::Acknowledgement { step, packet, failed: false })
    }

    fn leave(&mut self, number: u64, keep_will: bool) -> &mut Self {
        self.receive(number, Incoming::Disconnect { keep_will, session_expiry_seconds: None })
    }

    fn packets(&self) -> Vec<(u64, Outgoing)> {
        let packets = self.effects.iter().filter_map(|effect| match effect {
            BrokerEffect::Send { connection, packet } => Some((connection.0, packet.clone())),
            _ => None,
        });
        packets.collect()
    }

    fn subscribe(&mut self, number: u64, list: &[&str]) -> Vec<SubscribeOutcome> {
        let requests = list.iter().map(|text| SubscribeRequest::plain(text.to_string(), QoS::ExactlyOnce)).collect();
        self.subscribe_with(number, requests, None)
    }

    fn subscribe_with(
        &mut self,
        number: u64,
        requests: Vec<SubscribeRequest>,
        identifier: Option<u32>,
    ) -> Vec<SubscribeOutcome> {
        let packet = self.next_packet();
        self.receive(number, Incoming::Subscribe { packet, requests, identifier });
        let answers = self.packets().into_iter().filter_map(|(_, answer)| match answer {
            Outgoing::SubscribeAck { outcomes, packet: answered } if answered == packet => Some(outcomes),
            _ => None,
        });
        let answers: Vec<_> = answers.collect();
        assert!(answers.len() <= 1, "one SUBACK");
        answers.into_iter().flatten().collect()
    }

    fn lose(&mut self, number: u64) -> &mut Self {
        let reason = String::from("gone");
        self.tell(BrokerEvent::ConnectionLost { connection: ConnectionId(number), reason })
    }

    fn deliveries(&self) -> Vec<(u64, Delivery)> {
        let deliveries = self.packets().into_iter().filter_map(|(to, packet)| match packet {
            Outgoing::Publish(delivery) => Some((to, delivery)),
            _ => None,
        });
        deliveries.collect()
    }

    /// Receiver, topic, payload of each delivery.
    fn sent(&self) -> Vec<(u64, String, String)> {
        let text = |payload: &[u8]| String::from_utf8(payload.to_vec()).unwrap();
        let sent = self.deliveries().into_iter();
        sent.map(|(to, delivery)| (to, delivery.message.topic.to_string(), text(&delivery.message.payload))).collect()
    }

    fn receivers(&self) -> Vec<u64> {
        self.deliveries().into_iter().map(|(to, _)| to).collect()
    }

    /// Step, packet identifier, reason of each acknowledgement.
    fn steps(&self) -> Vec<(Step, u16, ReasonCode)> {
        let steps = self.packets().into_iter().filter_map(|(_, packet)| match packet {
            Outgoing::Acknowledgement { step, packet, reason, .. } => Some((step, packet, reason)),
            _ => None,
        });
        steps.collect()
    }

    fn outcome(&self) -> ReasonCode {
        match self.steps().as_slice() {
            [(Step::Ack | Step::Rec, _, reason)] => *reason,
            other => panic!("not one acknowledgement: {other:?}"),
        }
    }

    fn reports(&self) -> Vec<BrokerReport> {
        let reports = self.effects.iter().filter_map(|effect| match effect {
            BrokerEffect::Report(report) => Some((**report).clone()),
            _ => None,
        });
        reports.collect()
    }

    fn denials(&self) -> Vec<Denial> {
        let denials = self.reports().into_iter().filter_map(|report| match report {
            BrokerReport::Denied(denial) => Some(denial),
            _ => None,
        });
        denials.collect()
    }

    fn closed(&self) -> Vec<(u64, ReasonCode)> {
        let closed = self.effects.iter().filter_map(|effect| match effect {
            BrokerEffect::Close { connection, reason: Some(reason), .. } => Some((connection.0, *reason)),
            _ => None,
        });
        closed.collect()
    }

    fn refusal(&self) -> Option<ConnectRefusal> {
        self.packets().into_iter().find_map(|(_, packet)| match packet {
            Outgoing::ConnectRefused { reason, .. } => Some(reason),
            _ => None,
        })
    }

    fn has(&self, wanted: impl Fn(&BrokerEffect) -> bool) -> bool {
        self.effects.iter().any(wanted)
    }

    fn is_anomaly(&self) -> bool {
        self.has(|effect| matches!(effect, BrokerEffect::Anomaly(_)))
    }
}

fn quiet() -> Story {
    Story::new(BrokerSettings::default())
}

const ONE: QoS = QoS::AtLeastOnce;

#[test]
fn a_connect_waits_for_its_verdict_and_not_longer() {
    let mut story = quiet();
    story.ask(1, "a_T_1", Version::V5, None);
    assert!(
        matches!(story.reports().as_slice(), [BrokerReport::ConnectAsked { client_id, .. }] if client_id == "a_T_1")
    );
    assert_eq!(story.broker.next_deadline().unwrap().at, Monotonic::from_millis(1000 + CONNECT_VERDICT_MILLIS));
    assert_eq!(story.pass(CONNECT_VERDICT_MILLIS - 1).refusal(), None);
    assert_eq!(story.pass(1).refusal(), Some(ConnectRefusal::ServerUnavailable));
    assert_eq!(story.denials().len(), 1, "it is on record");
    let verdict = ConnectVerdict::Accept(Arc::new(grant(1, &[], &[])));
    assert!(story.order(BrokerOrder::AnswerConnect { connection: ConnectionId(1), verdict }).effects.is_empty());
    assert!(!story.lose(1).is_anomaly());
    assert_eq!(story.broker.next_deadline(), None);
}

#[test]
fn a_refusal_is_passed_on() {
    let mut story = quiet();
    story.ask(1, "a_T_1", Version::V311, None);
    let explanation = Explanation::new("No.", "Because.", "Do.");
    let verdict = ConnectVerdict::Refuse { reason: ConnectRefusal::NotAuthorized, explanation };
    story.order(BrokerOrder::AnswerConnect { connection: ConnectionId(1), verdict });
    assert_eq!(story.refusal(), Some(ConnectRefusal::NotAuthorized));
    assert!(story.reports().is_empty(), "the agent knows already");
}

#[test]
fn too_many_connects_at_once_are_told_to_come_again() {
    let mut story = quiet();
    for number in 0..super::HELD_CONNECTS as u64 {
        assert_eq!(story.ask(number, "a", Version::V5, None).refusal(), None);
    }
    assert_eq!(story.ask(999, "a", Version::V5, None).refusal(), Some(ConnectRefusal::ServerUnavailable));
}

#[test]
fn an_allowed_message_goes_to_its_subscribers_at_the_lower_qos() {
    let mut story = quiet();
    story.admit(1, grant(1, &["a/#"], &[]), None).admit(2, grant(2, &[], &["a/#"]), None).admit(
        3,
        grant(3, &[], &["a/#"]),
        None,
    );
    assert_eq!(story.subscribe(2, &["a/b", "a/#"]), vec![SubscribeOutcome::Granted(QoS::ExactlyOnce); 2]);
    let low = SubscribeRequest::plain(String::from("a/+"), QoS::AtMostOnce);
    story.subscribe_with(3, vec![low], Some(9));
    story.publish(1, publication("a/b", "x", ONE));
    assert_eq!(story.outcome(), ReasonCode::Success);
    let deliveries = story.deliveries();
    assert_eq!(story.receivers(), vec![2, 3], "once each, though two filters of the first match");
    assert_eq!(deliveries.iter().map(|(_, delivery)| delivery.qos).collect::<Vec<_>>(), vec![ONE, QoS::AtMostOnce]);
    assert_eq!(deliveries.last().unwrap().1.identifiers, vec![9]);
    assert!(story.reports().is_empty(), "nobody watches this topic");
}

#[test]
fn a_denied_message_reaches_nobody() {
    for (visible_denials, version, visible) in
        [(false, Version::V5, false), (true, Version::V5, true), (true, Version::V311, false)]
    {
        let mut story = Story::new(BrokerSettings { visible_denials, ..BrokerSettings::default() });
        let writer = grant(1, &["KeeperLogger"], &[]);
        story.ask(1, "scan_Tok_1", version, None).accept(1, writer);
        story.admit(2, grant(2, &[], &["#"]), None).subscribe(2, &["#"]);
        let mut retained = publication("EventMessages", "{}", QoS::ExactlyOnce);
        retained.retain = true;
        story.publish(1, retained);
        assert_eq!(story.outcome() == ReasonCode::NotAuthorized, visible);
        assert!(story.deliveries().is_empty());
        assert!(matches!(story.reports().as_slice(), [BrokerReport::Denied(denial)] if denial.declaration.is_some()));
        assert!(story.closed().is_empty());
        story.admit(3, grant(3, &[], &["#"]), None).subscribe(3, &["#"]);
        assert!(story.deliveries().is_empty(), "and is not retained");
    }
}

#[test]
fn watched_topics_are_handed_to_the_agent_and_routed() {
    let mut story = quiet();
    story.admit(1, grant(1, &["KeeperLogger", "x"], &["KeeperLogger"]), None).subscribe(1, &["KeeperLogger"]);
    story.publish(1, publication("KeeperLogger", "{}", ONE));
    assert!(matches!(story.reports().as_slice(), [BrokerReport::Published { topic, .. }] if topic == "KeeperLogger"));
    assert_eq!(story.receivers(), vec![1]);
    let payload = b"{}".to_vec();
    story.order(BrokerOrder::Publish { topic: String::from("KeeperLogger"), payload, qos: 0, retain: false });
    assert!(story.reports().is_empty(), "the agent's own message is no news to it");
    assert_eq!(story.receivers(), vec![1]);
}

#[test]
fn each_filter_is_decided_by_itself() {
    let mut story = quiet();
    story.admit(1, grant(1, &[], &["a/#", "deep/#"]), None);
    let deep = format!("deep{}", "/x".repeat(200));
    let outcomes = story.subscribe(1, &["a/b", "b", "a/#/c", "$share/g/a/+", "$share/g/c", "$share//a", &deep]);
    let granted = SubscribeOutcome::Granted(QoS::ExactlyOnce);
    let (denied, invalid) = (SubscribeOutcome::NotAuthorized, SubscribeOutcome::InvalidFilter);
    assert_eq!(outcomes, vec![granted, denied, invalid, granted, denied, invalid, SubscribeOutcome::QuotaExceeded]);
    assert_eq!(story.denials().len(), 3, "two permissions and a bound");
}

#[test]
fn subscriptions_of_one_client_are_bounded() {
    let mut story = quiet();
    story.admit(1, grant(1, &[], &["a/#"]), None);
    for number in 0..super::SUBSCRIPTIONS_PER_CLIENT {
        assert_eq!(story.subscribe(1, &[&format!("a/{number}")]), vec![SubscribeOutcome::Granted(QoS::ExactlyOnce)]);
    }
    assert_eq!(
        story.subscribe(1, &["a/new", "a/0"]),
        vec![SubscribeOutcome::QuotaExceeded, SubscribeOutcome::Granted(QoS::ExactlyOnce),]
    );
    story.lose(1);
    assert!(story.broker.subscriptions.is_empty(), "nothing of a client is left behind");
}

#[test]
fn unsubscribing() {
    let mut story = quiet();
    story.admit(1, grant(1, &["a"], &["a"]), None).subscribe(1, &["a"]);
    let filters = vec![String::from("a"), String::from("a"), String::from("#a")];
    story.receive(1, Incoming::Unsubscribe { packet: 9, filters });
    let expect = [UnsubscribeOutcome::Removed, UnsubscribeOutcome::NoneExisted, UnsubscribeOutcome::InvalidFilter];
    let answer = Outgoing::UnsubscribeAck { packet: 9, outcomes: expect.to_vec() };
    assert_eq!(story.packets(), vec![(1, answer)]);
    assert!(story.publish(1, publication("a", "x", ONE)).deliveries().is_empty());
}

#[test]
fn shared_subscriptions_take_turns() {
    let mut story = quiet();
    story.admit(1, grant(1, &["a"], &[]), None).admit(2, grant(2, &[], &["a"]), None).admit(
        3,
        grant(3, &[], &["a"]),
        None,
    );
    story.subscribe(2, &["$share/g/a"]);
    story.subscribe(3, &["$share/g/a"]);
    let mut receivers: Vec<u64> =
        (0..4).flat_map(|_| story.publish(1, publication("a", "x", ONE)).receivers()).collect();
    receivers.sort_unstable();
    assert_eq!(receivers, vec![2, 2, 3, 3]);
}

#[test]
fn subscription_options_are_kept() {
    let mut story = quiet();
    story.admit(1, grant(1, &["a"], &["a"]), None);
    let mut request = SubscribeRequest::plain(String::from("a"), ONE);
    request.no_local = true;
    story.subscribe_with(1, vec![request.clone()], None);
    assert!(story.publish(1, publication("a", "own", ONE)).deliveries().is_empty());
    let mut retained = publication("a", "kept", ONE);
    retained.retain = true;
    story.publish(1, retained.clone());
    for (handling, expect) in
        [(RetainHandling::AtSubscribe, 1), (RetainHandling::AtSubscribeNew, 0), (RetainHandling::No, 0)]
    {
        request.retain_handling = handling;
        story.subscribe_with(1, vec![request.clone()], None);
        assert_eq!(story.deliveries().len(), expect, "{handling:?}");
    }
    request.no_local = false;
    request.retain_as_published = true;
    story.subscribe_with(1, vec![request], None);
    assert!(story.publish(1, retained).deliveries().iter().all(|(_, delivery)| delivery.retain));
}

#[test]
fn retained_messages_are_kept_replaced_expired_and_deleted() {
    let mut story = quiet();
    story.admit(1, grant(1, &["#"], &["#"]), None);
    let retained = |topic: &str, payload: &str| Publication { retain: true, ..publication(topic, payload, ONE) };
    story.publish(1, retained("a/1", "old"));
    story.publish(1, retained("a/1", "new"));
    story.publish(1, Publication { expiry_seconds: Some(5), ..retained("a/2", "short") });
    story.publish(1, retained("a/3", "gone"));
    story.publish(1, retained("a/3", ""));
    story.now += 1500;
    story.subscribe(1, &["a/+"]);
    assert_eq!(story.sent(), vec![(1, "a/1".into(), "new".into()), (1, "a/2".into(), "short".into())]);
    assert!(story.deliveries().iter().all(|(_, delivery)| delivery.retain));
    assert_eq!(story.deliveries().last().unwrap().1.expiry_seconds, Some(4), "what is left, rounded up");
    story.now += 3500;
    story.subscribe(1, &["a/2"]);
    assert!(story.deliveries().is_empty());
}

#[test]
fn a_full_queue_drops_qos_0_first_and_says_so_and_closes_who_does_not_read() {
    let mut story = Story::new(BrokerSettings { max_queued_messages: 2, ..BrokerSettings::default() });
    story.admit(1, grant(1, &["a"], &[]), None);
    story.admit_with(2, grant(2, &[], &["a"]), |connect| connect.receive_maximum = 1).subscribe(2, &["a"]);
    assert_eq!(story.publish(1, publication("a", "in flight", ONE)).receivers(), vec![2]);
    let dropped = |story: &Story| -> Vec<u64> {
        let counts = story.reports().into_iter().filter_map(|report| match report {
            BrokerReport::Dropped { messages, .. } => Some(messages),
            _ => None,
        });
        counts.collect()
    };
    for (payload, qos, expect) in [
        ("q1", ONE, vec![]),
        ("q0", QoS::AtMostOnce, vec![]),
        ("drops q0", QoS::AtMostOnce, vec![1]),
        ("drops it too", ONE, vec![]),
        ("lost", QoS::AtMostOnce, vec![]),
    ] {
        story.publish(1, publication("a", payload, qos));
        assert!(story.deliveries().is_empty(), "the window is full");
        assert_eq!(dropped(&story), expect, "{payload}");
        assert!(story.closed().is_empty());
    }
    assert_eq!(story.acknowledge(2, Step::Ack, 1).sent(), vec![(2, "a".into(), "q1".into())]);
    assert!(dropped(&story).is_empty());
    assert_eq!(story.acknowledge(2, Step::Ack, 2).sent(), vec![(2, "a".into(), "drops it too".into())]);
    assert_eq!(dropped(&story), vec![3], "summed up when it is over");
    for payload in ["waits", "waits too"] {
        assert!(story.publish(1, publication("a", payload, ONE)).closed().is_empty());
    }
    assert_eq!(story.publish(1, publication("a", "no room", ONE)).closed(), vec![(2, ReasonCode::QuotaExceeded)]);
    assert_eq!(story.broker.ledger.bytes, 0, "what it left is given back");
}

#[test]
fn a_limit_of_0_queued_messages_still_delivers() {
    let mut story = Story::new(BrokerSettings { max_queued_messages: 0, ..BrokerSettings::default() });
    story.admit(1, grant(1, &["a"], &["a"]), None).subscribe(1, &["a"]);
    assert_eq!(story.publish(1, publication("a", "x", ONE)).receivers(), vec![1]);
}

#[test]
fn wills() {
    let will = || Some(publication("a/will", "dead", ONE));
    let story = |permitted: &[&str]| {
        let mut story = quiet();
        story.admit(2, grant(2, &[], &["#"]), None).subscribe(2, &["#"]);
        story.admit(1, grant(1, permitted, &[]), will());
        story
    };
    let dead = vec![(2, String::from("a/will"), String::from("dead"))];
    assert_eq!(story(&["a/#"]).lose(1).sent(), dead);

    let mut polite = story(&["a/#"]);
    assert!(polite.leave(1, false).deliveries().is_empty());
    assert!(polite.lose(1).effects.is_empty());

    let mut asking = story(&["a/#"]);
    assert_eq!(asking.leave(1, true).sent(), dead);

    let mut undeclared = story(&["b"]);
    assert!(undeclared.denials().first().is_some_and(|denial| denial.target == "a/will"));
    assert!(undeclared.lose(1).deliveries().is_empty());

    let mut withdrawn = story(&["a/#"]);
    let component = Component::Job(JobId::parse("scan").unwrap());
    withdrawn.order(BrokerOrder::Regrant {
        component,
        publish: filters(&[]),
        subscribe: filters(&["#"]),
        primary: None,
    });
    assert!(withdrawn.lose(1).deliveries().is_empty());
    assert_eq!(withdrawn.denials().len(), 1);

    let mut revoked = story(&["a/#"]);
    revoked.order(BrokerOrder::Revoke { spawn: SpawnId(1) });
    revoked.pass(REVOKE_GRACE_MILLIS);
    assert!(revoked.deliveries().is_empty());
    assert_eq!(revoked.denials().len(), 1);

    let mut taken = story(&["a/#"]);
    assert_eq!(taken.admit(3, grant(1, &["a/#"], &[]), None).sent(), dead);
    assert!(taken.lose(1).deliveries().is_empty(), "once only");
}

#[test]
fn only_the_same_process_takes_a_client_id_over() {
    let mut story = quiet();
    story.admit(1, grant(1, &[], &["a"]), None).subscribe(1, &["a"]);
    story.admit(2, grant(1, &[], &["a"]), None);
    assert_eq!(story.closed(), vec![(1, ReasonCode::SessionTakenOver)]);
    assert!(matches!(story.reports().as_slice(), [BrokerReport::Disconnected { .. }, BrokerReport::Connected { .. }]));
    assert!(story.lose(1).reports().is_empty(), "the end of the old one does not touch the new one");
    let mut other = grant(7, &[], &[]);
    other.subject.client_id = String::from("scan_Tok_1");
    story.admit(3, other, None);
    assert_eq!(story.refusal(), Some(ConnectRefusal::ClientIdentifierNotValid));
    assert!(story.closed().is_empty());
    story.lose(2);
    story.admit(4, grant(1, &[], &[]), None);
    assert_eq!(story.refusal(), None);
}

#[test]
fn a_revoked_process_keeps_its_connection_for_the_grace() {
    let mut story = quiet();
    story.admit(1, grant(1, &["a"], &["a"]), None).admit(2, grant(2, &[], &[]), None);
    story.order(BrokerOrder::Revoke { spawn: SpawnId(1) });
    assert!(story.closed().is_empty());
    story.now += 100;
    story.order(BrokerOrder::Revoke { spawn: SpawnId(1) });
    story.publish(1, publication("a", "last words", ONE));
    assert!(story.denials().is_empty());
    assert!(story.pass(REVOKE_GRACE_MILLIS - 101).closed().is_empty());
    assert_eq!(story.pass(1).closed(), vec![(1, ReasonCode::NotAuthorized)], "the second order did not prolong it");
    assert!(
        story.publish(1, publication("a", "too late", ONE)).effects.is_empty(),
        "a message may cross with the close"
    );
    assert!(story.lose(1).reports().is_empty(), "its disconnect was reported at the close");
}

#[test]
fn a_plugins_primary_subscription_is_made_for_it() {
    let topic = TopicFilter::parse("Echo").unwrap();
    let primary = PrimarySubscription { topic, qos: 1, clean_session: true };
    let plugin = Component::Plugin(PluginId::parse("Echo").unwrap());
    let mut echo = grant(1, &["Echo"], &[]);
    echo.subject.component = plugin.clone();
    echo.primary = Some(primary.clone());
    let mut story = quiet();
    story.admit(1, echo, None);
    story.publish(1, publication("Echo", "x", QoS::ExactlyOnce));
    assert_eq!(story.deliveries().iter().map(|(_, delivery)| delivery.qos).collect::<Vec<_>>(), vec![ONE]);
    assert_eq!(story.subscribe(1, &["Echo"]), vec![SubscribeOutcome::Granted(QoS::ExactlyOnce)]);
    assert_eq!(story.publish(1, publication("Echo", "x", ONE)).receivers(), vec![1], "not twice");
    let topic = TopicFilter::parse("Echo2").unwrap();
    let primary = Some(PrimarySubscription { topic, ..primary });
    let publish = filters(&["#"]);
    story.order(BrokerOrder::Regrant { component: plugin, publish, subscribe: filters(&[]), primary });
    assert!(story.publish(1, publication("Echo", "x", ONE)).deliveries().is_empty());
    assert_eq!(story.publish(1, publication("Echo2", "x", ONE)).receivers(), vec![1]);
}

#[test]
fn new_permissions_hold_at_once_even_for_what_waits() {
    let mut story = quiet();
    let one = |connect: &mut Connect| connect.receive_maximum = 1;
    story.admit_with(1, grant(1, &["a", "b"], &["a", "b"]), one).subscribe(1, &["a", "b"]);
    story.publish(1, publication("a", "x", ONE));
    assert!(story.publish(1, publication("a", "waits", ONE)).deliveries().is_empty());
    assert!(story.publish(1, publication("b", "waits too", ONE)).deliveries().is_empty());
    let component = Component::Job(JobId::parse("scan").unwrap());
    let (publish, subscribe) = (filters(&["a", "b"]), filters(&["b"]));
    story.order(BrokerOrder::Regrant { component: component.clone(), publish, subscribe, primary: None });
    assert!(story.denials().first().is_some_and(|denial| denial.target == "a"));
    assert_eq!(story.acknowledge(1, Step::Ack, 1).sent(), vec![(1, "b".into(), "waits too".into())]);
    assert!(story.publish(1, publication("a", "x", ONE)).deliveries().is_empty());

    let mut withheld = grant(5, &[], &[]);
    withheld.withheld = Some(Explanation::new("Without permission.", "Wrong form.", "Use the right form."));
    story.admit(5, withheld, None);
    let (publish, subscribe) = (filters(&["#"]), filters(&["#"]));
    story.order(BrokerOrder::Regrant { component, publish, subscribe, primary: None });
    assert_eq!(story.subscribe(5, &["b"]), vec![SubscribeOutcome::NotAuthorized], "a withheld grant stays withheld");
}

#[test]
fn a_stop_closes_everything_once() {
    let mut story = quiet();
    story.admit(1, grant(1, &[], &[]), Some(publication("a", "x", ONE)));
    story.ask(2, "x_T_2", Version::V5, None);
    story.order(BrokerOrder::Stop);
    assert_eq!(story.closed(), vec![(1, ReasonCode::ServerShuttingDown)]);
    assert_eq!(story.refusal(), Some(ConnectRefusal::ServerUnavailable));
    assert!(story.has(|effect| matches!(effect, BrokerEffect::CloseListener)));
    assert!(!story.reports().iter().any(|report| matches!(report, BrokerReport::Stopped)));
    assert_eq!(story.ask(3, "x_T_3", Version::V5, None).refusal(), Some(ConnectRefusal::ServerUnavailable));
    story.lose(1).lose(3);
    assert!(!story.has(|effect| matches!(effect, BrokerEffect::Finish)));
    story.lose(2);
    assert!(matches!(story.effects.as_slice(), [BrokerEffect::Report(_), BrokerEffect::Finish]));
    assert!(story.order(BrokerOrder::Stop).is_anomaly());
    assert!(story.pass(STOP_MILLIS).effects.is_empty());
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    let mut story = quiet();
    story.admit(1, grant(1, &[], &[]), None).order(BrokerOrder::Stop);
    assert!(story.pass(STOP_MILLIS - 1).effects.is_empty());
    story.pass(1);
    assert!(story.has(|effect| matches!(effect, BrokerEffect::Finish)) && story.is_anomaly());
    let mut empty = quiet();
    assert!(empty.order(BrokerOrder::Stop).has(|effect| matches!(effect, BrokerEffect::Finish)));
}

#[test]
fn an_invalid_topic_name_ends_the_connection() {
    for topic in ["", "a/+", "#", "a\0b", "a\u{fffe}"] {
        let mut story = quiet();
        story.admit(1, grant(1, &["#"], &[]), None);
        story.publish(1, publication(topic, "x", ONE));
        assert_eq!(story.closed(), vec![(1, ReasonCode::TopicNameInvalid)], "{topic:?}");
        assert!(story.steps().is_empty());
    }
}

#[test]
fn events_that_do_not_fit_are_recorded() {
    let mut story = quiet();
    assert!(story.publish(9, publication("a", "x", ONE)).is_anomaly());
    story.subscribe(9, &["a", "b"]);
    assert!(story.is_anomaly());
    assert!(story.lose(9).is_anomaly());
    assert!(story.tell(BrokerEvent::Flushed { connection: ConnectionId(9) }).is_anomaly());
    story.admit(1, grant(1, &[], &[]), None);
    assert!(story.ask(1, "again", Version::V5, None).is_anomaly());
    let order = |topic: &str, qos| BrokerOrder::Publish { topic: topic.into(), payload: vec![], qos, retain: false };
    assert!(story.order(order("a/+", 0)).is_anomaly());
    assert!(story.order(order("a", 3)).is_anomaly());
}
