//! What is looked after now and then: the age of the history, what the servers counted about failures, and memory that is free again.

use castellan_core::time::{Monotonic, Now};
use castellan_https::Counters;

use crate::perform::Ports;

/// Seconds between two looks at the counters; the loop comes by at least as often.
const COUNTERS_SECONDS: u64 = 60;
/// Seconds between two prunings of the history; days are what counts there.
const PRUNE_SECONDS: u64 = 3600;
/// Seconds after something happened until free memory is given back: malloc keeps what a burst took, for as long as the agent runs.
/// Often enough for a burst to be forgotten within a minute, and an agent that rests is not woken for it.
const MEMORY_SECONDS: u64 = 20;

/// When what was done last.
#[derive(Debug)]
pub(crate) struct Chores {
    history_days: u32,
    next_counters: Monotonic,
    next_prune: Monotonic,
    /// `None` where nothing happened since the last time.
    next_memory: Option<Monotonic>,
    has_started: bool,
    told: Counters,
}

impl Chores {
    /// The history was pruned at the start already.
    pub(crate) fn new(history_days: u32, now: Now) -> Self {
        Self {
            history_days,
            next_counters: now.monotonic.plus_seconds(COUNTERS_SECONDS),
            next_prune: now.monotonic.plus_seconds(PRUNE_SECONDS),
            next_memory: Some(now.monotonic.plus_seconds(MEMORY_SECONDS)),
            has_started: false,
            told: Counters::default(),
        }
    }

    /// Does what is due.
    pub(crate) fn look_after(&mut self, ports: &Ports, now: Now) {
        if now.monotonic >= self.next_counters {
            self.next_counters = now.monotonic.plus_seconds(COUNTERS_SECONDS);
            self.tell_failures(ports.server.counters());
        }
        // A full queue leaves it due, so that it is tried again.
        if now.monotonic >= self.next_prune && ports.store.prune(self.history_days, now.wall) {
            self.next_prune = now.monotonic.plus_seconds(PRUNE_SECONDS);
        }
        if self.next_memory.is_some_and(|due| now.monotonic >= due) {
            self.next_memory = None;
            castellan_process::release_free_memory();
            // Once: what is used from then on is used again.
            if !std::mem::replace(&mut self.has_started, true)
                && let Err(error) = castellan_process::release_program()
            {
                log::warn!("The memory that only the start needed is kept: {error}.");
            }
        }
    }

    /// Something happened, and may have taken memory.
    pub(crate) fn note_activity(&mut self, now: Now) {
        self.next_memory.get_or_insert_with(|| now.monotonic.plus_seconds(MEMORY_SECONDS));
    }

    /// What the loop must come by for; the rest has time until it comes by anyway.
    pub(crate) const fn next_deadline(&self) -> Option<Monotonic> {
        self.next_memory
    }

    /// One line a minute at most, and only where something failed since the last one.
    pub(crate) fn tell_failures(&mut self, counters: Counters) {
        let failures = [
            ("connections evicted", self.told.evicted, counters.evicted),
            ("connections turned away", self.told.turned_away, counters.turned_away),
            ("connections of unknown origin", self.told.unobserved, counters.unobserved),
            ("failed handshakes", self.told.handshakes_failed, counters.handshakes_failed),
            ("requests refused for their framing, size or time", self.told.refused, counters.refused),
            ("requests answered with 503", self.told.overloaded, counters.overloaded),
            ("requests without an answer in time", self.told.unanswered, counters.unanswered),
            ("event streams that were not read", self.told.not_read, counters.not_read),
            ("responses that could not be sent as they were", self.told.unsendable, counters.unsendable),
            ("broken connections", self.told.broken, counters.broken),
            ("failed accepts", self.told.accept_failed, counters.accept_failed),
        ];
        let changed: Vec<String> = failures
            .into_iter()
            .filter_map(|(name, before, now)| Some((name, now.checked_sub(before).filter(|more| *more > 0)?)))
            .map(|(name, more)| format!("{more} {name}"))
            .collect();
        if !changed.is_empty() {
            let last = counters.last_error.as_ref().map_or_else(String::new, |error| format!(" Last error: {error}."));
            log::warn!("The HTTP servers since the last such line: {}.{last}", changed.join(", "));
        }
        self.told = counters;
    }
}
