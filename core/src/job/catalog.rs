//! The loaded jobs: by id, by event, and what is out of service with the reason.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::JobDefinition;
use super::finding::Findings;

/// All jobs of an agent root.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    jobs: BTreeMap<String, Arc<JobDefinition>>,
    refused: BTreeMap<String, Findings>,
    by_event: BTreeMap<String, Vec<String>>,
}

impl Catalog {
    /// Takes a valid job in, in place of what had its id.
    pub(crate) fn insert(&mut self, job: JobDefinition) -> Arc<JobDefinition> {
        let job = Arc::new(job);
        self.remove(job.id.as_str());
        for event in &job.events {
            let ids = self.by_event.entry(event.to_ascii_lowercase()).or_default();
            if !ids.iter().any(|known| known == job.id.as_str()) {
                ids.push(job.id.to_string());
            }
        }
        self.jobs.insert(job.id.to_string(), Arc::clone(&job));
        job
    }

    /// Puts a file out of service; the job of that name, if there was one, no longer runs.
    pub(crate) fn refuse(&mut self, stem: &str, findings: Findings) {
        self.remove(stem);
        self.refused.insert(stem.to_string(), findings);
    }

    /// Forgets the refused files that `keep` does not name.
    pub(crate) fn forget_refused(&mut self, keep: impl Fn(&str) -> bool) {
        self.refused.retain(|stem, _| keep(stem));
    }

    /// Takes a job out.
    pub(crate) fn remove(&mut self, id: &str) -> Option<Arc<JobDefinition>> {
        self.refused.remove(id);
        let job = self.jobs.remove(id)?;
        for event in &job.events {
            let event = event.to_ascii_lowercase();
            if let Some(ids) = self.by_event.get_mut(&event) {
                ids.retain(|known| known != id);
                if ids.is_empty() {
                    self.by_event.remove(&event);
                }
            }
        }
        Some(job)
    }

    /// The job with this id.
    pub(crate) fn find(&self, id: &str) -> Option<&Arc<JobDefinition>> {
        self.jobs.get(id)
    }

    /// The jobs that an event starts, by id. Event names are compared without regard to case.
    pub(crate) fn for_event(&self, name: &str) -> Vec<Arc<JobDefinition>> {
        let ids = self.by_event.get(&name.to_ascii_lowercase());
        ids.into_iter().flatten().filter_map(|id| self.jobs.get(id)).cloned().collect()
    }

    /// How many jobs are in service.
    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// All jobs in service, by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<JobDefinition>> {
        self.jobs.values()
    }

    /// All files out of service, by name without `.json`.
    pub(crate) fn refused(&self) -> impl Iterator<Item = (&str, &Findings)> {
        self.refused.iter().map(|(stem, findings)| (stem.as_str(), findings))
    }
}
