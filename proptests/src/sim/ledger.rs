//! What the simulated world holds against the agent: every invariant by its name, over all the agent's lives.

mod due;

use std::collections::{BTreeMap, BTreeSet};

use castellan_core::id::{SpawnId, TicketId};
use castellan_core::run::history::{Outcome, RunRecord};

use super::jobs::{Job, Overlap};

/// An invariant that does not hold: its name, and what happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Its name.
    pub invariant: &'static str,
    /// What happened instead.
    pub detail: String,
}

/// The error of an invariant.
pub(super) fn broken<T>(invariant: &'static str, detail: impl Into<String>) -> Result<T, Broken> {
    Err(Broken { invariant, detail: detail.into() })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Recording,
    Waiting,
    Active,
    Closing,
}

#[derive(Debug)]
struct Known {
    job: usize,
    order: u64,
    stage: Stage,
    /// The job that must run instead of it.
    alternate: Option<usize>,
}

/// What is known of all runs.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Runs of this life of the agent.
    runs: BTreeMap<String, Known>,
    /// Runs that somebody was told of.
    accepted: BTreeSet<String>,
    /// Due instants that became a run.
    due: due::Due,
    /// Runs by job and message of an event.
    by_message: BTreeMap<(usize, u64), usize>,
    /// Jobs that must run now, instead of one whose condition was false, with that job.
    alternates: Vec<(usize, usize)>,
    /// Requests that wait for an answer, with their run.
    calls: BTreeMap<TicketId, String>,
    /// Programs that run now, with their run.
    programs: BTreeMap<SpawnId, String>,
    /// Runs in the history.
    pub(super) disk: BTreeMap<String, RunRecord>,
    /// Runs that ended, in any life.
    pub(super) ended: usize,
    /// Tasks that were executed by runs that ended.
    pub(super) executed: usize,
}

impl Ledger {
    /// The agent died: what was in its memory is gone, and so are its processes.
    pub(super) fn on_death(&mut self) {
        self.runs.clear();
        self.by_message.clear();
        self.alternates.clear();
        self.calls.clear();
        self.programs.clear();
    }

    pub(super) fn on_accepted(&mut self, run: &str) -> Result<(), Broken> {
        if !self.disk.contains_key(run) {
            return broken("durable-first", format!("run {run} was confirmed and is not on disk"));
        }
        self.accepted.insert(run.to_owned());
        Ok(())
    }

    /// A record is on its way to the disk.
    pub(super) fn on_record(&mut self, jobs: &[Job], record: &RunRecord, order: u64) -> Result<(), Broken> {
        let run = &record.run_id;
        let Some((number, job)) = jobs.iter().enumerate().find(|(_, job)| job.id == record.job_id) else {
            return broken("route", format!("run {run} is of no job: {}", record.job_id));
        };
        let Some(outcome) = record.outcome else {
            if self.runs.get(run).is_some_and(|known| known.stage == Stage::Active) {
                // How far it has come.
                return Ok(());
            }
            if self.disk.contains_key(run) || self.runs.contains_key(run) {
                return broken("one-outcome", format!("run {run} begins twice"));
            }
            self.due.on_begin(job, record)?;
            self.on_begun(jobs, number, record)?;
            let there = self.runs.values().any(|known| known.job == number);
            if job.overlap == Overlap::Skip && there {
                return broken("overlap", format!("run {run} of {} begins beside another", job.id));
            }
            self.runs.insert(run.clone(), Known { job: number, order, stage: Stage::Recording, alternate: None });
            return Ok(());
        };
        job.judge(record).or_else(|why| broken("route", format!("run {run} of {}: {why}", job.id)))?;
        if let Some(known) = self.runs.get_mut(run) {
            if known.stage == Stage::Closing {
                return broken("one-outcome", format!("run {run} ends twice"));
            }
            known.stage = Stage::Closing;
            known.alternate = job.alternate.filter(|_| outcome == Outcome::Skipped);
            self.executed = self.executed.saturating_add(record.tasks.len());
        } else if outcome != Outcome::Lost {
            return broken("one-outcome", format!("run {run} ends as {outcome:?} and never began in this life"));
        }
        Ok(())
    }

    /// What a run was begun by: an alternate stands in for a run that was skipped, a message is counted.
    fn on_begun(&mut self, jobs: &[Job], number: usize, record: &RunRecord) -> Result<(), Broken> {
        if let Some(former) = record.trigger.strip_prefix("alternate of ") {
            let former = jobs.iter().position(|job| job.id == former);
            let place = self.alternates.iter().position(|(from, to)| Some(*from) == former && *to == number);
            match place {
                Some(place) => drop(self.alternates.remove(place)),
                None => return broken("alternate", format!("run {} stands in for nobody", record.run_id)),
            }
        }
        let message = record.context.get("message").and_then(serde_json::Value::as_u64);
        if let Some(message) = message.filter(|_| record.trigger.starts_with("event ")) {
            let runs = self.by_message.entry((number, message)).or_default();
            *runs = runs.saturating_add(1);
        }
        Ok(())
    }

    /// Runs of a job that a message began in this life.
    pub(super) fn runs_by(&self, job: usize, message: u64) -> usize {
        self.by_message.get(&(job, message)).copied().unwrap_or_default()
    }

    /// Whether a limit may keep a job from being run: on starts by events in a minute, or on waiting runs.
    pub(super) fn is_crowded(&self, job: usize) -> bool {
        let messages = self.by_message.keys().filter(|(started, _)| *started == job).count();
        messages > 90 || self.runs.len() > 200
    }

    /// Every job whose alternate may run has it by now.
    pub(super) fn on_step(&mut self, jobs: &[Job]) -> Result<(), Broken> {
        let missing = std::mem::take(&mut self.alternates);
        let may_run =
            |job: usize| jobs.get(job).is_some_and(|job| job.overlap != Overlap::Skip) && !self.is_crowded(job);
        match missing.into_iter().find(|(_, alternate)| may_run(*alternate)) {
            Some((job, alternate)) => {
                broken("alternate", format!("job{job} was skipped and job{alternate} did not run"))
            }
            None => Ok(()),
        }
    }

    /// A record reached the disk. An outcome that stands there is final.
    pub(super) fn on_written(&mut self, record: RunRecord) -> Result<(), Broken> {
        let former = self.disk.get(&record.run_id).and_then(|former| former.outcome);
        if let Some(former) = former.filter(|former| Some(*former) != record.outcome) {
            let detail = format!("run {} was {former:?} and is now {:?}", record.run_id, record.outcome);
            return broken("one-outcome", detail);
        }
        if former.is_none() && record.outcome.is_some() {
            self.ended = self.ended.saturating_add(1);
        }
        self.disk.insert(record.run_id.clone(), record);
        Ok(())
    }

    /// The agent is told how its order to the disk went; `is_end` where the record had an outcome.
    pub(super) fn on_told(&mut self, run: &str, is_end: bool, well: bool) {
        match self.runs.get_mut(run) {
            Some(known) if known.stage == Stage::Recording && well => known.stage = Stage::Waiting,
            Some(known) if known.stage == Stage::Closing && is_end => {
                self.alternates.extend(known.alternate.map(|alternate| (known.job, alternate)));
                self.runs.remove(run);
            }
            Some(_) | None => {}
        }
    }

    /// A run has its place: there was one, and nobody who could have had it was to go first.
    pub(super) fn on_started(&mut self, jobs: &[Job], places: usize, run: &str) -> Result<(), Broken> {
        let holds = |known: &Known| matches!(known.stage, Stage::Active | Stage::Closing);
        let taken = self.runs.values().filter(|known| holds(known)).count();
        if taken >= places {
            return broken("places", format!("run {run} starts, and {taken} of {places} places are taken"));
        }
        let Some(known) = self.runs.get(run).filter(|known| known.stage == Stage::Waiting) else {
            return broken("admission", format!("run {run} starts and was not waiting"));
        };
        let overlap = |known: &Known| jobs.get(known.job).map_or(Overlap::Parallel, |job| job.overlap);
        let priority = |known: &Known| jobs.get(known.job).map_or(0, |job| job.priority);
        let is_free = |known: &Known| {
            let beside = self.runs.values().any(|other| other.job == known.job && holds(other));
            overlap(known) == Overlap::Parallel || !beside
        };
        if !is_free(known) {
            return broken("overlap", format!("run {run} starts beside another of its job"));
        }
        let first = |other: &Known| (std::cmp::Reverse(priority(other)), other.order);
        let before = self
            .runs
            .iter()
            .find(|(_, other)| other.stage == Stage::Waiting && is_free(other) && first(other) < first(known));
        if let Some((other, _)) = before {
            return broken("admission", format!("run {run} starts before {other}, which comes first"));
        }
        if let Some(known) = self.runs.get_mut(run) {
            known.stage = Stage::Active;
        }
        Ok(())
    }

    /// A request is sent.
    pub(super) fn on_call(&mut self, ticket: TicketId, run: &str) -> Result<(), Broken> {
        self.on_spawn(run)?;
        if self.calls.values().any(|other| other == run) {
            return broken("route", format!("run {run} has two requests at once"));
        }
        self.calls.insert(ticket, run.to_owned());
        Ok(())
    }

    /// A request is over.
    pub(super) fn on_called(&mut self, ticket: TicketId) {
        self.calls.remove(&ticket);
    }

    /// A program is asked for.
    pub(super) fn on_spawn(&mut self, run: &str) -> Result<(), Broken> {
        let active = self.runs.get(run).is_some_and(|known| known.stage == Stage::Active);
        match self.disk.get(run) {
            None => broken("durable-first", format!("a program for run {run}, which is not on disk")),
            Some(record) if record.outcome.is_some() => {
                broken("one-outcome", format!("a program for run {run}, which ended"))
            }
            Some(_) if !active => broken("admission", format!("a program for run {run}, which was not admitted")),
            Some(_) => Ok(()),
        }
    }

    /// A program runs.
    pub(super) fn on_release(&mut self, places: usize, spawn: SpawnId, run: &str) -> Result<(), Broken> {
        if self.programs.values().chain(self.calls.values()).any(|other| other == run) {
            return broken("route", format!("run {run} does two things at once"));
        }
        self.programs.insert(spawn, run.to_owned());
        if self.programs.len() > places {
            return broken("places", format!("{} programs run in {places} places", self.programs.len()));
        }
        Ok(())
    }

    /// A program ended.
    pub(super) fn on_exit(&mut self, spawn: SpawnId) {
        self.programs.remove(&spawn);
    }

    /// The last life is over and the disk was well: every run has its one outcome, and none that was confirmed is missing.
    pub(super) fn on_end(&self) -> Result<(), Broken> {
        if let Some(run) = self.accepted.iter().find(|run| !self.disk.contains_key(*run)) {
            return broken("one-outcome", format!("run {run} was confirmed and is not in the history"));
        }
        match self.disk.values().find(|record| record.outcome.is_none()) {
            Some(record) => broken("one-outcome", format!("run {} never ended", record.run_id)),
            None => Ok(()),
        }
    }
}
