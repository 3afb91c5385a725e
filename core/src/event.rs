//! All that the shell can tell the [`Agent`](crate::agent::Agent), grouped by port. Events are facts in the past tense.

mod counts;
mod elevation;
mod fleet;
mod http;
mod process;
mod store;
mod traced;

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::acl::{Denial, Subject};
use crate::api::{ApiRequest, CertificateFacts};
use crate::broker::message::Packet;
use crate::configuration_policy::{AppliedPolicy, PolicyFile};
use crate::effect::LostOrder;
use crate::elevation::ElevationRecord;
use crate::id::{ConnectionId, RequestId, TicketId};
use crate::lkg::{Document, References};
use crate::plugin::storage::StoredSetting;
use crate::run::history::{JobPast, RunRecord};
use crate::trust::PeerFacts;
use crate::why::Explanation;
pub use counts::Counts;
pub use elevation::{ElevationReport, RelayedSignal, Reply};
pub use fleet::{FleetReport, Opened, Received};
pub use http::HttpReport;
pub use process::{Captured, ExecutableFacts, ExitStatus, FileIdentity, Opening, ProcessReport};
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
    /// From the request socket.
    Elevation(ElevationReport),
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
    /// Requests for more privileges that have no end in the history, and those whose grant has not ended.
    pub elevations: Vec<ElevationRecord>,
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
