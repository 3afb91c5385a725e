//! Messages as they come in, as they are kept, and as they go out to one client.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::acl::topic::TopicName;
use crate::time::Monotonic;

/// Quality of service (MQTT 5.0 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum QoS {
    /// 0.
    #[default]
    AtMostOnce,
    /// 1.
    AtLeastOnce,
    /// 2.
    ExactlyOnce,
}

impl QoS {
    /// The level of a number as definitions write it; above 2 there is none.
    pub const fn from_level(level: u8) -> Option<Self> {
        match level {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

/// The properties of an MQTT 5.0 PUBLISH that travel with it unchanged (3.3.2.3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Properties {
    /// Whether the payload is UTF-8 (payload format indicator 1).
    pub is_utf8: bool,
    /// Content type.
    pub content_type: Option<String>,
    /// Response topic. Whoever answers there is checked like for any other topic.
    pub response_topic: Option<String>,
    /// Correlation data.
    pub correlation_data: Option<Vec<u8>>,
    /// User properties, in order.
    pub user: Vec<(String, String)>,
}

/// What a PUBLISH of QoS 1 or 2 says of itself beside its content (MQTT 5.0 3.3.1.1, 2.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Its packet identifier; free again once the client has the acknowledgement.
    pub identifier: u16,
    /// DUP: the client sent it before and never got its acknowledgement.
    pub duplicate: bool,
}

/// A PUBLISH or a will as a client sent it; nothing is checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The topic name as sent.
    pub topic: String,
    /// The payload.
    pub payload: Arc<[u8]>,
    /// As sent.
    pub qos: QoS,
    /// As sent.
    pub retain: bool,
    /// `None` for QoS 0 and for wills, which are sent once.
    pub packet: Option<Packet>,
    /// Message expiry interval, seconds.
    pub expiry_seconds: Option<u32>,
    /// MQTT 5.0 properties; `None` where there are none.
    pub properties: Option<Box<Properties>>,
}

/// A message that was allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where it was published.
    pub topic: TopicName,
    /// The payload.
    pub payload: Arc<[u8]>,
    /// As published.
    pub qos: QoS,
    /// As published.
    pub retain: bool,
    /// When it stops being worth delivering.
    pub expires_at: Option<Monotonic>,
    /// MQTT 5.0 properties; `None` where there are none.
    pub properties: Option<Box<Properties>>,
}

impl Message {
    /// The message of an allowed publication.
    pub(super) fn new(now: Monotonic, topic: TopicName, publication: Publication) -> Self {
        let Publication { topic: _, payload, qos, retain, packet: _, expiry_seconds, properties } = publication;
        let expires_at = expiry_seconds.map(|seconds| now.plus_seconds(u64::from(seconds)));
        Self { topic, payload, qos, retain, expires_at, properties }
    }

    pub(super) fn is_expired(&self, now: Monotonic) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }

    /// What is left of the expiry interval, whole seconds rounded up.
    pub(super) fn expiry_left(&self, now: Monotonic) -> Option<u32> {
        let left = self.expires_at?.millis_since(now).div_ceil(1000);
        Some(u32::try_from(left).unwrap_or(u32::MAX))
    }
}

/// One message on its way to one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The message; shared by all its receivers.
    pub message: Arc<Message>,
    /// The lower of what was published and what was subscribed.
    pub qos: QoS,
    /// The RETAIN flag as this client must see it (MQTT 5.0 3.3.1.3).
    pub retain: bool,
    /// Subscription identifiers of all the client's subscriptions that match.
    pub identifiers: Vec<u32>,
    /// Message expiry interval left, seconds; set when it is handed to the shell.
    pub expiry_seconds: Option<u32>,
}
