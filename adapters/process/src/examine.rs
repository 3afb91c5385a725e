//! Looks at the program at the other end of a connection that the agent did not start; judges nothing.
//!
//! One examination at a time, on a thread of the pool: a stranger who connects again and again keeps no more than one core busy.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use castellan_core::event::ProcessReport;
use castellan_core::id::TicketId;
use castellan_core::time::WallTime;
use castellan_core::trust::signature::SignaturePolicy;
use castellan_core::trust::{Examination, ExaminedProcess, PeerFacts, ProcessFacts, SocketFacts};
use smol::channel::Receiver;

use crate::observer::{Observer, is_alive};
use crate::signature::{Digests, Program};
use crate::{Shared, procfs, signal};

/// Descriptors that are looked at to find a process that was not named, which takes about 100 ms; a user may have millions.
const SEARCHED: usize = 20_000;

/// What is to be looked at.
#[derive(Debug)]
pub(crate) struct ExamineOrder {
    pub(crate) ticket: TicketId,
    pub(crate) peer: PeerFacts,
    pub(crate) paths: Vec<String>,
    pub(crate) signers: Vec<String>,
    pub(crate) at: WallTime,
}

/// Until nobody orders any more.
pub(crate) async fn serve(orders: Receiver<ExamineOrder>, observer: Arc<Observer>, shared: Arc<Shared>) {
    let digests = Arc::new(Digests::default());
    while let Ok(order) = orders.recv().await {
        let ticket = order.ticket;
        digests.set_time(order.at);
        let (observer, digests) = (Arc::clone(&observer), Arc::clone(&digests));
        let found = smol::unblock(move || examine(&observer, order, &digests)).await;
        if shared.report(ProcessReport::Examined { ticket, found: Box::new(found) }).await.is_none() {
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
    let unseen = |why: &dyn std::fmt::Display| format!("Process {pid} cannot be looked at: {why}.");
    let handle =
        signal::open(pid).map_err(|error| unseen(&error))?.ok_or_else(|| format!("There is no process {pid}."))?;
    let program = Program::of_process(pid).map_err(|error| unseen(&error))?.remembering(Arc::clone(digests));
    let stat = procfs::stat(pid).ok_or_else(|| unseen(&"it has no stat in /proc"))?;
    let uid = procfs::effective_uid(pid).ok_or_else(|| unseen(&"it has no status in /proc"))?;
    let is_in_our_user_namespace = is_in_our_user_namespace(pid).map_err(|error| unseen(&error))?;
    let holds_socket = procfs::holds_socket(pid, socket.inode);
    // Of a process that does not hold the connection no more is read: a stranger's word would choose what.
    let policy = SignaturePolicy { pins: if holds_socket { &order.signers } else { &[] }, non_admin: &[] };
    let signature = program.facts(policy).map_err(|error| unseen(&error))?;
    let paths = order.paths.iter().filter(|path| program.is_at(path.as_ref())).cloned().collect();
    let alive = is_alive(&handle);
    let facts = ProcessFacts { pid, session: stat.session, uid, cgroup: None, holds_socket, alive };
    Ok(ExaminedProcess { facts, is_in_our_user_namespace, signature, paths })
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
    Err(format!("No process of user {} that the agent may look at holds the connection.", socket.uid))
}

fn is_in_our_user_namespace(pid: u32) -> std::io::Result<bool> {
    let number = |of: &str| fs::metadata(format!("/proc/{of}/ns/user")).map(|found| (found.dev(), found.ino()));
    Ok(number(&pid.to_string())? == number("self")?)
}
