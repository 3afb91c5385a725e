//! A client that may send any bytes, without a network: the way from the first bytes of a connection through the codecs and the
//! machine to the answer, and to two bystanders who subscribe to everything. Only for tests and the fuzz target.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use castellan_core::acl::topic::TopicFilter;
use castellan_core::acl::{FilterSet, Grant, Subject};
use castellan_core::broker::message::QoS;
use castellan_core::broker::packet::{Connect, Incoming, ReasonCode, SubscribeRequest, Version};
use castellan_core::broker::{Broker, BrokerEffect, BrokerEvent, BrokerSettings};
use castellan_core::effect::{BrokerOrder, ConnectVerdict};
use castellan_core::event::BrokerReport;
use castellan_core::id::{Component, ConnectionId, JobId, SpawnId};
use castellan_core::time::Now;
use castellan_core::trust::PeerFacts;
use ntex_bytes::{BytePages, BytesMut};
use ntex_codec::{Decoder, Encoder};
use ntex_mqtt::error::EncodeError;

use crate::connection;
use crate::wire::{Frame, Greeting, LastPayload, Probe, Wire};

/// The stranger's connection; the bystanders have the next two.
const STRANGER: ConnectionId = ConnectionId(1);
/// One of each version.
const BYSTANDERS: [(ConnectionId, Version); 2] = [(ConnectionId(2), Version::V311), (ConnectionId(3), Version::V5)];
/// Topics that the stranger may publish and subscribe.
const DECLARED: &str = "a/#";

/// A broker, a stranger at its door, and two bystanders.
///
/// # Panics
/// Wherever a rule is broken: an answer that is no packet, a packet for a bystander that is none.
#[derive(Debug)]
pub struct Stranger {
    broker: Broker,
    max_packet_bytes: u32,
    unread: BytesMut,
    wire: Option<Wire>,
    payloads: Rc<LastPayload>,
    bystanders: [Wire; 2],
    greeted: bool,
    closed: bool,
    /// Whether the client named a Maximum Packet Size, so that an answer may be too large for it.
    is_narrow: bool,
    said: Vec<u8>,
}

impl Stranger {
    /// A connection from which nothing came.
    pub fn new(settings: BrokerSettings) -> Self {
        let max_packet_bytes = settings.max_packet_bytes;
        let payloads: Rc<LastPayload> = Rc::default();
        let bystanders = BYSTANDERS.map(|(_, version)| Wire::new(version, max_packet_bytes, Rc::clone(&payloads)));
        let mut stranger = Self {
            broker: Broker::new(settings),
            max_packet_bytes,
            unread: BytesMut::new(),
            wire: None,
            payloads,
            bystanders,
            greeted: false,
            closed: false,
            is_narrow: false,
            said: Vec::new(),
        };
        for (connection, version) in BYSTANDERS {
            stranger.connect(connection, Connect::plain(version, format!("bystander_Tok_{connection}")));
            let everything = SubscribeRequest::plain(String::from("#"), QoS::ExactlyOnce);
            let packet = Incoming::Subscribe { packet: 1, requests: vec![everything], identifier: Some(1) };
            stranger.drive(BrokerEvent::Received { connection, packet });
        }
        stranger
    }

    /// These bytes came; what was answered since the last call.
    pub fn receive(&mut self, bytes: &[u8]) -> Vec<u8> {
        if !self.closed {
            self.unread.extend_from_slice(bytes);
            self.read();
        }
        std::mem::take(&mut self.said)
    }

    /// Whether the broker has closed the connection.
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Bytes that came and are not read yet: never more than one packet.
    pub fn unread(&self) -> usize {
        self.unread.len()
    }

    fn read(&mut self) {
        while !self.closed {
            let Some(wire) = &self.wire else {
                match Probe.decode(&mut self.unread) {
                    Ok(Some(Greeting::Version(version))) => {
                        self.wire = Some(Wire::new(version, self.max_packet_bytes, Rc::clone(&self.payloads)));
                        continue;
                    }
                    Ok(Some(Greeting::UnknownLevel(_) | Greeting::Stranger)) | Err(_) => self.closed = true,
                    Ok(None) => {}
                }
                return;
            };
            match (wire.decode(&mut self.unread), self.greeted) {
                (Ok(None), _) => return,
                (Ok(Some(Frame::Connect(connect))), false) => {
                    self.greeted = true;
                    self.is_narrow = connect.maximum_packet_bytes.is_some();
                    self.connect(STRANGER, *connect);
                }
                (Ok(Some(Frame::Packet(packet))), true) => {
                    self.drive(BrokerEvent::Received { connection: STRANGER, packet });
                }
                (Ok(Some(Frame::Connect(_))), true) => {
                    let packet = connection::violation(ReasonCode::ProtocolError, "It sent a second CONNECT.");
                    self.drive(BrokerEvent::Received { connection: STRANGER, packet });
                }
                (Err(error), true) => {
                    let packet = connection::malformed(&error);
                    self.drive(BrokerEvent::Received { connection: STRANGER, packet });
                    self.closed = true;
                }
                (Ok(Some(Frame::Packet(_))) | Err(_), false) => self.closed = true,
            }
        }
    }

    fn connect(&mut self, connection: ConnectionId, connect: Connect) {
        let peer = Box::new(PeerFacts { own_end_established: true, ..PeerFacts::default() });
        self.drive(BrokerEvent::ConnectReceived { connection, connect: Box::new(connect), peer, certificate: None });
    }

    fn drive(&mut self, event: BrokerEvent) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let mut effects = Vec::new();
            self.broker.handle(Now::default(), event, &mut effects);
            for effect in effects {
                self.perform(effect, &mut events);
            }
        }
    }

    fn perform(&mut self, effect: BrokerEffect, events: &mut VecDeque<BrokerEvent>) {
        match effect {
            BrokerEffect::Send { connection, packet } => {
                let mut pages = BytePages::default();
                let wire = self.wire_of(connection);
                match wire.encode(packet.clone(), &mut pages) {
                    Ok(()) => {}
                    Err(EncodeError::OverMaxPacketSize) if connection == STRANGER && self.is_narrow => return,
                    Err(error) => panic!("{packet:?} for connection {connection} is no packet: {error}"),
                }
                if connection == STRANGER {
                    while let Some(page) = pages.take() {
                        self.said.extend_from_slice(&page);
                    }
                }
            }
            BrokerEffect::AwaitFlush { connection } => events.push_back(BrokerEvent::Flushed { connection }),
            BrokerEffect::Save(batch) => events.push_back(BrokerEvent::Saved { number: batch.number, result: Ok(()) }),
            BrokerEffect::Close { connection, .. } if connection == STRANGER => self.closed = true,
            BrokerEffect::Report(report) => {
                if let BrokerReport::ConnectAsked { connection, client_id, .. } = *report {
                    events.push_back(BrokerEvent::Ordered(accept(connection, client_id)));
                }
            }
            BrokerEffect::Close { .. }
            | BrokerEffect::CloseListener
            | BrokerEffect::Anomaly(_)
            | BrokerEffect::Finish => {
                panic!("a stranger had this effect: {effect:?}")
            }
        }
    }

    fn wire_of(&self, connection: ConnectionId) -> &Wire {
        let bystander = BYSTANDERS.iter().position(|(other, _)| *other == connection);
        let found = match bystander {
            Some(place) => self.bystanders.get(place),
            None => self.wire.as_ref(),
        };
        found.unwrap_or_else(|| panic!("connection {connection} has no codec"))
    }
}

/// The agent accepts everybody; what they may do differs.
fn accept(connection: ConnectionId, client_id: String) -> BrokerOrder {
    let declared = filters(if connection == STRANGER { DECLARED } else { "#" });
    let subject = Subject {
        component: Component::Job(JobId::parse("fuzzed").unwrap_or_else(|error| panic!("{error:?}"))),
        run: None,
        spawn: SpawnId(connection.0),
        pid: u32::try_from(connection.0).unwrap_or(u32::MAX),
        client_id,
    };
    let grant =
        Grant { subject, publish: declared.clone(), subscribe: declared, primary: None, user: None, withheld: None };
    BrokerOrder::AnswerConnect { connection, verdict: ConnectVerdict::Accept(Arc::new(grant)) }
}

fn filters(declared: &str) -> FilterSet {
    vec![TopicFilter::parse(declared).unwrap_or_else(|error| panic!("{declared}: {error:?}"))].into()
}

#[cfg(test)]
mod tests;
