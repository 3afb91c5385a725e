//! Laws of redelivery: over links that lose messages and acknowledgements, every event is one run; never two, never none.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by panicking")]

use std::collections::BTreeMap;

use castellan_core::acl::Subject;
use castellan_core::agent::Agent;
use castellan_core::broker::message::Packet;
use castellan_core::config::Settings;
use castellan_core::effect::{Effect, Effects, StoreOrder};
use castellan_core::event::{BrokerReport, DefinitionFile, DefinitionKind, Endpoints, Event, Loaded};
use castellan_core::id::{Component, JobId, SpawnId};
use castellan_core::time::{Monotonic, Now, WallTime};
use castellan_proptests::agents::surroundings_of;
use castellan_proptests::laws::config;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

/// What the link does to one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The message is lost, and the connection with it.
    Lost,
    /// It arrives; its acknowledgement is lost, and the connection with it.
    AckLost,
    /// Both arrive.
    Well,
}

/// How a client chooses packet identifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Numbering {
    /// One after the other; two messages may say the same.
    Onwards,
    /// The lowest that is free; then only different content tells a new message that was lost from an old one.
    LowestFree,
}

/// A client with a kept session: what is not acknowledged is sent again, in order, over the next connection.
#[derive(Debug)]
struct Client {
    subject: Subject,
    numbering: Numbering,
    sent: u16,
    unacknowledged: Vec<(u16, String)>,
}

/// An agent, and the runs it began, by what their event said.
struct Service {
    agent: Agent,
    seconds: u64,
    runs: BTreeMap<String, usize>,
}

impl Service {
    fn new() -> Self {
        let now = Now { monotonic: Monotonic::from_millis(0), wall: WallTime::from_millis(0) };
        let agent = Agent::new(Settings::default(), surroundings_of(1, now));
        let mut service = Self { agent, seconds: 0, runs: BTreeMap::new() };
        let job =
            json!({ "id": "b", "events": ["E"], "overlap": "parallel", "tasks": [{ "id": "t", "command": "x" }] });
        let content = Ok(job.to_string().into_bytes().into());
        let definitions = vec![DefinitionFile { kind: DefinitionKind::Job, stem: String::from("b"), content }];
        service.tell(Event::Loaded(Loaded { definitions, ..Loaded::default() }));
        service.tell(Event::Opened(Endpoints { http: 1, https: 2, mqtt: 3 }));
        service
    }

    /// Two seconds later; events may start a job a hundred times a minute.
    fn tell(&mut self, event: Event) {
        self.seconds = self.seconds.saturating_add(2);
        let monotonic = Monotonic::from_millis(self.seconds.saturating_mul(1000));
        let mut effects = Effects::new();
        self.agent.handle(Now { monotonic, wall: WallTime::from_millis(0) }, event, &mut effects);
        for effect in effects {
            if let Effect::Store(StoreOrder::PersistRun { record, .. }) = effect {
                let said = record.context["said"].as_str().unwrap().to_owned();
                let runs = self.runs.entry(said).or_default();
                *runs = runs.saturating_add(1);
            }
        }
    }
}

impl Client {
    fn new(number: u64, numbering: Numbering) -> Self {
        // Two clients of one process: their identifiers are the same, and what they say too.
        let component = Component::Job(JobId::parse("a").unwrap());
        let client_id = format!("a_{number}_7");
        let subject = Subject { component, run: None, spawn: SpawnId(number / 2), pid: 7, client_id };
        Self { subject, numbering, sent: 0, unacknowledged: Vec::new() }
    }

    fn send(&mut self, service: &mut Service, said: &str, fates: &mut dyn FnMut() -> Fate) {
        if !self.unacknowledged.is_empty() && !self.resend(service, fates) {
            // Nothing new goes out before the connection is there again; the application sends it later.
            return self.queue(said);
        }
        self.queue(said);
        self.deliver(service, self.unacknowledged.len().saturating_sub(1), false, fates());
    }

    fn queue(&mut self, said: &str) {
        self.sent = self.sent.saturating_add(1);
        let is_used = |id: &u16| self.unacknowledged.iter().any(|(used, _)| used == id);
        let identifier = match self.numbering {
            Numbering::Onwards => self.sent,
            Numbering::LowestFree => (1..).find(|id| !is_used(id)).unwrap(),
        };
        self.unacknowledged.push((identifier, said.to_owned()));
    }

    /// A new connection: everything that is not acknowledged, in order. Whether the connection is still there.
    fn resend(&mut self, service: &mut Service, fates: &mut dyn FnMut() -> Fate) -> bool {
        while !self.unacknowledged.is_empty() {
            if !self.deliver(service, 0, true, fates()) {
                return false;
            }
        }
        true
    }

    fn deliver(&mut self, service: &mut Service, place: usize, duplicate: bool, fate: Fate) -> bool {
        let (identifier, said) = self.unacknowledged[place].clone();
        if fate != Fate::Lost {
            let payload = json!({ "eventName": "E", "context": { "said": said } }).to_string().into_bytes();
            let packet = Some(Packet { identifier, duplicate });
            let (subject, topic) = (self.subject.clone(), String::from("EventMessages"));
            service.tell(Event::Broker(BrokerReport::Published { subject, topic, payload: payload.into(), packet }));
        }
        if fate == Fate::Well {
            self.unacknowledged.remove(place);
        }
        fate == Fate::Well
    }
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![3 => Just(Fate::Well), 2 => Just(Fate::AckLost), 1 => Just(Fate::Lost)]
}

fn numbering() -> impl Strategy<Value = Numbering> {
    prop_oneof![Just(Numbering::Onwards), Just(Numbering::LowestFree)]
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn every_event_is_one_run(
        numberings in vec(numbering(), 1..5),
        sends in vec((0..4_usize, 0..3_u8), 1..60),
        fates in vec(fate(), 1..200),
    ) {
        let mut service = Service::new();
        let mut clients: Vec<Client> = (0..).zip(numberings).map(|(number, how)| Client::new(number, how)).collect();
        let (mut expected, mut fates) = (BTreeMap::<String, usize>::new(), fates.into_iter());
        let mut fate = || fates.next().unwrap_or(Fate::Well);
        for (number, (which, word)) in sends.into_iter().enumerate() {
            let place = which.checked_rem(clients.len()).unwrap();
            let client = &mut clients[place];
            let said = match client.numbering {
                Numbering::Onwards => format!("word {word}"),
                Numbering::LowestFree => format!("message {number}"),
            };
            let messages = expected.entry(said.clone()).or_default();
            *messages = messages.saturating_add(1);
            client.send(&mut service, &said, &mut fate);
        }
        for client in &mut clients {
            while !client.resend(&mut service, &mut fate) {}
        }
        prop_assert_eq!(service.runs, expected);
    }
}
