//! `schedule`: exactly one of its four modes.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::keys::{CALENDAR_ENTRY, SCHEDULE};
use crate::job::finding::{Report, quote};
use crate::job::{CalendarEntry, ScheduleDefinition};
use crate::json::read::{Field, ObjectReader};
use crate::schedule::cron::Cron;
use crate::schedule::zone::Zone;
use crate::time::WallTime;

const MODES: [&str; 4] = ["intervalMinutes", "cronExpression", "runAt", "calendar"];

/// Longest interval, in minutes: a leap year. Longer ones are slips of the pen.
pub(super) const LONGEST_INTERVAL: i64 = 366 * 24 * 60;

pub(super) fn parse(field: &Field<'_>, report: &mut Report) -> Option<ScheduleDefinition> {
    let reader = field.object(&SCHEDULE, report)?;
    let modes = MODES.map(|name| reader.take(name));
    let zone = time_zone(&reader, report);
    let zone_pointer = reader.at("timeZone");
    reader.finish(report);
    let given: Vec<&str> = MODES.iter().zip(&modes).filter(|(_, mode)| mode.is_some()).map(|(name, _)| *name).collect();
    let definition = match (given.len(), modes) {
        (1, [Some(interval), _, _, _]) => {
            let minutes = interval.integer(SCHEDULE.range("intervalMinutes"), report)?;
            ScheduleDefinition::Interval { minutes: u64::try_from(minutes).ok()? }
        }
        (1, [_, Some(expression), _, _]) => {
            ScheduleDefinition::Cron { expression: cron(&expression, report)?, time_zone: zone.clone() }
        }
        (1, [_, _, Some(instant), _]) => ScheduleDefinition::Once { at_millis: run_at(&instant, report)? },
        (1, [_, _, _, Some(entries)]) => {
            ScheduleDefinition::Calendar { entries: calendar(&entries, report)?, time_zone: zone.clone() }
        }
        (0, _) => {
            let message = format!("the schedule has no mode; give exactly one of {}.", MODES.join(", "));
            report.error(field.pointer.clone(), "schedule-without-mode", message);
            return None;
        }
        _ => {
            let message = format!("only one mode may be active; here are {}. Keep one.", given.join(", "));
            report.error(field.pointer.clone(), "schedule-several-modes", message);
            return None;
        }
    };
    if zone.is_some() && matches!(definition, ScheduleDefinition::Interval { .. } | ScheduleDefinition::Once { .. }) {
        let message = "'timeZone' counts only for cronExpression and calendar.";
        report.warning(zone_pointer, "time-zone-unused", message);
    }
    Some(definition)
}

/// The name of a time zone that the IANA database knows.
fn time_zone(reader: &ObjectReader<'_>, report: &mut Report) -> Option<String> {
    let text = reader.text("timeZone", report)?;
    match Zone::parse(text) {
        Ok(_) => Some(text.to_string()),
        Err(_) => {
            let message = format!("{} is not the name of a time zone, such as Europe/Vienna or UTC.", quote(text));
            report.error(reader.at("timeZone"), "time-zone-invalid", message);
            None
        }
    }
}

fn run_at(field: &Field<'_>, report: &mut Report) -> Option<i64> {
    let text = field.text(report)?;
    let instant = WallTime::parse_rfc3339(text);
    if instant.is_none() {
        let message = format!("{} is not an instant in RFC 3339, such as 2025-06-01T02:00:00Z.", quote(text));
        report.error(field.pointer.clone(), "run-at-invalid", message);
    }
    instant.map(WallTime::as_millis)
}

/// The expression as written, once it is known to match some date.
fn cron(field: &Field<'_>, report: &mut Report) -> Option<String> {
    let text = field.text(report)?;
    match Cron::parse(text) {
        Ok(_) => Some(text.to_string()),
        Err(message) => {
            report.error(field.pointer.clone(), "cron-invalid", message);
            None
        }
    }
}

/// Days of the week by their English names or the first three letters of them; 0 is Sunday.
pub(super) const DAYS: [(&str, u8); 14] = [
    ("Sunday", 0),
    ("Monday", 1),
    ("Tuesday", 2),
    ("Wednesday", 3),
    ("Thursday", 4),
    ("Friday", 5),
    ("Saturday", 6),
    ("Sun", 0),
    ("Mon", 1),
    ("Tue", 2),
    ("Wed", 3),
    ("Thu", 4),
    ("Fri", 5),
    ("Sat", 6),
];

fn calendar(field: &Field<'_>, report: &mut Report) -> Option<Vec<CalendarEntry>> {
    let items = field.array(report)?;
    if items.is_empty() {
        report.error(
            field.pointer.clone(),
            "calendar-empty",
            "the calendar has no entry; give at least one {\"time\":\"HH:MM\"}.",
        );
        return None;
    }
    // All entries are read, so that all findings come at once.
    let entries: Vec<Option<CalendarEntry>> = items.iter().map(|item| entry(item, report)).collect();
    entries.into_iter().collect()
}

fn entry(field: &Field<'_>, report: &mut Report) -> Option<CalendarEntry> {
    let reader = field.object(&CALENDAR_ENTRY, report)?;
    let minute_of_day = reader.required("time", report).and_then(|field| time_of_day(&field, report));
    let mut days_of_week: Vec<u8> =
        reader.array("daysOfWeek", report).iter().filter_map(|day| day_of_week(day, report)).collect();
    let mut days_of_month: Vec<i8> =
        reader.array("daysOfMonth", report).iter().filter_map(|day| day_of_month(day, report)).collect();
    reader.finish(report);
    days_of_week.sort_unstable();
    days_of_week.dedup();
    days_of_month.sort_unstable();
    days_of_month.dedup();
    Some(CalendarEntry { minute_of_day: minute_of_day?, days_of_week, days_of_month })
}

fn time_of_day(field: &Field<'_>, report: &mut Report) -> Option<u16> {
    let text = field.text(report)?;
    let two = |part: &str| {
        let digits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse::<u16>().ok().filter(|_| digits)
    };
    let parts = text.split_once(':').and_then(|(hours, minutes)| two(hours).zip(two(minutes)));
    match parts {
        Some((hours @ 0..=23, minutes @ 0..=59)) => Some(hours.saturating_mul(60).saturating_add(minutes)),
        _ => {
            let message = format!("{} is not a time of day; write HH:MM, from 00:00 to 23:59.", quote(text));
            report.error(field.pointer.clone(), "time-invalid", message);
            None
        }
    }
}

fn day_of_week(field: &Field<'_>, report: &mut Report) -> Option<u8> {
    let text = field.text(report)?;
    let found = DAYS.iter().find(|(day, _)| day.eq_ignore_ascii_case(text)).map(|(_, number)| *number);
    if found.is_none() {
        let message = format!("{} is not a day of the week; write Sunday, Monday … Saturday.", quote(text));
        report.error(field.pointer.clone(), "day-invalid", message);
    }
    found
}

fn day_of_month(field: &Field<'_>, report: &mut Report) -> Option<i8> {
    let day = field.value.as_integer().filter(|day| matches!(day, -1 | 1..=31)).and_then(|day| i8::try_from(day).ok());
    if day.is_none() {
        report.error(
            field.pointer.clone(),
            "day-invalid",
            "a day of the month is a whole number from 1 to 31, or -1 for the last day.",
        );
    }
    day
}
