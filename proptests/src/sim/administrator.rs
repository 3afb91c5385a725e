//! The administrator of the simulated world, who triggers jobs and asks the API.

use castellan_core::event::Event;
use castellan_core::id::RequestId;

use super::World;
use super::ledger::Broken;
use crate::agents::request_of_an_administrator;

impl World<'_> {
    /// An administrator triggers a job.
    pub(super) fn trigger(&mut self) -> Result<(), Broken> {
        let number = self.dice.place(self.jobs.len());
        let Some(job) = self.jobs.get(number) else { return Ok(()) };
        self.ask(&format!("/api/Jobs/{}/trigger", job.id))
    }

    /// An administrator posts to the API.
    pub(super) fn ask(&mut self, target: &str) -> Result<(), Broken> {
        self.requests = self.requests.saturating_add(1);
        let id = RequestId(self.requests);
        self.unanswered.insert(id);
        self.tell(Event::Api(request_of_an_administrator(id.0, "POST", target, "")))
    }
}
