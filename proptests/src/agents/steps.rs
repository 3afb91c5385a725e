//! What may happen to an agent, step by step: what a port owes, what a client asks, and what nobody should ever say.

use std::sync::Arc;

use castellan_core::acl::Subject;
use castellan_core::event::{BrokerReport, Captured, Event, ExitStatus, ProcessReport, StoreReport, StreamEnd};
use castellan_core::id::{Component, ConnectionId, JobId, PluginId, RequestId, RunId, SpawnId, TicketId};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::surroundings::SCAN;
use super::{World, facts, facts_of_a_stranger, ports};

/// A request to the API.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Method.
    pub method: &'static str,
    /// Path and query.
    pub target: String,
    /// Body.
    pub body: String,
    /// Whether the client has an admin certificate.
    pub admin: bool,
    /// The process tree it comes from.
    pub tree: Option<usize>,
}

/// An event that fits nothing, or comes twice.
#[derive(Debug, Clone)]
pub enum Odd {
    /// A prepared process.
    Prepared(u64, bool),
    /// A started one.
    Started(u64),
    /// A failed spawn.
    Failed(u64),
    /// An exit.
    Exited(u64),
    /// Captured output.
    Collected(u64),
    /// A discarded tree.
    Discarded(u64),
    /// Facts about files.
    Inspected(u64, usize),
    /// A persisted run.
    Persisted(u64, u64, bool),
    /// Runs that were read.
    Read(u64),
    /// A definition that was written.
    Changed(u64),
    /// The listeners are open once more.
    Opened,
    /// An order got lost.
    Congested,
    /// A client of an event stream has left.
    StreamEnded(u64, StreamEnd),
}

/// One step.
#[derive(Debug, Clone)]
pub enum Step {
    /// A port answers one of the things it owes, well or badly.
    Answer(usize, bool),
    /// So many milliseconds go by.
    Wait(u64),
    /// A client asks the API.
    Ask(Ask),
    /// A client connects, from a tree or from nowhere, with this ending of its client id.
    Connect(Option<usize>, String),
    /// A client that was connected, or is connected no more.
    Connected(usize, bool),
    /// A message on a watched topic.
    Published(usize, &'static str, String),
    /// Something odd.
    Odd(Odd),
    /// SIGTERM.
    Stop,
}

/// Steps of a world where every port keeps its word.
pub fn lawful_steps() -> impl Strategy<Value = Vec<Step>> {
    vec(lawful(), 1..80)
}

/// Steps of a world where anything may come.
pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let any = prop_oneof![8 => lawful(), 3 => odd().prop_map(Step::Odd), 1 => Just(Step::Stop)];
    // The stop is rare, or nothing would come after it.
    vec(any, 1..80).prop_map(|steps| {
        let mut stops = 0_usize;
        let rare = |step: &Step| {
            !matches!(step, Step::Stop) || {
                stops = stops.saturating_add(1);
                stops.is_multiple_of(4)
            }
        };
        steps.into_iter().filter(rare).collect()
    })
}

fn lawful() -> impl Strategy<Value = Step> {
    let topics = select(&["KeeperLogger", "EventMessages", "JobService", "Other"][..]);
    let payloads = prop_oneof![
        Just(String::from(r#"{"eventName":"Go","context":{"depth":1}}"#)),
        Just(String::from(r#"{"jobId":"chain","context":{"depth":2}}"#)),
        Just(String::from(r#"{"jobId":"nobody"}"#)),
        Just(String::from(r#"{"MessageType":"Log","MetaData":{"Message":"hello"}}"#)),
        ".{0,20}",
    ];
    prop_oneof![
        24 => (any::<usize>(), prop::bool::weighted(0.8)).prop_map(|(nth, well)| Step::Answer(nth, well)),
        2 => (0..2000_u64).prop_map(Step::Wait),
        1 => (2000..90_000_u64).prop_map(Step::Wait),
        6 => ask().prop_map(Step::Ask),
        2 => (option::weighted(0.8, any::<usize>()), "(_T)?_[0-9]{1,5}").prop_map(|(tree, end)| Step::Connect(tree, end)),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(tree, connected)| Step::Connected(tree, connected)),
        3 => (any::<usize>(), topics, payloads).prop_map(|(tree, topic, payload)| Step::Published(tree, topic, payload)),
    ]
}

fn odd() -> impl Strategy<Value = Odd> {
    let id = || 0..8_u64;
    prop_oneof![
        (id(), any::<bool>()).prop_map(|(spawn, safe)| Odd::Prepared(spawn, safe)),
        id().prop_map(Odd::Started),
        id().prop_map(Odd::Failed),
        id().prop_map(Odd::Exited),
        id().prop_map(Odd::Collected),
        id().prop_map(Odd::Discarded),
        (id(), 0..3_usize).prop_map(|(ticket, files)| Odd::Inspected(ticket, files)),
        (id(), id(), any::<bool>()).prop_map(|(ticket, run, well)| Odd::Persisted(ticket, run, well)),
        id().prop_map(Odd::Read),
        id().prop_map(Odd::Changed),
        Just(Odd::Opened),
        Just(Odd::Congested),
        (0..40_u64, select(&[StreamEnd::Left, StreamEnd::NotRead][..])).prop_map(|(id, why)| Odd::StreamEnded(id, why)),
    ]
}

fn ask() -> impl Strategy<Value = Ask> {
    let asks: Vec<(&'static str, &str, String)> = vec![
        ("GET", "/health", String::new()),
        ("GET", "/api/system/status", String::new()),
        ("GET", "/api/Jobs", String::new()),
        ("GET", "/api/jobs/scan", String::new()),
        ("POST", "/api/Jobs", SCAN.replace("\"scan\"", "\"fresh\"")),
        ("POST", "/api/Jobs", String::from("{\"id\":1}")),
        ("PUT", "/api/Jobs/scan", SCAN.replace("\"KeeperLogger\",", "")),
        ("PUT", "/api/Jobs/broken", SCAN.replace("\"scan\"", "\"broken\"")),
        ("DELETE", "/api/Jobs/chain", String::new()),
        ("DELETE", "/api/Jobs/fresh", String::new()),
        ("POST", "/api/Jobs/validate", SCAN.to_owned()),
        ("POST", "/api/Jobs/scan/trigger", String::from("{\"found\":7}")),
        ("POST", "/api/Jobs/chain/run?wait=true&timeoutSeconds=2", String::from("{\"depth\":5}")),
        ("POST", "/api/Jobs/scan/trigger?wait=true", String::new()),
        ("POST", "/api/Jobs/chain/trigger", String::from("{\"depth\":\"no\"}")),
        ("POST", "/api/Jobs/reload", String::new()),
        ("GET", "/api/Jobs/scan/runs", String::new()),
        ("GET", "/api/runs/1-1", String::new()),
        ("GET", "/api/plugins", String::new()),
        ("GET", "/api/plugins/Echo/output", String::new()),
        ("POST", "/api/plugins/Echo/stop", String::new()),
        ("POST", "/api/plugins/Echo/start", String::new()),
        ("POST", "/api/plugins/Once/restart", String::new()),
        ("GET", "/api/PluginSettings/Echo", String::new()),
        ("GET", "/api/PluginSettings/Echo/greeting", String::new()),
        ("PUT", "/api/PluginSettings/echo/metadata.greeting", String::from("\"moin\"")),
        ("PUT", "/api/PluginSettings/Echo/executablePath", String::from("1")),
        ("POST", "/api/PluginSettings/Echo/revert", String::new()),
        ("POST", "/api/PluginSettings/revert-all", String::new()),
        ("GET", "/api/denials", String::new()),
        ("GET", "/api/events", String::new()),
        ("GET", "/api/events?kinds=run,plugin", String::new()),
        ("PATCH", "/nowhere/%zz", String::new()),
    ];
    (select(asks), prop::bool::weighted(0.7), option::of(any::<usize>()))
        .prop_map(|((method, target, body), admin, tree)| Ask { method, target: target.to_owned(), body, admin, tree })
}

impl World {
    pub(super) fn step(&mut self, step: &Step) {
        match step {
            Step::Answer(nth, well) => {
                if let Some(at) = nth.checked_rem(self.owed.len()) {
                    let owed = self.owed.remove(at);
                    self.answer(owed, *well);
                }
            }
            Step::Wait(millis) => {
                self.pass(*millis);
                self.tell(Event::DeadlineReached);
            }
            Step::Ask(ask) => self.ask(ask),
            Step::Connect(tree, end) => {
                let leader = tree.and_then(|number| self.tree(number)).and_then(|(_, tree)| tree.prepared);
                let peer = leader.map_or_else(facts_of_a_stranger, |(pid, cgroup)| facts(pid, cgroup));
                self.connections = self.connections.saturating_add(1);
                let (connection, client_id) = (ConnectionId(self.connections), format!("scan{end}"));
                self.tell(Event::Broker(BrokerReport::ConnectAsked { connection, client_id, peer, certificate: None }));
            }
            Step::Connected(number, connected) => {
                let subject = self.subject(*number);
                let reason = String::from("it left");
                let report = if *connected {
                    BrokerReport::Connected { subject }
                } else {
                    BrokerReport::Disconnected { subject, reason }
                };
                self.tell(Event::Broker(report));
            }
            Step::Published(number, topic, payload) => {
                let (subject, topic) = (self.subject(*number), (*topic).to_owned());
                let payload = Arc::from(payload.as_bytes());
                self.tell(Event::Broker(BrokerReport::Published { subject, topic, payload, packet: None }));
            }
            Step::Odd(odd) => self.odd(odd),
            Step::Stop => {
                self.stopping = true;
                self.tell(Event::StopRequested(String::from("SIGTERM")));
            }
        }
    }

    fn subject(&self, number: usize) -> Subject {
        let (spawn, pid) = self.tree(number).map_or((SpawnId(0), 1), |(spawn, _)| (spawn, ports::leader(spawn).0));
        let component = match (number.is_multiple_of(2), PluginId::parse("Echo"), JobId::parse("scan")) {
            (true, Ok(id), _) => Component::Plugin(id),
            (_, _, Ok(id)) => Component::Job(id),
            (_, _, Err(invalid)) => unreachable!("{invalid:?}"),
        };
        Subject { component, run: Some(RunId::new(1, 1)), spawn, pid, client_id: format!("x_{pid}") }
    }

    fn odd(&mut self, odd: &Odd) {
        let event = match odd {
            Odd::Prepared(spawn, safe) => {
                // Not between an abort and its answer: there the agent takes a second `Prepared` for the first.
                let aborted = self.trees.get(&SpawnId(*spawn)).is_some_and(super::Tree::is_being_aborted);
                return if aborted { self.pass(1) } else { self.prepare(SpawnId(*spawn), *safe) };
            }
            Odd::Started(spawn) => Event::Process(ProcessReport::Started { spawn: SpawnId(*spawn) }),
            Odd::Failed(spawn) => return self.fail(SpawnId(*spawn), "odd"),
            Odd::Exited(spawn) => {
                self.trees.entry(SpawnId(*spawn)).or_default().exited = true;
                Event::Process(ProcessReport::Exited { spawn: SpawnId(*spawn), status: ExitStatus::Code(3) })
            }
            Odd::Collected(spawn) => {
                let (stdout, stderr) = (Captured::default(), Captured::default());
                Event::Process(ProcessReport::Collected { spawn: SpawnId(*spawn), stdout, stderr })
            }
            Odd::Discarded(spawn) => return self.discard(SpawnId(*spawn)),
            Odd::Inspected(ticket, files) => {
                let executables = vec![ports::executable(true); *files];
                Event::Process(ProcessReport::Inspected { ticket: TicketId(*ticket), executables })
            }
            Odd::Persisted(ticket, run, well) => {
                let result = if *well { Ok(()) } else { Err(String::from("odd")) };
                Event::Store(StoreReport::RunPersisted { ticket: TicketId(*ticket), run: RunId::new(1, *run), result })
            }
            Odd::Read(ticket) => {
                Event::Store(StoreReport::RunsRead { ticket: TicketId(*ticket), result: Ok(Vec::new()) })
            }
            Odd::Changed(ticket) => {
                Event::Store(StoreReport::DefinitionsChanged { ticket: TicketId(*ticket), result: Ok(vec![1]) })
            }
            Odd::Opened => Event::Opened(castellan_core::event::Endpoints { http: 6888, https: 6889, mqtt: 8675 }),
            Odd::Congested => Event::Congested(String::from("odd")),
            Odd::StreamEnded(request, why) => {
                self.open.remove(&RequestId(*request));
                Event::StreamEnded { request: RequestId(*request), why: *why }
            }
        };
        self.tell(event);
    }
}
