//! `castellan doctor`: the guides' checklists as checks, on the files of a root and, where an agent runs on it, by what that says.

mod elevation;
mod live;
mod lkg;
mod log;
mod running;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use castellan_core::config::Settings;
use castellan_core::doctor::{Check, Examined, Machine, Running, Status, examine, examine_lkg, examine_log};
use castellan_core::event::{DefinitionFile, DefinitionKind};
use castellan_core::job::JobDefinition;
use castellan_core::log_message::escape;
use castellan_fs::definitions_of;
use clap::{Args, ValueEnum};
use live::Wanted;
use serde_json::json;

use super::agent::Agent;
use super::inputs;
use super::lkg::standing::not_in_service;
use super::output::Globals;
use crate::clock::Clock;
use crate::failure::Failure;

/// What is examined by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A job.
    Job,
    /// A plugin.
    Plugin,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example: sudo castellan doctor job secrets-scanner\nExit codes: 0 nothing failed, 1 something failed, 3 no such job or plugin.\n\nWith -o json: {\"ok\",\"subjects\":[{\"kind\",\"id\",\"checks\":[{\"number\",\"name\",\"status\",\"proof\",\"fix\"}]}]}; with -o name: the ids where something failed."
)]
pub(crate) struct Options {
    /// What to examine; every job, every plugin, Last Known Good, the log and privilege elevation where it is left out.
    #[arg(value_enum, requires = "id")]
    kind: Option<Kind>,
    /// Its id.
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// Also start a probe, as a task of a temporary job: it reads Plugin Settings, connects, publishes and is looked for in the log. A job's own
    /// topics are used where one job is examined.
    #[arg(long)]
    live: bool,
}

/// Examines and tells.
pub(crate) fn run(options: &Options, globals: &Globals) -> Result<(), Failure> {
    let root = &globals.root;
    let root = root.canonicalize().map_err(|error| {
        if error.kind() == ErrorKind::NotFound {
            return nothing_installed(root, "is not there");
        }
        inputs::unreadable(root, &error)
    })?;
    let (settings, _) = Settings::parse(inputs::settings(&root)?.as_deref()).map_err(Failure::invalid_file)?;
    let only = options.kind.zip(options.id.as_deref()).map(|(kind, id)| match kind {
        Kind::Job => (DefinitionKind::Job, id),
        Kind::Plugin => (DefinitionKind::Plugin, id),
    });
    let kinds = [DefinitionKind::Job, DefinitionKind::Plugin];
    let is_missing = |folder: &str| root.join(folder).try_exists().is_ok_and(|is_there| !is_there);
    if is_missing(DefinitionKind::Job.folder()) && is_missing(&settings.plugin_path) {
        return Err(nothing_installed(&root, "is no agent root yet: it has neither jobs nor plugins"));
    }
    let mut definitions = definitions_of(&root, &kinds, &settings.plugin_path).map_err(Failure::not_found)?;
    let agent = match Agent::find(&root) {
        Ok(agent) => Some(agent),
        // The files can be examined without it. Who may not ask it is told so.
        Err(failure) if failure.is_unreachable() && !options.live => None,
        Err(failure) => return Err(failure),
    };
    let lkg_facts = lkg::facts(&root, settings.configuration_lkg, agent.as_ref())?;
    let drifted = lkg_facts.drifted();
    if let Some(agent) = &agent {
        lkg::judge_what_is_in_service(agent, &drifted, &mut definitions)?;
    }
    let meant: Vec<_> =
        definitions.iter().filter(|file| only.is_none_or(|(kind, id)| file.kind == kind && file.stem == id)).collect();
    if meant.is_empty() {
        return Err(nothing(&root, only, agent.as_ref())?);
    }
    let probe = match &agent {
        Some(agent) if options.live => live::probe(agent, &root, &wanted(only, &meant))?,
        Some(_) | None => BTreeMap::new(),
    };
    let running = agent.as_ref().map(|agent| running::ask(agent, &root, &meant)).transpose()?;
    let running = running.map(|running| Running { drifted, ..running });
    let mut surroundings = inputs::surroundings(&root, inputs::System::Linux, None);
    surroundings.plugin_root = format!("{}/{}", root.display(), settings.plugin_path);
    let machine = Machine {
        settings: &settings,
        surroundings: &surroundings,
        definitions: &definitions,
        look: &castellan_process::inspect,
        running: running.as_ref(),
        probe: &probe,
        now: Clock::start().now().wall,
    };
    let mut examined = examine(&machine, only);
    if only.is_none() {
        examined.push(elevation::examine(&root, &definitions, agent.as_ref().zip(running.as_ref()))?);
        examined.push(examine_log(agent.as_ref().map(log::facts).transpose()?.as_ref()));
        examined.push(examine_lkg(&lkg_facts));
    }
    tell(&examined, globals)
}

/// There is nothing to examine in a root of which this is to be said.
fn nothing_installed(root: &Path, what: &str) -> Failure {
    let shown = escape(&root.display().to_string());
    Failure::not_found(format!(
        "{shown} {what}. castellan init --root {shown} installs what comes with the agent; another root is named with --root."
    ))
}

/// Nothing is there to examine; why, where the running agent knows.
fn nothing(root: &Path, only: Option<(DefinitionKind, &str)>, agent: Option<&Agent>) -> Result<Failure, Failure> {
    let Some((kind, id)) = only else {
        return Ok(nothing_installed(root, "has no jobs and no plugins"));
    };
    let shown = root.display();
    let item = format!("{}/{id}", kind.folder());
    let why = agent.map(|agent| not_in_service(agent, &item)).transpose()?.flatten();
    let why = why.map(|why| format!(" {why}")).unwrap_or_default();
    Ok(Failure::not_found(format!("{shown} has no {}.json.{why}", escape(&item))))
}

/// What the probe goes by: the job's declarations, or the plugin's settings.
fn wanted(only: Option<(DefinitionKind, &str)>, meant: &[&DefinitionFile]) -> Wanted {
    let (Some((kind, id)), Some(file)) = (only, meant.first()) else { return Wanted::default() };
    match kind {
        DefinitionKind::Job => {
            let job = file.content.as_ref().ok().and_then(|bytes| JobDefinition::parse(bytes, None).ok());
            Wanted { job: job.map(|(job, _)| job), plugin: None }
        }
        DefinitionKind::Plugin => Wanted { job: None, plugin: Some(id.to_owned()) },
    }
}

fn tell(examined: &[Examined], globals: &Globals) -> Result<(), Failure> {
    let count = |status| examined.iter().flat_map(|one| &one.checks).filter(|check| check.status == status).count();
    let failures = count(Status::Failed);
    let has_failed = |one: &&Examined| one.checks.iter().any(|check| check.status == Status::Failed);
    let names: Vec<&str> = examined.iter().filter(has_failed).map(|one| one.id.as_str()).collect();
    globals.show(&json!({ "ok": failures == 0, "subjects": examined }), &names, || {
        let mut lines = Vec::new();
        for one in examined {
            lines.push(format!("{} {}", one.kind, escape(&one.id)));
            lines.extend(one.checks.iter().flat_map(shown));
        }
        let (well, left_out) = (count(Status::Ok), count(Status::Skipped));
        lines.push(format!("{well} ok, {failures} failed, {left_out} skipped."));
        Ok(lines)
    })?;
    if failures == 0 {
        return Ok(());
    }
    Err(Failure::failed(format!("{failures} checks failed.")))
}

fn shown(check: &Check) -> Vec<String> {
    let status = match check.status {
        Status::Ok => "ok",
        Status::Failed => "FAILED",
        Status::Skipped => "skipped",
    };
    let mut lines = vec![format!("  {:>2} {status:<8} {:<16} {}", check.number, check.name, check.proof)];
    lines.extend(check.fix.iter().map(|fix| format!("{:29}fix: {fix}", "")));
    lines
}
