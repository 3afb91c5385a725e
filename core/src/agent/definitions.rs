//! Definitions come into service: at start, by reload, and one by one through the API.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::answers::Pending;
use super::configuration_policies::Asker;
use super::lkg::State;
use super::{Agent, LastRun};
use crate::acl::topic::TopicFilter;
use crate::api::view::{LoadReport, RefusedFile};
use crate::effect::{BrokerOrder, Effects, StoreOrder};
use crate::event::{DefinitionFile, DefinitionKind, Loaded};
use crate::id::{Component, JobId, PluginId};
use crate::job::JobDefinition;
use crate::job::finding::{Finding, Findings, Severity, has_errors};
use crate::limits::DEFINITIONS;
use crate::lkg::{Document, Item, References};
use crate::log_message::Level;
use crate::plugin::storage::SettingChange;
use crate::run::history::{JobPast, Outcome, RunRecord};
use crate::schedule::zone::Zone;
use crate::time::{Now, WallTime};

impl Agent {
    pub(super) fn on_loaded(&mut self, now: Now, loaded: Loaded, effects: &mut Effects) {
        if !self.is_loading() {
            let message = "The agent root was reported read although the agent is past its start; nothing changed.";
            return self.desk.turn(now, effects).log(Level::Warning, "Anomaly", message);
        }
        self.desk.plugin_settings.apply(loaded.settings.into_iter().map(SettingChange::Keep));
        self.keep_log_level(now, effects);
        self.recall_policies(now, loaded.applied_policies, effects);
        let is_first = matches!(loaded.references, References::First { .. });
        let files = self.begin_lkg(now, loaded.definitions, loaded.references, effects);
        let report = self.load(now, files, effects);
        if is_first {
            self.adopt(now, effects);
        }
        if self.lkg.state != State::Off {
            self.survey(now, Pending::Sweep, effects);
        }
        for past in &loaded.past {
            self.resume(past, now);
        }
        for record in loaded.unfinished {
            self.lose(now, record, effects);
        }
        self.recall_elevations(now, loaded.elevations, effects);
        let message = format!("{} definitions loaded, {} refused.", report.loaded.len(), report.refused.len());
        self.desk.turn(now, effects).log(Level::Information, "Loaded", message);
        self.apply_folder(now, loaded.policies, Asker::Nobody, effects);
    }

    /// What a job did in a former life of the agent counts: no due instant is run for twice, and missed ones are made up for.
    fn resume(&mut self, past: &JobPast, now: Now) {
        let Some(job) = self.catalog.find(&past.job_id).cloned() else { return };
        let last = LastRun { started_at: past.started_at.clone(), outcome: past.outcome.map(Outcome::as_str) };
        self.note_last_run(job.id.clone(), last);
        let Some((due, started)) = &past.due else { return };
        // One run stands for all instants that were missed until it started.
        let served = [due, started].into_iter().filter_map(|at| WallTime::parse_rfc3339(at)).max();
        if let Some(served) = served {
            self.timetable.resume(&job.id, served, now);
        }
    }

    /// A run of a former life of the agent, which died while it ran.
    fn lose(&mut self, now: Now, mut record: RunRecord, effects: &mut Effects) {
        record.status = Outcome::Lost.as_str().to_string();
        record.outcome = Some(Outcome::Lost);
        record.finished_at = Some(now.wall.to_rfc3339());
        record.reason =
            Some(String::from("The agent ended while this run was active; what was left of it was killed."));
        for task in record.tasks.iter_mut().filter(|task| task.outcome == "Running") {
            Arc::make_mut(task).outcome = Outcome::Lost.as_str().into();
        }
        self.meter.ended(&record, now);
        let mut turn = self.desk.turn(now, effects);
        turn.log(
            Level::Warning,
            "RunLost",
            format!("Run {} of job {} is lost: the agent ended while it was active.", record.run_id, record.job_id),
        );
        let ticket = turn.counters.ticket();
        turn.store(StoreOrder::PersistRun { ticket, record: Arc::new(record.clone()), durable: true });
        if let Some(job) = self.catalog.find(&record.job_id).cloned() {
            let last = LastRun { started_at: record.started_at, outcome: Some(Outcome::Lost.as_str()) };
            self.note_last_run(job.id.clone(), last);
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
            report.removed.push(DefinitionKind::Job.file(&id));
        }
        self.catalog.forget_refused(|stem| jobs.contains(stem));
        self.refused_plugins.retain(|stem, _| plugins.contains(stem));
        let gone: Vec<PluginId> = self.plugins.keys().filter(|id| !plugins.contains(id.as_str())).cloned().collect();
        for id in gone {
            self.retire_plugin(now, &id, effects);
            report.removed.push(DefinitionKind::Plugin.file(id.as_str()));
        }
        // Plugins first: a job that runs a plugin's program is refused, and not the plugin.
        let (plugins, jobs): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| file.kind == DefinitionKind::Plugin);
        for file in plugins {
            let name = file.kind.file(&file.stem);
            match self.bring_in(now, file, effects) {
                None => report.loaded.push(name),
                Some(findings) => report.refused.push(RefusedFile { file: name, findings }),
            }
        }
        self.settle_conflicts(now, effects);
        for plugin in self.plugins.values().filter(|plugin| !plugin.retired) {
            let file = DefinitionKind::Plugin.file(plugin.definition.id.as_str());
            if let Some(conflict) = &plugin.conflict {
                report.loaded.retain(|loaded| *loaded != file);
                report.refused.push(RefusedFile { file, findings: vec![conflict.clone()] });
            }
        }
        for file in jobs {
            let name = file.kind.file(&file.stem);
            match self.bring_in(now, file, effects) {
                None => report.loaded.push(name),
                Some(findings) => report.refused.push(RefusedFile { file: name, findings }),
            }
        }
        report.loaded.sort();
        report.refused.sort_by(|one, other| one.file.cmp(&other.file));
        report
    }

    /// Every document in service.
    pub(super) fn documents_in_service(&self) -> impl Iterator<Item = (Item, Document)> {
        let jobs =
            self.catalog.iter().map(|job| (Item::new(DefinitionKind::Job, job.id.as_str()), job.document.clone()));
        let plugins = self.plugins.values().filter(|plugin| !plugin.retired).map(|plugin| {
            let definition = &plugin.definition;
            (Item::new(DefinitionKind::Plugin, definition.id.as_str()), definition.document.clone())
        });
        jobs.chain(plugins)
    }

    /// Takes an item out of service, whether it was in service or refused.
    pub(super) fn take_out(&mut self, now: Now, item: &Item, effects: &mut Effects) {
        match item.kind {
            DefinitionKind::Job => {
                self.remove_job(now, &item.id, effects);
                self.catalog.forget_refused(|stem| stem != item.id);
            }
            DefinitionKind::Plugin => {
                let known = self.plugins.keys().find(|id| id.as_str() == item.id).cloned();
                if let Some(id) = known {
                    self.retire_plugin(now, &id, effects);
                }
                self.refused_plugins.remove(&item.id);
            }
        }
    }

    /// Brings one file into service; or out of it, with the findings, which are in the log then.
    pub(super) fn load_one(&mut self, now: Now, file: DefinitionFile, effects: &mut Effects) {
        let kind = file.kind;
        // What is refused is in the log.
        self.bring_in(now, file, effects);
        if kind == DefinitionKind::Plugin {
            self.settle_conflicts(now, effects);
        }
    }

    fn bring_in(&mut self, now: Now, file: DefinitionFile, effects: &mut Effects) -> Option<Findings> {
        let name = file.kind.file(&file.stem);
        let item = Item::new(file.kind, file.stem.as_str());
        let result = match file.kind {
            DefinitionKind::Job => self.load_job(now, &file, effects),
            DefinitionKind::Plugin => self.load_plugin(now, &file, effects),
        };
        let (Ok(findings) | Err(findings)) = &result;
        match self.lkg.items.get(&item).and_then(|kept| kept.fault.clone()) {
            Some(why) => {
                let message = format!("{name} is out of service, as its reference proves nothing: {why}");
                self.desk.turn(now, effects).log(Level::Critical, "LkgDamaged", message);
            }
            None => self.log_findings(now, &name, findings, effects),
        }
        result.err()
    }

    /// What is in service and what is refused, without a change.
    pub(super) fn in_service(&self) -> LoadReport {
        let job = |id: &str| DefinitionKind::Job.file(id);
        let plugin = |id: &str| DefinitionKind::Plugin.file(id);
        let plugins = || self.plugins.iter().filter(|(_, supervisor)| !supervisor.retired);
        let conflicting = plugins().filter_map(|(id, plugin)| Some((id.as_str(), plugin.conflict.as_ref()?)));
        let refused = |file, findings: &Findings| RefusedFile { file, findings: findings.clone() };
        LoadReport {
            loaded: self
                .catalog
                .iter()
                .map(|found| job(found.id.as_str()))
                .chain(plugins().filter(|(_, plugin)| plugin.conflict.is_none()).map(|(id, _)| plugin(id.as_str())))
                .collect(),
            refused: self
                .catalog
                .refused()
                .map(|(stem, findings)| refused(job(stem), findings))
                .chain(self.refused_plugins.iter().map(|(stem, findings)| refused(plugin(stem), findings)))
                .chain(conflicting.map(|(id, finding)| refused(plugin(id), &vec![finding.clone()])))
                .collect(),
            ..LoadReport::default()
        }
    }

    fn load_job(&mut self, now: Now, file: &DefinitionFile, effects: &mut Effects) -> Result<Findings, Findings> {
        let parsed = readable(file).and_then(|bytes| self.parse_job(bytes, Some(&file.stem)));
        let full = self.catalog.len() >= DEFINITIONS && self.catalog.find(&file.stem).is_none();
        match parsed.and_then(|parsed| if full { Err(too_many()) } else { Ok(parsed) }) {
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

    pub(super) fn log_findings(&mut self, now: Now, file: &str, findings: &[Finding], effects: &mut Effects) {
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
                format!("{file} is out of service until a mended one is blessed; where Last Known Good is off, until it is reloaded."),
            );
        }
    }

    /// Puts a job into service. Permissions of its running tasks change at once; its schedule starts over if it changed.
    pub(super) fn insert_job(&mut self, now: Now, job: JobDefinition, effects: &mut Effects) {
        let id = job.id.clone();
        let here = self.desk.surroundings.here;
        let served = |job: &JobDefinition| {
            let schedule = job.schedule.clone().filter(|_| job.enabled && job.runs_here(here));
            schedule.map(|schedule| (schedule, job.missed_runs))
        };
        let former = self.catalog.find(id.as_str()).cloned();
        if former.as_ref().is_some_and(|former| former.document == job.document) {
            return;
        }
        let job = self.catalog.insert(job);
        self.job_list.forget();
        self.regrant_job(now, &id, job.allowed_publications.clone(), job.allowed_subscriptions.clone(), effects);
        for run in self.runs.values_mut().filter(|run| run.job.id == id) {
            run.on_redefined(&job, &mut self.desk.turn(now, effects));
        }
        for (index, task) in job.tasks.iter().enumerate() {
            let place = format!("/tasks/{index}");
            self.warn_of_limits(now, &place, task.limits, Component::Job(id.clone()), effects);
        }
        let schedule = served(&job);
        if former.is_some_and(|former| served(&former) == schedule) {
            return;
        }
        self.timetable.remove(&id);
        let Some((definition, missed)) = &schedule else { return };
        // Without a known zone of the machine its local time is UTC.
        let machine_zone = Zone::parse(&self.desk.surroundings.time_zone).unwrap_or(Zone::UTC);
        if let Err(why) = self.timetable.insert(&id, definition, *missed, machine_zone, now) {
            let message = format!("Jobs/{id}.json/schedule: {why} The job runs by event and trigger only.");
            self.desk.turn(now, effects).log_about(Level::Error, "Schedule", message, Some(&Component::Job(id)));
        }
    }

    /// Takes a job out of service: its running tasks lose their permissions at once and end by themselves, what waits is canceled.
    pub(super) fn remove_job(&mut self, now: Now, id: &str, effects: &mut Effects) {
        let Some(job) = self.catalog.remove(id) else { return };
        self.timetable.remove(&job.id);
        self.last_runs.remove(&job.id);
        self.job_list.forget();
        self.event_starts.forget(&job.id);
        self.regrant_job(now, &job.id, vec![], vec![], effects);
        for run in self.runs.values_mut().filter(|run| run.job.id == job.id && !run.is_active()) {
            run.cancel("the job was taken out of service before it began.", &mut self.desk.turn(now, effects));
        }
    }

    /// Only a job with a run can have clients.
    fn regrant_job(
        &mut self,
        now: Now,
        id: &JobId,
        publish: Vec<TopicFilter>,
        subscribe: Vec<TopicFilter>,
        effects: &mut Effects,
    ) {
        if self.runs.values().any(|run| run.job.id == *id) {
            let component = Component::Job(id.clone());
            let (publish, subscribe) = (publish.into(), subscribe.into());
            self.desk.turn(now, effects).broker(BrokerOrder::Regrant { component, publish, subscribe, primary: None });
        }
    }
}

pub(super) fn too_many() -> Findings {
    let message = format!("{DEFINITIONS} definitions are in service, which is the most there may be; remove some.");
    vec![Finding { path: String::new(), code: "too-many-definitions", message, severity: Severity::Error }]
}

pub(super) fn readable(file: &DefinitionFile) -> Result<&[u8], Findings> {
    file.content.as_deref().map_err(|reason| {
        let message = format!("It could not be read: {reason}");
        vec![Finding { path: String::new(), code: "unreadable", message, severity: Severity::Error }]
    })
}

fn pointer(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(" at {path}") }
}
