//! All that the shell can tell the [`Broker`](super::Broker).

use alloc::boxed::Box;
use alloc::string::String;

use super::packet::{Connect, Incoming};
use crate::api::CertificateFacts;
use crate::effect::BrokerOrder;
use crate::id::ConnectionId;
use crate::trust::PeerFacts;

/// Something that happened at the broker's listener or in the agent. Connections are numbered by the shell and never reused.
#[derive(Debug, Clone)]
pub enum BrokerEvent {
    /// A CONNECT arrived. Answered by `Send` of a CONNACK.
    ConnectReceived {
        /// Which connection.
        connection: ConnectionId,
        /// What it says.
        connect: Box<Connect>,
        /// Who is at the other end.
        peer: Box<PeerFacts>,
        /// The client certificate, if one was presented.
        certificate: Option<CertificateFacts>,
    },
    /// Another packet arrived.
    Received {
        /// From which connection.
        connection: ConnectionId,
        /// The packet.
        packet: Incoming,
    },
    /// Answers `AwaitFlush`: little of what was sent waits for the peer.
    Flushed {
        /// Which connection has room.
        connection: ConnectionId,
    },
    /// The connection is gone, whoever ended it. Comes once and last for every connection that sent a CONNECT.
    ConnectionLost {
        /// Which.
        connection: ConnectionId,
        /// How it ended.
        reason: String,
    },
    /// The shell failed and was started again: every connection is gone, and no other event comes for any of them.
    AllConnectionsLost,
    /// Answers `Save`.
    Saved {
        /// The number of the batch.
        number: u64,
        /// Whether it is on disk, or why not; then nothing of it is.
        result: Result<(), String>,
    },
    /// An order of the agent.
    Ordered(BrokerOrder),
    /// A deadline is over, or may be.
    DeadlineReached,
}
