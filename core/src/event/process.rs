//! What the process port tells the agent: of processes and of files.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::id::{SpawnId, TicketId};
use crate::limits::OUTPUT_HALF_BYTES;
use crate::trust::Examination;
use crate::trust::signature::SignatureFacts;
use crate::user::{Sessions, UserFacts};

/// What the process port reports about a spawn or an inspection.
#[derive(Debug, Clone)]
pub enum ProcessReport {
    /// The process exists and waits before its first instruction. Answer with `Release` or `Abort`.
    Prepared {
        /// Which.
        spawn: SpawnId,
        /// Its process id; it also leads its own session of that number, unless a caller's terminal has it led by its parent.
        pid: u32,
        /// Its own cgroup v2, where those can be made.
        cgroup: Option<u64>,
        /// The file that will run.
        executable: ExecutableFacts,
        /// What was asked about its user.
        user: Option<Box<UserFacts>>,
    },
    /// The program's own image runs.
    Started {
        /// Which.
        spawn: SpawnId,
    },
    /// There is no such process and there will be none.
    SpawnFailed {
        /// Which.
        spawn: SpawnId,
        /// What went wrong, as a sentence with the file or call concerned.
        reason: String,
    },
    /// A program on the terminal of a caller is stopped, as by the key for that. Told once until `Continue` is passed on to it.
    Stopped {
        /// Which.
        spawn: SpawnId,
        /// By which signal.
        signal: i32,
    },
    /// The main process ended; it is not reaped yet, so its number is still its own.
    Exited {
        /// Which.
        spawn: SpawnId,
        /// How.
        status: ExitStatus,
    },
    /// Answers `Collect`: the main process is reaped, this is what it wrote.
    Collected {
        /// Which.
        spawn: SpawnId,
        /// Standard output.
        stdout: Captured,
        /// Standard error.
        stderr: Captured,
    },
    /// Answers `Discard`: nothing of the tree is left.
    Discarded {
        /// Which.
        spawn: SpawnId,
    },
    /// Answers `Peek`: what the main process has written so far; nothing where there is no such tree.
    Peeked {
        /// Which question.
        ticket: TicketId,
        /// Standard output.
        stdout: Captured,
        /// Standard error.
        stderr: Captured,
    },
    /// Answers `Inspect`, one entry for each query, in order.
    Inspected {
        /// Which question.
        ticket: TicketId,
        /// The findings.
        executables: Vec<ExecutableFacts>,
    },
    /// Answers `Examine`.
    Examined {
        /// Which question.
        ticket: TicketId,
        /// The findings.
        found: Box<Examination>,
    },
    /// The sessions of the machine are these now, or why they are not known; follows `WatchSessions`, also without a change.
    SessionsChanged(Sessions),
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// The kernel killed its tree, which needed more memory than its cgroup may have.
    OutOfMemory,
}

/// Captured output: the whole, or its head and tail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Captured {
    /// The first bytes, all of them where `omitted` is 0.
    pub head: Vec<u8>,
    /// The last bytes, where the whole did not fit.
    pub tail: Vec<u8>,
    /// Bytes left out between head and tail.
    pub omitted: u64,
}

impl Captured {
    /// Keeps the head and tail of a whole, [`OUTPUT_HALF_BYTES`] each.
    pub fn of(mut whole: Vec<u8>) -> Self {
        let middle = whole.len().saturating_sub(OUTPUT_HALF_BYTES.saturating_mul(2));
        if middle == 0 {
            return Self { head: whole, ..Self::default() };
        }
        let tail = whole.split_off(OUTPUT_HALF_BYTES.saturating_add(middle));
        whole.truncate(OUTPUT_HALF_BYTES);
        Self { head: whole, tail, omitted: u64::try_from(middle).unwrap_or(u64::MAX) }
    }
}

/// What is known about the file that a command resolves to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExecutableFacts {
    /// The first candidate that exists; the first candidate where none does.
    pub path: String,
    /// What its links lead to, without any; empty where it does not exist.
    pub resolved: String,
    /// Whether it exists.
    pub exists: bool,
    /// Whether it is a regular file that may be executed.
    pub executable: bool,
    /// Which file it is, and in which state; only of a regular file.
    pub identity: Option<FileIdentity>,
    /// How it begins.
    pub opening: Opening,
    /// The file itself, or the folder above it, that somebody other than root and the agent's own user may change, with its mode.
    pub writable_by_others: Option<String>,
    /// Where its links lead, if that is outside the root that it is named below.
    pub leads_out: Option<String>,
    /// Its signature, where one was asked for: the facts, or why they could not be read.
    pub signature: Option<Result<Box<SignatureFacts>, String>>,
    /// The same about the program that its `#!` line names, where it has such a line.
    pub hash_bang: Option<Box<Self>>,
    /// The same about the program that interprets it, where one was asked for.
    pub interpreter: Option<Box<Self>>,
}

/// One state of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileIdentity {
    /// Device.
    pub device: u64,
    /// Inode.
    pub inode: u64,
    /// When it was last changed in any way (`ctime`): seconds and nanoseconds since 1970.
    pub changed: (i64, i64),
}

/// How a file begins, which tells who can execute it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Opening {
    /// Not known: it is no regular file, or the agent may not read it.
    #[default]
    Unreadable,
    /// A program of this machine (ELF): the kernel alone executes it.
    Binary,
    /// `#!`: the kernel starts the interpreter that its first line names.
    HashBang,
    /// Anything else.
    Other,
}
