//! What keeps events from starting jobs too often: a rate for each job, and messages that came already.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;

use super::last_minute::LastMinute;
use crate::id::{Component, JobId};
use crate::limits::{EVENT_STARTS_PER_MINUTE, MESSAGE_IDS};
use crate::time::Monotonic;

/// Starts by events and messages lately.
#[derive(Debug, Default)]
pub(super) struct EventStarts {
    by_job: BTreeMap<JobId, LastMinute>,
    messages: VecDeque<(Component, String)>,
}

impl EventStarts {
    /// Counts a start; false where the job had its share of the last minute.
    pub(super) fn admit(&mut self, job: &JobId, now: Monotonic) -> bool {
        let starts = match self.by_job.get_mut(job) {
            Some(starts) => starts,
            None => self.by_job.entry(job.clone()).or_default(),
        };
        starts.admit(EVENT_STARTS_PER_MINUTE, now).is_ok()
    }

    /// A job is out of service.
    pub(super) fn forget(&mut self, job: &JobId) {
        self.by_job.remove(job);
    }

    /// Whether a sender's message with this id is here for the first time.
    pub(super) fn is_new(&mut self, sender: &Component, id: &str) -> bool {
        if self.messages.iter().any(|(known, known_id)| known == sender && known_id == id) {
            return false;
        }
        self.messages.truncate(MESSAGE_IDS.saturating_sub(1));
        self.messages.push_front((sender.clone(), String::from(id)));
        true
    }
}
