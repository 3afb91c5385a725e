//! From a task to the process that carries it out: candidates, arguments, environment (contract section 3).

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::Value;

use super::Run;
use super::context::Context;
use crate::effect::{Owner, ProgramQuery, SpawnRequest, Stdio};
use crate::event::ExecutableFacts;
use crate::id::{Component, RunId, SpawnId};
use crate::job::substitution::substitute;
use crate::job::task::Task;
use crate::job::{JobDefinition, Lookup};
use crate::limits::ARGUMENT_BYTES;
use crate::program::{self, Fit, Interpreter, Unfit};
use crate::surroundings::{DEFAULT_PATH, Surroundings, folders};
use crate::trace::TraceContext;
use crate::turn::Turn;
use crate::user::RunAs;

/// Values a task can use: what is always there first, so that no trigger can redirect it, then the run's context, then what the machine is.
pub(crate) fn value<'v>(
    name: &str,
    job: &JobDefinition,
    run: &RunId,
    context: &'v Context,
    surroundings: &Surroundings,
) -> Option<Cow<'v, Value>> {
    let lower = name.to_ascii_lowercase();
    let own = match lower.as_str() {
        "keeperapibaseurl" => Value::String(surroundings.api_base_url()),
        "jobid" => Value::from(job.id.as_str()),
        "jobname" => Value::from(job.name.as_str()),
        "runid" => Value::from(run.as_str()),
        // Events of requests say whether their user has one; of anything else the machine's own counts.
        "hasdesktop" if context.lookup(name).is_none() => Value::Bool(surroundings.has_desktop),
        _ if is_result(&lower, job) => return context.result(&lower).map(Cow::Borrowed),
        _ => match surroundings.path_variables.get(&lower) {
            Some(path) => Value::from(path.as_str()),
            None => return context.lookup(name).map(Cow::Borrowed),
        },
    };
    Some(Cow::Owned(own))
}

/// `LastExitCode`, `LastOutput`, `{taskId}.ExitCode`.
fn is_result(lower: &str, job: &JobDefinition) -> bool {
    let of_task = |id: &str| job.tasks.iter().any(|task| task.id.eq_ignore_ascii_case(id));
    matches!(lower, "lastexitcode" | "lastoutput") || lower.strip_suffix(".exitcode").is_some_and(of_task)
}

/// Whether a name always means what the agent says, whatever a trigger or a task's output gives under it.
pub(crate) fn is_always_there(name: &str, job: &JobDefinition, surroundings: &Surroundings) -> bool {
    const NAMES: [&str; 4] = ["keeperapibaseurl", "jobid", "jobname", "runid"];
    let lower = name.to_ascii_lowercase();
    NAMES.contains(&lower.as_str()) || is_result(&lower, job) || surroundings.path_variables.contains_key(&lower)
}

/// A text after substitution, and what it named that nobody set.
pub(crate) struct Filled {
    pub(crate) texts: Vec<String>,
    pub(crate) unknown: Vec<String>,
}

/// Substitutes each text by itself; nothing is split afterwards, so a value can never become two arguments.
pub(crate) fn fill(texts: &[String], lookup: Lookup<'_, '_>) -> Result<Filled, String> {
    let mut filled = Filled { texts: Vec::with_capacity(texts.len()), unknown: Vec::new() };
    let mut bytes = 0_usize;
    for text in texts {
        let substituted = substitute(text, lookup).map_err(|error| error.to_string())?;
        if substituted.text.contains('\0') {
            return Err(format!("'{text}' has a NUL byte after substitution; no argument can carry one."));
        }
        bytes = bytes.saturating_add(substituted.text.len());
        if bytes > ARGUMENT_BYTES {
            return Err(format!("The arguments are longer than {ARGUMENT_BYTES} bytes together after substitution."));
        }
        filled.texts.push(substituted.text);
        filled.unknown.extend(substituted.unknown);
    }
    Ok(filled)
}

/// What to look for to carry out a task.
pub(crate) fn query(task: &Task, surroundings: &Surroundings) -> ProgramQuery {
    let names = Interpreter::of(task).map_or(&[] as &[&str], Interpreter::names);
    let places = |name| search_path(task, surroundings).map(move |folder| format!("{folder}/{name}"));
    let interpreters = names.iter().flat_map(places).collect();
    ProgramQuery { candidates: candidates(task, surroundings), interpreters, ..ProgramQuery::default() }
}

/// Where a command may be, best first: `executablePath`, then `Jobs/bin/{command}/{command}`, then the search path.
fn candidates(task: &Task, surroundings: &Surroundings) -> Vec<String> {
    let own = own_program(task, surroundings);
    if task.executable_path.is_some() {
        return Vec::from([own]);
    }
    let on_path = search_path(task, surroundings).map(|folder| format!("{folder}/{}", task.command));
    core::iter::once(own).chain(on_path).collect()
}

/// Where programs are looked for: on the agent's own path, or on that of all users.
fn search_path<'s>(task: &Task, surroundings: &'s Surroundings) -> impl Iterator<Item = &'s str> {
    let path = if task.execution_type.run_as().is_some() { DEFAULT_PATH } else { surroundings.path() };
    folders(path)
}

/// The file that is the task's own, if it is there: not one of the search path, which is everybody's.
pub(crate) fn own_program(task: &Task, surroundings: &Surroundings) -> String {
    match &task.executable_path {
        Some(path) => path.clone(),
        None => format!("{}/Jobs/bin/{command}/{command}", surroundings.agent_root, command = task.command),
    }
}

/// The process to make for a task.
pub(crate) fn spawn_request(
    spawn: SpawnId,
    job: &JobDefinition,
    task: &Task,
    arguments: Vec<String>,
    turn: &Turn<'_>,
) -> SpawnRequest {
    let surroundings = turn.surroundings;
    SpawnRequest {
        spawn,
        owner: Owner::Component(Component::Job(job.id.clone())),
        program: query(task, surroundings),
        arguments,
        environment: environment(job, task, surroundings).into_iter().collect(),
        working_directory: task.working_directory.clone(),
        user: task.execution_type.run_as().map(|run_as| turn.user_query(run_as, None)),
        stdio: Stdio::Captured,
        limits: task.limits,
    }
}

impl SpawnRequest {
    /// Tells the program its place in a trace, as OpenTelemetry does by the environment; what its task says itself stands.
    pub(super) fn hand_on(&mut self, place: Option<TraceContext>) {
        let parent = place.and_then(|place| place.to_traceparent());
        if !self.environment.iter().any(|(name, _)| name == "TRACEPARENT") {
            self.environment.extend(parent.map(|parent| ("TRACEPARENT".to_string(), parent)));
        }
    }
}

fn environment(job: &JobDefinition, task: &Task, surroundings: &Surroundings) -> BTreeMap<String, String> {
    // A user's program gets the rest when it is known who that is.
    let mut environment =
        if task.execution_type.run_as().is_some() { BTreeMap::new() } else { surroundings.base_environment() };
    environment.extend(task.environment.iter().map(|(name, value)| (name.clone(), value.clone())));
    if job.declares_topics() {
        environment.insert("KEEPER_JOB_ID".to_string(), job.id.to_string());
        environment.insert("KEEPER_JOB_NAME".to_string(), job.name.replace('\0', ""));
    }
    environment
}

impl Run {
    fn task_in_hand(&self) -> Option<&Task> {
        self.phase.live().and_then(|live| self.job.tasks.get(live.index))
    }

    /// As whom the task in hand runs, where that is not the agent.
    pub(crate) fn run_as(&self) -> Option<RunAs> {
        self.task_in_hand()?.execution_type.run_as()
    }

    /// How the file of the task in hand is executed, or why it is not.
    pub(crate) fn fit(&self, executable: &ExecutableFacts) -> Result<Fit, Unfit> {
        match self.task_in_hand() {
            Some(task) => program::of_task(task, executable),
            None => program::by_file(executable).map(|()| Fit::DIRECTLY),
        }
    }
}
