//! Admission when places are short.
use futures_lite::future::{block_on, poll_once};

use super::*;

const ROOT: Owner = Owner { uid: Some(0), cgroup: None };

fn owner(uid: u32, cgroup: u64) -> Owner {
    Owner { uid: Some(uid), cgroup: Some(cgroup) }
}

fn is_evicted(slot: &Slot) -> bool {
    block_on(poll_once(slot.evicted())).is_some()
}

fn slot(admission: Admission) -> Option<(Arc<Slot>, bool)> {
    match admission {
        Admission::Free(slot) => Some((Arc::new(slot), false)),
        Admission::Evicted(slot) => Some((Arc::new(slot), true)),
        Admission::Full => None,
    }
}

#[test]
fn the_oldest_idle_one_makes_room_and_busy_ones_stay() {
    let slots = Slots::new(2, 2);
    let (first, _) = slot(slots.admit(ROOT)).unwrap();
    let (second, evicted) = slot(slots.admit(ROOT)).unwrap();
    assert!(!evicted);
    let busy = first.busy().unwrap();
    let (third, evicted) = slot(slots.admit(ROOT)).unwrap();
    assert!(evicted);
    assert!(block_on(poll_once(second.evicted())).is_some());
    assert!(block_on(poll_once(first.evicted())).is_none());
    assert!(second.busy().is_none(), "its place is lost");
    let also_busy = third.busy().unwrap();
    assert!(slot(slots.admit(ROOT)).is_none());
    drop(busy);
    assert!(slot(slots.admit(ROOT)).is_some_and(|(_, evicted)| evicted));
    drop(also_busy);
}

#[test]
fn a_dropped_slot_is_free_again() {
    let slots = Slots::new(1, 1);
    drop(slots.admit(ROOT));
    assert!(slot(slots.admit(ROOT)).is_some_and(|(_, evicted)| !evicted));
}

#[test]
fn a_user_makes_room_for_itself_and_for_nobody_else() {
    let slots = Slots::new(8, 3);
    let (root, _) = slot(slots.admit(ROOT)).unwrap();
    let (other, _) = slot(slots.admit(owner(7, 1))).unwrap();
    let own: Vec<_> = (0..3).map(|_| slot(slots.admit(owner(9, 1))).unwrap()).collect();
    assert!(own.iter().all(|(_, evicted)| !evicted));
    let (fourth, evicted) = slot(slots.admit(owner(9, 1))).unwrap();
    assert!(evicted && is_evicted(&own[0].0), "its own oldest");
    assert!(!is_evicted(&root) && !is_evicted(&other));
    let busy: Vec<_> = [&own[1].0, &own[2].0, &fourth].map(|slot| slot.busy().unwrap()).into();
    assert!(slot(slots.admit(owner(9, 1))).is_none(), "nobody else makes room for it");
    assert!(slot(slots.admit(owner(7, 1))).is_some_and(|(_, evicted)| !evicted));
    drop(busy);
    let crowd: Vec<_> = (0..20).map(|_| slot(slots.admit(Owner::default())).unwrap()).collect();
    assert!(is_evicted(&crowd[16].0) && !is_evicted(&crowd[17].0), "whose user is not known is one user");
}

#[test]
fn a_full_house_makes_room_where_one_user_has_most_and_root_last() {
    let slots = Slots::new(6, 4);
    let roots: Vec<_> = (0..2).map(|_| slot(slots.admit(ROOT)).unwrap().0).collect();
    let few = slot(slots.admit(owner(7, 1))).unwrap().0;
    let many: Vec<_> = (0..3).map(|_| slot(slots.admit(owner(9, 1))).unwrap().0).collect();
    let (newcomer, evicted) = slot(slots.admit(owner(8, 1))).unwrap();
    assert!(evicted && is_evicted(&many[0]) && !is_evicted(&few) && !is_evicted(&roots[0]));
    let kept: Vec<_> = (0..4).map(|_| slot(slots.admit(ROOT)).unwrap().0).collect();
    assert!([&few, &newcomer, &many[1], &many[2]].into_iter().all(|slot| is_evicted(slot)), "all others before root");
    let (last, _) = slot(slots.admit(ROOT)).unwrap();
    assert!(is_evicted(&roots[0]) && !is_evicted(&kept[0]) && !is_evicted(&last));
}

#[test]
fn a_crowd_of_one_cgroup_leaves_the_other_of_the_same_user_alone() {
    let slots = Slots::new(100, 4);
    let task = slot(slots.admit(owner(9, 42))).unwrap().0;
    let crowd: Vec<_> = (0..50).map(|_| slot(slots.admit(owner(9, 1))).unwrap().0).collect();
    assert!(!is_evicted(&task) && is_evicted(&crowd[0]));
    assert_eq!(crowd.iter().filter(|slot| !is_evicted(slot)).count(), 3);
}
