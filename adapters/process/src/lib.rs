//! Castellan's process port: starts, watches and ends process trees, and tells who is at the other end of a connection.
//!
//! Facts in, orders out; what may run and whom to trust is decided in `castellan_core`. A tree is started through a launcher
//! ([`launch_main`]) that waits until the agent has registered it, lives in a cgroup or a session of its own ([`Containment`]),
//! and is killed to the last process when it is discarded, when the agent ends, or by the next start after a killed agent.
//!
//! Threads: one that starts launchers; everything else runs on the executor it is given.

#[cfg(not(target_os = "linux"))]
compile_error!("castellan-process knows Linux alone: pidfd, cgroup v2 and sock_diag have no counterpart here yet.");

mod caller_files;
mod capture;
mod cgroup;
mod containment;
mod controllers;
mod diag;
mod examine;
mod executable;
mod handover;
mod launch;
mod leftovers;
mod observer;
mod place;
mod port_holder;
mod procfs;
mod session;
mod signal;
mod signature;
mod start;
mod sys;
mod tree;
mod user;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use castellan_core::effect::{ProcessOrder, ProgramQuery, SpawnRequest};
use castellan_core::event::{Captured, Event, ExecutableFacts, ProcessReport};
use castellan_core::id::{SpawnId, TicketId};
use castellan_core::limits::REGISTRY_ENTRIES;
use castellan_core::resources::KeptLimits;
use castellan_core::trust::{SocketFacts, Witness};
use smol::channel::Sender;
use smol::{Executor, Task};

use crate::cgroup::{Cgroup, Hierarchy};
use crate::examine::{Examinations, ExamineOrder};
use crate::leftovers::Records;
use crate::observer::{Leaders, Observer};
use crate::start::{Starter, Starts};
use crate::tree::Command;

pub use caller_files::CallerFiles;
pub use containment::{Containment, ContainmentChoice};
pub use controllers::Keeping;
pub use launch::launch_main;
pub use port_holder::{PortHolder, port_holder};
pub use signature::{Program, SignError, document_facts, document_sha256, open_document};
pub use start::Launcher;
pub use sys::{release_free_memory, release_program, stop};
pub use user::{account, look_up};

/// Looks at files as the agent does before it executes them; blocks for as long as the disk takes.
pub fn inspect(query: &ProgramQuery) -> ExecutableFacts {
    executable::inspect(query).facts()
}

/// Orders to one tree that wait; the agent gives one at a time and awaits its answer.
const WAITING_ORDERS: usize = 16;
/// Inspections at one time; each looks at a few files.
const INSPECTIONS: usize = 64;

/// What the process port needs.
#[derive(Clone)]
pub struct ProcessConfig {
    /// How the agent's own binary runs [`launch_main`].
    pub launcher: Launcher,
    /// Working directory of programs that have none of their own.
    pub agent_root: PathBuf,
    /// Folder that only the agent may write; what runs is recorded there, so that the next start finds what a killed agent left.
    pub state: PathBuf,
    /// What holds trees together.
    pub containment: ContainmentChoice,
    /// Runs the watching; some thread must drive it.
    pub executor: Arc<Executor<'static>>,
    /// Takes the reports.
    pub events: Sender<Event>,
}

impl fmt::Debug for ProcessConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ProcessConfig")
            .field("launcher", &self.launcher)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// An order was not taken; the sentence names it and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueFull(pub String);

impl fmt::Display for QueueFull {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for QueueFull {}

/// Looks at an accepted connection at once, and gives the [`Witness`] for each later decision about it.
pub type Observe = Arc<dyn Fn(&TcpStream) -> io::Result<Witness> + Send + Sync>;

/// The same, with what the kernel says of the other end at that moment.
pub type ObserveArrival = Arc<dyn Fn(&TcpStream) -> io::Result<(Option<SocketFacts>, Witness)> + Send + Sync>;

/// The process port. Dropping it kills all trees.
#[derive(Debug)]
pub struct Processes {
    shared: Arc<Shared>,
    executor: Arc<Executor<'static>>,
    observer: Arc<Observer>,
    containment: Containment,
    leftovers: Vec<String>,
    starter: Starter,
    examinations: Examinations,
    /// What follows the sessions of users, once somebody needs them.
    sessions: OnceLock<Task<()>>,
}

/// What all trees share.
#[derive(Debug)]
pub(crate) struct Shared {
    agent_root: PathBuf,
    subtree: Option<(Hierarchy, Cgroup)>,
    kept_limits: KeptLimits,
    records: Records,
    events: Sender<Event>,
    starts: Starts,
    leaders: Leaders,
    trees: Mutex<BTreeMap<SpawnId, Sender<Command>>>,
    inspections: AtomicUsize,
    /// Weak, as the executor holds the tasks that hold this.
    executor: Weak<Executor<'static>>,
}

impl Shared {
    /// Reports; `None` where nobody takes reports any more.
    pub(crate) async fn report(&self, report: ProcessReport) -> Option<()> {
        self.events.send(Event::Process(report)).await.ok()
    }

    fn trees(&self) -> MutexGuard<'_, BTreeMap<SpawnId, Sender<Command>>> {
        self.trees.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Processes {
    /// Ends what a killed agent left, tries out what holds trees together here, and gets ready. Blocks for some milliseconds.
    ///
    /// # Errors
    /// The launcher cannot be run, the state folder cannot be written, or the kernel does not tell who is at the other end of a
    /// connection (`sock_diag`).
    pub fn start(config: ProcessConfig) -> io::Result<Self> {
        sys::keep_ended_children();
        let (records, leftovers) = Records::open(&config.state).map_err(|error| {
            io::Error::new(error.kind(), format!("The records of running processes cannot be kept: {error}."))
        })?;
        let diag = diag::Diag::open().map_err(|error| {
            let text = format!("The kernel does not tell who connects (NETLINK_SOCK_DIAG): {error}. Load inet_diag and tcp_diag, or allow AF_NETLINK.");
            io::Error::new(error.kind(), text)
        })?;
        let (subtree, containment) = match containment::subtree(config.containment, &config.launcher, &diag) {
            Ok((hierarchy, subtree, keeping)) => {
                let containment = Containment::Cgroup { path: subtree.folder.clone(), keeping };
                records.add_subtree(&subtree)?;
                (Some((hierarchy, subtree)), containment)
            }
            Err(why) => {
                containment::probe(&config.launcher, None, &diag).map_err(io::Error::other)?;
                (None, Containment::Session { why })
            }
        };
        let kept_limits = match &containment {
            Containment::Cgroup { keeping, .. } => keeping.kept,
            Containment::Session { .. } => KeptLimits::default(),
        };
        let leaders = Leaders::new(Mutex::new(BTreeSet::new()));
        let scope = observer::scope(subtree.as_ref().map(|(hierarchy, subtree)| (hierarchy, subtree)), &leaders);
        let starter = Starter::start(config.launcher, subtree.as_ref().map(|(_, subtree)| subtree.folder.clone()))?;
        let shared = Arc::new(Shared {
            agent_root: config.agent_root,
            subtree,
            kept_limits,
            records,
            events: config.events,
            starts: starter.starts(),
            leaders,
            trees: Mutex::default(),
            inspections: AtomicUsize::new(0),
            executor: Arc::downgrade(&config.executor),
        });
        let observer = Arc::new(Observer::new(diag, scope));
        let examinations = Examinations::start(&config.executor, Arc::clone(&observer), &shared.events);
        let (executor, sessions) = (config.executor, OnceLock::new());
        Ok(Self { shared, executor, observer, containment, leftovers, starter, examinations, sessions })
    }

    /// Takes an order without blocking; its answer comes as an event.
    ///
    /// # Errors
    /// [`QueueFull`], and then there will be no answer.
    pub fn order(&self, order: ProcessOrder) -> Result<(), QueueFull> {
        match order {
            ProcessOrder::Spawn(request) => self.spawn(request, None),
            ProcessOrder::Release { spawn, way, person } => self.tell(spawn, Command::Release(way, person)),
            ProcessOrder::Abort { spawn, reason } => self.tell(spawn, Command::Abort(reason)),
            ProcessOrder::Signal { spawn, signal } => self.tell(spawn, Command::Signal(signal)),
            ProcessOrder::Collect { spawn } => self.tell(spawn, Command::Collect),
            ProcessOrder::Discard { spawn } => self.tell(spawn, Command::Discard),
            ProcessOrder::Peek { ticket, spawn } => self.tell(spawn, Command::Peek(ticket)),
            ProcessOrder::Inspect { ticket, queries } => self.inspect(ticket, queries),
            ProcessOrder::Examine { ticket, peer, paths, signers, at } => {
                self.examinations.order(ExamineOrder { ticket, peer, paths, signers, at })
            }
            ProcessOrder::WatchSessions => {
                self.sessions.get_or_init(|| self.executor.spawn(user::follow(self.shared.events.clone())));
                Ok(())
            }
        }
    }

    /// What holds trees together, for the start-up log.
    pub fn containment(&self) -> &Containment {
        &self.containment
    }

    /// Which limits of tasks and plugins the kernel keeps here.
    pub fn kept_limits(&self) -> KeptLimits {
        self.shared.kept_limits
    }

    /// Sentences about what a former agent had left and what became of it, for the start-up log.
    pub fn leftovers(&self) -> &[String] {
        &self.leftovers
    }

    /// What looks at accepted connections; outlives this port.
    pub fn observer(&self) -> Observe {
        let observer = Arc::clone(&self.observer);
        Arc::new(move |stream| observer.watch(stream).map(|(_, witness)| witness))
    }

    /// The same for whom it matters who comes before anybody says a word.
    pub fn arrival_observer(&self) -> ObserveArrival {
        let observer = Arc::clone(&self.observer);
        Arc::new(move |stream| observer.watch(stream))
    }

    /// Takes a `Spawn` of a program that runs for a caller: it gets his descriptors, and nothing that it writes is collected.
    ///
    /// # Errors
    /// [`QueueFull`], and then there will be no answer.
    pub fn spawn_for_caller(&self, request: SpawnRequest, files: CallerFiles) -> Result<(), QueueFull> {
        self.spawn(request, Some(files))
    }

    fn spawn(&self, request: SpawnRequest, files: Option<CallerFiles>) -> Result<(), QueueFull> {
        let spawn = request.spawn;
        let (sender, orders) = smol::channel::bounded(WAITING_ORDERS);
        {
            let mut trees = self.shared.trees();
            if trees.len() >= REGISTRY_ENTRIES {
                return Err(QueueFull(format!("Spawn {spawn} was not taken: {REGISTRY_ENTRIES} process trees exist.")));
            }
            if trees.contains_key(&spawn) {
                return Err(QueueFull(format!("Spawn {spawn} was not taken: its number is in use.")));
            }
            trees.insert(spawn, sender);
        }
        let shared = Arc::clone(&self.shared);
        let life = async move {
            let last = tree::live(Arc::clone(&shared), request, files, &orders).await;
            shared.trees().remove(&spawn);
            orders.close();
            if let Some(last) = last {
                let discarded = matches!(last, ProcessReport::Discarded { .. });
                let mut told = shared.report(last).await;
                // Orders that came too late for the tree still get their answers; a second Discarded would be one too many.
                while let (Some(()), Ok(late)) = (told, orders.try_recv()) {
                    let is_due = |answer: &ProcessReport| !discarded || matches!(answer, ProcessReport::Peeked { .. });
                    if let Some(answer) = answer_without_tree(spawn, late).filter(is_due) {
                        told = shared.report(answer).await;
                    }
                }
            }
        };
        self.executor.spawn(life).detach();
        Ok(())
    }

    fn tell(&self, spawn: SpawnId, command: Command) -> Result<(), QueueFull> {
        let unsent = match self.shared.trees().get(&spawn) {
            Some(orders) => match orders.try_send(command) {
                Ok(()) => return Ok(()),
                Err(smol::channel::TrySendError::Full(command)) => {
                    return Err(QueueFull(format!(
                        "{command:?} for spawn {spawn} was not taken: {WAITING_ORDERS} orders wait."
                    )));
                }
                Err(smol::channel::TrySendError::Closed(command)) => command,
            },
            None => command,
        };
        if let Some(answer) = answer_without_tree(spawn, unsent) {
            let shared = Arc::clone(&self.shared);
            self.executor.spawn(async move { shared.report(answer).await }).detach();
        }
        Ok(())
    }

    fn inspect(&self, ticket: TicketId, queries: Vec<ProgramQuery>) -> Result<(), QueueFull> {
        if self.shared.inspections.fetch_add(1, Ordering::Relaxed) >= INSPECTIONS {
            self.shared.inspections.fetch_sub(1, Ordering::Relaxed);
            return Err(QueueFull(format!("Inspection {ticket} was not taken: {INSPECTIONS} are under way.")));
        }
        let shared = Arc::clone(&self.shared);
        let inspection = async move {
            let look = move || queries.iter().map(|query| executable::inspect(query).facts()).collect();
            let executables = smol::unblock(look).await;
            shared.inspections.fetch_sub(1, Ordering::Relaxed);
            shared.report(ProcessReport::Inspected { ticket, executables }).await
        };
        self.executor.spawn(inspection).detach();
        Ok(())
    }
}

/// What an order deserves whose tree is gone or never was; `None` where it asks for no answer.
fn answer_without_tree(spawn: SpawnId, command: Command) -> Option<ProcessReport> {
    match command {
        Command::Release(..) => {
            Some(ProcessReport::SpawnFailed { spawn, reason: "There is no such prepared process any more.".to_owned() })
        }
        Command::Abort(reason) => Some(ProcessReport::SpawnFailed { spawn, reason }),
        Command::Signal(_) => None,
        Command::Collect => {
            Some(ProcessReport::Collected { spawn, stdout: Captured::default(), stderr: Captured::default() })
        }
        Command::Peek(ticket) => {
            Some(ProcessReport::Peeked { ticket, stdout: Captured::default(), stderr: Captured::default() })
        }
        Command::Discard => Some(ProcessReport::Discarded { spawn }),
    }
}

impl Drop for Processes {
    /// Trees whose orders end kill themselves if the executor still runs; this kills them even if it does not.
    fn drop(&mut self) {
        self.shared.trees().clear();
        self.starter.stop();
        let result = match &self.shared.subtree {
            Some((_, subtree)) => {
                leftovers::kill_and_remove(subtree).and_then(|()| self.shared.records.remove_subtree())
            }
            None => {
                let leaders = self.shared.leaders.lock().unwrap_or_else(PoisonError::into_inner).clone();
                leaders
                    .into_iter()
                    .try_for_each(|leader| place::Place::Session(leader).signal(rustix::process::Signal::KILL))
            }
        };
        if let Err(error) = result {
            log::error!("Not all process trees could be ended: {error}. The next start of the agent ends them.");
        }
    }
}
