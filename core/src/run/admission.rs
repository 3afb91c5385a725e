//! Admission: which triggers become runs, and which waiting run starts next (contract section 3, `overlap`, `priority`).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Run;
use crate::id::{JobId, RunId};
use crate::job::{JobDefinition, OperatingSystem, Overlap};
use crate::limits::QUEUED_RUNS;

/// Why a trigger does not become a run, as a whole sentence with its fix.
pub(crate) fn refusal<'a>(
    job: &JobDefinition,
    here: OperatingSystem,
    mut runs: impl Iterator<Item = &'a Run>,
) -> Option<String> {
    if !job.enabled {
        return Some(format!("Job '{}' is disabled; set \"enabled\": true to run it.", job.id));
    }
    if !job.runs_here(here) {
        return Some(format!("osFilter of job '{}' excludes {here:?}.", job.id));
    }
    if job.overlap == Overlap::Skip && runs.any(|run| run.job.id == job.id) {
        return Some(format!(
            "A run of '{}' is active and its overlap is skip; trigger it again when that run ended.",
            job.id
        ));
    }
    None
}

/// Whether one more run would be more than may wait.
pub(crate) fn is_full<'a>(runs: impl Iterator<Item = &'a Run>) -> bool {
    runs.filter(|run| !run.is_active()).count() >= QUEUED_RUNS
}

/// The waiting run that may start now: highest priority first, then the oldest; `None` while every place is taken.
pub(crate) fn next<'a>(runs: impl Iterator<Item = &'a Run> + Clone, places: usize) -> Option<RunId> {
    // No more of them than places and runs that close, so that the many that wait are looked at once.
    let active: Vec<&JobId> = runs.clone().filter(|run| run.is_active()).map(|run| &run.job.id).collect();
    if active.len() >= places {
        return None;
    }
    let free = |run: &&Run| run.job.overlap == Overlap::Parallel || !active.contains(&&run.job.id);
    runs.filter(|run| run.is_waiting())
        .filter(free)
        .min_by_key(|run| (core::cmp::Reverse(run.job.priority), run.order))
        .map(|run| run.id.clone())
}
