//! `castellan lkg accept`, `rollback` and `rekey`: what changes the references.

use castellan_core::log_message::escape;
use clap::Args;
use serde_json::Value;

use super::{LKG, ask, difference, item, names, path, told};
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
    let status = agent.get(LKG)?;
    // Without a counter the references prove nothing; what is in memory, if anything, is sealed.
    let is_lost = status.get("counter").is_some_and(Value::is_null) && names(&status).is_empty();
    options.confirmation.ask(if is_lost {
        "Begin anew with a new key? The references are lost: every file then waits until it is accepted."
    } else {
        "Seal every reference with a new key?"
    })?;
    let made = agent.ask("POST", &format!("{LKG}/rekey"), None)?;
    let key = member(&made, "keyId");
    globals.show(&made, &[&key], || {
        let key = escape(&key);
        Ok(vec![if made.get("beginsAnew") == Some(&Value::Bool(true)) {
            format!(
                "the new key {key} is made, and nothing is blessed: every file waits as it is. See castellan lkg status; look at each \
                 with castellan lkg diff ITEM and put it into service with castellan lkg accept ITEM"
            )
        } else {
            format!("every reference is sealed with the new key {key}")
        }])
    })
}
