//! What has changed of the durable state and is not saved yet. Batches are counted: one is on its way at a time, and what changes
//! meanwhile is the next one.

use alloc::collections::{BTreeMap, BTreeSet};

use super::message::Delivery;
use super::retained::RETAINED_BYTES;
use super::session::SessionId;
use crate::acl::topic::TopicName;

/// What the names of changed things may take until the next batch, bytes: as much as all retained messages. Beyond that the next
/// batch has everything there is, which is bounded; a disk that hangs must not fill the memory.
pub(super) const JOURNAL_BYTES: usize = RETAINED_BYTES;
/// What one such name costs beside its text, about.
const NAME_BYTES: usize = 64;

/// What changes together with the sessions.
#[derive(Debug)]
pub(super) struct Ledger {
    /// What all queues and messages in flight cost.
    pub(super) bytes: usize,
    /// How many acknowledgements wait for the disk.
    pub(super) acknowledgements: usize,
    /// What must be saved.
    pub(super) journal: Journal,
}

/// How far saving has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// A batch is on its way.
    Saving,
    /// The last batch was not written.
    Failed,
}

/// The changes that are not saved yet.
#[derive(Debug)]
pub(super) struct Journal {
    retained: BTreeSet<TopicName>,
    sessions: BTreeSet<SessionId>,
    /// `None` where a message is gone.
    waiting: BTreeMap<(SessionId, u64), Option<Delivery>>,
    /// The next batch has everything, so single changes need not be remembered: the last one was not written, or there were too many.
    everything: bool,
    /// What the retained messages and sessions noted cost, bytes.
    bytes: usize,
    state: State,
    /// Somebody waits for the next batch, or has waited long enough.
    urgent: bool,
    /// The batch that changes go into now.
    number: u64,
    /// All before this one are saved.
    unsaved: u64,
    /// Counts changes.
    changes: u64,
    last_place: u64,
}

/// What the next batch is made of.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) number: u64,
    pub(super) retained: BTreeSet<TopicName>,
    pub(super) sessions: BTreeSet<SessionId>,
    pub(super) waiting: BTreeMap<(SessionId, u64), Option<Delivery>>,
    /// Single changes were not remembered: everything goes into this one.
    pub(super) everything: bool,
}

impl Journal {
    /// An empty one, after a start that found messages up to this place.
    pub(super) const fn new(last_place: u64) -> Self {
        Self {
            retained: BTreeSet::new(),
            sessions: BTreeSet::new(),
            waiting: BTreeMap::new(),
            everything: false,
            bytes: 0,
            state: State::Idle,
            urgent: false,
            number: 1,
            unsaved: 1,
            changes: 0,
            last_place,
        }
    }

    /// A place for a message that is going to wait, after all others.
    pub(super) const fn next_place(&mut self) -> u64 {
        self.last_place = self.last_place.saturating_add(1);
        self.last_place
    }

    /// A retained message was kept or removed.
    pub(super) fn note_retained(&mut self, topic: &TopicName) {
        self.changes = self.changes.saturating_add(1);
        if !self.everything && self.retained.insert(topic.clone()) {
            self.count(topic.as_str().len());
        }
    }

    /// A durable session was made, changed or ended.
    pub(super) fn note_session(&mut self, id: SessionId) {
        self.changes = self.changes.saturating_add(1);
        if !self.everything && self.sessions.insert(id) {
            self.count(0);
        }
    }

    /// Counts one more change with a name of this many bytes. What waits is not counted: the queues have their bounds.
    fn count(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(NAME_BYTES).saturating_add(bytes);
        if self.bytes > JOURNAL_BYTES {
            self.want_everything();
        }
    }

    fn want_everything(&mut self) {
        self.everything = true;
        self.bytes = 0;
        self.retained.clear();
        self.sessions.clear();
        self.waiting.clear();
    }

    /// A message waits for a durable session at this place.
    pub(super) fn note_waiting(&mut self, id: SessionId, place: u64, delivery: Delivery) {
        self.changes = self.changes.saturating_add(1);
        if !self.everything {
            self.waiting.insert((id, place), Some(delivery));
        }
    }

    /// It does not wait any more. One that came and went within a batch leaves no trace.
    pub(super) fn note_gone(&mut self, id: SessionId, place: u64) {
        if self.everything {
            return;
        }
        if self.waiting.remove(&(id, place)).flatten().is_none() {
            self.changes = self.changes.saturating_add(1);
            self.waiting.insert((id, place), None);
        }
    }

    /// How many changes there were; more than before means that something must be saved.
    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    /// The batch that must be saved before what happened up to now is durable; `None` where it is.
    pub(super) fn owed(&self) -> Option<u64> {
        match self.state {
            State::Idle if self.is_empty() => None,
            State::Saving if self.is_empty() => self.number.checked_sub(1),
            State::Idle | State::Saving | State::Failed => Some(self.number),
        }
    }

    /// Whether this batch is saved.
    pub(super) const fn is_saved(&self, number: u64) -> bool {
        number < self.unsaved
    }

    /// The next batch is wanted soon. After a failure only the passing of time helps, see [`Journal::retry`].
    pub(super) fn hurry(&mut self) {
        self.urgent |= self.state != State::Failed;
    }

    /// The time has come to save, also once more what was not written.
    pub(super) const fn retry(&mut self) {
        self.urgent = true;
    }

    /// Whether a batch may be taken now.
    pub(super) fn is_due(&self) -> bool {
        self.urgent && self.is_behind()
    }

    /// Whether there is something to save and nothing is on its way.
    pub(super) fn is_behind(&self) -> bool {
        match self.state {
            State::Idle => !self.is_empty(),
            State::Saving => false,
            State::Failed => true,
        }
    }

    /// Whether nothing is left to save.
    pub(super) fn is_clean(&self) -> bool {
        self.state == State::Idle && self.is_empty()
    }

    /// Takes note that all of the next batch came and went: nothing is owed to those who wait for it.
    pub(super) fn settle(&mut self) {
        if self.is_clean() {
            self.number = self.number.saturating_add(1);
            self.unsaved = self.number;
        }
    }

    /// Takes the batch to save.
    pub(super) fn take(&mut self) -> Taken {
        let number = self.number;
        self.number = number.saturating_add(1);
        self.state = State::Saving;
        self.urgent = false;
        self.bytes = 0;
        Taken {
            number,
            retained: core::mem::take(&mut self.retained),
            sessions: core::mem::take(&mut self.sessions),
            waiting: core::mem::take(&mut self.waiting),
            everything: core::mem::take(&mut self.everything),
        }
    }

    /// The batch on its way was written, or not; `false` where it was another one.
    pub(super) fn saved(&mut self, number: u64, written: bool) -> bool {
        if self.state != State::Saving || number.checked_add(1) != Some(self.number) {
            return false;
        }
        if written {
            self.state = State::Idle;
            self.unsaved = self.number;
        } else {
            self.state = State::Failed;
            self.urgent = false;
            self.want_everything();
        }
        true
    }

    fn is_empty(&self) -> bool {
        !self.everything && self.retained.is_empty() && self.sessions.is_empty() && self.waiting.is_empty()
    }
}
