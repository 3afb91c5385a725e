//! Time zones: between instants and the local time that cron expressions and calendars are written in.

use alloc::format;
use alloc::string::String;

use chrono::{DateTime, Duration, FixedOffset, NaiveDateTime, Utc};
use tz::TimeZoneRef;

use crate::time::WallTime;

/// No clock change in the IANA database leaves out more than a day (Samoa, 2011).
const LONGEST_GAP_MINUTES: i64 = 26 * 60;
/// Between a local time, taken for one of UTC, and the instant that it is: less than this.
const LARGEST_OFFSET_SECONDS: i64 = 24 * 60 * 60;
/// Local times that one instant may have to pass over: the minutes of the longest repeated span, and room.
const REPEATED_MINUTES: usize = 26 * 60;

/// An IANA time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Zone(&'static TimeZoneRef<'static>);

impl Zone {
    pub(crate) const UTC: Self = Self(&tzdb_data::time_zone::UTC);

    /// Reads an IANA name such as `Europe/Vienna`.
    ///
    /// # Errors
    /// A sentence that says so where there is no such zone.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        let known = tzdb_data::TZ_NAMES.contains(&name).then(|| tzdb_data::find_tz(name.as_bytes())).flatten();
        known
            .map(Self)
            .ok_or_else(|| format!("'{name}' is no time zone of the IANA database; write it as in Europe/Vienna."))
    }

    /// An instant with the zone's difference to UTC then.
    pub(crate) fn at(self, at: WallTime) -> Option<DateTime<FixedOffset>> {
        let at = DateTime::<Utc>::from_timestamp_millis(at.as_millis())?;
        Some(at.with_timezone(&self.offset(at.timestamp())?))
    }

    /// The difference to UTC at an instant, in seconds since 1970.
    fn offset(self, seconds: i64) -> Option<FixedOffset> {
        FixedOffset::east_opt(self.0.find_local_time_type(seconds).ok()?.ut_offset())
    }

    /// The local time at an instant.
    fn local(self, at: WallTime) -> Option<NaiveDateTime> {
        self.at(at).map(|at| at.naive_local())
    }

    /// The instant of a local time: the first of two where the clock repeats it, the first after the gap where it is skipped.
    fn instant(self, local: NaiveDateTime) -> Option<WallTime> {
        let mut candidate = local;
        for _ in 0..=LONGEST_GAP_MINUTES {
            if let Some(at) = self.first(candidate) {
                return Some(WallTime::from_millis(at.timestamp_millis()));
            }
            candidate = candidate.checked_add_signed(Duration::minutes(1))?;
        }
        None
    }

    /// The first instant at which the clock shows a local time. No clock is changed twice within two days, so the difference to UTC is one
    /// of those around it.
    fn first(self, local: NaiveDateTime) -> Option<DateTime<Utc>> {
        let seconds = local.and_utc().timestamp();
        let around = [seconds.checked_sub(LARGEST_OFFSET_SECONDS)?, seconds.checked_add(LARGEST_OFFSET_SECONDS)?];
        let instants = around.into_iter().filter_map(|around| {
            let offset = self.offset(around)?;
            let at = local.checked_sub_offset(offset)?.and_utc();
            (self.offset(at.timestamp())? == offset).then_some(at)
        });
        instants.min()
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
