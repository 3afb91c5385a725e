//! Runs over the API: the history in pages, one run, its end before its time; and events that lead to runs.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Agent;
use super::answers::{Pending, not_on_disk};
use super::callers::Caller;
use super::requests::{not_found, respond};
use super::requests_jobs::bad_body;
use super::runs::TriggerRefusal;
use crate::api::route::Target;
use crate::api::view::{Fired, NotRun, RunLine, Triggered};
use crate::api::{ApiRequest, ApiResponse, Tier};
use crate::effect::{Effects, StoreOrder};
use crate::id::{JobId, RunId, TicketId};
use crate::limits::RUNS_PER_PAGE;
use crate::log_message::Level;
use crate::run::history::{Outcome, RunQuery, RunRecord};
use crate::run::{Chain, FiredEvent};
use crate::time::Now;
use crate::why::Explanation;

/// The status of a run that has not ended.
const RUNNING: &str = "running";

/// What a request wants of the history.
#[derive(Debug)]
pub(super) enum WantedRuns {
    /// Whole runs of a job.
    OfJob,
    /// A page of lines.
    Page,
    /// The latest, for the status page of somebody of this tier.
    StatusPage(Tier),
    /// One run.
    One(RunId),
    /// One that was to be canceled and is not active.
    Canceled(RunId),
}

impl Agent {
    /// `GET /api/runs?job=&status=&before=&limit=`.
    pub(super) fn list_runs(
        &mut self,
        now: Now,
        request: &ApiRequest,
        target: &Target,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        match page(target) {
            Ok(query) => self.read_runs(now, request, query, WantedRuns::Page, effects),
            Err(why) => {
                let fix = "GET /api/runs?job=ID&status=Failed&limit=20, and before=RUN for the page that follows.";
                Some(ApiResponse::problem(400, &Explanation::new("The page of runs cannot be read.", why, fix)))
            }
        }
    }

    pub(super) fn show_runs_of(
        &mut self,
        now: Now,
        request: &ApiRequest,
        id: &JobId,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        if self.catalog.find(id.as_str()).is_none() {
            return Some(self.no_job(id));
        }
        let query = RunQuery { job: Some(id.clone()), limit: RUNS_PER_PAGE, ..RunQuery::default() };
        self.read_runs(now, request, query, WantedRuns::OfJob, effects)
    }

    pub(super) fn show_run(
        &mut self,
        now: Now,
        request: &ApiRequest,
        id: &RunId,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        if let Some(run) = self.runs.get(id) {
            return Some(ApiResponse::json(200, run.record()));
        }
        self.read_runs(now, request, one(id), WantedRuns::One(id.clone()), effects)
    }

    /// Asks a run to end; 202, as its trees get their time.
    pub(super) fn cancel_run(
        &mut self,
        now: Now,
        request: &ApiRequest,
        caller: &Caller,
        id: &RunId,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        if self.runs.get(id).is_none_or(|run| run.is_done()) {
            return self.read_runs(now, request, one(id), WantedRuns::Canceled(id.clone()), effects);
        }
        let by = caller.component();
        self.desk.turn(now, effects).log(Level::Information, "RunCanceled", format!("Run {id} was canceled by {by}."));
        self.with_run(now, id, effects, |run, turn| run.cancel(&format!("it was canceled by {by}."), turn));
        self.runs.get(id).map(|run| ApiResponse::json(202, &RunLine::new(run.record())))
    }

    /// `POST /api/events`: as `EventMessages`, with an answer that tells what the event led to.
    pub(super) fn fire_event(
        &mut self,
        now: Now,
        request: &ApiRequest,
        caller: &Caller,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        let event = match FiredEvent::parse(&request.body) {
            Ok(event) => FiredEvent { trace: event.trace.or(request.trace()), ..event },
            Err(why) => return Some(bad_body(&why)),
        };
        let sender = caller.component();
        let repeated = event.id.as_ref().is_some_and(|id| !self.event_starts.is_new(&sender, id));
        let mut fired = Fired { event_name: event.name.clone(), repeated, runs: Vec::new(), not_run: Vec::new() };
        if repeated {
            return Some(ApiResponse::json(200, &fired));
        }
        let message = format!("{sender} fired event '{}' through the API.", event.name);
        self.desk.turn(now, effects).log(Level::Information, "Event", message);
        for (job, start) in self.fire(now, &event, &self.chain_behind(caller), effects) {
            let job_id = job.to_string();
            match start {
                Ok(run) => {
                    fired.runs.push(Triggered { run_id: run.to_string(), job_id, status: String::from(RUNNING) });
                }
                Err(refusal) => fired.not_run.push(NotRun { job_id, reason: reason(refusal) }),
            }
        }
        Some(ApiResponse::json(202, &fired))
    }

    /// What the run that a call comes from hands down.
    pub(super) fn chain_behind(&self, caller: &Caller) -> Chain {
        let run = caller.identity.as_ref().and_then(|identity| self.runs.get(identity.run.as_ref()?));
        run.map_or_else(Chain::default, |run| run.chain())
    }

    pub(super) fn read_runs(
        &mut self,
        now: Now,
        request: &ApiRequest,
        query: RunQuery,
        wanted: WantedRuns,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        let order = |ticket| StoreOrder::ReadRuns { ticket, query };
        self.ask_store(now, order, Pending::Runs { request: request.id, wanted }, effects)
    }

    pub(super) fn on_runs_read(
        &mut self,
        now: Now,
        ticket: TicketId,
        result: Result<Vec<RunRecord>, String>,
        effects: &mut Effects,
    ) {
        match self.pending.remove(&ticket) {
            Some(Pending::Runs { request, wanted }) => {
                respond(request, self.runs_response(now, result, &wanted), effects);
            }
            other => self.unasked(now, ticket, other, effects),
        }
    }

    /// Runs of the history; an active one is shown as it stands now.
    fn runs_response(&self, now: Now, result: Result<Vec<RunRecord>, String>, wanted: &WantedRuns) -> ApiResponse {
        let records = match result {
            Ok(records) => records,
            Err(error) => return not_on_disk("The history cannot be read.", &error),
        };
        let current = |record: RunRecord| {
            let active = RunId::from_text(&record.run_id).and_then(|id| self.runs.get(&id));
            active.map_or(record, |run| run.record().clone())
        };
        let mut records: Vec<RunRecord> = records.into_iter().map(current).collect();
        match wanted {
            WantedRuns::OfJob => ApiResponse::json(200, &records),
            WantedRuns::Page => ApiResponse::json(200, &records.iter().map(RunLine::new).collect::<Vec<_>>()),
            WantedRuns::StatusPage(tier) => self.page(now, *tier, &records),
            WantedRuns::One(id) => records.pop().map_or_else(|| no_run(id), |record| ApiResponse::json(200, &record)),
            WantedRuns::Canceled(id) => records.pop().map_or_else(|| no_run(id), |record| ended(id, &record)),
        }
    }
}

fn one(id: &RunId) -> RunQuery {
    RunQuery { run: Some(id.clone()), limit: 1, ..RunQuery::default() }
}

fn no_run(id: &RunId) -> ApiResponse {
    not_found(&format!("There is no run '{id}'."), "GET /api/runs lists them.")
}

fn ended(id: &RunId, record: &RunRecord) -> ApiResponse {
    let why = format!("It ended already: {}.", record.status);
    let fix = format!("GET /api/runs/{id} tells how.");
    ApiResponse::problem(409, &Explanation::new(format!("Run {id} cannot be canceled."), why, fix))
}

fn reason(refusal: TriggerRefusal) -> String {
    match refusal {
        TriggerRefusal::Conflict(why) | TriggerRefusal::Invalid(why) => why,
        TriggerRefusal::Limit(Explanation { why, fix, .. }) => format!("{why} {fix}"),
    }
}

/// The page that a query asks for; why it cannot be.
fn page(target: &Target) -> Result<RunQuery, String> {
    let job = target.parameter("job").map(JobId::parse).transpose();
    let before = target.parameter("before");
    let run = before.map(|text| RunId::from_text(text).ok_or_else(|| String::from("'before' is not the id of a run.")));
    Ok(RunQuery {
        job: job.map_err(|invalid| format!("'job' is not the id of one: {}", invalid.message))?,
        run: None,
        status: target.parameter("status").map(status).transpose()?,
        before: run.transpose()?,
        brief: true,
        limit: limit(target, RUNS_PER_PAGE)?,
    })
}

/// A status in any case.
fn status(text: &str) -> Result<String, String> {
    let all = || Outcome::ALL.into_iter().map(Outcome::as_str).chain([RUNNING]);
    let known = all().find(|status| status.eq_ignore_ascii_case(text));
    known.map(String::from).ok_or_else(|| format!("'status' is one of: {}.", all().collect::<Vec<_>>().join(", ")))
}

/// The lines of a page, which has `most` where nobody says less.
pub(super) fn limit(target: &Target, most: usize) -> Result<usize, String> {
    let Some(text) = target.parameter("limit") else { return Ok(most) };
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| format!("'limit' is a whole number from 1 to {most}."))
}
