//! The 13 checks of seed 001's Pre-Launch Checklist.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Finding, Machine, NOT_RUNNING, errors, failed, listed, of_broken, ok, path_of, skipped};
use crate::acl::topic::TopicFilter;
use crate::effect::ProgramQuery;
use crate::event::DefinitionFile;
use crate::job::JobDefinition;
use crate::job::task::{BUILT_IN_COMMANDS, ExecutionType, Task};
use crate::json::Json;
use crate::program;
use crate::run;
use crate::trust::signature::SignaturePolicy;

/// In the order of the guide.
pub(super) const NAMES: [&str; 13] = [
    "binary-exists",
    "job-id",
    "enabled",
    "os-filter",
    "publications",
    "in-service",
    "trigger",
    "environment",
    "plugin-settings",
    "client-id",
    "keeper-logger",
    "event-topic",
    "signature",
];
/// The place of `job-id`.
const JOB_ID: usize = 1;

pub(super) fn findings(machine: &Machine<'_>, file: &DefinitionFile) -> Vec<Finding> {
    let path = path_of(file);
    let parsed = Machine::document(file, &path).and_then(|bytes| {
        JobDefinition::parse(bytes, Some(&file.stem))
            .map_err(|findings| failed(errors(&path, &findings), "Mend the file: castellan job lint shows each place."))
    });
    let (job, _) = match parsed {
        Ok(parsed) => parsed,
        Err(found) => return of_broken(NAMES.len(), JOB_ID, found),
    };
    let one = Checked { machine, job: &job, path: &path, component: format!("job:{}", job.id) };
    Vec::from([
        one.binaries(),
        ok(format!("{path} has the id '{}', the file's name; no underscore.", job.id)),
        one.enabled(),
        one.os_filter(),
        one.publications(),
        one.in_service(),
        one.machine.probed("trigger").unwrap_or_else(|| one.trigger()),
        one.machine.probed("environment").unwrap_or_else(|| one.environment()),
        one.machine.probed("plugin-settings").unwrap_or_else(|| machine.agent_settings()),
        one.machine.probed("client-id").unwrap_or_else(|| one.machine.connection(&one.component)),
        one.machine.probed("keeper-logger").unwrap_or_else(|| one.keeper_logger()),
        one.machine.probed("event-topic").unwrap_or_else(|| one.event_topic()),
        one.signature(),
    ])
}

/// One valid job on its machine.
struct Checked<'a> {
    machine: &'a Machine<'a>,
    job: &'a JobDefinition,
    path: &'a str,
    component: String,
}

impl Checked<'_> {
    /// The tasks that are programs on this system.
    fn programs(&self) -> impl Iterator<Item = (&Task, ProgramQuery)> {
        let here = self.machine.surroundings.here;
        let is_program = move |task: &&Task| {
            let built_in =
                task.execution_type == ExecutionType::Service && BUILT_IN_COMMANDS.contains(&task.command.as_str());
            task.os_filter.is_none_or(|filter| filter.includes(here))
                && !built_in
                && task.execution_type != ExecutionType::Http
        };
        let tasks = self.job.tasks.iter().filter(move |_| self.job.runs_here(here)).filter(is_program);
        tasks.map(|task| (task, run::query(task, self.machine.surroundings)))
    }

    fn binaries(&self) -> Finding {
        let mut found = Vec::new();
        for (task, query) in self.programs() {
            let facts = (self.machine.look)(&query);
            if let Err(unfit) = program::of_task(task, &facts) {
                return failed(format!("Task '{}': {}", task.id, unfit.why), "Deploy it so, then run doctor again.");
            }
            found.push(facts.path);
        }
        if found.is_empty() {
            return skipped("No task of it is a program on this system.");
        }
        ok(format!("There, and changed by nobody else: {}.", listed(found)))
    }

    fn enabled(&self) -> Finding {
        if self.job.enabled {
            return ok("enabled is true.");
        }
        failed(format!("{} has \"enabled\": false.", self.path), "Set \"enabled\": true.")
    }

    fn os_filter(&self) -> Finding {
        let here = self.machine.surroundings.here;
        if self.job.runs_here(here) {
            return ok(format!("{here:?} is among its systems."));
        }
        failed(format!("osFilter leaves out {here:?}."), "Set this system to true in osFilter, or leave osFilter out.")
    }

    /// `eventTopic` where the document names one.
    fn own_event_topic(&self) -> Option<&str> {
        let json = Json::parse(&self.job.document).ok()?;
        json.lookup(&["eventTopic"])?.as_str().map(|_| self.job.event_topic.as_str())
    }

    fn publications(&self) -> Finding {
        if !self.job.declares_topics() && self.programs().next().is_none() {
            return skipped("It declares no topics, and none of its tasks is a program that could connect.");
        }
        let declared = &self.job.allowed_publications;
        let covered = |topic: &str| {
            let topic = TopicFilter::parse(topic);
            topic.is_ok_and(|topic| declared.iter().any(|declared| declared.contains(&topic)))
        };
        let logger = self.programs().next().map(|_| "KeeperLogger");
        let missing = logger.into_iter().chain(self.own_event_topic()).find(|topic| !covered(topic));
        match missing {
            None => {
                ok(format!("allowedPublications: {}.", listed(declared.iter().map(|one| one.topics().to_string()))))
            }
            Some(topic) => failed(
                format!("mqttTopics.allowedPublications of {} does not cover '{topic}'.", self.path),
                format!("Add \"{topic}\" to mqttTopics.allowedPublications."),
            ),
        }
    }

    fn in_service(&self) -> Finding {
        match self.machine.running {
            None => skipped(NOT_RUNNING),
            Some(running) if running.jobs.contains(self.job.id.as_str()) => ok("GET /api/Jobs lists it."),
            Some(_) => failed(
                "GET /api/Jobs does not list it.",
                format!(
                    "Say castellan lkg accept Jobs/{}, or castellan jobs apply FILE; where Last Known Good is off, POST /api/Jobs/reload.",
                    self.job.id
                ),
            ),
        }
    }

    fn trigger(&self) -> Finding {
        let Some(running) = self.machine.running else { return skipped(NOT_RUNNING) };
        match running.last_runs.get(self.job.id.as_str()) {
            None => skipped(format!("It has not run yet: POST /api/Jobs/{}/trigger.", self.job.id)),
            Some((run, outcome, _)) if outcome == "Succeeded" => ok(format!("Its latest run {run} succeeded.")),
            Some((run, outcome, _)) if outcome.is_empty() => skipped(format!("Its run {run} has not ended yet.")),
            Some((run, outcome, reason)) => {
                let fix = format!("GET /api/runs/{run} tells each task's output and exit code.");
                failed(format!("Its latest run {run} ended as {outcome}: {reason}"), fix)
            }
        }
    }

    fn environment(&self) -> Finding {
        if self.job.declares_topics() {
            let (id, name) = (&self.job.id, &self.job.name);
            return ok(format!("mqttTopics has entries, so tasks get KEEPER_JOB_ID={id} and KEEPER_JOB_NAME={name}."));
        }
        skipped("mqttTopics has no entry, so tasks get no KEEPER_JOB_ID; only those need it that connect.")
    }

    fn keeper_logger(&self) -> Finding {
        match self.machine.running.map(|running| running.logged.contains(&self.component)) {
            None => skipped(NOT_RUNNING),
            Some(true) => ok("The log has messages that its tasks published to KeeperLogger."),
            Some(false) => skipped("The log has no message of its tasks yet; --live sends one as such a task."),
        }
    }

    fn event_topic(&self) -> Finding {
        let Some(topic) = self.own_event_topic() else { return skipped("It names no eventTopic.") };
        match self.machine.denied(&self.component, "publish").find(|denial| denial.target == topic) {
            Some(denial) => failed(denial.what.clone(), denial.fix.clone()),
            None if self.machine.running.is_none() => skipped(NOT_RUNNING),
            None => ok(format!("Nothing that was published to '{topic}' was refused.")),
        }
    }

    /// What the agent starts as a task needs no signature; one that is there must hold.
    fn signature(&self) -> Finding {
        let policy = SignaturePolicy::of(self.machine.settings);
        if policy.pins.is_empty() {
            return skipped("AlternativeSignatures is empty: no signature is asked for.");
        }
        let mut signed = Vec::new();
        for (task, query) in self.programs() {
            let query = ProgramQuery { signers: policy.pins.to_vec(), ..query };
            let facts = (self.machine.look)(&query);
            if let Err(unfit) = program::signed(&facts, policy, self.machine.now) {
                let fix = format!("Sign it: castellan sign {} --cert CERT.pem --key KEY.pem", facts.path);
                return failed(format!("Task '{}': {}", task.id, unfit.why), fix);
            }
            signed.push(facts.path);
        }
        if signed.is_empty() {
            skipped("No task of it is a program.")
        } else {
            ok(format!("Signed: {}.", listed(signed)))
        }
    }
}
