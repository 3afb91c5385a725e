//! `castellan plugins`: the plugins of the running agent, and starting and stopping them.

use castellan_core::log_message::escape;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::agent::Agent;
use super::lint;
use super::logs;
use super::names::{self, Kind};
use super::output::Globals;
use super::table::{Table, items, member, text};
use super::watch::{Limit, Watch};
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the plugins with state, health, process and restarts; those of users with a line for each session.
    List(List),
    /// Show a plugin.
    Show(One),
    /// Start plugins.
    Start(Act),
    /// Stop plugins; they stay stopped until they are started, or the agent is.
    Stop(Act),
    /// Stop plugins and start them again.
    Restart(Act),
    /// Look for what is wrong or in vain in plugin and job files, each by itself and together. Exit code 6 on errors.
    Lint(lint::Options),
    /// Print what the agent's log says of a plugin, and what it logged itself; or what its program wrote (--stdio).
    Logs(Logs),
}

#[derive(Debug, Args)]
#[command(after_help = "Example: castellan plugins list --watch")]
pub(crate) struct List {
    #[command(flatten)]
    watch: Watch,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: castellan plugins show Scanner -o yaml")]
pub(crate) struct One {
    /// The plugin's id, in any case.
    plugin: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  castellan plugins stop Scanner
  castellan plugins start Scanner Bridge
  castellan plugins restart Scanner --wait --timeout 30")]
pub(crate) struct Act {
    /// Ids of plugins, in any case.
    #[arg(required = true, value_name = "PLUGIN")]
    plugins: Vec<String>,
    /// Wait until it runs and is healthy, or has stopped; exit code 1 where it fails.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    limit: Limit,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  castellan plugins logs Scanner --follow
  castellan plugins logs Scanner --stdio")]
pub(crate) struct Logs {
    /// The plugin's id.
    plugin: String,
    /// The last 64 KiB that its program wrote on standard output and standard error each, also those of the process before.
    #[arg(long, conflicts_with_all = ["level", "run", "category", "grep", "since", "lines", "follow"])]
    stdio: bool,
    #[command(flatten)]
    range: logs::Range,
}

pub(crate) fn run(command: &Command, globals: &Globals) -> Result<(), Failure> {
    // The log is read from the files, whether an agent runs or not.
    let agent = || Agent::find(&globals.root);
    match command {
        Command::List(options) => {
            let agent = agent()?;
            options.watch.list(globals, "id", || agent.get("/api/plugins"), |plugins| table(plugins, globals))
        }
        Command::Show(options) => show(&options.plugin, &agent()?, globals),
        Command::Start(options) => act(options, "start", &agent()?, globals),
        Command::Stop(options) => act(options, "stop", &agent()?, globals),
        Command::Restart(options) => act(options, "restart", &agent()?, globals),
        Command::Lint(options) => lint::run(options, globals),
        Command::Logs(options) if options.stdio => stdio(&options.plugin, &agent()?, globals),
        Command::Logs(options) => logs::of(&format!("plugin:{}", options.plugin), &options.range, globals),
    }
}

fn show(given: &str, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    let plugin = agent.get(&path(agent, given)?)?;
    let id = member(&plugin, "id");
    globals.show(&plugin, &[&id], || {
        let names = ["id", "name", "status", "health", "processId", "lastStartTime", "restarts", "reason", "restartAt"];
        let mut lines: Vec<String> =
            names.iter().map(|name| format!("{name}: {}", escape(&member(&plugin, name)))).collect();
        for instance in instances(&plugin) {
            let said = |name: &str| member(instance, name);
            let (status, health, pid, reason) = (said("status"), said("health"), said("processId"), said("reason"));
            let (since, restarts) = (said("lastStartTime"), said("restarts"));
            lines.push(escape(&format!(
                "{}: {status}, {health}, process {pid} since {since}, {restarts} restarts: {reason}",
                place(instance)
            )));
        }
        Ok(lines)
    })
}

/// The processes of a plugin that has one in each session of a user.
fn instances(plugin: &Value) -> &[Value] {
    plugin.get("instances").map(items).unwrap_or_default()
}

/// Which session a process is for, and whose.
fn place(process: &Value) -> String {
    let user = member(process, "user");
    text(process, "session")
        .map_or_else(|| format!("session of {user}"), |session| format!("session {session} of {user}"))
}

/// What the processes of a plugin wrote, under a heading for each stream with anything in it.
fn stdio(given: &str, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    let output = agent.get(&format!("{}/output", path(agent, given)?))?;
    globals.show(&output, &[&member(&output, "id")], || {
        let mut lines = Vec::new();
        for process in output.get("processes").and_then(Value::as_array).into_iter().flatten() {
            let how = text(process, "ended").map_or_else(|| String::from("runs"), |how| format!("ended: {how}"));
            let whose = text(process, "user").map(|_| format!(" in {}", place(process))).unwrap_or_default();
            lines.push(escape(&format!("process {}{whose} {how}", member(process, "processId"))));
            for (stream, omitted) in [("stdout", "stdoutOmitted"), ("stderr", "stderrOmitted")] {
                let written = text(process, stream).unwrap_or_default();
                let omitted = member(process, omitted);
                let cut = if omitted == "0" { String::new() } else { format!(", {omitted} bytes before are not kept") };
                lines.push(format!("{stream}{}{cut}", if written.is_empty() { ": nothing" } else { ":" }));
                lines.extend(written.lines().map(|line| format!("  {}", escape(line))));
            }
        }
        if lines.is_empty() {
            lines.push(String::from("No process of it has run since the agent started."));
        }
        Ok(lines)
    })
}

fn path(agent: &Agent, given: &str) -> Result<String, Failure> {
    Ok(format!("{}/{}", Kind::Plugin.path(), names::id(agent, Kind::Plugin, given)?))
}

/// Plugins, one a line.
pub(crate) fn table(plugins: &[Value], globals: &Globals) -> Result<Vec<String>, Failure> {
    let mut heading = vec!["PLUGIN", "STATE", "HEALTH", "PID", "STARTED", "RESTARTS"];
    if globals.is_wide() {
        heading.extend(["NAME", "AGAIN", "REASON"]);
    }
    let mut table = Table::new(globals, &heading);
    let mut row = |named: &str, one: &Value| {
        let said = |name: &str| member(one, name);
        let (status, health, pid, restarts) = (said("status"), said("health"), said("processId"), said("restarts"));
        let (name, reason) = (said("name"), said("reason"));
        let again = globals.when(text(one, "restartAt"));
        let started = globals.when(text(one, "lastStartTime"));
        let mut cells = vec![named, &*status, &*health, &*pid, &*started, &*restarts];
        if globals.is_wide() {
            cells.extend([&*name, &*again, &*reason]);
        }
        table.row(&cells);
    };
    for plugin in plugins {
        row(&member(plugin, "id"), plugin);
        instances(plugin).iter().for_each(|instance| row(&format!("  {}", place(instance)), instance));
    }
    if table.is_empty() { Ok(vec![String::from("No plugins.")]) } else { table.lines() }
}

fn act(options: &Act, action: &str, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    let mut states = Vec::new();
    for given in &options.plugins {
        let path = path(agent, given)?;
        let mut state = agent.ask("POST", &format!("{path}/{action}"), None)?;
        if options.wait {
            state = settled(&path, action, options, agent, globals)?;
        }
        states.push(state);
    }
    let names: Vec<&str> = states.iter().filter_map(|state| text(state, "id")).collect();
    if globals.is_document() {
        return globals.show(&states, &names, || Ok(Vec::new()));
    }
    states.iter().try_for_each(|state| {
        let said = |name: &str| escape(&member(state, name));
        globals.done(&format!("{}: {}, {}", said("id"), said("status"), said("health")))
    })
}

/// Waits until a plugin is where it was sent.
fn settled(path: &str, action: &str, options: &Act, agent: &Agent, globals: &Globals) -> Result<Value, Failure> {
    let found = options.limit.wait(|_| {
        let plugin = agent.get(path)?;
        let said = |name: &str| escape(&member(&plugin, name));
        globals.progress(&format!("{}: {}", said("id"), said("status")))?;
        match (action, text(&plugin, "health")) {
            (_, Some("Failed")) => {
                let (id, reason) = (said("id"), said("reason"));
                Err(Failure::failed(format!("plugin {id} failed. {reason} See: castellan plugins logs {id}")))
            }
            ("stop", _) => {
                let is_gone = |one: &Value| one.get("processId") == Some(&Value::Null);
                let are_gone = is_gone(&plugin) && instances(&plugin).iter().all(is_gone);
                Ok(are_gone.then_some(plugin))
            }
            (_, Some("Healthy")) => Ok(Some(plugin)),
            _ => Ok(None),
        }
    });
    globals.progress("")?;
    found?.ok_or_else(|| Failure::failed(format!("{path} is not there after {}.", options.limit.shown())))
}
