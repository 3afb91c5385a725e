//! `castellan init`: the definitions that come with the agent (`app/defaults/`), into a root whose agent does not run.

use std::path::Path;
use std::sync::Arc;

use castellan_core::config::Settings;
use castellan_core::event::DefinitionKind;
use castellan_core::lkg::{DefinitionChange, Item};
use castellan_fs::install::{Installed, install};
use castellan_fs::past::is_running;
use castellan_fs::{Root, RootError};
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
    Job "privilege-elevation-policy-controls" "jobs/privilege-elevation-policy-controls.json",
    Job "LaunchPrivilegeElevation" "jobs/LaunchPrivilegeElevation.json",
    Job "log-version-info" "jobs/log-version-info.json",
};

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
    let program = std::env::current_exe()
        .map_err(|error| Failure::failed(format!("where this program is cannot be told: {error}. Name it by its path.")))?;
    let definitions = shipped(&program)?;
    let became = if dry_run && !root.exists() {
        vec![Installed::Created; definitions.len()]
    } else {
        put(root, &definitions, dry_run)?
    };
    let told = |(definition, became): (&DefinitionChange, Installed)| {
        let what = match became {
            Installed::Created => String::from("created"),
            Installed::Unchanged => String::from("unchanged"),
            Installed::LeftAlone(why) => format!("left alone: {why}"),
        };
        (definition.item.to_string(), what)
    };
    let done: Vec<(String, String)> = definitions.iter().zip(became).map(told).collect();
    globals.written(&done, dry_run)
}

fn put(root: &Path, definitions: &[DefinitionChange], dry_run: bool) -> Result<Vec<Installed>, Failure> {
    if is_running(root) {
        let shown = root.display();
        return Err(Failure::failed(format!(
            "an agent runs on {shown}; nothing was installed. Stop it, say this again, and start it."
        )));
    }
    let root = Root::prepare(root).map_err(|error| match error {
        RootError::Invalid { .. } => Failure::invalid_file(error),
        error => Failure::denied(error),
    })?;
    let bytes = root.read_settings().map_err(Failure::denied)?;
    let (settings, _) = Settings::parse(bytes.as_deref()).map_err(Failure::invalid_file)?;
    let written_by = (WRITER, Clock::start().now().wall);
    install(&root, &settings.plugin_path, definitions, written_by, dry_run).map_err(Failure::failed)
}

/// The documents as they are installed: they name this program.
fn shipped(program: &Path) -> Result<Vec<DefinitionChange>, Failure> {
    let shown = program.display();
    let program = program.to_str().filter(|path| Path::new(path).is_absolute()).ok_or_else(|| {
        Failure::failed(format!("the path {shown} of this program cannot stand in a definition. Move it, and say this again."))
    })?;
    let program = serde_json::Value::from(program).to_string();
    let document = |(kind, id, text): &(DefinitionKind, &str, &str)| DefinitionChange {
        item: Item::new(*kind, *id),
        document: Some(Arc::from(text.replace(PACKAGED, &program).into_bytes())),
    };
    Ok(SHIPPED.iter().map(document).collect())
}
