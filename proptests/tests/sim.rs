//! The simulated world itself: it is the same again, it is not empty, and `cargo sim` finds no broken invariant in a few seeds.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

use castellan_proptests::elevations;
use castellan_proptests::sim::root::{self, Tally};
use castellan_proptests::sim::{STEPS, Summary, play};

fn world(seed: u64) -> Summary {
    play(seed, STEPS, &mut |_| {}).unwrap_or_else(|failure| panic!("{failure}"))
}

#[test]
fn the_same_seed_is_the_same_world() {
    for seed in 1001..1011 {
        let mut lines = [Vec::new(), Vec::new()];
        let summaries =
            lines.each_mut().map(|lines| play(seed, STEPS, &mut |line| lines.push(line.to_owned())).unwrap());
        let [first, second] = &lines;
        assert_eq!(first, second, "seed {seed}");
        assert_eq!(summaries[0], summaries[1], "seed {seed}");
    }
}

#[test]
fn things_happen_in_these_worlds() {
    let summaries: Vec<Summary> = (2001..2021).map(world).collect();
    let of = |count: fn(&Summary) -> usize| summaries.iter().map(count).sum::<usize>();
    assert!(of(|summary| summary.runs) > 200, "{summaries:?}");
    assert!(of(|summary| summary.tasks) > 400, "{summaries:?}");
    assert!(of(|summary| summary.starts) > 400, "{summaries:?}");
    assert!(of(|summary| summary.answers) > 10 && of(|summary| summary.hangs) > 10, "{summaries:?}");
    assert!(of(|summary| summary.sessions) > 50, "{summaries:?}");
    assert!(summaries.iter().any(|summary| summary.lives > 4), "{summaries:?}");
    let transcripts: std::collections::BTreeSet<u64> = summaries.iter().map(|summary| summary.transcript).collect();
    assert_eq!(transcripts.len(), summaries.len(), "different seeds are different worlds");
}

#[test]
fn no_drift_and_no_crash_makes_a_root_other_than_what_was_blessed() {
    let mut total = Tally::default();
    for seed in 1..=40 {
        total.add(&root::play(seed, STEPS, &mut |_| {}).unwrap_or_else(|failure| panic!("{failure}")));
    }
    // The law is not about nothing.
    assert!(total.lives > 200 && total.programs > 300 && total.writes > 300 && total.restores > 300, "{total:?}");
}

#[test]
fn no_fault_and_no_lie_launches_what_is_not_authorized() {
    let worlds: Vec<elevations::Tally> =
        (1..=10).map(|seed| elevations::play(seed, 800).unwrap_or_else(|broken| panic!("{broken}"))).collect();
    let of = |count: fn(&elevations::Tally) -> usize| worlds.iter().map(count).sum::<usize>();
    // The law is not about nothing.
    assert!(of(|world| world.requests) > 250 && of(|world| world.launches) > 40, "{worlds:?}");
    assert!(
        of(|world| world.reused) > 0 && of(|world| world.identified) > 3 && of(|world| world.denied) > 50,
        "{worlds:?}"
    );
    let substituted = of(|world| world.substituted);
    assert!(substituted > 3 && substituted < of(|world| world.launches), "{worlds:?}");
    assert!(of(|world| world.withdrawn) > 3, "{worlds:?}");
    assert!(worlds.iter().any(|world| world.lives > 3), "{worlds:?}");
}
