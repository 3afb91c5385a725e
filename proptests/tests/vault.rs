//! Laws of the reference store on a disk that loses, tears and delays writes, and among people who touch its files.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    reason = "a test may fail by panicking"
)]

use std::sync::Arc;

use castellan_core::event::DefinitionKind;
use castellan_core::lkg::vault::Vault;
use castellan_core::lkg::{DefinitionChange, Item, Reference, References};
use castellan_core::time::WallTime;
use castellan_proptests::vaults::{Blessed, Fault, Handle, apply};
use proptest::collection::vec;
use proptest::prelude::*;

const AT: WallTime = WallTime::from_millis(0);

type SimVault = Vault<Handle, Handle>;

#[derive(Debug, Clone)]
enum Step {
    /// Items and their documents, `None` to remove one.
    Change(Vec<(usize, Option<u8>)>),
    Rekey,
    Check,
    Restart,
}

fn item(number: usize) -> Item {
    let kind = if number.is_multiple_of(2) { DefinitionKind::Job } else { DefinitionKind::Plugin };
    Item::new(kind, format!("i.{}", number / 2))
}

fn changes(wanted: &[(usize, Option<u8>)]) -> Vec<DefinitionChange> {
    let change = |(number, document): &(usize, Option<u8>)| DefinitionChange {
        item: item(*number),
        document: document.map(|byte| Arc::from(vec![byte; usize::from(byte)])),
    };
    wanted.iter().map(change).collect()
}

/// What an untouched store says.
#[track_caller]
fn blessed(references: &References) -> Blessed {
    let items = match references {
        References::First { .. } => [].as_slice(),
        References::Kept { items, .. } => items,
        other => panic!("{other:?}"),
    };
    let content = |reference: &Reference| {
        let document = reference.content.as_ref().unwrap_or_else(|why| panic!("{why}"));
        document.as_ref().map(|document| (reference.item.clone(), document.to_vec()))
    };
    items.iter().filter_map(content).collect()
}

fn open(machine: &Handle, anchor: Option<u64>) -> (SimVault, References) {
    Vault::open(machine.clone(), machine.clone(), anchor)
}

/// Whether every name on disk is the manifest's or that of a version.
fn is_tidy(machine: &Handle) -> bool {
    machine.names().iter().all(|name| !name.starts_with('.'))
}

fn step() -> impl Strategy<Value = Step> {
    let change = vec((0..6_usize, proptest::option::weighted(0.8, 1..40_u8)), 0..5);
    prop_oneof![
        6 => change.prop_map(Step::Change),
        1 => Just(Step::Rekey),
        1 => Just(Step::Check),
        1 => Just(Step::Restart),
    ]
}

fn fault() -> impl Strategy<Value = (u32, Fault, u64)> {
    (0..24_u32, prop_oneof![Just(Fault::Crash), Just(Fault::Full)], any::<u64>())
}

/// A new key that could not quite take over is the one in use, and the next new key does not take its place.
#[test]
fn two_new_keys_in_a_row_lose_nothing_wherever_the_first_is_disturbed() {
    for (calls, fault) in (0..24).flat_map(|calls| [(calls, Fault::Crash), (calls, Fault::Full)]) {
        for dice in 0..6 {
            let machine = Handle::default();
            let (mut vault, _) = open(&machine, None);
            let changes = changes(&[(0, Some(1)), (1, Some(2)), (2, Some(3))]);
            vault.change(&changes, "law", AT).unwrap();
            machine.break_after(calls, fault, dice);
            for _ in 0..2 {
                if vault.rekey().is_err() || machine.is_stopped() {
                    machine.restart();
                    vault = open(&machine, None).0;
                }
            }
            machine.restart();
            assert_eq!(blessed(&open(&machine, None).1), apply(&Blessed::new(), &changes), "{calls} {fault:?} {dice}");
        }
    }
}

/// A commit that failed may be seen and not be on disk: what a start finds is there also once power is lost.
#[test]
fn what_a_start_finds_is_what_the_next_one_finds() {
    for (calls, dice) in (0..12).flat_map(|calls| (0..12).map(move |dice| (calls, dice))) {
        for rekeys in [false, true] {
            let machine = Handle::default();
            let (mut vault, _) = open(&machine, None);
            vault.change(&changes(&[(0, Some(1)), (1, Some(2))]), "law", AT).unwrap();
            machine.break_after(calls, Fault::Full, dice);
            let change = changes(&[(0, Some(3))]);
            let failed = if rekeys { vault.rekey().err() } else { vault.change(&change, "law", AT).err() };
            let seen = blessed(&open(&machine, None).1);
            machine.restart();
            assert_eq!(blessed(&open(&machine, None).1), seen, "{calls} {dice} {rekeys} {failed:?}");
        }
    }
}

proptest! {
    /// After any crash and any failure everything is as before the change or as after it, and what was answered stays.
    #[test]
    fn a_change_is_there_or_not_whatever_the_disk_does(
        steps in vec((step(), proptest::option::of(fault())), 1..12),
    ) {
        let machine = Handle::default();
        let (mut vault, _) = open(&machine, None);
        let (mut expected, mut answered) = (Blessed::new(), None);
        for (step, fault) in steps {
            if let Some((calls, fault, dice)) = fault {
                machine.break_after(calls, fault, dice);
            }
            let mut either = vec![expected.clone()];
            let restarts = matches!(step, Step::Restart);
            let mut unsure = restarts;
            match step {
                Step::Change(wanted) => {
                    let changes = changes(&wanted);
                    let after = apply(&expected, &changes);
                    match vault.change(&changes, "law", AT) {
                        Ok(_) => {
                            (expected, answered) = (after.clone(), Some(vault.counter()));
                            either = vec![after];
                        }
                        Err(_) => {
                            unsure = true;
                            either.push(after);
                        }
                    }
                }
                Step::Rekey => {
                    unsure |= vault.rekey().is_err();
                    answered = answered.map(|answered: u64| answered.max(vault.counter()));
                }
                Step::Check => {
                    let check = vault.check();
                    prop_assert!(check.doubt.is_none() && check.changed.is_empty(), "{check:?}");
                }
                Step::Restart => {}
            }
            // A disk that was full for a moment leaves the running store as it was, or in doubt.
            let goes_on = unsure && !machine.is_stopped() && !restarts && vault.check().doubt.is_none();
            if (unsure && !goes_on) || machine.is_stopped() {
                machine.restart();
                // What the anchor knows may be older, and is never newer.
                let (opened, references) = open(&machine, answered);
                let found = blessed(&references);
                prop_assert!(either.contains(&found), "{found:?} is none of {either:?}");
                prop_assert!(is_tidy(&machine), "{:?}", machine.names());
                (vault, expected) = (opened, found);
            }
            let history_of = |vault: &mut SimVault, item: &Item| vault.history(item).map(|versions| versions.len());
            for item in expected.keys() {
                prop_assert!(history_of(&mut vault, item).unwrap() >= 1);
            }
        }
        // Without another fault a full disk is over, and the store works.
        machine.restart();
        let (mut vault, _) = open(&machine, answered);
        vault.change(&changes(&[(0, Some(41))]), "law", AT).unwrap();
        machine.restart();
        let found = blessed(&open(&machine, Some(vault.counter())).1);
        prop_assert_eq!(found, apply(&expected, &changes(&[(0, Some(41))])));
    }

    /// Whatever is done to the files, no item ever has another document than the blessed one.
    #[test]
    fn what_was_touched_is_out_of_service_and_never_another_document(
        wanted in vec(vec((0..6_usize, proptest::option::weighted(0.8, 1..40_u8)), 1..4), 1..10),
        rekey in any::<bool>(),
        harms in vec((0..5_u8, any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..4),
    ) {
        let machine = Handle::default();
        let (mut vault, _) = open(&machine, None);
        let mut expected = Blessed::new();
        for wanted in &wanted {
            let changes = changes(wanted);
            expected = apply(&expected, &changes);
            vault.change(&changes, "law", AT).unwrap();
        }
        if rekey {
            vault.rekey().unwrap();
        }
        let counter = vault.counter();
        let mut running = open(&machine, None).0;
        for (how, one, other) in harms {
            harm(&machine, how, &one, &other);
        }
        let check = running.check();
        prop_assert!(check.changed.iter().all(|reference| reference.content.is_err()), "{:?}", check);
        match open(&machine, Some(counter)).1 {
            References::Unusable(_) => prop_assert!(check.doubt.is_some()),
            References::Kept { items, .. } => {
                for reference in &items {
                    let Ok(content) = &reference.content else { continue };
                    prop_assert_eq!(content.as_deref(), expected.get(&reference.item).map(Vec::as_slice));
                }
                let known = |item: &Item| items.iter().any(|reference| reference.item == *item);
                prop_assert!(expected.keys().all(known));
                let harmed = items.iter().filter(|reference| reference.content.is_err()).count();
                prop_assert_eq!(check.changed.len(), harmed);
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }
}

/// Flips a bit, cuts, swaps, plays back or removes.
fn harm(machine: &Handle, how: u8, one: &prop::sample::Index, other: &prop::sample::Index) {
    let names = machine.names();
    if names.is_empty() {
        return;
    }
    let name = one.get(&names);
    let mut bytes = machine.content(name);
    match how {
        0 if !bytes.is_empty() => {
            let bit = other.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            machine.tamper(name, Some(bytes));
        }
        1 => {
            bytes.truncate(other.index(bytes.len() + 1));
            machine.tamper(name, Some(bytes));
        }
        2 => {
            let second = other.get(&names);
            let swapped = machine.content(second);
            machine.tamper(second, Some(bytes));
            machine.tamper(name, Some(swapped));
        }
        3 => {
            let past = machine.past();
            machine.tamper(name, Some(other.get(&past).clone()));
        }
        _ => machine.tamper(name, None),
    }
}
