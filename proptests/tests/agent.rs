//! Laws of the agent, in a world where ports keep their word and in one where anything may come. What the laws are stands in
//! `castellan_proptests::agents`, which holds every effect against them.

use castellan_proptests::agents::{Step, World, lawful_steps, steps};
use castellan_proptests::laws::config;
use proptest::prelude::*;

proptest! {
    #![proptest_config(config(400))]

    /// Whatever comes: nothing runs unregistered, nobody is answered twice, no deadline stays behind, and a stop is a stop.
    #[test]
    fn the_laws_hold_whatever_comes(steps in steps()) {
        let mut world = World::new();
        world.play(&steps);
        world.stop();
    }

    /// Where every port answers, every request is answered too.
    #[test]
    fn every_request_is_answered(steps in lawful_steps()) {
        let mut world = World::new();
        world.play(&steps);
        world.stop();
        world.settle();
    }
}

/// The world of these laws is not empty: jobs and plugins run in it, and requests are answered.
#[test]
fn things_happen_in_this_world() {
    let mut world = World::new();
    world.play(&vec![Step::Answer(0, true); 40]);
    assert!(world.released() >= 4, "{} programs ran", world.released());
    let ask = castellan_proptests::agents::Ask {
        method: "GET",
        target: String::from("/health"),
        body: String::new(),
        admin: false,
        tree: None,
    };
    world.play(&[Step::Ask(ask)]);
    assert_eq!(world.answers(), 1);
    world.stop();
}
