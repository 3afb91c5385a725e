//! A job that a request brought: its binaries are looked at, then it is written, then it counts; and one that is removed.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::Agent;
use super::answers::{Intent, Pending, not_written};
use super::requests::respond;
use super::requests_jobs::invalid_job;
use crate::api::view::{Deleted, Validation};
use crate::api::{ApiResponse, entity_tag};
use crate::effect::Effects;
use crate::event::{DefinitionKind, ExecutableFacts};
use crate::id::{JobId, RequestId, TicketId};
use crate::job::JobDefinition;
use crate::job::finding::{Finding, Findings, Severity};
use crate::lkg::{DefinitionChange, Document, Item, NotWritten};
use crate::log_message::Level;
use crate::program::{self, Unfit};
use crate::time::Now;
use crate::why::Explanation;

impl Agent {
    /// Definitions are written, or not.
    pub(super) fn on_definitions_changed(
        &mut self,
        now: Now,
        ticket: TicketId,
        result: Result<Vec<u64>, NotWritten>,
        effects: &mut Effects,
    ) {
        match self.pending.remove(&ticket) {
            Some(Pending::Write { request, job, created }) => {
                self.on_written(now, request, *job, created, result, effects)
            }
            Some(Pending::Removal { request, job }) => self.on_removed(now, request, &job, result, effects),
            Some(Pending::Adoption) => self.on_adopted(now, result, effects),
            Some(Pending::Policies) => self.on_policy_written(now, result, effects),
            Some(Pending::Lkg(asked)) => self.on_accepted(now, asked, result, effects),
            other => self.unasked(now, ticket, other, effects),
        }
    }

    pub(super) fn on_inspected(
        &mut self,
        now: Now,
        ticket: TicketId,
        executables: &[ExecutableFacts],
        effects: &mut Effects,
    ) {
        let (request, job, places, intent) = match self.pending.remove(&ticket) {
            Some(Pending::Inspection { request, job, places, intent }) => (request, job, places, intent),
            Some(Pending::Policies) => return self.on_policy_binaries(now, executables, effects),
            None if self.elevation_awaits(ticket) => {
                let found = executables.first().ok_or("nothing was found out about it.");
                return self.on_program_found(now, ticket, found, effects);
            }
            other => return self.unasked(now, ticket, other, effects),
        };
        if executables.len() != places.len() {
            let why = format!("{} of {} binaries were looked at.", executables.len(), places.len());
            let explanation =
                Explanation::new("The binaries of the job could not be looked at.", why, "Send the request again.");
            return respond(request, ApiResponse::problem(503, &explanation), effects);
        }
        let looked = places.iter().zip(executables);
        let findings: Findings = looked.filter_map(|(index, facts)| binary_finding(&job, *index, facts)).collect();
        match intent {
            Intent::Validate(mut known) => {
                let valid = findings.is_empty();
                known.extend(findings);
                let body = Validation { valid, findings: &known };
                respond(request, ApiResponse::json(if valid { 200 } else { 400 }, &body), effects);
            }
            Intent::Create(_) | Intent::Replace(..) if !findings.is_empty() => {
                respond(request, invalid_job(&findings), effects)
            }
            Intent::Create(writer) => match self.id_conflict(&job.id) {
                Some(conflict) => respond(request, conflict, effects),
                None => self.write(now, request, job, (writer, true), effects),
            },
            Intent::Replace(writer, conditions) => match self.not_replaceable(&job.id, &conditions) {
                Some(refusal) => respond(request, refusal, effects),
                None => self.write(now, request, job, (writer, false), effects),
            },
        }
    }

    fn write(
        &mut self,
        now: Now,
        request: RequestId,
        job: Box<JobDefinition>,
        (writer, created): (String, bool),
        effects: &mut Effects,
    ) {
        let item = Item::new(DefinitionKind::Job, job.id.as_str());
        let changes = vec![DefinitionChange { item, document: Some(job.document.clone()) }];
        self.bless(now, changes, writer, Pending::Write { request, job, created }, effects);
    }

    /// Whether a job of this id is being written right now.
    pub(super) fn write_under_way(&self, id: &JobId) -> bool {
        let is_written = |pending: &Pending| matches!(pending, Pending::Write { job, .. } if job.id == *id);
        self.pending.values().any(is_written) || self.policy_changes(id)
    }

    /// The document that was ordered last for the job of this id and is not on disk yet.
    pub(super) fn document_under_way(&self, id: &JobId) -> Option<&Document> {
        self.pending.values().rev().find_map(|pending| {
            if let Pending::Write { job, .. } = pending { (job.id == *id).then_some(&job.document) } else { None }
        })
    }

    /// Whether the job of this id is being removed right now.
    pub(super) fn removal_under_way(&self, id: &JobId) -> bool {
        self.pending.values().any(|pending| matches!(pending, Pending::Removal { job, .. } if job == id))
    }

    /// Whether a request is changing the job of this id right now.
    pub(super) fn is_changing(&self, id: &JobId) -> bool {
        let is_written = |pending: &Pending| matches!(pending, Pending::Write { job, .. } if job.id == *id);
        self.pending.values().any(is_written) || self.removal_under_way(id)
    }

    fn on_written(
        &mut self,
        now: Now,
        request: RequestId,
        job: JobDefinition,
        created: bool,
        result: Result<Vec<u64>, NotWritten>,
        effects: &mut Effects,
    ) {
        if let Err(error) = result {
            let what = "The job was not written; what was there before still counts.";
            return respond(request, not_written(what, &error), effects);
        }
        let (id, document) = (job.id.clone(), job.document.clone());
        self.insert_job(now, job, effects);
        let verb = if created { "created" } else { "replaced" };
        self.desk.turn(now, effects).log(
            Level::Information,
            "JobWritten",
            format!("Job {id} was {verb} through the API."),
        );
        let tag = entity_tag(&document);
        let mut response = ApiResponse::document(if created { 201 } else { 200 }, document.to_vec());
        response.set_header("etag", &tag);
        if created {
            response.set_header("location", &format!("/api/Jobs/{id}"));
        }
        respond(request, response, effects);
    }

    fn on_removed(
        &mut self,
        now: Now,
        request: RequestId,
        id: &JobId,
        result: Result<Vec<u64>, NotWritten>,
        effects: &mut Effects,
    ) {
        if let Err(error) = result {
            return respond(request, not_written("The job was not removed.", &error), effects);
        }
        self.remove_job(now, id.as_str(), effects);
        self.desk.turn(now, effects).log(
            Level::Information,
            "JobRemoved",
            format!("Job {id} was removed through the API."),
        );
        respond(request, ApiResponse::json(200, &Deleted { id: id.as_str(), deleted: true }), effects);
    }
}

pub(super) fn binary_finding(job: &JobDefinition, index: usize, facts: &ExecutableFacts) -> Option<Finding> {
    let Unfit { code, why } = program::of_task(job.tasks.get(index)?, facts).err()?;
    Some(Finding { path: format!("/tasks/{index}/command"), code, message: why, severity: Severity::Error })
}
