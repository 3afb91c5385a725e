//! Law of routing: whatever a job is like and however its tasks end, its run goes the way that the naive interpreter of the contract
//! (`castellan_proptests::sim::jobs`) walks.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by panicking")]

use castellan_core::config::Settings;
use castellan_core::event::{DefinitionFile, DefinitionKind};
use castellan_core::simulation::{Assumptions, Scenario, Trigger, simulate};
use castellan_core::time::{Monotonic, Now, WallTime};
use castellan_proptests::agents::surroundings_of;
use castellan_proptests::laws::config;
use castellan_proptests::sim::dice::Dice;
use castellan_proptests::sim::jobs::Job;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Map;

/// What may be assumed of a task; `stdout` is a number to merge.
const ENDS: [&str; 8] = ["exit:0", "exit:0", "exit:0", "exit:1", "signal:9", "missing", "hang", "stdout"];

proptest! {
    #![proptest_config(config(50))]

    #[test]
    fn runs_go_as_the_contract_says(seed in any::<u64>(), ends in vec((0..5_usize, select(&ENDS[..]), 0..4_u64), 0..12)) {
        let job = Job::random(0, 1, &mut Dice::new(seed));
        let mut assumptions = Assumptions::default();
        for (task, end, number) in ends {
            let text = if end == "stdout" { format!("t{task}.stdout={number}") } else { format!("t{task}={end}") };
            assumptions.assume(&text, &|number| Ok(format!("{{\"n\":{number}}}").into_bytes())).unwrap();
        }
        let at = WallTime::from_millis(1_700_000_000_000);
        let definition =
            DefinitionFile { kind: DefinitionKind::Job, stem: job.id.clone(), content: Ok(job.document().into()) };
        let story = simulate(Scenario {
            surroundings: surroundings_of(1, Now { monotonic: Monotonic::from_millis(0), wall: at }),
            settings: Settings::default(),
            definitions: vec![definition],
            trigger: Trigger::Job { id: job.id.clone(), context: Map::new() },
            assumptions,
            at,
        });
        prop_assert_eq!(&story.given_up, &None);
        prop_assert_eq!(job.judge(&story.runs[0]), Ok(()));
    }
}
