//! What the HTTP client tells the agent.

use alloc::string::String;

use super::Captured;
use crate::id::TicketId;

/// What the HTTP client reports; both answer `Send`.
#[derive(Debug, Clone)]
pub enum HttpReport {
    /// There is an answer, whatever its status.
    Answered {
        /// Which question.
        ticket: TicketId,
        /// Status code.
        status: u16,
        /// The body.
        body: Captured,
    },
    /// There is no answer and there will be none.
    Failed {
        /// Which question.
        ticket: TicketId,
        /// What went wrong, as a sentence without its full stop.
        reason: String,
    },
}
