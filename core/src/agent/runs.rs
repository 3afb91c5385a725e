//! Runs: from a trigger to the last record, and whoever waits for it.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde_json::{Map, Value};

use super::{Agent, LastRun};
use crate::api::ApiResponse;
use crate::effect::{Effect, Effects};
use crate::id::{Component, JobId, RequestId, RunId, SpawnId, TicketId};
use crate::job::JobDefinition;
use crate::limits::{ENDED_RUNS, EVENT_STARTS_PER_MINUTE, QUEUED_RUNS};
use crate::log_message::Level;
use crate::run::history::Outcome;
use crate::run::{Admitted, Chain, FiredEvent, Origin, Request, Run, admission};
use crate::schedule::Tick;
use crate::schedule::past::Happening;
use crate::time::{Deadline, Monotonic, Now, WallTime};
use crate::why::Explanation;

/// Events, triggers and API calls may lead from run to run so many times, so that jobs which start each other come to an end.
const EVENT_CHAIN_DEPTH: u32 = 16;

/// A request that is answered when its run ends, or when its time is over.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) run: RunId,
    pub(super) request: RequestId,
    pub(super) until: Monotonic,
}

impl Waiting {
    pub(super) const fn deadline(&self) -> Deadline {
        Deadline { at: self.until, reason: "a waiting request" }
    }
}

/// Why a trigger was refused.
#[derive(Debug)]
pub(super) enum TriggerRefusal {
    /// The job's state forbids it: 409.
    Conflict(String),
    /// There are too many runs already, or too many led to this one: 409, and among the denials where nobody is answered.
    Limit(Explanation),
    /// The values given do not fit its parameters: 400.
    Invalid(String),
}

impl Agent {
    /// The job and task that a process is asked for, where it is a task's.
    pub(crate) fn task_of(&self, spawn: SpawnId) -> Option<(&JobId, &str)> {
        let run = self.runs.values().find(|run| run.owns(spawn))?;
        Some((&run.job.id, &run.record().tasks.last()?.task_id))
    }

    /// The job and task that a request is sent for.
    pub(crate) fn task_of_call(&self, ticket: TicketId) -> Option<(&JobId, &str)> {
        let run = self.runs.values().find(|run| run.calls(ticket))?;
        Some((&run.job.id, &run.record().tasks.last()?.task_id))
    }

    /// Starts every job that waits for an event; what came of each of them.
    pub(super) fn fire(
        &mut self,
        now: Now,
        event: &FiredEvent,
        chain: &Chain,
        effects: &mut Effects,
    ) -> Vec<(JobId, Result<RunId, TriggerRefusal>)> {
        let mut starts = Vec::new();
        let jobs = self.catalog.for_event(&event.name);
        if jobs.is_empty() {
            let message = format!("Event '{}' fired; no job waits for it.", event.name);
            self.desk.turn(now, effects).log(Level::Debug, "Event", message);
            return starts;
        }
        let chain = self.trace_event(now, event, chain, effects);
        let is_step = self.takes_step(event, &chain);
        for job in jobs {
            if !is_step && !self.event_starts.admit(&job.id, now.monotonic) {
                let explanation = Explanation::new(
                    format!("Job {} was not run by event {}.", job.id, event.name),
                    format!("Events started it {EVENT_STARTS_PER_MINUTE} times in the last minute, which is the most."),
                    "Fire fewer events, or gather them into one.",
                );
                self.record_start_denial(now, &job.id, explanation.clone(), false, effects);
                starts.push((job.id.clone(), Err(TriggerRefusal::Limit(explanation))));
                continue;
            }
            let origin = Origin { trigger: format!("event {}", event.name), chain: chain.clone(), ..Origin::default() };
            starts.push((job.id.clone(), self.trigger_or_log(now, &job, origin, &event.context, effects)));
        }
        starts
    }

    /// Triggers a job on nobody's request: a refusal goes to the log, one by a limit to the denials, too.
    pub(super) fn trigger_or_log(
        &mut self,
        now: Now,
        job: &Arc<JobDefinition>,
        origin: Origin,
        values: &Map<String, Value>,
        effects: &mut Effects,
    ) -> Result<RunId, TriggerRefusal> {
        let (trigger, is_due) = (origin.trigger.clone(), origin.due.is_some());
        let result = self.trigger(now, job, origin, values, effects);
        match &result {
            Ok(_) => {}
            Err(TriggerRefusal::Limit(explanation)) => {
                self.record_start_denial(now, &job.id, explanation.clone(), is_due, effects);
            }
            Err(TriggerRefusal::Conflict(why) | TriggerRefusal::Invalid(why)) => {
                let component = Component::Job(job.id.clone());
                let message = format!("Job {} was not run by {trigger}: {why}", job.id);
                self.desk.turn(now, effects).log_about(Level::Warning, "NotRun", message, Some(&component));
            }
        }
        result
    }

    /// Makes a run of a job, unless something speaks against it.
    pub(super) fn trigger(
        &mut self,
        now: Now,
        job: &Arc<JobDefinition>,
        origin: Origin,
        values: &Map<String, Value>,
        effects: &mut Effects,
    ) -> Result<RunId, TriggerRefusal> {
        if self.is_stopping() {
            return Err(TriggerRefusal::Conflict(String::from("the agent is stopping.")));
        }
        if origin.chain.depth > EVENT_CHAIN_DEPTH {
            return Err(TriggerRefusal::Limit(Explanation::new(
                format!("Job {} was not run by {}.", job.id, origin.trigger),
                format!(
                    "It would be run {} in a chain of runs that started each other; at most {EVENT_CHAIN_DEPTH} are followed.",
                    origin.chain.depth
                ),
                "Break the loop: castellan jobs lint names the jobs whose events start each other.",
            )));
        }
        if let Some(refusal) =
            admission::refusal(job, self.desk.surroundings.here, self.runs.values().map(AsRef::as_ref))
        {
            return Err(TriggerRefusal::Conflict(refusal));
        }
        if admission::is_full(self.runs.values().map(AsRef::as_ref)) {
            return Err(TriggerRefusal::Limit(Explanation::new(
                format!("Job {} was not run by {}.", job.id, origin.trigger),
                format!("{QUEUED_RUNS} runs wait already, which is the most."),
                "Trigger it again when some have started, or raise Settings:MaxConcurrentRuns in appsettings.json.",
            )));
        }
        let admitted = Admitted::new(Arc::clone(job), origin, values).map_err(TriggerRefusal::Invalid)?;
        let id = self.desk.counters.run(self.desk.surroundings.boot);
        let run = Run::begin(id.clone(), admitted, &mut self.desk.turn(now, effects));
        let last = LastRun { started_at: run.record().started_at.clone(), outcome: None };
        self.note_last_run(job.id.clone(), last);
        self.runs.insert(id.clone(), Box::new(run));
        Ok(id)
    }

    /// What the list of jobs shows of a job's past.
    pub(super) fn note_last_run(&mut self, job: JobId, last: LastRun) {
        self.last_runs.insert(job, last);
        self.job_list.forget();
    }

    /// Triggers what its schedule says is due.
    pub(super) fn start_due_jobs(&mut self, now: Now, effects: &mut Effects) {
        if !self.is_running() {
            return;
        }
        for (id, tick) in self.timetable.take_due(now) {
            let Some(job) = self.catalog.find(id.as_str()).cloned() else { continue };
            let (trigger, due) = match tick {
                Tick::Elapsed => (String::from("schedule"), None),
                Tick::Due(at) => (format!("schedule, due {}", at.to_rfc3339()), Some(at)),
                Tick::Missed(at) => {
                    let why = "the machine slept or its clock was set. Set \"missedRuns\": \"runOnce\" to make up for missed runs.";
                    let message = format!("Job {id} was not run at {}: {why}", at.to_rfc3339());
                    let component = Component::Job(id);
                    self.desk.turn(now, effects).log_about(Level::Warning, "NotRun", message, Some(&component));
                    let why = format!("It was noticed late: {why}");
                    self.note_not_run(now, &job, Some(at), "late", why, effects);
                    continue;
                }
            };
            let origin = Origin { trigger, due, ..Origin::default() };
            // A job that is disabled or excluded here has no schedule: what is left for a conflict is its overlap.
            let (guard, why) = match self.trigger_or_log(now, &job, origin, &Map::new(), effects) {
                Ok(_) => continue,
                Err(TriggerRefusal::Conflict(why)) => ("overlap", why),
                Err(TriggerRefusal::Limit(Explanation { why, fix, .. })) => ("queue", format!("{why} {fix}")),
                Err(TriggerRefusal::Invalid(why)) => ("trigger", why),
            };
            self.note_not_run(now, &job, due, guard, why, effects);
        }
    }

    /// Keeps on record that a schedule led to no run.
    fn note_not_run(
        &mut self,
        now: Now,
        job: &JobDefinition,
        due: Option<WallTime>,
        guard: &str,
        why: String,
        effects: &mut Effects,
    ) {
        let (job_id, due) = (job.id.to_string(), due.map(WallTime::to_rfc3339));
        self.desk.turn(now, effects).note(Happening::NotRun { job_id, due, guard: guard.to_string(), why });
    }

    /// Admits waiting runs, follows what ended runs led to, and answers who waited for them; until nothing changes.
    pub(super) fn settle_runs(&mut self, now: Now, effects: &mut Effects) {
        loop {
            let places = self.desk.settings.max_concurrent_runs;
            if let Some(id) = admission::next(self.runs.values().map(AsRef::as_ref), places)
                && let Some(run) = self.runs.get_mut(&id)
            {
                run.on_admitted(&mut self.desk.turn(now, effects));
                continue;
            }
            let asked: Vec<(Component, Chain, Request)> = self
                .runs
                .values_mut()
                .flat_map(|run| {
                    let requests = run.take_requests();
                    let from = (!requests.is_empty()).then(|| (Component::Job(run.job.id.clone()), run.chain()));
                    from.into_iter().flat_map(move |(component, chain)| {
                        requests.clone().into_iter().map(move |request| (component.clone(), chain.clone(), request))
                    })
                })
                .collect();
            let done: Vec<RunId> = self.runs.values().filter(|run| run.is_done()).map(|run| run.id.clone()).collect();
            if asked.is_empty() && done.is_empty() {
                return;
            }
            for (component, chain, request) in asked {
                self.on_task_request(now, &component, chain, &request, effects);
            }
            for id in done {
                self.end_run(now, &id, effects);
            }
        }
    }

    /// What a built-in command asked for.
    fn on_task_request(
        &mut self,
        now: Now,
        component: &Component,
        chain: Chain,
        request: &Request,
        effects: &mut Effects,
    ) {
        match request {
            Request::Call(call) => self.call_own_api(now, component, call, effects),
            Request::Event(event) => drop(self.fire(now, event, &chain, effects)),
            Request::Job(request) => {
                if let Err(why) = self.run_requested(now, request, component, chain, effects) {
                    self.desk.turn(now, effects).log_about(Level::Warning, "NotRun", why, Some(component));
                }
            }
        }
    }

    fn end_run(&mut self, now: Now, id: &RunId, effects: &mut Effects) {
        let Some(run) = self.runs.remove(id) else { return };
        self.ended.truncate(ENDED_RUNS.saturating_sub(1));
        self.ended.push_front((id.clone(), Chain { trace: run.run_context(), ..run.chain() }));
        let record = run.record();
        self.meter.ended(record, now);
        let outcome = record.outcome.map(Outcome::as_str);
        if self.catalog.find(run.job.id.as_str()).is_some() {
            self.note_last_run(run.job.id.clone(), LastRun { started_at: record.started_at.clone(), outcome });
        }
        let (answered, waiting) =
            core::mem::take(&mut self.waiting).into_iter().partition(|waiting| waiting.run == *id);
        self.waiting = waiting;
        let answered: Vec<Waiting> = answered;
        for waiting in answered {
            effects.push(Effect::Respond { request: waiting.request, response: ApiResponse::json(200, record) });
        }
        self.run_alternate(now, &run, effects);
        self.on_run_of_elevation_over(now, &run, effects);
    }

    fn run_alternate(&mut self, now: Now, run: &Run, effects: &mut Effects) {
        let Some((alternate, values)) = run.alternate() else { return };
        let mut lineage = run.origin.lineage.clone();
        lineage.push(run.job.id.clone());
        let obstacle = if lineage.contains(alternate) {
            Some(format!("alternateJobId of '{}' leads back to '{alternate}', which was visited already.", run.job.id))
        } else if self.catalog.find(alternate.as_str()).is_none() {
            Some(format!("alternateJobId of '{}' names no job in service: '{alternate}'.", run.job.id))
        } else {
            None
        };
        if let Some(message) = obstacle {
            return self.desk.turn(now, effects).log(Level::Error, "Alternate", message);
        }
        let Some(job) = self.catalog.find(alternate.as_str()).cloned() else { return };
        // An alternate stands at the place of the job it stands in for.
        let chain = Chain { depth: run.origin.chain.depth, trace: run.run_context(), ..run.chain() };
        let origin = Origin { trigger: format!("alternate of {}", run.job.id), chain, lineage, ..Origin::default() };
        drop(self.trigger_or_log(now, &job, origin, &values, effects));
    }

    /// Answers requests whose run takes longer than they wanted to wait.
    pub(super) fn answer_late(&mut self, now: Now, effects: &mut Effects) {
        let (late, waiting): (Vec<Waiting>, _) =
            core::mem::take(&mut self.waiting).into_iter().partition(|waiting| waiting.until <= now.monotonic);
        self.waiting = waiting;
        for waiting in late {
            let response = match self.runs.get(&waiting.run) {
                Some(run) => ApiResponse::json(202, run.record()),
                None => ApiResponse::json(202, &serde_json::json!({ "runId": waiting.run.as_str() })),
            };
            effects.push(Effect::Respond { request: waiting.request, response });
        }
    }
}
