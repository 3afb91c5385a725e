//! The endpoint service: every adapter wired to the core, started in an order that leaves nothing half open.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_io::Timer;
use castellan_core::agent::Agent;
use castellan_core::api::AtOnce;
use castellan_core::broker::BrokerSettings;
use castellan_core::config::Settings;
use castellan_core::event::{Endpoints, Event, Loaded};
use castellan_core::job::finding::Finding;
use castellan_core::lkg::References;
use castellan_core::log_message::{Level, LogRecord};
use castellan_core::surroundings::Surroundings;
use castellan_elevation::{Elevation, ElevationConfig};
use castellan_fs::audit::{Audit, AuditFile};
use castellan_fs::certificates::{AdminAuthority, ServerIdentity};
use castellan_fs::history::History;
use castellan_fs::lkg::Guard;
use castellan_fs::log_file::{LogOutput, LogWriter};
use castellan_fs::messages::MessageStore;
use castellan_fs::policies::PolicyReader;
use castellan_fs::settings::SettingStore;
use castellan_fs::{PortsFile, Root, Store};
use castellan_https::calls::Calls;
use castellan_https::{AnswerAtOnce, ServerConfig, tls_config};
use castellan_mqtt::BrokerConfig;
use castellan_process::{Launcher, ProcessConfig, Processes};
use smol::channel::{Receiver, Sender, bounded};

use crate::chores::Chores;
use crate::clock::Clock;
use crate::failure::Failure;
use crate::heartbeat::Heartbeat;
use crate::listeners::Listeners;
use crate::perform::Ports;
use crate::policy_source::PolicyPort;
use crate::surroundings::{self, Facts};
use crate::telemetry::{self, TelemetryPort, TelemetryStart};
use crate::{LAUNCHER_VERB, audit_head, library_log, policies_in_force, policy_source, run_loop, signals};

/// Events on their way to the agent. A full queue is visible: the port that could not hand one over says so later. Each place takes
/// half a kilobyte from the start.
const EVENT_QUEUE: usize = 1024;

/// For responses under way when the agent exits; it has to be gone within ten seconds of SIGTERM.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// An agent whose listeners are open; [`Service::run`] sets it to work.
pub(crate) struct Service {
    root: Root,
    clock: Clock,
    agent: Agent,
    chores: Chores,
    endpoints: Endpoints,
    first: VecDeque<Event>,
    sender: Sender<Event>,
    events: Receiver<Event>,
    ports: Ports,
    executor: ExecutorThread,
    heartbeat: Heartbeat,
}

/// `castellan run`.
pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    let readable = rustix::termios::isatty(io::stderr());
    Service::start(root, LogOutput { readable, tap: None })?.run()
}

impl Service {
    /// Opens the root, reads the settings, binds the listeners and starts every port.
    pub(crate) fn start(root: &Path, output: LogOutput) -> Result<Self, Failure> {
        let clock = Clock::start();
        let root = Root::open(root).map_err(Failure::cannot_start)?;
        let (mut settings, warnings) = read_settings(&root)?;
        let unheeded = telemetry::heed(&mut settings);
        let listeners = Listeners::bind(&settings)?;
        let endpoints = listeners.endpoints().map_err(Failure::cannot_start)?;
        PortsFile::remove_stale(&root).map_err(Failure::cannot_start)?;
        let certificates = Certificates::open(&root, clock)?;
        let audit = AuditFile::open(&root, clock.now().wall).map_err(Failure::cannot_start)?;
        let history = History::open(&root).map_err(Failure::cannot_start)?;
        history.prune(settings.run_history_days, clock.now().wall).map_err(Failure::cannot_start)?;
        let unfinished = history.unfinished().map_err(Failure::cannot_start)?;
        let elevations = history.needed_elevations(clock.now().wall).map_err(Failure::cannot_start)?;
        let past = history.past().map_err(Failure::cannot_start)?;
        let storage = SettingStore::open(&root).map_err(Failure::cannot_start)?;
        let executor = ExecutorThread::start().map_err(Failure::cannot_start)?;
        let telemetry = TelemetryPort::start(TelemetryStart {
            settings: &settings,
            machine: certificates.machine(),
            clock,
            executor: Arc::clone(&executor.executor),
        });
        let output = telemetry.listen(output);
        let log = LogWriter::start(&root, output, &settings.logging).map_err(Failure::cannot_start)?;
        library_log::install(log.queue(), clock);
        let lkg = settings.configuration_lkg.enabled;
        let (mut guard, references) =
            Guard::open(&root, &settings.plugin_path, lkg, &history).map_err(Failure::cannot_start)?;
        // Where references are kept, these count.
        let definitions =
            if matches!(references, References::Kept { .. }) { Vec::new() } else { guard.read_at_start() };
        let reader = policies_in_force::reader(&settings);
        let applied_policies = storage.policies().map_err(Failure::cannot_start)?;
        let policies = reader.read(&root);
        let loaded = Loaded {
            definitions,
            references,
            unfinished,
            elevations,
            past,
            settings: storage.read().map_err(Failure::cannot_start)?,
            policies,
            applied_policies,
        };
        let bundle = storage.read_bundle().map_err(Failure::cannot_start)?;
        let bundle = bundle.map(|bundle| policy_source::kept(bundle, &settings.alternative_signatures));
        let first = [Event::Loaded(loaded)].into_iter().chain(bundle).chain([Event::Opened(endpoints)]).collect();

        let (sender, events) = bounded(EVENT_QUEUE);
        signals::watch(&executor.executor, sender.clone()).map_err(Failure::cannot_start)?;
        executor.executor.spawn(castellan_fs::policies::watch(root.clone(), sender.clone())).detach();
        let surroundings = surroundings::gather(Facts {
            root: root.path(),
            plugin_path: &settings.plugin_path,
            boot: root.boot(),
            started: clock.now(),
            admin_certificates: certificates.admin.issued.clone(),
        });
        let notices = certificates.admin.notices.iter().cloned().chain(unheeded).collect::<Vec<_>>();
        let heartbeat = Heartbeat::new();
        let (at_once, beats) = (AtOnce::new(surroundings.version.clone(), endpoints), heartbeat.clone());
        let at_once: AnswerAtOnce = Arc::new(move |request| at_once.answer(clock.now(), beats.pulse(), request));
        let start = Start { root: &root, settings: &settings, clock, sender: &sender, executor: &executor, at_once };
        let ports = start
            .ports(listeners, certificates, (guard, history, storage, reader), (telemetry, log, audit))
            .map_err(Failure::cannot_start)?;
        note_start(&ports, clock, &warnings, &notices);
        let chores = Chores::new(settings.run_history_days, clock.now());
        let agent = Agent::new(settings, Surroundings { kept_limits: ports.processes.kept_limits(), ..surroundings });
        Ok(Self { root, clock, agent, chores, endpoints, first, sender, events, ports, executor, heartbeat })
    }

    /// For whoever wants to stop the agent.
    pub(crate) fn sender(&self) -> Sender<Event> {
        self.sender.clone()
    }

    /// The ports in force.
    pub(crate) const fn endpoints(&self) -> Endpoints {
        self.endpoints
    }

    /// Works until the agent exits, then closes every port.
    pub(crate) fn run(mut self) -> Result<(), Failure> {
        let pid = std::process::id();
        let ports_file = PortsFile::write(&self.root, self.endpoints, pid).map_err(Failure::cannot_start)?;
        let (chores, heartbeat) = (&mut self.chores, &self.heartbeat);
        run_loop::run(&mut self.agent, self.clock, chores, self.first, &self.events, &self.ports, heartbeat);
        let Ports { processes, elevation, broker, store, audit, server, calls, policies, telemetry, log } = self.ports;
        server.close();
        drop(elevation);
        let late = async {
            Timer::after(CLOSE_TIME).await;
            log::warn!(
                "connections were still open {} ms after the servers closed; they end with the agent",
                CLOSE_TIME.as_millis()
            );
        };
        smol::block_on(smol::future::or(server.closed(), late));
        self.chores.tell_failures(server.counters());
        broker.join();
        drop((processes, calls, policies));
        smol::block_on(telemetry.close());
        let closed = [
            store.close().map_err(Failure::failed),
            audit.close().map(|head| audit_head::note(&log, head, self.clock.now().wall)).map_err(Failure::failed),
            ports_file.remove().map_err(Failure::failed),
            log.close().map_err(Failure::failed),
        ];
        self.executor.stop();
        closed.into_iter().collect()
    }
}

/// What the listeners show, and whose clients count as administrators.
struct Certificates {
    server: ServerIdentity,
    admin: AdminAuthority,
}

impl Certificates {
    fn open(root: &Root, clock: Clock) -> Result<Self, Failure> {
        let now = clock.now().wall;
        let server = ServerIdentity::create(root, now).map_err(Failure::cannot_start)?;
        let admin = AdminAuthority::open(root, now).map_err(Failure::cannot_start)?;
        Ok(Self { server, admin })
    }

    /// What tells this machine from others.
    fn machine(&self) -> String {
        castellan_https::certificate_sha256(&self.admin.ca).chars().take(16).collect()
    }
}

fn read_settings(root: &Root) -> Result<(Settings, Vec<Finding>), Failure> {
    let bytes = root.read_settings().map_err(Failure::cannot_start)?;
    Settings::parse(bytes.as_deref()).map_err(Failure::invalid_file)
}

/// What the ports are started with.
struct Start<'a> {
    root: &'a Root,
    settings: &'a Settings,
    clock: Clock,
    sender: &'a Sender<Event>,
    executor: &'a ExecutorThread,
    at_once: AnswerAtOnce,
}

impl Start<'_> {
    fn ports(
        &self,
        listeners: Listeners,
        certificates: Certificates,
        (guard, history, storage, reader): (Guard, History, SettingStore, PolicyReader),
        (telemetry, log, audit): (TelemetryPort, LogWriter, AuditFile),
    ) -> Result<Ports, Box<dyn std::error::Error>> {
        let processes = Processes::start(ProcessConfig {
            launcher: Launcher { program: std::env::current_exe()?, arguments: vec![LAUNCHER_VERB.into()] },
            agent_root: self.root.path().to_owned(),
            state: self.root.path().join("state"),
            containment: castellan_process::ContainmentChoice::Auto,
            executor: Arc::clone(&self.executor.executor),
            events: self.sender.clone(),
        })?;
        let machine = certificates.machine();
        let (executor, events) = (Arc::clone(&self.executor.executor), self.sender.clone());
        let policies = PolicyPort::new(self.settings, machine, executor, events);
        let clock = self.clock;
        let mut messages = MessageStore::open(self.root)?;
        let stored = messages.read()?;
        let ServerIdentity { chain, key } = certificates.server;
        let broker = castellan_mqtt::start(BrokerConfig {
            listener: listeners.mqtt,
            tls: tls_config(chain.clone(), key.clone_key(), Some(certificates.admin.ca.clone()))?,
            settings: BrokerSettings {
                max_packet_bytes: self.settings.max_packet_bytes,
                max_queued_messages: self.settings.max_queued_messages,
                visible_denials: self.settings.visible_denials,
                log_rate: self.settings.logging.client,
                traced: self.settings.telemetry.as_ref().is_some_and(|telemetry| telemetry.traces),
            },
            observe: processes.observer(),
            fingerprint: castellan_https::certificate_sha256,
            clock: Arc::new(move || clock.now()),
            stored,
            keep: Box::new(move |batch| messages.keep(batch)),
            events: self.sender.clone(),
        })?;
        let server = castellan_https::start(ServerConfig {
            http: listeners.http,
            https: listeners.https,
            tls: tls_config(chain, key, Some(certificates.admin.ca))?,
            observe: processes.arrival_observer(),
            executor: Arc::clone(&self.executor.executor),
            at_once: self.at_once.clone(),
            events: self.sender.clone(),
        })?;
        let store = Store::start(guard, history, storage, reader, self.sender.clone())?;
        let audit = Audit::start(audit, self.sender.clone())?;
        let calls = Calls::new(Arc::clone(&self.executor.executor), self.sender.clone());
        let elevation = Elevation::start(ElevationConfig {
            root: self.root.path().to_owned(),
            look_up: Arc::new(|uid| Box::pin(castellan_process::look_up(uid))),
            executor: Arc::clone(&self.executor.executor),
            events: self.sender.clone(),
        })?;
        Ok(Ports { processes, elevation, broker, store, audit, server, calls, policies, telemetry, log })
    }
}

/// What an administrator should know from the first lines of the log.
fn note_start(ports: &Ports, clock: Clock, warnings: &[Finding], notices: &[String]) {
    let note = |level, category: &'static str, message: String| {
        let timestamp = clock.now().wall.to_rfc3339();
        ports.log.log(LogRecord { timestamp, ..LogRecord::own(level, category, message) });
    };
    note(Level::Information, "Start", format!("The log is in {}.", ports.log.description()));
    audit_head::note(&ports.log, ports.audit.head(), clock.now().wall);
    note(Level::Information, "Containment", ports.processes.containment().to_string());
    for notice in ports.processes.leftovers().iter().chain(notices) {
        note(Level::Warning, "Start", notice.clone());
    }
    for warning in warnings {
        note(Level::Warning, "Settings", warning.message.clone());
    }
}

/// The one executor that serves HTTPS, watches processes and signals, on a thread of its own.
struct ExecutorThread {
    executor: Arc<smol::Executor<'static>>,
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl ExecutorThread {
    fn start() -> io::Result<Self> {
        let executor = Arc::new(smol::Executor::new());
        let (stop, stopped) = bounded::<()>(1);
        let running = Arc::clone(&executor);
        let thread = thread::Builder::new().name(String::from("io")).spawn(move || {
            // The closed channel ends it; nothing is ever sent.
            if smol::block_on(running.run(stopped.recv())).is_ok() {
                log::debug!("the I/O thread was stopped by a message");
            }
        })?;
        Ok(Self { executor, stop, thread })
    }

    fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            log::error!("the I/O thread panicked; its tasks are gone with the process");
        }
    }
}
