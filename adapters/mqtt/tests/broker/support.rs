//! A real broker on a free port with a test thread in the agent's place, and two clients that nobody here wrote.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use castellan_core::acl::topic::TopicFilter;
use castellan_core::acl::{FilterSet, Grant, Subject};
use castellan_core::broker::BrokerSettings;
use castellan_core::broker::stored::Stored;
use castellan_core::effect::{BrokerOrder, ConnectRefusal, ConnectVerdict};
use castellan_core::event::{BrokerReport, Event};
use castellan_core::id::{Component, ConnectionId, JobId, SpawnId};
use castellan_core::time::{Monotonic, Now, WallTime};
use castellan_core::trust::{PeerFacts, Witness};
use castellan_core::why::Explanation;
use castellan_mqtt::{BrokerConfig, BrokerHandle, Clock, Keep, Observe};
use rumqttc::Transport;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Longer than anything here may take; only a failing test waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A broker and its stand-in agent.
pub(crate) struct House {
    pub(crate) port: u16,
    pub(crate) tls: Arc<rustls::ClientConfig>,
    pub(crate) reports: mpsc::Receiver<BrokerReport>,
    /// Set, it makes the shell panic at its next look at the clock.
    pub(crate) panic: Arc<AtomicBool>,
    broker: Arc<BrokerHandle>,
    agent: JoinHandle<()>,
}

impl House {
    pub(crate) fn open() -> Self {
        Self::with(BrokerSettings::default())
    }

    pub(crate) fn with(settings: BrokerSettings) -> Self {
        // Nothing here outlives its broker.
        Self::keeping(settings, Box::new(|_| Ok(())))
    }

    pub(crate) fn keeping(settings: BrokerSettings, keep: Keep) -> Self {
        let (server, tls) = certificates();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (events, incoming) = smol::channel::bounded(64);
        let panic = Arc::new(AtomicBool::new(false));
        let clock = clock(Arc::clone(&panic));
        let fingerprint = |certificate: &[u8]| certificate.len().to_string();
        let observe = observe();
        let stored = Stored::default();
        let config =
            BrokerConfig { listener, tls: server, settings, observe, fingerprint, clock, stored, keep, events };
        let broker = Arc::new(castellan_mqtt::start(config).unwrap());
        let (report, reports) = mpsc::channel();
        let answering = Arc::clone(&broker);
        let agent = std::thread::spawn(move || {
            while let Ok(event) = incoming.recv_blocking() {
                let Event::Broker(event) = event else { panic!("{event:?}") };
                answering.taken(&event);
                if let BrokerReport::ConnectAsked { connection, client_id, peer, .. } = &event
                    && let Some(verdict) = verdict(client_id, peer)
                {
                    answering.order(BrokerOrder::AnswerConnect { connection: *connection, verdict }).unwrap();
                }
                let last = matches!(event, BrokerReport::Stopped);
                if report.send(event).is_err() || last {
                    return;
                }
            }
        });
        Self { port, tls, reports, panic, broker, agent }
    }

    pub(crate) fn order(&self, order: BrokerOrder) {
        self.broker.order(order).unwrap();
    }

    /// The first report that `pick` likes; the others before it are passed over.
    pub(crate) fn report<T>(&self, what: &str, pick: impl Fn(BrokerReport) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let report = self.reports.recv_timeout(left).unwrap_or_else(|_| panic!("no report of {what}"));
            if let Some(picked) = pick(report) {
                return picked;
            }
        }
    }

    /// The agent goes without a word at the next report; its thread.
    pub(crate) fn abandon(self) -> JoinHandle<()> {
        self.agent
    }

    /// Stops the broker and waits until every thread of it is gone.
    pub(crate) fn close(self) {
        self.order(BrokerOrder::Stop);
        self.ended();
    }

    /// Waits until the broker has stopped and every thread of it is gone.
    pub(crate) fn ended(self) {
        self.report("Stopped", |report| matches!(report, BrokerReport::Stopped).then_some(()));
        self.agent.join().unwrap();
        Arc::try_unwrap(self.broker).unwrap().join();
        assert!(std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err(), "the port is free");
    }
}

/// `{name}_Tok_{spawn}`: the name decides what the stand-in agent says.
fn verdict(client_id: &str, peer: &PeerFacts) -> Option<ConnectVerdict> {
    let refuse = |reason| {
        let explanation = Explanation::new("Refused by the test.", "Its name asks for it.", "Use another name.");
        Some(ConnectVerdict::Refuse { reason, explanation })
    };
    let name = client_id.split('_').next().unwrap_or_default();
    match name {
        "stranger" => return refuse(ConnectRefusal::NotAuthorized),
        "impostor" => return refuse(ConnectRefusal::ClientIdentifierNotValid),
        "ignored" => return None,
        _ => {}
    }
    let pid = peer.claimed_pid.unwrap_or_else(|| panic!("the witness was asked about {client_id}"));
    Some(ConnectVerdict::Accept(Arc::new(Grant {
        subject: Subject {
            component: Component::Job(JobId::parse(name).unwrap()),
            run: None,
            spawn: SpawnId(u64::from(pid)),
            pid,
            client_id: client_id.to_owned(),
        },
        publish: filters(&["open/#", "KeeperLogger"]),
        subscribe: filters(&["open/#"]),
        primary: None,
        user: None,
        withheld: None,
    })))
}

pub(crate) fn filters(list: &[&str]) -> FilterSet {
    list.iter().map(|text| TopicFilter::parse(text).unwrap()).collect::<Vec<_>>().into()
}

fn observe() -> Observe {
    Arc::new(|stream| {
        assert!(stream.peer_addr()?.ip().is_loopback());
        let witness: Witness =
            Box::new(|claim| PeerFacts { claimed_pid: claim.pid, own_end_established: true, ..PeerFacts::default() });
        Ok(witness)
    })
}

#[expect(clippy::disallowed_methods, reason = "the test is the shell here, and reads the clock for it")]
fn clock(panic: Arc<AtomicBool>) -> Clock {
    let start = Instant::now();
    Arc::new(move || {
        assert!(!panic.swap(false, Ordering::SeqCst), "the test asked for this panic");
        Now {
            monotonic: Monotonic::from_millis(u64::try_from(start.elapsed().as_millis()).unwrap()),
            wall: WallTime::from_millis(0),
        }
    })
}

fn certificates() -> (Arc<rustls::ServerConfig>, Arc<rustls::ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(vec![String::from("127.0.0.1")]).unwrap();
    let certificate = CertificateDer::from(made.cert.der().to_vec());
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

/// What a client saw, in both versions' terms; reason codes as on the wire.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Connected,
    Refused(u8),
    Acknowledged(u8),
    Completed,
    Subscribed(Vec<u8>),
    Message { topic: String, payload: String, qos: u8, retain: bool },
    Disconnected(u8),
    Closed,
    Other,
}

/// A client of either version.
pub(crate) trait Client: Sized {
    fn dial(house: &House, client_id: &str) -> Self;
    fn dial_with_will(house: &House, client_id: &str, topic: &str) -> Self;
    fn publish(&mut self, topic: &str, qos: u8, retain: bool, payload: &str);
    fn subscribe(&mut self, filters: &[&str], qos: u8);
    fn leave(&mut self);
    fn see(&mut self) -> Seen;

    /// Passes over what is not asked for (acknowledgements of the other direction, pings).
    fn expect(&mut self, expect: &Seen) {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let seen = self.see();
            if seen == *expect {
                return;
            }
            assert!(matches!(seen, Seen::Other), "saw {seen:?} instead of {expect:?}");
        }
        panic!("did not see {expect:?}");
    }

    fn connect(house: &House, client_id: &str) -> Self {
        let mut client = Self::dial(house, client_id);
        client.expect(&Seen::Connected);
        client
    }
}

pub(crate) fn message(topic: &str, payload: &str, qos: u8) -> Seen {
    Seen::Message { topic: topic.to_owned(), payload: payload.to_owned(), qos, retain: false }
}

fn transport(house: &House) -> Transport {
    Transport::tls_with_config(rumqttc::TlsConfiguration::Rustls(Arc::clone(&house.tls)))
}

/// MQTT 3.1.1.
pub(crate) struct V3(rumqttc::Client, rumqttc::Connection);

impl V3 {
    fn options(house: &House, client_id: &str) -> rumqttc::MqttOptions {
        let mut options = rumqttc::MqttOptions::new(client_id, "127.0.0.1", house.port);
        options.set_transport(transport(house));
        options
    }
}

fn v3_qos(qos: u8) -> rumqttc::QoS {
    rumqttc::qos(qos).unwrap()
}

impl Client for V3 {
    fn dial(house: &House, client_id: &str) -> Self {
        let (client, connection) = rumqttc::Client::new(Self::options(house, client_id), 64);
        Self(client, connection)
    }

    fn dial_with_will(house: &House, client_id: &str, topic: &str) -> Self {
        let mut options = Self::options(house, client_id);
        options.set_last_will(rumqttc::LastWill::new(topic, "will", v3_qos(1), false));
        let (client, connection) = rumqttc::Client::new(options, 64);
        Self(client, connection)
    }

    fn publish(&mut self, topic: &str, qos: u8, retain: bool, payload: &str) {
        self.0.publish(topic, v3_qos(qos), retain, payload).unwrap();
    }

    fn subscribe(&mut self, filters: &[&str], qos: u8) {
        let filters = filters.iter().map(|filter| rumqttc::SubscribeFilter::new((*filter).to_owned(), v3_qos(qos)));
        self.0.subscribe_many(filters).unwrap();
    }

    fn leave(&mut self) {
        self.0.disconnect().unwrap();
    }

    fn see(&mut self) -> Seen {
        use rumqttc::{ConnectReturnCode, ConnectionError, Event, Packet, SubscribeReasonCode};
        match self.1.recv_timeout(PATIENCE).expect("nothing happened") {
            Ok(Event::Incoming(Packet::ConnAck(_))) => Seen::Connected,
            Ok(Event::Incoming(Packet::PubAck(_) | Packet::PubRec(_))) => Seen::Acknowledged(0),
            Ok(Event::Incoming(Packet::PubComp(_))) => Seen::Completed,
            Ok(Event::Incoming(Packet::SubAck(ack))) => {
                let code = |code: &SubscribeReasonCode| match code {
                    SubscribeReasonCode::Success(qos) => *qos as u8,
                    SubscribeReasonCode::Failure => 0x80,
                };
                Seen::Subscribed(ack.return_codes.iter().map(code).collect())
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => Seen::Message {
                topic: publish.topic.clone(),
                payload: String::from_utf8(publish.payload.to_vec()).unwrap(),
                qos: publish.qos as u8,
                retain: publish.retain,
            },
            Ok(_) => Seen::Other,
            Err(ConnectionError::ConnectionRefused(code)) => Seen::Refused(match code {
                ConnectReturnCode::BadClientId => 2,
                ConnectReturnCode::ServiceUnavailable => 3,
                ConnectReturnCode::NotAuthorized => 5,
                other => panic!("{other:?}"),
            }),
            Err(_) => Seen::Closed,
        }
    }
}

/// MQTT 5.0.
pub(crate) struct V5(rumqttc::v5::Client, rumqttc::v5::Connection);

impl V5 {
    fn options(house: &House, client_id: &str) -> rumqttc::v5::MqttOptions {
        let mut options = rumqttc::v5::MqttOptions::new(client_id, "127.0.0.1", house.port);
        options.set_transport(transport(house));
        options
    }
}

fn v5_qos(qos: u8) -> rumqttc::v5::mqttbytes::QoS {
    rumqttc::v5::mqttbytes::qos(qos).unwrap()
}

impl Client for V5 {
    fn dial(house: &House, client_id: &str) -> Self {
        let (client, connection) = rumqttc::v5::Client::new(Self::options(house, client_id), 64);
        Self(client, connection)
    }

    fn dial_with_will(house: &House, client_id: &str, topic: &str) -> Self {
        let mut options = Self::options(house, client_id);
        options.set_last_will(rumqttc::v5::mqttbytes::v5::LastWill::new(topic, "will", v5_qos(1), false, None));
        let (client, connection) = rumqttc::v5::Client::new(options, 64);
        Self(client, connection)
    }

    fn publish(&mut self, topic: &str, qos: u8, retain: bool, payload: &str) {
        self.0.publish(topic, v5_qos(qos), retain, payload.to_owned()).unwrap();
    }

    fn subscribe(&mut self, filters: &[&str], qos: u8) {
        use rumqttc::v5::mqttbytes::v5::Filter;
        self.0.subscribe_many(filters.iter().map(|filter| Filter::new(*filter, v5_qos(qos)))).unwrap();
    }

    fn leave(&mut self) {
        self.0.disconnect().unwrap();
    }

    fn see(&mut self) -> Seen {
        use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, Packet, PubAckReason, PubRecReason, SubscribeReasonCode};
        use rumqttc::v5::{ConnectionError, Event, StateError};
        match self.1.recv_timeout(PATIENCE).expect("nothing happened") {
            Ok(Event::Incoming(Packet::ConnAck(_))) => Seen::Connected,
            Ok(Event::Incoming(Packet::PubAck(ack))) => Seen::Acknowledged(match ack.reason {
                PubAckReason::Success => 0,
                PubAckReason::NotAuthorized => 0x87,
                other => panic!("{other:?}"),
            }),
            Ok(Event::Incoming(Packet::PubRec(ack))) => Seen::Acknowledged(match ack.reason {
                PubRecReason::Success => 0,
                PubRecReason::NotAuthorized => 0x87,
                other => panic!("{other:?}"),
            }),
            Ok(Event::Incoming(Packet::PubComp(_))) => Seen::Completed,
            Ok(Event::Incoming(Packet::SubAck(ack))) => {
                let code = |code: &SubscribeReasonCode| match code {
                    SubscribeReasonCode::Success(qos) => *qos as u8,
                    SubscribeReasonCode::NotAuthorized => 0x87,
                    SubscribeReasonCode::TopicFilterInvalid => 0x8F,
                    other => panic!("{other:?}"),
                };
                Seen::Subscribed(ack.return_codes.iter().map(code).collect())
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => Seen::Message {
                topic: String::from_utf8(publish.topic.to_vec()).unwrap(),
                payload: String::from_utf8(publish.payload.to_vec()).unwrap(),
                qos: publish.qos as u8,
                retain: publish.retain,
            },
            Ok(Event::Incoming(Packet::Disconnect(disconnect))) => Seen::Disconnected(disconnect.reason_code as u8),
            Ok(_) => Seen::Other,
            Err(ConnectionError::ConnectionRefused(code)) => Seen::Refused(match code {
                ConnectReturnCode::ClientIdentifierNotValid => 0x85,
                ConnectReturnCode::NotAuthorized => 0x87,
                ConnectReturnCode::ServerUnavailable => 0x88,
                other => panic!("{other:?}"),
            }),
            Err(ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. })) => {
                Seen::Disconnected(reason_code as u8)
            }
            Err(_) => Seen::Closed,
        }
    }
}

/// The connection number of the first CONNECT that the agent was asked about.
pub(crate) fn asked(house: &House) -> (ConnectionId, String) {
    house.report("ConnectAsked", |report| match report {
        BrokerReport::ConnectAsked { connection, client_id, .. } => Some((connection, client_id)),
        _ => None,
    })
}
