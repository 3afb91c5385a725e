//! `castellan runs`: what ran, how it went and why, what it wrote; waiting for one and ending one.

use castellan_core::log_message::escape;
use castellan_core::time::WallTime;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::agent::{Agent, encode};
use super::names;
use super::output::{self, Globals};
use super::table::{Table, coloured, items, member, text};
use super::watch::{self, Limit, Watch};
use crate::failure::Failure;

/// Runs of one page of the API.
const MOST: i64 = 100;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the last runs, newest first.
    List(List),
    /// Show a run: each task, its outcome, where the run went from there and why.
    #[command(after_help = "Example: castellan runs show 7-12")]
    Show(One),
    /// Print what a run's tasks wrote: standard output to standard output, standard error to standard error.
    Logs(Logs),
    /// End a run: its tasks get SIGTERM, then SIGKILL.
    Cancel(Cancel),
    /// Wait for a run's end and tell of each task as it ends. Exit code 1 where the run failed.
    Watch(Follow),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  castellan runs list --job backup --outcome Failed
  castellan runs list -o name --limit 3 | xargs -n1 castellan runs show")]
pub(crate) struct List {
    /// Those of this job.
    #[arg(long, value_name = "ID")]
    job: Option<String>,
    /// Those of this outcome (Succeeded, Failed, TimedOut, Canceled, Skipped, Lost), or running.
    #[arg(long, alias = "status")]
    outcome: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=MOST))]
    limit: u16,
    /// Those before this run, for the page that follows.
    #[arg(long, value_name = "RUN")]
    before: Option<String>,
    #[command(flatten)]
    watch: Watch,
}

#[derive(Debug, Args)]
pub(crate) struct One {
    /// The run's id, or the beginning of one where no other begins so.
    run: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  castellan runs logs 7-12 --task find > found.txt
  castellan runs logs 7-12 --follow

With several tasks each line begins with its task's id. Control characters are escaped; -o json has the run as it is.")]
pub(crate) struct Logs {
    #[command(flatten)]
    one: One,
    /// Of this task alone.
    #[arg(long, value_name = "ID")]
    task: Option<String>,
    /// Wait for the run's end, and print what each task wrote when it has ended.
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    limit: Limit,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: castellan runs cancel 7-12 --wait")]
pub(crate) struct Cancel {
    #[command(flatten)]
    one: One,
    /// Wait for its end.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    limit: Limit,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: castellan runs watch 7-12 --timeout 600 && echo done

Ctrl-C ends the wait, not the run: castellan runs cancel RUN ends that.")]
pub(crate) struct Follow {
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    limit: Limit,
}

pub(crate) fn run(command: &Command, globals: &Globals) -> Result<(), Failure> {
    let agent = Agent::find(&globals.root)?;
    match command {
        Command::List(options) => list(options, &agent, globals),
        Command::Show(options) => {
            let record = names::run(&agent, &options.run)?;
            show(&record, globals)
        }
        Command::Logs(options) => logs(options, &agent, globals),
        Command::Cancel(options) => cancel(options, &agent, globals),
        Command::Watch(options) => {
            let record = names::run(&agent, &options.one.run)?;
            let mut each = |task: &Value| globals.note(&ended(task));
            let record = follow(&agent, globals, id_of(&record), &options.limit, &mut each)?;
            let id = member(&record, "runId");
            globals.show(&record, &[&id], || Ok(head(&record, globals)))?;
            verdict(&record)
        }
    }
}

fn list(options: &List, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    let mut target = format!("/api/runs?limit={}", options.limit);
    if let Some(job) = &options.job {
        target.push_str(&format!("&job={}", encode(&names::id(agent, names::Kind::Job, job)?)));
    }
    if let Some(outcome) = &options.outcome {
        target.push_str(&format!("&status={}", encode(outcome)));
    }
    if let Some(before) = &options.before {
        target.push_str(&format!("&before={}", encode(before)));
    }
    options.watch.list(globals, "runId", || agent.get(&target), |runs| table(runs, globals))
}

/// Runs, one a line.
pub(crate) fn table(runs: &[Value], globals: &Globals) -> Result<Vec<String>, Failure> {
    let mut heading = vec!["RUN", "JOB", "OUTCOME", "STARTED", "TOOK"];
    if globals.is_wide() {
        heading.extend(["TRIGGER", "REASON"]);
    }
    let mut table = Table::new(globals, &heading);
    for run in runs {
        let (id, job, status) = (member(run, "runId"), member(run, "jobId"), member(run, "status"));
        let (trigger, reason) = (member(run, "trigger"), member(run, "reason"));
        let (started, took) = (globals.when(text(run, "startedAt")), took(run));
        let mut cells = vec![&*id, &*job, &*status, &*started, &*took];
        if globals.is_wide() {
            cells.extend([&*trigger, &*reason]);
        }
        table.row(&cells);
    }
    if table.is_empty() { Ok(vec![String::from("No runs.")]) } else { table.lines() }
}

/// How long a run's tasks took.
fn took(run: &Value) -> String {
    let instant = |name: &str| text(run, name).and_then(WallTime::parse_rfc3339).map(WallTime::as_millis);
    match (instant("begunAt").or_else(|| instant("startedAt")), instant("finishedAt")) {
        (Some(begun), Some(finished)) => output::duration(finished.abs_diff(begun)),
        _ => String::new(),
    }
}

fn id_of(record: &Value) -> &str {
    text(record, "runId").unwrap_or_default()
}

fn show(record: &Value, globals: &Globals) -> Result<(), Failure> {
    globals.show(record, &[id_of(record)], || {
        let mut lines = head(record, globals);
        let mut table = Table::new(globals, &["TASK", "OUTCOME", "CODE", "TOOK", "ROUTE"]);
        let tasks = record.get("tasks").map(items).unwrap_or_default();
        for task in tasks {
            let took = task.get("durationMs").and_then(Value::as_u64).map(output::duration).unwrap_or_default();
            let (id, outcome, route) = (member(task, "taskId"), member(task, "outcome"), member(task, "route"));
            table.row(&[&id, &outcome, &code(task), &took, &route]);
        }
        if !table.is_empty() {
            lines.push(String::new());
            lines.extend(table.lines()?);
        }
        let reasons = tasks.iter().filter_map(|task| Some((text(task, "taskId")?, text(task, "reason")?)));
        lines.extend(reasons.map(|(task, reason)| format!("{}: {}", escape(task), escape(reason))));
        let warnings = record.get("warnings").map(items).unwrap_or_default();
        lines.extend(warnings.iter().filter_map(Value::as_str).map(|warning| format!("warning: {}", escape(warning))));
        Ok(lines)
    })
}

/// What there is to say of a run as a whole.
fn head(record: &Value, globals: &Globals) -> Vec<String> {
    let said = |name: &str| escape(&member(record, name));
    let status = if globals.has_colours() { coloured(&said("status")) } else { said("status") };
    let mut lines = vec![format!("run {} of job {}: {status}", said("runId"), said("jobId"))];
    lines.push(format!("  trigger   {}", said("trigger")));
    lines.push(format!("  started   {}", globals.when(text(record, "startedAt"))));
    for (name, value) in [("took", took(record)), ("reason", said("reason"))] {
        if !value.is_empty() {
            lines.push(format!("  {name:<9} {value}"));
        }
    }
    lines
}

/// Exit code, signal or HTTP status of a task.
fn code(task: &Value) -> String {
    let number = |name: &str| task.get(name).and_then(Value::as_i64);
    match (number("exitCode"), number("signal"), number("httpStatus")) {
        (Some(code), ..) => code.to_string(),
        (None, Some(signal), _) => format!("signal {signal}"),
        (None, None, Some(status)) => format!("HTTP {status}"),
        (None, None, None) => String::new(),
    }
}

/// A task that has ended, in a line.
fn ended(task: &Value) -> String {
    let said = |name: &str| escape(&member(task, name));
    let told =
        [said("reason"), said("route")].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ");
    format!("task {}: {}. {told}", said("taskId"), said("outcome"))
}

/// Waits for a run's end; exit code 1 where the time is over first.
pub(crate) fn follow(
    agent: &Agent,
    globals: &Globals,
    id: &str,
    limit: &Limit,
    each: &mut dyn FnMut(&Value) -> Result<(), Failure>,
) -> Result<Value, Failure> {
    watch::run(agent, globals, id, limit, each)?.ok_or_else(|| {
        let over = limit.shown();
        Failure::failed(format!(
            "run {id} has not ended after {over}; it goes on. `castellan runs watch {id}` waits more."
        ))
    })
}

/// Exit code 1 where a run did not end well.
pub(crate) fn verdict(record: &Value) -> Result<(), Failure> {
    match text(record, "outcome") {
        Some("Succeeded" | "Skipped") => Ok(()),
        _ => {
            let said = |name: &str| escape(&member(record, name));
            let (run, job, status, reason) = (said("runId"), said("jobId"), said("status"), said("reason"));
            Err(Failure::failed(format!("run {run} of job {job}: {status}. {reason} See: castellan runs show {run}")))
        }
    }
}

fn logs(options: &Logs, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    let record = names::run(agent, &options.one.run)?;
    if globals.is_for_programs() {
        return show(&record, globals);
    }
    let mut found = false;
    let mut each = |task: &Value| {
        let wanted = options.task.as_deref().is_none_or(|id| text(task, "taskId") == Some(id));
        found |= wanted;
        if wanted { print(task, options.task.is_none()) } else { Ok(()) }
    };
    if options.follow {
        follow(agent, globals, id_of(&record), &options.limit, &mut each)?;
    } else {
        record.get("tasks").map(items).unwrap_or_default().iter().try_for_each(each)?;
    }
    match &options.task {
        Some(task) if !found => {
            let task = escape(task);
            Err(Failure::not_found(format!("run {} has not come to a task '{task}'.", escape(id_of(&record)))))
        }
        _ => Ok(()),
    }
}

/// What a task wrote, each stream to its own.
pub(crate) fn print(task: &Value, named: bool) -> Result<(), Failure> {
    let prefix = if named { format!("{}: ", escape(&member(task, "taskId"))) } else { String::new() };
    let lines = |name: &str| -> Vec<String> {
        text(task, name).unwrap_or_default().lines().map(|line| format!("{prefix}{}", escape(line))).collect()
    };
    output::lines(&lines("stdout"))?;
    output::errors(&lines("stderr"))
}

fn cancel(options: &Cancel, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    let record = names::run(agent, &options.one.run)?;
    let id = id_of(&record);
    let answer = agent.ask("POST", &format!("/api/runs/{id}/cancel"), None)?;
    if !options.wait {
        if globals.is_for_programs() {
            return globals.show(&answer, &[id], || Ok(Vec::new()));
        }
        return globals.done(&format!("run {id} is being canceled"));
    }
    let record = follow(agent, globals, id, &options.limit, &mut |_| Ok(()))?;
    if globals.is_for_programs() {
        return globals.show(&record, &[id], || Ok(Vec::new()));
    }
    globals.done(&format!("run {id} ended: {}", escape(&member(&record, "status"))))
}
