//! `castellan jobs`: the jobs of the running agent, and the files of job authors.

pub(super) mod apply;
mod change;
mod trigger;

use castellan_core::log_message::escape;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::agent::Agent;
use super::names::{self, Kind};
use super::output::Globals;
use super::table::{Table, items, member, text};
use super::watch::Watch;
use super::{job_test, lint, runs};
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the jobs: enabled or not, when they run next, how they ran last.
    List(List),
    /// Show a job: its tasks, when it runs, its last runs. As a document: its definition.
    #[command(after_help = "Examples:
  castellan jobs show backup
  castellan jobs show backup -o json > backup.json")]
    Show(One),
    /// Create or replace jobs from files; says created, configured or unchanged. Exit code 6 where a file is refused.
    Apply(apply::Options),
    /// Delete jobs.
    Delete(change::Delete),
    /// Let the running agent judge job files, with their binaries; nothing is written. Exit code 6 where it refuses one.
    Validate(apply::Validate),
    /// Run a job now, wait for its end and print what it wrote. Exit code 1 where the run failed.
    Run(trigger::Run),
    /// Run a job now; prints the run's id.
    Trigger(trigger::Trigger),
    /// Let jobs run by their schedules and events again.
    Enable(change::Switch),
    /// Keep jobs from running until they are enabled.
    Disable(change::Switch),
    /// List the runs of a job, newest first.
    History(History),
    /// Play every test case (*.test.json) of a folder and compare what comes of it. Exit code 1 where one fails.
    Test(job_test::Options),
    /// Look for what is wrong or in vain in job and plugin files, each by itself and together. Exit code 6 on errors.
    Lint(lint::Options),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  castellan jobs list --watch
  castellan jobs list -o json | jq '.[] | select(.lastOutcome == \"Failed\")'")]
pub(crate) struct List {
    #[command(flatten)]
    watch: Watch,
}

#[derive(Debug, Args)]
pub(crate) struct One {
    /// The job's id, in any case.
    job: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: castellan jobs history backup -o wide")]
pub(crate) struct History {
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    watch: Watch,
}

pub(crate) fn run(command: &Command, globals: &Globals) -> Result<(), Failure> {
    // The files of job authors need no agent.
    let agent = || Agent::find(&globals.root);
    match command {
        Command::List(options) => {
            let agent = agent()?;
            options.watch.list(globals, "id", || agent.get("/api/Jobs"), |jobs| table(jobs, globals))
        }
        Command::Show(options) => show(&options.job, &agent()?, globals),
        Command::Apply(options) => apply::run(options, &agent()?, globals),
        Command::Validate(options) => apply::validate(options, &agent()?, globals),
        Command::Delete(options) => change::delete(options, &agent()?, globals),
        Command::Enable(options) => change::switch(options, true, &agent()?, globals),
        Command::Disable(options) => change::switch(options, false, &agent()?, globals),
        Command::Run(options) => trigger::run(options, &agent()?, globals),
        Command::Trigger(options) => trigger::trigger(options, &agent()?, globals),
        Command::History(options) => {
            let agent = agent()?;
            let target = format!("/api/Jobs/{}/runs", names::id(&agent, Kind::Job, &options.one.job)?);
            options.watch.list(globals, "runId", || agent.get(&target), |found| runs::table(found, globals))
        }
        Command::Test(options) => job_test::run(options, globals),
        Command::Lint(options) => lint::run(options, globals),
    }
}

/// Jobs, one a line.
pub(crate) fn table(jobs: &[Value], globals: &Globals) -> Result<Vec<String>, Failure> {
    let mut heading = vec!["JOB", "STATE", "NEXT", "LAST", "OUTCOME"];
    if globals.is_wide() {
        heading.push("NAME");
    }
    let mut table = Table::new(globals, &heading);
    for job in jobs {
        let state = if job.get("enabled") == Some(&Value::Bool(true)) { "enabled" } else { "disabled" };
        let (id, outcome, name) = (member(job, "id"), member(job, "lastOutcome"), member(job, "name"));
        let (next, last) = (globals.when(text(job, "nextRun")), globals.when(text(job, "lastRun")));
        let mut cells = vec![&*id, state, &*next, &*last, &*outcome];
        if globals.is_wide() {
            cells.push(&name);
        }
        table.row(&cells);
    }
    if table.is_empty() { Ok(vec![String::from("No jobs.")]) } else { table.lines() }
}

fn show(given: &str, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    let id = names::id(agent, Kind::Job, given)?;
    let answer = agent.send("GET", &format!("/api/Jobs/{id}"), &[], None)?;
    let job = answer.accepted()?;
    // In the order of the file.
    let document = castellan_core::json::Json::parse(&answer.body).map_err(Failure::failed)?;
    globals.show(&document, &[&id], || {
        let list = agent.get("/api/Jobs")?;
        let own: Vec<Value> = items(&list).iter().filter(|job| text(job, "id") == Some(&id)).cloned().collect();
        let mut lines = table(&own, globals)?;
        let part = |name: &str| document.lookup(&[name]).map(|value| escape(&value.to_string()));
        let parts = ["name", "description", "schedule", "events", "condition", "overlap", "mqttTopics"];
        lines.push(String::new());
        lines.extend(parts.iter().filter_map(|name| Some(format!("{name}: {}", part(name)?))));
        let mut tasks = Table::new(globals, &["TASK", "TYPE", "COMMAND", "ARGUMENTS", "ON SUCCESS", "ON FAILURE"]);
        for task in member_of(&job, "tasks").map(items).unwrap_or_default() {
            let said = |name: &str| member_of(task, name).map_or_else(String::new, plain);
            let kind = member_of(task, "executionType").map_or_else(|| String::from("Service"), plain);
            let (id, command, arguments) = (said("id"), said("command"), said("arguments"));
            tasks.row(&[&id, &kind, &command, &arguments, &said("onSuccess"), &said("onFailure")]);
        }
        lines.push(String::new());
        lines.extend(tasks.lines()?);
        Ok(lines)
    })
}

/// A member of a job's document, whose keys are read without regard to case.
fn member_of<'v>(object: &'v Value, name: &str) -> Option<&'v Value> {
    object.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
