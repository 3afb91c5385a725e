//! Job management over the API (seed 001, step 4; contract section 2).

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use serde_json::{Map, Value};

use super::Agent;
use super::answers::{Intent, Pending};
use super::callers::Caller;
use super::lkg::State;
use super::requests::{not_found, out_of_service};
use super::runs::{TriggerRefusal, Waiting};
use crate::api::operation::{WAIT_SECONDS, WAIT_SECONDS_MAX};
use crate::api::route::Target;
use crate::api::view::Validation;
use crate::api::{ApiRequest, ApiResponse, Conditions, entity_tag};
use crate::effect::{Effects, ProcessOrder, ProgramQuery, StoreOrder};
use crate::event::DefinitionKind;
use crate::id::JobId;
use crate::job::JobDefinition;
use crate::job::finding::{Finding, Severity, quote};
use crate::job::task::{BUILT_IN_COMMANDS, ExecutionType};
use crate::json::Json;
use crate::limits::{DEFINITIONS, WAITING_REQUESTS};
use crate::lkg::{DefinitionChange, Item};
use crate::run::{self, Chain, Origin};
use crate::time::Now;
use crate::why::Explanation;

impl Agent {
    pub(super) fn show_job(&self, id: &JobId) -> ApiResponse {
        match self.catalog.find(id.as_str()) {
            Some(job) => ApiResponse::document(200, job.document.to_vec()),
            None => self.no_job(id),
        }
    }

    pub(super) fn no_job(&self, id: &JobId) -> ApiResponse {
        match self.catalog.refused().find(|(stem, _)| *stem == id.as_str()) {
            Some((_, findings)) => ApiResponse::findings(404, &out_of_service(&format!("Jobs/{id}.json")), findings),
            None => not_found(&format!("There is no job '{id}'."), "GET /api/Jobs lists them."),
        }
    }

    fn is_known(&self, id: &JobId) -> bool {
        self.catalog.find(id.as_str()).is_some() || self.catalog.refused().any(|(stem, _)| stem == id.as_str())
    }

    /// 404 where no file has this id, in service or not; 409 where it is just being removed.
    pub(super) fn no_such_job(&self, id: &JobId) -> Option<ApiResponse> {
        if !self.is_known(id) {
            return Some(self.no_job(id));
        }
        self.removal_under_way(id).then(|| {
            let what = format!("The job '{id}' is being removed.");
            let why = "Another request asked for that and waits for the disk.";
            ApiResponse::problem(409, &Explanation::new(what, why, "GET /api/Jobs shows when it is gone."))
        })
    }

    /// What keeps a job from being replaced or removed at this moment. What is being written counts already.
    pub(super) fn not_replaceable(&self, id: &JobId, conditions: &Conditions) -> Option<ApiResponse> {
        self.no_such_job(id).or_else(|| {
            let in_service = self.catalog.find(id.as_str()).map(|job| &job.document);
            let current = self.document_under_way(id).or(in_service).map(|document| entity_tag(document));
            conditions.refuse_write(current.as_deref())
        })
    }

    pub(super) fn create_job(
        &mut self,
        now: Now,
        request: &ApiRequest,
        caller: &Caller,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        let job = match self.parse_job(&request.body, None) {
            Ok((job, _)) => job,
            Err(findings) => return Some(invalid_job(&findings)),
        };
        if let Some(conflict) = self.id_conflict(&job.id) {
            return Some(conflict);
        }
        if self.catalog.len() >= DEFINITIONS {
            let why = format!("{DEFINITIONS} jobs are in service, which is the most there may be.");
            return Some(ApiResponse::problem(
                409,
                &Explanation::new("The job was not created.", why, "Delete one first."),
            ));
        }
        self.inspect(now, request, job, Intent::Create(caller.component().to_string()), effects)
    }

    /// 409 where the id is taken, by a job in service, a file out of service, or a write under way.
    pub(super) fn id_conflict(&self, id: &JobId) -> Option<ApiResponse> {
        let taken = self.is_known(id) || self.write_under_way(id);
        let fix = format!("Use PUT /api/Jobs/{id} to replace it, or another id.");
        let explanation = Explanation::new(format!("The job '{id}' exists."), "POST creates new jobs only.", fix);
        taken.then(|| ApiResponse::problem(409, &explanation))
    }

    pub(super) fn replace_job(
        &mut self,
        now: Now,
        request: &ApiRequest,
        caller: &Caller,
        id: &JobId,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        if let Some(refusal) = self.no_such_job(id) {
            return Some(refusal);
        }
        match self.parse_job(&request.body, Some(id.as_str())) {
            Ok((job, _)) => {
                let intent = Intent::Replace(caller.component().to_string(), Conditions::of(request));
                self.inspect(now, request, job, intent, effects)
            }
            Err(findings) => Some(invalid_job(&findings)),
        }
    }

    pub(super) fn validate_job(
        &mut self,
        now: Now,
        request: &ApiRequest,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        match self.parse_job(&request.body, None) {
            Ok((job, findings)) => self.inspect(now, request, job, Intent::Validate(findings), effects),
            Err(findings) => Some(ApiResponse::json(400, &Validation { valid: false, findings: &findings })),
        }
    }

    /// Asks for the facts about the job's binaries; the answer decides.
    fn inspect(
        &mut self,
        now: Now,
        request: &ApiRequest,
        job: JobDefinition,
        intent: Intent,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        if let Some(refusal) = self.overloaded() {
            return Some(refusal);
        }
        let (places, queries) = self.binaries(&job).into_iter().unzip();
        let mut turn = self.desk.turn(now, effects);
        let ticket = turn.counters.ticket();
        turn.process(ProcessOrder::Inspect { ticket, queries });
        let job = alloc::boxed::Box::new(job);
        self.expect_answer(ticket, Pending::Inspection { request: request.id, job, places, intent });
        None
    }

    /// What to look for before a job is accepted: the binaries of the tasks that run here, by the number of the task.
    pub(super) fn binaries(&self, job: &JobDefinition) -> Vec<(usize, ProgramQuery)> {
        let here = self.desk.surroundings.here;
        let tasks = job.tasks.iter().enumerate().filter(|_| job.runs_here(here));
        let started = tasks.filter(|(_, task)| {
            let built_in =
                task.execution_type == ExecutionType::Service && BUILT_IN_COMMANDS.contains(&task.command.as_str());
            let runs_here = task.os_filter.is_none_or(|filter| filter.includes(here));
            runs_here && !built_in && task.execution_type != ExecutionType::Http
        });
        started.map(|(index, task)| (index, run::query(task, &self.desk.surroundings))).collect()
    }

    pub(super) fn delete_job(
        &mut self,
        now: Now,
        request: &ApiRequest,
        caller: &Caller,
        id: &JobId,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        if let Some(refusal) = self.not_replaceable(id, &Conditions::of(request)) {
            return Some(refusal);
        }
        let changes = vec![DefinitionChange { item: Item::new(DefinitionKind::Job, id.as_str()), document: None }];
        let writer = caller.component().to_string();
        if let Some(refusal) = self.overloaded() {
            return Some(refusal);
        }
        self.bless(now, changes, writer, Pending::Removal { request: request.id, job: id.clone() }, effects);
        None
    }

    pub(super) fn reload(&mut self, now: Now, request: &ApiRequest, effects: &mut Effects) -> Option<ApiResponse> {
        if self.lkg.state == State::Off {
            let order = |ticket| StoreOrder::ReadDefinitions { ticket };
            return self.ask_store(now, order, Pending::Reload { request: request.id }, effects);
        }
        // What counts is in memory already; files that differ are dealt with now.
        if let Some(refusal) = self.overloaded() {
            return Some(refusal);
        }
        self.survey(now, Pending::Reload { request: request.id }, effects);
        None
    }

    pub(super) fn trigger_job(
        &mut self,
        now: Now,
        request: &ApiRequest,
        target: &Target,
        caller: &Caller,
        id: &JobId,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        let Some(job) = self.catalog.find(id.as_str()).cloned() else { return Some(self.no_job(id)) };
        let values = match trigger_values(&request.body) {
            Ok(values) => values,
            Err(why) => return Some(bad_body(&why)),
        };
        let wait = match wait_seconds(target) {
            Ok(wait) => wait,
            Err(why) => return Some(bad_body(&why)),
        };
        if let Some(refusal) = self.overloaded() {
            return Some(refusal);
        }
        if wait.is_some() && self.waiting.len() >= WAITING_REQUESTS {
            let why = format!("{WAITING_REQUESTS} requests wait for runs already.");
            let explanation = Explanation::new(
                "Nothing was triggered.",
                why,
                "Trigger without ?wait=true and ask /api/runs/{id} later.",
            );
            return Some(ApiResponse::problem(503, &explanation));
        }
        let chain = self.chain_behind(caller);
        let origin = Origin {
            trigger: format!("api call of {}", caller.component()),
            chain: Chain { trace: request.trace().or(chain.trace), ..chain },
            ..Origin::default()
        };
        let run = match self.trigger(now, &job, origin, &values, effects) {
            Ok(run) => run,
            Err(TriggerRefusal::Limit(explanation)) => return Some(ApiResponse::problem(409, &explanation)),
            Err(TriggerRefusal::Conflict(why)) => return Some(not_triggered(409, &job.id, &why)),
            Err(TriggerRefusal::Invalid(why)) => return Some(not_triggered(400, &job.id, &why)),
        };
        match wait {
            Some(seconds) => {
                self.waiting.push(Waiting { run, request: request.id, until: now.monotonic.plus_seconds(seconds) });
            }
            None => self.answer_when_recorded(run, request.id),
        }
        None
    }
}

pub(super) fn invalid_job(findings: &[Finding]) -> ApiResponse {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let explanation = Explanation::new(
        "The job was refused; nothing was written.",
        format!("It has {errors} error findings."),
        "Mend what the findings name and send it again.",
    );
    ApiResponse::findings(400, &explanation, findings)
}

pub(super) fn bad_body(why: &str) -> ApiResponse {
    let explanation = Explanation::new("The request cannot be read.", why, "Send one JSON object, or no body at all.");
    ApiResponse::problem(400, &explanation)
}

fn not_triggered(status: u16, job: &JobId, why: &str) -> ApiResponse {
    let explanation =
        Explanation::new(format!("Job '{job}' was not triggered."), why, "GET the job to see its definition.");
    ApiResponse::problem(status, &explanation)
}

/// The values of a trigger: one object; a sole `parameters` or `context` member is unwrapped.
fn trigger_values(body: &[u8]) -> Result<Map<String, Value>, String> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    let Value::Object(values) = Json::parse(body).map_err(|error| error.to_string())?.to_value() else {
        return Err(String::from("The body is not a JSON object."));
    };
    let mut members = values.iter();
    if let (Some((name, inner)), None) = (members.next(), members.next())
        && (name.eq_ignore_ascii_case("parameters") || name.eq_ignore_ascii_case("context"))
    {
        return match inner {
            Value::Object(inner) => Ok(inner.clone()),
            Value::Null => Ok(Map::new()),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err(format!("The member '{name}' is not an object."))
            }
        };
    }
    Ok(values)
}

fn wait_seconds(target: &Target) -> Result<Option<u64>, String> {
    let wait = target.flag("wait")?;
    let seconds = match target.parameter("timeoutSeconds").map(|text| (text, text.parse::<u64>())) {
        None => WAIT_SECONDS,
        Some((_, Ok(seconds))) if (1..=WAIT_SECONDS_MAX).contains(&seconds) => seconds,
        Some((text, _)) => {
            let found = quote(text);
            return Err(format!("timeoutSeconds is a whole number from 1 to {WAIT_SECONDS_MAX}; found {found}."));
        }
    };
    Ok(wait.then_some(seconds))
}
