//! `castellan simulate`: a run played by the agent's own machine, with every decision told.

mod told;

use std::path::Path;

use castellan_core::config::Settings;
use castellan_core::event::DefinitionKind;
use castellan_core::job::JobDefinition;
use castellan_core::simulation::{Assumptions, Scenario, Story, Trigger, simulate};
use clap::Args;

use super::inputs;
use super::inputs::{Found, System};
use super::output::Globals;
use crate::failure::Failure;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  castellan simulate Jobs/scan.json --event Startup --assume find=exit:1
  castellan simulate scan --context '{\"Path\":\"/etc\"}' --root /opt/castellan

With -o json: the runs as the history has them, what was published, every step.")]
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
}

pub(crate) fn run(options: &Options, globals: &Globals) -> Result<(), Failure> {
    let found = inputs::find(&options.job, &globals.root)?;
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
        surroundings: inputs::surroundings(&globals.root, options.os, None),
        settings: Settings::default(),
        definitions: found.files,
        trigger,
        assumptions,
        at: inputs::instant(options.at.as_deref())?,
    });
    let names: Vec<&str> = story.runs.iter().map(|run| run.run_id.as_str()).collect();
    globals.show(&story, &names, || Ok(told::told(&story)))?;
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
            return Err(inputs::invalid(&found.shown(file), bytes, &findings));
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
