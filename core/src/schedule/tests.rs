//! Schedules: first tick, missed ticks, clock changes, time zones, and the wall clock jumping.
#![allow(clippy::arithmetic_side_effects, reason = "a test may fail by panicking")]

use alloc::format;
use alloc::string::{String, ToString};

use super::*;

const HOUR: u64 = 60 * MINUTE;

fn now(monotonic: u64, wall: i64) -> Now {
    Now { monotonic: Monotonic::from_millis(monotonic), wall: WallTime::from_millis(wall) }
}

fn at(text: &str) -> WallTime {
    WallTime::parse_rfc3339(text).unwrap()
}

fn job(id: &str) -> JobId {
    JobId::parse(id).unwrap()
}

fn with(definition: &ScheduleDefinition, missed: MissedRuns, now: Now) -> Timetable {
    let mut timetable = Timetable::default();
    timetable.insert(&job("a"), definition, missed, Zone::UTC, now).unwrap();
    timetable
}

fn cron(expression: &str, zone: &str) -> ScheduleDefinition {
    ScheduleDefinition::Cron { expression: expression.to_string(), time_zone: Some(zone.to_string()) }
}

/// The next instants of a schedule, as it takes them one by one.
fn next(definition: &ScheduleDefinition, from: &str, count: usize) -> Vec<String> {
    let mut timetable = with(definition, MissedRuns::Skip, Now { wall: at(from), ..Now::default() });
    let mut found = Vec::new();
    while let Some(wall) = timetable.next_run(&job("a"), Now::default()).filter(|_| found.len() < count) {
        assert_eq!(timetable.take_due(Now { wall, ..Now::default() }), [(job("a"), Tick::Due(wall))]);
        found.push(wall.to_rfc3339().replace(":00.000Z", "Z"));
    }
    found
}

#[test]
fn an_interval_ticks_first_after_one_interval_and_skips_what_is_over() {
    let mut timetable = with(&ScheduleDefinition::Interval { minutes: 60 }, MissedRuns::Skip, now(1000, 0));
    assert!(timetable.take_due(now(1000 + HOUR - 1, 0)).is_empty());
    assert_eq!(timetable.take_due(now(1000 + HOUR, 0)).len(), 1);
    assert!(timetable.take_due(now(1000 + HOUR, 0)).is_empty(), "one tick runs once");
    assert_eq!(timetable.take_due(now(1000 + 5 * HOUR + 7, 0)).len(), 1, "a long sleep is one run");
    assert_eq!(timetable.next_deadline(now(0, 0)).unwrap().at, Monotonic::from_millis(1000 + 6 * HOUR));
}

#[test]
fn an_interval_does_not_heed_the_wall_clock() {
    let mut timetable = with(&ScheduleDefinition::Interval { minutes: 1 }, MissedRuns::Skip, now(0, 0));
    assert!(timetable.take_due(now(MINUTE - 1, i64::MAX)).is_empty());
    assert_eq!(timetable.take_due(now(MINUTE, i64::MIN)).len(), 1);
}

#[test]
fn run_at_runs_once_and_not_at_all_when_it_is_past() {
    let definition = ScheduleDefinition::Once { at_millis: 5000 };
    let mut timetable = with(&definition, MissedRuns::Skip, now(0, 1000));
    assert_eq!(timetable.next_deadline(now(0, 1000)).unwrap().at, Monotonic::from_millis(4000));
    assert!(timetable.take_due(now(4000, 4999)).is_empty(), "the deadline is a hint; the wall clock decides");
    assert_eq!(timetable.take_due(now(4001, 5000)).len(), 1);
    assert!(timetable.take_due(now(9000, 9000)).is_empty());
    assert_eq!(with(&definition, MissedRuns::RunOnce, now(0, 5001)).next_deadline(now(0, 5001)), None);
}

#[test]
fn cron_has_its_usual_meaning() {
    let check = |expression: &str, from: &str, expect: &[&str]| {
        assert_eq!(next(&cron(expression, "UTC"), from, expect.len()), expect, "{expression}");
    };
    check("0 3 * * *", "2026-11-21T03:00:00Z", &["2026-11-22T03:00Z", "2026-11-23T03:00Z"]);
    check("*/20 9-10 * * *", "2026-11-21T09:30:00Z", &["2026-11-21T09:40Z", "2026-11-21T10:00Z", "2026-11-21T10:20Z"]);
    check("0 0 * jan,MAR *", "2026-12-31T00:00:00Z", &["2027-01-01T00:00Z"]);
    check("0 0 * * 7", "2026-11-21T00:00:00Z", &["2026-11-22T00:00Z", "2026-11-29T00:00Z"]);
    check(
        "0 0 * * fri-sun",
        "2026-11-19T00:00:00Z",
        &["2026-11-20T00:00Z", "2026-11-21T00:00Z", "2026-11-22T00:00Z", "2026-11-27T00:00Z"],
    );
    check("0 0 * * 1-7/3", "2026-11-21T00:00:00Z", &["2026-11-22T00:00Z", "2026-11-23T00:00Z", "2026-11-26T00:00Z"]);
    check("@hourly", "2026-11-21T23:10:00Z", &["2026-11-22T00:00Z"]);
    // Day of month or day of week where both are restricted: the 13th, or a Friday.
    check(
        "0 0 13 * 5",
        "2026-11-09T00:00:00Z",
        &[
            "2026-11-13T00:00Z",
            "2026-11-20T00:00Z",
            "2026-11-27T00:00Z",
            "2026-12-04T00:00Z",
            "2026-12-11T00:00Z",
            "2026-12-13T00:00Z",
        ],
    );
    check("0 0 30 2 1", "2027-01-31T00:00:00Z", &["2027-02-01T00:00Z", "2027-02-08T00:00Z"]);
    check("0 0 29 2 *", "2097-01-01T00:00:00Z", &["2104-02-29T00:00Z"]);
}

#[test]
fn what_is_no_cron_expression_is_refused_with_a_reason() {
    for wrong in [
        "",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "0 3 30 2 *",
        "0 0 31 4,6 *",
        "* * * * 8",
        "* * * * 5-1",
        "* * * foo *",
        "*/0 * * * *",
        "* * * * 1/0",
        "@reboot",
        "a b c d e",
        "- - - - -",
    ] {
        let error = Cron::parse(wrong).unwrap_err();
        assert!(error.ends_with('.'), "{wrong:?}: {error}");
    }
}

#[test]
fn a_skipped_local_time_runs_after_the_gap_and_a_repeated_one_once() {
    let vienna = |expression| cron(expression, "Europe/Vienna");
    // 2027-03-28 02:00 CET becomes 03:00 CEST; 2027-10-31 03:00 CEST becomes 02:00 CET.
    assert_eq!(next(&vienna("30 2 * * *"), "2027-03-27T12:00:00Z", 2), ["2027-03-28T01:00Z", "2027-03-29T00:30Z"]);
    assert_eq!(next(&vienna("*/30 2-3 28 3 *"), "2027-03-28T00:00:00Z", 2), ["2027-03-28T01:00Z", "2027-03-28T01:30Z"]);
    assert_eq!(next(&vienna("30 2 * * *"), "2027-10-30T12:00:00Z", 2), ["2027-10-31T00:30Z", "2027-11-01T01:30Z"]);
    let calendar = ScheduleDefinition::Calendar {
        entries: Vec::from([CalendarEntry { minute_of_day: 150, days_of_week: Vec::new(), days_of_month: Vec::new() }]),
        time_zone: Some("Europe/Vienna".to_string()),
    };
    assert_eq!(next(&calendar, "2027-03-27T12:00:00Z", 1), ["2027-03-28T01:00Z"]);
    // Samoa left out the 30th of December 2011 altogether.
    assert_eq!(next(&cron("0 12 30 12 *", "Pacific/Apia"), "2011-12-29T23:00:00Z", 1), ["2011-12-30T10:00Z"]);
}

#[test]
fn a_calendar_matches_either_kind_of_day() {
    let check = |days_of_week: &[u8], days_of_month: &[i8], expect: &[&str]| {
        let entry = CalendarEntry {
            minute_of_day: 180,
            days_of_week: days_of_week.into(),
            days_of_month: days_of_month.into(),
        };
        let definition = ScheduleDefinition::Calendar { entries: Vec::from([entry]), time_zone: None };
        assert_eq!(next(&definition, "2026-11-21T12:00:00Z", expect.len()), expect);
    };
    check(&[], &[], &["2026-11-22T03:00Z", "2026-11-23T03:00Z"]);
    check(&[1, 3], &[], &["2026-11-23T03:00Z", "2026-11-25T03:00Z"]);
    check(&[], &[-1], &["2026-11-30T03:00Z", "2026-12-31T03:00Z", "2027-01-31T03:00Z", "2027-02-28T03:00Z"]);
    check(&[], &[31], &["2026-12-31T03:00Z", "2027-01-31T03:00Z", "2027-03-31T03:00Z"]);
    check(&[0], &[25], &["2026-11-22T03:00Z", "2026-11-25T03:00Z", "2026-11-29T03:00Z"]);
}

#[test]
fn missed_instants_are_told_or_made_up_for_once() {
    let start = Now { wall: at("2026-11-21T00:00:00Z"), ..Now::default() };
    let awake = Now { wall: at("2026-11-24T10:00:00Z"), ..Now::default() };
    let first = at("2026-11-21T03:00:00Z");
    for (missed, tick) in [(MissedRuns::Skip, Tick::Missed(first)), (MissedRuns::RunOnce, Tick::Due(first))] {
        let mut timetable = with(&cron("0 3 * * *", "UTC"), missed, start);
        assert_eq!(timetable.take_due(awake), [(job("a"), tick)], "{missed:?}");
        assert_eq!(timetable.next_run(&job("a"), awake), Some(at("2026-11-25T03:00:00Z")));
    }
    let mut timetable = with(&cron("0 3 * * *", "UTC"), MissedRuns::Skip, start);
    let busy = Now { wall: at("2026-11-21T03:00:59Z"), ..Now::default() };
    assert_eq!(timetable.take_due(busy), [(job("a"), Tick::Due(first))], "a busy machine misses nothing");
}

#[test]
fn a_clock_that_is_set_back_repeats_nothing_and_forgets_nothing() {
    let wall = |text: &str| Now { wall: at(text), ..Now::default() };
    let mut timetable = with(&cron("0 * * * *", "UTC"), MissedRuns::Skip, wall("2026-11-21T09:30:00Z"));
    assert_eq!(timetable.take_due(wall("2026-11-21T10:00:00Z")).len(), 1);
    assert!(timetable.take_due(wall("2026-11-21T08:59:00Z")).is_empty());
    assert_eq!(timetable.next_run(&job("a"), Now::default()), Some(at("2026-11-21T11:00:00Z")), "10:00 ran already");
    // Far into the future and back: what was missed there comes again in its own time.
    assert!(matches!(timetable.take_due(wall("2030-01-01T00:30:00Z")).as_slice(), [(_, Tick::Missed(_))]));
    assert!(timetable.take_due(wall("2026-11-21T10:30:00Z")).is_empty());
    assert_eq!(timetable.next_run(&job("a"), Now::default()), Some(at("2026-11-21T11:00:00Z")));
}

#[test]
fn schedules_come_in_their_order_and_go_when_removed() {
    let mut timetable = Timetable::default();
    let start = Now { wall: at("2026-11-21T00:00:00Z"), ..Now::default() };
    for minute in 0..60 {
        let definition = cron(&format!("{minute} * * * *"), "UTC");
        timetable.insert(&job(&format!("j{minute}")), &definition, MissedRuns::Skip, Zone::UTC, start).unwrap();
    }
    timetable.remove(&job("j1"));
    assert_eq!(timetable.next_deadline(start).unwrap().at, Monotonic::from_millis(2 * MINUTE));
    let due = timetable.take_due(Now { wall: at("2026-11-21T00:02:30Z"), ..Now::default() });
    assert_eq!(due, [(job("j2"), Tick::Due(at("2026-11-21T00:02:00Z")))]);
    assert!(timetable.insert(&job("x"), &cron("0 0 * * *", "Mars/Base"), MissedRuns::Skip, Zone::UTC, start).is_err());
}

#[test]
fn the_instant_of_an_interval_is_read_the_same_until_a_clock_is_set() {
    let start = 1_700_000_000_000;
    let hourly = ScheduleDefinition::Interval { minutes: 60 };
    let mut timetable = with(&hourly, MissedRuns::Skip, now(1000, start));
    timetable.heed_clocks(now(1000, start));
    let shown =
        |timetable: &Timetable, now| (timetable.version(), timetable.next_run(&job("a"), now).unwrap().as_millis());
    let (version, due) = shown(&timetable, now(1000, start));
    assert_eq!(due, start + 3_600_000);
    // Both clocks are cut to milliseconds, each at another moment, and a wall clock may be drawn nearer to the right time.
    for (monotonic, wall) in [(2000, start + 1001), (2001, start + 999), (3000, start + 2999)] {
        let later = now(monotonic, wall);
        assert!(timetable.take_due(later).is_empty());
        assert_eq!(shown(&timetable, later), (version, due), "{later:?}");
    }
    // Set, or the machine slept: an interval counts on.
    let set = now(4000, start + 3000 + 60_000);
    timetable.heed_clocks(set);
    let (changed, moved) = shown(&timetable, set);
    assert!(changed > version);
    assert_eq!(moved, due + 60_000);
    let after = now(3_601_000, start + 3_660_000);
    assert_eq!(timetable.take_due(after), [(job("a"), Tick::Elapsed)]);
    let (ticked, next) = shown(&timetable, after);
    assert!(ticked > changed);
    assert_eq!(next, moved + 3_600_000);
}
