//! Definitions come into service: at start, by reload, and one by one through the API.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::{Agent, LastRun};
use crate::api::view::{LoadReport, RefusedFile};
use crate::effect::{BrokerOrder, Effects, StoreOrder};
use crate::event::{DefinitionFile, DefinitionKind, Loaded};
use crate::id::{Component, JobId};
use crate::job::JobDefinition;
use crate::job::finding::{Finding, Findings, Severity, has_errors};
use crate::log_message::Level;
use crate::plugin::PluginDefinition;
use crate::plugin::settings::flatten;
use crate::plugin::supervisor::Supervisor;
use crate::run::history::{Outcome, RunRecord};
use crate::schedule::zone::Zone;
use crate::time::Now;

impl Agent {
    pub(super) fn on_loaded(&mut self, now: Now, loaded: Loaded, effects: &mut Effects) {
        for record in loaded.unfinished {
            self.lose(now, record, effects);
        }
        let report = self.load(now, loaded.definitions, effects);
        let message = format!("{} definitions loaded, {} refused.", report.loaded.len(), report.refused.len());
        self.desk.turn(now, effects).log(Level::Information, "Loaded", message);
    }

    /// A run of a former life of the agent, which died while it ran.
    fn lose(&mut self, now: Now, mut record: RunRecord, effects: &mut Effects) {
        record.status = Outcome::Lost.as_str().to_string();
        record.outcome = Some(Outcome::Lost);
        record.finished_at = Some(now.wall.to_rfc3339());
        record.reason =
            Some(String::from("The agent ended while this run was active; what was left of it was killed."));
        for task in record.tasks.iter_mut().filter(|task| task.outcome == "Running") {
            task.outcome = Outcome::Lost.as_str().to_string();
        }
        let mut turn = self.desk.turn(now, effects);
        turn.log(
            Level::Warning,
            "RunLost",
            format!("Run {} of job {} is lost: the agent ended while it was active.", record.run_id, record.job_id),
        );
        let ticket = turn.counters.ticket();
        turn.store(StoreOrder::PersistRun { ticket, record: record.clone() });
        if let Ok(job) = JobId::parse(&record.job_id) {
            self.last_runs
                .insert(job, LastRun { started_at: record.started_at, outcome: Some(Outcome::Lost.as_str()) });
        }
    }

    /// Brings the files found into service; what was in service and has no file any more leaves it.
    pub(super) fn load(&mut self, now: Now, files: Vec<DefinitionFile>, effects: &mut Effects) -> LoadReport {
        let mut report = LoadReport::default();
        let stems = |kind| -> BTreeSet<String> {
            files.iter().filter(|file| file.kind == kind).map(|file| file.stem.clone()).collect()
        };
        let (jobs, plugins) = (stems(DefinitionKind::Job), stems(DefinitionKind::Plugin));
        let gone: Vec<String> =
            self.catalog.iter().map(|job| job.id.to_string()).filter(|id| !jobs.contains(id)).collect();
        for id in gone {
            self.remove_job(now, &id, effects);
            report.removed.push(format!("Jobs/{id}.json"));
        }
        self.catalog.forget_refused(|stem| jobs.contains(stem));
        self.refused_plugins.retain(|stem, _| plugins.contains(stem));
        for file in files {
            let name = format!("{}/{}.json", file.kind.folder(), file.stem);
            let result = match file.kind {
                DefinitionKind::Job => self.load_job(now, &file, effects),
                DefinitionKind::Plugin => self.load_plugin(&file),
            };
            match result {
                Ok(findings) => {
                    self.log_findings(now, &name, &findings, effects);
                    report.loaded.push(name);
                }
                Err(findings) => {
                    self.log_findings(now, &name, &findings, effects);
                    report.refused.push(RefusedFile { file: name, findings });
                }
            }
        }
        report
    }

    fn load_job(&mut self, now: Now, file: &DefinitionFile, effects: &mut Effects) -> Result<Findings, Findings> {
        let parsed = readable(file).and_then(|bytes| JobDefinition::parse(bytes, Some(&file.stem)));
        match parsed {
            Ok((job, findings)) => {
                self.insert_job(now, job, effects);
                Ok(findings)
            }
            Err(findings) => {
                self.remove_job(now, &file.stem, effects);
                self.catalog.refuse(&file.stem, findings.clone());
                Err(findings)
            }
        }
    }

    /// A plugin that runs keeps its process; its new definition counts from its next start.
    fn load_plugin(&mut self, file: &DefinitionFile) -> Result<Findings, Findings> {
        let here = self.desk.surroundings.here;
        let parsed = readable(file).and_then(|bytes| PluginDefinition::parse(bytes, Some(&file.stem), here));
        match parsed {
            Ok((plugin, findings)) => {
                self.refused_plugins.remove(&file.stem);
                self.desk.plugin_settings.insert(plugin.id.to_string(), flatten(&plugin.settings));
                let plugin = Arc::new(plugin);
                match self.plugins.get_mut(&plugin.id) {
                    Some(supervisor) => supervisor.definition = plugin,
                    None => {
                        self.plugins.insert(plugin.id.clone(), Supervisor::new(plugin));
                    }
                }
                Ok(findings)
            }
            Err(findings) => {
                self.refused_plugins.insert(file.stem.clone(), findings.clone());
                Err(findings)
            }
        }
    }

    fn log_findings(&mut self, now: Now, file: &str, findings: &[Finding], effects: &mut Effects) {
        let mut turn = self.desk.turn(now, effects);
        for finding in findings {
            let level = match finding.severity {
                Severity::Error => Level::Error,
                Severity::Warning => Level::Warning,
                Severity::Note => Level::Debug,
            };
            turn.log(
                level,
                "Definition",
                format!("{file}{} {}: {}", pointer(&finding.path), finding.code, finding.message),
            );
        }
        if has_errors(findings) {
            turn.log(
                Level::Error,
                "OutOfService",
                format!("{file} is out of service until it is mended and reloaded."),
            );
        }
    }

    /// Puts a job into service. Permissions of its running tasks change at once; its schedule starts over if it changed.
    pub(super) fn insert_job(&mut self, now: Now, job: JobDefinition, effects: &mut Effects) {
        let id = job.id.clone();
        let timing = |job: &JobDefinition| (job.schedule.clone(), job.enabled, job.os_filter, job.missed_runs);
        let same_schedule = self.catalog.find(id.as_str()).is_some_and(|old| timing(old) == timing(&job));
        let job = self.catalog.insert(job);
        let mut turn = self.desk.turn(now, effects);
        turn.broker(BrokerOrder::Regrant {
            component: Component::Job(id.clone()),
            publish: job.allowed_publications.clone(),
            subscribe: job.allowed_subscriptions.clone(),
            primary: None,
        });
        if same_schedule {
            return;
        }
        self.timetable.remove(&id);
        let here = self.desk.surroundings.here;
        let Some(definition) = job.schedule.as_ref().filter(|_| job.enabled && job.runs_here(here)) else { return };
        // Without a known zone of the machine its local time is UTC.
        let machine_zone = Zone::parse(&self.desk.surroundings.time_zone).unwrap_or(Zone::UTC);
        if let Err(why) = self.timetable.insert(&id, definition, job.missed_runs, machine_zone, now) {
            let message = format!("Jobs/{id}.json/schedule: {why} The job runs by event and trigger only.");
            self.desk.turn(now, effects).log_about(Level::Error, "Schedule", message, Some(&Component::Job(id)));
        }
    }

    /// Takes a job out of service; its running tasks lose their permissions at once and end by themselves.
    pub(super) fn remove_job(&mut self, now: Now, id: &str, effects: &mut Effects) {
        let Some(job) = self.catalog.remove(id) else { return };
        self.timetable.remove(&job.id);
        self.desk.turn(now, effects).broker(BrokerOrder::Regrant {
            component: Component::Job(job.id.clone()),
            publish: vec![],
            subscribe: vec![],
            primary: None,
        });
    }
}

fn readable(file: &DefinitionFile) -> Result<&[u8], Findings> {
    file.content.as_deref().map_err(|reason| {
        let message = format!("The file could not be read: {reason}");
        vec![Finding { path: String::new(), code: "unreadable", message, severity: Severity::Error }]
    })
}

fn pointer(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(" at {path}") }
}
