//! From facts to an identity: the steps of security by which a connection becomes a started process tree, or a refusal.

use alloc::format;
use alloc::string::String;

use super::{Entry, Peer, PeerFacts, ProcessFacts, Registry, SocketFacts};
use crate::id::{Component, RunId, SpawnId};
use crate::limits::DESCRIPTORS;
use crate::why::Explanation;

/// Who a connection is: the registry's word, not the client's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The tree.
    pub spawn: SpawnId,
    /// Whose it is.
    pub component: Component,
    /// The run, where the component is a job.
    pub run: Option<RunId>,
    /// The process that holds the socket, where one was claimed (and verified) or found.
    pub pid: Option<u32>,
}

/// Where a refused peer failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// The connection belongs to no tree of the registry.
    NotTrusted,
    /// The connection belongs to a tree of the registry, but the claimed process id is not the peer's own.
    ClaimedPidNotOwn,
}

/// Why a peer has no identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which answer it deserves.
    pub kind: RefusalKind,
    /// The step that failed and how to get past it.
    pub explanation: Explanation,
    /// Who it is, as far as it is known.
    pub peer: Peer,
}

const START_IT: &str = "Let the agent start the program: as a task of a job (Jobs/) or as a plugin (Plugins/).";
const CONNECT_AGAIN: &str = "Connect again and keep the socket open until the answer has come.";
const OWN_PID: &str =
    "End the client id with the process id of the program that opens the connection (os.getpid(), std::process::id()).";

impl Registry {
    /// Who is at the other end, judged by the facts of this moment.
    ///
    /// # Errors
    /// [`Refusal`] names the first step that failed.
    pub fn identify(&self, facts: &PeerFacts) -> Result<Identity, Refusal> {
        let socket = same_socket(facts).map_err(|why| not_trusted(facts, why, CONNECT_AGAIN))?;
        let by_cgroup = socket.cgroup.and_then(|cgroup| self.owner_of_cgroup(cgroup));
        let entry = match by_cgroup {
            Some(entry) => entry,
            None => self.by_session(facts, socket)?,
        };
        let pid = match facts.claimed_pid {
            Some(claim) => Some(verified_claim(entry, facts, claim)?),
            None => facts.holder.as_ref().filter(|holder| owns(entry, holder)).map(|holder| holder.pid),
        };
        Ok(Identity { spawn: entry.spawn, component: entry.component.clone(), run: entry.run.clone(), pid })
    }

    /// Without cgroups: the tree whose session the socket's holder is in.
    fn by_session(&self, facts: &PeerFacts, socket: &SocketFacts) -> Result<&Entry, Refusal> {
        let holders = [facts.claimed.as_ref(), facts.holder.as_ref()];
        let Some(holder) = holders.into_iter().flatten().find(|process| process.alive && process.holds_socket) else {
            return Err(not_trusted(
                facts,
                String::from("No process that the agent started holds the connection."),
                START_IT,
            ));
        };
        let refuse = |why| {
            Err(Refusal {
                peer: Peer { pid: Some(holder.pid), ..Peer::of(facts) },
                ..not_trusted(facts, why, START_IT)
            })
        };
        let Some(entry) = self.owner_of_session(holder.session) else {
            return refuse(format!(
                "Process {} (session {}) holds the connection, and the agent started no such process.",
                holder.pid, holder.session
            ));
        };
        if socket.uid != entry.uid || holder.uid != entry.uid {
            return refuse(format!(
                "Process {} of {} runs as user {}, but user {} opened the connection and user {} holds it.",
                entry.pid, entry.component, entry.uid, socket.uid, holder.uid
            ));
        }
        Ok(entry)
    }
}

/// The process that holds the peer's socket, whoever started it: the one that the client claims to be, and beyond doubt.
///
/// # Errors
/// [`Refusal`] names the first step that failed.
pub fn own_process(facts: &PeerFacts) -> Result<u32, Refusal> {
    same_socket(facts).map_err(|why| not_trusted(facts, why, CONNECT_AGAIN))?;
    let why = match (facts.claimed_pid, &facts.claimed) {
        (Some(claim), Some(process)) if process.pid == claim => {
            if process.alive && process.holds_socket {
                return Ok(claim);
            }
            format!("Process {claim} does not hold this connection, or the agent's user may not look at it.")
        }
        (Some(claim), _) => format!("There is no process {claim}."),
        (None, _) => String::from("It claims no process id."),
    };
    let refusal = not_trusted(facts, why, OWN_PID);
    Err(Refusal {
        kind: RefusalKind::ClaimedPidNotOwn,
        peer: Peer { pid: facts.claimed_pid, ..refusal.peer },
        ..refusal
    })
}

/// The peer's socket, if it is beyond doubt one and the same from accept to decision.
///
/// # Errors
/// A sentence: what is in doubt.
pub(crate) fn same_socket(facts: &PeerFacts) -> Result<&SocketFacts, String> {
    let Some(first) = &facts.at_accept else {
        return Err(String::from("The kernel knew no such connection when it was accepted."));
    };
    let Some(second) = &facts.at_decision else {
        return Err(String::from("The connection was gone when its peer was looked at."));
    };
    for (socket, when) in [(first, "at accept"), (second, "at the decision")] {
        if !socket.established {
            return Err(format!("The peer's end was not ESTABLISHED {when}."));
        }
        if socket.inode == 0 {
            return Err(format!("No process held the peer's end {when}."));
        }
    }
    if first != second {
        return Err(format!(
            "Port {} changed hands: it was socket {} of user {} at accept and is socket {} of user {} now.",
            first.peer.port(),
            first.cookie,
            first.uid,
            second.cookie,
            second.uid
        ));
    }
    if !facts.own_end_established {
        return Err(String::from("Our own end of the connection was reset while its peer was looked at."));
    }
    Ok(first)
}

/// Whether a process belongs to a tree: exactly its cgroup, else its session and user.
fn owns(entry: &Entry, process: &ProcessFacts) -> bool {
    match entry.cgroup {
        Some(cgroup) => process.cgroup == Some(cgroup),
        None => process.session == entry.session && process.uid == entry.uid,
    }
}

/// The claimed process id, if it is the peer's own.
fn verified_claim(entry: &Entry, facts: &PeerFacts, claim: u32) -> Result<u32, Refusal> {
    let why = match facts.claimed.as_ref().filter(|process| process.pid == claim) {
        None => format!("There is no process {claim}."),
        Some(process) if !process.alive => format!("Process {claim} has ended."),
        Some(process) if !owns(entry, process) => format!("Process {claim} is not one of {}.", entry.component),
        Some(process) if !process.holds_socket => {
            format!("Process {claim} does not hold this connection among its first {DESCRIPTORS} descriptors.")
        }
        Some(_) => return Ok(claim),
    };
    Err(Refusal {
        kind: RefusalKind::ClaimedPidNotOwn,
        explanation: Explanation::new(
            format!("The connection is one of {}, but the process id it claims is not its own.", entry.component),
            why,
            OWN_PID,
        ),
        peer: Peer { pid: Some(claim), ..Peer::of(facts) },
    })
}

/// A refusal of somebody who is not trusted.
pub(crate) fn not_trusted(facts: &PeerFacts, why: String, fix: &str) -> Refusal {
    let peer = match &facts.at_accept {
        Some(socket) => format!("{} (user {})", socket.peer, socket.uid),
        None => String::from("the peer"),
    };
    let image = facts.claimed_executable.as_ref().map(|image| format!(" ({image})")).unwrap_or_default();
    let claim = facts.claimed_pid.map(|pid| format!(", claiming to be process {pid}{image},")).unwrap_or_default();
    Refusal {
        kind: RefusalKind::NotTrusted,
        explanation: Explanation::new(format!("The connection from {peer}{claim} is not trusted."), why, fix),
        peer: Peer::of(facts),
    }
}
