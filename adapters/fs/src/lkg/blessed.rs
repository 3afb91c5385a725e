//! Blessed writes: references first, then the definition files; a crash in between leaves files that the next sweep restores.
//!
//! Drafts of the files are written before anything counts, so that a full disk is noticed while everything is as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::mem::take;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use castellan_core::event::DefinitionKind;
use castellan_core::lkg::{DefinitionChange, Item, NotWritten};
use castellan_core::time::WallTime;
use rustix::fs::{Dir, Mode, fsync};

use super::ReferenceStore;
use super::survey::Surveyor;
use crate::definitions::{MODE, file_name, place};
use crate::durable::{self, Unsynced};
use crate::error::RootError;
use crate::root::Root;

/// What a blessed write did.
#[derive(Debug, PartialEq, Eq)]
pub struct Changed {
    /// The version of each change's item; 0 where no references are kept.
    pub versions: Vec<u64>,
    /// Files that could not be written although their references say otherwise now, as sentences: drift that the next sweep restores.
    pub unwritten: Vec<String>,
}

/// Makes these changes of references, where they are kept, and of the definition files, in the folders that the surveyor holds; on disk
/// when it returns.
///
/// # Errors
/// [`NotWritten`]; references and files are as they were. Without a store a file that cannot be replaced is an error too; the files of
/// the changes before it are changed then, and the sentence says so.
pub fn change(
    root: &Root,
    store: Option<&mut ReferenceStore>,
    mut surveyor: Option<&mut Surveyor>,
    plugin_path: &str,
    changes: &[DefinitionChange],
    writer: &str,
    at: WallTime,
) -> Result<Changed, NotWritten> {
    // One that is named twice gets its last document.
    let last: BTreeMap<&Item, &DefinitionChange> = changes.iter().map(|change| (&change.item, change)).collect();
    let open = |kind| match &mut surveyor {
        Some(surveyor) => surveyor.folder(kind),
        None => root.folder(place(kind, plugin_path)),
    };
    let folders = Folder::open_all(root, plugin_path, &last, open)?;
    let mut files = Files { folders, changes: last.into_values().collect() };
    // The first start blesses what it read. What was edited since then stays: it is drift, of which the next look tells.
    let adopts = store.as_ref().is_some_and(|store| store.key_id().is_none());
    let versions = files.draft().and_then(|()| match store {
        Some(store) => store.change(changes, writer, at).map(Some),
        None => Ok(None),
    });
    let versions = match versions {
        Ok(versions) => versions,
        Err(mut failed) => {
            for left in files.drop_drafts() {
                failed.reason = format!("{} And {left}", failed.reason);
            }
            return Err(failed);
        }
    };
    let mut unwritten = Vec::new();
    if let (Some(surveyor), Some(_)) = (surveyor, &versions) {
        if adopts {
            unwritten = files.withhold(|change| surveyor.is_edited(change));
        }
        for DefinitionChange { item, document } in changes {
            surveyor.bless(item, document.clone());
        }
    }
    unwritten.extend(files.publish());
    match versions {
        Some(versions) => Ok(Changed { versions, unwritten }),
        None if unwritten.is_empty() => Ok(Changed { versions: vec![0; changes.len()], unwritten }),
        None => Err(NotWritten::because(unwritten.join(" "))),
    }
}

/// Removes drafts of definitions that a crash left; for the start. What is no file is no draft.
///
/// # Errors
/// [`RootError`] where a folder or a draft cannot be read or removed.
pub fn remove_drafts(root: &Root, plugin_path: &str) -> Result<(), RootError> {
    for kind in [DefinitionKind::Job, DefinitionKind::Plugin] {
        let place = place(kind, plugin_path);
        let path = root.path().join(place);
        let folder = root.folder(place)?;
        let entries = Dir::read_from(&folder).map_err(RootError::failed("list", &path))?;
        for entry in entries {
            let name = entry.map_err(RootError::failed("list", &path))?.file_name().to_string_lossy().into_owned();
            let Some(drafted) = durable::drafted(&name).filter(|drafted| drafted.ends_with(".json")) else { continue };
            durable::drop_draft(folder.as_fd(), drafted).map_err(RootError::failed("remove", &path.join(&name)))?;
        }
    }
    Ok(())
}

/// A folder of definitions, held open, so that all of one write goes into the same one.
struct Folder {
    kind: DefinitionKind,
    folder: OwnedFd,
    path: PathBuf,
}

impl Folder {
    fn open_all(
        root: &Root,
        plugin_path: &str,
        changes: &BTreeMap<&Item, &DefinitionChange>,
        mut open: impl FnMut(DefinitionKind) -> Result<OwnedFd, RootError>,
    ) -> Result<Vec<Self>, RootError> {
        let kinds: BTreeSet<DefinitionKind> = changes.keys().map(|item| item.kind).collect();
        let made = |kind| Ok(Self { kind, folder: open(kind)?, path: root.path().join(place(kind, plugin_path)) });
        kinds.into_iter().map(made).collect()
    }

    fn failed<E: Into<io::Error>>(&self, doing: &'static str, name: &str) -> impl FnOnce(E) -> RootError + use<E> {
        RootError::failed(doing, &self.path.join(name))
    }
}

/// The files of one blessed write.
struct Files<'a> {
    folders: Vec<Folder>,
    changes: Vec<&'a DefinitionChange>,
}

impl Files<'_> {
    /// Each change with its folder and its file's name.
    fn each(&self) -> impl Iterator<Item = (&Folder, Result<String, RootError>, &DefinitionChange)> {
        self.folders.iter().flat_map(|folder| {
            let of_kind = self.changes.iter().filter(|change| change.item.kind == folder.kind);
            of_kind.map(move |change| (folder, file_name(&folder.path, &change.item.id), *change))
        })
    }

    /// Writes all drafts and brings them to disk.
    fn draft(&self) -> Result<(), NotWritten> {
        let mode = Mode::from_raw_mode(MODE);
        for folder in &self.folders {
            // For each folder by itself, as they may lie on different disks.
            let mut unsynced = Unsynced::default();
            for (_, name, change) in self.each().filter(|(of, ..)| of.kind == folder.kind) {
                let name = name?;
                let Some(document) = &change.document else { continue };
                durable::write_draft(folder.folder.as_fd(), &name, document, mode, &mut unsynced)
                    .map_err(folder.failed("write", &name))?;
            }
            unsynced.sync(folder.folder.as_fd()).map_err(folder.failed("bring to disk what was written in", ""))?;
        }
        Ok(())
    }

    /// Takes back what [`draft`](Self::draft) did; what stayed, as sentences.
    fn drop_drafts(&self) -> Vec<String> {
        self.try_each("remove the draft of", |folder, name, _| durable::drop_draft(folder, name))
    }

    /// Leaves these files as they are; which of their drafts could not be removed, as sentences.
    fn withhold(&mut self, mut is_left: impl FnMut(&DefinitionChange) -> bool) -> Vec<String> {
        let (left, changes) = take(&mut self.changes).into_iter().partition(|change| is_left(change));
        self.changes = left;
        let failed = self.drop_drafts();
        self.changes = changes;
        failed
    }

    /// Gives all drafts their names, removes the files of removed items, and brings that to disk; what did not happen, as sentences.
    fn publish(&self) -> Vec<String> {
        let mut failed = self.try_each("replace", |folder, name, change| match change.document {
            Some(_) => durable::publish_draft(folder, name),
            None => durable::unlink(folder, name),
        });
        let synced = self
            .folders
            .iter()
            .map(|folder| fsync(&folder.folder).map_err(folder.failed("bring to disk what was written in", "")));
        failed.extend(synced.filter_map(Result::err).map(|error| format!("{error}.")));
        failed
    }

    fn try_each(
        &self,
        doing: &'static str,
        order: impl Fn(BorrowedFd<'_>, &str, &DefinitionChange) -> io::Result<()>,
    ) -> Vec<String> {
        let one = |(folder, name, change): (&Folder, Result<String, RootError>, &DefinitionChange)| {
            let name = name?;
            order(folder.folder.as_fd(), &name, change).map_err(folder.failed(doing, &name))
        };
        self.each().filter_map(|file| one(file).err()).map(|error| format!("{error}.")).collect()
    }
}
