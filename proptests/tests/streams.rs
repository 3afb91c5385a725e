//! The law of event streams: whenever a client leaves and comes back, it sees each event once and in order, or is told of a gap
//! that is exactly as long as what it did not see.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by panicking")]

use castellan_core::agent::Agent;
use castellan_core::config::Settings;
use castellan_core::effect::{Effect, Effects, ProcessOrder, StreamOrder};
use castellan_core::event::{DefinitionFile, DefinitionKind, Endpoints, Event, Loaded, ProcessReport, StreamEnd};
use castellan_core::id::{RequestId, SpawnId};
use castellan_core::limits::STREAM_EVENTS;
use castellan_core::time::{Monotonic, Now, WallTime};
use castellan_proptests::agents::{request_of_an_administrator, surroundings_of};
use castellan_proptests::laws::config;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

const PLUGIN: &str = r#"{"id":"p","pluginType":"Executable","executablePath":"bin/p/p","supportedPlatforms":["Linux"],
    "Subscription":{"Topic":"p"},"metadata":{"mqttTopics":{"publish":[],"subscribe":[]}},"autoStart":false}"#;

#[derive(Debug, Clone)]
enum Step {
    /// A plugin starts, fails and is stopped, so many times: two or three events each.
    Happen(usize),
    /// The client opens a stream, if it has none, after the last event that it saw.
    Open,
    /// It leaves; of what was under way it does not get the last bytes.
    Leave(usize),
    /// Half a minute goes by.
    Wait,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..6_usize).prop_map(Step::Happen),
        1 => (300..700_usize).prop_map(Step::Happen),
        4 => Just(Step::Open),
        3 => (0..200_usize).prop_map(Step::Leave),
        1 => Just(Step::Wait),
    ];
    vec(step, 1..24)
}

/// A client that keeps nothing but the last id and what it saw, and the agent.
struct World {
    agent: Agent,
    millis: u64,
    requests: u64,
    /// The open stream and what came on it.
    open: Option<(RequestId, String)>,
    last_id: Option<String>,
    /// Numbers of events, and gaps, in their order.
    seen: Vec<Result<u64, Option<u64>>>,
    starting: Option<SpawnId>,
}

impl World {
    fn new() -> Self {
        let now = Now { monotonic: Monotonic::from_millis(0), wall: WallTime::from_millis(0) };
        let agent = Agent::new(Settings::default(), surroundings_of(9, now));
        let (open, last_id, starting) = (None, None, None);
        let mut world = Self { agent, millis: 0, requests: 0, open, last_id, seen: Vec::new(), starting };
        let content = Ok(PLUGIN.as_bytes().into());
        let definitions = vec![DefinitionFile { kind: DefinitionKind::Plugin, stem: String::from("p"), content }];
        world.tell(Event::Loaded(Loaded { definitions, ..Loaded::default() }));
        world.tell(Event::Opened(Endpoints { http: 6888, https: 6889, mqtt: 8675 }));
        world
    }

    fn tell(&mut self, event: Event) {
        let now = Now { monotonic: Monotonic::from_millis(self.millis), wall: WallTime::from_millis(0) };
        let mut effects = Effects::new();
        self.agent.handle(now, event, &mut effects);
        for effect in effects {
            match (effect, &mut self.open) {
                (Effect::Process(ProcessOrder::Spawn(request)), _) => self.starting = Some(request.spawn),
                (Effect::Stream(StreamOrder::Open { request, response }), open) => {
                    *open = Some((request, String::from_utf8(response.body).unwrap()));
                }
                (Effect::Stream(StreamOrder::Append { request, bytes }), Some((own, text))) => {
                    assert_eq!(request, *own);
                    text.push_str(std::str::from_utf8(&bytes).unwrap());
                }
                _ => {}
            }
        }
    }

    fn ask(&mut self, method: &str, target: &str, header: Option<(String, String)>) {
        self.requests = self.requests.saturating_add(1);
        let mut request = request_of_an_administrator(self.requests, method, target, "");
        request.headers.extend(header);
        self.tell(Event::Api(request));
    }

    /// Reads all but the last so many bytes, as a client does: whole blocks count.
    fn read(&mut self, cut: usize) {
        let Some((_, text)) = &mut self.open else { return };
        let text = std::mem::take(text);
        let whole = text.get(..text.len().saturating_sub(cut)).unwrap();
        for block in whole.split_inclusive("\n\n").filter(|block| block.ends_with("\n\n")) {
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
            if field("event: ") == Some("gap") {
                let data: Value = serde_json::from_str(field("data: ").unwrap()).unwrap();
                self.seen.push(Err(data["lost"].as_u64()));
            } else if field("data: ").is_some() {
                self.seen.push(Ok(field("id: 9-").unwrap().parse().unwrap()));
            }
            if let Some(id) = field("id: ") {
                self.last_id = Some(id.to_owned());
            }
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Happen(times) => {
                for _ in 0..*times {
                    self.ask("POST", "/api/plugins/p/start", None);
                    let spawn = self.starting.take().unwrap();
                    self.tell(Event::Process(ProcessReport::SpawnFailed { spawn, reason: String::from("no") }));
                    self.ask("POST", "/api/plugins/p/stop", None);
                }
            }
            Step::Open if self.open.is_none() => {
                let id = self.last_id.clone().map(|id| (String::from("last-event-id"), id));
                self.ask("GET", "/api/events?kinds=plugin", id);
                assert!(self.open.is_some());
            }
            Step::Open => {}
            Step::Leave(cut) => {
                self.read(*cut);
                if let Some((request, _)) = self.open.take() {
                    self.tell(Event::StreamEnded { request, why: StreamEnd::Left });
                }
            }
            Step::Wait => {
                self.millis = self.millis.saturating_add(30_000);
                self.tell(Event::DeadlineReached);
            }
        }
    }
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn each_event_comes_once_and_in_order_or_a_gap_says_how_many_did_not(steps in steps()) {
        let mut world = World::new();
        world.step(&Step::Open);
        world.read(0);
        let first: u64 = world.last_id.as_ref().unwrap().strip_prefix("9-").unwrap().parse().unwrap();
        for step in &steps {
            world.step(step);
        }
        // At the end the client has everything.
        world.step(&Step::Leave(0));
        world.step(&Step::Open);
        world.read(0);
        let last: u64 = world.last_id.as_ref().unwrap().strip_prefix("9-").unwrap().parse().unwrap();
        let mut expected = first.saturating_add(1);
        for seen in &world.seen {
            match seen {
                Ok(number) => {
                    prop_assert_eq!(*number, expected, "{:?}", world.seen);
                    expected = expected.saturating_add(1);
                }
                Err(lost) => {
                    let lost = lost.unwrap();
                    prop_assert!(lost > 0);
                    expected = expected.saturating_add(lost);
                }
            }
        }
        prop_assert_eq!(expected, last.saturating_add(1));
    }
}

/// The law is not about nothing: gaps do occur, and only beyond what is kept.
#[test]
fn a_gap_occurs_where_more_happened_than_is_kept() {
    let mut world = World::new();
    world.step(&Step::Open);
    world.step(&Step::Leave(0));
    world.step(&Step::Happen(STREAM_EVENTS / 4));
    world.step(&Step::Open);
    world.step(&Step::Leave(0));
    assert_eq!((world.seen.len(), world.seen.iter().all(Result::is_ok)), (STREAM_EVENTS / 2, true));
    world.step(&Step::Happen(STREAM_EVENTS));
    world.step(&Step::Open);
    world.read(0);
    assert_eq!(world.seen.iter().filter(|seen| seen.is_err()).count(), 1);
}
