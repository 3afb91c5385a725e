//! What a bucket lets pass.

use super::*;

const LIMIT: LogRateLimit = LogRateLimit { per_second: 100, burst: 10 };

fn at(millis: u64) -> Monotonic {
    Monotonic::from_millis(millis)
}

/// How many of `messages` at one instant pass.
fn passed(rate: &mut LogRate, millis: u64, messages: usize) -> usize {
    (0..messages).filter(|_| rate.admit(at(millis), LIMIT)).count()
}

#[test]
fn a_burst_passes_and_then_what_time_gives() {
    let mut rate = LogRate::default();
    assert_eq!(passed(&mut rate, 5000, 20), 10, "the burst");
    assert_eq!(passed(&mut rate, 5009, 20), 0, "less than a token came");
    assert_eq!(passed(&mut rate, 5010, 20), 1, "one each ten milliseconds");
    assert_eq!(passed(&mut rate, 5049, 20), 3, "what is left of a token is not lost");
    assert_eq!(passed(&mut rate, 5050, 20), 1);
    assert_eq!(passed(&mut rate, 60_000, 20), 10, "never more than the burst");
}

#[test]
fn a_steady_sender_below_the_rate_loses_nothing() {
    let mut rate = LogRate::default();
    assert_eq!((0..100_000_u64).filter(|number| rate.admit(at(number * 10), LIMIT)).count(), 100_000);
    assert_eq!(rate.due(), None);
}

#[test]
fn a_clock_that_stands_or_jumps_gives_nothing_away() {
    let mut rate = LogRate::default();
    assert_eq!(passed(&mut rate, u64::MAX, 20), 10);
    assert_eq!(passed(&mut rate, 0, 20), 0, "back in time");
    assert_eq!(passed(&mut rate, u64::MAX, 20), 10);
}
