//! Fights in virtual time.

use std::format;

use super::{Brake, Due, ITEMS, Pace};
use crate::event::DefinitionKind;
use crate::lkg::Item;
use crate::time::Monotonic;

fn at(millis: u64) -> Monotonic {
    Monotonic::from_millis(1_000_000).plus_millis(millis)
}

fn item(id: &str) -> Item {
    Item::new(DefinitionKind::Job, id)
}

/// Somebody changes the file every `step` milliseconds until `end`: when it was restored, and when there was an alarm.
fn fight(brake: &mut Brake, step: u64, end: u64) -> (std::vec::Vec<u64>, std::vec::Vec<u64>) {
    let (mut restored, mut alarms) = (std::vec::Vec::new(), std::vec::Vec::new());
    for now in (0..end).step_by(usize::try_from(step).unwrap()) {
        if brake.next_deadline().is_some_and(|deadline| deadline <= at(now)) && !brake.due(at(now)).restore.is_empty() {
            restored.push(now);
        }
        match brake.drifted(at(now), &item("a")) {
            Pace::AtOnce => restored.push(now),
            Pace::Alarm => {
                restored.push(now);
                alarms.push(now);
            }
            Pace::Held => {}
        }
    }
    (restored, alarms)
}

#[test]
fn a_fight_is_one_alarm_and_a_restore_a_second() {
    let mut brake = Brake::default();
    let (restored, alarms) = fight(&mut brake, 10, 120_000);
    assert_eq!(alarms, [100]);
    let quick: std::vec::Vec<u64> = (0..=10).map(|index| index * 10).collect();
    assert_eq!(restored[..11], quick);
    let slow: std::vec::Vec<u64> = restored[10..].windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(slow.len() == 119 && slow.iter().all(|gap| *gap == 1000), "{slow:?}");
    assert_eq!(brake.alarms().collect::<std::vec::Vec<_>>(), [&item("a")]);
}

#[test]
fn ten_restores_a_minute_are_no_fight() {
    let mut brake = Brake::default();
    let (restored, alarms) = fight(&mut brake, 6000, 600_000);
    assert_eq!((restored.len(), alarms.len()), (100, 0));
    assert_eq!(brake.next_deadline(), None);
    let (_, alarms) = fight(&mut Brake::default(), 5900, 600_000);
    assert_eq!(alarms.len(), 1);
}

#[test]
fn an_alarm_is_over_once_and_may_come_again() {
    let mut brake = Brake::default();
    fight(&mut brake, 10, 110);
    let last = 100;
    assert_eq!(brake.due(at(last + 59_999)), Due::default());
    assert_eq!(brake.next_deadline(), Some(at(last + 60_000)));
    assert_eq!(brake.due(at(last + 60_000)).over, [item("a")]);
    assert_eq!((brake.due(at(200_000)), brake.next_deadline()), (Due::default(), None));
    assert_eq!(brake.drifted(at(200_000), &item("a")), Pace::AtOnce);
}

#[test]
fn a_held_item_is_due_even_if_nobody_touches_it_again() {
    let mut brake = Brake::default();
    fight(&mut brake, 10, 110);
    assert_eq!(brake.drifted(at(500), &item("a")), Pace::Held);
    assert_eq!(brake.restores(at(500), &item("a")), 11);
    assert_eq!(brake.next_deadline(), Some(at(1100)));
    assert_eq!(brake.due(at(1099)), Due::default());
    assert_eq!(brake.due(at(1100)).restore, [item("a")]);
    assert_eq!(brake.due(at(1101)), Due::default());
    assert_eq!(brake.drifted(at(60_000), &item("b")), Pace::AtOnce);
}

#[test]
fn however_many_names_there_are_the_table_is_bounded_and_alarms_stay() {
    let mut brake = Brake::default();
    fight(&mut brake, 10, 110);
    for index in 0..ITEMS + 100 {
        assert_eq!(brake.drifted(at(200 + index as u64), &item(&format!("x{index}"))), Pace::AtOnce);
    }
    assert_eq!(brake.items.len(), ITEMS);
    assert_eq!(brake.alarms().count(), 1);
}
