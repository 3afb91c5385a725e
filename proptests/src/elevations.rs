//! Requests for more privileges in a world of faults: crashes at every write, lost and doubled messages, clocks that jump, people and
//! jobs that lie. A ledger knows what is true, and every launch is held against it.
//!
//! | name | what must hold |
//! | --- | --- |
//! | `authorized` | no program is asked for without a decision of KeeperPolicy's present process, and a fact for each control of it |
//! | `durable-first` | none before the disk has it as `Launching` and the audit has its entry |
//! | `once` | no request launches twice, over any number of lives; none after it was denied, expired or withdrawn |
//! | `redirected` | what a rule of redirection is about launches as its substitute alone, and nothing else does |
//! | `answered-once` | no caller is answered twice; whoever stays is answered |
//! | `grant-end` | no grant is listed after its end or its revocation, and no launch is decided on that rests on one |
//! | `own` | what somebody wishes about his own changes and shows nothing of another's; what its user withdrew never launches |
//! | `deadline` | the next deadline lies ahead |

mod ledger;

use std::collections::VecDeque;

use castellan_core::acl::Subject;
use castellan_core::agent::Agent;
use castellan_core::api::CertificateFacts;
use castellan_core::certificate::AdminCertificate;
use castellan_core::config::Settings;
use castellan_core::effect::{
    AuditOrder, BrokerOrder, ConnectVerdict, Effect, Effects, ElevationAnswer, ElevationOrder, LostOrder, Owner,
    ProcessOrder, ProgramQuery, Stdio, StoreOrder,
};
use castellan_core::elevation::{Asked, CallerId, ElevationRecord, OwnWish, Peer};
use castellan_core::event::{
    BrokerReport, Captured, DefinitionFile, DefinitionKind, ElevationReport, Endpoints, Event, ExecutableFacts,
    ExitStatus, FileIdentity, Loaded, Opening, ProcessReport, Reply, StoreReport,
};
use castellan_core::id::{ConnectionId, RunId, SpawnId, TicketId};
use castellan_core::mfa::{MfaOrder, MfaReport, Secret, Verdict};
use castellan_core::surroundings::Surroundings;
use castellan_core::time::{Monotonic, Now, WallTime};
use castellan_core::user::Account;
use serde_json::{Value, json};

use crate::agents::{facts, request_of_an_administrator, surroundings_of};
use crate::sim::dice::Dice;
use ledger::Ledger;

/// The jobs of elevation, in the documented language: one that asks for all controls, then launches; one that launches.
const JOBS: [(&str, &str); 3] = [
    (
        "controls",
        r#"{"id":"controls","events":["PolicyEvaluationPending"],"overlap":"parallel","tasks":[
        {"id":"m","executionType":"Http","method":"POST","url":"{KeeperApiBaseUrl}/api/elevation/{RequestId}/controls/MFA"},
        {"id":"j","executionType":"Http","method":"POST","url":"{KeeperApiBaseUrl}/api/elevation/{RequestId}/controls/JUSTIFY"},
        {"id":"a","executionType":"Http","method":"POST","timeoutSeconds":40000,
         "url":"{KeeperApiBaseUrl}/api/elevation/{RequestId}/controls/APPROVAL"},
        {"id":"f","command":"fire-event",
         "arguments":"--event LaunchPrivilegeElevation --context '{{\"RequestId\":\"{RequestId}\"}}'"}]}"#,
    ),
    (
        "launch",
        r#"{"id":"launch","events":["LaunchPrivilegeElevation"],"overlap":"parallel","tasks":[
        {"id":"s","executionType":"Http","method":"POST","url":"{KeeperApiBaseUrl}/api/elevation/{RequestId}/launch-substitute",
         "onSuccess":"stop","onFailure":"l"},
        {"id":"l","executionType":"Http","method":"POST","url":"{KeeperApiBaseUrl}/api/elevation/{RequestId}/launch"}]}"#,
    ),
    (
        "liar",
        r#"{"id":"liar","overlap":"parallel","parameters":[{"name":"r","type":"string"}],"tasks":[{"id":"l","executionType":"Http",
        "method":"POST","url":"{KeeperApiBaseUrl}/api/elevation/{r}/launch","continueOnFailure":true},{"id":"s","executionType":"Http",
        "method":"POST","url":"{KeeperApiBaseUrl}/api/elevation/{r}/launch-substitute"}]}"#,
    ),
];
const POLICY: &str = r#"{"id":"KeeperPolicy","pluginType":"Executable","executablePath":"bin/p","supportedPlatforms":["Linux"],
    "Subscription":{"Topic":"KeeperPolicy"},"metadata":{"mqttTopics":{"publish":["KeeperPolicy/answers","EventMessages"],"subscribe":[]}},
    "autoStart":true}"#;
/// Has something else run where the argument is -1; on in about every other life of the agent.
const REDIRECT: &str = r#"{"id":"RedirectEvaluator","pluginType":"Executable","executablePath":"bin/r","supportedPlatforms":["Linux"],
    "Subscription":{"Topic":"RedirectEvaluator"},"metadata":{"mqttTopics":{"publish":[],"subscribe":[]},
    "redirect":{"enabled":ON,"rules":[{"commandLinePattern":"-1$","targetExe":"/bin/other"}]}}}"#;
/// Administrators by their certificates; the last one is also the requester.
const ADMINISTRATORS: [(&str, &str); 3] = [("ad", "bob"), ("be", "carol"), ("ce", "alice")];
/// The one code that is right.
const RIGHT: &str = "123456";
/// Milliseconds of a day.
const DAY: u64 = 24 * 3600 * 1000;

/// What happened in a world, so that a law is not about nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests.
    pub requests: usize,
    /// Programs that were asked for.
    pub launches: usize,
    /// Those of them that needed a code.
    pub identified: usize,
    /// Those of them that rested on a grant.
    pub reused: usize,
    /// Those of them that ran something else than was asked for.
    pub substituted: usize,
    /// Lives of the agent.
    pub lives: u64,
    /// Callers that were denied.
    pub denied: usize,
    /// Requests that their user withdrew from another connection.
    pub withdrawn: usize,
}

impl Tally {
    /// Adds that of another world.
    pub fn add(&mut self, other: &Self) {
        let Self { requests, launches, identified, reused, substituted, lives, denied, withdrawn } = other;
        let counts = [
            (&mut self.requests, requests),
            (&mut self.launches, launches),
            (&mut self.identified, identified),
            (&mut self.reused, reused),
            (&mut self.substituted, substituted),
            (&mut self.denied, denied),
            (&mut self.withdrawn, withdrawn),
        ];
        for (sum, more) in counts {
            *sum = sum.saturating_add(*more);
        }
        self.lives = self.lives.saturating_add(*lives);
    }
}

/// Plays one seed; the first law that does not hold, with its step and what plays it again.
///
/// # Errors
/// That law, in a sentence.
pub fn play(seed: u64, steps: u64) -> Result<Tally, String> {
    let mut world = World::new(seed);
    world.begin();
    let broken =
        |at: &str, law: String| format!("seed {seed}, {at}: {law}; replay: cargo sim --seed {seed} --steps {steps}");
    for step in 0..steps {
        world.step();
        world.ledger.verdict().map_err(|law| broken(&format!("step {step}"), law))?;
    }
    world.settle();
    world.ledger.verdict().map_err(|law| broken("at the end", law))?;
    Ok(Tally { lives: world.boot, ..world.ledger.tally })
}

struct World {
    dice: Dice,
    agent: Agent,
    now: u64,
    /// What the wall clock is wrong by.
    skew: i64,
    boot: u64,
    callers: u64,
    calls: u64,
    policy: Option<Subject>,
    /// Reports that are on their way; the first may come twice.
    reports: VecDeque<Event>,
    disk: VecDeque<StoreOrder>,
    audits: VecDeque<TicketId>,
    /// Codes that wait to be judged, and whether they are right.
    codes: VecDeque<(TicketId, bool)>,
    prompts: Vec<(CallerId, u32)>,
    questions: Vec<Value>,
    ledger: Ledger,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed),
            agent: agent(0, now(0, 0)),
            now: 0,
            skew: 0,
            boot: 0,
            callers: 0,
            calls: 0,
            policy: None,
            reports: VecDeque::new(),
            disk: VecDeque::new(),
            audits: VecDeque::new(),
            codes: VecDeque::new(),
            prompts: Vec::new(),
            questions: Vec::new(),
            ledger: Ledger::default(),
        }
    }

    /// A life of the agent; what was not on disk is forgotten with the one before.
    fn begin(&mut self) {
        self.boot = self.boot.saturating_add(1);
        self.agent = agent(self.boot, self.clock());
        (self.policy, self.questions, self.prompts) = (None, Vec::new(), Vec::new());
        self.reports.clear();
        self.disk.clear();
        self.audits.clear();
        self.codes.clear();
        let with_machine = self.dice.percent(50);
        self.ledger.crash(with_machine);
        let jobs = JOBS.map(|(id, document)| definition(DefinitionKind::Job, id, document));
        let policy = definition(DefinitionKind::Plugin, "KeeperPolicy", POLICY);
        self.ledger.redirects = self.dice.percent(50);
        let redirect = REDIRECT.replace("ON", &self.ledger.redirects.to_string());
        let redirect = definition(DefinitionKind::Plugin, "RedirectEvaluator", &redirect);
        let definitions = jobs.into_iter().chain([policy, redirect]).collect();
        let elevations: Vec<ElevationRecord> = self.ledger.on_disk();
        self.tell(Event::Loaded(Loaded { definitions, elevations, ..Loaded::default() }));
        self.tell(Event::Opened(Endpoints { http: 6888, https: 6889, mqtt: 8675 }));
        self.deliver_all();
        let (connection, peer) = (ConnectionId(self.boot), facts(1001, Some(1001)));
        let client_id = String::from("KeeperPolicy_1001");
        self.tell(Event::Broker(BrokerReport::ConnectAsked { connection, client_id, peer, certificate: None }));
        if let Some(subject) = self.policy.clone() {
            self.tell(Event::Broker(BrokerReport::Connected { subject }));
        }
    }

    fn clock(&self) -> Now {
        now(self.now, self.skew)
    }

    fn tell(&mut self, event: Event) {
        let mut effects = Effects::new();
        let at = self.clock();
        self.agent.handle(at, event, &mut effects);
        for effect in effects {
            self.perform(effect);
        }
        if let Some(deadline) = self.agent.next_deadline(at).filter(|deadline| deadline.at <= at.monotonic) {
            self.ledger.broken(format!("deadline: {deadline:?} lies behind"));
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Process(order) => self.on_process(order),
            Effect::Store(StoreOrder::PersistRun { ticket, record, .. }) => {
                let run = RunId::from_text(&record.run_id).unwrap_or_else(|| RunId::new(0, 0));
                self.reports.push_back(Event::Store(StoreReport::RunPersisted { ticket, run, result: Ok(()) }));
            }
            Effect::Store(StoreOrder::Mfa { ticket, order: MfaOrder::Check { code, .. }, .. }) => {
                self.codes.push_back((ticket, code.expose() == RIGHT));
            }
            Effect::Store(order @ StoreOrder::KeepElevation { .. }) => {
                if self.dice.percent(3) {
                    let order = LostOrder::of(&Effect::Store(order));
                    return self.reports.push_back(Event::Lost { order, why: String::from("full") });
                }
                self.disk.push_back(order);
            }
            Effect::Audit(AuditOrder::Append { ticket, entry }) => {
                self.ledger.on_entry(ticket, &entry, self.clock());
                self.audits.extend(ticket);
            }
            Effect::Elevation(ElevationOrder::Prompt { caller, prompt, .. }) => self.prompts.push((caller, prompt)),
            Effect::Elevation(ElevationOrder::Answer { caller, answer }) => {
                self.ledger.on_own_answer(caller, &answer);
                self.ledger.on_answer(caller, matches!(answer, ElevationAnswer::Denied { .. }));
            }
            Effect::Broker(BrokerOrder::Publish { topic, payload, .. }) if topic == "KeeperPolicy" => {
                self.questions.extend(serde_json::from_slice::<Value>(&payload));
            }
            Effect::Broker(BrokerOrder::AnswerConnect { verdict: ConnectVerdict::Accept(grant), .. }) => {
                self.policy = Some(grant.subject.clone());
            }
            Effect::Store(_)
            | Effect::Respond { .. }
            | Effect::Broker(_)
            | Effect::Elevation(_)
            | Effect::Http(_)
            | Effect::Fleet(_)
            | Effect::Stream(_)
            | Effect::Log(_)
            | Effect::LogLevel(_)
            | Effect::Count(_)
            | Effect::Telemetry(_)
            | Effect::Exit => {}
        }
    }

    fn on_process(&mut self, order: ProcessOrder) {
        let report = match order {
            ProcessOrder::Inspect { ticket, queries } => {
                let found = |query: &ProgramQuery| {
                    let is_other = query.candidates.iter().any(|path| path == "/bin/other");
                    program(if is_other { "/bin/other" } else { "/bin/id" }, 1)
                };
                ProcessReport::Inspected { ticket, executables: queries.iter().map(found).collect() }
            }
            ProcessOrder::Spawn(request) => {
                let spawn = request.spawn;
                if let Owner::Elevation(id) = &request.owner {
                    self.ledger.on_launch(id.as_str(), request.stdio == Stdio::Captured);
                }
                let is_policy = matches!(request.owner, Owner::Component(_));
                if !is_policy && self.dice.percent(10) {
                    ProcessReport::SpawnFailed { spawn, reason: String::from("no such file.") }
                } else {
                    let changed = if !is_policy && self.dice.percent(10) { 2 } else { 1 };
                    let cgroup = spawn.0.saturating_add(1000);
                    let (pid, cgroup) = (u32::try_from(cgroup).unwrap_or(u32::MAX), Some(cgroup));
                    let path = request.program.candidates.first().map_or("", String::as_str);
                    let executable = program(path, changed);
                    ProcessReport::Prepared { spawn, pid, cgroup, executable, user: None }
                }
            }
            ProcessOrder::Release { spawn, .. } => ProcessReport::Started { spawn },
            ProcessOrder::Abort { spawn, reason } => ProcessReport::SpawnFailed { spawn, reason },
            ProcessOrder::Signal { spawn, .. } => ProcessReport::Exited { spawn, status: ExitStatus::Signal(15) },
            ProcessOrder::Collect { spawn } => {
                let (stdout, stderr) = (Captured::default(), Captured::default());
                ProcessReport::Collected { spawn, stdout, stderr }
            }
            ProcessOrder::Discard { spawn } => ProcessReport::Discarded { spawn },
            ProcessOrder::Peek { .. } | ProcessOrder::Examine { .. } | ProcessOrder::WatchSessions => return,
        };
        if let ProcessReport::Started { spawn } = &report {
            self.ledger.running.push(*spawn);
        }
        self.reports.push_back(Event::Process(report));
    }
}

fn agent(boot: u64, started: Now) -> Agent {
    let certificates = ADMINISTRATORS.map(|(sha256, name)| AdminCertificate::without_end(sha256, name)).to_vec();
    let surroundings = Surroundings { admin_certificates: certificates, ..surroundings_of(boot, started) };
    Agent::new(Settings::default(), surroundings)
}

fn now(millis: u64, skew: i64) -> Now {
    let wall = 1_700_000_000_000_i64.saturating_add_unsigned(millis).saturating_add(skew);
    Now { monotonic: Monotonic::from_millis(millis), wall: WallTime::from_millis(wall) }
}

fn definition(kind: DefinitionKind, stem: &str, document: &str) -> DefinitionFile {
    DefinitionFile { kind, stem: stem.to_owned(), content: Ok(document.as_bytes().into()) }
}

fn program(path: &str, changed: i64) -> ExecutableFacts {
    ExecutableFacts {
        path: path.to_owned(),
        resolved: path.to_owned(),
        exists: true,
        executable: true,
        identity: Some(FileIdentity { device: 1, inode: 1, changed: (changed, 0) }),
        opening: Opening::Binary,
        ..ExecutableFacts::default()
    }
}

mod steps;
