//! Messages as they come in, as they are kept, and as they go out to one client.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::packet::Version;
use crate::acl::topic::{TopicFilter, TopicName};
use crate::time::Monotonic;

/// What a kept message costs beside its topic and payload: its places in tables and queues, about.
const KEPT_BYTES: usize = 256;
/// What a user property costs beside its two texts: five bytes of a packet are enough for one.
const PAIR_BYTES: usize = size_of::<(String, String)>();

/// Quality of service (MQTT 5.0 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
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
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
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

impl Properties {
    /// What keeping them costs, bytes, about; a client may put a whole packet into them.
    fn cost(&self) -> usize {
        let Self { is_utf8: _, content_type, response_topic, correlation_data, user } = self;
        let texts = [content_type, response_topic].map(|text| text.as_ref().map_or(0, String::len));
        let user = user.iter().map(|(name, value)| sum([PAIR_BYTES, name.len(), value.len()]));
        sum([size_of::<Self>(), sum(texts), correlation_data.as_ref().map_or(0, Vec::len), sum(user)])
    }
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
    /// Message expiry interval, seconds.
    pub expiry_seconds: Option<u32>,
    /// MQTT 5.0 properties; `None` where there are none.
    pub properties: Option<Box<Properties>>,
}

impl Publication {
    /// What keeping it costs, bytes, about.
    pub(super) fn cost(&self) -> usize {
        let properties = self.properties.as_deref().map_or(0, Properties::cost);
        sum([KEPT_BYTES, self.topic.len(), self.payload.len(), properties])
    }
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
        let Publication { topic: _, payload, qos, retain, expiry_seconds, properties } = publication;
        let expires_at = expiry_seconds.map(|seconds| now.plus_seconds(u64::from(seconds)));
        Self { topic, payload, qos, retain, expires_at, properties }
    }

    /// What keeping it costs, bytes, about.
    pub(super) fn cost(&self) -> usize {
        let properties = self.properties.as_deref().map_or(0, Properties::cost);
        sum([KEPT_BYTES, self.topic.as_str().len(), self.payload.len(), properties])
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

/// One message on its way to one client: the PUBLISH that is sent (MQTT 5.0 3.3).
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
    /// Message expiry interval left, seconds; set when it is sent.
    pub expiry_seconds: Option<u32>,
    /// The packet identifier; set when a message of QoS 1 or 2 is sent.
    pub packet: Option<u16>,
    /// Whether the client may have got it before (MQTT 5.0 3.3.1.1).
    pub dup: bool,
    /// Its place among the messages that survive the agent; `None` where it does not.
    pub(super) place: Option<u64>,
    /// The shared subscription that it is for; another member gets it if this one goes away for good (MQTT 5.0 4.8.2).
    pub share: Option<Arc<TopicFilter>>,
}

impl Delivery {
    /// A message as it goes to one client, not sent yet.
    pub(super) fn new(message: &Arc<Message>, qos: QoS, retain: bool, identifiers: Vec<u32>) -> Self {
        let message = Arc::clone(message);
        Self {
            qos: message.qos.min(qos),
            message,
            retain,
            identifiers,
            expiry_seconds: None,
            packet: None,
            dup: false,
            place: None,
            share: None,
        }
    }

    /// What keeping it costs, bytes, as if nobody else kept the same message.
    pub(super) fn cost(&self) -> usize {
        self.message.cost()
    }

    /// Bytes of its packet in this version, fixed header and all (MQTT 5.0 2.1).
    pub(super) fn packet_bytes(&self, version: Version) -> usize {
        let identifier = if self.qos > QoS::AtMostOnce { 2 } else { 0 };
        let message = &self.message;
        let body = sum([2, message.topic.as_str().len(), identifier, message.payload.len()]);
        let properties = match version {
            Version::V311 => 0,
            Version::V5 => {
                let bytes = self.property_bytes();
                bytes.saturating_add(variable_bytes(bytes))
            }
        };
        let remaining = body.saturating_add(properties);
        sum([1, variable_bytes(remaining), remaining])
    }

    /// Bytes of its properties without their length (MQTT 5.0 3.3.2.3).
    fn property_bytes(&self) -> usize {
        let expiry = if self.expiry_seconds.is_some() { 5 } else { 0 };
        let identifiers =
            self.identifiers.iter().map(|id| usize::try_from(*id).map_or(5, variable_bytes).saturating_add(1));
        let own = sum(identifiers).saturating_add(expiry);
        let Some(properties) = self.message.properties.as_deref() else {
            return own;
        };
        let Properties { is_utf8, content_type, response_topic, correlation_data, user } = properties;
        let text = |bytes: usize| bytes.saturating_add(3);
        let user = user.iter().map(|(name, value)| sum([5, name.len(), value.len()]));
        sum([
            own,
            if *is_utf8 { 2 } else { 0 },
            content_type.as_ref().map_or(0, |value| text(value.len())),
            response_topic.as_ref().map_or(0, |value| text(value.len())),
            correlation_data.as_ref().map_or(0, |value| text(value.len())),
            sum(user),
        ])
    }
}

/// Bytes of a variable byte integer (MQTT 5.0 1.5.5).
const fn variable_bytes(value: usize) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

fn sum(parts: impl IntoIterator<Item = usize>) -> usize {
    parts.into_iter().fold(0, usize::saturating_add)
}
