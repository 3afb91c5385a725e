//! A world around the agent: a clock, a disk that answers when told, processes that live as told. It checks after each event
//! what must always hold: requests are answered once, no deadline lies behind, nothing follows `Exit`, nothing is released
//! that was not prepared.

pub mod elevation;
mod store;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use castellan_core::acl::{Grant, Subject};
use castellan_core::agent::Agent;
use castellan_core::api::{ApiRequest, ApiResponse, CertificateFacts, Listener};
use castellan_core::broker::message::Packet;
use castellan_core::certificate::{AdminCertificate, CertificateChange, CertificatesChanged, NotChanged, Revocation};
use castellan_core::config::Settings;
use castellan_core::configuration_policy::{
    AppliedPolicy, PolicyChange, PolicyContent, PolicyDocument, PolicyFile, PolicyKey,
};
use castellan_core::effect::{
    AuditOrder, BrokerOrder, ConnectVerdict, Effect, HttpCall, HttpOrder, ProcessOrder, ProgramQuery, SpawnRequest,
    StoreOrder, StreamOrder, TelemetryOrder,
};
use castellan_core::elevation::ElevationRecord;
use castellan_core::event::{
    BrokerReport, Captured, DefinitionFile, DefinitionKind, Endpoints, Event, ExecutableFacts, ExitStatus, Loaded,
    Opening, ProcessReport, StoreReport,
};
use castellan_core::fleet::{KeptBundle, Offer};
use castellan_core::id::{ConnectionId, RequestId, RunId, SpawnId};
use castellan_core::job::OperatingSystem;
use castellan_core::lkg::{Checked, DefinitionChange, Item, NotWritten, Reference, References, Survey};
use castellan_core::log_message::{Level, LogRecord};
use castellan_core::plugin::storage::{SettingChange, StoredSetting};
use castellan_core::resources::KeptLimits;
use castellan_core::run::history::{JobPast, RunQuery, RunRecord};
use castellan_core::schedule::past::Note;
use castellan_core::surroundings::Surroundings;
use castellan_core::time::{Monotonic, Now, WallTime};
use castellan_core::trust::signature::{ImageFacts, SignatureFacts, SignatureFile};
use castellan_core::trust::{PeerFacts, ProcessFacts, SocketFacts};
use serde_json::Value;

pub const ENDPOINTS: Endpoints = Endpoints { http: 80, https: 443, mqtt: 8883 };
pub const ADMIN: &str = "ad";

pub struct World {
    pub agent: Agent,
    pub millis: u64,
    pub transcript: Vec<String>,
    pub logs: Vec<LogRecord>,
    /// The level that the log was told last.
    pub log_level: Option<Level>,
    /// What the collector of telemetry is told.
    pub telemetry: Vec<TelemetryOrder>,
    /// The audit.
    pub audited: Vec<Value>,
    pub spawns: BTreeMap<SpawnId, SpawnRequest>,
    pub responses: BTreeMap<RequestId, ApiResponse>,
    /// What was sent on open responses after their beginning; `None` once it was ended.
    pub streams: BTreeMap<RequestId, Option<String>>,
    pub grants: BTreeMap<ConnectionId, Grant>,
    pub published: Vec<(String, Value)>,
    pub files: BTreeMap<(DefinitionKind, String), Vec<u8>>,
    pub history: BTreeMap<String, RunRecord>,
    /// The unified storage, by plugin and key in lower case.
    pub settings: BTreeMap<(String, String), StoredSetting>,
    /// `Policies/`.
    pub policies: Vec<PolicyFile>,
    /// Policies that were applied.
    pub applied: BTreeMap<PolicyKey, AppliedPolicy>,
    /// The bundle of policies that is kept.
    pub kept_bundle: Option<KeptBundle>,
    /// Orders to the disk that are not answered yet.
    pub disk: VecDeque<StoreOrder>,
    /// Questions about executables that are not answered yet.
    pub looks: VecDeque<ProcessOrder>,
    /// Why processes were aborted.
    pub aborts: Vec<String>,
    /// What is on record besides runs.
    pub notes: Vec<Note>,
    /// Admin certificates on disk.
    pub certificates: Vec<AdminCertificate>,
    /// Requests of Http tasks to others.
    pub calls: Vec<HttpCall>,
    /// The request socket and the audit.
    pub socket: elevation::Socket,
    asked: BTreeSet<RequestId>,
    prepared: BTreeSet<SpawnId>,
    pub exited: bool,
}

pub fn surroundings() -> Surroundings {
    Surroundings {
        agent_root: "/agent".into(),
        plugin_root: "/agent/Plugins".into(),
        here: OperatingSystem::Linux,
        boot: 7,
        started: now(0),
        host_name: String::from("machine"),
        version: "1.0.0".into(),
        environment: vec![("PATH".into(), "/usr/bin".into())],
        uid: 0,
        time_zone: String::from("UTC"),
        user_name: String::from("root"),
        has_desktop: false,
        path_variables: BTreeMap::new(),
        admin_certificates: vec![AdminCertificate::without_end(ADMIN, "client")],
        kept_limits: KeptLimits::ALL,
        endpoints: None,
    }
}

fn now(millis: u64) -> Now {
    let wall = WallTime::from_millis(1_700_000_000_000 + i64::try_from(millis).unwrap());
    Now { monotonic: Monotonic::from_millis(millis), wall }
}

/// `Jobs/a` or `Plugins/b`.
pub fn item(path: &str) -> Item {
    let (folder, id) = path.split_once('/').unwrap();
    Item::new(if folder == "Jobs" { DefinitionKind::Job } else { DefinitionKind::Plugin }, id)
}

/// A policy as a disk would tell of it, not signed; its digest is told by its bytes.
pub fn policy(name: &str, document: &[u8]) -> PolicyFile {
    let image = ImageFacts {
        path: format!("Policies/{name}.json"),
        is_regular: true,
        is_deleted: false,
        is_binary: false,
        bytes: document.len() as u64,
    };
    let signature = SignatureFacts { image, file: SignatureFile::Missing(format!("{name}.json.p7s")), uid: None };
    let content = PolicyContent {
        document: document.into(),
        sha256: castellan_core::hexadecimal(document),
        signature: Some(signature),
        owner: Some(0),
    };
    PolicyFile { name: name.into(), content: Ok(content) }
}

/// A file that may be run.
pub fn program(path: &str) -> ExecutableFacts {
    ExecutableFacts {
        path: path.into(),
        exists: true,
        executable: true,
        opening: Opening::Binary,
        ..ExecutableFacts::default()
    }
}

/// The peer of a connection of a process in a cgroup, with the process id that the client claims.
pub fn peer(cgroup: u64, pid: u32) -> PeerFacts {
    let socket = SocketFacts {
        peer: "127.0.0.1:5000".parse().unwrap(),
        local: "127.0.0.1:8883".parse().unwrap(),
        established: true,
        inode: 1,
        uid: 0,
        cookie: 1,
        cgroup: Some(cgroup),
    };
    let process = ProcessFacts { pid, session: pid, uid: 0, cgroup: Some(cgroup), holds_socket: true, alive: true };
    PeerFacts {
        at_accept: Some(socket.clone()),
        claimed_pid: Some(pid),
        claimed: Some(process),
        holder: None,
        claimed_executable: None,
        at_decision: Some(socket),
        own_end_established: true,
        own_cookie: 2,
    }
}

/// Process id and cgroup of a spawn in this world.
pub fn ids(spawn: u64) -> (u32, u64) {
    (1000 + u32::try_from(spawn).unwrap(), 5000 + spawn)
}

impl World {
    /// An agent that has read these files (`Jobs/a` or `Plugins/b`) but has no listeners yet.
    pub fn loaded(settings: &str, files: &[(&str, &str)], unfinished: Vec<RunRecord>) -> Self {
        Self::loaded_after(settings, files, unfinished, vec![])
    }

    /// The same with a history.
    pub fn loaded_after(
        settings: &str,
        files: &[(&str, &str)],
        unfinished: Vec<RunRecord>,
        past: Vec<JobPast>,
    ) -> Self {
        let mut world = Self::made(settings, surroundings());
        for (path, document) in files {
            world.put(path, document);
        }
        let definitions = world.definitions();
        world.tell(Event::Loaded(Loaded { definitions, unfinished, past, ..Loaded::default() }));
        world
    }

    /// An agent at work with these certificates.
    pub fn certified(admin_certificates: Vec<AdminCertificate>) -> Self {
        let mut world = Self::made("{}", Surroundings { admin_certificates, ..surroundings() });
        world.tell(Event::Loaded(Loaded::default()));
        world.tell(Event::Opened(ENDPOINTS));
        world
    }

    /// An agent that has read these files on a machine that keeps these limits.
    pub fn keeping(kept_limits: KeptLimits, files: &[(&str, &str)]) -> Self {
        let mut world = Self::made("{}", Surroundings { kept_limits, ..surroundings() });
        files.iter().for_each(|(path, document)| world.put(path, document));
        let definitions = world.definitions();
        world.tell(Event::Loaded(Loaded { definitions, ..Loaded::default() }));
        world
    }

    /// An agent at work whose references have these items, each at version 1 or with the reason why it proves nothing.
    pub fn blessed(settings: &str, items: &[(&str, Result<&str, &str>)]) -> Self {
        let reference = |(path, content): &(&str, Result<&str, &str>)| Reference {
            item: item(path),
            version: 1,
            content: content.map(|document| Some(document.as_bytes().into())).map_err(String::from),
        };
        let references = References::Kept {
            counter: items.len() as u64,
            key_id: String::from("00aa"),
            items: items.iter().map(reference).collect(),
            was_off: false,
        };
        Self::referring(settings, references)
    }

    /// An agent at work that found these references and no file.
    pub fn referring(settings: &str, references: References) -> Self {
        let mut world = Self::made(settings, surroundings());
        world.tell(Event::Loaded(Loaded { references, ..Loaded::default() }));
        world.tell(Event::Opened(ENDPOINTS));
        world.disk();
        world.transcript.clear();
        world
    }

    fn made(settings: &str, surroundings: Surroundings) -> Self {
        let (settings, _) = Settings::parse(Some(settings.as_bytes())).unwrap();
        let certificates = surroundings.admin_certificates.clone();
        Self {
            agent: Agent::new(settings, surroundings),
            millis: 0,
            transcript: vec![],
            logs: vec![],
            log_level: None,
            audited: vec![],
            telemetry: vec![],
            spawns: BTreeMap::new(),
            responses: BTreeMap::new(),
            streams: BTreeMap::new(),
            grants: BTreeMap::new(),
            published: vec![],
            files: BTreeMap::new(),
            history: BTreeMap::new(),
            settings: BTreeMap::new(),
            policies: vec![],
            applied: BTreeMap::new(),
            kept_bundle: None,
            disk: VecDeque::new(),
            looks: VecDeque::new(),
            aborts: Vec::new(),
            notes: Vec::new(),
            certificates,
            calls: vec![],
            socket: elevation::Socket::default(),
            asked: BTreeSet::new(),
            prepared: BTreeSet::new(),
            exited: false,
        }
    }

    /// The next life of the agent, with the files and settings that are on disk.
    pub fn reborn(&self) -> Self {
        self.reborn_with("{}")
    }

    /// The same with this appsettings.json.
    pub fn reborn_with(&self, settings: &str) -> Self {
        let mut world = Self::made(settings, surroundings());
        (world.files, world.settings) = (self.files.clone(), self.settings.clone());
        (world.policies, world.applied) = (self.policies.clone(), self.applied.clone());
        world.socket.records = self.socket.records.clone();
        // What is over and good for nothing stays where it is.
        let is_needed =
            |record: &&ElevationRecord| record.needed_until().is_none_or(|until| until > surroundings().started.wall);
        let elevations = world.socket.records.values().filter(is_needed).cloned().collect();
        let (definitions, settings) = (world.definitions(), world.settings.values().cloned().collect());
        let (policies, applied_policies) = (world.policies.clone(), world.applied.values().cloned().collect());
        let loaded = Loaded { definitions, settings, policies, applied_policies, elevations, ..Loaded::default() };
        world.tell(Event::Loaded(loaded));
        world.tell(Event::Opened(ENDPOINTS));
        world.transcript.clear();
        world
    }

    /// An agent at work, everything before that forgotten.
    pub fn new(files: &[(&str, &str)]) -> Self {
        Self::with("{}", files)
    }

    pub fn with(settings: &str, files: &[(&str, &str)]) -> Self {
        let mut world = Self::loaded(settings, files, vec![]);
        world.tell(Event::Opened(ENDPOINTS));
        world.transcript.clear();
        world
    }

    /// Changes a file behind the agent's back.
    pub fn put(&mut self, path: &str, document: &str) {
        let Item { kind, id } = item(path);
        self.files.insert((kind, id), document.as_bytes().to_vec());
    }

    fn definitions(&self) -> Vec<DefinitionFile> {
        let file = |((kind, stem), document): (&(DefinitionKind, String), &Vec<u8>)| DefinitionFile {
            kind: *kind,
            stem: stem.clone(),
            content: Ok(document.as_slice().into()),
        };
        self.files.iter().map(file).collect()
    }

    pub fn tell(&mut self, event: Event) {
        if let Event::Process(ProcessReport::Prepared { spawn, .. }) = &event {
            self.prepared.insert(*spawn);
        }
        if let Event::Api(request) = &event {
            assert!(self.asked.insert(request.id), "a request number is used once");
        }
        let mut effects = Vec::new();
        self.agent.handle(now(self.millis), event, &mut effects);
        for effect in effects {
            assert!(!self.exited, "{effect:?} follows Exit");
            self.take(effect);
        }
        if let Some(deadline) = self.agent.next_deadline(now(self.millis)) {
            assert!(
                deadline.at > now(self.millis).monotonic,
                "the deadline lies behind: {deadline:?} at {}",
                self.millis
            );
        }
    }

    /// A source hands a bundle over.
    pub fn bundle(&mut self, source: &str, policies: Vec<PolicyFile>) {
        let mut effects = Vec::new();
        let offer = Offer { policies, signer: None, keep: None };
        self.agent.apply_policies(now(self.millis), source, offer, &mut effects).unwrap();
        for effect in effects {
            self.take(effect);
        }
    }

    fn take(&mut self, effect: Effect) {
        let line = match effect {
            Effect::Process(order) => self.take_process(order),
            Effect::Broker(order) => self.take_broker(order),
            Effect::Store(StoreOrder::Note(note)) => return self.notes.push(note),
            Effect::Store(order) => self.take_store(order),
            Effect::Http(HttpOrder::Send(call)) => {
                let line = format!("send {} {} {}", call.ticket, call.method, call.url.target);
                self.calls.push(call);
                line
            }
            Effect::Http(HttpOrder::Cancel { ticket }) => format!("cancel {ticket}"),
            Effect::Respond { request, response } => {
                assert!(self.asked.contains(&request), "{request} was never asked");
                let line = format!("{request}: {}", response.status);
                let former = self.responses.insert(request, response);
                assert!(former.is_none(), "request {request} is answered twice");
                line
            }
            Effect::Stream(order) => self.take_stream(order),
            Effect::LogLevel(level) => {
                self.log_level = Some(level);
                return;
            }
            Effect::Log(record) => {
                assert!(!record.message.contains('\n'), "{record:?}");
                // Most worlds begin without references; a story about that looks at the logs.
                let counts = record.level >= Level::Warning && record.category != "LkgOff";
                let line = counts.then(|| format!("!{}", record.category));
                self.logs.push(record);
                let Some(line) = line else { return };
                line
            }
            Effect::Telemetry(order) => return self.telemetry.push(order),
            Effect::Audit(AuditOrder::Append { ticket, entry }) => {
                assert!(ticket.is_none() || entry.request.is_some(), "nobody waits for this: {entry:?}");
                self.socket.audits.extend(ticket);
                let entry = serde_json::to_value(entry).unwrap();
                let line = format!("audit {} {}", entry["who"], entry["kind"]).replace('"', "");
                self.audited.push(entry);
                line
            }
            Effect::Fleet(order) => format!("policy source: {order:?}"),
            Effect::Elevation(order) => self.take_elevation(order),
            Effect::Count(ticket) => format!("count {ticket}"),
            Effect::Exit => {
                self.exited = true;
                "Exit".into()
            }
        };
        self.transcript.push(line);
    }

    fn take_stream(&mut self, order: StreamOrder) -> String {
        match order {
            StreamOrder::Open { request, response } => {
                let former = self.responses.insert(request, response);
                assert!(former.is_none() && self.asked.contains(&request), "request {request} is answered twice");
                self.streams.insert(request, Some(String::new()));
                format!("open {request}")
            }
            StreamOrder::Append { request, bytes } => {
                let Some(Some(sent)) = self.streams.get_mut(&request) else { panic!("no stream {request} is open") };
                sent.push_str(std::str::from_utf8(&bytes).unwrap());
                format!("append {request}")
            }
            StreamOrder::Finish { request } => {
                let former = self.streams.insert(request, None);
                assert!(matches!(former, Some(Some(_))), "no stream {request} is open");
                format!("finish {request}")
            }
        }
    }

    fn take_process(&mut self, order: ProcessOrder) -> String {
        match order {
            ProcessOrder::Spawn(request) => {
                let line = format!("spawn {} {}", request.spawn, request.owner);
                self.spawns.insert(request.spawn, request);
                line
            }
            ProcessOrder::Release { spawn, .. } => {
                assert!(self.prepared.contains(&spawn), "{spawn} is released but was never prepared");
                format!("release {spawn}")
            }
            ProcessOrder::Abort { spawn, reason } => {
                self.aborts.push(reason);
                format!("abort {spawn}")
            }
            ProcessOrder::Signal { spawn, signal } => format!("{signal:?} {spawn}"),
            ProcessOrder::Collect { spawn } => format!("collect {spawn}"),
            ProcessOrder::Discard { spawn } => format!("discard {spawn}"),
            order @ ProcessOrder::Peek { .. } => {
                self.looks.push_back(order);
                "peek".into()
            }
            order @ ProcessOrder::Inspect { .. } => {
                self.looks.push_back(order);
                "inspect".into()
            }
            order @ ProcessOrder::Examine { .. } => {
                self.looks.push_back(order);
                "examine".into()
            }
            ProcessOrder::WatchSessions => "watch sessions".into(),
        }
    }

    fn take_broker(&mut self, order: BrokerOrder) -> String {
        match order {
            BrokerOrder::AnswerConnect { connection, verdict: ConnectVerdict::Accept(grant) } => {
                let grant = (*grant).clone();
                let line = match (&grant.withheld, grant.publish.len(), grant.subscribe.len()) {
                    (Some(_), 0, 0) => format!("accept {connection}, withheld"),
                    (_, publish, subscribe) => format!("accept {connection} +{publish} -{subscribe}"),
                };
                self.grants.insert(connection, grant);
                line
            }
            BrokerOrder::AnswerConnect { connection, verdict: ConnectVerdict::Refuse { reason, explanation } } => {
                assert!(!explanation.fix.is_empty());
                format!("refuse {connection} {reason:?}")
            }
            BrokerOrder::Publish { topic, payload, .. } => {
                let payload: Value = serde_json::from_slice(&payload).unwrap_or_default();
                let line = format!("publish {topic} {}", payload["event"].as_str().unwrap_or_default());
                self.published.push((topic, payload));
                line
            }
            BrokerOrder::Regrant { component, publish, subscribe, .. } => {
                format!("regrant {component} +{} -{}", publish.len(), subscribe.len())
            }
            BrokerOrder::Revoke { spawn } => format!("revoke {spawn}"),
            BrokerOrder::RevokeCertificate { sha256 } => format!("revoke certificate {sha256}"),
            BrokerOrder::Stop => "stop broker".into(),
        }
    }

    /// The lines since the last look.
    #[track_caller]
    pub fn expect(&mut self, expected: &[&str]) {
        let found = std::mem::take(&mut self.transcript);
        assert_eq!(
            found,
            expected,
            "\n{}",
            found.iter().map(|line| format!("\"{line}\",")).collect::<Vec<_>>().join("\n")
        );
    }

    /// Every program that is asked for is there, except where `missing` says so.
    pub fn look(&mut self, missing: &str) {
        let Some(ProcessOrder::Inspect { ticket, queries }) = self.looks.pop_front() else { panic!("nobody asked") };
        let facts = |query: &ProgramQuery| {
            let exists = missing.is_empty() || !query.candidates[0].contains(missing);
            ExecutableFacts { exists, ..program(&query.candidates[0]) }
        };
        let executables = queries.iter().map(facts).collect();
        self.tell(Event::Process(ProcessReport::Inspected { ticket, executables }));
    }

    pub fn process(&mut self, report: ProcessReport) {
        self.tell(Event::Process(report));
    }

    pub fn prepared(&mut self, spawn: u64) {
        let (pid, cgroup) = ids(spawn);
        let path = self.spawns[&SpawnId(spawn)].program.candidates[0].clone();
        let executable = program(&path);
        self.process(ProcessReport::Prepared {
            spawn: SpawnId(spawn),
            pid,
            cgroup: Some(cgroup),
            executable,
            user: None,
        });
    }

    pub fn started(&mut self, spawn: u64) {
        self.prepared(spawn);
        self.process(ProcessReport::Started { spawn: SpawnId(spawn) });
    }

    pub fn exit(&mut self, spawn: u64, status: ExitStatus) {
        self.process(ProcessReport::Exited { spawn: SpawnId(spawn), status });
    }

    pub fn collected(&mut self, spawn: u64, stdout: &str) {
        let stdout = Captured { head: stdout.as_bytes().to_vec(), ..Captured::default() };
        self.process(ProcessReport::Collected { spawn: SpawnId(spawn), stdout, stderr: Captured::default() });
    }

    pub fn discarded(&mut self, spawn: u64) {
        self.process(ProcessReport::Discarded { spawn: SpawnId(spawn) });
    }

    pub fn spawn_failed(&mut self, spawn: u64) {
        self.process(ProcessReport::SpawnFailed { spawn: SpawnId(spawn), reason: "it could not be made.".into() });
    }

    /// A process that exits well, from its preparation to its last trace, with everything on disk.
    pub fn lives(&mut self, spawn: u64, stdout: &str) {
        self.started(spawn);
        self.exit(spawn, ExitStatus::Code(0));
        self.collected(spawn, stdout);
        self.discarded(spawn);
        self.disk();
    }

    /// Time passes; every deadline on the way is reached.
    pub fn wait(&mut self, millis: u64) {
        let end = self.millis + millis;
        let mut turns = 0;
        while let Some(at) =
            self.agent.next_deadline(now(self.millis)).map(|deadline| deadline.at.as_millis()).filter(|at| *at <= end)
        {
            self.millis = at;
            self.tell(Event::DeadlineReached);
            turns += 1;
            assert!(turns < 10_000, "deadline after deadline");
        }
        self.millis = end;
        self.tell(Event::DeadlineReached);
    }

    pub fn connect(&mut self, connection: u64, client_id: &str, peer: PeerFacts) {
        self.connect_with(connection, client_id, peer, None);
    }

    /// With a client certificate.
    pub fn connect_with(&mut self, connection: u64, client_id: &str, peer: PeerFacts, certificate: Option<&str>) {
        let (connection, client_id) = (ConnectionId(connection), client_id.into());
        let certificate = certificate.map(|sha256| CertificateFacts { sha256: sha256.into() });
        self.tell(Event::Broker(BrokerReport::ConnectAsked { connection, client_id, peer, certificate }));
    }

    /// The client of a spawn connects under this id, and is connected.
    pub fn client(&mut self, connection: u64, client_id: &str, spawn: u64) -> Subject {
        let (pid, cgroup) = ids(spawn);
        self.connect(connection, client_id, peer(cgroup, pid));
        let subject = self.grants[&ConnectionId(connection)].subject.clone();
        self.tell(Event::Broker(BrokerReport::Connected { subject: subject.clone() }));
        subject
    }

    pub fn publish(&mut self, subject: &Subject, topic: &str, payload: &str) {
        self.publish_packet(subject, topic, payload, None);
    }

    /// The same with QoS 1 or 2.
    pub fn publish_packet(&mut self, subject: &Subject, topic: &str, payload: &str, packet: Option<Packet>) {
        let (subject, topic, payload) = (subject.clone(), topic.into(), payload.as_bytes().into());
        self.tell(Event::Broker(BrokerReport::Published { subject, topic, payload, packet }));
    }

    /// A request with the admin certificate; its number.
    pub fn admin(&mut self, method: &str, target: &str, body: &str) -> RequestId {
        self.with_certificate(ADMIN, method, target, body)
    }

    /// A request with another certificate.
    pub fn with_certificate(&mut self, sha256: &str, method: &str, target: &str, body: &str) -> RequestId {
        let certificate = Some(CertificateFacts { sha256: sha256.into() });
        self.ask(method, target, body, peer(1, 77), certificate, &[])
    }

    /// The same with further header fields.
    pub fn admin_with(&mut self, method: &str, target: &str, body: &str, headers: &[(&str, &str)]) -> RequestId {
        let certificate = Some(CertificateFacts { sha256: ADMIN.into() });
        self.ask(method, target, body, peer(1, 77), certificate, headers)
    }

    /// A request of a process of this spawn.
    pub fn task(&mut self, spawn: u64, method: &str, target: &str, body: &str) -> RequestId {
        let (pid, cgroup) = ids(spawn);
        self.ask(method, target, body, peer(cgroup, pid), None, &[])
    }

    /// The same with further header fields.
    pub fn task_with(&mut self, spawn: u64, method: &str, target: &str, headers: &[(&str, &str)]) -> RequestId {
        let (pid, cgroup) = ids(spawn);
        self.ask(method, target, "", peer(cgroup, pid), None, headers)
    }

    /// A request of somebody the agent did not start.
    pub fn stranger(&mut self, method: &str, target: &str, body: &str) -> RequestId {
        self.ask(method, target, body, peer(1, 77), None, &[])
    }

    /// The same with further header fields.
    pub fn stranger_with(&mut self, method: &str, target: &str, headers: &[(&str, &str)]) -> RequestId {
        self.ask(method, target, "", peer(1, 77), None, headers)
    }

    fn ask(
        &mut self,
        method: &str,
        target: &str,
        body: &str,
        peer: PeerFacts,
        certificate: Option<CertificateFacts>,
        more: &[(&str, &str)],
    ) -> RequestId {
        let id = RequestId(self.asked.len() as u64 + 1);
        let usual = [("host", "127.0.0.1:443"), ("content-type", "application/json")];
        let headers = usual.iter().chain(more).map(|(name, value)| ((*name).into(), (*value).into())).collect();
        self.tell(Event::Api(ApiRequest {
            id,
            listener: Listener::Https,
            peer,
            certificate,
            method: method.into(),
            target: target.into(),
            headers,
            body: body.as_bytes().to_vec(),
        }));
        id
    }

    /// A header field of an answer.
    pub fn header(&self, request: RequestId, name: &str) -> Option<&str> {
        let headers = &self.responses[&request].headers;
        headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn status(&self, request: RequestId) -> Option<u16> {
        self.responses.get(&request).map(|response| response.status)
    }

    #[track_caller]
    pub fn body(&self, request: RequestId) -> Value {
        serde_json::from_slice(&self.responses[&request].body).unwrap()
    }

    /// What the API says now, asked by an administrator.
    #[track_caller]
    pub fn get(&mut self, target: &str) -> Value {
        let request = self.admin("GET", target, "");
        self.disk();
        self.body(request)
    }

    /// The same while the disk stands still.
    #[track_caller]
    pub fn get_now(&mut self, target: &str) -> Value {
        let request = self.admin("GET", target, "");
        self.body(request)
    }

    /// The lines of the log of one category.
    pub fn logged(&self, category: &str) -> Vec<&str> {
        self.logs.iter().filter(|record| record.category == category).map(|record| record.message.as_str()).collect()
    }

    /// Requests that got no answer yet.
    pub fn open_requests(&self) -> Vec<RequestId> {
        self.asked.iter().filter(|request| !self.responses.contains_key(request)).copied().collect()
    }

    /// Everything has ended: nothing is active, nothing waits, nobody is trusted, every request is answered.
    #[track_caller]
    pub fn quiet(&mut self) {
        assert_eq!(self.asked.len(), self.responses.len(), "requests without an answer");
        assert!(self.disk.is_empty() && self.looks.is_empty());
        if !self.exited {
            assert_eq!(self.get("/api/system/status")["runsActive"], 0);
        }
        // No table of the agent may hold anything of what has ended; their names stand in its debug form.
        let state = format!("{:?}", self.agent);
        for empty in ["runs: {}", "pending: {}", "waiting: []", "unanswered_triggers: []", "own_calls: {}"] {
            assert!(state.contains(empty), "{empty} is not so: {state}");
        }
        for spawn in self.prepared.clone() {
            let alive = state.contains(&format!("spawn: SpawnId({}), component", spawn.0));
            assert!(!alive || self.is_plugin(spawn), "{spawn} is still in the registry");
        }
    }

    fn is_plugin(&self, spawn: SpawnId) -> bool {
        self.spawns[&spawn].owner.to_string().starts_with("plugin:")
    }
}
