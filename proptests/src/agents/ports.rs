//! What the ports of the fake world owe, and how they answer: well or badly, but once.

use castellan_core::certificate::{CertificatesChanged, NotChanged};
use castellan_core::effect::{HttpCall, HttpOrder, StoreOrder};
use castellan_core::event::{
    BrokerReport, Captured, Event, ExecutableFacts, ExitStatus, HttpReport, ProcessReport, StoreReport,
};
use castellan_core::id::{RunId, SpawnId, TicketId};
use castellan_core::lkg::{Cause, Checked, NotWritten, ReferencesFound, Survey};
use castellan_core::mfa::MfaReport;

use castellan_core::trust::{Examination, PeerFacts};

use super::{World, surroundings};
use crate::signed;

/// An answer that is due.
#[derive(Debug, Clone)]
pub enum Owed {
    /// `Prepared` or `SpawnFailed`.
    Spawn(SpawnId),
    /// `Started` or `SpawnFailed`.
    Release(SpawnId),
    /// `SpawnFailed` with this reason.
    Abort(SpawnId, String),
    /// `Exited`, sooner or later.
    Exit(SpawnId),
    /// `Collected`.
    Collect(SpawnId),
    /// `Discarded`.
    Discard(SpawnId),
    /// `Peeked`.
    Peek(TicketId),
    /// `Inspected`.
    Inspect(TicketId, usize),
    /// `Examined`.
    Examine(TicketId, Box<PeerFacts>),
    /// What the store was asked.
    Store(Box<StoreOrder>),
    /// `Answered` or `Failed`; nothing more for a `Cancel`.
    Http(Box<HttpOrder>),
    /// `Stopped`.
    BrokerStop,
}

/// The leader of a tree, and its cgroup where it has one: every third has none.
pub(super) fn leader(spawn: SpawnId) -> (u32, Option<u64>) {
    let number = spawn.0.saturating_add(1000);
    (u32::try_from(number).unwrap_or(u32::MAX), (!number.is_multiple_of(3)).then_some(number))
}

impl World {
    /// Answers what is owed, well or badly.
    pub(super) fn answer(&mut self, owed: Owed, well: bool) {
        match owed {
            Owed::Spawn(spawn) if self.trees.get(&spawn).is_some_and(|tree| tree.aborted) => {
                // The order to abort was faster; its own answer says so.
            }
            Owed::Spawn(spawn) if well => self.prepare(spawn, true),
            Owed::Spawn(spawn) => {
                // Badly: there is no such file, or it is not safe to run.
                if spawn.0.is_multiple_of(2) { self.prepare(spawn, false) } else { self.fail(spawn, "no such file") }
            }
            Owed::Release(spawn) if well => {
                self.owed.push(Owed::Exit(spawn));
                self.tell(Event::Process(ProcessReport::Started { spawn }));
            }
            Owed::Release(spawn) => self.fail(spawn, "exec failed"),
            Owed::Abort(spawn, reason) => self.fail(spawn, &reason),
            Owed::Exit(spawn) => {
                if let Some(tree) = self.trees.get_mut(&spawn) {
                    tree.exited = true;
                }
                let status = if well { ExitStatus::Code(0) } else { ExitStatus::Signal(9) };
                self.tell(Event::Process(ProcessReport::Exited { spawn, status }));
            }
            Owed::Collect(spawn) => {
                let head = if well { br#"{"found":2}"#.to_vec() } else { b"\xff not JSON".to_vec() };
                let stdout = Captured { head, tail: Vec::new(), omitted: 0 };
                self.tell(Event::Process(ProcessReport::Collected { spawn, stdout, stderr: Captured::default() }));
            }
            Owed::Discard(spawn) => self.discard(spawn),
            Owed::Peek(ticket) => {
                let head = if well { b"a line\n".to_vec() } else { b"\xff".to_vec() };
                let stdout = Captured { head, tail: Vec::new(), omitted: 0 };
                self.tell(Event::Process(ProcessReport::Peeked { ticket, stdout, stderr: Captured::default() }));
            }
            Owed::Inspect(ticket, queries) => {
                let executables = vec![executable(well); queries];
                self.tell(Event::Process(ProcessReport::Inspected { ticket, executables }));
            }
            Owed::Examine(ticket, peer) => {
                let process = Err(String::from("There is no such process."));
                let found = Box::new(Examination { peer: *peer, process });
                self.tell(Event::Process(ProcessReport::Examined { ticket, found }));
            }
            Owed::Store(order) => {
                if let Some(report) = stored(*order, well) {
                    self.tell(Event::Store(report));
                }
            }
            Owed::Http(order) => {
                let HttpOrder::Send(HttpCall { ticket, .. }) = *order else { return };
                let body = Captured { head: br#"{"depth":2}"#.to_vec(), ..Captured::default() };
                self.tell(Event::Http(if well {
                    HttpReport::Answered { ticket, status: 200, body }
                } else {
                    HttpReport::Failed { ticket, reason: String::from("no connection") }
                }));
            }
            Owed::BrokerStop => self.tell(Event::Broker(BrokerReport::Stopped)),
        }
    }

    pub(super) fn prepare(&mut self, spawn: SpawnId, safe: bool) {
        let (pid, cgroup) = leader(spawn);
        self.trees.entry(spawn).or_default().prepared = Some((pid, cgroup));
        self.tell(Event::Process(ProcessReport::Prepared {
            spawn,
            pid,
            cgroup,
            executable: executable(safe),
            user: None,
        }));
    }

    pub(super) fn discard(&mut self, spawn: SpawnId) {
        self.trees.entry(spawn).or_default().over = true;
        self.tell(Event::Process(ProcessReport::Discarded { spawn }));
    }

    pub(super) fn fail(&mut self, spawn: SpawnId, reason: &str) {
        self.trees.entry(spawn).or_default().over = true;
        self.tell(Event::Process(ProcessReport::SpawnFailed { spawn, reason: reason.to_owned() }));
    }
}

pub(super) fn executable(safe: bool) -> ExecutableFacts {
    let writable_by_others = (!safe).then(|| String::from("/opt (mode 0777)"));
    ExecutableFacts {
        path: String::from("/opt/x"),
        exists: true,
        executable: true,
        writable_by_others,
        signature: Some(Ok(Box::new(signed::by_pinned("/opt/x", None, true)))),
        ..ExecutableFacts::default()
    }
}

fn stored(order: StoreOrder, well: bool) -> Option<StoreReport> {
    let result = if well { Ok(()) } else { Err(String::from("the disk is full")) };
    Some(match order {
        StoreOrder::Note(_) | StoreOrder::SettleHeld => return None,
        StoreOrder::PersistRun { ticket, record, .. } => {
            let run = RunId::from_text(&record.run_id).unwrap_or_else(|| RunId::new(0, 0));
            StoreReport::RunPersisted { ticket, run, result }
        }
        StoreOrder::KeepElevation { ticket, .. } => StoreReport::ElevationKept { ticket, result },
        StoreOrder::ReadRuns { ticket, .. } => StoreReport::RunsRead { ticket, result: result.map(|()| Vec::new()) },
        StoreOrder::ReadElevations { ticket, .. } => {
            StoreReport::ElevationsRead { ticket, result: result.map(|()| Vec::new()) }
        }
        StoreOrder::WriteSettings { ticket, .. } => StoreReport::SettingsWritten { ticket, result },
        StoreOrder::ReadPolicies { ticket, .. } => StoreReport::PoliciesRead { ticket, files: Vec::new() },
        StoreOrder::KeepPolicies { ticket, .. } => StoreReport::PoliciesKept { ticket, result },
        StoreOrder::ChangeDefinitions { ticket, changes, .. } => {
            let versions = vec![0; changes.len()];
            let result = result.map(|()| versions).map_err(|reason| NotWritten { cause: Cause::Full, reason });
            StoreReport::DefinitionsChanged { ticket, result }
        }
        StoreOrder::Survey { ticket, .. } => StoreReport::Surveyed {
            ticket: Some(ticket),
            survey: Survey { whole: true, ..Survey::default() },
            checked: Checked::default(),
        },
        StoreOrder::Restore { ticket, item, .. } => {
            StoreReport::Restored { ticket, item, result: result.map(|()| None) }
        }
        StoreOrder::ReadReferences { ticket, .. } => {
            StoreReport::ReferencesRead { ticket, result: result.map(|()| ReferencesFound::History(Vec::new())) }
        }
        StoreOrder::Rekey { ticket } => {
            let result = result.map(|()| String::from("0011223344556677")).map_err(NotWritten::because);
            StoreReport::Rekeyed { ticket, result }
        }
        StoreOrder::ReadDefinitions { ticket } => {
            let mut files = surroundings::definitions();
            if !well {
                files.truncate(1);
            }
            StoreReport::DefinitionsRead { ticket, files }
        }
        StoreOrder::Mfa { ticket, .. } => {
            StoreReport::Mfa { ticket, result: result.map(|()| MfaReport::Listed(Vec::new())) }
        }
        StoreOrder::ChangeCertificates { ticket, .. } => {
            let list = surroundings::certificates();
            let result = result.map(|()| CertificatesChanged { list, issued: None }).map_err(NotChanged::Failed);
            StoreReport::CertificatesChanged { ticket, result }
        }
    })
}
