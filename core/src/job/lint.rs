//! Lint of job and plugin files: what each says wrong or in vain, and what they do to each other.
//!
//! It begins with the findings of the parser, the same that the agent has; beyond them it looks for what is valid and yet
//! cannot have been meant. A file with errors is not looked at further.

mod across;
mod routes;
#[cfg(test)]
mod tests;
mod tokens;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;

use super::finding::{Findings, Report, has_errors, quote};
use super::{JobDefinition, OperatingSystem};
use crate::json::{Json, pointer_to};
use crate::plugin::PluginDefinition;

/// One file to look at.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    /// Its name, as findings show it.
    pub file: &'a str,
    /// The file name without folders and `.json`, which an id must equal in an agent root.
    pub stem: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// What was found in one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Linted {
    /// Its name.
    pub file: String,
    /// Whether it is a valid definition.
    pub valid: bool,
    /// The findings, those of the parser first.
    pub findings: Findings,
}

/// A valid job with its place among the files.
struct Job {
    place: usize,
    job: JobDefinition,
    json: Json,
}

struct Plugin {
    plugin: PluginDefinition,
}

/// Looks at files together: one with `pluginType` is a plugin, every other a job.
pub fn lint(documents: &[Document<'_>], here: OperatingSystem) -> Vec<Linted> {
    let mut linted = Vec::new();
    let mut jobs: Vec<Job> = Vec::new();
    let mut plugins: Vec<Plugin> = Vec::new();
    for (place, document) in documents.iter().enumerate() {
        let json = Json::parse(document.bytes).ok();
        let findings = match json.filter(|json| json.lookup(&["pluginType"]).is_none()) {
            Some(json) => JobDefinition::parse(document.bytes, None).map(|(job, findings)| {
                jobs.push(Job { place, job, json });
                findings
            }),
            None => PluginDefinition::parse(document.bytes, None, here).map(|(plugin, findings)| {
                plugins.push(Plugin { plugin });
                findings
            }),
        };
        let findings = findings.unwrap_or_else(|errors| errors);
        linted.push(Linted { file: document.file.to_string(), valid: !has_errors(&findings), findings });
    }
    for job in &jobs {
        let mut report = Report::default();
        if let Some(document) = documents.get(job.place) {
            name_of_file(job, document.stem, &mut report);
        }
        same_id(job, &jobs, documents, &mut report);
        routes::check(job, &mut report);
        conditions(job, &mut report);
        tokens::check(job, &mut report);
        across::loops(job, &jobs, &mut report);
        across::shared_binaries(job, &plugins, &mut report);
        if let Some(linted) = linted.get_mut(job.place) {
            linted.findings.extend(report.into_findings());
            linted.valid = !has_errors(&linted.findings);
        }
    }
    linted
}

fn name_of_file(job: &Job, stem: &str, report: &mut Report) {
    if stem != job.job.id.as_str() {
        let message = format!("in an agent root this file must be called Jobs/{}.json.", job.job.id);
        report.note(job.pointer(&["id"]), "file-name", message);
    }
}

fn same_id(job: &Job, jobs: &[Job], documents: &[Document<'_>], report: &mut Report) {
    let twin = jobs.iter().find(|other| other.place < job.place && other.job.id == job.job.id);
    if let Some(twin) = twin.and_then(|twin| documents.get(twin.place)) {
        let message =
            format!("{} has the id {} too; one of them must have another.", twin.file, quote(job.job.id.as_str()));
        report.error(job.pointer(&["id"]), "duplicate-id", message);
    }
}

/// Conditions that no context can make true.
fn conditions(job: &Job, report: &mut Report) {
    let mut check = |condition: &Option<super::condition::Condition>, path: &[&str], what: &str| {
        if let Some(condition) = condition.as_ref().filter(|condition| condition.constant() == Some(false)) {
            let message = format!("{} can never hold, so {what} never runs.", quote(&condition.to_string()));
            report.warning(job.pointer(path), "condition-never-holds", message);
        }
    };
    check(&job.job.condition, &["condition"], "the job");
    for (index, task) in job.job.tasks.iter().enumerate() {
        check(&task.condition, &["tasks", &index.to_string(), "condition"], &format!("task {}", quote(&task.id)));
    }
}

impl Job {
    /// The JSON pointer of a place, with the keys as the document spells them.
    fn pointer(&self, path: &[&str]) -> String {
        let mut json = Some(&self.json);
        let mut pointer = String::new();
        for step in path {
            let (spelled, inner) = match json {
                Some(Json::Object(members)) => members
                    .iter()
                    .find(|(key, _)| key.eq_ignore_ascii_case(step))
                    .map_or((*step, None), |(key, value)| (key.as_str(), Some(value))),
                Some(Json::Array(items)) => (*step, step.parse().ok().and_then(|index: usize| items.get(index))),
                _ => (*step, None),
            };
            pointer = pointer_to(&pointer, spelled);
            json = inner;
        }
        pointer
    }
}
