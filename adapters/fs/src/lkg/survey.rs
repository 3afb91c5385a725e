//! Holds the blessed documents beside the files, and puts files right.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::mem::take;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};

use castellan_core::event::DefinitionKind;
use castellan_core::lkg::{DefinitionChange, Difference, Document, Former, Found, Item, Reference, Survey};
use castellan_core::time::WallTime;
use rustix::fs::{Mode, Stat, fstat, mkdirat};

use super::compare::Comparer;
use super::quarantine::{Moved, PLACE, Quarantine};
use super::strays::{file_name, item, put_aside, strays};
use super::watch::Looks;
use crate::definitions::{EXTENSION, MODE, place};
use crate::durable;
use crate::error::RootError;
use crate::files::{self, Privacy};
use crate::root::Root;

/// Bytes of drifted files that surveys brought along and nobody has judged yet, so that neither a thousand large ones nor a fight over
/// one fill the memory. What is beyond is told without its keys.
const SURVEY_BYTES: usize = 8 << 20;

/// Where to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Where {
    /// Everywhere.
    Everywhere,
    /// At these files: folder and file name.
    At(BTreeSet<(DefinitionKind, OsString)>),
}

impl Where {
    /// Nothing is to be looked at.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::At(files) if files.is_empty())
    }
}

/// The folders of definitions as they were when they were opened, and what is blessed in them.
#[derive(Debug)]
pub struct Surveyor {
    root: Root,
    folders: [Folder; 2],
    comparer: Comparer,
    /// What surveys brought along, for as long as it is held.
    brought: Vec<Weak<Vec<u8>>>,
}

#[derive(Debug)]
struct Folder {
    kind: DefinitionKind,
    /// Relative to the root.
    place: String,
    /// `None` while there never was one.
    held: Option<Held>,
    blessed: BTreeMap<String, Document>,
    /// Directories that were put aside and stand there, and sentences about those that nobody was told of.
    aside: BTreeSet<String>,
    notices: Vec<String>,
}

/// A folder that is kept open, so that no other one can have its number.
#[derive(Debug)]
struct Held {
    _folder: OwnedFd,
    device: u64,
    inode: u64,
}

/// Why a folder is not used.
enum Unusable {
    Missing,
    NotOurs(String),
}

impl Surveyor {
    /// Opens both folders; one that is not there is made when something has to be restored in it.
    ///
    /// # Errors
    /// [`RootError`] where one is there and is no folder, or others may change it.
    pub fn new(root: &Root, plugin_path: &str, looks: Arc<Looks>) -> Result<Self, RootError> {
        let folder = |kind| {
            let mut folder = Folder {
                kind,
                place: place(kind, plugin_path).to_owned(),
                held: None,
                blessed: BTreeMap::new(),
                aside: BTreeSet::new(),
                notices: Vec::new(),
            };
            match folder.open(root) {
                Ok(_) | Err(Unusable::Missing) => Ok(folder),
                Err(Unusable::NotOurs(what)) => Err(RootError::Invalid { path: root.path().join(&folder.place), what }),
            }
        };
        let folders = [folder(DefinitionKind::Job)?, folder(DefinitionKind::Plugin)?];
        Ok(Self { root: root.clone(), folders, comparer: Comparer::new(looks), brought: Vec::new() })
    }

    /// From now on this is how the item has to stand on disk; `None`: not at all.
    pub fn bless(&mut self, item: &Item, document: Option<Document>) {
        let blessed = &mut self.folder_mut(item.kind).blessed;
        match document {
            Some(document) => blessed.insert(item.id.clone(), document),
            None => blessed.remove(&item.id),
        };
    }

    /// The same of every item of these references; a damaged one says that nothing stands there.
    pub(crate) fn bless_references(&mut self, references: &[Reference]) {
        for Reference { item, content, .. } in references {
            self.bless(item, content.clone().ok().flatten());
        }
    }

    fn folder_mut(&mut self, kind: DefinitionKind) -> &mut Folder {
        let [jobs, plugins] = &mut self.folders;
        match kind {
            DefinitionKind::Job => jobs,
            DefinitionKind::Plugin => plugins,
        }
    }

    /// The folder of these definitions for writing, made where it is missing.
    ///
    /// # Errors
    /// [`RootError`] where it is not the one that was opened at the start.
    pub fn folder(&mut self, kind: DefinitionKind) -> Result<OwnedFd, RootError> {
        let root = self.root.clone();
        let folder = self.folder_mut(kind);
        folder.open_or_make(&root).map_err(|what| RootError::Invalid { path: root.path().join(&folder.place), what })
    }

    /// What is not as it was blessed.
    pub fn look(&mut self, at: &Where) -> Survey {
        let mut survey = Survey { whole: *at == Where::Everywhere, ..Survey::default() };
        self.brought.retain(|content| content.strong_count() > 0);
        let held = self.brought.iter().filter_map(Weak::upgrade).map(|content| content.len()).sum();
        let mut room = SURVEY_BYTES.saturating_sub(held);
        for folder in &mut self.folders {
            let names = match at {
                Where::Everywhere => None,
                Where::At(names) => {
                    let kind = folder.kind;
                    let of_kind = names.iter().filter(|(of, _)| *of == kind).map(|(_, name)| name.clone());
                    let names: Vec<OsString> = of_kind.collect();
                    if names.is_empty() {
                        continue;
                    }
                    Some(names)
                }
            };
            folder.look(&self.root, names, &mut self.comparer, &mut room, &mut survey);
        }
        self.brought.extend(survey.differences.iter().filter_map(|difference| match &difference.found {
            Found::Bytes { content, .. } => Some(Arc::downgrade(content)),
            Found::Missing | Found::Rights { .. } | Found::Other { .. } => None,
        }));
        survey
    }

    /// What somebody should know since the last call, as sentences.
    pub fn take_notices(&mut self) -> Vec<String> {
        self.folders.iter_mut().flat_map(|folder| take(&mut folder.notices)).collect()
    }

    /// Whether something else than what is to be blessed stands in its place; the rights of a file do not matter.
    pub(super) fn is_edited(&mut self, DefinitionChange { item, document }: &DefinitionChange) -> bool {
        let root = self.root.clone();
        let Ok(folder) = self.folder_mut(item.kind).open(&root) else { return false };
        let name = file_name(folder.as_fd(), &item.id);
        let found = self.comparer.difference(folder.as_fd(), &name, document.as_ref());
        !matches!(found, None | Some(Found::Rights { .. }))
    }

    /// What could be accepted of an item, and where it is from: what stands in its place, if that is not as blessed (`None`: nothing, so
    /// that it would be removed); else what stood there before it was restored.
    ///
    /// # Errors
    /// A sentence where the folder is not the agent's, or the copy cannot be read.
    pub fn candidate(
        &mut self,
        quarantine: &Quarantine,
        item: &Item,
        former: Option<&Former>,
    ) -> Result<Option<(Option<Document>, String)>, String> {
        let root = self.root.clone();
        let [jobs, plugins] = &mut self.folders;
        let folder = if item.kind == DefinitionKind::Job { jobs } else { plugins };
        let document = folder.blessed.get(&item.id).cloned();
        let found = match folder.open(&root) {
            Ok(open) => {
                let name = file_name(open.as_fd(), &item.id);
                self.comparer.difference(open.as_fd(), &name, document.as_ref())
            }
            Err(Unusable::Missing) => document.map(|_| Found::Missing),
            Err(Unusable::NotOurs(why)) => return Err(format!("The folder of {item} {why}")),
        };
        Ok(match (found, former) {
            (Some(Found::Bytes { content, .. }), _) => {
                Some((Some(content.as_slice().into()), format!("{item}{EXTENSION}")))
            }
            (Some(Found::Missing), _) | (None | Some(Found::Rights { .. }), Some(Former::Nothing)) => {
                Some((None, format!("{item}{EXTENSION} (deleted)")))
            }
            (None | Some(Found::Rights { .. }), Some(former @ (Former::Copy(_) | Former::NewestCopy))) => {
                let copy = match former {
                    Former::Copy(copy) => Some(copy.as_str()),
                    Former::NewestCopy | Former::Nothing => quarantine.copies(item).next(),
                };
                let Some(copy) = copy else { return Ok(None) };
                Some((Some(quarantine.read(copy)?.into()), format!("{PLACE}/{copy}")))
            }
            (Some(Found::Other { .. }), _) | (None | Some(Found::Rights { .. }), None) => None,
        })
    }

    /// Puts an item right: moves away what stands there, unless only its rights are wrong, and writes what is blessed, if anything is.
    /// Does nothing where it stands there as it should.
    ///
    /// # Errors
    /// A sentence; what stood there may have been moved away already.
    pub fn restore(&mut self, quarantine: &mut Quarantine, item: &Item, at: WallTime) -> Result<Moved, String> {
        let root = self.root.clone();
        let document = self.folder_mut(item.kind).blessed.get(&item.id).cloned();
        let folder = if document.is_some() {
            self.folder(item.kind).map_err(|error| error.to_string())?
        } else {
            match self.folder_mut(item.kind).open(&root) {
                Ok(folder) => folder,
                Err(Unusable::Missing) => return Ok(Moved::default()),
                Err(Unusable::NotOurs(why)) => return Err(format!("The folder of {item} {why}")),
            }
        };
        let name = file_name(folder.as_fd(), &item.id);
        let Some(found) = self.comparer.difference(folder.as_fd(), &name, document.as_ref()) else {
            return Ok(Moved::default());
        };
        let moved = match found {
            Found::Missing | Found::Rights { .. } => Moved::default(),
            Found::Bytes { .. } | Found::Other { .. } => quarantine.take(folder.as_fd(), &name, item, at)?,
        };
        if let Some(document) = document {
            let name = format!("{}{EXTENSION}", item.id);
            durable::replace(folder.as_fd(), &name, &document, Mode::from_raw_mode(MODE)).map_err(|error| {
                format!("{item} cannot be written: {error}. Make room, or look at the disk; it is tried again with each sweep.")
            })?;
        }
        Ok(moved)
    }
}

impl Folder {
    /// The folder that stands there now, if it is the one of the start.
    fn open(&mut self, root: &Root) -> Result<OwnedFd, Unusable> {
        let folder = match root.folder(&self.place) {
            Ok(folder) => folder,
            Err(RootError::Failed { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Unusable::Missing);
            }
            Err(error) => {
                return Err(Unusable::NotOurs(format!("cannot be opened: {error}. Put the agent's own folder back.")));
            }
        };
        let stat = fstat(&folder).map_err(|error| Unusable::NotOurs(format!("cannot be looked at: {error}")))?;
        match &self.held {
            Some(held) if (held.device, held.inode) == (stat.st_dev, stat.st_ino) => Ok(folder),
            Some(_) => Err(Unusable::NotOurs(String::from(
                "is not the one that the agent opened at its start: it was replaced or mounted over. Put the first one back, or \
                 restart the agent if this one is meant.",
            ))),
            None => self.hold(folder, &stat),
        }
    }

    fn hold(&mut self, folder: OwnedFd, stat: &Stat) -> Result<OwnedFd, Unusable> {
        if let Some(why) = files::unsafe_because(stat, Privacy::Guarded) {
            return Err(Unusable::NotOurs(why));
        }
        let kept = folder.try_clone().map_err(|error| Unusable::NotOurs(format!("cannot be kept open: {error}")))?;
        self.held = Some(Held { _folder: kept, device: stat.st_dev, inode: stat.st_ino });
        Ok(folder)
    }

    /// The same, made where it is missing: whoever deletes the folder deletes its files, which come back.
    fn open_or_make(&mut self, root: &Root) -> Result<OwnedFd, String> {
        match self.open(root) {
            Ok(folder) => return Ok(folder),
            Err(Unusable::NotOurs(why)) => return Err(why),
            Err(Unusable::Missing) => {}
        }
        let (above, name) = self.place.rsplit_once('/').unwrap_or(("", &self.place));
        let above = root.folder(above).map_err(|error| format!("cannot be made: {error}"))?;
        mkdirat(&above, name, Mode::from_raw_mode(0o755)).map_err(|error| {
            format!("was deleted and cannot be made again: {error}. Make it, owned by the agent's user.")
        })?;
        self.held = None;
        self.open(root).map_err(|unusable| match unusable {
            Unusable::Missing => String::from("was deleted again as soon as it was made. See who does it."),
            Unusable::NotOurs(why) => why,
        })
    }

    fn look(
        &mut self,
        root: &Root,
        names: Option<Vec<OsString>>,
        comparer: &mut Comparer,
        room: &mut usize,
        survey: &mut Survey,
    ) {
        let kind = self.kind;
        let folder = match self.open(root) {
            Ok(folder) => folder,
            Err(Unusable::Missing) => {
                survey.differences.extend(
                    self.blessed
                        .keys()
                        .map(|id| Difference { item: Item::new(kind, id.clone()), found: Found::Missing }),
                );
                return;
            }
            Err(Unusable::NotOurs(why)) => {
                let why = format!("The folder {} {why}", root.path().join(&self.place).display());
                return survey.folders.push((kind, why));
            }
        };
        let mut see = |item: Item, name: &OsStr, document: Option<&Document>| {
            let Some(mut found) = comparer.difference(folder.as_fd(), name, document) else { return };
            if let Found::Bytes { content, trace } = &mut found {
                match room.checked_sub(content.len()) {
                    Some(left) => *room = left,
                    None => {
                        let what = format!("has {} other bytes, and too much differs to show all of it", content.len());
                        found = Found::Other { what, trace: take(trace) };
                    }
                }
            }
            survey.differences.push(Difference { item, found });
        };
        let Some(names) = names else {
            for (id, document) in &self.blessed {
                let name = format!("{id}{EXTENSION}");
                see(Item::new(kind, id.clone()), OsStr::new(&name), Some(document));
            }
            match strays(folder.as_fd(), &self.blessed) {
                Ok(strays) => {
                    for (id, name) in strays.found {
                        see(Item::new(kind, id), &name, None);
                    }
                    survey.left_out = survey.left_out.saturating_add(strays.left_out);
                    let told = |name: &String| put_aside(&root.path().join(&self.place).join(name));
                    self.notices.extend(strays.aside.difference(&self.aside).map(told));
                    self.aside = strays.aside;
                }
                Err(error) => {
                    let why =
                        format!("The folder {} cannot be listed: {error}.", root.path().join(&self.place).display());
                    survey.folders.push((kind, why));
                }
            }
            return;
        };
        for name in names {
            if let Some(item) = item(kind, &name) {
                let document = self.blessed.get(&item.id);
                see(item, &name, document);
            }
        }
    }
}
