//! What the agent's thread does, for the threads that may speak for it while it is seen to work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use castellan_core::api::Pulse;
use castellan_core::time::Monotonic;

const NONE: u64 = u64::MAX;
const WAITING: u64 = NONE - 1;

/// Written by the loop, read by others. Alone in its memory, so that no order with other memory is needed.
#[derive(Debug, Clone)]
pub(crate) struct Heartbeat(Arc<AtomicU64>);

impl Heartbeat {
    /// Of a loop that has not begun.
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(NONE)))
    }

    /// The loop waits for an event.
    pub(crate) fn waits(&self) {
        self.0.store(WAITING, Ordering::Relaxed);
    }

    /// The loop has an event since then.
    pub(crate) fn works(&self, since: Monotonic) {
        self.0.store(since.as_millis().min(WAITING - 1), Ordering::Relaxed);
    }

    /// The loop has ended.
    pub(crate) fn ends(&self) {
        self.0.store(NONE, Ordering::Relaxed);
    }

    pub(crate) fn pulse(&self) -> Pulse {
        match self.0.load(Ordering::Relaxed) {
            NONE => Pulse::None,
            WAITING => Pulse::Waiting,
            since => Pulse::Busy(Monotonic::from_millis(since)),
        }
    }
}
