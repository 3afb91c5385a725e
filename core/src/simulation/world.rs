//! The world of a simulation: it answers every order of the agent, in virtual time.

mod http;
mod store;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use serde_json::{Map, Value, json};

use super::assumption::{Assumptions, End, Fate};
use super::story::{Published, Step, Story};
use super::{Scenario, Trigger, session};
use crate::acl::Subject;
use crate::agent::Agent;
use crate::api::{ApiRequest, ApiResponse, CertificateFacts, Listener};
use crate::certificate::AdminCertificate;
use crate::effect::{
    BrokerOrder, ConnectVerdict, Effect, Effects, ProcessOrder, ProgramQuery, SpawnRequest, TreeSignal,
};
use crate::event::{
    BrokerReport, Captured, DefinitionFile, Endpoints, Event, ExecutableFacts, ExitStatus, Loaded, Opening,
    ProcessReport,
};
use crate::id::{Component, PluginId, RequestId, SpawnId};
use crate::limits::SIMULATED_EVENTS;
use crate::log_message::{Level, LogRecord};
use crate::time::{Monotonic, Now, WallTime};
use crate::trust::{Examination, PeerFacts};

/// Stands for the certificate of the administrator who triggers.
const ADMINISTRATOR: &str = "simulation";
/// Process ids of the simulated world count from here.
const FIRST_PID: u64 = 1000;
/// Numbers of its cgroups: clear of those that a whole machine shares.
const FIRST_CGROUP: u64 = 1_000_000;
const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;
/// Categories of the log that say nothing about routing.
const NOISE: [&str; 3] = ["Loaded", "Ready", "ProcessRegistered"];

/// The agent and everything around it.
pub(super) struct World {
    agent: Agent,
    definitions: Vec<DefinitionFile>,
    endpoints: Endpoints,
    assumptions: Assumptions,
    start: WallTime,
    millis: u64,
    /// Answers that wait to be told.
    ready: VecDeque<Event>,
    /// Programs that end by themselves: when, and as how many-th.
    ends: BTreeMap<(u64, u64), (SpawnId, ExitStatus)>,
    trees: BTreeMap<SpawnId, Tree>,
    told: u64,
    requests: u64,
    responses: BTreeMap<RequestId, ApiResponse>,
    story: Story,
    /// What the agent orders; empty between two events, kept for its room.
    effects: Effects,
}

struct Tree {
    fate: Fate,
    alive: bool,
}

impl World {
    pub(super) fn new(scenario: Scenario) -> Self {
        let Scenario { mut surroundings, mut settings, definitions, trigger: _, assumptions, at } = scenario;
        surroundings.admin_certificates.push(AdminCertificate::without_end(ADMINISTRATOR, ADMINISTRATOR));
        surroundings.started = Now { monotonic: Monotonic::default(), wall: at };
        // A simulation tells every detail.
        settings.logging.level = Level::Debug;
        let endpoints = Endpoints { http: settings.http_port, https: settings.https_port, mqtt: settings.mqtt_port };
        Self {
            agent: Agent::new(settings, surroundings),
            definitions,
            endpoints,
            assumptions,
            start: at,
            millis: 0,
            ready: VecDeque::new(),
            ends: BTreeMap::new(),
            trees: BTreeMap::new(),
            told: 0,
            requests: 0,
            responses: BTreeMap::new(),
            story: Story::default(),
            effects: Effects::new(),
        }
    }

    /// Starts the agent and triggers what shall run. `Startup` fires at the start alone, so for any other trigger the jobs come later.
    pub(super) fn begin(&mut self, trigger: &Trigger) {
        match trigger {
            Trigger::Event { name, .. } if name.eq_ignore_ascii_case("Startup") => {
                let definitions = self.definitions.clone();
                self.tell(Event::Loaded(Loaded { definitions, ..Loaded::default() }));
                self.tell(Event::Opened(self.endpoints));
            }
            Trigger::Event { name, context } => {
                self.come_into_service();
                let payload = json!({ "eventName": name, "context": context }).to_string().into_bytes();
                let topic = "EventMessages".to_string();
                if let Some(subject) = outside() {
                    self.tell(Event::Broker(BrokerReport::Published {
                        subject,
                        topic,
                        payload: payload.into(),
                        packet: None,
                    }));
                }
            }
            Trigger::Job { id, context } => {
                self.come_into_service();
                self.trigger(id, context);
            }
        }
        if self.story.runs.is_empty() && self.story.refusal.is_none() {
            let refusals = self.story.steps.iter().filter(|step| step.kind == "NotRun" || step.kind == "Denied");
            let why = refusals.map(|step| step.message.clone()).next();
            self.story.refusal = Some(why.unwrap_or_else(|| "No job in service waits for this event.".to_string()));
        }
    }

    fn come_into_service(&mut self) {
        self.tell(Event::Loaded(Loaded::default()));
        self.tell(Event::Opened(self.endpoints));
        self.ask("POST", "/api/Jobs/reload", Vec::new());
        while let Some(event) = self.ready.pop_front() {
            self.tell(event);
        }
        self.story.steps.clear();
    }

    /// What an administrator's trigger answers, where it is a refusal, is the refusal of the simulation.
    fn trigger(&mut self, id: &str, context: &Map<String, Value>) {
        let body = json!({ "context": context }).to_string().into_bytes();
        let request = self.ask("POST", &format!("/api/Jobs/{id}/trigger"), body);
        if let Some(response) = self.responses.get(&request).filter(|response| response.status >= 400) {
            let problem: Value = serde_json::from_slice(&response.body).unwrap_or_default();
            let text = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or_default().to_string();
            self.story.refusal = Some(format!("{} {}", text("title"), text("detail")));
        }
    }

    fn ask(&mut self, method: &str, target: &str, body: Vec<u8>) -> RequestId {
        self.requests = self.requests.saturating_add(1);
        let id = RequestId(self.requests);
        let host = format!("127.0.0.1:{}", self.endpoints.https);
        let headers = vec![("host".to_string(), host), ("content-type".to_string(), "application/json".to_string())];
        self.tell(Event::Api(ApiRequest {
            id,
            listener: Listener::Https,
            peer: PeerFacts { own_end_established: true, ..PeerFacts::default() },
            certificate: Some(CertificateFacts { sha256: ADMINISTRATOR.to_string() }),
            method: method.to_string(),
            target: target.to_string(),
            headers,
            body,
        }));
        id
    }

    /// Answers and lets time pass until the runs that the trigger led to are over.
    pub(super) fn settle(&mut self) {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.tell(event);
            } else if !self.is_waited_for() {
                return;
            } else if !self.pass_time() {
                let message = "Nothing is left to happen, but a run is not over; this is a defect, please report it.";
                self.story.given_up = Some(message.to_string());
                return;
            }
            if self.told >= SIMULATED_EVENTS {
                self.story.given_up = Some(format!("After {SIMULATED_EVENTS} events the runs were still not over."));
                return;
            }
        }
    }

    fn is_waited_for(&self) -> bool {
        self.story.runs.iter().any(|run| run.outcome.is_none() && !run.trigger.starts_with("schedule"))
    }

    /// Goes to the next instant at which something happens.
    fn pass_time(&mut self) -> bool {
        let deadline = self.agent.next_deadline(self.now()).map(|deadline| deadline.at.as_millis());
        let end = self.ends.first_key_value().map(|((at, _), _)| *at);
        let Some(next) = deadline.into_iter().chain(end).min() else { return false };
        self.millis = self.millis.max(next);
        match self.ends.first_entry().filter(|entry| entry.key().0 <= next) {
            Some(entry) => {
                let (spawn, status) = entry.remove();
                self.ended(spawn, status);
            }
            None => self.ready.push_back(Event::DeadlineReached),
        }
        true
    }

    fn now(&self) -> Now {
        let ahead = i64::try_from(self.millis).unwrap_or(i64::MAX);
        let wall = WallTime::from_millis(self.start.as_millis().saturating_add(ahead));
        Now { monotonic: Monotonic::from_millis(self.millis), wall }
    }

    fn tell(&mut self, event: Event) {
        self.told = self.told.saturating_add(1);
        let mut effects = core::mem::take(&mut self.effects);
        self.agent.handle(self.now(), event, &mut effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Process(order) => self.on_process(order),
                Effect::Broker(order) => self.on_broker(order),
                Effect::Store(order) => self.on_store(order),
                Effect::Respond { request, response } => {
                    self.responses.insert(request, response);
                }
                Effect::Http(order) => self.on_http(order),
                Effect::Log(record) => self.on_log(record),
                // Nobody follows a simulation, and nobody counts what it does or collects it; it is of no fleet and has no audit.
                Effect::Stream(_)
                | Effect::Audit(_)
                | Effect::Count(_)
                | Effect::Fleet(_)
                | Effect::Elevation(_)
                | Effect::LogLevel(_)
                | Effect::Telemetry(_)
                | Effect::Exit => {}
            }
        }
        self.effects = effects;
    }

    fn on_log(&mut self, record: LogRecord) {
        if !NOISE.contains(&&*record.category) {
            let LogRecord { timestamp: at, category: kind, component: about, message, .. } = record;
            self.story.steps.push(Step { at, kind, about, message });
        }
    }

    fn step(&mut self, kind: &'static str, about: String, message: String) {
        let at = self.now().wall.to_rfc3339();
        self.story.steps.push(Step { at, kind: Cow::Borrowed(kind), about, message });
    }

    fn report(&mut self, report: ProcessReport) {
        self.ready.push_back(Event::Process(report));
    }

    fn on_process(&mut self, order: ProcessOrder) {
        match order {
            ProcessOrder::Spawn(request) => self.spawn(&request),
            ProcessOrder::Release { spawn, .. } => self.release(spawn),
            ProcessOrder::Abort { spawn, reason } => self.report(ProcessReport::SpawnFailed { spawn, reason }),
            ProcessOrder::Signal { spawn, signal } => {
                let number = if signal == TreeSignal::Kill { SIGKILL } else { SIGTERM };
                self.ended(spawn, ExitStatus::Signal(number));
            }
            ProcessOrder::Collect { spawn } => {
                let written = |bytes: &Vec<u8>| Captured { head: bytes.clone(), ..Captured::default() };
                let output =
                    self.trees.get(&spawn).map(|tree| (written(&tree.fate.stdout), written(&tree.fate.stderr)));
                let (stdout, stderr) = output.unwrap_or_default();
                self.report(ProcessReport::Collected { spawn, stdout, stderr });
            }
            ProcessOrder::Discard { spawn } => {
                self.trees.remove(&spawn);
                self.report(ProcessReport::Discarded { spawn });
            }
            ProcessOrder::Peek { ticket, .. } => {
                let (stdout, stderr) = (Captured::default(), Captured::default());
                self.report(ProcessReport::Peeked { ticket, stdout, stderr });
            }
            ProcessOrder::Inspect { ticket, queries } => {
                let executables = queries.iter().map(program).collect();
                self.report(ProcessReport::Inspected { ticket, executables });
            }
            ProcessOrder::Examine { ticket, peer, .. } => {
                let process = Err(String::from("Nobody connects in a simulation."));
                self.report(ProcessReport::Examined { ticket, found: Box::new(Examination { peer, process }) });
            }
        }
    }

    fn spawn(&mut self, request: &SpawnRequest) {
        let spawn = request.spawn;
        let fate = match self.agent.task_of(spawn) {
            Some((job, task)) => self.assumptions.next(job.as_str(), task),
            None => Fate { end: End::Hangs, stdout: Vec::new(), stderr: Vec::new(), seconds: 0 },
        };
        let executable = program(&request.program);
        let arguments: String = request.arguments.iter().map(|argument| format!(" {argument:?}")).collect();
        let whose =
            if request.user.is_some() { " in the session of user 1000, who is assumed to be there" } else { "" };
        let message = format!("Would run {}{arguments}{whose}.", executable.path);
        self.step("Process", request.owner.to_string(), message);
        if fate.end == End::Missing {
            let reason = format!("{} does not exist.", request.program.candidates.join(", "));
            return self.report(ProcessReport::SpawnFailed { spawn, reason });
        }
        self.trees.insert(spawn, Tree { fate, alive: false });
        let pid = u32::try_from(FIRST_PID.saturating_add(spawn.0)).unwrap_or(u32::MAX);
        self.report(ProcessReport::Prepared {
            spawn,
            pid,
            cgroup: Some(FIRST_CGROUP.saturating_add(spawn.0)),
            executable,
            user: request.user.as_ref().map(|_| Box::new(session::facts())),
        });
    }

    fn release(&mut self, spawn: SpawnId) {
        if let Some(tree) = self.trees.get_mut(&spawn) {
            tree.alive = true;
            if let End::Status(status) = tree.fate.end {
                let at = self.millis.saturating_add(tree.fate.seconds.saturating_mul(1000));
                self.ends.insert((at, spawn.0), (spawn, status));
            }
        }
        self.report(ProcessReport::Started { spawn });
    }

    /// A program ends once; what would have ended it later finds it gone.
    fn ended(&mut self, spawn: SpawnId, status: ExitStatus) {
        if let Some(tree) = self.trees.get_mut(&spawn).filter(|tree| tree.alive) {
            tree.alive = false;
            self.report(ProcessReport::Exited { spawn, status });
        }
    }

    fn on_broker(&mut self, order: BrokerOrder) {
        match order {
            BrokerOrder::Publish { topic, payload, .. } => {
                let published = Published::new(topic, payload);
                if !published.lifecycle {
                    let message = format!("Published on {}: {}", published.topic, published.value());
                    self.step("Publish", "agent".to_string(), message);
                }
                self.story.published.push(published);
            }
            BrokerOrder::AnswerConnect {
                verdict: ConnectVerdict::Accept(_) | ConnectVerdict::Refuse { .. }, ..
            }
            | BrokerOrder::Regrant { .. }
            | BrokerOrder::Revoke { .. }
            | BrokerOrder::RevokeCertificate { .. } => {}
            BrokerOrder::Stop => self.ready.push_back(Event::Broker(BrokerReport::Stopped)),
        }
    }

    pub(super) fn into_story(self) -> Story {
        Story { unused_assumptions: self.assumptions.unused(), ..self.story }
    }
}

/// Everything is where it is looked for first, interpreters where most systems have them.
fn program(query: &ProgramQuery) -> ExecutableFacts {
    let there = |path: Option<&String>, opening| {
        let path = path.cloned().unwrap_or_default();
        ExecutableFacts { path, exists: true, executable: true, opening, ..ExecutableFacts::default() }
    };
    let usual = query.interpreters.iter().find(|path| path.starts_with("/usr/bin/"));
    let interpreter = usual.or(query.interpreters.first()).map(|path| Box::new(there(Some(path), Opening::Binary)));
    let opening = if interpreter.is_some() { Opening::Other } else { Opening::Binary };
    ExecutableFacts { interpreter, ..there(query.candidates.first(), opening) }
}

/// Somebody who is none of the agent's runs, so that the event begins a chain.
fn outside() -> Option<Subject> {
    let plugin = PluginId::parse("Simulation").ok()?;
    let client_id = "Simulation_1".to_string();
    Some(Subject { component: Component::Plugin(plugin), run: None, spawn: SpawnId(0), pid: 1, client_id })
}
