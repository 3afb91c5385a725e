//! A fake world for the agent: ports that owe answers, clients, clocks; every effect is held against the laws as it comes.

mod ports;
mod steps;
mod surroundings;

use std::collections::{BTreeMap, BTreeSet};

use castellan_core::agent::Agent;
use castellan_core::api::ApiRequest;
use castellan_core::config::Settings;
use castellan_core::effect::{BrokerOrder, ConnectRefusal, ConnectVerdict, Effect, Effects, ProcessOrder, StreamOrder};
use castellan_core::event::{BrokerReport, Endpoints, Event, Loaded};
use castellan_core::id::{ConnectionId, RequestId, SpawnId};
use castellan_core::limits::STREAMS;
use castellan_core::time::{Monotonic, Now, WallTime};

use crate::signed;

pub use ports::Owed;
pub use steps::{Ask, Odd, Step, lawful_steps, steps};
pub use surroundings::{facts, facts_of_a_stranger, request_of_an_administrator, surroundings_of};

/// How far one process tree has come.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// Its leader and its cgroup, once the world has said so.
    pub prepared: Option<(u32, Option<u64>)>,
    ordered: bool,
    aborted: bool,
    released: bool,
    exited: bool,
    collected: bool,
    discarded: bool,
    /// The world has said that nothing of it is left.
    over: bool,
}

impl Tree {
    const fn is_being_aborted(&self) -> bool {
        self.aborted && !self.over
    }
}

/// The world around one agent.
#[derive(Debug)]
pub struct World {
    agent: Agent,
    now: Now,
    /// What the ports have been asked and not answered.
    owed: Vec<Owed>,
    trees: BTreeMap<SpawnId, Tree>,
    requests: u64,
    connections: u64,
    answered: BTreeSet<RequestId>,
    /// Responses that stay open.
    open: BTreeSet<RequestId>,
    stopping: bool,
    exited: bool,
    /// Every effect so far.
    pub transcript: Vec<String>,
}

impl World {
    /// A world whose agent is at work.
    pub fn new() -> Self {
        let now = Now { monotonic: Monotonic::from_millis(1000), wall: WallTime::from_millis(1_700_000_000_000) };
        let mut world = Self {
            agent: Agent::new(settings(), surroundings::surroundings(now)),
            now,
            owed: Vec::new(),
            trees: BTreeMap::new(),
            requests: 0,
            connections: 0,
            answered: BTreeSet::new(),
            open: BTreeSet::new(),
            stopping: false,
            exited: false,
            transcript: Vec::new(),
        };
        world.tell(Event::Loaded(Loaded { definitions: surroundings::definitions(), ..Loaded::default() }));
        world.tell(Event::Opened(Endpoints { http: 6888, https: 6889, mqtt: 8675 }));
        world
    }

    /// Plays steps until the agent is gone.
    pub fn play(&mut self, steps: &[Step]) {
        for step in steps {
            if self.exited {
                return;
            }
            self.pass(1);
            self.step(step);
        }
    }

    /// Stops the agent; every port answers from now on. It must be gone within its time.
    pub fn stop(&mut self) {
        let begin = self.now.monotonic;
        self.stopping = true;
        self.tell(Event::StopRequested(String::from("the test is over")));
        while !self.exited {
            if let Some(owed) = self.take_owed() {
                self.answer(owed, true);
            } else if let Some(deadline) = self.agent.next_deadline(self.now) {
                self.pass(deadline.at.millis_since(self.now.monotonic));
                self.tell(Event::DeadlineReached);
            } else {
                unreachable!("nothing is owed, nothing is due, and the agent is not gone");
            }
        }
        let took = self.now.monotonic.millis_since(begin);
        assert!(took <= 8000, "the stop took {took} ms");
    }

    /// Answers everything that is still owed; then every request must have had its answer.
    pub fn settle(&mut self) {
        while let Some(owed) = self.take_owed() {
            self.answer(owed, true);
        }
        let missing: Vec<u64> = (1..=self.requests).filter(|id| !self.answered.contains(&RequestId(*id))).collect();
        assert!(missing.is_empty(), "requests {missing:?} were never answered");
    }

    /// How many requests were answered.
    pub fn answers(&self) -> usize {
        self.answered.len()
    }

    /// How many programs were let run.
    pub fn released(&self) -> usize {
        self.trees.values().filter(|tree| tree.released).count()
    }

    fn take_owed(&mut self) -> Option<Owed> {
        (!self.owed.is_empty()).then(|| self.owed.remove(0))
    }

    fn pass(&mut self, millis: u64) {
        self.now.monotonic = self.now.monotonic.plus_millis(millis);
        let wall = self.now.wall.as_millis().saturating_add(i64::try_from(millis).unwrap_or(i64::MAX));
        self.now.wall = WallTime::from_millis(wall);
    }

    /// The tree that a number means, modulo all that were ever asked for.
    fn tree(&self, number: usize) -> Option<(SpawnId, &Tree)> {
        let at = number.checked_rem(self.trees.len())?;
        self.trees.iter().nth(at).map(|(spawn, tree)| (*spawn, tree))
    }

    /// Tells the agent one event and holds what follows against the laws.
    fn tell(&mut self, event: Event) {
        let mut effects = Effects::new();
        self.agent.handle(self.now, event, &mut effects);
        let mut released = Vec::new();
        for effect in effects {
            self.transcript.push(format!("{effect:?}"));
            self.judge(effect, &mut released);
        }
        for spawn in released {
            assert_ne!(self.is_trusted(spawn), Some(false), "spawn {spawn} runs and is not in the registry");
        }
        if let Some(deadline) = self.agent.next_deadline(self.now).filter(|_| !self.exited) {
            assert!(deadline.at > self.now.monotonic, "{deadline:?} is over at {:?}", self.now.monotonic);
        }
    }

    fn judge(&mut self, effect: Effect, released: &mut Vec<SpawnId>) {
        assert!(!self.exited || !matches!(effect, Effect::Exit), "the agent exits twice");
        match effect {
            Effect::Process(order) => self.judge_order(order, released),
            Effect::Broker(BrokerOrder::Revoke { spawn }) => {
                released.retain(|other| *other != spawn);
                assert_ne!(self.is_trusted(spawn), Some(true), "spawn {spawn} is revoked and still in the registry");
            }
            Effect::Broker(BrokerOrder::Stop) => self.owed.push(Owed::BrokerStop),
            Effect::Broker(_)
            | Effect::Log(_)
            | Effect::LogLevel(_)
            | Effect::Count(_)
            | Effect::Audit(_)
            | Effect::Fleet(_)
            | Effect::Elevation(_)
            | Effect::Telemetry(_) => {}
            Effect::Http(order) => self.owed.push(Owed::Http(Box::new(order))),
            Effect::Store(order) => self.owed.push(Owed::Store(Box::new(order))),
            Effect::Respond { request, .. } => {
                assert!((1..=self.requests).contains(&request.0), "an answer to nobody: {request}");
                assert!(self.answered.insert(request), "request {request} is answered twice");
            }
            Effect::Stream(StreamOrder::Open { request, .. }) => {
                assert!((1..=self.requests).contains(&request.0), "a stream to nobody: {request}");
                assert!(self.answered.insert(request) && self.open.insert(request), "{request} is answered twice");
                assert!(self.open.len() <= STREAMS, "{} streams are open", self.open.len());
            }
            Effect::Stream(StreamOrder::Append { request, .. }) => {
                assert!(self.open.contains(&request), "{request} is sent more, and no stream is open");
            }
            Effect::Stream(StreamOrder::Finish { request }) => {
                assert!(self.open.remove(&request), "{request} is ended, and no stream is open");
            }
            Effect::Exit => {
                assert!(self.open.is_empty(), "the agent exits while streams are open");
                self.exited = true;
            }
        }
    }

    fn judge_order(&mut self, order: ProcessOrder, released: &mut Vec<SpawnId>) {
        match order {
            ProcessOrder::Spawn(request) => {
                let spawn = request.spawn;
                assert!(!self.stopping, "spawn {spawn} although the agent stops");
                // What odd events said of this number before it was given away counts no more.
                let former = self.trees.insert(spawn, Tree { ordered: true, ..Tree::default() });
                assert!(former.is_none_or(|tree| !tree.ordered), "spawn {spawn} twice");
                self.owed.retain(|owed| !matches!(owed, Owed::Abort(aborted, _) if *aborted == spawn));
                self.owed.push(Owed::Spawn(spawn));
            }
            ProcessOrder::Release { spawn, .. } => {
                let tree = self.trees.entry(spawn).or_default();
                assert!(tree.prepared.is_some(), "spawn {spawn} is released before it is prepared");
                assert!(!tree.aborted, "spawn {spawn} is released after its abort");
                assert!(!std::mem::replace(&mut tree.released, true), "spawn {spawn} is released twice");
                released.push(spawn);
                self.owed.push(Owed::Release(spawn));
            }
            ProcessOrder::Abort { spawn, reason } => {
                let tree = self.trees.entry(spawn).or_default();
                assert!(!tree.released || tree.over, "spawn {spawn} is aborted after its release");
                if !std::mem::replace(&mut tree.aborted, true) {
                    self.owed.push(Owed::Abort(spawn, reason));
                }
            }
            ProcessOrder::Signal { spawn, signal } => {
                let tree = self.trees.entry(spawn).or_default();
                assert!(!tree.collected, "{signal:?} to spawn {spawn}, whose number may be another process's by now");
            }
            ProcessOrder::Collect { spawn } => {
                let tree = self.trees.entry(spawn).or_default();
                assert!(tree.exited, "spawn {spawn} is collected and has not ended");
                assert!(!std::mem::replace(&mut tree.collected, true), "spawn {spawn} is collected twice");
                self.owed.push(Owed::Collect(spawn));
            }
            ProcessOrder::Discard { spawn } => {
                let tree = self.trees.entry(spawn).or_default();
                assert!(!std::mem::replace(&mut tree.discarded, true), "spawn {spawn} is discarded twice");
                self.owed.push(Owed::Discard(spawn));
            }
            ProcessOrder::Peek { ticket, .. } => self.owed.push(Owed::Peek(ticket)),
            ProcessOrder::Inspect { ticket, queries } => self.owed.push(Owed::Inspect(ticket, queries.len())),
            ProcessOrder::Examine { ticket, peer, .. } => self.owed.push(Owed::Examine(ticket, Box::new(peer))),
        }
    }

    /// Whether the leader of a tree is known; asks the agent, as the broker would. `None` once that lets nobody in any more.
    fn is_trusted(&mut self, spawn: SpawnId) -> Option<bool> {
        let Some((pid, cgroup)) = self.trees.get(&spawn).and_then(|tree| tree.prepared) else {
            return Some(false);
        };
        self.connections = self.connections.saturating_add(1);
        let connection = ConnectionId(self.connections);
        let (client_id, peer) = (format!("x_{pid}"), facts(pid, cgroup));
        let report = BrokerReport::ConnectAsked { connection, client_id, peer, certificate: None };
        let mut effects = Effects::new();
        self.agent.handle(self.now, Event::Broker(report), &mut effects);
        let is_examined = |effect: &Effect| matches!(effect, Effect::Process(ProcessOrder::Examine { .. }));
        if let Some(order) = effects.iter().position(is_examined) {
            // Nobody of the registry; its signature will not make it one.
            self.judge(effects.remove(order), &mut Vec::new());
            return Some(false);
        }
        let verdicts: Vec<_> = effects
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Broker(BrokerOrder::AnswerConnect { connection: asked, verdict }) if asked == connection => {
                    Some(verdict)
                }
                Effect::Process(_)
                | Effect::Broker(_)
                | Effect::Store(_)
                | Effect::Http(_)
                | Effect::Audit(_)
                | Effect::Fleet(_)
                | Effect::Elevation(_)
                | Effect::Respond { .. }
                | Effect::Stream(_)
                | Effect::Log(_)
                | Effect::LogLevel(_)
                | Effect::Count(_)
                | Effect::Telemetry(_)
                | Effect::Exit => None,
            })
            .collect();
        assert_eq!(verdicts.len(), 1, "a CONNECT has one answer");
        match verdicts.first()? {
            ConnectVerdict::Accept(_) => Some(true),
            ConnectVerdict::Refuse { reason: ConnectRefusal::ClientIdentifierNotValid, .. } => Some(true),
            ConnectVerdict::Refuse { reason: ConnectRefusal::NotAuthorized, .. } => Some(false),
            ConnectVerdict::Refuse {
                reason: ConnectRefusal::ServerUnavailable | ConnectRefusal::BadAuthenticationMethod,
                ..
            } => None,
        }
    }

    fn ask(&mut self, ask: &Ask) {
        self.requests = self.requests.saturating_add(1);
        let leader = ask.tree.and_then(|number| self.tree(number)).and_then(|(_, tree)| tree.prepared);
        let peer = leader.map_or_else(facts_of_a_stranger, |(pid, cgroup)| facts(pid, cgroup));
        let request = request_of_an_administrator(self.requests, ask.method, &ask.target, &ask.body);
        let certificate = request.certificate.filter(|_| ask.admin);
        let mut headers = request.headers;
        // By its target, so that some are sent again under the key that they had.
        if self.requests.is_multiple_of(3) {
            headers.push((String::from("idempotency-key"), ask.target.clone()));
        }
        self.tell(Event::Api(ApiRequest { peer, certificate, headers, ..request }));
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// Signers are trusted, so that strangers are looked at.
fn settings() -> Settings {
    Settings { alternative_signatures: vec![signed::pin()], ..Settings::default() }
}
