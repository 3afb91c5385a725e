//! All that the shell can tell the [`Agent`](crate::agent::Agent), grouped by port. Events are facts in the past tense.

mod counts;
mod fleet;
mod http;
mod store;
mod traced;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::acl::{Denial, Subject};
use crate::api::{ApiRequest, CertificateFacts};
use crate::broker::message::Packet;
use crate::configuration_policy::{AppliedPolicy, PolicyFile};
use crate::effect::LostOrder;
use crate::id::{ConnectionId, RequestId, SpawnId, TicketId};
use crate::limits::OUTPUT_HALF_BYTES;
use crate::lkg::{Document, References};
use crate::plugin::storage::StoredSetting;
use crate::run::history::{JobPast, RunRecord};
use crate::trust::signature::SignatureFacts;
use crate::trust::{Examination, PeerFacts};
use crate::user::UserFacts;
use crate::why::Explanation;
pub use counts::Counts;
pub use fleet::{FleetReport, Opened, Received};
pub use http::HttpReport;
pub use store::StoreReport;
pub use traced::Traced;

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The agent root was read at start; comes first and once.
    Loaded(Loaded),
    /// All listeners are open on these ports; jobs with `Startup` fire now.
    Opened(Endpoints),
    /// From the process port.
    Process(ProcessReport),
    /// From the broker's thread.
    Broker(BrokerReport),
    /// From the store port.
    Store(StoreReport),
    /// From the HTTP client.
    Http(HttpReport),
    /// From the policy source.
    Fleet(FleetReport),
    /// Answers [`AuditOrder::Append`](crate::effect::AuditOrder::Append) with a ticket.
    Audited {
        /// Which order.
        ticket: TicketId,
        /// Whether the entry is on disk, else why not.
        result: Result<(), String>,
    },
    /// A request arrived at the HTTP or HTTPS listener.
    Api(ApiRequest),
    /// A response that had stayed open is over; may be told again.
    StreamEnded {
        /// The request that it answered.
        request: RequestId,
        /// How it came about.
        why: StreamEnd,
    },
    /// Answers [`Effect::Count`](crate::effect::Effect::Count).
    Counted {
        /// Which question.
        ticket: TicketId,
        /// What the ports counted.
        counts: Counts,
    },
    /// A deadline that the agent had named is over, or may be.
    DeadlineReached,
    /// Somebody wants the agent to stop (SIGTERM, SIGINT, the end of a demo).
    StopRequested(String),
    /// A port could not report something because a queue was full; names the port and what was lost.
    Congested(String),
    /// A port did not take an order because its queue was full or it is gone: the order will have no answer.
    Lost {
        /// The order.
        order: LostOrder,
        /// Which queue, for the log.
        why: String,
    },
}

/// Why a response that had stayed open is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEnd {
    /// Its client closed the connection, or there is no such response.
    Left,
    /// Its client did not read, and too much was waiting for it.
    NotRead,
}

/// The state of the agent root at start.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// `Jobs/*.json` and `Plugins/*.json` as they are on disk; where references are kept, these count instead.
    pub definitions: Vec<DefinitionFile>,
    /// What Last Known Good has of them.
    pub references: References,
    /// Runs that have no outcome in the history: the agent died while they ran.
    pub unfinished: Vec<RunRecord>,
    /// What the history knows of each job.
    pub past: Vec<JobPast>,
    /// The unified storage of plugin settings.
    pub settings: Vec<StoredSetting>,
    /// `Policies/*.json`.
    pub policies: Vec<PolicyFile>,
    /// Policies that were applied before.
    pub applied_policies: Vec<AppliedPolicy>,
}

/// Jobs or plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DefinitionKind {
    /// `Jobs/`.
    Job,
    /// `Plugins/`.
    Plugin,
}

impl DefinitionKind {
    /// The folder below the agent root.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Job => "Jobs",
            Self::Plugin => "Plugins",
        }
    }

    /// The file of this id, from the agent root.
    pub(crate) fn file(self, id: &str) -> String {
        format!("{}/{id}.json", self.folder())
    }
}

/// One definition file as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionFile {
    /// Job or plugin.
    pub kind: DefinitionKind,
    /// File name without `.json`.
    pub stem: String,
    /// The bytes, or why they could not be read.
    pub content: Result<Document, String>,
}

/// The ports in force; all on 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoints {
    /// Plain HTTP.
    pub http: u16,
    /// HTTPS.
    pub https: u16,
    /// MQTT over TLS.
    pub mqtt: u16,
}

/// What the process port reports about a spawn or an inspection.
#[derive(Debug, Clone)]
pub enum ProcessReport {
    /// The process exists and waits before its first instruction. Answer with `Release` or `Abort`.
    Prepared {
        /// Which.
        spawn: SpawnId,
        /// Its process id; it also leads its own session of that number.
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
    /// Whether it exists.
    pub exists: bool,
    /// Whether it is a regular file that may be executed.
    pub executable: bool,
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

/// What the broker reports to the agent.
#[derive(Debug, Clone)]
pub enum BrokerReport {
    /// A CONNECT arrived; answer with `AnswerConnect`.
    ConnectAsked {
        /// Which connection.
        connection: ConnectionId,
        /// The client id as sent.
        client_id: String,
        /// Who is at the other end.
        peer: PeerFacts,
        /// The client certificate, if one was presented.
        certificate: Option<CertificateFacts>,
    },
    /// The client is connected.
    Connected {
        /// Who.
        subject: Subject,
    },
    /// A connected client is gone.
    Disconnected {
        /// Who.
        subject: Subject,
        /// How it ended.
        reason: String,
    },
    /// An allowed message on a topic that the agent watches (`KeeperLogger`, `EventMessages`, `JobService`).
    Published {
        /// Who sent it.
        subject: Subject,
        /// The topic.
        topic: String,
        /// The payload.
        payload: Arc<[u8]>,
        /// What tells a copy of it from another message; `None` for QoS 0 and wills.
        packet: Option<Packet>,
    },
    /// Of publishes of a run's task, where traces are told ([`BrokerSettings::traced`](crate::broker::BrokerSettings::traced)); of one
    /// that the agent watches, just before it.
    Traced {
        /// Who sent it.
        subject: Subject,
        /// What there is to tell.
        traced: Traced,
    },
    /// The broker refused something.
    Denied(Denial),
    /// The broker refused the same again, too often to report each.
    DeniedAgain {
        /// One that stands for all.
        denial: Denial,
        /// How many more there were.
        more: u64,
    },
    /// A client sent more log messages than it may; told at most once a second.
    LogDropped {
        /// Who.
        subject: Subject,
        /// How many were dropped since this was last told.
        messages: u64,
        /// From the first of them until now.
        millis: u64,
    },
    /// Messages for a client were dropped because its queue was full; told when that begins and when it is over.
    Dropped {
        /// Whose queue.
        subject: Subject,
        /// How many so far.
        messages: u64,
        /// Why, and what helps.
        explanation: Explanation,
    },
    /// The broker's sessions are closed and its listener is gone.
    Stopped,
}
