//! All that the [`Broker`](super::Broker) can ask of the shell.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::message::{Delivery, QoS};
use crate::effect::ConnectRefusal;
use crate::event::BrokerReport;
use crate::id::ConnectionId;

/// The orders of one `handle`, in the order they must be performed.
pub type BrokerEffects = Vec<BrokerEffect>;

/// Something to do.
#[derive(Debug, Clone)]
pub enum BrokerEffect {
    /// Tell the agent.
    Report(Box<BrokerReport>),
    /// CONNACK with reason 0; session present is always false and the session ends with the connection.
    AcceptConnect {
        /// Which connection.
        connection: ConnectionId,
        /// Reason string for an MQTT 5.0 client: what part of its CONNECT was not accepted.
        note: Option<String>,
    },
    /// CONNACK with this reason, then close. `ConnectionLost` follows.
    RefuseConnect {
        /// Which connection.
        connection: ConnectionId,
        /// Which CONNACK.
        refusal: ConnectRefusal,
        /// Reason string for an MQTT 5.0 client.
        note: String,
    },
    /// Answers `PublishReceived`.
    AcknowledgePublish {
        /// Which connection.
        connection: ConnectionId,
        /// What to say.
        outcome: PublishOutcome,
    },
    /// Answers `SubscribeReceived`.
    AcknowledgeSubscribe {
        /// Which connection.
        connection: ConnectionId,
        /// One for each filter, in order.
        outcomes: Vec<SubscribeOutcome>,
    },
    /// Answers `UnsubscribeReceived`.
    AcknowledgeUnsubscribe {
        /// Which connection.
        connection: ConnectionId,
        /// One for each filter, in order.
        outcomes: Vec<UnsubscribeOutcome>,
    },
    /// Send a message. Answered by `Delivered`; at most [`DELIVERY_WINDOW`](super::DELIVERY_WINDOW) wait for that at a time.
    Deliver {
        /// To which connection.
        connection: ConnectionId,
        /// What.
        delivery: Delivery,
    },
    /// DISCONNECT with this reason (MQTT 5.0), then close. `ConnectionLost` follows.
    Close {
        /// Which connection.
        connection: ConnectionId,
        /// Why.
        reason: CloseReason,
    },
    /// Accept no more connections; the port is free afterwards.
    CloseListener,
    /// An event did not fit the state; for the log.
    Anomaly(String),
    /// Everything is closed; the broker's thread ends.
    Finish,
}

impl From<BrokerReport> for BrokerEffect {
    fn from(report: BrokerReport) -> Self {
        Self::Report(Box::new(report))
    }
}

/// The answer to a PUBLISH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishOutcome {
    /// PUBACK or PUBREC as usual.
    Accepted,
    /// PUBACK or PUBREC 0x87 (MQTT 5.0) with this reason string.
    NotAuthorized(String),
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

/// Why the broker closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// 0x8E: the same process connected again with the same client id.
    TakenOver,
    /// 0x87: the process is no longer trusted.
    NotAuthorized,
    /// 0x8B.
    ShuttingDown,
    /// 0x90: a PUBLISH had an invalid topic name.
    TopicNameInvalid,
}
