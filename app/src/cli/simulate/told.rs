//! The story of a simulation for people: run by run, task by task, each with the details that the machine told about it.

use std::collections::{BTreeMap, VecDeque};

use castellan_core::run::history::{RunRecord, TaskRecord};
use castellan_core::simulation::{Step, Story};
use serde_json::Value;

/// What the machine told about one run: about itself, then about each task of its record, in order.
#[derive(Default)]
struct Details<'s> {
    run: Vec<(&'s str, &'s str)>,
    open: Vec<(&'s str, &'s str)>,
    tasks: VecDeque<Vec<(&'s str, &'s str)>>,
}

pub(super) fn told(story: &Story) -> Vec<String> {
    let mut details = details(&story.steps);
    let mut lines = Vec::new();
    for run in &story.runs {
        lines
            .push(format!("run {} of {}, triggered by {}, at {}", run.run_id, run.job_id, run.trigger, run.started_at));
        let Details { run: own, open, mut tasks } = details.remove(run.run_id.as_str()).unwrap_or_default();
        // What was told about a task that never ended belongs to it.
        tasks.push_back(open);
        lines.extend(own.iter().map(|(name, text)| format!("  {name}: {text}")));
        for task in &run.tasks {
            tell_task(task, &tasks.pop_front().unwrap_or_default(), &mut lines);
        }
        tell_end(run, &mut lines);
    }
    for published in story.published.iter().filter(|published| !published.lifecycle) {
        lines.push(format!("published on {}: {}", published.topic, published.value()));
    }
    let odd = story.steps.iter().filter(|step| matches!(&*step.kind, "NotRun" | "Alternate" | "Denied" | "Anomaly"));
    lines.extend(odd.map(|step| format!("{}: {}", step.kind, step.message)));
    for task in &story.unused_assumptions {
        lines.push(format!("unused: what was assumed of '{task}' was never asked for; it started no program."));
    }
    lines
}

/// Every detail by its run. A task's details come before its end or skip; tasks of one run follow each other.
fn details(steps: &[Step]) -> BTreeMap<&str, Details<'_>> {
    let mut found = BTreeMap::<&str, Details<'_>>::new();
    for step in steps {
        let (name, said) = match &*step.kind {
            "ConditionHeld" => ("condition", "the condition is "),
            "Substituted" => ("token", ""),
            "Merged" => ("merge", "merged "),
            "TaskFinished" | "TaskSkipped" => ("", ""),
            _ => continue,
        };
        let about_run = step.message.strip_prefix("Run ").map(|rest| (true, rest));
        let about_task = step.message.split_once(" of run ").map(|(_, rest)| (false, rest));
        let Some((is_own, rest)) = about_run.or(about_task) else { continue };
        let Some((run, text)) = rest.split_once([':', ' ']) else { continue };
        let text = text.trim_start();
        let text = text.strip_prefix(said).unwrap_or(text);
        let details = found.entry(run).or_default();
        match name {
            "" => details.tasks.push_back(std::mem::take(&mut details.open)),
            _ if is_own => details.run.push((name, text)),
            _ => details.open.push((name, text)),
        }
    }
    found
}

fn tell_task(task: &TaskRecord, details: &[(&str, &str)], lines: &mut Vec<String>) {
    lines.push(format!("  task {}: {}", task.task_id, task.outcome));
    let mut tell = |name: &str, text: &str| {
        if !text.is_empty() {
            lines.push(format!("    {name}: {}", text.trim_end().replace('\n', "\n      ")));
        }
    };
    for (name, text) in details.iter().filter(|(name, _)| *name != "merge") {
        tell(name, text);
    }
    let line: Vec<String> = task.command_line.iter().map(|piece| format!("{piece:?}")).collect();
    tell("runs", &line.join(" "));
    let exit = task.exit_code.map(|code| format!("exit code {code}"));
    tell("ends", &exit.or_else(|| task.signal.map(|signal| format!("signal {signal}"))).unwrap_or_default());
    tell("because", task.reason.as_deref().unwrap_or_default());
    tell("stdout", &task.stdout);
    tell("stderr", &task.stderr);
    for (name, text) in details.iter().filter(|(name, _)| *name == "merge") {
        tell(name, text);
    }
    tell("then", task.route.as_deref().unwrap_or_default());
}

fn tell_end(run: &RunRecord, lines: &mut Vec<String>) {
    for warning in &run.warnings {
        lines.push(format!("  warning: {warning}"));
    }
    lines.push(format!("  outcome: {}. {}", run.status, run.reason.clone().unwrap_or_default()));
    lines.push(format!("  context: {}", Value::Object(run.context.clone())));
}
