//! MQTT 3.1.1 packets as the core's, and the core's as MQTT 3.1.1 packets.

use std::num::NonZeroU16;
use std::sync::Arc;

use castellan_core::broker::message::{Delivery, Publication, QoS};
use castellan_core::broker::packet::{
    Connect, Incoming, IncomingPublish, Outgoing, ReasonCode, Step, SubscribeOutcome, SubscribeRequest, Version, Will,
};
use castellan_core::effect::ConnectRefusal;
use ntex_bytes::{ByteString, Bytes};
use ntex_mqtt::v3::codec::{self, Encoded, Packet, SubscribeReturnCode};

use crate::wire::Frame;

/// The level of the protocol library's own type.
pub(crate) const fn qos(qos: ntex_mqtt::QoS) -> QoS {
    match qos {
        ntex_mqtt::QoS::AtMostOnce => QoS::AtMostOnce,
        ntex_mqtt::QoS::AtLeastOnce => QoS::AtLeastOnce,
        ntex_mqtt::QoS::ExactlyOnce => QoS::ExactlyOnce,
    }
}

/// The protocol library's own type of a level.
pub(crate) const fn library_qos(qos: QoS) -> ntex_mqtt::QoS {
    match qos {
        QoS::AtMostOnce => ntex_mqtt::QoS::AtMostOnce,
        QoS::AtLeastOnce => ntex_mqtt::QoS::AtLeastOnce,
        QoS::ExactlyOnce => ntex_mqtt::QoS::ExactlyOnce,
    }
}

/// A packet of a client that is not a PUBLISH.
pub(crate) fn frame(packet: Packet) -> Frame {
    let acknowledgement = |step, packet: NonZeroU16| {
        Frame::Packet(Incoming::Acknowledgement { step, packet: packet.get(), failed: false })
    };
    match packet {
        Packet::Connect(connect) => Frame::Connect(Box::new(connected(&connect))),
        Packet::PublishAck { packet_id } => acknowledgement(Step::Ack, packet_id),
        Packet::PublishReceived { packet_id } => acknowledgement(Step::Rec, packet_id),
        Packet::PublishRelease { packet_id } => acknowledgement(Step::Rel, packet_id),
        Packet::PublishComplete { packet_id } => acknowledgement(Step::Comp, packet_id),
        Packet::Subscribe { packet_id, topic_filters } => Frame::Packet(Incoming::Subscribe {
            packet: packet_id.get(),
            requests: topic_filters
                .iter()
                .map(|(filter, level)| SubscribeRequest::plain(filter.to_string(), qos(*level)))
                .collect(),
            identifier: None,
        }),
        Packet::Unsubscribe { packet_id, topic_filters } => Frame::Packet(Incoming::Unsubscribe {
            packet: packet_id.get(),
            filters: topic_filters.iter().map(ToString::to_string).collect(),
        }),
        Packet::PingRequest => Frame::Packet(Incoming::Ping),
        Packet::Disconnect => Frame::Packet(Incoming::Disconnect { keep_will: false, session_expiry_seconds: None }),
        Packet::ConnectAck(_) | Packet::SubscribeAck { .. } | Packet::UnsubscribeAck { .. } | Packet::PingResponse => {
            Frame::violation(ReasonCode::ProtocolError, "It sent a packet that only a server sends.")
        }
    }
}

fn connected(connect: &codec::Connect) -> Connect {
    Connect {
        will: connect.last_will.as_ref().map(|will| Will {
            publication: Publication {
                topic: will.topic.to_string(),
                payload: Arc::from(will.message.as_ref()),
                qos: qos(will.qos),
                retain: will.retain,
                expiry_seconds: None,
                properties: None,
            },
            delay_seconds: 0,
        }),
        clean_start: connect.clean_session,
        session_expiry_seconds: if connect.clean_session { 0 } else { u32::MAX },
        keep_alive_seconds: connect.keep_alive,
        ..Connect::plain(Version::V311, connect.client_id.to_string())
    }
}

/// A PUBLISH of a client.
pub(crate) fn publish(publish: &codec::Publish, payload: &Bytes) -> Frame {
    Frame::Packet(Incoming::Publish(IncomingPublish {
        packet: publish.packet_id.map(NonZeroU16::get),
        dup: publish.dup,
        alias: None,
        publication: Publication {
            topic: publish.topic.to_string(),
            payload: Arc::from(payload.as_ref()),
            qos: qos(publish.qos),
            retain: publish.retain,
            expiry_seconds: None,
            properties: None,
        },
    }))
}

/// A packet for a client, with its payload as the library takes it; `None` for one that this version does not have.
pub(crate) fn encoded(packet: Outgoing, payload: impl Fn(&Delivery) -> Bytes) -> Option<Encoded> {
    Some(Encoded::Packet(match packet {
        Outgoing::Publish(delivery) => return Some(published(&delivery, payload(&delivery))),
        Outgoing::ConnectAck(acknowledgement) => Packet::ConnectAck(codec::ConnectAck {
            return_code: codec::ConnectAckReason::ConnectionAccepted,
            session_present: acknowledgement.session_present,
        }),
        Outgoing::ConnectRefused { reason, note: _ } => refused(match reason {
            ConnectRefusal::NotAuthorized | ConnectRefusal::BadAuthenticationMethod => {
                codec::ConnectAckReason::NotAuthorized
            }
            ConnectRefusal::ClientIdentifierNotValid => codec::ConnectAckReason::IdentifierRejected,
            ConnectRefusal::ServerUnavailable => codec::ConnectAckReason::ServiceUnavailable,
        }),
        // MQTT 3.1.1 cannot say that a PUBLISH was refused: it is acknowledged as usual (3.3.5).
        Outgoing::Acknowledgement { step, packet, reason: _, note: _ } => {
            let packet_id = NonZeroU16::new(packet)?;
            match step {
                Step::Ack => Packet::PublishAck { packet_id },
                Step::Rec => Packet::PublishReceived { packet_id },
                Step::Rel => Packet::PublishRelease { packet_id },
                Step::Comp => Packet::PublishComplete { packet_id },
            }
        }
        Outgoing::SubscribeAck { packet, outcomes } => Packet::SubscribeAck {
            packet_id: NonZeroU16::new(packet)?,
            status: outcomes
                .into_iter()
                .map(|outcome| match outcome {
                    SubscribeOutcome::Granted(level) => SubscribeReturnCode::Success(library_qos(level)),
                    SubscribeOutcome::NotAuthorized
                    | SubscribeOutcome::InvalidFilter
                    | SubscribeOutcome::QuotaExceeded => SubscribeReturnCode::Failure,
                })
                .collect(),
        },
        Outgoing::UnsubscribeAck { packet, outcomes: _ } => {
            Packet::UnsubscribeAck { packet_id: NonZeroU16::new(packet)? }
        }
        Outgoing::PingResponse => Packet::PingResponse,
    }))
}

/// The answer to an empty client id without clean session, which the protocol library does not read (MQTT 3.1.1 3.1.3.1).
pub(crate) fn no_client_id() -> Encoded {
    Encoded::Packet(refused(codec::ConnectAckReason::IdentifierRejected))
}

fn refused(return_code: codec::ConnectAckReason) -> Packet {
    Packet::ConnectAck(codec::ConnectAck { return_code, session_present: false })
}

fn published(delivery: &Delivery, payload: Bytes) -> Encoded {
    let publish = codec::Publish {
        dup: delivery.dup,
        retain: delivery.retain,
        qos: library_qos(delivery.qos),
        topic: ByteString::from(delivery.message.topic.as_str()),
        packet_id: delivery.packet.and_then(NonZeroU16::new),
        payload_size: u32::try_from(payload.len()).unwrap_or(u32::MAX),
    };
    Encoded::Publish(publish, Some(payload))
}
