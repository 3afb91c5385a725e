//! The loop: wait for an event or the next deadline, handle it, perform what follows, again.

use std::collections::VecDeque;
use std::time::Duration;

use async_io::Timer;
use castellan_core::agent::Agent;
use castellan_core::effect::Effects;
use castellan_core::event::Event;
use castellan_core::time::{Monotonic, Now};
use smol::channel::Receiver;
use smol::future::{block_on, or};

use crate::chores::Chores;
use crate::clock::Clock;
use crate::perform::{Performed, Ports};

/// The longest sleep: a wall clock that was set is noticed within it, and chores are done.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Runs the agent until it asks to exit. Events that stand in `first` come before all others.
pub(crate) fn run(
    agent: &mut Agent,
    clock: Clock,
    chores: &mut Chores,
    mut first: VecDeque<Event>,
    events: &Receiver<Event>,
    ports: &Ports,
) {
    let mut effects = Effects::new();
    loop {
        let event = match first.pop_front() {
            Some(event) => event,
            None => {
                let deadline = agent.next_deadline(clock.now()).map(|deadline| deadline.at);
                let first = deadline.into_iter().chain(chores.next_deadline()).min();
                next(events, first, clock.now())
            }
        };
        if let Event::Broker(report) = &event {
            ports.broker.taken(report);
        }
        chores.look_after(ports, clock.now());
        if !matches!(event, Event::DeadlineReached) {
            chores.note_activity(clock.now());
        }
        agent.handle(clock.now(), event, &mut effects);
        for effect in effects.drain(..) {
            match ports.perform(effect) {
                Performed::Done => {}
                Performed::Lost(order, why) => first.push_back(Event::Lost { order, why }),
                Performed::Exit => return,
            }
        }
    }
}

/// The next event, or the deadline. A closed channel cannot happen while the ports live; it reads as a wish to stop.
fn next(events: &Receiver<Event>, deadline: Option<Monotonic>, now: Now) -> Event {
    let wait = deadline.map_or(LONGEST_WAIT, |at| Duration::from_millis(at.millis_since(now.monotonic)));
    let received = async {
        events.recv().await.unwrap_or_else(|_| Event::StopRequested(String::from("every port of the agent is gone")))
    };
    let timed = async {
        Timer::after(wait.min(LONGEST_WAIT)).await;
        Event::DeadlineReached
    };
    block_on(or(received, timed))
}
