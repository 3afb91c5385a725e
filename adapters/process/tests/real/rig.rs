//! A process port on a root of its own, with an executor that runs it and somebody who takes its reports.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use castellan_core::effect::{Owner, ProcessOrder, ProgramQuery, SpawnRequest, Stdio, Way};
use castellan_core::event::{Captured, Event, ExitStatus, ProcessReport};
use castellan_core::id::{Component, JobId, SpawnId};
use castellan_core::resources::ResourceLimits;
use castellan_core::user::Person;
use castellan_process::{Containment, ContainmentChoice, Launcher, ProcessConfig, Processes};
use smol::Executor;
use smol::channel::{Receiver, Sender};
use smol::future::FutureExt;

/// Bounds a test that would hang; never a measure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Rig {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) processes: Option<Processes>,
    pub(crate) events: Receiver<Event>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    next: AtomicU64,
}

/// A prepared process.
pub(crate) struct Prepared {
    pub(crate) spawn: SpawnId,
    pub(crate) pid: u32,
    pub(crate) cgroup: Option<u64>,
}

/// What became of a process.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Captured,
    pub(crate) stderr: Captured,
}

impl Outcome {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout.head).into_owned()
    }
}

/// Each way of holding trees together that this user can try; says so where one is left out.
pub(crate) fn modes() -> Vec<ContainmentChoice> {
    let folder = tempfile::tempdir().unwrap();
    let (events, _reports) = smol::channel::bounded(1);
    let processes = Processes::start(config(folder.path(), ContainmentChoice::Auto, Arc::default(), events)).unwrap();
    match processes.containment() {
        Containment::Cgroup { .. } => vec![ContainmentChoice::Auto, ContainmentChoice::Session],
        Containment::Session { why } => {
            // Past the test harness, which hides what a passing test prints.
            writeln!(std::io::stderr(), "SKIPPED: the half of this test that needs cgroups: {why}").unwrap();
            vec![ContainmentChoice::Session]
        }
    }
}

pub(crate) fn launcher() -> Launcher {
    Launcher { program: PathBuf::from(env!("CARGO_BIN_EXE_castellan-launch")), arguments: Vec::new() }
}

pub(crate) fn config(
    folder: &Path,
    containment: ContainmentChoice,
    executor: Arc<Executor<'static>>,
    events: Sender<Event>,
) -> ProcessConfig {
    ProcessConfig {
        launcher: launcher(),
        agent_root: folder.to_owned(),
        state: folder.join("state"),
        containment,
        executor,
        events,
    }
}

/// A task of job `job`: a program with its arguments.
pub(crate) fn request(spawn: u64, program: &[&str]) -> SpawnRequest {
    SpawnRequest {
        spawn: SpawnId(spawn),
        owner: Owner::Component(Component::Job(JobId::parse("job").unwrap())),
        program: ProgramQuery { candidates: vec![program[0].to_owned()], ..ProgramQuery::default() },
        arguments: program[1..].iter().map(|text| (*text).to_owned()).collect(),
        environment: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
        working_directory: None,
        user: None,
        stdio: Stdio::Captured,
        limits: ResourceLimits::default(),
    }
}

pub(crate) fn shell(script: &str) -> [&str; 3] {
    ["/bin/sh", "-c", script]
}

/// Whether a process lives; a zombie does not.
pub(crate) fn lives(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|text| !text.rsplit_once(')').unwrap().1.trim_start().starts_with(['Z', 'X']))
}

impl Rig {
    pub(crate) fn start(choice: ContainmentChoice) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), choice)
    }

    pub(crate) fn start_in(folder: tempfile::TempDir, choice: ContainmentChoice) -> Self {
        let executor = Arc::new(Executor::new());
        let (events, reports) = smol::channel::bounded(16);
        let (stop, stopped) = smol::channel::bounded::<()>(1);
        let driver = Arc::clone(&executor);
        let thread = std::thread::spawn(move || {
            // Ends when the sender is dropped.
            assert!(smol::block_on(driver.run(stopped.recv())).is_err());
        });
        let processes = Processes::start(config(folder.path(), choice, executor, events)).unwrap();
        Self {
            folder,
            processes: Some(processes),
            events: reports,
            stop: Some(stop),
            thread: Some(thread),
            next: AtomicU64::new(1),
        }
    }

    pub(crate) fn port(&self) -> &Processes {
        self.processes.as_ref().unwrap()
    }

    pub(crate) fn order(&self, order: ProcessOrder) {
        self.port().order(order).unwrap();
    }

    pub(crate) fn report(&self) -> ProcessReport {
        let late = async {
            async_io::Timer::after(PATIENCE).await;
            panic!("no report came")
        };
        match smol::block_on(async { self.events.recv().await.unwrap() }.or(late)) {
            Event::Process(report) => report,
            other => panic!("not a report: {other:?}"),
        }
    }

    pub(crate) fn spawn(&self, program: &[&str]) -> SpawnId {
        self.spawn_request(request(0, program))
    }

    pub(crate) fn spawn_request(&self, mut request: SpawnRequest) -> SpawnId {
        request.spawn = SpawnId(self.next.fetch_add(1, Ordering::Relaxed));
        let spawn = request.spawn;
        self.order(ProcessOrder::Spawn(request));
        spawn
    }

    pub(crate) fn prepare(&self, program: &[&str]) -> Prepared {
        self.spawn(program);
        self.prepared()
    }

    pub(crate) fn prepared(&self) -> Prepared {
        match self.report() {
            ProcessReport::Prepared { spawn, pid, cgroup, .. } => Prepared { spawn, pid, cgroup },
            other => panic!("not prepared: {other:?}"),
        }
    }

    pub(crate) fn release(&self, spawn: SpawnId) {
        self.release_as(spawn, None);
    }

    pub(crate) fn release_as(&self, spawn: SpawnId, person: Option<Box<Person>>) {
        self.order(ProcessOrder::Release { spawn, way: Way::Directly, person });
        let report = self.report();
        assert!(matches!(report, ProcessReport::Started { spawn: started } if started == spawn), "{report:?}");
    }

    pub(crate) fn exited(&self, spawn: SpawnId) -> ExitStatus {
        match self.report() {
            ProcessReport::Exited { spawn: ended, status } if ended == spawn => status,
            other => panic!("not exited: {other:?}"),
        }
    }

    pub(crate) fn collect(&self, spawn: SpawnId) -> (Captured, Captured) {
        self.order(ProcessOrder::Collect { spawn });
        match self.report() {
            ProcessReport::Collected { spawn: collected, stdout, stderr } if collected == spawn => (stdout, stderr),
            other => panic!("not collected: {other:?}"),
        }
    }

    pub(crate) fn discard(&self, spawn: SpawnId) {
        self.order(ProcessOrder::Discard { spawn });
        let report = self.report();
        assert!(matches!(report, ProcessReport::Discarded { spawn: gone } if gone == spawn), "{report:?}");
    }

    /// Ends a running process.
    pub(crate) fn discard_running(&self, spawn: SpawnId) {
        self.order(ProcessOrder::Discard { spawn });
        self.exited(spawn);
        let report = self.report();
        assert!(matches!(report, ProcessReport::Discarded { spawn: gone } if gone == spawn), "{report:?}");
    }

    /// From a running process to nothing.
    pub(crate) fn finish(&self, spawn: SpawnId) -> Outcome {
        let status = self.exited(spawn);
        let (stdout, stderr) = self.collect(spawn);
        self.discard(spawn);
        Outcome { status, stdout, stderr }
    }

    pub(crate) fn run_request(&self, request: SpawnRequest) -> Outcome {
        let spawn = self.spawn_request(request);
        assert_eq!(self.prepared().spawn, spawn);
        self.release(spawn);
        self.finish(spawn)
    }

    pub(crate) fn run(&self, program: &[&str]) -> Outcome {
        self.run_request(request(0, program))
    }

    pub(crate) fn fails(&self, request: SpawnRequest) -> String {
        let spawn = self.spawn_request(request);
        loop {
            match self.report() {
                ProcessReport::Prepared { .. } => {
                    self.order(ProcessOrder::Release { spawn, way: Way::Directly, person: None })
                }
                ProcessReport::SpawnFailed { spawn: failed, reason } if failed == spawn => return reason,
                other => panic!("it did not fail: {other:?}"),
            }
        }
    }
}

impl Drop for Rig {
    /// Whatever a test did, nothing of it stays: no process, no cgroup, no record.
    fn drop(&mut self) {
        let subtree = self.processes.as_ref().and_then(|processes| match processes.containment() {
            Containment::Cgroup { path, .. } => Some(path.clone()),
            Containment::Session { .. } => None,
        });
        self.processes = None;
        self.events.close();
        self.stop = None;
        let driven = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            driven.unwrap().unwrap();
            assert_eq!(subtree.filter(|path| path.exists()), None, "the sub-tree of cgroups is left");
        }
    }
}
