//! What files do to each other: jobs that start each other in circles, a program that is a job's and a plugin's, plugins that wait for ever.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::Job;
use crate::job::JobDefinition;
use crate::job::finding::{Finding, Report, Severity, quote};
use crate::job::task::{ExecutionType, Task};
use crate::json::Json;
use crate::plugin::PluginDefinition;
use crate::plugin::together::spelled;
use crate::run::{FiredEvent, JobRequest};

/// What a task starts.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Start {
    Event(String),
    Job(String),
}

/// Circles of jobs that start each other, told once for each job at the task that begins the shortest of them.
pub(super) fn loops(job: &Job, jobs: &[Job], report: &mut Report) {
    for (index, start) in starts(job) {
        let Some(way) = way_back(job, &start, jobs) else { continue };
        let message = format!(
            "this goes round in circles: {}; the agent breaks the chain after 16 runs. Break it with a condition, or let \
             one of them fire another event.",
            way.join(", which ")
        );
        report.warning(job.pointer(&["tasks", &index.to_string(), "arguments"]), "event-loop", message);
        return;
    }
}

/// The shortest way from what a task starts back to its job, in words.
fn way_back(job: &Job, first: &Start, jobs: &[Job]) -> Option<Vec<String>> {
    let mut open: Vec<(&Start, Vec<String>)> = Vec::new();
    let mut seen: Vec<usize> = Vec::new();
    let owned = first.clone();
    open.push((&owned, vec![]));
    let all: Vec<(usize, Vec<Start>)> =
        jobs.iter().map(|job| (job.place, starts(job).into_iter().map(|(_, start)| start).collect())).collect();
    while !open.is_empty() {
        let mut next: Vec<(&Start, Vec<String>)> = Vec::new();
        for (start, way) in open {
            for target in jobs.iter().filter(|candidate| is_started(candidate, start)) {
                let mut way = way.clone();
                way.push(match start {
                    Start::Event(event) => {
                        format!("fires {}, which starts {}", quote(event), quote(target.job.id.as_str()))
                    }
                    Start::Job(_) => format!("triggers {}", quote(target.job.id.as_str())),
                });
                if target.place == job.place {
                    return Some(way);
                }
                if !seen.contains(&target.place) {
                    seen.push(target.place);
                    let starts = all.iter().find(|(place, _)| *place == target.place);
                    next.extend(starts.into_iter().flat_map(|(_, starts)| starts).map(|start| (start, way.clone())));
                }
            }
        }
        open = next;
    }
    None
}

fn is_started(job: &Job, start: &Start) -> bool {
    match start {
        Start::Event(event) => job.job.events.iter().any(|name| name.eq_ignore_ascii_case(event)),
        Start::Job(id) => job.job.id.as_str() == id,
    }
}

/// What the built-in commands of a job start, where that stands in the file and not in a value.
fn starts(job: &Job) -> Vec<(usize, Start)> {
    let tasks = job.job.tasks.iter().enumerate();
    tasks.filter_map(|(index, task)| Some((index, start_of(task)?))).collect()
}

fn start_of(task: &Task) -> Option<Start> {
    if task.execution_type != ExecutionType::Service {
        return None;
    }
    let option = |name: &str| {
        let mut rest = task.arguments.iter();
        let mut found = None;
        while let Some(argument) = rest.next() {
            let Some(option) = argument.strip_prefix("--") else { continue };
            match option.split_once('=') {
                Some((key, value)) if key == name => found = Some(value.to_string()),
                None if option == name => found = rest.next().cloned(),
                _ => {}
            }
        }
        found
    };
    let literal = |text: String| Some(text).filter(|text| !text.contains('{'));
    match task.command.as_str() {
        "fire-event" => option("event").and_then(literal).map(Start::Event),
        "publish-mqtt" => {
            let payload = option("payload")?;
            match option("topic")?.as_str() {
                "EventMessages" => FiredEvent::parse(payload.as_bytes())
                    .ok()
                    .map(|event| event.name)
                    .and_then(literal)
                    .map(Start::Event),
                "JobService" => JobRequest::parse(payload.as_bytes())
                    .ok()
                    .map(|request| request.job)
                    .and_then(literal)
                    .map(Start::Job),
                _ => None,
            }
        }
        _ => None,
    }
}

/// A program that a plugin runs too: the agent could not tell whose process a connection belongs to by its file.
pub(crate) fn shared_binary<'a>(
    job: &JobDefinition,
    plugins: impl Iterator<Item = &'a PluginDefinition> + Clone,
) -> Option<Finding> {
    job.tasks.iter().enumerate().filter(|(_, task)| task.execution_type != ExecutionType::Http).find_map(
        |(index, task)| {
            let binary = task
                .executable_path
                .clone()
                .unwrap_or_else(|| format!("Jobs/bin/{command}/{command}", command = task.command));
            let plugin = plugins.clone().find(|plugin| {
                let path = plugin.executable_path.as_str();
                // A relative path is below the agent root, or below its plugin folder.
                !path.is_empty()
                    && (binary == path || binary.strip_suffix(path).is_some_and(|folder| folder.ends_with('/')))
            })?;
            let message = format!(
                "plugin {} runs {} too; give the job and the plugin a program each, so that each is known by its own.",
                quote(plugin.id.as_str()),
                quote(&binary)
            );
            let key = if task.executable_path.is_some() { "executablePath" } else { "command" };
            let document = Json::parse(&job.document).ok()?;
            let path = spelled(&document, &["tasks", &index.to_string(), key]);
            Some(Finding { path, code: "binary-of-job-and-plugin", message, severity: Severity::Error })
        },
    )
}

/// Plugins that one requires and that can never be ready here. What is in no file that was given may be in another.
pub(super) fn never_ready<'a>(
    plugin: &PluginDefinition,
    plugins: impl Iterator<Item = &'a PluginDefinition> + Clone,
    report: &mut Report,
) {
    for (index, id) in plugin.requires.iter().enumerate() {
        let same = plugins.clone().find(|other| other.id == *id);
        let like = plugins.clone().find(|other| other.id.as_str().eq_ignore_ascii_case(id.as_str()));
        let why = match (same, like) {
            (Some(other), _) if !other.enabled => "it is registered with \"enabled\": false".to_string(),
            (Some(other), _) if !other.supported_here => "its supportedPlatforms do not name this system".to_string(),
            (None, Some(other)) => format!("ids are read with their case, and there is {}", quote(other.id.as_str())),
            (Some(_), _) | (None, None) => continue,
        };
        let message = format!("plugin {} is never ready: {why}; so this one waits for ever.", quote(id.as_str()));
        let pointer = spelled(&plugin.settings, &["requires", &index.to_string()]);
        report.warning(pointer, "requires-never-ready", message);
    }
}
