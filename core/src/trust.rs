//! Process trust: facts about a connection in, an identity or a refusal out (contract section 4).
//!
//! [`Registry`] knows the process trees that the agent started; [`Registry::identify`] holds [`PeerFacts`] against it:
//!
//! 1. The peer's socket is judged first: known to the kernel at accept *and* at the decision, the same one (cookie, inode,
//!    creator, cgroup, addresses), ESTABLISHED, held by somebody, and our own end ESTABLISHED last of all. Otherwise another
//!    process may have got the port number in between, and nothing else that was gathered means anything.
//! 2. With cgroups the socket's own cgroup names the tree. A descriptor that was passed on, a double fork, a process moved
//!    elsewhere: none of them changes it.
//! 3. Without cgroups the process that holds the socket names the tree by its session, while the session's leader lives
//!    (its number is then pinned) and if the creator's user id is the tree's. A socket passed between processes of one user
//!    cannot be seen in this mode; the start-up log says which mode is in force.
//! 4. A claimed process id must be a living process of that very tree which holds that very socket.
//!
//! Invariants: an identity is always one that the registry holds at that moment; cgroup ids 0 and 1 (none, the root) name
//! nobody; the client's own words are only ever held against the kernel's. Programs that the agent did not start are
//! judged by their process and their [`signature`]: [`Examination`].

mod identify;
mod registry;
pub mod signature;
mod stranger;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::string::String;
use core::net::SocketAddr;

use schemars::JsonSchema;
use serde::Serialize;

pub use identify::{Identity, Refusal, RefusalKind, own_process};
pub(crate) use identify::{not_trusted, same_socket};
pub use registry::{Entry, Registry};
pub use stranger::{Budget, Examination, ExaminedProcess, Stranger};

/// What the kernel says about one end of a TCP connection (`sock_diag`), at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketFacts {
    /// The peer's address.
    pub peer: SocketAddr,
    /// Our address.
    pub local: SocketAddr,
    /// Whether the peer's socket is in state ESTABLISHED.
    pub established: bool,
    /// Inode of the peer's socket; 0 once its last descriptor is closed.
    pub inode: u64,
    /// User id of the socket's creator, seen from the initial user namespace.
    pub uid: u32,
    /// The kernel's number of this very socket, never used again while the machine runs.
    pub cookie: u64,
    /// Id of the cgroup v2 that the socket was created in, where the kernel tells.
    pub cgroup: Option<u64>,
}

/// What is known about one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessFacts {
    /// Process id; where a client claims the number that it has in a process namespace of its own, and is the peer, that number.
    pub pid: u32,
    /// Session id: the process id of the session's leader.
    pub session: u32,
    /// Effective user id.
    pub uid: u32,
    /// Id of its cgroup v2, where there is one.
    pub cgroup: Option<u64>,
    /// Whether the connection's socket is among its descriptors.
    pub holds_socket: bool,
    /// Whether it was still alive after everything above had been read.
    pub alive: bool,
}

/// Everything gathered about the other end of a connection for one decision, in this order of time. The default leads to nobody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeerFacts {
    /// When the connection was accepted; `None` where the kernel knew no such socket.
    pub at_accept: Option<SocketFacts>,
    /// The process id that the client claims (MQTT client id), if it claims one.
    pub claimed_pid: Option<u32>,
    /// The claimed process, where it exists.
    pub claimed: Option<ProcessFacts>,
    /// The image of the claimed process, where that is none of ours and runs as the socket's user: for the record, and nothing else.
    pub claimed_executable: Option<String>,
    /// Without cgroups: a process below one of ours that holds the socket.
    pub holder: Option<ProcessFacts>,
    /// The peer's socket once more, after everything above.
    pub at_decision: Option<SocketFacts>,
    /// Whether our own end was still ESTABLISHED, looked at last.
    pub own_end_established: bool,
    /// The kernel's number of our own end.
    pub own_cookie: u64,
}

impl PeerFacts {
    /// Whether root opened the connection: its programs are looked at apart, so that no other user can keep them waiting.
    pub fn is_of_root(&self) -> bool {
        self.at_accept.as_ref().is_some_and(|socket| socket.uid == 0)
    }
}

/// Who was at the other end, as far as it is known, for the record of a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Peer {
    /// The verified process id, else the claimed one.
    pub pid: Option<u32>,
    /// The user id that the kernel names.
    pub uid: Option<u32>,
    /// The image that this process runs, where the agent looked.
    pub executable: Option<String>,
}

impl Peer {
    /// Of a process of which no more is said.
    pub const fn process(pid: Option<u32>) -> Self {
        Self { pid, uid: None, executable: None }
    }

    /// What the facts tell without a verdict.
    pub fn of(facts: &PeerFacts) -> Self {
        let pid = facts.holder.as_ref().map(|holder| holder.pid).or(facts.claimed_pid);
        let uid = facts.at_accept.as_ref().map(|socket| socket.uid);
        Self { pid, uid, executable: facts.claimed_executable.clone() }
    }
}

/// What a peer says of itself, and how far that may be looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Claim {
    /// The process id that it claims (MQTT client id), if it claims one.
    pub pid: Option<u32>,
    /// Whether it presented a client certificate that the admin CA issued: then that process is looked at even if the agent did
    /// not start it. A stranger's word must not choose what the agent reads.
    pub certified: bool,
}

/// Bound to one accepted connection; called with the peer's claim it gathers the facts of this moment.
pub type Witness = Box<dyn Fn(Claim) -> PeerFacts + Send + Sync>;
