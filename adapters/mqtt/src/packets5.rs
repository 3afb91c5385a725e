//! MQTT 5.0 packets as the core's, and the core's as MQTT 5.0 packets.

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;

use castellan_core::broker::message::{Delivery, Properties, Publication};
use castellan_core::broker::packet::{
    Connect, ConnectAck, Incoming, IncomingPublish, Outgoing, ReasonCode, RetainHandling, Step, SubscribeOutcome,
    SubscribeRequest, UnsubscribeOutcome, Version, Will,
};
use castellan_core::effect::ConnectRefusal;
use ntex_bytes::{ByteString, Bytes};
use ntex_mqtt::v5::codec::{
    self, ConnectAckReason, Disconnect, DisconnectReasonCode, Encoded, Packet, PublishAck2Reason, PublishAckReason,
    PublishProperties, SubscribeAckReason, UnsubscribeAckReason,
};

use crate::packets3::{library_qos, qos};
use crate::wire::Frame;

/// A packet of a client that is not a PUBLISH.
pub(crate) fn frame(packet: Packet) -> Frame {
    /// The reason codes from here on are failures (MQTT 5.0 2.4).
    const FAILURE: u8 = 0x80;
    let acknowledgement = |step, packet: NonZeroU16, reason: u8| {
        Frame::Packet(Incoming::Acknowledgement { step, packet: packet.get(), failed: reason >= FAILURE })
    };
    match packet {
        Packet::Connect(connect) => Frame::Connect(Box::new(connected(&connect))),
        Packet::PublishAck(ack) => acknowledgement(Step::Ack, ack.packet_id, ack.reason_code.into()),
        Packet::PublishReceived(ack) => acknowledgement(Step::Rec, ack.packet_id, ack.reason_code.into()),
        Packet::PublishRelease(ack) => acknowledgement(Step::Rel, ack.packet_id, ack.reason_code.into()),
        Packet::PublishComplete(ack) => acknowledgement(Step::Comp, ack.packet_id, ack.reason_code.into()),
        Packet::Subscribe(subscribe) => Frame::Packet(Incoming::Subscribe {
            packet: subscribe.packet_id.get(),
            requests: subscribe.topic_filters.iter().map(|(filter, options)| request(filter, *options)).collect(),
            identifier: subscribe.id.map(NonZeroU32::get),
        }),
        Packet::Unsubscribe(unsubscribe) => Frame::Packet(Incoming::Unsubscribe {
            packet: unsubscribe.packet_id.get(),
            filters: unsubscribe.topic_filters.iter().map(ToString::to_string).collect(),
        }),
        Packet::PingRequest => Frame::Packet(Incoming::Ping),
        Packet::Disconnect(disconnect) => Frame::Packet(Incoming::Disconnect {
            // Only reason 0x00 drops the will (MQTT 5.0 3.1.2.5).
            keep_will: disconnect.reason_code != DisconnectReasonCode::NormalDisconnection,
            session_expiry_seconds: disconnect.session_expiry_interval_secs,
        }),
        Packet::Auth(_) => {
            Frame::violation(ReasonCode::ProtocolError, "It sent AUTH without an authentication method.")
        }
        Packet::ConnectAck(_) | Packet::SubscribeAck(_) | Packet::UnsubscribeAck(_) | Packet::PingResponse => {
            Frame::violation(ReasonCode::ProtocolError, "It sent a packet that only a server sends.")
        }
    }
}

fn request(filter: &ByteString, options: codec::SubscriptionOptions) -> SubscribeRequest {
    SubscribeRequest {
        filter: filter.to_string(),
        qos: qos(options.qos),
        no_local: options.no_local,
        retain_as_published: options.retain_as_published,
        retain_handling: match options.retain_handling {
            codec::RetainHandling::AtSubscribe => RetainHandling::AtSubscribe,
            codec::RetainHandling::AtSubscribeNew => RetainHandling::AtSubscribeNew,
            codec::RetainHandling::NoAtSubscribe => RetainHandling::No,
        },
    }
}

fn connected(connect: &codec::Connect) -> Connect {
    Connect {
        will: connect.last_will.as_ref().map(will),
        clean_start: connect.clean_start,
        session_expiry_seconds: connect.session_expiry_interval_secs,
        keep_alive_seconds: connect.keep_alive,
        receive_maximum: connect.receive_max.map_or(u16::MAX, NonZeroU16::get),
        maximum_packet_bytes: connect.max_packet_size.map(NonZeroU32::get),
        has_authentication_method: connect.auth_method.is_some(),
        ..Connect::plain(Version::V5, connect.client_id.to_string())
    }
}

fn will(will: &codec::LastWill) -> Will {
    let publication = Publication {
        topic: will.topic.to_string(),
        payload: Arc::from(will.message.as_ref()),
        qos: qos(will.qos),
        retain: will.retain,
        expiry_seconds: will.message_expiry_interval,
        properties: properties(
            will.is_utf8_payload == Some(true),
            will.content_type.as_ref(),
            will.response_topic.as_ref(),
            will.correlation_data.as_ref(),
            &will.user_properties,
        ),
    };
    Will { publication, delay_seconds: will.will_delay_interval_sec.unwrap_or(0) }
}

/// A PUBLISH of a client.
pub(crate) fn publish(publish: &codec::Publish, payload: &Bytes) -> Frame {
    let sent = &publish.properties;
    if !sent.subscription_ids.is_empty() {
        // MQTT 5.0 3.3.4.
        return Frame::violation(
            ReasonCode::ProtocolError,
            "A client's PUBLISH cannot have a subscription identifier.",
        );
    }
    Frame::Packet(Incoming::Publish(IncomingPublish {
        packet: publish.packet_id.map(NonZeroU16::get),
        dup: publish.dup,
        alias: sent.topic_alias.map(NonZeroU16::get),
        publication: Publication {
            topic: publish.topic.to_string(),
            payload: Arc::from(payload.as_ref()),
            qos: qos(publish.qos),
            retain: publish.retain,
            expiry_seconds: sent.message_expiry_interval,
            properties: properties(
                sent.is_utf8_payload,
                sent.content_type.as_ref(),
                sent.response_topic.as_ref(),
                sent.correlation_data.as_ref(),
                &sent.user_properties,
            ),
        },
    }))
}

/// The properties that travel on; topic alias and subscription identifiers belong to one connection and do not.
fn properties(
    is_utf8: bool,
    content_type: Option<&ByteString>,
    response_topic: Option<&ByteString>,
    correlation_data: Option<&Bytes>,
    user: &[(ByteString, ByteString)],
) -> Option<Box<Properties>> {
    let properties = Properties {
        is_utf8,
        content_type: content_type.map(ToString::to_string),
        response_topic: response_topic.map(ToString::to_string),
        correlation_data: correlation_data.map(|data| data.to_vec()),
        user: user.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
    };
    (properties != Properties::default()).then(|| Box::new(properties))
}

/// A packet for a client, with its payload as the library takes it.
pub(crate) fn encoded(packet: Outgoing, payload: impl Fn(&Delivery) -> Bytes) -> Encoded {
    Encoded::Packet(match packet {
        Outgoing::Publish(delivery) => return published(&delivery, payload(&delivery)),
        Outgoing::ConnectAck(acknowledgement) => Packet::ConnectAck(Box::new(acknowledged(*acknowledgement))),
        Outgoing::ConnectRefused { reason, note } => Packet::ConnectAck(Box::new(codec::ConnectAck {
            reason_code: match reason {
                ConnectRefusal::NotAuthorized => ConnectAckReason::NotAuthorized,
                ConnectRefusal::ClientIdentifierNotValid => ConnectAckReason::ClientIdentifierNotValid,
                ConnectRefusal::ServerUnavailable => ConnectAckReason::ServerUnavailable,
                ConnectRefusal::BadAuthenticationMethod => ConnectAckReason::BadAuthenticationMethod,
            },
            reason_string: Some(ByteString::from(note)),
            ..codec::ConnectAck::default()
        })),
        Outgoing::Acknowledgement { step, packet, reason, note } => acknowledgement(step, packet, reason, note),
        Outgoing::SubscribeAck { packet, outcomes } => Packet::SubscribeAck(codec::SubscribeAck {
            packet_id: identifier(packet),
            properties: Vec::new(),
            reason_string: None,
            status: outcomes.into_iter().map(subscribed).collect(),
        }),
        Outgoing::UnsubscribeAck { packet, outcomes } => Packet::UnsubscribeAck(codec::UnsubscribeAck {
            packet_id: identifier(packet),
            properties: Vec::new(),
            reason_string: None,
            status: outcomes.into_iter().map(unsubscribed).collect(),
        }),
        Outgoing::PingResponse => Packet::PingResponse,
    })
}

/// The answer to a CONNECT that cannot be read (MQTT 5.0 4.13).
pub(crate) fn malformed_connect() -> Encoded {
    let reason_code = ConnectAckReason::MalformedPacket;
    Encoded::Packet(Packet::ConnectAck(Box::new(codec::ConnectAck { reason_code, ..codec::ConnectAck::default() })))
}

/// The DISCONNECT of a server.
pub(crate) fn disconnect(reason: ReasonCode, note: Option<String>) -> Encoded {
    let code = DisconnectReasonCode::try_from(reason.number()).unwrap_or(DisconnectReasonCode::UnspecifiedError);
    let disconnect = Disconnect { reason_string: note.map(ByteString::from), ..Disconnect::new(code) };
    Encoded::Packet(Packet::Disconnect(Box::new(disconnect)))
}

fn acknowledged(acknowledgement: ConnectAck) -> codec::ConnectAck {
    let ConnectAck {
        session_present,
        session_expiry_seconds,
        receive_maximum,
        topic_alias_maximum,
        maximum_packet_bytes,
        note,
    } = acknowledgement;
    codec::ConnectAck {
        session_present,
        session_expiry_interval_secs: session_expiry_seconds,
        receive_max: identifier(receive_maximum),
        topic_alias_max: topic_alias_maximum,
        max_packet_size: Some(maximum_packet_bytes),
        reason_string: note.map(ByteString::from),
        ..codec::ConnectAck::default()
    }
}

fn acknowledgement(step: Step, packet: u16, reason: ReasonCode, note: Option<String>) -> Packet {
    let packet_id = identifier(packet);
    let reason_string = note.map(ByteString::from);
    match step {
        Step::Ack | Step::Rec => {
            let reason_code = PublishAckReason::try_from(reason.number()).unwrap_or(PublishAckReason::UnspecifiedError);
            let ack = codec::PublishAck { packet_id, reason_code, properties: Vec::new(), reason_string };
            if step == Step::Ack { Packet::PublishAck(ack) } else { Packet::PublishReceived(ack) }
        }
        Step::Rel | Step::Comp => {
            let reason_code =
                PublishAck2Reason::try_from(reason.number()).unwrap_or(PublishAck2Reason::PacketIdNotFound);
            let ack = codec::PublishAck2 { packet_id, reason_code, properties: Vec::new(), reason_string };
            if step == Step::Rel { Packet::PublishRelease(ack) } else { Packet::PublishComplete(ack) }
        }
    }
}

const fn subscribed(outcome: SubscribeOutcome) -> SubscribeAckReason {
    match outcome {
        SubscribeOutcome::Granted(level) => match library_qos(level) {
            ntex_mqtt::QoS::AtMostOnce => SubscribeAckReason::GrantedQos0,
            ntex_mqtt::QoS::AtLeastOnce => SubscribeAckReason::GrantedQos1,
            ntex_mqtt::QoS::ExactlyOnce => SubscribeAckReason::GrantedQos2,
        },
        SubscribeOutcome::NotAuthorized => SubscribeAckReason::NotAuthorized,
        SubscribeOutcome::InvalidFilter => SubscribeAckReason::TopicFilterInvalid,
        SubscribeOutcome::QuotaExceeded => SubscribeAckReason::QuotaExceeded,
    }
}

const fn unsubscribed(outcome: UnsubscribeOutcome) -> UnsubscribeAckReason {
    match outcome {
        UnsubscribeOutcome::Removed => UnsubscribeAckReason::Success,
        UnsubscribeOutcome::NoneExisted => UnsubscribeAckReason::NoSubscriptionExisted,
        UnsubscribeOutcome::InvalidFilter => UnsubscribeAckReason::TopicFilterInvalid,
    }
}

/// A number that the core never gives as 0.
fn identifier(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap_or(NonZeroU16::MIN)
}

fn published(delivery: &Delivery, payload: Bytes) -> Encoded {
    let publish = codec::Publish {
        dup: delivery.dup,
        retain: delivery.retain,
        qos: library_qos(delivery.qos),
        packet_id: delivery.packet.and_then(NonZeroU16::new),
        topic: ByteString::from(delivery.message.topic.as_str()),
        payload_size: u32::try_from(payload.len()).unwrap_or(u32::MAX),
        properties: forwarded(delivery),
    };
    Encoded::Publish(publish, Some(payload))
}

fn forwarded(delivery: &Delivery) -> PublishProperties {
    let own = PublishProperties {
        message_expiry_interval: delivery.expiry_seconds,
        subscription_ids: delivery.identifiers.iter().copied().filter_map(NonZeroU32::new).collect(),
        ..PublishProperties::default()
    };
    let Some(Properties { is_utf8, content_type, response_topic, correlation_data, user }) =
        delivery.message.properties.as_deref()
    else {
        return own;
    };
    let text = |value: &String| ByteString::from(value.as_str());
    PublishProperties {
        is_utf8_payload: *is_utf8,
        content_type: content_type.as_ref().map(text),
        response_topic: response_topic.as_ref().map(text),
        correlation_data: correlation_data.as_deref().map(Bytes::copy_from_slice),
        user_properties: user.iter().map(|(name, value)| (text(name), text(value))).collect(),
        ..own
    }
}
