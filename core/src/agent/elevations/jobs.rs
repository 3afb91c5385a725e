//! The jobs of elevation: events that start them, and runs that are there for a request.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::agent::Agent;
use crate::agent::runs::TriggerRefusal;
use crate::effect::Effects;
use crate::elevation::Wanted;
use crate::id::{ElevationId, JobId};
use crate::run::{Chain, FiredEvent, Run};
use crate::time::Now;
use crate::why::Explanation;

impl Agent {
    /// Runs what waits for the event of a request; where nothing does, the request is denied.
    pub(super) fn want_job(&mut self, now: Now, id: &ElevationId, wanted: Wanted, effects: &mut Effects) {
        let Some(event) = self.elevations.active.get(id).map(|elevation| elevation.event(wanted)) else { return };
        let chain = Chain { elevation: Some(id.clone()), ..Chain::default() };
        let starts = self.fire(now, &event, &chain, effects);
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

    /// A run is over: where it was the last one that was there for a request, nobody is left to bring that on.
    pub(in crate::agent) fn on_run_of_elevation_over(&mut self, now: Now, run: &Run, effects: &mut Effects) {
        let Some(id) = &run.origin.chain.elevation else { return };
        if self.runs.values().all(|other| other.origin.chain.elevation.as_ref() != Some(id)) {
            let why = format!(
                "Run {} of job {} was there for it and ended without bringing it to an end.",
                run.id, run.job.id
            );
            self.with_elevation(now, id, effects, |elevation, turn| elevation.on_no_job(&why, turn));
        }
    }

    /// Whether an event is the next step of a request: the agent fired it, or a run that is there for that request. Whoever else names one
    /// starts jobs as by any event. The rate of requests bounds how many steps there are, user by user: where they had the places
    /// of a job's events in common, one user could have them all.
    pub(in crate::agent) fn takes_step(&mut self, event: &FiredEvent, chain: &Chain) -> bool {
        let Some(id) = &chain.elevation else { return false };
        self.elevations.active.get_mut(id).is_some_and(|elevation| elevation.takes_step(&event.name))
    }
}

fn refused(job: &JobId, refusal: TriggerRefusal) -> String {
    match refusal {
        TriggerRefusal::Conflict(why) | TriggerRefusal::Invalid(why) => format!("{job}: {why}"),
        TriggerRefusal::Limit(Explanation { why, fix, .. }) => format!("{job}: {why} {fix}"),
    }
}
