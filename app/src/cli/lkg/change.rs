//! `castellan lkg accept`, `rollback` and `rekey`: what changes the references.

use castellan_core::log_message::escape;
use clap::Args;
use serde_json::Value;

use super::{LKG, ask, difference, item, path, told};
use crate::cli::agent::Agent;
use crate::cli::confirm::Confirmation;
use crate::cli::output::{self, Globals};
use crate::cli::table::member;
use crate::failure::Failure;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  castellan lkg accept Jobs/scan --dry-run
  castellan lkg accept Jobs/scan --yes")]
pub(crate) struct Accept {
    /// Jobs/ID or Plugins/ID, in any case.
    item: String,
    #[command(flatten)]
    confirmation: Confirmation,
    /// Say what would be blessed.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: castellan lkg rollback Jobs/scan 3 --yes")]
pub(crate) struct Rollback {
    /// Jobs/ID or Plugins/ID, in any case.
    item: String,
    /// The version, as `castellan lkg history` has it.
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    version: u64,
    #[command(flatten)]
    confirmation: Confirmation,
    /// Say what would change.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: sudo castellan lkg rekey --yes")]
pub(crate) struct Rekey {
    #[command(flatten)]
    confirmation: Confirmation,
    /// Say which key there is.
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn accept(options: &Accept, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    let item = item(agent, &options.item)?;
    let found = difference(agent, &item, None, None)?;
    let source = member(&found, "to");
    let asked = Asked { item: &item, found: &found, target: "accept", what: format!("accepted from {source}") };
    asked.bless(options.dry_run, &options.confirmation, agent, globals)
}

pub(super) fn rollback(options: &Rollback, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    let (item, version) = (item(agent, &options.item)?, options.version);
    let found = difference(agent, &item, None, Some(version))?;
    let target = format!("rollback?version={version}");
    let asked =
        Asked { item: &item, found: &found, target: &target, what: format!("rolled back to version {version}") };
    asked.bless(options.dry_run, &options.confirmation, agent, globals)
}

/// A document that is to be blessed.
struct Asked<'a> {
    item: &'a str,
    /// How it differs from what is blessed.
    found: &'a Value,
    target: &'a str,
    what: String,
}

impl Asked<'_> {
    /// Shows people what changes, asks them, and does it.
    fn bless(
        self,
        dry_run: bool,
        confirmation: &Confirmation,
        agent: &Agent,
        globals: &Globals,
    ) -> Result<(), Failure> {
        let Self { item, found, target, what } = self;
        if !globals.is_for_programs() && !globals.is_quiet() {
            output::lines(&told(found))?;
        }
        let done = [(item.to_owned(), what)];
        if dry_run {
            return globals.written(&done, true);
        }
        confirmation.ask(&format!("Bless this as {}?", escape(item)))?;
        // What was shown is blessed, and nothing that took its place meanwhile.
        let tag = member(found, "tag");
        let blessed = ask(agent, "POST", item, &format!("{}/{target}", path(item)), &[("If-Match", &tag)])?;
        if globals.is_document() {
            return globals.show(&blessed, &[], || Ok(Vec::new()));
        }
        globals.written(&done, false)
    }
}

pub(super) fn rekey(options: &Rekey, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    if options.dry_run {
        let key = member(&agent.get(LKG)?, "keyId");
        return globals.written(&[(format!("key {key}"), String::from("replaced"))], true);
    }
    options.confirmation.ask("Seal every reference with a new key?")?;
    let made = agent.ask("POST", &format!("{LKG}/rekey"), None)?;
    let key = member(&made, "keyId");
    globals.show(&made, &[&key], || Ok(vec![format!("every reference is sealed with the new key {}", escape(&key))]))
}
