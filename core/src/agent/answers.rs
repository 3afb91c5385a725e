//! Answers of the ports to questions that a request or a run asked.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Agent;
use super::certificates::Asked;
use super::mfa;
use super::requests::{not_found, respond};
use super::requests_elevations::WantedElevations;
use super::requests_lkg;
use super::requests_policies::PoliciesWanted;
use super::requests_runs::WantedRuns;
use super::requests_settings_write::SettingsWrite;
use super::strangers::Question;
use crate::api::view::Triggered;
use crate::api::{ApiResponse, Conditions};
use crate::effect::{Effects, StoreOrder};
use crate::event::StoreReport;
use crate::id::{JobId, PluginId, RequestId, RunId, SpawnId, TicketId};
use crate::job::JobDefinition;
use crate::job::finding::Findings;
use crate::limits::PENDING_REQUESTS;
use crate::lkg::{Cause, NotWritten};
use crate::log_message::Level;
use crate::plugin::supervisor::output::ProcessOutput;
use crate::time::Now;
use crate::why::Explanation;

/// A question that is not answered yet.
#[derive(Debug)]
pub(super) enum Pending {
    /// Facts about the binaries of a job that a request brought.
    Inspection { request: RequestId, job: Box<JobDefinition>, places: Vec<usize>, intent: Intent },
    /// A job that is being written.
    Write { request: RequestId, job: Box<JobDefinition>, created: bool },
    /// A job that is being removed.
    Removal { request: RequestId, job: JobId },
    /// All definitions are being read, or compared with what is blessed.
    Reload { request: RequestId },
    /// All definitions are being read, as somebody changed files.
    Touched,
    /// What is in service becomes the reference.
    Adoption,
    /// Every file is being compared.
    Sweep,
    /// What a request wants of Last Known Good.
    Lkg(requests_lkg::Asked),
    /// What the policy that is being applied waits for.
    Policies,
    /// Policies are being read.
    PoliciesRead(PoliciesWanted),
    /// Settings of plugins that are being written.
    Settings(Box<SettingsWrite>),
    /// Runs of the history.
    Runs { request: RequestId, wanted: WantedRuns },
    /// Requests for more privileges of the history.
    Elevations { request: RequestId, wanted: WantedElevations },
    /// What a plugin's processes wrote: the one that is asked, those still to ask, and what was found.
    PluginOutput { request: RequestId, plugin: PluginId, spawn: SpawnId, rest: Vec<SpawnId>, found: Vec<ProcessOutput> },
    /// What the ports counted.
    Metrics { request: RequestId },
    /// The same, for the collector of telemetry.
    Measure,
    /// The program of somebody whom the agent did not start.
    Examination(Question),
    /// The list of admin certificates is being changed.
    Certificates(Asked),
    /// What a request wants of authenticators.
    Mfa(mfa::Asked),
}

/// What a request wants with the job it brought.
#[derive(Debug)]
pub(super) enum Intent {
    /// Only to know; with the findings so far.
    Validate(Findings),
    /// To add it; who wants that.
    Create(String),
    /// To put it in place of the one with its id, where these hold when it is written; who wants that.
    Replace(String, Conditions),
}

impl Agent {
    pub(super) fn on_store(&mut self, now: Now, report: StoreReport, effects: &mut Effects) {
        match report {
            StoreReport::RunPersisted { ticket, run, result } => {
                self.on_run_persisted(now, ticket, &run, &result, effects)
            }
            StoreReport::ElevationKept { ticket, result } => self.on_elevation_kept(now, ticket, result, effects),
            StoreReport::RunsRead { ticket, result } => self.on_runs_read(now, ticket, result, effects),
            StoreReport::ElevationsRead { ticket, result } => self.on_elevations_read(now, ticket, result, effects),
            StoreReport::DefinitionsChanged { ticket, result } => {
                self.on_blessed(ticket, result.as_deref().ok());
                self.on_definitions_changed(now, ticket, result, effects);
            }
            StoreReport::Surveyed { ticket, survey, checked } => {
                self.on_surveyed(now, ticket, survey, checked, effects)
            }
            StoreReport::Restored { ticket, item, result } => self.on_restored(now, ticket, &item, result, effects),
            StoreReport::ReferencesRead { ticket, result } => self.on_references_read(now, ticket, result, effects),
            StoreReport::Rekeyed { ticket, result } => self.on_rekeyed(now, ticket, result, effects),
            StoreReport::LkgNoticed(notice) => self.on_lkg_notice(now, notice, effects),
            StoreReport::DefinitionsTouched => self.on_touched(now, effects),
            StoreReport::DefinitionsRead { ticket, files } => match self.pending.remove(&ticket) {
                Some(Pending::Reload { request }) => {
                    let report = self.load_hand_edits(now, files, effects);
                    self.renew_plugins(now, effects);
                    respond(request, ApiResponse::json(200, &report), effects);
                }
                Some(Pending::Touched) => drop(self.load_hand_edits(now, files, effects)),
                Some(Pending::Policies) => self.on_policy_reloaded(now, Some(files), effects),
                other => self.unasked(now, ticket, other, effects),
            },
            StoreReport::PoliciesRead { ticket, files } => match self.pending.remove(&ticket) {
                Some(Pending::PoliciesRead(wanted)) => self.on_policies_read(now, wanted, files, effects),
                other => self.unasked(now, ticket, other, effects),
            },
            StoreReport::PoliciesChanged => self.look_at_policies(now, effects),
            StoreReport::PoliciesKept { ticket, result } => match self.pending.remove(&ticket) {
                Some(Pending::Policies) => self.on_policies_kept(now, result, effects),
                other => self.unasked(now, ticket, other, effects),
            },
            StoreReport::SettingsWritten { ticket, result } => match self.pending.remove(&ticket) {
                Some(Pending::Settings(write)) => self.on_settings_written(now, *write, result, effects),
                other => self.unasked(now, ticket, other, effects),
            },
            StoreReport::Mfa { ticket, result } => self.on_mfa(now, ticket, result, effects),
            StoreReport::CertificatesChanged { ticket, result } => {
                self.on_certificates_changed(now, ticket, result, effects)
            }
        }
    }

    fn on_run_persisted(
        &mut self,
        now: Now,
        ticket: TicketId,
        run: &RunId,
        result: &Result<(), String>,
        effects: &mut Effects,
    ) {
        if let Some(run) = self.runs.get_mut(run) {
            run.on_persisted(ticket, result, &mut self.desk.turn(now, effects));
        } else if let Err(error) = result {
            let message = format!("A record of run {run} could not be written: {error}.");
            self.desk.turn(now, effects).log(Level::Error, "HistoryNotWritten", message);
        }
        let (recorded, rest): (Vec<_>, Vec<_>) =
            core::mem::take(&mut self.unanswered_triggers).into_iter().partition(|(waiting, _)| waiting == run);
        self.unanswered_triggers = rest;
        for (run, request) in recorded {
            respond(request, self.triggered(&run, result), effects);
        }
    }

    /// The agent exits: whoever still waits is told so.
    pub(super) fn answer_everybody(&mut self, effects: &mut Effects) {
        let triggers = core::mem::take(&mut self.unanswered_triggers);
        for (run, request) in triggers {
            respond(request, stopped(&format!("Run {run} was being recorded.")), effects);
        }
        for waiting in core::mem::take(&mut self.waiting) {
            respond(waiting.request, stopped(&format!("Run {} had not ended.", waiting.run)), effects);
        }
        for pending in core::mem::take(&mut self.pending).into_values() {
            let (request, what) = match pending {
                Pending::Inspection { request, .. } => (request, "Nothing was written."),
                Pending::Write { request, .. } => (request, "The job was being written."),
                Pending::Removal { request, .. } => (request, "The job was being removed."),
                Pending::Reload { request } => (request, "The definitions were being read."),
                Pending::Lkg(asked) => (asked.request, asked.under_way()),
                Pending::Settings(write) => (write.request, "The settings were being written."),
                Pending::Metrics { request } => (request, "The counts were being gathered."),
                Pending::PluginOutput { request, .. } => (request, "The plugin's output was being read."),
                Pending::Runs { request, .. } | Pending::Elevations { request, .. } => {
                    (request, "The history was being read.")
                }
                Pending::PoliciesRead(wanted) => match wanted.request() {
                    Some(request) => (request, "The policies were being read."),
                    None => continue,
                },
                // Those who wait for it are answered below.
                Pending::Policies => continue,
                Pending::Examination(Question::Call(request, _)) => {
                    (request.id, "The caller's program was being looked at.")
                }
                // The broker stopped before, and answered those who waited.
                Pending::Examination(Question::Connect { .. })
                | Pending::Touched
                | Pending::Adoption
                | Pending::Sweep
                | Pending::Measure => continue,
                Pending::Mfa(asked) => (asked.request, "Authenticators were being looked up."),
                Pending::Certificates(asked) => match asked.waits() {
                    Some(waits) => waits,
                    None => continue,
                },
            };
            respond(request, stopped(what), effects);
        }
        for request in self.forsake_elevations() {
            respond(request, stopped("The request for more privileges was being decided."), effects);
        }
        for request in self.forsake_policies() {
            respond(request, stopped("The policies were being applied."), effects);
        }
    }

    /// Keeps a question until it is answered.
    pub(super) fn expect_answer(&mut self, ticket: TicketId, pending: Pending) {
        self.pending.insert(ticket, pending);
    }

    /// Orders something of the store whose report answers a request; 503 at once where too many wait.
    pub(super) fn ask_store(
        &mut self,
        now: Now,
        order: impl FnOnce(TicketId) -> StoreOrder,
        pending: Pending,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        if let Some(refusal) = self.overloaded() {
            return Some(refusal);
        }
        let mut turn = self.desk.turn(now, effects);
        let ticket = turn.counters.ticket();
        turn.store(order(ticket));
        self.expect_answer(ticket, pending);
        None
    }

    /// 503 where more requests wait for the disk than the agent keeps.
    pub(super) fn overloaded(&self) -> Option<ApiResponse> {
        let waiting = self.pending.len().saturating_add(self.unanswered_triggers.len());
        (waiting >= PENDING_REQUESTS).then(|| {
            let why = format!("{PENDING_REQUESTS} requests wait for an answer already.");
            ApiResponse::problem(
                503,
                &Explanation::new("The agent has too much to do.", why, "Send the request again later."),
            )
        })
    }

    /// The trigger's request is answered once the run is on record.
    pub(super) fn answer_when_recorded(&mut self, run: RunId, request: RequestId) {
        self.unanswered_triggers.push((run, request));
    }

    fn triggered(&self, id: &RunId, result: &Result<(), String>) -> ApiResponse {
        match (result, self.runs.get(id)) {
            (Ok(()), Some(run)) => {
                let record = run.record();
                let triggered =
                    Triggered { run_id: id.to_string(), job_id: record.job_id.clone(), status: record.status.clone() };
                ApiResponse::json(202, &triggered)
            }
            (Err(error), _) => not_on_disk("The run was not started.", error),
            (Ok(()), None) => not_found(&format!("Run {id} is gone."), "GET /api/Jobs/{id}/runs lists runs."),
        }
    }

    pub(super) fn unasked(&mut self, now: Now, ticket: TicketId, pending: Option<Pending>, effects: &mut Effects) {
        if let Some(pending) = pending {
            self.pending.insert(ticket, pending);
        }
        let message = format!("Answer {ticket} fits no question; nothing changed.");
        self.desk.turn(now, effects).log(Level::Warning, "Anomaly", message);
    }
}

/// 503 from an agent that is about to exit.
pub(super) fn stopped(what: &str) -> ApiResponse {
    let fix = "Ask again when the agent is back: GET shows what came of it.";
    ApiResponse::problem(503, &Explanation::new("The agent stopped before it could answer.", what, fix))
}

pub(super) const LOOK_AT_DISK: &str = "Look at the disk that holds the agent root, then send the request again.";
/// What to do where the references of Last Known Good prove nothing; why they do tells how to mend them.
pub(super) const MEND_REFERENCES: &str =
    "castellan lkg status shows the alarm and what can be done: mend that and send the request again.";

pub(super) fn not_on_disk(what: &str, error: &str) -> ApiResponse {
    ApiResponse::problem(500, &Explanation::new(what, error.to_string(), LOOK_AT_DISK))
}

/// The status and what to do about a blessed write that did not happen: 507 where the disk is full, 409 where the references prove
/// nothing, 500 for every other reason.
pub(super) const fn unwritten(cause: Cause) -> (u16, &'static str) {
    match cause {
        Cause::Full => (507, "Make room on the disk that holds the agent root, then send the request again."),
        Cause::Unusable => (409, MEND_REFERENCES),
        Cause::Other => (500, LOOK_AT_DISK),
    }
}

pub(super) fn not_written(what: &str, error: &NotWritten) -> ApiResponse {
    let (status, fix) = unwritten(error.cause);
    ApiResponse::problem(status, &Explanation::new(what, error.reason.clone(), fix))
}
