//! Places for connections: a full house makes room by closing the oldest connection that has no request in progress, so that
//! half-open connections of one local user cannot lock the others out (security.md section 8, M30).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smol::channel::{Receiver, Sender, bounded};

/// The places of one listener.
#[derive(Debug)]
pub(crate) struct Slots {
    capacity: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    taken: BTreeMap<u64, Taken>,
}

#[derive(Debug)]
struct Taken {
    busy: bool,
    evict: Sender<()>,
}

/// What came of asking for a place.
#[derive(Debug)]
pub(crate) enum Admission {
    /// There was one.
    Free(Slot),
    /// There is one now; another connection is told to end.
    Evicted(Slot),
    /// Every connection has a request in progress.
    Full,
}

impl Slots {
    /// `capacity` free places.
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self { capacity, table: Mutex::default() })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place.
    pub(crate) fn admit(self: &Arc<Self>) -> Admission {
        let mut table = self.table();
        let full = table.taken.len() >= self.capacity;
        if full {
            let oldest = table.taken.iter().find(|(_, taken)| !taken.busy).map(|(number, _)| *number);
            let Some(taken) = oldest.and_then(|number| table.taken.remove(&number)) else {
                return Admission::Full;
            };
            taken.evict.close();
        }
        let (evict, evicted) = bounded(1);
        let number = table.next;
        table.next = table.next.saturating_add(1);
        table.taken.insert(number, Taken { busy: false, evict });
        let slot = Slot { slots: Arc::clone(self), number, evicted };
        if full { Admission::Evicted(slot) } else { Admission::Free(slot) }
    }
}

/// One place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    number: u64,
    evicted: Receiver<()>,
}

impl Slot {
    /// Completes once the connection has to make room.
    pub(crate) async fn evicted(&self) {
        // Nothing is ever sent: an error, the channel's end, is the message.
        while self.evicted.recv().await.is_ok() {}
    }

    /// Marks a request in progress until the guard is dropped. `None` where the place is lost already.
    pub(crate) fn busy(self: &Arc<Self>) -> Option<Busy> {
        self.slots.table().taken.get_mut(&self.number).map(|taken| taken.busy = true)?;
        Some(Busy(Arc::clone(self)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.table().taken.remove(&self.number);
    }
}

/// A request in progress.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Slot>);

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(taken) = self.0.slots.table().taken.get_mut(&self.0.number) {
            taken.busy = false;
        }
    }
}

#[cfg(test)]
mod tests;
