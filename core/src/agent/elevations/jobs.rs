//! The jobs of elevation: events that start them, and runs that are there for a request.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::agent::Agent;
use crate::agent::runs::TriggerRefusal;
use crate::effect::Effects;
use crate::elevation::Wanted;
use crate::id::{ElevationId, JobId, RunId};
use crate::run::{Chain, FiredEvent};
use crate::time::Now;
use crate::why::Explanation;

impl Agent {
    /// Runs what waits for the event of a request; where nothing does, the request is denied.
    pub(super) fn want_job(&mut self, now: Now, id: &ElevationId, wanted: Wanted, effects: &mut Effects) {
        let Some(event) = self.elevations.active.get(id).map(|elevation| elevation.event(wanted)) else { return };
        let starts = self.fire(now, &event, &Chain::default(), effects);
        if starts.iter().any(|(_, start)| start.is_ok()) {
            return;
        }
        let refusals: Vec<String> =
            starts.into_iter().filter_map(|(job, start)| Some(refused(&job, start.err()?))).collect();
        let why = match refusals.as_slice() {
            [] => format!("No job waits for the event {}.", event.name),
            refusals => format!("No job was run by the event {}: {}", event.name, refusals.join(" ")),
        };
        self.with_elevation(now, id, effects, |elevation, turn| elevation.on_no_job(&why, turn));
    }

    /// An event led to runs: they are there for the request that it names, if it is one of a request.
    pub(in crate::agent) fn note_runs_of_elevation(
        &mut self,
        event: &FiredEvent,
        starts: &[(JobId, Result<RunId, TriggerRefusal>)],
    ) {
        let Some(id) = self.request_of(event) else { return };
        for run in starts.iter().filter_map(|(_, start)| start.as_ref().ok()) {
            self.elevations.runs.insert(run.clone(), id.clone());
        }
    }

    /// A run is over: where it was the last one that was there for a request, nobody is left to bring that on.
    pub(in crate::agent) fn on_run_of_elevation_over(
        &mut self,
        now: Now,
        run: &RunId,
        job: &JobId,
        effects: &mut Effects,
    ) {
        let Some(id) = self.elevations.runs.remove(run) else { return };
        if self.elevations.runs.values().all(|other| *other != id) {
            let why = format!("Run {run} of job {job} was there for it and ended without bringing it to an end.");
            self.with_elevation(now, &id, effects, |elevation, turn| elevation.on_no_job(&why, turn));
        }
    }

    /// A run that stands in for another does so for its request, too.
    pub(in crate::agent) fn hand_run_on(&mut self, from: &RunId, to: RunId) {
        if let Some(id) = self.elevations.runs.get(from).cloned() {
            self.elevations.runs.insert(to, id);
        }
    }

    /// Whether an event is the next step of a request. The rate of requests bounds how many there are, user by user: where they had the
    /// places of a job's events in common, one user could have them all.
    pub(in crate::agent) fn takes_step(&mut self, event: &FiredEvent) -> bool {
        let Some(id) = self.request_of(event) else { return false };
        self.elevations.active.get_mut(&id).is_some_and(|elevation| elevation.takes_step(&event.name))
    }

    /// The request that an event is about.
    fn request_of(&self, event: &FiredEvent) -> Option<ElevationId> {
        let mut known = [Wanted::Controls, Wanted::Launch].into_iter().filter(|wanted| wanted.event() == event.name);
        known.next()?;
        let id = ElevationId::from_text(event.context.get("RequestId")?.as_str()?)?;
        self.elevations.active.contains_key(&id).then_some(id)
    }
}

fn refused(job: &JobId, refusal: TriggerRefusal) -> String {
    match refusal {
        TriggerRefusal::Conflict(why) | TriggerRefusal::Invalid(why) => format!("{job}: {why}"),
        TriggerRefusal::Limit(Explanation { why, fix, .. }) => format!("{job}: {why} {fix}"),
    }
}
