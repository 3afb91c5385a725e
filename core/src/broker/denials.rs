//! A limit on how often one client's refusals are reported, so that a broken client cannot bury the record of the others.

use crate::time::Monotonic;

/// Refusals of one client that are reported singly within one window; enough to see every topic of a wrong definition.
const REPORTS_PER_WINDOW: u32 = 20;
/// Length of the window, ms.
const WINDOW_MILLIS: u64 = 1000;

/// Counts one client's refusals. What is not reported singly is summed up at the end of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct DenialGate {
    window_ends: Option<Monotonic>,
    reported: u32,
    unreported: u64,
}

impl DenialGate {
    /// Whether this refusal is reported singly.
    pub(super) fn admit(&mut self, now: Monotonic) -> bool {
        if self.window_ends.is_none_or(|end| end <= now) && self.unreported == 0 {
            self.window_ends = Some(now.plus_millis(WINDOW_MILLIS));
            self.reported = 0;
        }
        if self.reported < REPORTS_PER_WINDOW {
            self.reported = self.reported.saturating_add(1);
            return true;
        }
        self.unreported = self.unreported.saturating_add(1);
        false
    }

    /// When [`DenialGate::take_sum`] has something to say.
    pub(super) fn due(&self) -> Option<Monotonic> {
        self.window_ends.filter(|_| self.unreported > 0)
    }

    /// The number of refusals that were not reported singly, once their window is over; 0 before that.
    pub(super) fn take_sum(&mut self, now: Monotonic) -> u64 {
        match self.due() {
            Some(due) if due <= now => self.take_rest(),
            Some(_) | None => 0,
        }
    }

    /// The same at the end of the session, whatever the time.
    pub(super) fn take_rest(&mut self) -> u64 {
        let sum = self.unreported;
        *self = Self::default();
        sum
    }
}
