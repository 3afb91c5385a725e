//! `castellan settings`: the settings of plugins, where each comes from, and changing them in the agent's storage.

use castellan_core::json::read::nearest;
use castellan_core::log_message::escape;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::agent::{Agent, encode};
use super::confirm::Confirmation;
use super::output::Globals;
use super::table::{Table, member, text};
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the effective settings of a plugin, or the value of one.
    Get(Get),
    /// Store a setting; it stands above the plugin's file.
    Set(Set),
    /// Tell for each setting where its value comes from, who wrote it, when, and what it was before.
    Explain(Get),
    /// Drop what is stored, so that the plugin's file counts again.
    Revert(Revert),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  castellan settings get KeeperPrivilegeManager broker.port
  castellan settings explain Scanner")]
pub(crate) struct Get {
    /// The plugin's id; KeeperPrivilegeManager for the agent's own settings.
    plugin: String,
    /// The setting.
    key: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  castellan settings set Scanner metadata.interval 30
  castellan settings set KeeperPrivilegeManager system.logging.level Debug
  castellan settings set Scanner metadata.label --text 30")]
pub(crate) struct Set {
    /// The plugin's id; KeeperPrivilegeManager for the level of the agent's log, its one setting that is stored.
    plugin: String,
    /// The setting.
    key: String,
    /// The value: JSON where it is, else a text.
    #[arg(allow_hyphen_values = true)]
    value: String,
    /// Take the value as text even if it is JSON.
    #[arg(long)]
    text: bool,
    /// Say what would be stored; whether the agent takes it shows at the write alone.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  castellan settings revert Scanner
  castellan settings revert --all --yes")]
pub(crate) struct Revert {
    /// The plugin's id.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    plugin: Option<String>,
    /// Of every plugin.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    confirmation: Confirmation,
    /// Say what would be dropped.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(command: &Command, globals: &Globals) -> Result<(), Failure> {
    let agent = Agent::find(&globals.root)?;
    match command {
        Command::Get(options) => get(options, &agent, globals),
        Command::Set(options) => set(options, &agent, globals),
        Command::Explain(options) => explain(options, &agent, globals),
        Command::Revert(options) => revert(options, &agent, globals),
    }
}

fn path(plugin: &str) -> String {
    format!("/api/PluginSettings/{}", encode(plugin))
}

fn get(options: &Get, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    if let Some(key) = &options.key {
        let value = agent.get(&format!("{}/{}", path(&options.plugin), encode(key)))?;
        return globals.show(&value, &[key], || Ok(vec![escape(&plain(&value))]));
    }
    let settings = agent.get(&path(&options.plugin))?;
    let names = keys(&settings);
    globals.show(&settings, &names, || {
        let mut table = Table::new(globals, &["SETTING", "VALUE"]);
        names.iter().for_each(|name| table.row(&[name, &member(&settings, name)]));
        table.lines()
    })
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn set(options: &Set, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    let json = if options.text { None } else { serde_json::from_str::<Value>(&options.value).ok() };
    let value = json.unwrap_or_else(|| Value::from(options.value.clone()));
    // What may not be read or is not there is said now, not at the write.
    let settings = agent.get(&path(&options.plugin))?;
    if let Some(known) = meant(&options.key, &keys(&settings)) {
        let (plugin, key) = (escape(&options.plugin), escape(&options.key));
        globals.note(&format!("'{key}' is a new setting of {plugin}; the one that it has is '{}'.", escape(known)))?;
    }
    if options.dry_run {
        return stored(options, &value, globals);
    }
    let target = format!("{}/{}", path(&options.plugin), encode(&options.key));
    agent.ask("PUT", &target, Some(&json!({ "value": value })))?;
    stored(options, &value, globals)
}

/// The setting that somebody may mean who names one that is not there: `metadata.interval` by its last name.
fn meant<'n>(key: &str, known: &[&'n str]) -> Option<&'n str> {
    if known.iter().any(|name| name.eq_ignore_ascii_case(key)) {
        return None;
    }
    let is_last = |name: &&&str| name.rsplit_once('.').is_some_and(|(_, last)| last.eq_ignore_ascii_case(key));
    known.iter().find(is_last).copied().or_else(|| nearest(key, known))
}

/// Says what was stored, or would be.
fn stored(options: &Set, value: &Value, globals: &Globals) -> Result<(), Failure> {
    let (plugin, key) = (&options.plugin, &options.key);
    if globals.is_for_programs() {
        let document = json!({ "plugin": plugin, "key": key, "value": value, "dryRun": options.dry_run });
        return globals.show(&document, &[key], || Ok(Vec::new()));
    }
    let would = if options.dry_run { " (dry run)" } else { "" };
    globals.done(&format!("{}: {} = {}{would}", escape(plugin), escape(key), escape(&value.to_string())))
}

/// The members of an explained setting, as the API names them, and the headings of their columns.
const EXPLAINED: [(&str, &str); 5] =
    [("VALUE", "value"), ("LAYER", "layer"), ("WRITER", "writer"), ("TIME", "time"), ("BEFORE", "former")];

fn explain(options: &Get, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    let mut found = agent.get(&format!("{}?explain=true", path(&options.plugin)))?;
    let near = options.key.as_ref().and_then(|key| meant(key, &keys(&found)).map(escape));
    let near = near.map(|name| format!(" (did you mean '{name}'?)")).unwrap_or_default();
    if let (Some(key), Some(members)) = (&options.key, found.as_object_mut()) {
        members.retain(|name, _| name.eq_ignore_ascii_case(key));
        if members.is_empty() {
            let (plugin, key) = (escape(&options.plugin), escape(key));
            return Err(Failure::not_found(format!(
                "'{plugin}' has no setting '{key}'{near}; `castellan settings get {plugin}` names them."
            )));
        }
    }
    let names = keys(&found);
    globals.show(&found, &names, || {
        let headings: Vec<&str> =
            [&"SETTING"].into_iter().chain(EXPLAINED.iter().map(|(head, _)| head)).copied().collect();
        let mut table = Table::new(globals, &headings);
        for name in &names {
            let setting = found.get(*name).unwrap_or(&Value::Null);
            let mut cells = vec![(*name).to_owned()];
            for (_, part) in EXPLAINED {
                cells.push(if part == "time" { globals.when(text(setting, part)) } else { member(setting, part) });
            }
            table.row(&cells.iter().map(String::as_str).collect::<Vec<_>>());
        }
        table.lines()
    })
}

fn revert(options: &Revert, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    let (target, what) = match &options.plugin {
        Some(plugin) => (format!("{}/revert", path(plugin)), format!("of {plugin}")),
        None => (String::from("/api/PluginSettings/revert-all"), String::from("of every plugin")),
    };
    let done = [(format!("stored settings {what}"), String::from("dropped"))];
    if options.dry_run {
        if let Some(plugin) = &options.plugin {
            agent.get(&path(plugin))?;
        }
        return globals.written(&done, true);
    }
    options.confirmation.ask(&format!("Drop the stored settings {}?", escape(&what)))?;
    let effective = agent.ask("POST", &target, None)?;
    if globals.is_document() {
        return globals.show(&effective, &keys(&effective), || Ok(Vec::new()));
    }
    globals.written(&done, false)
}
