//! Lint of job and plugin files: what each says wrong or in vain, and what they do to each other.
//!
//! It begins with the findings of the parser, the same that the agent has; beyond them it looks for what is valid and yet
//! cannot have been meant. A file with errors is not looked at further.

mod across;
mod routes;
#[cfg(test)]
mod tests;
mod tokens;

pub(crate) use across::shared_binary;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;

use super::finding::{Findings, Report, has_errors, quote};
use super::{JobDefinition, OperatingSystem};
use crate::json::Json;
use crate::plugin::PluginDefinition;
use crate::plugin::together::{conflicts, spelled};

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

/// The same of a plugin.
struct Plugin {
    place: usize,
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
                plugins.push(Plugin { place, plugin });
                findings
            }),
        };
        let findings = findings.unwrap_or_else(|errors| errors);
        linted.push(Linted { file: document.file.to_string(), valid: !has_errors(&findings), findings });
    }
    for job in &jobs {
        let mut report = Report::default();
        if let Some(document) = documents.get(job.place) {
            name_of_file("Jobs", job.job.id.as_str(), job.pointer(&["id"]), document.stem, &mut report);
        }
        let earlier = jobs.iter().filter(|other| other.place < job.place && other.job.id == job.job.id);
        same_id(job.job.id.as_str(), job.pointer(&["id"]), earlier.map(|job| job.place), documents, &mut report);
        routes::check(job, &mut report);
        conditions(job, &mut report);
        tokens::check(job, &mut report);
        across::loops(job, &jobs, &mut report);
        add(&mut linted, job.place, report.into_findings());
        let shared = shared_binary(&job.job, plugins.iter().map(|plugin| &plugin.plugin));
        add(&mut linted, job.place, shared.into_iter().collect());
    }
    let mut conflicts = conflicts(plugins.iter().map(|plugin| &plugin.plugin));
    for Plugin { place, plugin } in &plugins {
        let mut report = Report::default();
        let pointer = spelled(&plugin.settings, &["id"]);
        if let Some(document) = documents.get(*place) {
            name_of_file("Plugins", plugin.id.as_str(), pointer.clone(), document.stem, &mut report);
        }
        let earlier = plugins.iter().filter(|other| other.place < *place && other.plugin.id == plugin.id);
        same_id(plugin.id.as_str(), pointer, earlier.map(|plugin| plugin.place), documents, &mut report);
        across::never_ready(plugin, plugins.iter().map(|other| &other.plugin), &mut report);
        add(&mut linted, *place, report.into_findings());
        add(&mut linted, *place, conflicts.remove(&plugin.id).into_iter().collect());
    }
    linted
}

fn add(linted: &mut [Linted], place: usize, findings: Findings) {
    if let Some(linted) = linted.get_mut(place) {
        linted.findings.extend(findings);
        linted.valid = !has_errors(&linted.findings);
    }
}

fn name_of_file(folder: &str, id: &str, pointer: String, stem: &str, report: &mut Report) {
    if stem != id {
        let message = format!("in an agent root this file must be called {folder}/{id}.json.");
        report.note(pointer, "file-name", message);
    }
}

fn same_id(
    id: &str,
    pointer: String,
    mut earlier: impl Iterator<Item = usize>,
    documents: &[Document<'_>],
    report: &mut Report,
) {
    if let Some(twin) = earlier.next().and_then(|place| documents.get(place)) {
        let message = format!("{} has the id {} too; one of them must have another.", twin.file, quote(id));
        report.error(pointer, "duplicate-id", message);
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
        spelled(&self.json, path)
    }
}
