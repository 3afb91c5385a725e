//! What waits for the collector, of one signal: bounded by count and bytes, losses counted.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use prost::Message;
use smol::channel::{Receiver, Sender, bounded};

use crate::{BATCH_BYTES, BATCH_RECORDS, QUEUE_BYTES, QUEUE_RECORDS};

/// Records in their order.
#[derive(Debug)]
pub(crate) struct Queue<M> {
    waiting: Mutex<Waiting<M>>,
    lost: AtomicU64,
    /// Wakes the exporter; closed at the end.
    wake: Sender<()>,
    woken: Receiver<()>,
}

#[derive(Debug)]
struct Waiting<M> {
    records: VecDeque<(M, usize)>,
    bytes: usize,
}

impl<M> Default for Queue<M> {
    fn default() -> Self {
        // One signal stands for all that came before it is heard.
        let (wake, woken) = bounded(1);
        Self {
            waiting: Mutex::new(Waiting { records: VecDeque::new(), bytes: 0 }),
            lost: AtomicU64::new(0),
            wake,
            woken,
        }
    }
}

impl<M: Message> Queue<M> {
    /// Takes a record, or counts it as lost.
    pub(crate) fn push(&self, record: M) {
        let bytes = record.encoded_len();
        let is_taken = !self.wake.is_closed() && {
            let mut waiting = self.lock();
            let all = waiting.bytes.saturating_add(bytes);
            let fits = bytes <= BATCH_BYTES && all <= QUEUE_BYTES && waiting.records.len() < QUEUE_RECORDS;
            if fits {
                waiting.bytes = all;
                waiting.records.push_back((record, bytes));
            }
            fits
        };
        if is_taken {
            // A full channel has the signal already, and a closed one is drained.
            self.wake.try_send(()).unwrap_or_default();
        } else {
            self.lose(1);
        }
    }

    /// Waits until something was pushed since the last time; `false` where nothing will be any more.
    pub(crate) async fn changed(&self) -> bool {
        self.woken.recv().await.is_ok()
    }

    /// Whether a whole batch waits.
    pub(crate) fn is_ready(&self) -> bool {
        let waiting = self.lock();
        waiting.records.len() >= BATCH_RECORDS || waiting.bytes >= BATCH_BYTES
    }

    /// The oldest records, as many as fit into a request.
    pub(crate) fn take(&self) -> Vec<M> {
        let mut waiting = self.lock();
        let (mut batch, mut bytes) = (Vec::new(), 0_usize);
        while batch.len() < BATCH_RECORDS
            && let Some((record, more)) =
                waiting.records.pop_front_if(|(_, more)| bytes.saturating_add(*more) <= BATCH_BYTES)
        {
            bytes = bytes.saturating_add(more);
            waiting.bytes = waiting.bytes.saturating_sub(more);
            batch.push(record);
        }
        batch
    }

    /// Takes nothing any more; what waits can still be taken.
    pub(crate) fn close(&self) {
        self.wake.close();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.wake.is_closed()
    }

    /// So many records will not reach the collector.
    pub(crate) fn lose(&self, records: u64) {
        self.lost.fetch_add(records, Ordering::Relaxed);
    }

    /// How many did not, since the start.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<M>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
