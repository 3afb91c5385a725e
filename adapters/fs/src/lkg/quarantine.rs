//! `state/quarantine/`: what stood where something else was blessed. Moved there as it is, never executed, the oldest deleted first.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use castellan_core::event::DefinitionKind;
use castellan_core::limits::DOCUMENT_BYTES;
use castellan_core::lkg::{Item, Quarantined};
use castellan_core::time::WallTime;
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2, readlinkat, renameat, statat,
    symlinkat, unlinkat,
};
use rustix::io::Errno;

use crate::error::RootError;
use crate::files;
use crate::root::Root;

/// Relative to the root.
pub(super) const PLACE: &str = "state/quarantine";
/// What is kept: weeks of mistakes, or some minutes of a fight.
const KEPT: usize = 1000;
/// Bytes of it together.
const KEPT_BYTES: u64 = 256 << 20;
/// Bytes of a file that is copied from another file system; a larger one is none that anybody meant as a definition.
const COPIED_BYTES: u64 = 16 << 20;
/// Letters of an item's name in a name here, so that the whole is one that every file system takes.
const STEM_LETTERS: usize = 64;
/// One byte more than a definition may have.
const READ_BYTES: u64 = DOCUMENT_BYTES as u64 + 1;
/// Nesting of folders that are deleted here, so that it ends.
const DEPTH: u32 = 64;

/// What became of something that was in the way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Moved {
    /// Its name in the quarantine; `None` where nothing was moved.
    pub name: Option<String>,
    /// How many older copies were deleted to make room.
    pub deleted: usize,
    /// Why there is too much nevertheless, as a sentence.
    pub note: Option<String>,
}

/// The quarantine; there is one, which is the only one that writes there.
#[derive(Debug)]
pub struct Quarantine {
    folder: OwnedFd,
    /// Name and bytes; names begin with the time, so the first is the oldest.
    kept: BTreeMap<String, u64>,
}

impl Quarantine {
    /// Opens it and weighs what is there.
    ///
    /// # Errors
    /// [`RootError`] where it cannot be opened or listed.
    pub fn open(root: &Root) -> Result<Self, RootError> {
        let path = root.path().join(PLACE);
        let folder = root.folder(PLACE)?;
        let mut kept = BTreeMap::new();
        for entry in Dir::read_from(&folder).map_err(RootError::failed("list", &path))? {
            let entry = entry.map_err(RootError::failed("list", &path))?;
            let name = entry.file_name().to_bytes();
            if let Some(name) = std::str::from_utf8(name).ok().filter(|name| !matches!(*name, "." | "..")) {
                // What cannot be weighed still counts as one.
                kept.insert(name.to_owned(), tree(folder.as_fd(), OsStr::new(name), Deed::Weigh, DEPTH).unwrap_or(0));
            }
        }
        Ok(Self { folder, kept })
    }

    /// Moves whatever has this name into the quarantine: links as links, folders with what is in them.
    ///
    /// # Errors
    /// A sentence; it stays where it is.
    pub(crate) fn take(
        &mut self,
        from: BorrowedFd<'_>,
        name: &OsStr,
        item: &Item,
        at: WallTime,
    ) -> Result<Moved, String> {
        let target = self.free_name(item, at);
        let moved = match renameat(from, name, &self.folder, &*target) {
            Err(Errno::XDEV) => copy_over(from, name, self.folder.as_fd(), &target),
            moved => moved.map_err(io::Error::from),
        };
        match moved {
            Ok(()) => {}
            // Somebody else took it away.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Moved::default()),
            Err(error) => {
                return Err(format!(
                    "What stands at {item} cannot be moved to {PLACE}: {error}. Move it away by hand; it is tried again with each sweep."
                ));
            }
        }
        let bytes = tree(self.folder.as_fd(), OsStr::new(&target), Deed::Weigh, DEPTH).unwrap_or(0);
        self.kept.insert(target.clone(), bytes);
        let (deleted, note) = self.make_room(&target);
        Ok(Moved { name: Some(target), deleted, note })
    }

    /// `20261122T143000.123Z-Jobs-scan-000`.
    fn free_name(&self, item: &Item, at: WallTime) -> String {
        let time: String = at.to_rfc3339().chars().filter(|letter| !matches!(letter, '-' | ':')).collect();
        let start = format!("{time}-{}-{}", item.kind.folder(), stem(&item.id));
        let mut names = (0_u64..).map(|number| format!("{start}-{number:03}"));
        names.find(|name| !self.kept.contains_key(name)).unwrap_or(start)
    }

    /// Deletes the oldest until the rest is within its bounds; how many were deleted, and which could not be.
    fn make_room(&mut self, newest: &str) -> (usize, Option<String>) {
        let mut bytes = self.kept.values().fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
        let (mut deleted, mut failed) = (0_usize, None);
        for (name, weight) in self.kept.clone() {
            if self.kept.len() <= KEPT && bytes <= KEPT_BYTES {
                break;
            }
            if name == newest {
                continue;
            }
            match tree(self.folder.as_fd(), OsStr::new(&name), Deed::Delete, DEPTH) {
                Ok(_) => {
                    self.kept.remove(&name);
                    bytes = bytes.saturating_sub(weight);
                    deleted = deleted.saturating_add(1);
                }
                Err(error) => {
                    failed = Some(format!("{PLACE} is full and {name} cannot be deleted: {error}. Delete it by hand."))
                }
            }
        }
        (deleted, failed)
    }

    /// The names of what stood in the place of an item, newest first.
    pub fn copies(&self, item: &Item) -> impl Iterator<Item = &str> {
        let (folder, stem) = (item.kind.folder(), stem(&item.id));
        self.kept.keys().rev().map(String::as_str).filter(move |name| {
            parts(name).is_some_and(|(_time, kind, of)| (kind.folder(), of) == (folder, stem.as_str()))
        })
    }

    /// Everything that is kept, newest first; entries that others made there are not among it.
    pub fn list(&self) -> Vec<Quarantined> {
        let entry = |(name, bytes): (&String, &u64)| {
            let (time, kind, stem) = parts(name)?;
            Some(Quarantined { name: name.clone(), item: Item::new(kind, stem), time, bytes: *bytes })
        };
        self.kept.iter().rev().filter_map(entry).collect()
    }

    /// The bytes of a copy.
    ///
    /// # Errors
    /// A sentence where it is gone, is no file, or is larger than a definition may be.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let failed = |error: io::Error| format!("{PLACE}/{name} cannot be read: {error}.");
        let stat = statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|error| failed(error.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(format!("{PLACE}/{name} is {}, which is no definition.", files::kind(&stat)));
        }
        let file = openat(&self.folder, name, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
        let mut bytes = Vec::new();
        File::from(file).take(READ_BYTES).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() > DOCUMENT_BYTES {
            return Err(format!("{PLACE}/{name} has more than the {DOCUMENT_BYTES} bytes of a definition."));
        }
        Ok(bytes)
    }
}

/// Time, kind and stem of a name that was made by [`Quarantine::free_name`].
fn parts(name: &str) -> Option<(String, DefinitionKind, &str)> {
    let (time, rest) = name.split_once('-')?;
    let (folder, rest) = rest.split_once('-')?;
    let (stem, number) = rest.rsplit_once('-')?;
    let kind = [DefinitionKind::Job, DefinitionKind::Plugin].into_iter().find(|kind| kind.folder() == folder)?;
    number.parse::<u64>().ok()?;
    let part = |from: usize, to: usize| time.get(from..to);
    let date = [part(0, 4)?, part(4, 6)?, part(6, 8)?].join("-");
    let clock = [part(9, 11)?, part(11, 13)?, time.get(13..)?].join(":");
    Some((format!("{date}T{clock}"), kind, stem))
}

/// An id as it is; any other name with an underscore, which no id has, for what could mislead.
fn stem(id: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.');
    let mut stem: String =
        id.chars().take(STEM_LETTERS).map(|letter| if plain(letter) { letter } else { '_' }).collect();
    if id.is_empty() || id.chars().nth(STEM_LETTERS).is_some() {
        stem.push('_');
    }
    stem
}

/// For a folder on another file system, from which nothing can be renamed to here. Where it fails no copy is left, as each try would
/// leave one that nobody counts.
fn copy_over(from: BorrowedFd<'_>, name: &OsStr, to: BorrowedFd<'_>, target: &str) -> io::Result<()> {
    let copied = copy(from, name, to, target).and_then(|()| Ok(unlinkat(from, name, AtFlags::empty())?));
    let Err(error) = copied else { return Ok(()) };
    Err(match unlinkat(to, target, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => error,
        Err(left) => {
            io::Error::new(error.kind(), format!("{error}; and {PLACE}/{target} could not be removed: {left}"))
        }
    })
}

/// A link as a link, a file with its bytes.
fn copy(from: BorrowedFd<'_>, name: &OsStr, to: BorrowedFd<'_>, target: &str) -> io::Result<()> {
    let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => symlinkat(readlinkat(from, name, Vec::new())?, to, target)?,
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = openat(from, name, flags, Mode::empty())?;
            if u64::try_from(fstat(&file)?.st_size).is_ok_and(|size| size > COPIED_BYTES) {
                return Err(io::Error::other(format!("it has more than {COPIED_BYTES} bytes, on another file system")));
            }
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut copy = File::from(openat(to, target, flags, Mode::RUSR | Mode::WUSR)?);
            io::copy(&mut File::from(file).take(COPIED_BYTES), &mut copy)?;
        }
        FileType::Directory
        | FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => {
            return Err(io::Error::other(format!("it is {} on another file system", files::kind(&stat))));
        }
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Deed {
    Weigh,
    Delete,
}

/// Weighs or deletes an entry with everything below it. Never leaves the file system through a link or a mount: what somebody
/// mounted below is not ours to delete.
fn tree(folder: BorrowedFd<'_>, name: &OsStr, deed: Deed, depth: u32) -> io::Result<u64> {
    let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let mut bytes = u64::try_from(stat.st_size).unwrap_or(0);
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        if deed == Deed::Delete {
            unlinkat(folder, name, AtFlags::empty())?;
        }
        return Ok(bytes);
    }
    let Some(depth) = depth.checked_sub(1) else {
        return Err(io::Error::other(format!("it is nested more than {DEPTH} folders deep")));
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let below = openat2(folder, name, flags, Mode::empty(), resolve)?;
    for entry in Dir::read_from(&below)? {
        let name = OsString::from_vec(entry?.file_name().to_bytes().to_vec());
        if !matches!(name.as_bytes(), b"." | b"..") {
            bytes = bytes.saturating_add(tree(below.as_fd(), &name, deed, depth)?);
        }
    }
    if deed == Deed::Delete {
        unlinkat(folder, name, AtFlags::REMOVEDIR)?;
    }
    Ok(bytes)
}
