//! A program that the agent did not start, judged by what the kernel tells of its process and by its signature (contract section 4),
//! or as root, where the settings let root administrate without a certificate.
//!
//! In this order: the peer's socket is one and the same and ESTABLISHED, a living process holds it, that process's user opened it
//! and is no user of a namespace of its own (there everybody may say which image he runs), and every rule of [`signature`] is met.
//!
//! [`signature`]: super::signature

mod budget;
#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::identify::{Refusal, not_trusted, same_socket};
use super::signature::{SignatureFacts, SignaturePolicy, Verdict};
use super::{Peer, PeerFacts, ProcessFacts};
use crate::limits::DESCRIPTORS;
use crate::time::WallTime;
use crate::why::Explanation;

pub use budget::Budget;

/// What was found out about a peer that the registry does not know, for one verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examination {
    /// The peer's socket at accept and after everything else, and our own end last.
    pub peer: PeerFacts,
    /// The process that was examined, or why none was, as a sentence.
    pub process: Result<ExaminedProcess, String>,
}

/// A process that holds a connection, with the program that it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExaminedProcess {
    /// The process; its cgroup and session are of no account here.
    pub facts: ProcessFacts,
    /// Whether it is in the agent's own user namespace.
    pub is_in_our_user_namespace: bool,
    /// Whether it is in the agent's own process namespace.
    pub is_in_our_process_namespace: bool,
    /// Whether it has `CAP_SYS_ADMIN` in its effective set, which root of a container mostly has not.
    pub may_administer: bool,
    /// Its image and that image's signature.
    pub signature: SignatureFacts,
    /// Those of the paths that were asked about which lead to this very image.
    pub paths: Vec<String>,
}

/// A program that is trusted by its signature, for as long as its process holds the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// Process id.
    pub pid: u32,
    /// Effective user id.
    pub uid: u32,
    /// Base name of its image.
    pub name: String,
    /// Those of the paths that were asked about which lead to this very image.
    pub paths: Vec<String>,
}

impl Examination {
    /// Who is at the other end.
    ///
    /// # Errors
    /// [`Refusal`] names the first step that failed.
    pub fn judge(&self, policy: SignaturePolicy<'_>, now: WallTime) -> Result<Stranger, Refusal> {
        let process = self.holder()?;
        let ProcessFacts { pid, uid, .. } = process.facts;
        let image = &process.signature.image.path;
        match Verdict::decide(&process.signature, policy, now).refusal {
            None => {
                let name = image.rsplit('/').next().unwrap_or_default();
                Ok(Stranger { pid, uid, name: String::from(name), paths: process.paths.clone() })
            }
            Some(Explanation { why, fix, .. }) => {
                let why = format!("Process {pid} runs {image}, which the agent did not start. {why}");
                Err(self.refusal(process, why, &fix))
            }
        }
    }

    /// Whether root itself is at the other end, rather than root of a container that shares the network.
    ///
    /// # Errors
    /// [`Refusal`] names the first step that failed.
    pub fn judge_root(&self) -> Result<Peer, Refusal> {
        let process = self.holder()?;
        let ProcessFacts { pid, uid, .. } = process.facts;
        let why = if uid != 0 {
            format!("Process {pid} runs as user {uid}, not as root.")
        } else if !process.is_in_our_process_namespace {
            format!("Process {pid} is in a process namespace of its own, as programs in containers are.")
        } else if !process.may_administer {
            format!(
                "Process {pid} is root without CAP_SYS_ADMIN, as programs in containers and restricted services are."
            )
        } else {
            return Ok(process.peer());
        };
        Err(self.refusal(process, why, "Use an admin client certificate: castellan admin issue NAME."))
    }

    /// The process that holds the connection, opened it as its own user, and is no user of a namespace of its own.
    fn holder(&self) -> Result<&ExaminedProcess, Refusal> {
        let socket = same_socket(&self.peer)
            .map_err(|why| not_trusted(&self.peer, why, "Connect again and wait for the answer."))?;
        let process = match &self.process {
            Ok(process) => process,
            Err(why) => return Err(not_trusted(&self.peer, why.clone(), IN_REACH)),
        };
        let ProcessFacts { pid, uid, .. } = process.facts;
        if !process.facts.holds_socket || !process.facts.alive {
            // What it runs is another's affair.
            let why = if process.facts.alive {
                format!(
                    "Process {pid} does not hold this connection among its first {DESCRIPTORS} descriptors, or the agent's \
                     user may not look at them."
                )
            } else {
                format!("Process {pid} has ended.")
            };
            return Err(Refusal {
                peer: Peer { pid: Some(pid), executable: None, ..Peer::of(&self.peer) },
                ..not_trusted(&self.peer, why, OWN)
            });
        }
        if socket.uid != uid || process.signature.uid != Some(uid) {
            let why = format!(
                "User {} opened the connection, but process {pid} that holds it runs as user {uid}.",
                socket.uid
            );
            return Err(self.refusal(process, why, "Open the connection as the user that the program runs as."));
        }
        if !process.is_in_our_user_namespace {
            let why =
                format!("Process {pid} is in a user namespace of its own, where it may name any program as its own.");
            return Err(self.refusal(process, why, "Run it outside containers, or let the agent start it."));
        }
        Ok(process)
    }

    fn refusal(&self, process: &ExaminedProcess, why: String, fix: &str) -> Refusal {
        Refusal { peer: process.peer(), ..not_trusted(&self.peer, why, fix) }
    }
}

impl ExaminedProcess {
    fn peer(&self) -> Peer {
        let ProcessFacts { pid, uid, .. } = self.facts;
        Peer { pid: Some(pid), uid: Some(uid), executable: Some(self.signature.image.path.clone()) }
    }
}

const IN_REACH: &str = "Let the agent start the program (Jobs/, Plugins/), or run it where the agent can look at it.";
const OWN: &str = "End the client id with the process id of the program that opens the connection.";
