//! One timer, many waits: none ends early, and none is left behind by another.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use futures_lite::future::or;

use super::Alarm;

const SOON: Duration = Duration::from_millis(5);
const LATER: Duration = Duration::from_millis(25);
const NEVER: Duration = Duration::from_secs(3600);

/// A wait that was begun and is over before its time, as the wait for a request's head is when the head comes.
fn abandon(alarm: &Alarm, time: Duration) {
    let mut context = Context::from_waker(Waker::noop());
    assert!(pin!(alarm.after(time)).poll(&mut context).is_pending());
}

#[expect(clippy::disallowed_methods, reason = "what is tested is that time has passed")]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn a_wait_is_not_over_when_the_timer_goes_off_for_an_earlier_one() {
    let alarm = Alarm::default();
    abandon(&alarm, SOON);
    let end = now() + LATER;
    smol::block_on(alarm.after(LATER));
    assert!(now() >= end);
}

#[test]
fn a_wait_is_over_in_time_where_the_timer_was_set_for_a_later_one() {
    let alarm = Alarm::default();
    abandon(&alarm, NEVER);
    smol::block_on(alarm.after(SOON));
}

#[test]
fn two_waits_at_once_end_in_the_order_of_their_instants() {
    let alarm = Alarm::default();
    let (late, soon) = (alarm.after(LATER), alarm.after(SOON));
    let late = async {
        late.await;
        "late"
    };
    let soon = async {
        soon.await;
        "soon"
    };
    assert_eq!(smol::block_on(or(late, soon)), "soon");
}

#[test]
fn an_instant_that_is_over_is_over_at_once() {
    let alarm = Alarm::default();
    abandon(&alarm, NEVER);
    smol::block_on(alarm.until(now()));
}
