//! Looks at the program at the other end of a connection that the agent did not start; judges nothing.
//!
//! Root's programs one after the other, and beside them everybody else's: no user keeps root's programs waiting, or more than a core
//! or two busy. Each order is answered in time, also where a file cannot be read because the network that it lies on hangs.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Duration;

use async_io::Timer;
use castellan_core::event::{Event, ProcessReport};
use castellan_core::id::TicketId;
use castellan_core::limits::{DESCRIPTORS, EXAMINATIONS};
use castellan_core::time::WallTime;
use castellan_core::trust::signature::SignaturePolicy;
use castellan_core::trust::{Examination, ExaminedProcess, PeerFacts, ProcessFacts, SocketFacts};
use smol::Executor;
use smol::channel::{Receiver, Sender};
use smol::future::FutureExt;
use smol::lock::Semaphore;

use crate::observer::{Observer, is_alive};
use crate::signature::{Digests, Program};
use crate::{QueueFull, procfs, signal};

/// From an order to its answer. The broker lets a CONNECT wait for half a second longer, so that the refusal says what it was.
const LIMIT: Duration = Duration::from_millis(2500);
/// Looks of one queue under way: one that is waited for, and those that were not over in time, which nothing can end.
const LOOKS: usize = 3;
/// Descriptors that are looked at to find a process that was not named, which takes about 100 ms; a user may have millions.
const SEARCHED: usize = 20_000;

/// In the sets of `/proc/PID/status` (capabilities(7)).
const CAP_SYS_ADMIN: u64 = 1 << 21;

/// What is to be looked at.
#[derive(Debug)]
pub(crate) struct ExamineOrder {
    pub(crate) ticket: TicketId,
    pub(crate) peer: PeerFacts,
    pub(crate) paths: Vec<String>,
    pub(crate) signers: Vec<String>,
    pub(crate) at: WallTime,
}

/// An order that waits, until its time is over.
struct Waiting {
    order: ExamineOrder,
    late: Timer,
}

/// What looks at the program of an order; blocks.
type Look = Arc<dyn Fn(ExamineOrder) -> Examination + Send + Sync>;

/// Where looks are ordered.
pub(crate) struct Examinations {
    of_root: Sender<Waiting>,
    of_others: Sender<Waiting>,
    limit: Duration,
}

impl fmt::Debug for Examinations {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Examinations").finish_non_exhaustive()
    }
}

impl Examinations {
    /// Ready to look, on threads of the pool; the answers go to `events`.
    pub(crate) fn start(executor: &Executor<'static>, observer: Arc<Observer>, events: &Sender<Event>) -> Self {
        let digests = Arc::new(Digests::default());
        let look = move |order| examine(&observer, order, &digests);
        Self::start_with(executor, Arc::new(look), LIMIT, events)
    }

    fn start_with(executor: &Executor<'static>, look: Look, limit: Duration, events: &Sender<Event>) -> Self {
        let queue = || {
            let (sender, orders) = smol::channel::bounded(EXAMINATIONS);
            executor.spawn(serve(orders, Arc::clone(&look), events.clone())).detach();
            sender
        };
        Self { of_root: queue(), of_others: queue(), limit }
    }

    /// Takes an order without blocking.
    ///
    /// # Errors
    /// [`QueueFull`], and then there will be no answer.
    pub(crate) fn order(&self, order: ExamineOrder) -> Result<(), QueueFull> {
        let ticket = order.ticket;
        let queue = if order.peer.is_of_root() { &self.of_root } else { &self.of_others };
        queue.try_send(Waiting { order, late: Timer::after(self.limit) }).map_err(|_unsent| {
            QueueFull(format!("Examination {ticket} was not taken: {EXAMINATIONS} wait, or the agent is stopping."))
        })
    }
}

/// One order after the other, until nobody orders any more or takes answers.
async fn serve(orders: Receiver<Waiting>, look: Look, events: Sender<Event>) {
    let free = Arc::new(Semaphore::new(LOOKS));
    while let Ok(Waiting { order, late }) = orders.recv().await {
        let (ticket, peer) = (order.ticket, order.peer.clone());
        let (look, free) = (Arc::clone(&look), Arc::clone(&free));
        let looked = async move {
            let place = free.acquire_arc().await;
            // Goes on where it is late, and what it hashed is remembered.
            smol::unblock(move || (look(order), drop(place)).0).await
        };
        let too_late = async move {
            late.await;
            let why =
                "Its program could not be looked at in time: the agent is busy with others, or a file cannot be read.";
            Examination { peer, process: Err(why.to_owned()) }
        };
        let found = Box::new(looked.or(too_late).await);
        if events.send(Event::Process(ProcessReport::Examined { ticket, found })).await.is_err() {
            return;
        }
    }
}

/// The process first, then the connection once more, as for processes of our own.
fn examine(observer: &Observer, order: ExamineOrder, digests: &Arc<Digests>) -> Examination {
    let process = match &order.peer.at_accept {
        Some(socket) => look(socket, &order, digests),
        None => Err("The kernel knew no such connection when it was accepted.".to_owned()),
    };
    let peer = observer.look_again(order.peer);
    Examination { peer, process }
}

fn look(socket: &SocketFacts, order: &ExamineOrder, digests: &Arc<Digests>) -> Result<ExaminedProcess, String> {
    let pid = match order.peer.claimed_pid {
        Some(claim) => claim,
        None => search(socket)?,
    };
    let unseen = |why: &dyn fmt::Display| format!("Process {pid} cannot be looked at: {why}.");
    let handle =
        signal::open(pid).map_err(|error| unseen(&error))?.ok_or_else(|| format!("There is no process {pid}."))?;
    let program = Program::of_process(pid).map_err(|error| unseen(&error))?.remembering(Arc::clone(digests), order.at);
    let stat = procfs::stat(pid).ok_or_else(|| unseen(&"it has no stat in /proc"))?;
    let uid = procfs::effective_uid(pid).ok_or_else(|| unseen(&"it has no status in /proc"))?;
    let is_in_our_user_namespace = is_in_our_namespace(pid, "user").map_err(|error| unseen(&error))?;
    let is_in_our_process_namespace = is_in_our_namespace(pid, "pid").map_err(|error| unseen(&error))?;
    let may_administer = procfs::effective_capabilities(pid).is_some_and(|set| set & CAP_SYS_ADMIN != 0);
    let holds_socket = procfs::holds_socket(pid, socket.inode);
    // Of a process that does not hold the connection no more is read: a stranger's word would choose what.
    let policy = SignaturePolicy { pins: if holds_socket { &order.signers } else { &[] }, non_admin: &[] };
    let signature = program.facts(policy).map_err(|error| unseen(&error))?;
    let paths = order.paths.iter().filter(|path| program.is_at(path.as_ref())).cloned().collect();
    let alive = is_alive(&handle);
    let facts = ProcessFacts { pid, session: stat.session, uid, cgroup: None, holds_socket, alive };
    Ok(ExaminedProcess {
        facts,
        is_in_our_user_namespace,
        is_in_our_process_namespace,
        may_administer,
        signature,
        paths,
    })
}

/// The process of the socket's user that holds it.
fn search(socket: &SocketFacts) -> Result<u32, String> {
    let mut left = SEARCHED;
    let all = procfs::all().map_err(|error| format!("The processes cannot be listed: {error}."))?;
    for process in all {
        let is_its_user = procfs::effective_uid(process.pid) == Some(socket.uid);
        if is_its_user && procfs::holds_socket_within(process.pid, socket.inode, &mut left) {
            return Ok(process.pid);
        }
        if left == 0 {
            let uid = socket.uid;
            return Err(format!(
                "The process that holds the connection is not among the first {SEARCHED} descriptors of user {uid}; name it in the field X-Keeper-Pid."
            ));
        }
    }
    Err(format!(
        "No process of user {} that the agent may look at holds the connection among its first {DESCRIPTORS} descriptors.",
        socket.uid
    ))
}

fn is_in_our_namespace(pid: u32, kind: &str) -> std::io::Result<bool> {
    let number = |of: &str| fs::metadata(format!("/proc/{of}/ns/{kind}")).map(|found| (found.dev(), found.ino()));
    Ok(number(&pid.to_string())? == number("self")?)
}

#[cfg(test)]
mod tests;
