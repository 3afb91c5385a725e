//! Schedules: when a job is due by itself (contract section 3). Intervals count on the monotonic clock, instants on the wall clock.

#[cfg(test)]
mod tests;

use crate::job::ScheduleDefinition;
use crate::time::{Deadline, Monotonic, Now, WallTime};

/// Milliseconds of a minute.
const MINUTE: u64 = 60_000;

/// The schedule of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Schedule {
    /// `intervalMinutes`: the first tick comes one interval after the schedule began.
    Interval { every_millis: u64, next: Monotonic },
    /// `runAt`, until it has run.
    Once { at: WallTime },
    /// Nothing is due any more.
    Over,
    /// A mode that this version loads but does not serve.
    Unserved { mode: &'static str },
}

impl Schedule {
    /// Begins a schedule now; a `runAt` in the past never runs.
    pub(crate) fn new(definition: &ScheduleDefinition, now: Now) -> Self {
        match definition {
            ScheduleDefinition::Interval { minutes } => {
                let every_millis = minutes.saturating_mul(MINUTE);
                Self::Interval { every_millis, next: now.monotonic.plus_millis(every_millis) }
            }
            ScheduleDefinition::Once { at_millis } => {
                let at = WallTime::from_millis(*at_millis);
                if at < now.wall { Self::Over } else { Self::Once { at } }
            }
            ScheduleDefinition::Cron { .. } => Self::Unserved { mode: "cronExpression" },
            ScheduleDefinition::Calendar { .. } => Self::Unserved { mode: "calendar" },
        }
    }

    /// When to look again. A wall-clock instant is translated with the clocks of now, so it is a hint.
    pub(crate) fn next_deadline(&self, now: Now) -> Option<Deadline> {
        let at = match self {
            Self::Interval { next, .. } => *next,
            Self::Once { at } => {
                let ahead = at.as_millis().saturating_sub(now.wall.as_millis());
                now.monotonic.plus_millis(u64::try_from(ahead).unwrap_or_default())
            }
            Self::Over | Self::Unserved { .. } => return None,
        };
        Some(Deadline { at, reason: "a schedule" })
    }

    /// Whether it is due now; if so, it moves on, past every tick that is over already.
    pub(crate) fn take_due(&mut self, now: Now) -> bool {
        match self {
            Self::Interval { every_millis, next } if now.monotonic >= *next => {
                let late = now.monotonic.millis_since(*next);
                let missed = late.checked_div(*every_millis).unwrap_or_default();
                *next = next.plus_millis(missed.saturating_add(1).saturating_mul(*every_millis));
                true
            }
            Self::Once { at } if now.wall >= *at => {
                *self = Self::Over;
                true
            }
            Self::Interval { .. } | Self::Once { .. } | Self::Over | Self::Unserved { .. } => false,
        }
    }

    /// The next due instant as people read it.
    pub(crate) fn next_run(&self, now: Now) -> Option<WallTime> {
        match self {
            Self::Interval { next, .. } => {
                let ahead = i64::try_from(next.millis_since(now.monotonic)).unwrap_or(i64::MAX);
                Some(WallTime::from_millis(now.wall.as_millis().saturating_add(ahead)))
            }
            Self::Once { at } => Some(*at),
            Self::Over | Self::Unserved { .. } => None,
        }
    }
}
