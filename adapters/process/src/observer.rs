//! Gathers the facts about the other end of an accepted connection; judges nothing.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use castellan_core::trust::{Claim, PeerFacts, ProcessFacts, SocketFacts, Witness};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt;

use crate::cgroup::{self, Cgroup, Hierarchy};
use crate::diag::Diag;
use crate::{procfs, signal};

/// Processes of one tree that are asked for their inner numbers, 15 microseconds each; a larger tree claims outer numbers.
const MEMBERS: usize = 256;

/// The leaders of all trees that stand on their session; shared with what starts and ends them.
pub(crate) type Leaders = Arc<Mutex<BTreeSet<u32>>>;

/// Whose descriptors may be looked at: the claim is a stranger's word, and must not choose what the agent reads.
#[derive(Debug, Clone)]
pub(crate) enum Scope {
    /// Processes below this cgroup.
    Subtree { hierarchy: Hierarchy, subtree: PathBuf },
    /// Processes in the sessions of these leaders.
    Sessions(Leaders),
}

/// Looks at peers.
#[derive(Debug)]
pub(crate) struct Observer {
    diag: Diag,
    scope: Scope,
}

/// One accepted connection.
struct Accepted {
    own_cookie: u64,
    at_accept: Option<SocketFacts>,
}

impl Observer {
    pub(crate) fn new(diag: Diag, scope: Scope) -> Self {
        Self { diag, scope }
    }

    /// Looks at a connection now, and makes the witness that looks again at each decision.
    ///
    /// # Errors
    /// The socket is not connected, or the kernel does not answer.
    pub(crate) fn watch(self: &Arc<Self>, stream: &TcpStream) -> io::Result<(Option<SocketFacts>, Witness)> {
        let (local, peer) = (stream.local_addr()?, stream.peer_addr()?);
        let own_cookie = sockopt::socket_cookie(stream)?;
        let accepted = Accepted { own_cookie, at_accept: self.diag.exact(peer, local)? };
        let (observer, at_accept) = (Arc::clone(self), accepted.at_accept.clone());
        Ok((at_accept, Box::new(move |claim| observer.gather(&accepted, claim))))
    }

    /// In this order: the process, the peer's socket again, our own end last.
    ///
    /// A peer may reset the connection and let a trusted process take over its port. If that happens after accept, the second
    /// look finds a socket with another cookie. If it happened before, both looks find the same wrong socket, and only our own
    /// end tells: it was closed by the reset. So our end must still be ESTABLISHED *after* the second look. It is found by the
    /// reversed addresses and known by its cookie, as a later connection of the same addresses would have another.
    fn gather(&self, accepted: &Accepted, claim: Claim) -> PeerFacts {
        let socket = accepted.at_accept.as_ref();
        let claimed = claim.pid.zip(socket).and_then(|(pid, socket)| self.claimed(pid, socket, claim.certified));
        let holder = match &claimed {
            Some(process) if process.holds_socket => None,
            Some(_) | None => socket.and_then(|socket| self.holder(socket)),
        };
        let is_ours = claimed.as_ref().is_some_and(|process| process.holds_socket);
        let claimed_executable = if is_ours { None } else { claim.pid.zip(socket).and_then(image_of) };
        self.look_again(PeerFacts {
            at_accept: accepted.at_accept.clone(),
            claimed_pid: claim.pid,
            claimed_executable,
            claimed,
            holder,
            own_cookie: accepted.own_cookie,
            ..PeerFacts::default()
        })
    }

    /// The connection once more, after its process was looked at.
    pub(crate) fn look_again(&self, facts: PeerFacts) -> PeerFacts {
        let Some(socket) = &facts.at_accept else {
            return facts;
        };
        let (peer, local) = (socket.peer, socket.local);
        let at_decision = self.look(peer, local);
        let own_end = self.look(local, peer);
        let own_end_established = own_end.is_some_and(|own| own.established && own.cookie == facts.own_cookie);
        PeerFacts { at_decision, own_end_established, ..facts }
    }

    fn look(&self, own: SocketAddr, other: SocketAddr) -> Option<SocketFacts> {
        match self.diag.exact(own, other) {
            Ok(found) => found,
            Err(error) => {
                log::error!(
                    "sock_diag does not tell about {own}: {error}. The peer is refused; see whether a sandbox forbids netlink."
                );
                None
            }
        }
    }

    /// Facts about the process that a client claims to be.
    ///
    /// A process in a process namespace of its own knows only its number there. So where the claim is not the number of a holder,
    /// it may be the inner number of one in the very tree that the socket is from.
    fn claimed(&self, claim: u32, socket: &SocketFacts, certified: bool) -> Option<ProcessFacts> {
        let direct = self.process(claim, socket, certified);
        if direct.as_ref().is_some_and(|process| process.holds_socket) {
            return direct;
        }
        let members = match &self.scope {
            Scope::Subtree { subtree, .. } => {
                socket.cgroup.map(|cgroup| cgroup::members(subtree, cgroup)).unwrap_or_default()
            }
            Scope::Sessions(_) => self.holder(socket).map(|holder| holder.pid).into_iter().collect(),
        };
        let numbered = members.into_iter().take(MEMBERS).filter(|pid| procfs::inner_numbers(*pid).contains(&claim));
        let mut holders =
            numbered.filter_map(|pid| self.process(pid, socket, false)).filter(|process| process.holds_socket);
        holders.next().map(|process| ProcessFacts { pid: claim, ..process }).or(direct)
    }

    /// Facts about a process; its descriptors are read only if it is one of ours or its client is certified.
    fn process(&self, pid: u32, socket: &SocketFacts, certified: bool) -> Option<ProcessFacts> {
        let handle = match signal::open(pid) {
            Ok(handle) => handle?,
            Err(error) => {
                log::error!(
                    "Process {pid} cannot be pinned: {error}. The peer is refused; see the limit of open files."
                );
                return None;
            }
        };
        let own = procfs::Folder::open(pid)?;
        let stat = own.stat()?;
        let (cgroup, ours) = match &self.scope {
            Scope::Subtree { hierarchy, subtree } => {
                let folder = own.cgroup_path().and_then(|path| hierarchy.folder(&path));
                let id = folder.as_ref().and_then(|folder| std::fs::metadata(folder).ok()).map(|found| found.ino());
                (id, folder.is_some_and(|folder| folder.starts_with(subtree)))
            }
            Scope::Sessions(leaders) => {
                let leaders = leaders.lock().unwrap_or_else(PoisonError::into_inner);
                (None, leaders.contains(&stat.session))
            }
        };
        Some(ProcessFacts {
            pid,
            session: stat.session,
            uid: own.effective_uid()?,
            cgroup,
            holds_socket: (ours || certified) && own.holds_socket(socket.inode),
            alive: is_alive(&handle),
        })
    }

    /// Without cgroups: a process in one of our sessions that holds the socket. With cgroups the socket itself tells.
    fn holder(&self, socket: &SocketFacts) -> Option<ProcessFacts> {
        let Scope::Sessions(leaders) = &self.scope else {
            return None;
        };
        let leaders = leaders.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // A socket of a user whom none of our trees runs as is none of ours, and must not make us search.
        let ours = || leaders.iter().any(|leader| procfs::effective_uid(*leader) == Some(socket.uid));
        if socket.inode == 0 || !ours() {
            return None;
        }
        let all = match procfs::all() {
            Ok(all) => all,
            Err(error) => {
                log::error!("/proc cannot be listed: {error}. The peer's process is not looked for.");
                return None;
            }
        };
        let mut ours = all.iter().filter(|process| leaders.contains(&process.session) && !process.is_dead());
        let holder = ours.find(|process| procfs::holds_socket(process.pid, socket.inode))?;
        self.process(holder.pid, socket, false)
    }
}

/// What a process of the socket's user runs; one look, however many it has open.
fn image_of((pid, socket): (u32, &SocketFacts)) -> Option<String> {
    let image = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    (procfs::effective_uid(pid) == Some(socket.uid)).then(|| image.display().to_string())
}

/// Whether a process has not ended; asked last, it makes everything read before be about this process.
pub(crate) fn is_alive(handle: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(handle, PollFlags::IN)];
    rustix::io::retry_on_intr(|| poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })))
        .is_ok_and(|ended| ended == 0)
}

/// Whose processes an observer may look at, by where trees are put.
pub(crate) fn scope(subtree: Option<(&Hierarchy, &Cgroup)>, leaders: &Leaders) -> Scope {
    match subtree {
        Some((hierarchy, subtree)) => Scope::Subtree { hierarchy: hierarchy.clone(), subtree: subtree.folder.clone() },
        None => Scope::Sessions(Arc::clone(leaders)),
    }
}

#[cfg(test)]
mod tests;
