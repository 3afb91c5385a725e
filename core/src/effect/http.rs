//! Orders to the HTTP client.

use alloc::string::String;
use alloc::vec::Vec;

use crate::id::TicketId;
use crate::job::url::HttpUrl;

/// Orders to the HTTP client.
#[derive(Debug, Clone)]
pub enum HttpOrder {
    /// Send a request and read the whole answer; redirects are not followed. Answered by `Answered` or `Failed`.
    Send(HttpCall),
    /// End a request early; `Send` is answered all the same, by `Failed` unless the answer was faster.
    Cancel {
        /// Which.
        ticket: TicketId,
    },
}

/// A request of an Http task to somebody else than this agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCall {
    /// The number of the order.
    pub ticket: TicketId,
    /// Method, upper case.
    pub method: String,
    /// Whom, and what there.
    pub url: HttpUrl,
    /// Header fields besides `Host` and those of framing; no control characters.
    pub headers: Vec<(String, String)>,
    /// Body; may be empty.
    pub body: Vec<u8>,
    /// Seconds after which the port gives up by itself; the agent's own limit comes first.
    pub give_up_seconds: u64,
}
