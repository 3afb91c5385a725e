//! When a policy counts: days, spans of dates, spans of a day, all in local time.

use alloc::string::String;

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, Timelike};

use crate::json::Json;

/// Seconds of a day.
const DAY: u32 = 24 * 60 * 60;
/// Numbers from here on are milliseconds since 1970, smaller ones seconds: the year 5138, or 1973.
const MILLISECONDS: i64 = 100_000_000_000;

/// One end of a span of dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// A whole local day.
    Day(NaiveDate),
    /// A local time.
    Local(NaiveDateTime),
    /// An instant, in seconds since 1970.
    Instant(i64),
}

/// A span of dates; both ends belong to it, either may be open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dates {
    pub(crate) start: Option<Bound>,
    pub(crate) end: Option<Bound>,
}

/// A span of a day, in seconds since midnight; the end does not belong to it. One that starts after its end goes over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// A moment, taken apart once for all policies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    local: NaiveDateTime,
    seconds: i64,
    second_of_day: u32,
    /// 0 is Sunday.
    pub(crate) day: u32,
}

impl Moment {
    pub(crate) fn of(at: DateTime<FixedOffset>) -> Self {
        let local = at.naive_local();
        let local = local.with_nanosecond(0).unwrap_or(local);
        Self {
            local,
            seconds: at.timestamp(),
            second_of_day: local.num_seconds_from_midnight(),
            day: local.weekday().num_days_from_sunday(),
        }
    }
}

impl Bound {
    /// Reads an ISO date, a local time, an instant of RFC 3339, or a number since 1970.
    pub(crate) fn parse(value: &Json) -> Option<Self> {
        let Some(text) = value.as_str() else {
            let number = value.as_integer()?;
            return Some(Self::Instant(if number.abs() < MILLISECONDS { number } else { number.div_euclid(1000) }));
        };
        let day = || text.parse().ok().map(Self::Day);
        let local = || text.parse().ok().map(Self::Local);
        let instant = || DateTime::parse_from_rfc3339(text).ok().map(|at| Self::Instant(at.timestamp()));
        day().or_else(instant).or_else(local)
    }

    fn is_reached(self, now: Moment) -> bool {
        match self {
            Self::Day(day) => now.local.date() >= day,
            Self::Local(time) => now.local >= time,
            Self::Instant(seconds) => now.seconds >= seconds,
        }
    }

    fn is_over(self, now: Moment) -> bool {
        match self {
            Self::Day(day) => now.local.date() > day,
            Self::Local(time) => now.local > time,
            Self::Instant(seconds) => now.seconds > seconds,
        }
    }
}

impl Dates {
    pub(crate) fn contains(self, now: Moment) -> bool {
        self.start.is_none_or(|start| start.is_reached(now)) && !self.end.is_some_and(|end| end.is_over(now))
    }

    /// Whether no moment is in it, as far as ends of one kind tell.
    pub(crate) fn is_empty(self) -> bool {
        match (self.start, self.end) {
            (Some(Bound::Day(start)), Some(Bound::Day(end))) => start > end,
            (Some(Bound::Local(start)), Some(Bound::Local(end))) => start > end,
            (Some(Bound::Instant(start)), Some(Bound::Instant(end))) => start > end,
            _ => false,
        }
    }
}

impl Times {
    /// A whole day.
    pub(crate) const WHOLE: Self = Self { start: 0, end: DAY };

    pub(crate) const fn contains(self, now: Moment) -> bool {
        let time = now.second_of_day;
        if self.start <= self.end {
            self.start <= time && time < self.end
        } else {
            self.start <= time || time < self.end
        }
    }

    /// Whether no time is in it.
    pub(crate) const fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// Reads whole hours, `HH:MM` or `HH:MM:SS`, as text or as a number, to seconds since midnight; 24 is the end of the day.
pub(crate) fn time_of_day(value: &Json) -> Option<u32> {
    let number = value.as_integer().and_then(|hours| u32::try_from(hours).ok());
    let [hours, minutes, seconds] = match (value.as_str(), number) {
        (Some(text), _) => digits(text)?,
        (None, Some(hours)) => [hours, 0, 0],
        (None, None) => return None,
    };
    let in_all = hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?.checked_add(seconds)?;
    (minutes < 60 && seconds < 60 && in_all <= DAY).then_some(in_all)
}

fn digits(text: &str) -> Option<[u32; 3]> {
    let mut parts = text.split(':').map(|part| {
        let is_number = matches!(part.len(), 1 | 2) && part.bytes().all(|digit| digit.is_ascii_digit());
        part.parse::<u32>().ok().filter(|_| is_number)
    });
    let hours = parts.next()??;
    let minutes = parts.next().unwrap_or(Some(0))?;
    let seconds = parts.next().unwrap_or(Some(0))?;
    parts.next().is_none().then_some([hours, minutes, seconds])
}

/// A span of a day as people read it.
pub(crate) fn shown(times: Times) -> String {
    let clock = |seconds: u32| alloc::format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    alloc::format!("{} to {}", clock(times.start), clock(times.end))
}
