//! The same events give the same effects, bit for bit: a recorded trace can be replayed.

use castellan_core::broker::{Broker, BrokerSettings};
use castellan_core::time::{Monotonic, Now, WallTime};
use castellan_proptests::agents::{self, World};
use castellan_proptests::brokers::{self, Script};
use castellan_proptests::laws::config;
use proptest::prelude::*;

/// Everything that an agent did, up to its end.
fn agent_transcript(steps: &[agents::Step]) -> Vec<String> {
    let mut world = World::new();
    world.play(steps);
    world.stop();
    world.transcript
}

/// Everything that a broker did.
fn broker_transcript(steps: &[brokers::Step]) -> Vec<String> {
    let (mut broker, mut script) = (Broker::new(BrokerSettings::default()), Script::default());
    let (mut effects, mut transcript) = (Vec::new(), Vec::new());
    for (step, millis) in steps.iter().zip((0_u64..).step_by(100)) {
        let event = script.event(step);
        let now = Now { monotonic: Monotonic::from_millis(millis), wall: WallTime::from_millis(0) };
        broker.handle(now, event, &mut effects);
        transcript.extend(effects.drain(..).map(|effect| format!("{effect:?}")));
        transcript.push(format!("{:?}", broker.next_deadline()));
    }
    transcript
}

proptest! {
    #![proptest_config(config(100))]

    #[test]
    fn an_agent_does_the_same_again(steps in agents::lawful_steps()) {
        prop_assert_eq!(agent_transcript(&steps), agent_transcript(&steps));
    }

    #[test]
    fn a_broker_does_the_same_again(steps in brokers::steps()) {
        prop_assert_eq!(broker_transcript(&steps), broker_transcript(&steps));
    }
}
