//! Orders to the port of telemetry; nobody waits for them, and what it cannot deliver it counts.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::api::exposition::Family;
use crate::time::WallTime;
use crate::trace::Span;

/// Orders to the port of telemetry.
#[derive(Debug, Clone)]
pub enum TelemetryOrder {
    /// Tell a span that is over.
    Span(Box<Span>),
    /// Tell what is measured.
    Measure {
        /// When the counters began.
        since: WallTime,
        /// The time of the order.
        at: WallTime,
        /// What `GET /metrics` shows.
        families: Vec<Family>,
    },
}
