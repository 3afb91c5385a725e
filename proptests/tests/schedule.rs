//! Laws of schedules, against a model that looks at every minute: what is due is strictly later, and nothing due lies between.
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a test may fail by panicking")]

use std::collections::BTreeSet;

use castellan_core::job::{CalendarEntry, ScheduleDefinition};
use castellan_core::schedule::preview;
use castellan_core::time::WallTime;
use castellan_proptests::laws::config;
use chrono::{DateTime, Datelike, Duration, NaiveDateTime, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;

/// Zones with changes of an hour at either hemisphere, of half an hour, across midnight, and none.
const ZONES: [Tz; 7] = [
    Tz::UTC,
    Tz::Europe__Vienna,
    Tz::America__New_York,
    Tz::Australia__Lord_Howe,
    Tz::Africa__Cairo,
    Tz::America__Santiago,
    Tz::Asia__Kathmandu,
];
/// How far the model looks; changes of the clock lie inside for every second start.
const DAYS: i64 = 40;
/// Instants that are compared.
const COUNT: usize = 25;

/// The five fields as sets; a field that is all values is written as `*`.
#[derive(Debug, Clone)]
struct Cron {
    minutes: BTreeSet<u32>,
    hours: Option<BTreeSet<u32>>,
    days: Option<BTreeSet<u32>>,
    months: Option<BTreeSet<u32>>,
    weekdays: Option<BTreeSet<u32>>,
}

fn list(values: &BTreeSet<u32>) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

impl Cron {
    fn text(&self) -> String {
        let field = |values: &Option<BTreeSet<u32>>| values.as_ref().map_or(String::from("*"), list);
        let (hours, days) = (field(&self.hours), field(&self.days));
        format!("{} {hours} {days} {} {}", list(&self.minutes), field(&self.months), field(&self.weekdays))
    }

    fn names(&self, local: NaiveDateTime) -> bool {
        let within = |values: &Option<BTreeSet<u32>>, value| values.as_ref().is_none_or(|set| set.contains(&value));
        // 7 is Sunday too.
        let weekday = local.weekday().num_days_from_sunday();
        let by_weekday = within(&self.weekdays, weekday) || (weekday == 0 && within(&self.weekdays, 7));
        let by_day = within(&self.days, local.day());
        let day =
            if self.days.is_some() && self.weekdays.is_some() { by_day || by_weekday } else { by_day && by_weekday };
        self.minutes.contains(&local.minute())
            && within(&self.hours, local.hour())
            && within(&self.months, local.month())
            && day
    }
}

fn cron() -> impl Strategy<Value = Cron> {
    let few = |range: std::ops::Range<u32>| prop::option::of(btree_set(range, 1..4));
    let hours =
        prop_oneof![Just(None), btree_set(0..4_u32, 1..3).prop_map(Some), btree_set(0..24_u32, 1..4).prop_map(Some)];
    // Up to the 28th: every date exists, so no expression is refused.
    (btree_set(0..60_u32, 1..4), hours, few(1..29), few(1..13), few(0..8))
        .prop_map(|(minutes, hours, days, months, weekdays)| Cron { minutes, hours, days, months, weekdays })
}

fn entry() -> impl Strategy<Value = CalendarEntry> {
    let minutes = prop_oneof![0..240_u16, 0..1440_u16];
    let month_days = btree_set(prop_oneof![Just(-1_i8), 1..32_i8], 0..3);
    (minutes, btree_set(0..7_u8, 0..3), month_days).prop_map(|(minute_of_day, week, month)| CalendarEntry {
        minute_of_day,
        days_of_week: week.into_iter().collect(),
        days_of_month: month.into_iter().collect(),
    })
}

fn is_entry(entry: &CalendarEntry, local: NaiveDateTime) -> bool {
    let weekday = u8::try_from(local.weekday().num_days_from_sunday()).unwrap();
    let day = i8::try_from(local.day()).unwrap();
    let is_last = (local.date() + Duration::days(1)).day() == 1;
    let month_days = &entry.days_of_month;
    let daily = entry.days_of_week.is_empty() && month_days.is_empty();
    let day = daily
        || entry.days_of_week.contains(&weekday)
        || month_days.contains(&day)
        || (is_last && month_days.contains(&-1));
    day && local.hour() * 60 + local.minute() == u32::from(entry.minute_of_day)
}

/// All due instants strictly after `from` and before the end of the model's days. It walks over local minutes, whether they exist
/// or not: a local time stands for its first occurrence, or for the first instant after the gap that swallows it.
fn brute_force(zone: Tz, from: WallTime, is_due: impl Fn(NaiveDateTime) -> bool) -> Vec<i64> {
    let first = DateTime::<Utc>::from_timestamp_millis(from.as_millis()).unwrap();
    let end = first + Duration::days(DAYS);
    let midnight = first.with_timezone(&zone).naive_local().date().and_hms_opt(0, 0, 0).unwrap() - Duration::days(2);
    let mut due = BTreeSet::new();
    for minute in 0..(DAYS + 4) * 24 * 60 {
        let local = midnight + Duration::minutes(minute);
        if is_due(local) {
            let mut existing = local;
            let at = loop {
                match zone.from_local_datetime(&existing).earliest() {
                    Some(at) => break at.with_timezone(&Utc),
                    None => existing += Duration::minutes(1),
                }
            };
            if at > first && at < end {
                due.insert(at.timestamp_millis());
            }
        }
    }
    due.into_iter().take(COUNT).collect()
}

/// A start near a clock change of some zone, or anywhere in ten years; also off the minute.
fn start() -> impl Strategy<Value = WallTime> {
    let changes: Vec<i64> = [
        "2025-03-30T00:00:00Z",
        "2025-10-26T00:00:00Z",
        "2025-03-09T06:00:00Z",
        "2025-11-02T05:00:00Z",
        "2025-04-05T14:00:00Z",
        "2025-10-04T15:00:00Z",
        "2025-04-24T21:00:00Z",
        "2025-10-30T20:00:00Z",
        "2025-09-07T03:00:00Z",
        "2025-04-06T02:00:00Z",
    ]
    .iter()
    .map(|text| WallTime::parse_rfc3339(text).unwrap().as_millis())
    .collect();
    let near = (select(changes), -3 * 86_400_000..86_400_000_i64).prop_map(|(change, offset)| change + offset);
    prop_oneof![2 => near, 1 => 1_700_000_000_000..2_000_000_000_000_i64].prop_map(WallTime::from_millis)
}

/// What the core says within the model's days must be what the model says, so each is minimal and strictly later.
fn holds(definition: &ScheduleDefinition, zone: Tz, from: WallTime, is_due: impl Fn(NaiveDateTime) -> bool) {
    let end = from.as_millis() + Duration::days(DAYS).num_milliseconds();
    let said = preview(definition, zone.name(), from, COUNT).unwrap();
    let said: Vec<i64> = said.into_iter().map(WallTime::as_millis).filter(|at| *at < end).collect();
    assert_eq!(said, brute_force(zone, from, is_due), "{definition:?} in {zone} from {}", from.to_rfc3339());
}

proptest! {
    #![proptest_config(config(48))]

    #[test]
    fn cron_is_what_every_minute_says(cron in cron(), zone in select(&ZONES[..]), from in start()) {
        let definition = ScheduleDefinition::Cron { expression: cron.text(), time_zone: None };
        holds(&definition, zone, from, |local| cron.names(local));
    }

    #[test]
    fn a_calendar_is_what_every_minute_says(entries in vec(entry(), 1..4), zone in select(&ZONES[..]), from in start()) {
        let definition = ScheduleDefinition::Calendar { entries: entries.clone(), time_zone: Some(zone.name().to_owned()) };
        holds(&definition, zone, from, |local| entries.iter().any(|entry| is_entry(entry, local)));
    }

    #[test]
    fn an_instant_is_due_once_and_an_interval_evenly(from in start(), ahead in -100_000..100_000_i64, minutes in 1..10_000_u64) {
        let at = from.as_millis() + ahead;
        let once = preview(&ScheduleDefinition::Once { at_millis: at }, "UTC", from, 3).unwrap();
        prop_assert_eq!(once, if ahead > 0 { vec![WallTime::from_millis(at)] } else { vec![] });
        let ticks = preview(&ScheduleDefinition::Interval { minutes }, "UTC", from, 3).unwrap();
        let step = i64::try_from(minutes).unwrap() * 60_000;
        let expected: Vec<WallTime> = (1..4).map(|nth| WallTime::from_millis(from.as_millis() + nth * step)).collect();
        prop_assert_eq!(ticks, expected);
    }
}
