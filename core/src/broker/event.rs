//! All that the shell can tell the [`Broker`](super::Broker).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::message::{Publication, QoS};
use crate::effect::BrokerOrder;
use crate::id::ConnectionId;
use crate::trust::PeerFacts;

/// Something that happened at the broker's listener or in the agent. Connections are numbered by the shell and never reused.
#[derive(Debug, Clone)]
pub enum BrokerEvent {
    /// A CONNECT arrived. Answered by `AcceptConnect` or `RefuseConnect`.
    ConnectReceived {
        /// Which connection.
        connection: ConnectionId,
        /// What it says.
        connect: Box<Connect>,
        /// Who is at the other end.
        peer: Box<PeerFacts>,
    },
    /// A PUBLISH arrived. Answered in the same `handle` by `AcknowledgePublish`.
    PublishReceived {
        /// From which connection.
        connection: ConnectionId,
        /// The message.
        publication: Publication,
    },
    /// A SUBSCRIBE arrived. Answered in the same `handle` by `AcknowledgeSubscribe`.
    SubscribeReceived {
        /// From which connection.
        connection: ConnectionId,
        /// Its filters, in order.
        requests: Vec<SubscribeRequest>,
        /// The subscription identifier of the packet.
        identifier: Option<u32>,
    },
    /// An UNSUBSCRIBE arrived. Answered in the same `handle` by `AcknowledgeUnsubscribe`.
    UnsubscribeReceived {
        /// From which connection.
        connection: ConnectionId,
        /// Its filters, in order.
        filters: Vec<String>,
    },
    /// A DISCONNECT arrived; `ConnectionLost` follows.
    DisconnectReceived {
        /// From which connection.
        connection: ConnectionId,
        /// Whether it asks for its will to be published (reason 0x04).
        keep_will: bool,
    },
    /// The connection is gone, whoever ended it. Comes once and last for every connection that sent a CONNECT.
    ConnectionLost {
        /// Which.
        connection: ConnectionId,
        /// How it ended.
        reason: String,
    },
    /// A delivery is done: written (QoS 0) or acknowledged to the end (QoS 1 and 2).
    Delivered {
        /// Which connection has room for one more.
        connection: ConnectionId,
    },
    /// An order of the agent.
    Ordered(BrokerOrder),
    /// A deadline is over, or may be.
    DeadlineReached,
}

/// The protocol version of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// MQTT 3.1.1.
    V311,
    /// MQTT 5.0.
    V5,
}

/// What a CONNECT says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// The protocol version.
    pub version: Version,
    /// The client id as sent.
    pub client_id: String,
    /// The will. A delay is over at once, because the session ends with its connection (MQTT 5.0 3.1.3.2.2).
    pub will: Option<Publication>,
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
    pub fn plain(filter: String, qos: QoS) -> Self {
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
