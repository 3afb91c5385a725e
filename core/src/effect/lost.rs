//! Orders that a port did not take, named by what would have answered them.

use alloc::string::String;

use super::{AuditOrder, BrokerOrder, Effect, HttpOrder, ProcessOrder, StoreOrder};
use crate::id::{Component, SpawnId, TicketId};
use crate::lkg::Item;

/// An order that a port did not take, as far as the agent needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LostOrder {
    /// `Spawn`.
    Spawn(SpawnId),
    /// `Release`.
    Release(SpawnId),
    /// `Abort`.
    Abort(SpawnId),
    /// `Signal`.
    Signal(SpawnId),
    /// `Collect`.
    Collect(SpawnId),
    /// `Discard`.
    Discard(SpawnId),
    /// `Peek`.
    Peek(TicketId),
    /// `Inspect`.
    Inspect(TicketId),
    /// `Examine`.
    Examine(TicketId),
    /// `PersistRun`, with the run's id as it stands in the record.
    PersistRun(TicketId, String),
    /// `KeepElevation`.
    KeepElevation(TicketId),
    /// `ReadRuns`.
    ReadRuns(TicketId),
    /// `ReadElevations`.
    ReadElevations(TicketId),
    /// `ChangeDefinitions`.
    ChangeDefinitions(TicketId),
    /// `Survey`.
    Survey(TicketId),
    /// `Restore`.
    Restore(TicketId, Item),
    /// `ReadReferences`.
    ReadReferences(TicketId),
    /// `Rekey`.
    Rekey(TicketId),
    /// `ReadDefinitions`.
    ReadDefinitions(TicketId),
    /// `WriteSettings`.
    WriteSettings(TicketId),
    /// `ReadPolicies`.
    ReadPolicies(TicketId),
    /// `KeepPolicies`.
    KeepPolicies(TicketId),
    /// `ChangeCertificates`.
    ChangeCertificates(TicketId),
    /// `Mfa`.
    Mfa(TicketId),
    /// `Send`.
    Send(TicketId),
    /// `Append`, with the ticket of whoever waits for it.
    Append(Option<TicketId>),
    /// `Regrant`.
    Regrant(Component),
    /// `Revoke`.
    Revoke(SpawnId),
    /// `RevokeCertificate`, with the SHA-256.
    RevokeCertificate(String),
    /// An order that asks for no answer and changes nobody's trust: `AnswerConnect` (the broker refuses by itself), `Publish`,
    /// `Stop`, `Cancel` (the call has a deadline of its own), `Note`, `SettleHeld`, `WatchSessions` (its port takes it always),
    /// `Ask` (so has the policy source), orders to the request socket (`Left` tells of a caller that is gone), and everything outside these
    /// ports.
    Other,
}

impl LostOrder {
    /// What would be lost with an effect.
    pub fn of(effect: &Effect) -> Self {
        match effect {
            Effect::Process(order) => match order {
                ProcessOrder::Spawn(request) => Self::Spawn(request.spawn),
                ProcessOrder::Release { spawn, .. } => Self::Release(*spawn),
                ProcessOrder::Abort { spawn, .. } => Self::Abort(*spawn),
                ProcessOrder::Signal { spawn, .. } => Self::Signal(*spawn),
                ProcessOrder::Collect { spawn } => Self::Collect(*spawn),
                ProcessOrder::Discard { spawn } => Self::Discard(*spawn),
                ProcessOrder::Peek { ticket, .. } => Self::Peek(*ticket),
                ProcessOrder::Inspect { ticket, .. } => Self::Inspect(*ticket),
                ProcessOrder::Examine { ticket, .. } => Self::Examine(*ticket),
                ProcessOrder::WatchSessions => Self::Other,
            },
            Effect::Store(order) => match order {
                StoreOrder::PersistRun { ticket, record, .. } => Self::PersistRun(*ticket, record.run_id.clone()),
                StoreOrder::Note(_) | StoreOrder::SettleHeld => Self::Other,
                StoreOrder::KeepElevation { ticket, .. } => Self::KeepElevation(*ticket),
                StoreOrder::ReadRuns { ticket, .. } => Self::ReadRuns(*ticket),
                StoreOrder::ReadElevations { ticket, .. } => Self::ReadElevations(*ticket),
                StoreOrder::ChangeDefinitions { ticket, .. } => Self::ChangeDefinitions(*ticket),
                StoreOrder::Survey { ticket, .. } => Self::Survey(*ticket),
                StoreOrder::Restore { ticket, item, .. } => Self::Restore(*ticket, item.clone()),
                StoreOrder::ReadReferences { ticket, .. } => Self::ReadReferences(*ticket),
                StoreOrder::Rekey { ticket } => Self::Rekey(*ticket),
                StoreOrder::ReadDefinitions { ticket } => Self::ReadDefinitions(*ticket),
                StoreOrder::WriteSettings { ticket, .. } => Self::WriteSettings(*ticket),
                StoreOrder::ReadPolicies { ticket, .. } => Self::ReadPolicies(*ticket),
                StoreOrder::KeepPolicies { ticket, .. } => Self::KeepPolicies(*ticket),
                StoreOrder::Mfa { ticket, .. } => Self::Mfa(*ticket),
                StoreOrder::ChangeCertificates { ticket, .. } => Self::ChangeCertificates(*ticket),
            },
            Effect::Audit(AuditOrder::Append { ticket, .. }) => Self::Append(*ticket),
            Effect::Http(HttpOrder::Send(call)) => Self::Send(call.ticket),
            Effect::Broker(BrokerOrder::Regrant { component, .. }) => Self::Regrant(component.clone()),
            Effect::Broker(BrokerOrder::Revoke { spawn }) => Self::Revoke(*spawn),
            Effect::Broker(BrokerOrder::RevokeCertificate { sha256 }) => Self::RevokeCertificate(sha256.clone()),
            Effect::Broker(BrokerOrder::AnswerConnect { .. } | BrokerOrder::Publish { .. } | BrokerOrder::Stop)
            | Effect::Http(HttpOrder::Cancel { .. })
            | Effect::Respond { .. }
            | Effect::Stream(_)
            | Effect::Fleet(_)
            | Effect::Elevation(_)
            | Effect::Count(_)
            | Effect::Telemetry(_)
            | Effect::Log(_)
            | Effect::LogLevel(_)
            | Effect::Exit => Self::Other,
        }
    }
}
