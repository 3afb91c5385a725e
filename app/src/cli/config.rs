//! `castellan config show`: the settings in force, and with `--origin` where each comes from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use castellan_core::config::Settings;
use castellan_core::log_message::escape;
use clap::{Args, Subcommand};
use jsonc_parser::ast::Value as Node;
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde_json::{Value, json};

use super::output::{self, Form};
use super::{DEFAULT_ROOT, inputs};
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
    after_help = "Example: castellan config show --origin\nExit code 6 where the agent could not start with the file."
)]
pub(crate) struct Options {
    /// Also say where each comes from: file and line, or the default.
    #[arg(long)]
    origin: bool,
    /// The agent root.
    #[arg(long, env = VARIABLE, default_value = DEFAULT_ROOT)]
    root: PathBuf,
    /// Text, or json: {"root","rootOrigin","settings":[{"key","value","origin","file","line","pointer"}],"warnings":[]}.
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

/// Reads as a start would, and tells.
pub(crate) fn run(command: &Command) -> Result<(), Failure> {
    let Command::Show(options) = command;
    let path = options.root.join(FILE);
    let bytes = if path.is_file() { Some(inputs::read(&path)?) } else { None };
    let (settings, warnings) = Settings::parse(bytes.as_deref()).map_err(Failure::invalid_file)?;
    let text = String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned();
    let pointers = bytes.as_deref().map_or_else(BTreeMap::new, |bytes| settings.origins(bytes));
    let file = path.display().to_string();
    let shown: Vec<Value> = settings
        .flat()
        .into_iter()
        .map(|(key, value)| match pointers.get(&key) {
            Some(pointer) => {
                let line = line_of(&text, pointer);
                json!({ "key": key, "value": value, "origin": "file", "file": file, "line": line, "pointer": pointer })
            }
            None => {
                json!({ "key": key, "value": value, "origin": "default", "file": null, "line": null, "pointer": null })
            }
        })
        .collect();
    let warnings: Vec<&str> = warnings.iter().map(|warning| warning.message.as_str()).collect();
    if options.output == Form::Json {
        let (root, origin) = (options.root.display().to_string(), root_origin(&options.root));
        return output::json(&json!({ "root": root, "rootOrigin": origin, "settings": shown, "warnings": warnings }));
    }
    let mut lines: Vec<String> = shown.iter().map(|setting| told(setting, options.origin)).collect();
    if options.origin {
        lines.insert(
            0,
            format!(
                "{:<41} {:<28} {}",
                "root",
                escape(&options.root.display().to_string()),
                root_origin(&options.root)
            ),
        );
    }
    output::lines(&lines)?;
    warnings.iter().try_for_each(|warning| output::note(&escape(warning)))
}

fn told(setting: &Value, with_origin: bool) -> String {
    let text = |name: &str| escape(setting.get(name).and_then(Value::as_str).unwrap_or_default());
    let line = setting.get("line").and_then(Value::as_u64);
    let origin = match (text("origin").as_str(), line) {
        ("file", Some(line)) => format!("{}:{line}", text("file")),
        ("file", None) => text("file"),
        _ => String::from("default"),
    };
    let (key, value) = (text("key"), text("value"));
    if with_origin {
        format!("{key:<41} {value:<28} {origin}")
    } else {
        format!("{key:<41} {value}").trim_end().to_owned()
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

/// The line of a value, from 1.
fn line_of(text: &str, pointer: &str) -> Option<usize> {
    let tree = parse_to_ast(text, &CollectOptions::default(), &ParseOptions::default()).ok()?.value?;
    let mut value = &tree;
    for piece in pointer.split('/').skip(1) {
        let name = piece.replace("~1", "/").replace("~0", "~");
        let Node::Object(object) = value else { return None };
        value = &object.properties.iter().find(|property| property.name.as_str() == name)?.value;
    }
    let before = text.get(..value.range().start)?;
    Some(before.matches('\n').count().saturating_add(1))
}
