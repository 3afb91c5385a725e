//! The queue of one sink: bounded by records and by bytes, never waited for by those who log. It takes memory only while something waits.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use castellan_core::log_message::LogRecord;

/// Records that wait for one sink: more than a second of what an agent can be sent.
const RECORDS: usize = 65_536;
/// Bytes of these records: at the usual 300 bytes as many, of the largest messages some hundred.
const BYTES: usize = 16 << 20;
/// Bytes that a record takes besides its texts.
const RECORD_BYTES: usize = size_of::<LogRecord>();
/// Records that are taken at once; so many are in the hands of a sink besides the queue.
const TAKEN: usize = 1024;

/// Records on their way to one sink.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    records: VecDeque<Arc<LogRecord>>,
    bytes: usize,
    is_closed: bool,
}

impl Queue {
    /// Whether the record fits, and then it is on its way.
    pub(super) fn offer(&self, record: &Arc<LogRecord>) -> bool {
        let bytes = bytes_of(record);
        let mut state = self.lock();
        let fits = state.records.len() < RECORDS && state.bytes.saturating_add(bytes) <= BYTES;
        if !fits || state.is_closed {
            return false;
        }
        state.bytes = state.bytes.saturating_add(bytes);
        state.records.push_back(Arc::clone(record));
        let was_empty = state.records.len() == 1;
        drop(state);
        if was_empty {
            self.filled.notify_one();
        }
        true
    }

    /// The next records, once there are some; `None` when the queue is closed and empty.
    pub(super) fn take(&self) -> Option<VecDeque<Arc<LogRecord>>> {
        let waiting = self.filled.wait_while(self.lock(), |state| state.records.is_empty() && !state.is_closed);
        let mut state = waiting.unwrap_or_else(PoisonError::into_inner);
        if state.records.is_empty() {
            return None;
        }
        let most = state.records.len().min(TAKEN);
        let rest = state.records.split_off(most);
        let taken = std::mem::replace(&mut state.records, rest);
        let bytes: usize = taken.iter().map(|record| bytes_of(record)).sum();
        state.bytes = state.bytes.saturating_sub(bytes);
        Some(taken)
    }

    /// Takes no more, and forgets what waits: so many records.
    pub(super) fn give_up(&self) -> u64 {
        let mut state = self.lock();
        state.is_closed = true;
        std::mem::take(&mut state.records).len() as u64
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Takes no more; what waits may still be taken.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.filled.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing between two fields can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bytes_of(record: &LogRecord) -> usize {
    let LogRecord { message, context, correlation_id, source, category, .. } = record;
    [message.len(), context.len(), correlation_id.len(), source.len(), category.len(), RECORD_BYTES].iter().sum()
}
