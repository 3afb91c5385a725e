//! Admission when places are short.
use futures_lite::future::{block_on, poll_once};

use super::*;

fn slot(admission: Admission) -> Option<(Arc<Slot>, bool)> {
    match admission {
        Admission::Free(slot) => Some((Arc::new(slot), false)),
        Admission::Evicted(slot) => Some((Arc::new(slot), true)),
        Admission::Full => None,
    }
}

#[test]
fn the_oldest_idle_one_makes_room_and_busy_ones_stay() {
    let slots = Slots::new(2);
    let (first, _) = slot(slots.admit()).unwrap();
    let (second, evicted) = slot(slots.admit()).unwrap();
    assert!(!evicted);
    let busy = first.busy().unwrap();
    let (third, evicted) = slot(slots.admit()).unwrap();
    assert!(evicted);
    assert!(block_on(poll_once(second.evicted())).is_some());
    assert!(block_on(poll_once(first.evicted())).is_none());
    assert!(second.busy().is_none(), "its place is lost");
    let also_busy = third.busy().unwrap();
    assert!(slot(slots.admit()).is_none());
    drop(busy);
    assert!(slot(slots.admit()).is_some_and(|(_, evicted)| evicted));
    drop(also_busy);
}

#[test]
fn a_dropped_slot_is_free_again() {
    let slots = Slots::new(1);
    drop(slots.admit());
    assert!(slot(slots.admit()).is_some_and(|(_, evicted)| !evicted));
}
