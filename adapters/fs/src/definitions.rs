//! Job and plugin files: read with suspicion, written durably.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use castellan_core::event::{DefinitionFile, DefinitionKind};
use castellan_core::limits::{DEFINITIONS, DOCUMENT_BYTES};
use rustix::fs::{Dir, Mode, OFlags};

use crate::durable::is_plain_name;
use crate::error::RootError;
use crate::files::{self, Privacy, Unread};
use crate::root::{Root, folder_below};

/// Rights of a definition: the agent writes, everybody may read.
pub(crate) const MODE: u32 = 0o644;
pub(crate) const EXTENSION: &str = ".json";

/// The names of one folder without their extension, smallest first, and how many were left out.
pub(crate) struct Names {
    pub(crate) kept: BTreeSet<String>,
    pub(crate) left_out: usize,
}

impl Root {
    /// All `*.json` of these kinds, by kind and name. A file that is not a plain regular file of the agent's own, or that
    /// cannot be read, is an entry with the reason; so is a folder, under the name `*`. Never blocks.
    pub fn read_definitions(&self, kinds: &[DefinitionKind], plugin_path: &str) -> Vec<DefinitionFile> {
        let of = |kind: &DefinitionKind| {
            let place = place(*kind, plugin_path);
            read_folder(*kind, place, self.folder(place))
        };
        kinds.iter().flat_map(of).collect()
    }

    /// Writes a definition durably, replacing what is there, links included.
    ///
    /// # Errors
    /// [`RootError`]; what was there before is untouched.
    pub fn write_definition(
        &self,
        kind: DefinitionKind,
        plugin_path: &str,
        id: &str,
        document: &[u8],
    ) -> Result<(), RootError> {
        let place = place(kind, plugin_path);
        self.replace(place, &file_name(&self.path().join(place), id)?, document, MODE)
    }

    /// Removes a definition durably; one that is not there is removed already.
    ///
    /// # Errors
    /// [`RootError`]; what was there before is untouched.
    pub fn remove_definition(&self, kind: DefinitionKind, plugin_path: &str, id: &str) -> Result<(), RootError> {
        let place = place(kind, plugin_path);
        self.remove(place, &file_name(&self.path().join(place), id)?)
    }
}

/// The file of this id in a folder of definitions.
pub(crate) fn file_name(folder: &Path, id: &str) -> Result<String, RootError> {
    if is_plain_name(id) {
        return Ok(format!("{id}{EXTENSION}"));
    }
    let what = format!("has no file for the id '{}', which is not a plain name.", id.escape_default());
    Err(RootError::Invalid { path: folder.to_owned(), what })
}

/// What [`Root::read_definitions`] reads, for commands that look at a root whose agent may run.
///
/// # Errors
/// [`RootError`] where there is no such root.
pub fn definitions_of(
    root: &Path,
    kinds: &[DefinitionKind],
    plugin_path: &str,
) -> Result<Vec<DefinitionFile>, RootError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(root, flags, Mode::empty()).map_err(RootError::failed("open", root))?;
    let mut found = Vec::new();
    for kind in kinds {
        let place = place(*kind, plugin_path);
        let folder = folder.try_clone().map_err(RootError::failed("open", root))?;
        found.extend(read_folder(*kind, place, folder_below(folder, root, place)));
    }
    Ok(found)
}

fn read_folder(kind: DefinitionKind, place: &str, folder: Result<OwnedFd, RootError>) -> Vec<DefinitionFile> {
    let failed = |reason| vec![DefinitionFile { kind, stem: String::from("*"), content: Err(reason) }];
    let folder = match folder {
        Ok(folder) => folder,
        Err(error) => return failed(error.to_string()),
    };
    let names = match names(folder.as_fd(), DEFINITIONS) {
        Ok(names) => names,
        Err(error) => return failed(format!("the folder {place} cannot be listed: {error}")),
    };
    let mut found: Vec<DefinitionFile> = names
        .kept
        .iter()
        .map(|stem| DefinitionFile { kind, stem: stem.clone(), content: read(folder.as_fd(), stem).map(Into::into) })
        .collect();
    if names.left_out > 0 {
        found.extend(failed(format!(
            "the folder {place} has {} files more than the {DEFINITIONS} that are loaded.",
            names.left_out
        )));
    }
    found
}

/// The folder of a kind, below the root.
pub(crate) fn place(kind: DefinitionKind, plugin_path: &str) -> &str {
    match kind {
        DefinitionKind::Job => kind.folder(),
        DefinitionKind::Plugin => plugin_path,
    }
}

/// At most `limit` names of a folder's `*.json`.
pub(crate) fn names(folder: BorrowedFd<'_>, limit: usize) -> rustix::io::Result<Names> {
    let mut names = Names { kept: BTreeSet::new(), left_out: 0 };
    for entry in Dir::read_from(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let Some(stem) = name.strip_suffix(EXTENSION) else { continue };
        names.kept.insert(stem.to_owned());
        if names.kept.len() > limit {
            names.kept.pop_last();
            names.left_out = names.left_out.saturating_add(1);
        }
    }
    Ok(names)
}

/// One file, or why not, as a sentence.
pub(crate) fn read(folder: BorrowedFd<'_>, stem: &str) -> Result<Vec<u8>, String> {
    read_owned(folder, stem).map(|(bytes, _)| bytes)
}

/// The same with the user id that the file belongs to.
pub(crate) fn read_owned(folder: BorrowedFd<'_>, stem: &str) -> Result<(Vec<u8>, u32), String> {
    let name = format!("{stem}{EXTENSION}");
    files::read_owned(folder, &name, DOCUMENT_BYTES, Privacy::Guarded).map_err(|unread| match unread {
        Unread::Missing => format!("{name} was there and is not any more, or its name is not UTF-8."),
        Unread::Refused(reason) => format!("{name} {reason}"),
        Unread::Failed(error) => format!("{name} cannot be read: {error}"),
    })
}
