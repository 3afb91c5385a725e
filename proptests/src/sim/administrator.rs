//! The administrator of the simulated world, who triggers jobs and asks the API.

use castellan_core::api::{ApiRequest, CertificateFacts, Listener};
use castellan_core::event::Event;
use castellan_core::id::RequestId;

use super::World;
use super::ledger::Broken;
use crate::agents::facts_of_a_stranger;

impl World<'_> {
    /// An administrator triggers a job.
    pub(super) fn trigger(&mut self) -> Result<(), Broken> {
        let number = self.dice.place(self.jobs.len());
        let Some(job) = self.jobs.get(number) else { return Ok(()) };
        self.ask(format!("/api/Jobs/{}/trigger", job.id))
    }

    /// An administrator posts to the API.
    pub(super) fn ask(&mut self, target: String) -> Result<(), Broken> {
        self.requests = self.requests.saturating_add(1);
        let id = RequestId(self.requests);
        self.unanswered.insert(id);
        self.tell(Event::Api(ApiRequest {
            id,
            listener: Listener::Https,
            peer: facts_of_a_stranger(),
            certificate: Some(CertificateFacts { sha256: String::from("ad") }),
            method: String::from("POST"),
            target,
            headers: vec![(String::from("host"), String::from("localhost:6889"))],
            body: Vec::new(),
        }))
    }
}
