//! `castellan audit`: what is on record, and whether it is as it was written. It is read from the files, beside a running agent or without.

mod show;
mod verify;
mod walk;

use std::io::{self, ErrorKind};
use std::path::Path;

use castellan_core::time::WallTime;
use castellan_fs::audit::AuditReader;
use clap::Subcommand;
use serde_json::Value;

use super::output::Globals;
use super::table::text;
use crate::failure::Failure;
pub(crate) use walk::Walk;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say whether every line is as it was written, in its place, and none is missing; else which ones are not.
    Verify(verify::Options),
    /// Print entries.
    Show(show::Options),
    /// Print lines as they are, from an instant on, to be kept and verified elsewhere.
    Export(show::Export),
}

/// Carries it out.
pub(crate) fn run(command: &Command, globals: &Globals) -> Result<(), Failure> {
    match command {
        Command::Verify(options) => verify::run(options, globals),
        Command::Show(options) => show::run(options, globals),
        Command::Export(options) => show::export(options, globals),
    }
}

/// The audit of the root.
fn open(root: &Path) -> Result<AuditReader, Failure> {
    AuditReader::open(root).map_err(|error| unreadable(root, &error))
}

fn unreadable(root: &Path, error: &io::Error) -> Failure {
    let folder = root.join("state/audit");
    let folder = folder.display();
    if error.kind() == ErrorKind::PermissionDenied {
        let fix = "Say it again as that user, for example with sudo.";
        return Failure::denied(format!("{folder} may be read by the agent's own user and root alone. {fix}"));
    }
    if error.kind() == ErrorKind::NotFound {
        let fix = "Name another root with --root.";
        return Failure::not_found(format!(
            "there is no audit in {folder}: no agent that keeps one ever ran there. {fix}"
        ));
    }
    Failure::failed(format!("the audit in {folder} cannot be read: {error}."))
}

/// What belongs to a request, oldest first.
pub(super) fn of_request(globals: &Globals, id: &str) -> Result<Vec<Value>, Failure> {
    let mut found = Vec::new();
    show::each(globals, |line| {
        // What is no entry belongs to no request; castellan audit verify says what is wrong with it.
        let entry = serde_json::from_slice::<Value>(&line.bytes).ok();
        found.extend(entry.filter(|entry| text(entry, "request") == Some(id)));
        Ok(())
    })?;
    Ok(found)
}

/// When an entry was made.
fn time(entry: &Value) -> Option<WallTime> {
    text(entry, "time").and_then(WallTime::parse_rfc3339)
}
