//! Orders to the process port, and what it takes to make a process.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::elevation::CallerId;
use crate::event::RelayedSignal;
use crate::id::{Component, ElevationId, SpawnId, TicketId};
use crate::resources::ResourceLimits;
use crate::time::WallTime;
use crate::trust::PeerFacts;
use crate::user::{Person, UserQuery};

/// Orders to the process port.
#[derive(Debug, Clone)]
pub enum ProcessOrder {
    /// Make a process that waits before its first instruction. Answered by `Prepared` or `SpawnFailed`.
    Spawn(SpawnRequest),
    /// Let a prepared process run. Answered by `Started` or `SpawnFailed`.
    Release {
        /// Which.
        spawn: SpawnId,
        /// What becomes of it.
        way: Way,
        /// As whom; `None` means as the agent itself.
        person: Option<Box<Person>>,
    },
    /// End a prepared process that must not run, with everything that was made for it. Answered by `SpawnFailed`.
    Abort {
        /// Which.
        spawn: SpawnId,
        /// Why, repeated in the answer.
        reason: String,
    },
    /// Signal the whole tree. Its effect shows as `Exited`.
    Signal {
        /// Which.
        spawn: SpawnId,
        /// What to send.
        signal: TreeSignal,
    },
    /// Take what the main process wrote and reap it. Answered by `Collected`.
    Collect {
        /// Which.
        spawn: SpawnId,
    },
    /// Kill what is left of the tree and remove its cgroup. Answered by `Discarded`.
    Discard {
        /// Which.
        spawn: SpawnId,
    },
    /// Look at files without running them. Answered by `Inspected`.
    Inspect {
        /// The number of the question.
        ticket: TicketId,
        /// What to look for, one answer each.
        queries: Vec<ProgramQuery>,
    },
    /// Look at what a tree's main process has written so far. Answered by `Peeked`.
    Peek {
        /// The number of the question.
        ticket: TicketId,
        /// Which tree.
        spawn: SpawnId,
    },
    /// Look at the program at the other end of a connection, which the agent did not start. Answered by `Examined`.
    Examine {
        /// The number of the question.
        ticket: TicketId,
        /// What is known of the connection; the claimed process is examined, else the one that holds the socket.
        peer: PeerFacts,
        /// Paths of which it is asked whether they lead to the image.
        paths: Vec<String>,
        /// `AlternativeSignatures`: only for these is the image hashed.
        signers: Vec<String>,
        /// The time of the order.
        at: WallTime,
    },
}

/// A file to find, and who might interpret it. Each has its candidates, best first; the first that exists counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProgramQuery {
    /// Where the program or script may be; absolute.
    pub candidates: Vec<String>,
    /// Where its interpreter may be; absolute, none where it needs no interpreter.
    pub interpreters: Vec<String>,
    /// Folders that hold all that is named below them: no link may lead out of the innermost one.
    pub roots: Vec<String>,
    /// Signers of whom one has to have signed it; none where no signature is asked for.
    pub signers: Vec<String>,
}

/// What a prepared process executes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// The file that was found.
    Directly,
    /// The interpreter that was found, with these arguments, the path of the file, and then the arguments of the order.
    Interpreted(Vec<String>),
}

/// A signal to a whole process tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TreeSignal {
    /// SIGTERM.
    Terminate,
    /// SIGKILL.
    Kill,
    /// One that the caller of a program passes on.
    Relayed(RelayedSignal),
}

/// Whose a process tree is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// A task's or a plugin's: it is trusted as that.
    Component(Component),
    /// That of a request for more privileges: the program runs for its caller, and the agent trusts it no more than any other.
    Elevation(ElevationId),
}

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Component(component) => component.fmt(formatter),
            Self::Elevation(id) => write!(formatter, "elevation:{id}"),
        }
    }
}

/// What a process has as its standard input, output and error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdio {
    /// Nothing to read; what it writes is kept for `Collect`.
    Captured,
    /// The descriptors that a caller of the request socket handed over, and his folder to start in; nothing is kept of what it writes.
    Caller {
        /// Whose.
        caller: CallerId,
        /// Whether standard input becomes its controlling terminal.
        terminal: bool,
    },
}

/// A process to make. Nothing of the agent's own environment is inherited beyond `environment`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpawnRequest {
    /// Its number.
    pub spawn: SpawnId,
    /// Whose it is.
    pub owner: Owner,
    /// What to execute.
    pub program: ProgramQuery,
    /// Arguments after the program's own name.
    pub arguments: Vec<String>,
    /// The whole environment.
    pub environment: Vec<(String, String)>,
    /// Absolute working directory; `None` means the agent root, or the person's own folder.
    pub working_directory: Option<String>,
    /// What to find out about the user whose session it belongs to; `None` where it runs as the agent itself.
    pub user: Option<UserQuery>,
    /// What it reads and writes.
    pub stdio: Stdio,
    /// What it may use of the machine; what cannot be kept is told in the log.
    pub limits: ResourceLimits,
}
