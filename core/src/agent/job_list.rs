//! `GET /api/Jobs`, written once and kept until something in it changes: there may be thousands of lines, and programs ask again and
//! again.

use alloc::string::String;
use alloc::vec::Vec;

use super::Agent;
use crate::api::view::JobLine;
use crate::api::{self, ApiRequest, ApiResponse};
use crate::time::Now;

/// The list as it was written last.
#[derive(Debug, Default)]
pub(super) struct JobList(Option<Written>);

#[derive(Debug)]
struct Written {
    body: Vec<u8>,
    tag: String,
    /// Of the timetable.
    version: u64,
}

impl JobList {
    /// A job, or what the list shows of its runs, has changed.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }
}

impl Agent {
    pub(super) fn list_jobs(&mut self, now: Now, request: &ApiRequest) -> ApiResponse {
        self.timetable.heed_clocks(now);
        let version = self.timetable.version();
        let written = match self.job_list.0.take().filter(|written| written.version == version) {
            Some(written) => written,
            None => {
                let body = self.write_jobs(now);
                Written { tag: api::entity_tag(&body), body, version }
            }
        };
        debug_assert!(written.body == self.write_jobs(now), "the list of jobs is not what was written before");
        let written = self.job_list.0.insert(written);
        api::conditional(request, ApiResponse::document(200, written.body.clone()), &written.tag)
    }

    fn write_jobs(&self, now: Now) -> Vec<u8> {
        ApiResponse::json(200, &self.job_lines(now).collect::<Vec<_>>()).body
    }

    pub(super) fn job_lines(&self, now: Now) -> impl Iterator<Item = JobLine<'_>> {
        self.catalog.iter().map(move |job| {
            let mut line = JobLine::new(job);
            line.next_run = self.timetable.next_run(&job.id, now).map(|at| at.to_rfc3339());
            if let Some(last) = self.last_runs.get(&job.id) {
                line.last_run = Some(&last.started_at);
                line.last_outcome = last.outcome;
            }
            line
        })
    }
}
