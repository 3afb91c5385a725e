//! Places for connections. A newcomer gets one by closing an idle connection where there is none left: one of its own user where
//! that user has its share, else one of the user who has most. So connections of one local user cannot lock the others out, and those
//! of a process that the agent started, whose cgroup is its own, do not make room for its user's other programs.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smol::channel::{Receiver, Sender, bounded};

/// The places of one listener.
#[derive(Debug)]
pub(crate) struct Slots {
    capacity: usize,
    /// Places of one user other than root.
    share: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    taken: BTreeMap<u64, Taken>,
}

#[derive(Debug)]
struct Taken {
    owner: Owner,
    busy: bool,
    evict: Sender<()>,
}

/// Who opened a connection, as the kernel says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Owner {
    /// The user; `None` where it is not known.
    pub(crate) uid: Option<u32>,
    /// The cgroup that the socket was made in.
    pub(crate) cgroup: Option<u64>,
}

impl Owner {
    /// Whether its user has a share and no more; root may do whatever it likes anyway.
    fn is_limited(self) -> bool {
        self.uid != Some(0)
    }
}

impl Table {
    /// The connection to close for a newcomer of this user, or of anybody: the oldest idle one of whoever has most places. Root's
    /// come last.
    fn victim(&self, of: Option<Owner>) -> Option<u64> {
        let within = |owner: Owner| of.is_none_or(|of| owner.uid == of.uid);
        // Within one user its cgroups are held against each other, else users.
        let group = |owner: Owner| Owner { cgroup: of.and(owner.cgroup), ..owner };
        let mut sizes: BTreeMap<Owner, usize> = BTreeMap::new();
        for taken in self.taken.values().filter(|taken| within(taken.owner)) {
            let size = sizes.entry(group(taken.owner)).or_default();
            *size = size.saturating_add(1);
        }
        let idle = self.taken.iter().filter(|(_, taken)| !taken.busy && within(taken.owner));
        let rank = |(number, taken): &(&u64, &Taken)| {
            let size = sizes.get(&group(taken.owner)).copied().unwrap_or_default();
            (taken.owner.is_limited(), size, Reverse(**number))
        };
        idle.max_by_key(rank).map(|(number, _)| *number)
    }
}

/// What came of asking for a place.
#[derive(Debug)]
pub(crate) enum Admission {
    /// There was one.
    Free(Slot),
    /// There is one now; another connection is told to end.
    Evicted(Slot),
    /// Every connection that could make room has a request in progress.
    Full,
}

impl Slots {
    /// `capacity` free places, at most `share` of them for one user other than root.
    pub(crate) fn new(capacity: usize, share: usize) -> Arc<Self> {
        Arc::new(Self { capacity, share, table: Mutex::default() })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place.
    pub(crate) fn admit(self: &Arc<Self>, owner: Owner) -> Admission {
        let mut table = self.table();
        let own = table.taken.values().filter(|taken| taken.owner.uid == owner.uid).count();
        let has_share = owner.is_limited() && own >= self.share;
        let full = has_share || table.taken.len() >= self.capacity;
        if full {
            let victim = table.victim(has_share.then_some(owner));
            let Some(taken) = victim.and_then(|number| table.taken.remove(&number)) else {
                return Admission::Full;
            };
            taken.evict.close();
        }
        let (evict, evicted) = bounded(1);
        let number = table.next;
        table.next = table.next.saturating_add(1);
        table.taken.insert(number, Taken { owner, busy: false, evict });
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
