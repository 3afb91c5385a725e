//! What happened in the last minute, to bound how often it may.

use alloc::collections::VecDeque;

use crate::time::Monotonic;

/// Milliseconds that are looked back.
const MINUTE: u64 = 60_000;

/// Instants of the last minute, oldest first.
#[derive(Debug, Default)]
pub(super) struct LastMinute(VecDeque<Monotonic>);

impl LastMinute {
    /// Counts one more.
    ///
    /// # Errors
    /// The seconds until there is room again, where there were as many as there may be.
    pub(super) fn admit(&mut self, most: usize, now: Monotonic) -> Result<(), u64> {
        self.forget(now);
        match self.0.front().filter(|_| self.0.len() >= most) {
            None => {
                self.0.push_back(now);
                Ok(())
            }
            Some(first) => Err(MINUTE.saturating_sub(now.millis_since(*first)).div_ceil(1000)),
        }
    }

    /// Whether nothing happened.
    pub(super) fn is_empty(&mut self, now: Monotonic) -> bool {
        self.forget(now);
        self.0.is_empty()
    }

    fn forget(&mut self, now: Monotonic) {
        while self.0.front().is_some_and(|at| now.millis_since(*at) >= MINUTE) {
            self.0.pop_front();
        }
    }
}
