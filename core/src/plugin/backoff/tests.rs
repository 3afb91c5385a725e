//! Restart delays: doubling, the most, the reset after a stable time, five exits within a minute.
#![allow(clippy::unwrap_used, clippy::panic, clippy::arithmetic_side_effects, reason = "a test may fail by panicking")]

use std::vec::Vec;

use super::*;

const MONITORING: Monitoring = Monitoring {
    interval_seconds: 5,
    restart_delay_seconds: 1,
    restart_delay_max_seconds: 300,
    stable_after_seconds: 60,
};

/// Each instance runs so many seconds and is restarted as soon as allowed; the delays, negative for `Failed`.
fn delays(monitoring: &Monitoring, lives: &[u64]) -> Vec<i64> {
    let mut backoff = Backoff::default();
    let mut now = Monotonic::from_millis(1000);
    let mut delays = Vec::new();
    for life in lives {
        let started = now;
        let ended = started.plus_seconds(*life);
        let (until, sign) = match backoff.on_exit(started, ended, monitoring) {
            Verdict::RestartAt(until) => (until, 1),
            Verdict::FailedUntil(until) => (until, -1),
        };
        delays.push(sign * (until.millis_since(ended) / 1000) as i64);
        now = until;
    }
    delays
}

#[test]
fn the_delay_doubles_up_to_its_maximum() {
    // Lives of 20 s: never stable, never five within a minute.
    let expect = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300];
    assert_eq!(delays(&MONITORING, &[20; 11]), expect);
    let most = Monitoring { restart_delay_max_seconds: 3, ..MONITORING };
    assert_eq!(delays(&most, &[20; 4]), [1, 2, 3, 3]);
    assert_eq!(delays(&Monitoring { restart_delay_seconds: u64::MAX, ..MONITORING }, &[20; 3]), [300, 300, 300]);
    assert_eq!(delays(&MONITORING, &[20; 200])[199], 300, "the doubling does not wrap around");
}

#[test]
fn a_stable_time_starts_the_delay_over() {
    assert_eq!(delays(&MONITORING, &[20, 20, 20, 60, 20, 59, 20]), [1, 2, 4, 1, 2, 4, 8]);
}

#[test]
fn five_exits_within_a_minute_are_a_failure() {
    assert_eq!(delays(&MONITORING, &[0; 5]), [1, 2, 4, 8, -300]);
    assert_eq!(delays(&MONITORING, &[0, 0, 0, 0, 0, 0, 0]), [1, 2, 4, 8, -300, 32, 64], "then the count starts over");
    assert_eq!(delays(&MONITORING, &[0, 0, 0, 30, 30]), [1, 2, 4, 8, 16], "the first was over a minute ago");
}

#[test]
fn a_start_by_hand_forgets_the_past() {
    let mut backoff = Backoff::default();
    let now = Monotonic::from_millis(0);
    for _ in 0..4 {
        backoff.on_exit(now, now, &MONITORING);
    }
    backoff.reset();
    assert_eq!(backoff.on_exit(now, now, &MONITORING), Verdict::RestartAt(now.plus_seconds(1)));
}
