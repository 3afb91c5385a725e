//! Who takes how many places at the request socket. A place is given back once all of a connection is closed, so that a caller whose
//! descriptors do not let themselves be closed cannot have more and more of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections in all. Each has at most seven descriptors until its program is launched, and two from then on.
pub(crate) const CALLERS: usize = 128;
/// Connections of one user: more terminals than somebody uses, and an eighth of all.
pub(crate) const CALLERS_OF_ONE: usize = 16;
/// Users who are remembered as told about in the log.
const TOLD: usize = 256;

/// All places.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    of: BTreeMap<u32, usize>,
    told: BTreeSet<u32>,
}

/// One place; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    uid: u32,
}

impl Places {
    /// A place for this user.
    ///
    /// # Errors
    /// A clause without its full stop: there is none.
    pub(crate) fn take(&self, uid: u32) -> Result<Place, String> {
        let mut taken = self.lock();
        let all: usize = taken.of.values().sum();
        let own = taken.of.get(&uid).copied().unwrap_or_default();
        let why = if own >= CALLERS_OF_ONE {
            format!("User {uid} has {own} requests open, and one user may have {CALLERS_OF_ONE}")
        } else if all >= CALLERS {
            format!("{all} requests are open, which is all that the agent takes")
        } else {
            taken.of.insert(uid, own.saturating_add(1));
            return Ok(Place { places: self.clone(), uid });
        };
        // Once for each user: who comes ten thousand times would fill the log.
        if taken.told.len() < TOLD && taken.told.insert(uid) {
            log::warn!(
                "A request for more privileges was refused: {why}. Further ones of this user are not told here."
            );
        }
        Err(why)
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        let left = taken.of.get(&self.uid).copied().unwrap_or_default().saturating_sub(1);
        match left {
            0 => taken.of.remove(&self.uid),
            left => taken.of.insert(self.uid, left),
        };
    }
}

#[cfg(test)]
mod tests;
