//! How long a plugin waits before it is started again, and when it has failed too often (contract section 7).

#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use crate::config::Monitoring;
use crate::time::Monotonic;

/// So many exits within [`CRASH_WINDOW_SECONDS`] make a plugin `Failed`.
pub(crate) const CRASH_LIMIT: usize = 5;
/// The window of [`CRASH_LIMIT`].
pub(crate) const CRASH_WINDOW_SECONDS: u64 = 60;

/// The memory of a plugin's exits.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    doublings: u32,
    exits: Vec<Monotonic>,
}

/// What follows an exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Start it again at this instant.
    RestartAt(Monotonic),
    /// It failed too often; only then it is tried again by itself.
    FailedUntil(Monotonic),
}

impl Backoff {
    /// Notes an exit of an instance that had run since `started`, and says what follows.
    pub(crate) fn on_exit(&mut self, started: Monotonic, now: Monotonic, monitoring: &Monitoring) -> Verdict {
        if now >= started.plus_seconds(monitoring.stable_after_seconds) {
            self.doublings = 0;
        }
        let delay = monitoring
            .restart_delay_seconds
            .saturating_mul(1_u64.checked_shl(self.doublings).unwrap_or(u64::MAX))
            .min(monitoring.restart_delay_max_seconds);
        self.doublings = self.doublings.saturating_add(1).min(u64::BITS.saturating_sub(1));
        self.exits.retain(|exit| exit.plus_seconds(CRASH_WINDOW_SECONDS) > now);
        self.exits.push(now);
        if self.exits.len() >= CRASH_LIMIT {
            self.exits.clear();
            return Verdict::FailedUntil(now.plus_seconds(monitoring.restart_delay_max_seconds));
        }
        Verdict::RestartAt(now.plus_seconds(delay))
    }

    /// A person started it: the past no longer counts.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}
