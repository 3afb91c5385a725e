//! The life of one process tree, from the order to start it until nothing of it is left.
//!
//! | state | order or fact | next |
//! | --- | --- | --- |
//! | (none) | launcher started, known, waiting | prepared: report `Prepared` |
//! | prepared | `Release`, program's image runs | running: report `Started` |
//! | prepared | `Abort`, launcher ended, exec failed | over: report `SpawnFailed` |
//! | running | its program was stopped, on a terminal | same: report `Stopped` |
//! | running | main process ended | ended: report `Exited`, not reaped |
//! | ended | `Collect` | ended: report `Collected`; reaped, if a cgroup and not its number names the tree |
//! | any | `Signal` | same: the whole tree is signalled, or its job ([`signals`]) |
//! | any | `Discard` | over: everything killed, reaped, removed; report `Discarded` |
//! | any | nobody gives orders or takes reports any more | over, silently |

mod attend;
mod execute;
mod make;
mod signals;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_io::{Async, Timer};
use castellan_core::effect::{SpawnRequest, TreeSignal, Way};
use castellan_core::event::{Captured, ExitStatus, ProcessReport};
use castellan_core::id::{SpawnId, TicketId};
use castellan_core::user::{Person, UserFacts};
use rustix::process::{Signal, WaitId, WaitIdOptions, waitid};
use smol::Task;
use smol::channel::{Receiver, Sender};
use smol::future::FutureExt;

use self::attend::Attended;
use crate::executable::Inspection;
use crate::place::Place;
use crate::{CallerFiles, Shared, capture, user};

/// From an empty tree to an ended main process; a process that cannot end must not hold up everything else.
const END_TIME: Duration = Duration::from_secs(5);
/// First pause between two looks whether a killed tree is gone; doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// Looks before a tree that does not die is given up, in all about ten seconds.
const LOOKS: usize = 48;

/// Orders to one tree.
#[derive(Debug)]
pub(crate) enum Command {
    Release(Way, Option<Box<Person>>),
    Abort(String),
    Signal(TreeSignal),
    Collect,
    Peek(TicketId),
    Discard,
}

/// A tree whose launcher is known.
struct Tree {
    shared: Arc<Shared>,
    spawn: SpawnId,
    pid: u32,
    handle: Async<OwnedFd>,
    control: Async<UnixStream>,
    place: Place,
    outputs: Option<Outputs>,
    /// Its program, where that is not its main process.
    attended: Option<Attended>,
    reaped: bool,
}

/// Readers of both pipes; they stop when `ended` is dropped.
struct Outputs {
    ended: Sender<()>,
    stdout: Stream,
    stderr: Stream,
}

/// One pipe: what was kept of it, and who reads it.
struct Stream {
    kept: capture::Shared,
    reader: Task<()>,
}

/// What comes next in a tree's life.
enum Next {
    Order(Command),
    /// Nobody gives orders any more.
    Orphaned,
    /// The main process ended.
    Ended,
    /// Its program was stopped by this signal.
    Stopped(i32),
}

/// What is awaited beside orders.
#[derive(Clone, Copy)]
enum Until {
    /// The end of the launcher.
    Release,
    /// The end of the main process, and stops of a program that is attended to.
    End,
    /// Nothing.
    Discard,
}

/// Lives a tree from its order to its end; answers with its last report, if anybody still waits for one.
pub(crate) async fn live(
    shared: Arc<Shared>,
    request: SpawnRequest,
    mut files: Option<CallerFiles>,
    orders: &Receiver<Command>,
) -> Option<ProcessReport> {
    let spawn = request.spawn;
    let query = request.user.clone();
    let look = async {
        match &query {
            Some(query) => Some(Box::new(user::look(query).await)),
            None => None,
        }
    };
    let (prepared, user) = smol::future::zip(Tree::prepare(shared, &request, files.as_ref()), look).await;
    let (mut tree, inspection) = match prepared {
        Ok(prepared) => prepared,
        Err(reason) => {
            close(files).await;
            return Some(ProcessReport::SpawnFailed { spawn, reason });
        }
    };
    let last = tree.live(orders, inspection, user, request, &mut files).await;
    tree.end().await;
    close(files).await;
    last
}

/// Closes what a caller lent, once nobody needs it here any more.
async fn close(files: Option<CallerFiles>) {
    if let Some(files) = files {
        files.close().await;
    }
}

impl Tree {
    /// From prepared to the last report.
    async fn live(
        &mut self,
        orders: &Receiver<Command>,
        inspection: Inspection,
        user: Option<Box<UserFacts>>,
        request: SpawnRequest,
        files: &mut Option<CallerFiles>,
    ) -> Option<ProcessReport> {
        let spawn = self.spawn;
        let cgroup = match &self.place {
            Place::Cgroup(cgroup) => Some(cgroup.id),
            Place::Session(_) => None,
        };
        let pid = self.attended.as_ref().map_or(self.pid, |attended| attended.pid);
        let report = ProcessReport::Prepared { spawn, pid, cgroup, executable: inspection.facts(), user };
        self.shared.report(report).await?;
        let (way, person) = loop {
            match self.next(orders, Until::Release).await {
                Next::Order(Command::Release(way, person)) => break (way, person),
                Next::Order(Command::Abort(reason)) => return Some(ProcessReport::SpawnFailed { spawn, reason }),
                Next::Order(Command::Signal(signal)) => self.signal(signal).await,
                Next::Order(Command::Peek(ticket)) => self.peek(ticket).await?,
                Next::Order(Command::Collect) => self.out_of_turn("Collect"),
                Next::Order(Command::Discard) => return Some(ProcessReport::Discarded { spawn }),
                Next::Orphaned => return None,
                Next::Ended | Next::Stopped(_) => {
                    let reason = "The launcher was ended before it was released.".to_owned();
                    return Some(ProcessReport::SpawnFailed { spawn, reason });
                }
            }
        };
        let executed = self.execute(way, inspection, request, person.map(|person| *person), files.as_ref()).await;
        close(files.take()).await;
        if let Err(reason) = executed {
            return Some(ProcessReport::SpawnFailed { spawn, reason });
        }
        self.shared.report(ProcessReport::Started { spawn }).await?;
        self.run(orders).await
    }

    /// From running to the last report.
    async fn run(&mut self, orders: &Receiver<Command>) -> Option<ProcessReport> {
        let spawn = self.spawn;
        let mut discard = false;
        while !discard {
            match self.next(orders, Until::End).await {
                Next::Ended => break,
                Next::Orphaned => return None,
                Next::Stopped(signal) => self.shared.report(ProcessReport::Stopped { spawn, signal }).await?,
                Next::Order(Command::Signal(signal)) => self.signal(signal).await,
                Next::Order(Command::Discard) => discard = true,
                Next::Order(Command::Peek(ticket)) => self.peek(ticket).await?,
                Next::Order(Command::Collect) => self.out_of_turn("Collect"),
                Next::Order(Command::Release(..)) => self.out_of_turn("Release"),
                Next::Order(Command::Abort(_)) => self.out_of_turn("Abort"),
            }
        }
        if discard {
            self.kill().await;
        }
        self.shared.report(ProcessReport::Exited { spawn, status: self.exit_status() }).await?;
        while !discard {
            match self.next(orders, Until::Discard).await {
                Next::Ended | Next::Stopped(_) | Next::Orphaned => return None,
                Next::Order(Command::Collect) => {
                    let (stdout, stderr) = self.collect().await;
                    self.shared.report(ProcessReport::Collected { spawn, stdout, stderr }).await?;
                }
                Next::Order(Command::Peek(ticket)) => self.peek(ticket).await?,
                Next::Order(Command::Signal(signal)) => self.signal(signal).await,
                Next::Order(Command::Discard) => discard = true,
                Next::Order(Command::Release(..)) => self.out_of_turn("Release"),
                Next::Order(Command::Abort(_)) => self.out_of_turn("Abort"),
            }
        }
        Some(ProcessReport::Discarded { spawn })
    }

    /// An order that does not fit the state is a defect of whoever gave it; it must not be lost unseen.
    fn out_of_turn(&self, order: &str) {
        log::error!(
            "{order} does not fit the state of spawn {} (process {}) and is ignored: report this.",
            self.spawn,
            self.pid
        );
    }

    /// The next order or fact. The end comes first, then a stop: they are facts already.
    async fn next(&self, orders: &Receiver<Command>, until: Until) -> Next {
        let order = async { orders.recv().await.map_or(Next::Orphaned, Next::Order) };
        let ended = async {
            match self.handle.readable().await {
                Ok(()) => Next::Ended,
                Err(error) => {
                    log::error!("Process {} cannot be watched any further: {error}. It is killed.", self.pid);
                    Next::Orphaned
                }
            }
        };
        match until {
            Until::Discard => order.await,
            Until::Release => ended.or(order).await,
            Until::End => ended.or(self.next_stop()).or(order).await,
        }
    }

    /// Kills the tree until nothing of it lives, and sees its main process ended.
    async fn kill(&self) {
        self.kill_members().await;
        // A cgroup counts as empty a moment before the process in it can be waited for.
        if !self.reaped && within(END_TIME, self.handle.readable()).await.is_none() {
            log::error!("Process {} does not end though its tree was killed.", self.pid);
        }
    }

    async fn kill_members(&self) {
        // This look takes microseconds; only what is left is worth another thread. An error is met again there.
        if matches!(&self.place, Place::Cgroup(cgroup) if cgroup.is_empty().unwrap_or_default()) {
            return;
        }
        let mut pause = FIRST_PAUSE;
        let mut problem = None;
        for _ in 0..LOOKS {
            let place = self.place.clone();
            let look = smol::unblock(move || {
                if place.is_empty()? {
                    return Ok(true);
                }
                place.signal(Signal::KILL)?;
                place.is_empty()
            });
            match look.await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => problem = Some::<io::Error>(error),
            }
            Timer::after(pause).await;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
        let why = problem.map_or_else(|| "it does not react to SIGKILL".to_owned(), |error| error.to_string());
        log::error!("The tree of process {} (spawn {}) cannot be ended: {why}. End it by hand.", self.pid, self.spawn);
    }

    /// How the main process ended; it stays unreaped.
    fn exit_status(&self) -> ExitStatus {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        let status = match waitid(WaitId::PidFd(self.handle.as_fd()), options) {
            Ok(status) => status,
            Err(error) => {
                log::error!("How process {} ended is unknown: {error}. Somebody else reaped it.", self.pid);
                None
            }
        };
        let signal = status.as_ref().and_then(rustix::process::WaitIdStatus::terminating_signal);
        let code = status.as_ref().and_then(rustix::process::WaitIdStatus::exit_status);
        match (signal, code) {
            (Some(signal), _) if signal == Signal::KILL.as_raw() && self.place.was_out_of_memory() => {
                ExitStatus::OutOfMemory
            }
            (Some(signal), _) => ExitStatus::Signal(signal),
            (None, Some(code)) => ExitStatus::Code(code),
            (None, None) => ExitStatus::Code(-1),
        }
    }

    /// Tells what the main process has written so far; once that is collected, nothing.
    async fn peek(&self, ticket: TicketId) -> Option<()> {
        let kept = |outputs: &Outputs| (capture::kept(&outputs.stdout.kept), capture::kept(&outputs.stderr.kept));
        let (stdout, stderr) = self.outputs.as_ref().map(kept).unwrap_or_default();
        self.shared.report(ProcessReport::Peeked { ticket, stdout, stderr }).await
    }

    /// What the main process wrote; reaps it, unless its number is still needed as the session's.
    async fn collect(&mut self) -> (Captured, Captured) {
        let captured = match self.outputs.take() {
            Some(Outputs { ended, stdout, stderr }) => {
                drop(ended);
                stdout.reader.await;
                stderr.reader.await;
                (capture::kept(&stdout.kept), capture::kept(&stderr.kept))
            }
            None => {
                self.out_of_turn("A second Collect");
                (Captured::default(), Captured::default())
            }
        };
        if matches!(self.place, Place::Cgroup(_)) {
            self.reap();
        }
        captured
    }

    fn reap(&mut self) {
        if self.reaped {
            return;
        }
        match waitid(WaitId::PidFd(self.handle.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(Some(_)) => self.reaped = true,
            Ok(None) => log::error!("Process {} cannot be reaped: it lives.", self.pid),
            Err(error) => log::error!("Process {} cannot be reaped: {error}.", self.pid),
        }
    }

    /// Leaves nothing: no process, no zombie, no cgroup, no record.
    async fn end(&mut self) {
        self.outputs = None;
        self.kill().await;
        let result = match &self.place {
            Place::Cgroup(_) => self.place.remove(),
            Place::Session(leader) => {
                // The record goes before the number may become another's.
                let result = self.shared.records.remove_session(*leader);
                self.shared.leaders.lock().unwrap_or_else(PoisonError::into_inner).remove(leader);
                result
            }
        };
        if let Err(error) = result {
            log::warn!("What was made for process {} (spawn {}) is left: {error}.", self.pid, self.spawn);
        }
        self.reap();
    }
}

/// What a future gives, if it gives it in time.
pub(crate) async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let late = async {
        Timer::after(limit).await;
        None
    };
    async { Some(future.await) }.or(late).await
}
