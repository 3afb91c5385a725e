//! What a publish costs in the broker machine among few and many subscriptions, in processor time: by those that match, not by those
//! that there are. The figures stand in `docs/performance.md`.
#![allow(
    missing_docs,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "criterion's macros; a bench may fail by panicking"
)]

#[path = "core/cpu_time.rs"]
mod cpu_time;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use castellan_core::acl::topic::TopicFilter;
use castellan_core::broker::message::{Publication, QoS};
use castellan_core::broker::packet::{Connect, Incoming, IncomingPublish, Outgoing, SubscribeRequest, Version};
use castellan_core::broker::{
    Broker, BrokerEffect, BrokerEffects, BrokerEvent, BrokerSettings, SUBSCRIPTIONS_PER_CLIENT,
};
use castellan_core::effect::{BrokerOrder, ConnectVerdict};
use castellan_core::id::ConnectionId;
use castellan_core::time::{Monotonic, Now, WallTime};
use castellan_core::trust::PeerFacts;
use castellan_proptests::brokers::{self, Lists};
use cpu_time::CpuTime;
use criterion::{Criterion, criterion_group, criterion_main};

/// Subscriptions to one topic, for the growth by those that match.
const MATCHING: [usize; 3] = [1, 10, 100];
const NOW: Now = Now { monotonic: Monotonic::from_millis(1000), wall: WallTime::from_millis(0) };

struct World {
    broker: Broker,
    clients: u64,
    effects: BrokerEffects,
}

impl World {
    fn new() -> Self {
        Self { broker: Broker::new(BrokerSettings::default()), clients: 0, effects: Vec::new() }
    }

    /// Gives an event to the broker; how many messages went out. Whoever has to read first reads at once.
    fn tell(&mut self, event: BrokerEvent) -> usize {
        let (mut delivered, mut events) = (0, vec![event]);
        while let Some(event) = events.pop() {
            self.broker.handle(NOW, event, &mut self.effects);
            for effect in self.effects.drain(..) {
                match effect {
                    BrokerEffect::Send { packet: Outgoing::Publish(delivery), .. } => {
                        black_box(delivery);
                        delivered += 1;
                    }
                    BrokerEffect::AwaitFlush { connection } => events.push(BrokerEvent::Flushed { connection }),
                    _ => {}
                }
            }
        }
        delivered
    }

    /// A client that may do everything.
    fn connect(&mut self) -> ConnectionId {
        self.clients += 1;
        let connection = ConnectionId(self.clients);
        let all = || vec![TopicFilter::parse("#").unwrap()];
        let mut grant = brokers::grant(1, &Lists { publish: all(), subscribe: all(), primary: None }, false);
        grant.subject.client_id = format!("client_{}", self.clients);
        let connect = Box::new(Connect::plain(Version::V311, grant.subject.client_id.clone()));
        self.tell(BrokerEvent::ConnectReceived {
            connection,
            connect,
            peer: Box::new(PeerFacts::default()),
            certificate: None,
        });
        let verdict = ConnectVerdict::Accept(Arc::new(grant));
        self.tell(BrokerEvent::Ordered(BrokerOrder::AnswerConnect { connection, verdict }));
        connection
    }

    /// Clients with so many subscriptions of these in all.
    fn subscribe(&mut self, filters: &[String]) {
        for (number, some) in filters.chunks(SUBSCRIPTIONS_PER_CLIENT).enumerate() {
            let connection = self.connect();
            let requests = some.iter().map(|filter| SubscribeRequest::plain(filter.clone(), QoS::AtMostOnce)).collect();
            let packet = u16::try_from(number + 1).unwrap();
            self.tell(BrokerEvent::Received {
                connection,
                packet: Incoming::Subscribe { packet, requests, identifier: None },
            });
        }
    }

    fn publish(&mut self, connection: ConnectionId, payload: &Arc<[u8]>) -> usize {
        let publication = Publication {
            topic: String::from("plant/7/temperature"),
            payload: Arc::clone(payload),
            qos: QoS::AtMostOnce,
            retain: false,
            expiry_seconds: None,
            properties: None,
        };
        let packet = Incoming::Publish(IncomingPublish { packet: None, dup: false, alias: None, publication });
        self.tell(BrokerEvent::Received { connection, packet })
    }
}

fn routing(criterion: &mut Criterion<CpuTime>) {
    let payload: Arc<[u8]> = Arc::from([b'x'; 256]);
    let mut group = criterion.benchmark_group("a publish among wildcard subscriptions");
    for subscriptions in [10, 100, 1000, 10_000] {
        let mut world = World::new();
        let filters: Vec<_> = (0..subscriptions).map(|number| format!("plant/{number}/+")).collect();
        world.subscribe(&filters);
        let writer = world.connect();
        assert_eq!(world.publish(writer, &payload), 1);
        group.bench_function(format!("one of {subscriptions} matches"), |bencher| {
            bencher.iter(|| world.publish(writer, &payload));
        });
    }
    for matching in MATCHING {
        let mut world = World::new();
        for _ in 0..matching {
            world.subscribe(&[String::from("plant/+/temperature")]);
        }
        let writer = world.connect();
        assert_eq!(world.publish(writer, &payload), matching);
        group.bench_function(format!("{matching} of {matching} match"), |bencher| {
            bencher.iter(|| world.publish(writer, &payload));
        });
    }
    group.finish();
}

fn configuration() -> Criterion<CpuTime> {
    Criterion::default()
        .with_measurement(CpuTime)
        .measurement_time(Duration::from_secs(1))
        .warm_up_time(Duration::from_secs(1))
}

criterion_group! {
    name = benches;
    config = configuration();
    targets = routing
}
criterion_main!(benches);
