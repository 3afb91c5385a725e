//! When a policy source is asked: regularly, apart from the rest of the fleet, and more and more rarely while it fails.

use crate::config::{PolicyPlace, PolicySource};
use crate::digest::digest;

/// Seconds after the first failure; a source that is asked more often is also asked again sooner.
const RETRY_SECONDS: u64 = 5;
/// The longest time between two questions to a source that fails, unless it is asked more rarely anyway.
const RETRY_MAX_SECONDS: u64 = 300;
/// A subscription that held for so long was a good one.
const STABLE_MILLIS: u64 = 60_000;
/// The part of a time by which it is spread.
const SPREAD: u64 = 10;

/// The pace of one machine; all times in milliseconds.
#[derive(Debug)]
pub(super) struct Pace {
    seed: u64,
    /// Milliseconds; for a topic only how soon it is asked first and again.
    poll: u64,
    asked: u64,
    failures: u32,
}

impl Pace {
    pub(super) fn new(source: Option<&PolicySource>, seed: u64) -> Self {
        let seconds = source.map_or(RETRY_SECONDS, |source| match source.place {
            PolicyPlace::Mqtt(_) => RETRY_SECONDS,
            PolicyPlace::Folder(_) | PolicyPlace::Url(_) => source.poll_seconds,
        });
        Self { seed, poll: seconds.saturating_mul(1000), asked: 0, failures: 0 }
    }

    /// Until the first question: a fleet that gets its power back does not ask at once.
    pub(super) fn first(&self) -> u64 {
        self.spread(self.poll / SPREAD)
    }

    pub(super) const fn asks(&mut self) {
        self.asked = self.asked.saturating_add(1);
    }

    pub(super) const fn answered(&mut self) {
        self.failures = 0;
    }

    /// A subscription ended after so long.
    pub(super) const fn listened(&mut self, millis: u64) {
        if millis >= STABLE_MILLIS {
            self.failures = 0;
        }
    }

    /// Until the next question after an answer.
    pub(super) fn poll(&self) -> u64 {
        let tenth = self.poll / SPREAD;
        self.poll.saturating_sub(tenth).saturating_add(self.spread(tenth.saturating_mul(2)))
    }

    /// Until the next question after a failure.
    pub(super) fn after_failure(&mut self) -> u64 {
        let first = self.poll.min(RETRY_SECONDS * 1000);
        let most = self.poll.max(RETRY_MAX_SECONDS * 1000);
        let doubled = first.saturating_mul(2_u64.saturating_pow(self.failures)).min(most);
        self.failures = self.failures.saturating_add(1);
        doubled.saturating_sub(self.spread(doubled / 2))
    }

    /// Until a topic is subscribed anew whose bundle was refused by its policies.
    pub(super) fn after_refusal(&self) -> u64 {
        let most = RETRY_MAX_SECONDS * 1000;
        most.saturating_sub(self.spread(most / 2))
    }

    /// From 0 to `most`, another one for each machine and question.
    fn spread(&self, most: u64) -> u64 {
        let parts = [self.seed.to_le_bytes(), self.asked.to_le_bytes()];
        digest(&[parts.as_flattened()]).checked_rem(most.saturating_add(1)).unwrap_or_default()
    }
}
