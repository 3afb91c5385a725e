//! Definitions and task programs that come with the agent: into a root whose agent does not run, definitions as a blessed write where
//! references are kept.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::Arc;

use castellan_core::event::DefinitionKind;
use castellan_core::limits::DOCUMENT_BYTES;
use castellan_core::lkg::{DefinitionChange, Document, Item, References};
use castellan_core::time::WallTime;
use rustix::fs::{Mode, mkdirat};
use rustix::io::Errno;

use crate::error::RootError;
use crate::files::Privacy;
use crate::history::History;
use crate::lkg::{ReferenceStore, change};
use crate::root::Root;

/// Where task programs are found by their command (contract section 3).
const PROGRAMS: &str = "Jobs/bin";
/// Rights of a task program and its folder: the agent writes, everybody may run it.
const PROGRAM_MODE: u32 = 0o755;

/// What became of something that was to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Installed {
    /// It was not there and is now, or would be.
    Created,
    /// It is there, byte for byte.
    Unchanged,
    /// Something else is there; a phrase says what.
    LeftAlone(&'static str),
}

/// Writes those of `definitions` that have neither a file nor a reference, all or none of them, and says what became of each, in their
/// order. With `dry_run` nothing is written.
///
/// # Errors
/// A sentence: the references prove nothing, or something cannot be read or written; nothing was installed then.
pub fn install(
    root: &Root,
    plugin_path: &str,
    definitions: &[DefinitionChange],
    (writer, at): (&str, WallTime),
    dry_run: bool,
) -> Result<Vec<Installed>, String> {
    let anchor = History::open(root).map_err(|error| error.to_string())?.anchor()?;
    let (store, references) = ReferenceStore::open(root, anchor).map_err(|error| error.to_string())?;
    let mut present = BTreeMap::new();
    for file in root.read_definitions(&[DefinitionKind::Job, DefinitionKind::Plugin], plugin_path) {
        present.insert(Item::new(file.kind, &file.stem), file.content);
    }
    let mut store = match references {
        References::Unusable(why) => return Err(why),
        References::Off | References::First { .. } => None,
        References::Kept { items, .. } => {
            for reference in items {
                // What was removed on purpose may come back on purpose.
                match reference.content.transpose() {
                    Some(content) => present.insert(reference.item, content),
                    None => None,
                };
            }
            Some(store)
        }
    };
    let became: Vec<Installed> =
        definitions.iter().map(|wanted| standing(present.get(&wanted.item), wanted.document.as_ref())).collect();
    let missing: Vec<DefinitionChange> = definitions
        .iter()
        .zip(&became)
        .filter(|(_, became)| **became == Installed::Created)
        .map(|(wanted, _)| wanted.clone())
        .collect();
    if !dry_run && !missing.is_empty() {
        let changed = change(root, store.as_mut(), None, plugin_path, &missing, writer, at);
        let changed = changed.map_err(|not_written| not_written.reason)?;
        if !changed.unwritten.is_empty() {
            return Err(changed.unwritten.join(" "));
        }
    }
    Ok(became)
}

/// Writes the program of a command, `Jobs/bin/{command}/{command}`, where there is none. With `dry_run` nothing is written.
///
/// # Errors
/// [`RootError`].
pub fn install_program(root: &Root, command: &str, program: &[u8], dry_run: bool) -> Result<Installed, RootError> {
    let place = format!("{PROGRAMS}/{command}");
    let path = root.path().join(&place);
    let present = match root.read(&place, command, DOCUMENT_BYTES, Privacy::Guarded) {
        Ok(present) => present.map(|bytes| Ok(Arc::from(bytes))),
        Err(RootError::Failed { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => Some(Err(error.to_string())),
    };
    let became = standing(present.as_ref(), Some(&Arc::from(program)));
    if became == Installed::Created && !dry_run {
        match mkdirat(root.folder(PROGRAMS)?.as_fd(), command, Mode::from_raw_mode(PROGRAM_MODE)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(RootError::failed("make the folder", &path)(error)),
        }
        root.replace(&place, command, program, PROGRAM_MODE)?;
    }
    Ok(became)
}

fn standing(present: Option<&Result<Document, String>>, wanted: Option<&Document>) -> Installed {
    match present {
        None => Installed::Created,
        Some(Ok(document)) if Some(document) == wanted => Installed::Unchanged,
        Some(Ok(_)) => Installed::LeftAlone("it differs from what is shipped"),
        Some(Err(_)) => Installed::LeftAlone("what is there cannot be read"),
    }
}
