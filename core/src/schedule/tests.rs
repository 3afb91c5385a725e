//! Schedules: first tick, missed ticks, instants in the past, and the wall clock jumping.
#![allow(clippy::arithmetic_side_effects, reason = "a test may fail by panicking")]

use super::*;

const HOUR: u64 = 60 * MINUTE;

fn now(monotonic: u64, wall: i64) -> Now {
    Now { monotonic: Monotonic::from_millis(monotonic), wall: WallTime::from_millis(wall) }
}

#[test]
fn an_interval_ticks_first_after_one_interval_and_skips_what_is_over() {
    let mut schedule = Schedule::new(&ScheduleDefinition::Interval { minutes: 60 }, now(1000, 0));
    assert!(!schedule.take_due(now(1000 + HOUR - 1, 0)));
    assert!(schedule.take_due(now(1000 + HOUR, 0)));
    assert!(!schedule.take_due(now(1000 + HOUR, 0)), "one tick runs once");
    assert!(schedule.take_due(now(1000 + 5 * HOUR + 7, 0)), "a long sleep is one run");
    assert_eq!(schedule.next_deadline(now(0, 0)).unwrap().at, Monotonic::from_millis(1000 + 6 * HOUR));
}

#[test]
fn an_interval_does_not_heed_the_wall_clock() {
    let mut schedule = Schedule::new(&ScheduleDefinition::Interval { minutes: 1 }, now(0, 0));
    assert!(!schedule.take_due(now(MINUTE - 1, i64::MAX)));
    assert!(schedule.take_due(now(MINUTE, i64::MIN)));
}

#[test]
fn run_at_runs_once_and_not_at_all_when_it_is_past() {
    let definition = ScheduleDefinition::Once { at_millis: 5000 };
    let mut schedule = Schedule::new(&definition, now(0, 1000));
    assert_eq!(schedule.next_deadline(now(0, 1000)).unwrap().at, Monotonic::from_millis(4000));
    assert!(!schedule.take_due(now(4000, 4999)), "the deadline is a hint; the wall clock decides");
    assert!(schedule.take_due(now(4001, 5000)));
    assert!(!schedule.take_due(now(9000, 9000)));
    assert_eq!(Schedule::new(&definition, now(0, 5001)), Schedule::Over);
}
