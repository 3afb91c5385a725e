//! Due instants: each is one run, what was missed is made up for once, and nothing is made up for that shall not be.

use std::collections::BTreeMap;

use castellan_core::run::history::{JobPast, RunRecord};
use castellan_core::time::WallTime;

use super::{Broken, Job, Ledger, broken};

/// Lateness that makes an instant a missed one, ms.
const LATE: i64 = 60_000;

/// The last due instant that a run was made for, by job, and when that run began.
#[derive(Debug, Default)]
pub(super) struct Due {
    last: BTreeMap<String, (i64, i64)>,
}

fn instants(record: &RunRecord) -> Option<(i64, i64)> {
    let millis = |text: &str| WallTime::parse_rfc3339(text).map(WallTime::as_millis);
    Some((millis(record.due.as_deref()?)?, millis(&record.started_at)?))
}

impl Due {
    /// A run begins.
    pub(super) fn on_begin(&mut self, job: &Job, record: &RunRecord) -> Result<(), Broken> {
        let Some((due, begun)) = instants(record) else { return Ok(()) };
        if !job.makes_up && begun.saturating_sub(due) > LATE {
            return broken("missed-once", format!("{} was missed at {:?} and is made up for", job.id, record.due));
        }
        let Some((last, begun_last)) = self.last.insert(job.id.clone(), (due, begun)) else { return Ok(()) };
        if due <= last {
            return broken("due-once", format!("{} ran twice for {:?}", job.id, record.due));
        }
        // What was missed before a run that made up for it is made up for with it.
        if due <= begun_last.saturating_sub(LATE) {
            return broken(
                "missed-once",
                format!("{} makes up for {:?} after it made up for more", job.id, record.due),
            );
        }
        Ok(())
    }
}

impl Ledger {
    /// The clock was set back: instants that were made up for lie ahead again, and only those that had a run of their own do not count.
    pub(in super::super) fn on_set_back(&mut self) {
        for (due, begun) in self.due.last.values_mut() {
            *begun = *due;
        }
    }

    /// What the history knows of each job, as the next life of the agent is told; what was not on disk is forgotten.
    pub(in super::super) fn past(&mut self, jobs: &[Job]) -> Vec<JobPast> {
        self.due = Due::default();
        let mut past = Vec::new();
        for job in jobs {
            let own = || self.disk.values().filter(|record| record.job_id == job.id);
            let Some(latest) = own().max_by(|left, right| left.started_at.cmp(&right.started_at)) else { continue };
            let due = own().filter(|record| record.due.is_some()).max_by(|left, right| left.due.cmp(&right.due));
            if let Some(instants) = due.and_then(instants) {
                self.due.last.insert(job.id.clone(), instants);
            }
            past.push(JobPast {
                job_id: job.id.clone(),
                started_at: latest.started_at.clone(),
                outcome: latest.outcome,
                due: due.and_then(|record| Some((record.due.clone()?, record.started_at.clone()))),
            });
        }
        past
    }
}
