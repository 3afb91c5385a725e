//! All that the [`Broker`](super::Broker) can ask of the shell.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::packet::{Outgoing, ReasonCode};
use super::stored::Batch;
use crate::event::BrokerReport;
use crate::id::ConnectionId;

/// The orders of one `handle`, in the order they must be performed.
pub type BrokerEffects = Vec<BrokerEffect>;

/// Something to do.
#[derive(Debug, Clone)]
pub enum BrokerEffect {
    /// Tell the agent.
    Report(Box<BrokerReport>),
    /// Write a packet, without waiting for the peer.
    Send {
        /// To which connection.
        connection: ConnectionId,
        /// What.
        packet: Outgoing,
    },
    /// Say when little of what was sent waits for the peer. Answered by `Flushed`, or by `ConnectionLost`.
    AwaitFlush {
        /// Of which connection.
        connection: ConnectionId,
    },
    /// Close after what was sent before; with a reason, an MQTT 5.0 client is told it in a DISCONNECT. `ConnectionLost` follows.
    Close {
        /// Which connection.
        connection: ConnectionId,
        /// Why; `None` after a refused CONNECT and after the client's own DISCONNECT.
        reason: Option<ReasonCode>,
        /// Reason string for an MQTT 5.0 client.
        note: Option<String>,
    },
    /// Keep these changes, all or none. Answered by `Saved`; no other batch comes before that.
    Save(Box<Batch>),
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
