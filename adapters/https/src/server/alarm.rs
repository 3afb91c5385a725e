//! What has to happen in time on one connection, with one timer of the reactor for all of it: each that is set costs a system call,
//! and a connection at work would set two for every request.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::Sleep;
use smol::Timer;

/// The timer of one connection, whose waits all belong to one task. It may go off for a wait that is over, and is set anew then.
#[derive(Debug, Clone, Default)]
pub(crate) struct Alarm(Arc<Mutex<Option<(Instant, Timer)>>>);

/// Until an instant.
#[derive(Debug)]
pub(crate) struct Until {
    alarm: Alarm,
    deadline: Instant,
}

impl Alarm {
    /// A wait that begins now.
    pub(crate) fn after(&self, time: Duration) -> Until {
        let now = hyper::rt::Timer::now(self);
        // Beyond the clock's range, which no wait comes near, it is over at once.
        self.until(now.checked_add(time).unwrap_or(now))
    }

    fn until(&self, deadline: Instant) -> Until {
        Until { alarm: self.clone(), deadline }
    }
}

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut set = self.alarm.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match set.as_mut() {
                // One that goes off before this is soon enough: it is asked again then.
                Some((at, timer)) if *at <= self.deadline => {
                    if Pin::new(timer).poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    let is_own = *at == self.deadline;
                    *set = None;
                    if is_own {
                        return Poll::Ready(());
                    }
                }
                Some(_) | None => *set = Some((self.deadline, Timer::at(self.deadline))),
            }
        }
    }
}

impl Sleep for Until {}

impl hyper::rt::Timer for Alarm {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(self.after(duration))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(self.until(deadline))
    }
}

#[cfg(test)]
mod tests;
