//! `castellan init`: the definitions that come with the agent (`app/defaults/`) and the task programs that they name, into a root whose
//! agent does not run.

use std::path::Path;
use std::sync::Arc;

use castellan_core::config::Settings;
use castellan_core::event::DefinitionKind;
use castellan_core::lkg::{DefinitionChange, Item};
use castellan_fs::Root;
use castellan_fs::install::{Installed, install, install_program};
use castellan_fs::past::is_running;
use clap::Args;

use super::output::Globals;
use crate::clock::Clock;
use crate::failure::Failure;

/// The program in the definitions as they are kept here: where the package puts it. Installed they name the program that runs.
const PACKAGED: &str = "\"/usr/bin/castellan\"";
/// Who blesses them, for the history of their references.
const WRITER: &str = "castellan init";

macro_rules! shipped {
    ($($kind:ident $id:literal $file:literal,)*) => {
        &[$((DefinitionKind::$kind, $id, include_str!(concat!("../../defaults/", $file))),)*]
    };
}

/// What comes with the agent: kind, id, document.
const SHIPPED: &[(DefinitionKind, &str, &str)] = shipped! {
    Plugin "KeeperPolicy" "plugins/KeeperPolicy.json",
    Plugin "RedirectEvaluator" "plugins/RedirectEvaluator.json",
    Job "privilege-elevation-policy-controls" "jobs/privilege-elevation-policy-controls.json",
    Job "file-access-policy-controls" "jobs/file-access-policy-controls.json",
    Job "file-access-policy-controls-headless" "jobs/file-access-policy-controls-headless.json",
    Job "default-policy-controls" "jobs/default-policy-controls.json",
    Job "LaunchPrivilegeElevation" "jobs/LaunchPrivilegeElevation.json",
    Job "ExecutionGrantStartupCleanup" "jobs/ExecutionGrantStartupCleanup.json",
    Job "log-version-info" "jobs/log-version-info.json",
};

/// The task programs: command, and this binary's verb. A plugin and a job never share a program, so these are scripts that become it.
const PROGRAMS: [(&str, &str); 4] = [
    ("KeeperMfa", "keeper-mfa"),
    ("KeeperJustification", "keeper-justification"),
    ("KeeperApproval", "keeper-approval"),
    ("RedirectEvaluator", "redirect-evaluator"),
];

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sudo castellan init --dry-run
  sudo systemctl stop castellan && sudo castellan init && sudo systemctl start castellan

A file that is there is left as it is, and said so. Where Last Known Good is kept, what is installed is blessed.")]
pub(crate) struct Options {
    /// Say what would be installed.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(options: &Options, globals: &Globals) -> Result<(), Failure> {
    let (root, dry_run) = (&globals.root, options.dry_run);
    let program = own_path()?;
    let definitions = definitions(&program);
    let names = definitions.iter().map(|definition| definition.item.to_string());
    let names = names.chain(PROGRAMS.iter().map(|(command, _)| format!("Jobs/bin/{command}")));
    let became = if dry_run && !root.exists() {
        vec![Installed::Created; definitions.len().saturating_add(PROGRAMS.len())]
    } else {
        put(root, &definitions, &program, dry_run)?
    };
    let told = |became| match became {
        Installed::Created => String::from("created"),
        Installed::Unchanged => String::from("unchanged"),
        Installed::LeftAlone(why) => format!("left alone: {why}"),
    };
    let done: Vec<(String, String)> = names.zip(became.into_iter().map(told)).collect();
    globals.written(&done, dry_run)
}

fn put(root: &Path, definitions: &[DefinitionChange], program: &str, dry_run: bool) -> Result<Vec<Installed>, Failure> {
    if is_running(root) {
        let shown = root.display();
        return Err(Failure::failed(format!(
            "an agent runs on {shown}; nothing was installed. Stop it, say this again, and start it."
        )));
    }
    // What keeps somebody from a root is mostly whose it is.
    let root = Root::prepare(root).map_err(Failure::denied)?;
    let bytes = root.read_settings().map_err(Failure::denied)?;
    let (settings, _) = Settings::parse(bytes.as_deref()).map_err(Failure::invalid_file)?;
    // Programs first: a job is in service with them or not at all.
    let mut programs = Vec::new();
    for (command, verb) in PROGRAMS {
        let script = format!("#!/bin/sh\nexec '{program}' {verb} \"$@\"\n");
        programs.push(install_program(&root, command, script.as_bytes(), dry_run).map_err(Failure::failed)?);
    }
    let written_by = (WRITER, Clock::start().now().wall);
    let mut became =
        install(&root, &settings.plugin_path, definitions, written_by, dry_run).map_err(Failure::failed)?;
    became.append(&mut programs);
    Ok(became)
}

/// The path of this program, as definitions and scripts may have it.
fn own_path() -> Result<String, Failure> {
    let path = std::env::current_exe().map_err(|error| {
        Failure::failed(format!("where this program is cannot be told: {error}. Name it by its path."))
    })?;
    let plain = |path: &&str| !path.contains(|letter: char| letter == '\'' || letter.is_control());
    path.to_str().filter(plain).map(str::to_owned).ok_or_else(|| {
        let shown = path.display().to_string();
        Failure::failed(format!(
            "the path {} of this program cannot stand in a script. Move it, and say this again.",
            shown.escape_default()
        ))
    })
}

/// The documents as they are installed: they name this program.
fn definitions(program: &str) -> Vec<DefinitionChange> {
    let program = serde_json::Value::from(program).to_string();
    let document = |(kind, id, text): &(DefinitionKind, &str, &str)| DefinitionChange {
        item: Item::new(*kind, *id),
        document: Some(Arc::from(text.replace(PACKAGED, &program).into_bytes())),
    };
    SHIPPED.iter().map(document).collect()
}
