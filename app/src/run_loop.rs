//! The loop: wait for an event or the next deadline, handle it, perform what follows, again.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use castellan_core::agent::Agent;
use castellan_core::effect::Effects;
use castellan_core::event::Event;
use castellan_core::time::Monotonic;
use smol::channel::Receiver;

use crate::chores::Chores;
use crate::clock::Clock;
use crate::heartbeat::Heartbeat;
use crate::notify::Notifier;
use crate::perform::{Performed, Ports};

/// The longest sleep: a wall clock that was set is noticed within it, and chores are done.
const LONGEST_WAIT_SECONDS: u64 = 60;

/// Runs the agent until it asks to exit. Events that stand in `first` come before all others.
pub(crate) fn run(
    agent: &mut Agent,
    clock: Clock,
    chores: &mut Chores,
    mut first: VecDeque<Event>,
    events: &Receiver<Event>,
    ports: &Ports,
    heartbeat: &Heartbeat,
) {
    let mut effects = Effects::new();
    let mut notifier = Notifier::from_environment(clock.now());
    loop {
        let event = match first.pop_front() {
            Some(event) => event,
            None => {
                let deadline = agent.next_deadline(clock.now()).map(|deadline| deadline.at);
                let first = deadline.into_iter().chain(chores.next_deadline()).chain(notifier.next_deadline()).min();
                heartbeat.waits();
                let event = next(events, first, clock);
                heartbeat.works(clock.now().monotonic);
                event
            }
        };
        if let Event::Broker(report) = &event {
            ports.broker.taken(report);
        }
        let now = clock.now();
        chores.look_after(ports, now);
        if !matches!(event, Event::DeadlineReached) {
            chores.note_activity(now);
            notifier.note_activity();
        }
        agent.handle(clock.now(), event, &mut effects);
        notifier.look_after(clock.now(), agent);
        for effect in effects.drain(..) {
            match ports.perform(effect) {
                Performed::Done => {}
                Performed::Lost(order, why) => first.push_back(Event::Lost { order, why }),
                Performed::Answered(event) => first.push_back(*event),
                Performed::Exit => return heartbeat.ends(),
            }
        }
    }
}

/// The next event, or the deadline. A closed channel cannot happen while the ports live; it reads as a wish to stop.
///
/// The thread waits by itself: a timer of the reactor would wake the reactor's thread for each event, in the middle of every start.
fn next(events: &Receiver<Event>, deadline: Option<Monotonic>, clock: Clock) -> Event {
    let longest = clock.now().monotonic.plus_seconds(LONGEST_WAIT_SECONDS);
    let until = deadline.map_or(longest, |at| at.min(longest));
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut received = pin!(events.recv());
    loop {
        if let Poll::Ready(received) = received.as_mut().poll(&mut context) {
            return received.unwrap_or_else(|_| Event::StopRequested(String::from("every port of the agent is gone")));
        }
        match until.millis_since(clock.now().monotonic) {
            0 => return Event::DeadlineReached,
            left => thread::park_timeout(Duration::from_millis(left)),
        }
    }
}

/// Ends the wait of a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
