//! MQTT packets without their bytes, the same for both versions: what the shell decoded and what it must encode.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::message::{Delivery, Publication, QoS};
use crate::effect::ConnectRefusal;

/// The protocol version of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// MQTT 3.1.1.
    V311,
    /// MQTT 5.0.
    V5,
}

/// What a CONNECT says (MQTT 5.0 3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// The protocol version.
    pub version: Version,
    /// The client id as sent.
    pub client_id: String,
    /// The will.
    pub will: Option<Will>,
    /// Whether a session of this client id is forgotten first (MQTT 5.0 3.1.2.4).
    pub clean_start: bool,
    /// How long the session outlives its connection, seconds; `u32::MAX` is for ever. MQTT 3.1.1: 0 with clean session, else for ever.
    pub session_expiry_seconds: u32,
    /// The longest silence between two packets, seconds; 0 is no limit (MQTT 5.0 3.1.2.10).
    pub keep_alive_seconds: u16,
    /// QoS 1 and 2 messages that the client takes at a time; at least 1 (MQTT 5.0 3.1.2.11.3).
    pub receive_maximum: u16,
    /// The largest packet that the client takes, bytes; `None` is no limit (MQTT 5.0 3.1.2.11.4).
    pub maximum_packet_bytes: Option<u32>,
    /// Whether it names an authentication method; none is supported (MQTT 5.0 4.12).
    pub has_authentication_method: bool,
}

impl Connect {
    /// A CONNECT of a clean session with nothing else in it.
    pub const fn plain(version: Version, client_id: String) -> Self {
        Self {
            version,
            client_id,
            will: None,
            clean_start: true,
            session_expiry_seconds: 0,
            keep_alive_seconds: 0,
            receive_maximum: u16::MAX,
            maximum_packet_bytes: None,
            has_authentication_method: false,
        }
    }
}

/// What is published when a connection ends without a farewell (MQTT 5.0 3.1.2.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Will {
    /// The message.
    pub publication: Publication,
    /// How long to wait for the client to come back first, seconds (MQTT 5.0 3.1.3.2.2).
    pub delay_seconds: u32,
}

/// A packet of a client after its CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// PUBLISH (3.3).
    Publish(IncomingPublish),
    /// PUBACK, PUBREC, PUBREL or PUBCOMP (3.4 to 3.7).
    Acknowledgement {
        /// Which of the four.
        step: Step,
        /// The packet identifier.
        packet: u16,
        /// Whether its reason code is 0x80 or more.
        failed: bool,
    },
    /// SUBSCRIBE (3.8).
    Subscribe {
        /// The packet identifier.
        packet: u16,
        /// Its filters, in order.
        requests: Vec<SubscribeRequest>,
        /// The subscription identifier.
        identifier: Option<u32>,
    },
    /// UNSUBSCRIBE (3.10).
    Unsubscribe {
        /// The packet identifier.
        packet: u16,
        /// Its filters, in order.
        filters: Vec<String>,
    },
    /// PINGREQ (3.12).
    Ping,
    /// DISCONNECT (3.14).
    Disconnect {
        /// Whether the will is published all the same: any reason but 0x00.
        keep_will: bool,
        /// A new session expiry interval, seconds.
        session_expiry_seconds: Option<u32>,
    },
    /// What no client may send now: bytes that are no packet, a second CONNECT, AUTH, a packet of a server.
    Violation {
        /// What the DISCONNECT says.
        reason: ReasonCode,
        /// What was wrong, for people.
        text: String,
    },
}

/// A PUBLISH with what belongs to the connection and not to the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncomingPublish {
    /// The packet identifier; `None` with QoS 0.
    pub packet: Option<u16>,
    /// Whether the client says that it sent this packet before.
    pub dup: bool,
    /// The topic alias (MQTT 5.0 3.3.2.3.4).
    pub alias: Option<u16>,
    /// The message; its topic may be empty where there is an alias.
    pub publication: Publication,
}

/// The acknowledgements of QoS 1 and 2, in both directions (MQTT 5.0 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// PUBACK.
    Ack,
    /// PUBREC.
    Rec,
    /// PUBREL.
    Rel,
    /// PUBCOMP.
    Comp,
}

/// A packet for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// CONNACK with reason 0.
    ConnectAck(Box<ConnectAck>),
    /// CONNACK with another reason; the connection is closed after it.
    ConnectRefused {
        /// Which CONNACK.
        reason: ConnectRefusal,
        /// Reason string for an MQTT 5.0 client.
        note: String,
    },
    /// PUBLISH.
    Publish(Delivery),
    /// PUBACK, PUBREC, PUBREL or PUBCOMP.
    Acknowledgement {
        /// Which of the four.
        step: Step,
        /// The packet identifier.
        packet: u16,
        /// The reason code; an MQTT 3.1.1 client is not told.
        reason: ReasonCode,
        /// Reason string for an MQTT 5.0 client.
        note: Option<String>,
    },
    /// SUBACK, one code for each filter in order.
    SubscribeAck {
        /// The packet identifier.
        packet: u16,
        /// What became of each filter.
        outcomes: Vec<SubscribeOutcome>,
    },
    /// UNSUBACK, one code for each filter in order.
    UnsubscribeAck {
        /// The packet identifier.
        packet: u16,
        /// What became of each filter.
        outcomes: Vec<UnsubscribeOutcome>,
    },
    /// PINGRESP.
    PingResponse,
}

/// What a CONNACK with reason 0 says (MQTT 5.0 3.2.2.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectAck {
    /// Whether the broker had kept the session.
    pub session_present: bool,
    /// The session expiry interval, seconds, where it is not the one that was asked for.
    pub session_expiry_seconds: Option<u32>,
    /// QoS 1 and 2 messages that the broker takes at a time.
    pub receive_maximum: u16,
    /// The highest topic alias that the client may use.
    pub topic_alias_maximum: u16,
    /// The largest packet that the broker takes, bytes.
    pub maximum_packet_bytes: u32,
    /// Reason string: what part of the CONNECT was not accepted.
    pub note: Option<String>,
}

/// One filter of a SUBSCRIBE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeRequest {
    /// The filter as sent.
    pub filter: String,
    /// Maximum QoS.
    pub qos: QoS,
    /// Do not send the client its own messages (MQTT 5.0 3.8.3.1).
    pub no_local: bool,
    /// Keep the RETAIN flag of forwarded messages.
    pub retain_as_published: bool,
    /// When to send retained messages.
    pub retain_handling: RetainHandling,
}

impl SubscribeRequest {
    /// As MQTT 3.1.1 means it.
    pub const fn plain(filter: String, qos: QoS) -> Self {
        let retain_handling = RetainHandling::AtSubscribe;
        Self { filter, qos, no_local: false, retain_as_published: false, retain_handling }
    }
}

/// When retained messages are sent for a subscription (MQTT 5.0 3.8.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetainHandling {
    /// 0: at each SUBSCRIBE.
    AtSubscribe,
    /// 1: only if the subscription is new.
    AtSubscribeNew,
    /// 2: never.
    No,
}

/// The answer to one filter of a SUBSCRIBE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscribeOutcome {
    /// Granted with this QoS.
    Granted(QoS),
    /// 0x87, or 0x80 for MQTT 3.1.1.
    NotAuthorized,
    /// 0x8F, or 0x80.
    InvalidFilter,
    /// 0x97, or 0x80: too many subscriptions, or too many levels in one.
    QuotaExceeded,
}

/// The answer to one filter of an UNSUBSCRIBE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnsubscribeOutcome {
    /// Removed.
    Removed,
    /// 0x11: there was none.
    NoneExisted,
    /// 0x8F.
    InvalidFilter,
}

/// The reason codes that this broker sends (MQTT 5.0 2.4), by their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ReasonCode {
    /// It worked.
    Success = 0x00,
    /// The bytes are no packet of MQTT.
    MalformedPacket = 0x81,
    /// The packet is not allowed here.
    ProtocolError = 0x82,
    /// What the message changes could not be saved.
    ImplementationSpecific = 0x83,
    /// Access control refused it, or the process is no longer trusted.
    NotAuthorized = 0x87,
    /// The agent stops.
    ServerShuttingDown = 0x8B,
    /// Nothing was heard for one and a half keep-alive intervals.
    KeepAliveTimeout = 0x8D,
    /// The same process connected again with the same client id.
    SessionTakenOver = 0x8E,
    /// The topic name is none.
    TopicNameInvalid = 0x90,
    /// No message with this packet identifier is in flight.
    PacketIdentifierNotFound = 0x92,
    /// More messages of QoS 1 and 2 at a time than the CONNACK allowed.
    ReceiveMaximumExceeded = 0x93,
    /// A topic alias that the CONNACK does not allow.
    TopicAliasInvalid = 0x94,
    /// Larger than the CONNACK allows.
    PacketTooLarge = 0x95,
    /// The client does not read what it subscribed to.
    QuotaExceeded = 0x97,
    /// The payload is not the UTF-8 that it claims to be.
    PayloadFormatInvalid = 0x99,
}

impl ReasonCode {
    /// The number on the wire.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// What it means, as the end of a sentence about a connection that was closed.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Success => "it was closed",
            Self::MalformedPacket => "it sent what is no packet of MQTT",
            Self::ProtocolError => "it broke the protocol",
            Self::ImplementationSpecific => "the broker could not save what it has to keep",
            Self::NotAuthorized => "the process is no longer trusted",
            Self::ServerShuttingDown => "the broker stops",
            Self::KeepAliveTimeout => "nothing was heard for one and a half keep-alive intervals",
            Self::SessionTakenOver => "the same process connected again with the same client id",
            Self::TopicNameInvalid => "it published to an invalid topic name",
            Self::PacketIdentifierNotFound => "it named a packet that is not in flight",
            Self::ReceiveMaximumExceeded => "it sent more messages at a time than the broker takes",
            Self::TopicAliasInvalid => "it used a topic alias that the broker does not allow",
            Self::PacketTooLarge => "it sent a packet larger than the broker takes",
            Self::QuotaExceeded => "it does not read what it subscribed to, and its queue is full",
            Self::PayloadFormatInvalid => "it sent a payload that is not the UTF-8 it claims to be",
        }
    }
}
