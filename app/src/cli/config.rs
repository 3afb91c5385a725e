//! `castellan config show`: the settings in force, and with `--origin` where each comes from.

use std::collections::BTreeMap;
use std::path::Path;

use castellan_core::config::Settings;
use castellan_core::log_message::escape;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::output::Globals;
use super::table::{Table, member, text as text_of};
use super::{DEFAULT_ROOT, inputs, position};
use crate::failure::Failure;

const FILE: &str = "appsettings.json";
const VARIABLE: &str = "CASTELLAN_ROOT";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the settings that an agent started on this root would have, defaults included, and what it would warn of.
    Show(Options),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example: castellan config show --origin\nExit code 6 where the agent could not start with the file.\n\nWith -o json: {\"root\",\"rootOrigin\",\"settings\":[{\"key\",\"value\",\"origin\",\"file\",\"line\",\"pointer\"}],\"warnings\":[]}"
)]
pub(crate) struct Options {
    /// Also say where each comes from: file and line, or the default.
    #[arg(long)]
    origin: bool,
}

/// Reads as a start would, and tells.
pub(crate) fn run(command: &Command, globals: &Globals) -> Result<(), Failure> {
    let Command::Show(options) = command;
    let path = globals.root.join(FILE);
    let bytes = inputs::settings(&globals.root)?;
    let (settings, warnings) = Settings::parse(bytes.as_deref()).map_err(Failure::invalid_file)?;
    let text = String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned();
    let pointers = bytes.as_deref().map_or_else(BTreeMap::new, |bytes| settings.origins(bytes));
    let file = path.display().to_string();
    let shown: Vec<Value> = settings
        .flat()
        .into_iter()
        .map(|(key, value)| match pointers.get(&key) {
            Some(pointer) => {
                let line = position::line_of(&text, pointer);
                json!({ "key": key, "value": value, "origin": "file", "file": file, "line": line, "pointer": pointer })
            }
            None => {
                json!({ "key": key, "value": value, "origin": "default", "file": null, "line": null, "pointer": null })
            }
        })
        .collect();
    let warnings: Vec<&str> = warnings.iter().map(|warning| warning.message.as_str()).collect();
    let (root, origin) = (globals.root.display().to_string(), root_origin(&globals.root));
    let document = json!({ "root": root, "rootOrigin": origin, "settings": shown, "warnings": warnings });
    let names: Vec<&str> = shown.iter().filter_map(|setting| text_of(setting, "key")).collect();
    globals.show(&document, &names, || {
        let mut table =
            Table::new(globals, if options.origin { &["SETTING", "VALUE", "ORIGIN"] } else { &["SETTING", "VALUE"] });
        let mut row = |key: &str, value: &str, origin: &str| {
            let cells = [key, value, origin];
            table.row(cells.get(..if options.origin { 3 } else { 2 }).unwrap_or(&cells));
        };
        if options.origin {
            row("root", &root, origin);
        }
        shown.iter().for_each(|setting| row(&member(setting, "key"), &member(setting, "value"), &origin_of(setting)));
        table.lines()
    })?;
    if globals.is_document() {
        return Ok(());
    }
    warnings.iter().try_for_each(|warning| globals.note(&escape(warning)))
}

/// File and line, or the default.
fn origin_of(setting: &Value) -> String {
    match (text_of(setting, "file"), setting.get("line").and_then(Value::as_u64)) {
        (Some(file), Some(line)) => format!("{file}:{line}"),
        (Some(file), None) => file.to_owned(),
        (None, _) => String::from("default"),
    }
}

/// The command line wins over the environment, which wins over the default.
fn root_origin(root: &Path) -> &'static str {
    match std::env::var_os(VARIABLE) {
        Some(given) if root.as_os_str() == given => "environment CASTELLAN_ROOT",
        None if root == Path::new(DEFAULT_ROOT) => "default",
        Some(_) | None => "--root",
    }
}
