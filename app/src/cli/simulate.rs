//! `castellan simulate`: a run played by the agent's own machine, with every decision told.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use castellan_core::config::Settings;
use castellan_core::event::DefinitionKind;
use castellan_core::job::JobDefinition;
use castellan_core::run::history::{RunRecord, TaskRecord};
use castellan_core::simulation::{Assumptions, Scenario, Story, Trigger, simulate};
use clap::Args;
use serde_json::Value;

use super::inputs::{Found, System};
use super::output::{self, Form};
use super::{DEFAULT_ROOT, inputs};
use crate::failure::Failure;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A job file, a folder of job files, an agent root, or the id of a job in the root.
    job: String,
    /// Fire this event; where not given, the job is triggered by hand.
    #[arg(long)]
    event: Option<String>,
    /// The values of the trigger: a file with one JSON object, or the object itself.
    #[arg(long)]
    context: Option<String>,
    /// How a task's program ends: TASK=exit:1, =signal:9, =hang, =missing; TASK.stdout=FILE, TASK.stderr=FILE, TASK.seconds=N.
    /// JOB/TASK names the task of one job. Repeated ends count one after the other. What nothing is assumed of exits with 0.
    #[arg(long, value_name = "ASSUMPTION")]
    assume: Vec<String>,
    /// When it begins (RFC 3339); now where not given.
    #[arg(long)]
    at: Option<String>,
    /// The system it runs on.
    #[arg(long, value_enum, default_value_t = System::Linux)]
    os: System,
    /// The agent root, for a job by its id and for paths.
    #[arg(long, env = "CASTELLAN_ROOT", default_value = DEFAULT_ROOT)]
    root: PathBuf,
    /// Text, or json: the runs as the history has them, what was published, every step.
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let found = inputs::find(&options.job, &options.root)?;
    refuse_invalid(&found)?;
    let context = inputs::context(options.context.as_deref())?;
    let trigger = match (&options.event, &found.job) {
        (Some(name), _) => Trigger::Event { name: name.clone(), context },
        (None, Some(id)) => Trigger::Job { id: id.clone(), context },
        (None, None) => {
            return Err(Failure::usage(
                "There are several jobs; say which event starts them (--event), or name one job.",
            ));
        }
    };
    let mut assumptions = Assumptions::default();
    for text in &options.assume {
        let read = |file: &str| inputs::read(Path::new(file)).map_err(|failure| failure.to_string());
        assumptions.assume(text, &read).map_err(Failure::usage)?;
    }
    let story = simulate(Scenario {
        surroundings: inputs::surroundings(&options.root, options.os, None),
        settings: Settings::default(),
        definitions: found.files,
        trigger,
        assumptions,
        at: inputs::instant(options.at.as_deref())?,
    });
    match options.output {
        Form::Json => output::json(&story)?,
        Form::Text => output::lines(&told(&story))?,
    }
    if story.is_good() { Ok(()) } else { Err(Failure::failed(verdict(&story))) }
}

/// A job that was meant must be valid; in a root or folder the others may be out of service.
fn refuse_invalid(found: &Found) -> Result<(), Failure> {
    for file in found.files.iter().filter(|file| file.kind == DefinitionKind::Job) {
        let meant = found.job.as_ref().is_none_or(|job| *job == file.stem);
        if let Ok(bytes) = file.content.as_ref()
            && meant
            && let Err(findings) = JobDefinition::parse(bytes, Some(&file.stem))
        {
            return Err(inputs::invalid(&file.stem, &findings));
        }
    }
    Ok(())
}

fn verdict(story: &Story) -> String {
    if let Some(why) = story.refusal.as_ref().or(story.given_up.as_ref()) {
        return why.clone();
    }
    let bad: Vec<String> = story.runs.iter().map(|run| format!("{} {}", run.job_id, run.status)).collect();
    format!("Not every run ended well: {}.", bad.join(", "))
}

/// The story for people: run by run, task by task.
fn told(story: &Story) -> Vec<String> {
    let mut lines = Vec::new();
    for run in &story.runs {
        lines
            .push(format!("run {} of {}, triggered by {}, at {}", run.run_id, run.job_id, run.trigger, run.started_at));
        // The conditions that held stand in the steps, in the order in which their tasks were executed.
        let about = format!(" of run {}: the condition is ", run.run_id);
        let held = story.steps.iter().filter(|step| step.kind == "ConditionHeld");
        let mut held: VecDeque<_> = held.filter_map(|step| step.message.split_once(&about)).collect();
        for task in &run.tasks {
            let name = format!("Task {}", task.task_id);
            let is_its = held.front().is_some_and(|(begin, _)| *begin == name && task.outcome != "Skipped");
            let condition = if is_its { held.pop_front() } else { None };
            tell_task(task, condition.map_or("", |(_, values)| values), &mut lines);
        }
        tell_end(run, &mut lines);
    }
    for published in story.published.iter().filter(|published| !published.lifecycle) {
        lines.push(format!("published on {}: {}", published.topic, published.payload));
    }
    let odd =
        story.steps.iter().filter(|step| matches!(step.kind.as_str(), "NotRun" | "Alternate" | "Denied" | "Anomaly"));
    lines.extend(odd.map(|step| format!("{}: {}", step.kind, step.message)));
    for task in &story.unused_assumptions {
        lines.push(format!("unused: what was assumed of '{task}' was never asked for; it started no program."));
    }
    lines
}

fn tell_task(task: &TaskRecord, condition: &str, lines: &mut Vec<String>) {
    lines.push(format!("  task {}: {}", task.task_id, task.outcome));
    let mut tell = |name: &str, text: &str| {
        if !text.is_empty() {
            lines.push(format!("    {name}: {}", text.trim_end().replace('\n', "\n      ")));
        }
    };
    tell("condition", condition);
    let line: Vec<String> = task.command_line.iter().map(|piece| format!("{piece:?}")).collect();
    tell("runs", &line.join(" "));
    let exit = task.exit_code.map(|code| format!("exit code {code}"));
    tell("ends", &exit.or_else(|| task.signal.map(|signal| format!("signal {signal}"))).unwrap_or_default());
    tell("because", task.reason.as_deref().unwrap_or_default());
    tell("stdout", &task.stdout);
    tell("stderr", &task.stderr);
    tell("then", task.route.as_deref().unwrap_or_default());
}

fn tell_end(run: &RunRecord, lines: &mut Vec<String>) {
    for warning in &run.warnings {
        lines.push(format!("  warning: {warning}"));
    }
    lines.push(format!("  outcome: {}. {}", run.status, run.reason.clone().unwrap_or_default()));
    lines.push(format!("  context: {}", Value::Object(run.context.clone())));
}
