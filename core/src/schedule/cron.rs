//! Cron expressions with their usual meaning: names, 7 for Sunday, macros, and day of month OR day of week where both are restricted.
//!
//! The fields themselves are read by `cron-parser`, which knows none of those four; here they are put into its terms.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use chrono::NaiveDateTime;
use cron_parser::{ParseErrorKind, Schedule};

/// What the macros stand for. `@reboot` is the event `Startup` and has no place in a schedule.
const MACROS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A cron expression; it is due where any of its schedules is.
#[derive(Debug, Clone)]
pub(crate) struct Cron {
    schedules: Vec<Schedule>,
}

impl Cron {
    /// Reads five fields or a macro.
    ///
    /// # Errors
    /// A sentence that names the field and what it may be; also where no date can ever match.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let named = MACROS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text.trim())).map(|(_, fields)| *fields);
        let fields: Vec<&str> = named.unwrap_or(text).split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(format!(
                "a cron expression has five fields (minute, hour, day of month, month, day of week) or is a macro such as \
                 @daily; this one has {}.",
                fields.len()
            ));
        };
        let month = by_number(month, &MONTHS, 1);
        let weekday = weekdays(weekday)?;
        let expressions = if day.starts_with('*') || weekday.starts_with('*') {
            Vec::from([format!("{minute} {hour} {day} {month} {weekday}")])
        } else {
            Vec::from([format!("{minute} {hour} {day} {month} *"), format!("{minute} {hour} * {month} {weekday}")])
        };
        let mut schedules = Vec::with_capacity(expressions.len());
        for expression in &expressions {
            match Schedule::parse(expression) {
                Ok(schedule) => schedules.push(schedule),
                // "0 0 30 2 1": no 30 February, but Mondays.
                Err(error) if *error.kind() == ParseErrorKind::ImpossibleSchedule && expressions.len() > 1 => {}
                Err(error) => return Err(format!("{error}.")),
            }
        }
        Ok(Self { schedules })
    }

    /// The first local time strictly after `local` that matches.
    pub(crate) fn next_after(&self, local: NaiveDateTime) -> Option<NaiveDateTime> {
        self.schedules
            .iter()
            .filter_map(|schedule| schedule.next_after(&local.and_utc()))
            .min()
            .map(|at| at.naive_utc())
    }
}

/// Names in any case become numbers from `first` on; everything else stays for the parser to judge.
fn by_number(field: &str, names: &[&str], first: usize) -> String {
    let value = |text: &str| {
        let place = names.iter().position(|name| name.eq_ignore_ascii_case(text));
        place.map_or_else(|| text.to_string(), |place| place.saturating_add(first).to_string())
    };
    let part = |part: &str| {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let range = match range.split_once('-') {
            Some((from, to)) => format!("{}-{}", value(from), value(to)),
            None => value(range),
        };
        step.map_or_else(|| range.clone(), |step| format!("{range}/{step}"))
    };
    field.split(',').map(part).collect::<Vec<_>>().join(",")
}

/// The day of week with 7 as Sunday: each part becomes its days, 0 to 6. A Sunday that ends a range is 7 (`fri-sun`).
fn weekdays(field: &str) -> Result<String, String> {
    if field.starts_with('*') {
        return Ok(field.to_string());
    }
    let mut days: Vec<u8> = Vec::new();
    for part in field.split(',') {
        let wrong = || {
            format!("the day of week is '{part}'; it is *, 0 to 7, sun to sat, a range a-b, a step a-b/n, or a list.")
        };
        let (range, step) = part.split_once('/').map_or((part, "1"), |(range, step)| (range, step));
        let step: usize = step.parse().ok().filter(|step| (1..=7).contains(step)).ok_or_else(wrong)?;
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => {
                let from = weekday(from).ok_or_else(wrong)?;
                let to = weekday(to).ok_or_else(wrong)?;
                (from, if to == 0 && from > 0 { 7 } else { to })
            }
            None if part.contains('/') => (weekday(range).ok_or_else(wrong)?, 6),
            None => {
                let day = weekday(range).ok_or_else(wrong)?;
                (day, day)
            }
        };
        if from > to {
            return Err(wrong());
        }
        days.extend((from..=to).step_by(step).map(|day| if day == 7 { 0 } else { day }));
    }
    days.sort_unstable();
    days.dedup();
    Ok(days.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
}

fn weekday(text: &str) -> Option<u8> {
    let named = DAYS.iter().position(|name| name.eq_ignore_ascii_case(text)).and_then(|place| u8::try_from(place).ok());
    let plain = text.len() == 1 && text.bytes().all(|byte| byte.is_ascii_digit());
    named.or_else(|| text.parse().ok().filter(|day| plain && *day <= 7))
}
