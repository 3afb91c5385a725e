//! What references of Last Known Good cost: a blessed write of one among 1,000 jobs, the look at them in each sweep, and the start.
//! The figures stand in `docs/performance.md`; the folder is where `TMPDIR` says, so that the disk can be chosen.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench measures time, says what it found, and may fail by panicking"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use castellan_core::event::DefinitionKind;
use castellan_core::lkg::{DefinitionChange, Item};
use castellan_core::time::WallTime;
use castellan_fs::Root;
use castellan_fs::lkg::{self, ReferenceStore};

/// Bytes of a document.
const BYTES: usize = 4096;
const AT: WallTime = WallTime::from_millis(0);

fn change(number: usize, byte: u8) -> DefinitionChange {
    let item = Item::new(DefinitionKind::Job, format!("job-{number}"));
    DefinitionChange { item, document: Some(Arc::from(vec![byte; BYTES])) }
}

/// Median and 95th percentile of so many times.
fn measured(what: &str, rounds: usize, mut once: impl FnMut(usize)) {
    let mut times: Vec<Duration> = (0..rounds)
        .map(|round| {
            let start = Instant::now();
            once(round);
            start.elapsed()
        })
        .collect();
    times.sort();
    println!("{what}: p50 {:?}, p95 {:?}", times[rounds / 2], times[rounds * 95 / 100]);
}

fn main() {
    for count in [1, 1000, 20_000] {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        let (mut store, _) = ReferenceStore::open_with(&root, None, None).unwrap();
        let all: Vec<DefinitionChange> = (0..count).map(|number| change(number, b'a')).collect();
        let mut write = |changes: &[DefinitionChange]| {
            let changed = lkg::change(&root, Some(&mut store), None, "Plugins", changes, "bench", AT).unwrap();
            assert!(changed.unwritten.is_empty());
        };
        measured(&format!("{count} jobs blessed for the first time, as one"), 1, |_| write(&all));
        let rounds = if count > 1000 { 20 } else { 200 };
        measured(&format!("a blessed write of one of {count}"), rounds, |round| {
            write(&[change(round % count, u8::try_from(round % 100).unwrap())]);
        });
        assert!(store.check().doubt.is_none());
        measured(&format!("a look at {count} references"), rounds, |_| assert!(store.check().changed.is_empty()));
        measured(&format!("opening {count} references"), 5, |_| {
            drop(ReferenceStore::open_with(&root, None, None).unwrap());
        });
    }
}
