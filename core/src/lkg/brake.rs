//! Bounds what a fight over a file costs: somebody changes it again and again, and each time it is restored.
//!
//! ```text
//! restores of an item in the last minute   a new difference
//! ---------------------------------------  --------------------------------------------------------------
//! 0 to 9                                   restored at once
//! 10                                       restored at once, and an alarm
//! more                                     restored a second after the last time, as often as it takes
//! none any more                            the alarm is over
//! ```

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::Item;
use crate::time::Monotonic;

/// Restores of one item in [`WINDOW_MILLIS`] that are no fight yet (security.md section 5).
const CALM_RESTORES: usize = 10;
/// How long a restore counts.
const WINDOW_MILLIS: u64 = 60_000;
/// Between two restores of an item that is fought over.
const SLOW_MILLIS: u64 = 1000;
/// Items whose restores are counted: the file names are chosen by whoever makes strays.
const ITEMS: usize = 4096;

/// When a difference of an item is put right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Now.
    AtOnce,
    /// Now, and people have to know: it is the restore that makes it a fight.
    Alarm,
    /// Later: [`Brake::due`] names it then.
    Held,
}

/// What has become of items in the meantime.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Due {
    /// To be put right now.
    pub restore: Vec<Item>,
    /// Nobody changed them for a minute: their alarm is over.
    pub over: Vec<Item>,
}

/// Counts restores. It holds back, and gives up never.
#[derive(Debug, Clone, Default)]
pub struct Brake {
    items: BTreeMap<Item, Fight>,
}

#[derive(Debug, Clone, Default)]
struct Fight {
    /// The last restores, oldest first; at most one more than are calm.
    restores: VecDeque<Monotonic>,
    alarmed: bool,
    held: bool,
}

impl Fight {
    fn last(&self) -> Monotonic {
        self.restores.back().copied().unwrap_or_default()
    }

    fn count(&mut self, now: Monotonic) {
        self.restores.push_back(now);
        if self.restores.len() > CALM_RESTORES + 1 {
            self.restores.pop_front();
        }
    }

    fn recent(&self, now: Monotonic) -> usize {
        self.restores.iter().filter(|at| now.millis_since(**at) < WINDOW_MILLIS).count()
    }

    /// When something is to be done about it, or it can be forgotten.
    fn next(&self) -> Monotonic {
        self.last().plus_millis(if self.held { SLOW_MILLIS } else { WINDOW_MILLIS })
    }
}

impl Brake {
    /// An item has to be put right; says when. One that is to be put right at once counts as that.
    pub fn drifted(&mut self, now: Monotonic, item: &Item) -> Pace {
        if !self.items.contains_key(item) && self.items.len() >= ITEMS {
            self.forget_one();
        }
        let fight = self.items.entry(item.clone()).or_default();
        if fight.alarmed && now.millis_since(fight.last()) < SLOW_MILLIS {
            fight.held = true;
            return Pace::Held;
        }
        let calm = fight.recent(now) < CALM_RESTORES;
        fight.count(now);
        if calm || fight.alarmed {
            return Pace::AtOnce;
        }
        fight.alarmed = true;
        Pace::Alarm
    }

    /// What is due by now; items to be put right count as that.
    pub fn due(&mut self, now: Monotonic) -> Due {
        let mut due = Due::default();
        self.items.retain(|item, fight| {
            if fight.next() > now {
                return true;
            }
            if fight.held {
                fight.held = false;
                fight.count(now);
                due.restore.push(item.clone());
                return true;
            }
            if fight.alarmed {
                due.over.push(item.clone());
            }
            false
        });
        due
    }

    /// When [`Self::due`] has something to say.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        // Items that are merely counted can wait to be forgotten until another one comes.
        self.items.values().filter(|fight| fight.held || fight.alarmed).map(Fight::next).min()
    }

    /// How often an item was put right within the last minute, up to eleven times.
    pub fn restores(&self, now: Monotonic, item: &Item) -> usize {
        self.items.get(item).map_or(0, |fight| fight.recent(now))
    }

    /// Items that are fought over.
    pub fn alarms(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|(_, fight)| fight.alarmed).map(|(item, _)| item)
    }

    /// The item that was restored longest ago, one without an alarm if there is such; held ones are found again by the sweep.
    fn forget_one(&mut self) {
        let oldest = self.items.iter().min_by_key(|(_, fight)| (fight.alarmed, fight.last()));
        if let Some(item) = oldest.map(|(item, _)| item.clone()) {
            self.items.remove(&item);
        }
    }
}

#[cfg(test)]
mod tests;
