//! What the store tells the agent.

use alloc::string::String;
use alloc::vec::Vec;

use super::DefinitionFile;
use crate::certificate::{CertificatesChanged, NotChanged};
use crate::configuration_policy::PolicyFile;
use crate::elevation::ElevationRecord;
use crate::id::{RunId, TicketId};
use crate::lkg::{Checked, Item, LkgNotice, NotWritten, ReferencesFound, Survey};
use crate::mfa::MfaReport;
use crate::run::history::RunRecord;

/// What the store reports.
#[derive(Debug, Clone)]
pub enum StoreReport {
    /// Answers `PersistRun`.
    RunPersisted {
        /// Which question.
        ticket: TicketId,
        /// The run.
        run: RunId,
        /// Whether it is on disk, else why not.
        result: Result<(), String>,
    },
    /// Answers `KeepElevation`.
    ElevationKept {
        /// Which order.
        ticket: TicketId,
        /// Whether it is on disk, or where it outlives the agent, else why not.
        result: Result<(), String>,
    },
    /// Answers `ReadRuns`, newest first.
    RunsRead {
        /// Which question.
        ticket: TicketId,
        /// The runs, else why they could not be read.
        result: Result<Vec<RunRecord>, String>,
    },
    /// Answers `ReadElevations`, newest first.
    ElevationsRead {
        /// Which question.
        ticket: TicketId,
        /// The requests, else why they could not be read.
        result: Result<Vec<ElevationRecord>, String>,
    },
    /// Answers `ChangeDefinitions`.
    DefinitionsChanged {
        /// Which question.
        ticket: TicketId,
        /// The version of each item that is on disk now (0 where no references are kept), else why nothing changed.
        result: Result<Vec<u64>, NotWritten>,
    },
    /// Answers `Survey`; also told unasked, of what was seen to change.
    Surveyed {
        /// Which order; `None` where something was seen to change.
        ticket: Option<TicketId>,
        /// What is not on disk as it was blessed.
        survey: Survey,
        /// What became of references.
        checked: Checked,
    },
    /// Answers `Restore`.
    Restored {
        /// Which order.
        ticket: TicketId,
        /// The item.
        item: Item,
        /// The name in `state/quarantine/` of what was there, if anything was; else why it is not restored.
        result: Result<Option<String>, String>,
    },
    /// Answers `ReadReferences`.
    ReferencesRead {
        /// Which question.
        ticket: TicketId,
        /// What was found, else why it could not be read.
        result: Result<ReferencesFound, String>,
    },
    /// Answers `Rekey`.
    Rekeyed {
        /// Which order.
        ticket: TicketId,
        /// The public name of the new key, else why the old one still counts.
        result: Result<String, NotWritten>,
    },
    /// Something that somebody should know of files and references; nobody asked.
    LkgNoticed(LkgNotice),
    /// Files changed while no references are kept, so that hand edits count.
    DefinitionsTouched,
    /// Answers `ReadDefinitions`.
    DefinitionsRead {
        /// Which question.
        ticket: TicketId,
        /// All files found.
        files: Vec<DefinitionFile>,
    },
    /// Answers `WriteSettings`.
    SettingsWritten {
        /// Which question.
        ticket: TicketId,
        /// Whether all changes are on disk, else why none is.
        result: Result<(), String>,
    },
    /// Answers `ReadPolicies`, in the order of their names.
    PoliciesRead {
        /// Which question.
        ticket: TicketId,
        /// What was found; a folder that cannot be read is a file of the name [`WHOLE_FOLDER`](crate::configuration_policy::WHOLE_FOLDER).
        files: Vec<PolicyFile>,
    },
    /// Something changed in `Policies/`; nobody asked.
    PoliciesChanged,
    /// Answers `KeepPolicies`.
    PoliciesKept {
        /// Which question.
        ticket: TicketId,
        /// Whether all changes are on disk, else why none is.
        result: Result<(), String>,
    },
    /// Answers `Mfa`.
    Mfa {
        /// Which order.
        ticket: TicketId,
        /// What came of it, else why nothing changed and no code counts.
        result: Result<MfaReport, String>,
    },
    /// Answers `ChangeCertificates`.
    CertificatesChanged {
        /// Which question.
        ticket: TicketId,
        /// What is on disk now, else why nothing changed.
        result: Result<CertificatesChanged, NotChanged>,
    },
}
