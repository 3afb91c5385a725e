//! What the ports counted, for `GET /metrics`.

use alloc::vec::Vec;

/// What the ports counted since the start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Messages that clients published.
    pub messages_received: u64,
    /// Messages that were sent to clients.
    pub messages_sent: u64,
    /// Log records that could not be written, by sink in lower case.
    pub log_records_lost: Vec<(&'static str, u64)>,
    /// What the collector of telemetry did not get, by signal; empty where there is none.
    pub telemetry_lost: Vec<(&'static str, u64)>,
    /// Connections that the HTTP servers took.
    pub http_connections: u64,
    /// Requests that the agent's thread was not asked for ([`crate::api::AtOnce`]).
    pub http_answered_at_once: u64,
    /// What the HTTP servers could not serve, by reason in snake case.
    pub http_failures: Vec<(&'static str, u64)>,
}
