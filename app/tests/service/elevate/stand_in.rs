//! The parts that run a program for a caller (request socket, launcher, process port), with somebody who allows nearly everything in the
//! place of the agent's machine.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use castellan_core::effect::{
    ElevationAnswer, ElevationOrder, Owner, ProcessOrder, ProgramQuery, SpawnRequest, Stdio, TreeSignal, Way,
};
use castellan_core::elevation::{Asked, CallerId};
use castellan_core::event::{ElevationReport, Event, ExitStatus, ProcessReport, Reply};
use castellan_core::id::{ElevationId, SpawnId};
use castellan_core::resources::ResourceLimits;
use castellan_core::why::Explanation;
use castellan_elevation::{Elevation, ElevationConfig, Lent};
use castellan_process::{CallerFiles, ContainmentChoice, Launcher, ProcessConfig, Processes};
use smol::Executor;
use smol::channel::{Receiver, Sender};

use crate::support::binary;

/// `deny` is denied, `ask` asks for a secret and tells it back; everything else is run.
pub(crate) struct StandIn {
    pub(crate) root: tempfile::TempDir,
    events: Sender<Event>,
    threads: Vec<JoinHandle<()>>,
}

/// What decides, and the ports.
struct Machine {
    elevation: Elevation,
    processes: Processes,
    ended: BTreeMap<SpawnId, ExitStatus>,
}

impl StandIn {
    pub(crate) fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::set_permissions(root.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let executor = Arc::new(Executor::new());
        let (events, reports) = smol::channel::bounded(64);
        let machine = Machine::start(root.path(), &executor, &events);
        let (stop, stopped) = smol::channel::bounded::<()>(1);
        let driver = std::thread::spawn(move || assert!(smol::block_on(executor.run(stopped.recv())).is_err()));
        let decider = std::thread::spawn(move || {
            machine.run(&reports);
            drop(stop);
        });
        Self { root, events, threads: vec![decider, driver] }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.events.send_blocking(Event::StopRequested(String::from("the test is over"))).unwrap();
        let ended: Vec<_> = self.threads.drain(..).map(JoinHandle::join).collect();
        assert!(std::thread::panicking() || ended.iter().all(Result::is_ok));
    }
}

impl Machine {
    fn start(root: &Path, executor: &Arc<Executor<'static>>, events: &Sender<Event>) -> Self {
        let processes = Processes::start(ProcessConfig {
            launcher: Launcher { program: binary(), arguments: vec!["launch-task".into()] },
            agent_root: root.to_owned(),
            state: root.join("state"),
            containment: ContainmentChoice::Auto,
            executor: Arc::clone(executor),
            events: events.clone(),
        });
        let elevation = Elevation::start(ElevationConfig {
            root: root.to_owned(),
            look_up: Arc::new(|uid| Box::pin(castellan_process::look_up(uid))),
            executor: Arc::clone(executor),
            events: events.clone(),
        });
        Self { elevation: elevation.unwrap(), processes: processes.unwrap(), ended: BTreeMap::new() }
    }

    fn run(mut self, events: &Receiver<Event>) {
        loop {
            let event = events.recv_blocking().unwrap();
            if let Event::Elevation(report) = event {
                self.on_caller(report);
            } else if let Event::Process(report) = event {
                self.on_process(report);
            } else {
                return;
            }
        }
    }

    fn on_caller(&self, report: ElevationReport) {
        match report {
            ElevationReport::Asked { caller, asked } if asked.words[0] == "deny" => self.deny(caller, "Nobody may."),
            ElevationReport::Asked { caller, asked } if asked.words[0] == "ask" => {
                self.elevation.order(ElevationOrder::Tell { caller, text: String::from("A question:\u{1b}[2J") });
                let text = String::from("Code:");
                self.elevation.order(ElevationOrder::Prompt { caller, prompt: 1, text, secret: true, seconds: 60 });
            }
            ElevationReport::Asked { caller, asked } => self.spawn(caller, *asked),
            ElevationReport::Replied { caller, reply: Reply::Text(text), .. } => self.deny(caller, text.expose()),
            ElevationReport::Replied { caller, reply: Reply::Refused, .. } => self.deny(caller, "Nobody answered."),
            ElevationReport::Signaled { caller, signal } => {
                self.order(ProcessOrder::Signal { spawn: SpawnId(caller.0), signal: TreeSignal::Relayed(signal) });
            }
            ElevationReport::Left { caller } => self.order(ProcessOrder::Discard { spawn: SpawnId(caller.0) }),
        }
    }

    fn on_process(&mut self, report: ProcessReport) {
        match report {
            ProcessReport::Prepared { spawn, .. } => {
                self.order(ProcessOrder::Release { spawn, way: Way::Directly, person: None });
            }
            ProcessReport::SpawnFailed { spawn, reason } => self.deny(CallerId(spawn.0), &reason),
            ProcessReport::Exited { spawn, status } => {
                self.ended.insert(spawn, status);
                self.order(ProcessOrder::Discard { spawn });
            }
            ProcessReport::Discarded { spawn } => {
                if let Some(status) = self.ended.remove(&spawn) {
                    let answer = ElevationAnswer::Ended(status);
                    self.elevation.order(ElevationOrder::Answer { caller: CallerId(spawn.0), answer });
                }
            }
            ProcessReport::Started { .. } => {}
            ProcessReport::Collected { .. }
            | ProcessReport::Peeked { .. }
            | ProcessReport::Inspected { .. }
            | ProcessReport::Examined { .. } => panic!("nobody ordered {report:?}"),
        }
    }

    fn spawn(&self, caller: CallerId, asked: Asked) {
        let mut words = asked.words.into_iter();
        let name = words.next().unwrap();
        let candidates = if name.contains('/') {
            vec![name]
        } else {
            ["/usr/bin", "/bin"].map(|folder| format!("{folder}/{name}")).to_vec()
        };
        let request = SpawnRequest {
            spawn: SpawnId(caller.0),
            owner: Owner::Elevation(ElevationId::new(1, caller.0)),
            program: ProgramQuery { candidates, ..ProgramQuery::default() },
            arguments: words.collect(),
            environment: vec![(String::from("PATH"), String::from("/usr/bin:/bin"))]
                .into_iter()
                .chain(asked.environment)
                .collect(),
            working_directory: None,
            user: None,
            stdio: Stdio::Caller { caller, terminal: asked.terminal },
            limits: ResourceLimits::default(),
        };
        let Some(Lent { standard, folder }) = self.elevation.take(caller) else { return };
        self.processes.spawn_for_caller(request, CallerFiles { standard, folder, terminal: asked.terminal }).unwrap();
    }

    fn deny(&self, caller: CallerId, why: &str) {
        let explanation = Explanation::new("It was denied.", why, "Ask somebody.");
        let request = Some(ElevationId::new(1, caller.0));
        self.elevation
            .order(ElevationOrder::Answer { caller, answer: ElevationAnswer::Denied { request, explanation } });
    }

    fn order(&self, order: ProcessOrder) {
        self.processes.order(order).unwrap();
    }
}
