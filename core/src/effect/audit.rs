//! Orders to the audit.

use alloc::boxed::Box;

use crate::audit::Entry;
use crate::id::TicketId;

/// Orders to the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditOrder {
    /// Append an entry. With a ticket it is answered by `Audited`; without one it is tried until it can be written.
    Append {
        /// The number of the order, where somebody waits for it.
        ticket: Option<TicketId>,
        /// What happened.
        entry: Box<Entry>,
    },
}
