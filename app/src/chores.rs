//! What is looked after now and then: the age of the history, the end of the audit, what the servers counted about failures, and memory that is free again.

use castellan_core::time::{Monotonic, Now};
use castellan_https::Counters;

use crate::audit_head;
use crate::perform::Ports;

/// Seconds between two looks at the counters; the loop comes by at least as often.
const COUNTERS_SECONDS: u64 = 60;
/// Seconds between two prunings of the history; days are what counts there.
const PRUNE_SECONDS: u64 = 3600;
/// Seconds between two notes of the audit's end in the log (privilege-flow.md section 5).
const HEAD_SECONDS: u64 = 3600;
/// Seconds after something happened until free memory is given back: malloc keeps what a burst took, for as long as the agent runs.
/// Often enough for a burst to be forgotten within a minute, and an agent that rests is not woken for it.
const MEMORY_SECONDS: u64 = 20;

/// When what was done last.
#[derive(Debug)]
pub(crate) struct Chores {
    history_days: u32,
    next_counters: Monotonic,
    next_prune: Monotonic,
    next_head: Monotonic,
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
            next_head: now.monotonic.plus_seconds(HEAD_SECONDS),
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
        if now.monotonic >= self.next_head {
            self.next_head = now.monotonic.plus_seconds(HEAD_SECONDS);
            audit_head::note(&ports.log, ports.audit.head(), now.wall);
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
        let changed: Vec<String> = self
            .told
            .failures()
            .into_iter()
            .zip(counters.failures())
            .filter_map(|(before, now)| {
                Some((now.said?, now.count.checked_sub(before.count).filter(|more| *more > 0)?))
            })
            .map(|(said, more)| format!("{more} {said}"))
            .collect();
        if !changed.is_empty() {
            let last = counters.last_error.as_ref().map_or_else(String::new, |error| format!(" Last error: {error}."));
            log::warn!("The HTTP servers since the last such line: {}.{last}", changed.join(", "));
        }
        self.told = counters;
    }
}
