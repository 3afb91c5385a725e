//! A process port whose reports are taken by the bench, with the registry that the agent keeps of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use castellan_core::effect::{Owner, ProcessOrder, ProgramQuery, SpawnRequest, Stdio, Way};
use castellan_core::event::{Event, ProcessReport};
use castellan_core::id::{Component, JobId, RunId, SpawnId};
use castellan_core::resources::ResourceLimits;
use castellan_core::trust::{Entry, Registry};
use castellan_process::{ContainmentChoice, Launcher, Observe, ProcessConfig, Processes};
use rustix::process::Pid;
use smol::Executor;
use smol::channel::Receiver;

/// The argument that makes the bench a client that holds one connection.
pub(crate) const CONNECT: &str = "connect";

pub(crate) struct Port {
    processes: Processes,
    reports: Receiver<Event>,
    pub(crate) observe: Observe,
    pub(crate) registry: Registry,
    pids: BTreeMap<SpawnId, u32>,
    next: u64,
    _folder: tempfile::TempDir,
}

impl Port {
    pub(crate) fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let executor = Arc::new(Executor::new());
        let (events, reports) = smol::channel::bounded(16);
        let launcher = Launcher { program: std::env::current_exe().unwrap(), arguments: vec![super::LAUNCH.into()] };
        let config = ProcessConfig {
            launcher,
            agent_root: folder.path().to_owned(),
            state: folder.path().join("state"),
            containment: ContainmentChoice::Auto,
            executor: Arc::clone(&executor),
            events,
        };
        // For as long as the bench runs, as the agent's does.
        std::thread::spawn(move || smol::block_on(executor.run(std::future::pending::<()>())));
        let processes = Processes::start(config).unwrap();
        println!("{}", processes.containment());
        let observe = processes.observer();
        let (registry, pids) = (Registry::default(), BTreeMap::new());
        Self { processes, reports, observe, registry, pids, next: 0, _folder: folder }
    }

    fn report(&self) -> ProcessReport {
        match self.reports.recv_blocking().unwrap() {
            Event::Process(report) => report,
            other => panic!("not a report: {other:?}"),
        }
    }

    /// From the order to the program's own image, registered before.
    pub(crate) fn start(&mut self, program: &str, arguments: &[&str]) -> SpawnId {
        self.next += 1;
        let spawn = SpawnId(self.next);
        let component = Component::Job(JobId::parse("job").unwrap());
        let request = SpawnRequest {
            spawn,
            owner: Owner::Component(component.clone()),
            program: ProgramQuery { candidates: vec![program.to_owned()], ..ProgramQuery::default() },
            arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
            environment: Vec::new(),
            working_directory: None,
            user: None,
            stdio: Stdio::Captured,
            limits: ResourceLimits::default(),
        };
        self.processes.order(ProcessOrder::Spawn(request)).unwrap();
        let ProcessReport::Prepared { pid, cgroup, .. } = self.report() else { panic!("not prepared") };
        let uid = rustix::process::geteuid().as_raw();
        let run = Some(RunId::new(1, spawn.0));
        let user_name = String::new();
        let entry = Entry { spawn, component, run, pid, session: pid, cgroup, uid, user_name, leader_alive: true };
        self.registry.insert(entry).unwrap();
        self.pids.insert(spawn, pid);
        self.processes.order(ProcessOrder::Release { spawn, way: Way::Directly, person: None }).unwrap();
        assert!(matches!(self.report(), ProcessReport::Started { .. }));
        spawn
    }

    pub(crate) fn pid(&self, spawn: SpawnId) -> Pid {
        Pid::from_raw(i32::try_from(self.pids[&spawn]).unwrap()).unwrap()
    }

    pub(crate) fn exited(&self) {
        assert!(matches!(self.report(), ProcessReport::Exited { .. }));
    }

    /// What it wrote to standard output.
    pub(crate) fn output(&self, spawn: SpawnId) -> Vec<u8> {
        self.processes.order(ProcessOrder::Collect { spawn }).unwrap();
        let ProcessReport::Collected { stdout, .. } = self.report() else { panic!("not collected") };
        stdout.head
    }

    /// Leaves nothing of a tree whose main process was seen to exit.
    pub(crate) fn discard(&mut self, spawn: SpawnId) {
        self.registry.remove(spawn).unwrap();
        self.pids.remove(&spawn);
        self.processes.order(ProcessOrder::Discard { spawn }).unwrap();
        assert!(matches!(self.report(), ProcessReport::Discarded { .. }));
    }
}
