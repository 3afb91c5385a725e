//! Calendar schedules: times of day on days of the week or of the month (seed 001, "Schedule Options").

use chrono::{Datelike, Days, Duration, NaiveDate, NaiveDateTime, NaiveTime};

use crate::job::CalendarEntry;

/// The 31st comes at least every 62 days; one more for the day that has begun.
const DAYS_AHEAD: u64 = 63;

/// The first local time strictly after `local` that an entry names.
pub(super) fn next_after(entries: &[CalendarEntry], local: NaiveDateTime) -> Option<NaiveDateTime> {
    entries.iter().filter_map(|entry| next_of(entry, local)).min()
}

fn next_of(entry: &CalendarEntry, local: NaiveDateTime) -> Option<NaiveDateTime> {
    let time = NaiveTime::MIN.overflowing_add_signed(Duration::minutes(i64::from(entry.minute_of_day))).0;
    (0..=DAYS_AHEAD)
        .filter_map(|ahead| local.date().checked_add_days(Days::new(ahead)))
        .filter(|date| is_named(entry, *date))
        .map(|date| date.and_time(time))
        .find(|at| *at > local)
}

/// Either kind of day matches; none given means every day.
fn is_named(entry: &CalendarEntry, date: NaiveDate) -> bool {
    let weekday = u8::try_from(date.weekday().num_days_from_sunday()).unwrap_or_default();
    let day = i8::try_from(date.day()).unwrap_or_default();
    let is_last = date.succ_opt().is_none_or(|next| next.month() != date.month());
    (entry.days_of_week.is_empty() && entry.days_of_month.is_empty())
        || entry.days_of_week.contains(&weekday)
        || entry.days_of_month.iter().any(|wanted| *wanted == day || (*wanted == -1 && is_last))
}
