//! All that the [`Agent`](crate::agent::Agent) can ask of the shell, grouped by port. Effects are orders, performed in this sequence.

mod audit;
mod elevation;
mod fleet;
mod http;
mod lost;
mod process;
mod stream;
mod telemetry;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::acl::Grant;
use crate::api::ApiResponse;
use crate::certificate::CertificateChange;
use crate::configuration_policy::{PolicyChange, PolicyDocument};
use crate::elevation::{ElevationQuery, ElevationRecord};
use crate::fleet::KeptBundle;
use crate::id::{Component, ConnectionId, RequestId, SpawnId, TicketId};
use crate::lkg::{DefinitionChange, Item, ReferenceQuery};
use crate::log_message::{Level, LogRecord};
use crate::mfa::MfaOrder;
use crate::plugin::storage::SettingChange;
use crate::run::history::{RunQuery, RunRecord};
use crate::schedule::past::Note;
use crate::time::WallTime;
use crate::why::Explanation;
pub use audit::AuditOrder;
pub use elevation::{ElevationAnswer, ElevationOrder};
pub use fleet::FleetOrder;
pub use http::{HttpCall, HttpOrder};
pub use lost::LostOrder;
pub use process::{Owner, ProcessOrder, ProgramQuery, SpawnRequest, Stdio, TreeSignal, Way};
pub use stream::StreamOrder;
pub use telemetry::TelemetryOrder;

/// The orders of one `handle`, in the order they must be performed.
pub type Effects = Vec<Effect>;

/// Something to do.
#[derive(Debug, Clone)]
pub enum Effect {
    /// For the process port.
    Process(ProcessOrder),
    /// For the broker's thread.
    Broker(BrokerOrder),
    /// For the store.
    Store(StoreOrder),
    /// Answer an API request.
    Respond {
        /// Which request.
        request: RequestId,
        /// With this.
        response: ApiResponse,
    },
    /// For a response that stays open.
    Stream(StreamOrder),
    /// For the HTTP client.
    Http(HttpOrder),
    /// For the policy source.
    Fleet(FleetOrder),
    /// For the request socket.
    Elevation(ElevationOrder),
    /// For the audit.
    Audit(AuditOrder),
    /// For the collector of telemetry; only where `Settings:Telemetry` names one.
    Telemetry(TelemetryOrder),
    /// Append to the agent's log.
    Log(LogRecord),
    /// From now on the log takes nothing below this level.
    LogLevel(Level),
    /// Say what every port counted; answered by `Counted`.
    Count(TicketId),
    /// Everything is stopped; the shell may exit.
    Exit,
}

/// Orders to the broker's thread.
#[derive(Debug, Clone)]
pub enum BrokerOrder {
    /// Answers `ConnectAsked`.
    AnswerConnect {
        /// Which connection.
        connection: ConnectionId,
        /// Accept with this grant, or refuse.
        verdict: ConnectVerdict,
    },
    /// Publish on the agent's own behalf.
    Publish {
        /// Topic name.
        topic: String,
        /// Payload.
        payload: Vec<u8>,
        /// 0 to 2.
        qos: u8,
        /// Whether the broker keeps it for later subscribers.
        retain: bool,
    },
    /// The definition of a component changed: these are its permissions from now on.
    Regrant {
        /// Whose.
        component: Component,
        /// New lists; the subject of each connection stays.
        publish: crate::acl::FilterSet,
        /// New lists.
        subscribe: crate::acl::FilterSet,
        /// New primary subscription.
        primary: Option<crate::acl::PrimarySubscription>,
    },
    /// The process tree is no longer trusted: close its connections after a short grace for last messages.
    Revoke {
        /// Which tree.
        spawn: SpawnId,
    },
    /// An admin certificate counts no more: close the connections that showed it, at once.
    RevokeCertificate {
        /// Its lower-case hex SHA-256.
        sha256: String,
    },
    /// Close all sessions and the listener. Answered by `Stopped`.
    Stop,
}

/// The agent's answer to a CONNECT.
#[derive(Debug, Clone)]
pub enum ConnectVerdict {
    /// Connected, with exactly these permissions.
    Accept(Arc<Grant>),
    /// Not connected.
    Refuse {
        /// Which CONNACK.
        reason: ConnectRefusal,
        /// For the CONNACK reason string and the record.
        explanation: Explanation,
    },
}

/// Why a CONNECT is refused, as MQTT can say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectRefusal {
    /// The process is not trusted: 0x87 (MQTT 5.0) or 5 (MQTT 3.1.1).
    NotAuthorized,
    /// The client id is not the process's own: 0x85 or 2.
    ClientIdentifierNotValid,
    /// The agent is stopping or too busy: 0x88 or 3.
    ServerUnavailable,
    /// It names an authentication method, and none is offered: 0x8C; there is none in MQTT 3.1.1.
    BadAuthenticationMethod,
}

/// Orders to the store.
#[derive(Debug, Clone)]
pub enum StoreOrder {
    /// Insert or replace a run in the history. Answered by `RunPersisted`.
    PersistRun {
        /// The number of the order.
        ticket: TicketId,
        /// The run; shared, as it mostly stays as it is until it is written.
        record: Arc<RunRecord>,
        /// Whether it is on disk when it is answered; else it outlives the agent then, and the machine within a second.
        durable: bool,
    },
    /// Insert or replace a request for more privileges. Answered by `ElevationKept`.
    KeepElevation {
        /// The number of the order.
        ticket: TicketId,
        /// The request.
        record: Box<ElevationRecord>,
        /// As of `PersistRun`.
        durable: bool,
    },
    /// Keep a note in the history. Answered by nothing: a note that cannot be written is told as `Congested`.
    Note(Note),
    /// Read runs, newest first. Answered by `RunsRead`.
    ReadRuns {
        /// The number of the question.
        ticket: TicketId,
        /// Which ones.
        query: RunQuery,
    },
    /// Read requests for more privileges, newest first. Answered by `ElevationsRead`.
    ReadElevations {
        /// The number of the question.
        ticket: TicketId,
        /// Which ones.
        query: ElevationQuery,
    },
    /// Change definitions durably, all or none: references first, where they are kept, then the files. Answered by `DefinitionsChanged`.
    ChangeDefinitions {
        /// The number of the order.
        ticket: TicketId,
        /// What changes.
        changes: Vec<DefinitionChange>,
        /// Who wants it: `admin:{name}`, `root`, `policy:{name}`, `agent`.
        writer: String,
        /// The time of the order.
        at: WallTime,
    },
    /// Compare every file with what is blessed, and every reference with the manifest. Answered by `Surveyed`.
    Survey {
        /// The number of the order.
        ticket: TicketId,
        /// Whether references are opened again that look as they did.
        thorough: bool,
    },
    /// Move what stands in an item's place to `state/quarantine/`, and put there what is blessed when the order's turn comes: a
    /// document, or nothing. Answered by `Restored`.
    Restore {
        /// The number of the order.
        ticket: TicketId,
        /// Which.
        item: Item,
        /// The time of the order.
        at: WallTime,
    },
    /// Look at references and at what was moved away. Answered by `ReferencesRead`.
    ReadReferences {
        /// The number of the question.
        ticket: TicketId,
        /// Which ones.
        query: ReferenceQuery,
    },
    /// Make a new key and seal every reference again, all or none. Answered by `Rekeyed`.
    Rekey {
        /// The number of the order.
        ticket: TicketId,
    },
    /// What differed when Last Known Good came back is decided: nothing is held any more. Answered by nothing.
    SettleHeld,
    /// Read all definitions again. Answered by `DefinitionsRead`.
    ReadDefinitions {
        /// The number of the question.
        ticket: TicketId,
    },
    /// Change the unified storage of plugin settings durably, all changes or none. Answered by `SettingsWritten`.
    WriteSettings {
        /// The number of the order.
        ticket: TicketId,
        /// In order.
        changes: Vec<SettingChange>,
    },
    /// Look at policies: those of the folder `Policies/`, or one that somebody brought. Answered by `PoliciesRead`.
    ReadPolicies {
        /// The number of the question.
        ticket: TicketId,
        /// The one that somebody brought; `None` means the folder.
        document: Option<PolicyDocument>,
    },
    /// Keep which policies were applied, and the bundle that they came in, durably: all of it or nothing. Answered by `PoliciesKept`.
    KeepPolicies {
        /// The number of the order.
        ticket: TicketId,
        /// In order.
        changes: Vec<PolicyChange>,
        /// Instead of the former bundle; `None` leaves that as it is.
        bundle: Option<KeptBundle>,
    },
    /// Enroll users for MFA, remove them, judge a code: durably. Answered by `Mfa`.
    Mfa {
        /// The number of the order.
        ticket: TicketId,
        /// What to do.
        order: MfaOrder,
        /// The time of the order.
        at: WallTime,
    },
    /// Change the list of admin certificates durably. Answered by `CertificatesChanged`.
    ChangeCertificates {
        /// The number of the order.
        ticket: TicketId,
        /// What to change.
        change: CertificateChange,
        /// The time of the order.
        at: WallTime,
    },
}
