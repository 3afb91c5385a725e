//! The one place where time is read.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use castellan_core::time::{Monotonic, Now, WallTime};

/// Both clocks of the machine; the monotonic one counts from when this was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts the monotonic clock at 0.
    #[expect(clippy::disallowed_methods, reason = "time is read here alone")]
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Reads both clocks.
    #[expect(clippy::disallowed_methods, reason = "time is read here alone")]
    pub(crate) fn now(&self) -> Now {
        let monotonic = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let wall = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, i64::saturating_neg),
        };
        Now { monotonic: Monotonic::from_millis(monotonic), wall: WallTime::from_millis(wall) }
    }
}
