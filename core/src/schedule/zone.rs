//! Time zones: between instants and the local time that cron expressions and calendars are written in.

use alloc::format;
use alloc::string::String;

use chrono::{DateTime, Duration, FixedOffset, MappedLocalTime, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;

use crate::time::WallTime;

/// No clock change in the IANA database leaves out more than a day (Samoa, 2011).
const LONGEST_GAP_MINUTES: i64 = 26 * 60;
/// Local times that one instant may have to pass over: the minutes of the longest repeated span, and room.
const REPEATED_MINUTES: usize = 26 * 60;

/// An IANA time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Zone(Tz);

impl Zone {
    pub(crate) const UTC: Self = Self(Tz::UTC);

    /// Reads an IANA name such as `Europe/Vienna`.
    ///
    /// # Errors
    /// A sentence that says so where there is no such zone.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        name.parse()
            .map(Self)
            .map_err(|_| format!("'{name}' is no time zone of the IANA database; write it as in Europe/Vienna."))
    }

    /// An instant with the zone's difference to UTC then.
    pub(crate) fn at(self, at: WallTime) -> Option<DateTime<FixedOffset>> {
        DateTime::<Utc>::from_timestamp_millis(at.as_millis()).map(|at| at.with_timezone(&self.0).fixed_offset())
    }

    /// The local time at an instant.
    fn local(self, at: WallTime) -> Option<NaiveDateTime> {
        self.at(at).map(|at| at.naive_local())
    }

    /// The instant of a local time: the first of two where the clock repeats it, the first after the gap where it is skipped.
    fn instant(self, local: NaiveDateTime) -> Option<WallTime> {
        let mut candidate = local;
        for _ in 0..=LONGEST_GAP_MINUTES {
            match self.0.from_local_datetime(&candidate) {
                MappedLocalTime::Single(at) | MappedLocalTime::Ambiguous(at, _) => {
                    return Some(WallTime::from_millis(at.timestamp_millis()));
                }
                MappedLocalTime::None => candidate = candidate.checked_add_signed(Duration::minutes(1))?,
            }
        }
        None
    }

    /// The first instant strictly after `after` among the local times that `next` gives in order. A local time that occurs
    /// twice counts once, at its first occurrence; several that a gap skips fall together on its end.
    pub(crate) fn next_after(
        self,
        after: WallTime,
        next: impl Fn(NaiveDateTime) -> Option<NaiveDateTime>,
    ) -> Option<WallTime> {
        let mut local = self.local(after)?;
        for _ in 0..REPEATED_MINUTES {
            local = next(local)?;
            let at = self.instant(local)?;
            if at > after {
                return Some(at);
            }
        }
        None
    }
}
