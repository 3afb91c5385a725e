//! `state/lkg/`: the folder of references, opened anew by each call, so that one that was replaced is not written through.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use castellan_core::limits::DOCUMENT_BYTES;
use castellan_core::lkg::NotWritten;
use castellan_core::lkg::vault::{Disk, Stamp};
use rustix::fs::{AtFlags, Dir, Mode, fsync, statat};
use rustix::io::Errno;

use crate::durable::{self, Unsynced};
use crate::error::RootError;
use crate::files::Privacy;
use crate::root::Root;

const PLACE: &str = "state/lkg";
/// Bytes of one file that is read: a document with what is said of it, or a manifest of all items that there may be, each of
/// which takes less than 200 bytes.
const FILE_BYTES: usize = 32 * DOCUMENT_BYTES;
/// Rights of its files.
const MODE: Mode = Mode::from_raw_mode(0o600);

/// The folder.
#[derive(Debug)]
pub(super) struct Folder {
    root: Root,
    unsynced: Unsynced,
}

impl Folder {
    pub(super) fn new(root: &Root) -> Self {
        Self { root: root.clone(), unsynced: Unsynced::default() }
    }

    fn open(&self) -> Result<OwnedFd, RootError> {
        self.root.folder(PLACE)
    }

    fn failed<E: Into<io::Error>>(&self, doing: &'static str, name: &str) -> impl FnOnce(E) -> RootError + use<E> {
        RootError::failed(doing, &self.root.path().join(PLACE).join(name))
    }
}

impl Disk for Folder {
    fn list(&mut self) -> Result<BTreeMap<String, Stamp>, String> {
        let folder = self.open().map_err(|error| error.to_string())?;
        let mut found = BTreeMap::new();
        let mut list = || -> rustix::io::Result<()> {
            for entry in Dir::read_from(&folder)? {
                let entry = entry?;
                let name = entry.file_name();
                if name == c"." || name == c".." {
                    continue;
                }
                let stat = match statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => continue,
                    stat => stat?,
                };
                let changed = i128::from(stat.st_ctime)
                    .saturating_mul(1_000_000_000)
                    .saturating_add(i128::from(stat.st_ctime_nsec));
                let stamp =
                    Stamp { inode: stat.st_ino, size: u64::try_from(stat.st_size).unwrap_or(u64::MAX), changed };
                found.insert(name.to_string_lossy().into_owned(), stamp);
            }
            Ok(())
        };
        list().map_err(self.failed("list", "")).map_err(|error| error.to_string())?;
        Ok(found)
    }

    fn read(&mut self, name: &str) -> Result<Option<Vec<u8>>, String> {
        self.root.read(PLACE, name, FILE_BYTES, Privacy::Secret).map_err(|error| error.to_string())
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), NotWritten> {
        if !durable::is_plain_name(name) {
            return Err(NotWritten::because(format!("'{}' is no id that a file can have.", name.escape_default())));
        }
        let folder = self.open()?;
        durable::write_new(folder.as_fd(), name, bytes, MODE, &mut self.unsynced)
            .map_err(self.failed("write", name))
            .map_err(NotWritten::from)
    }

    fn sync(&mut self) -> Result<(), NotWritten> {
        let folder = self.open()?;
        self.unsynced
            .sync(folder.as_fd())
            .and_then(|()| Ok(fsync(&folder)?))
            .map_err(self.failed("bring to disk what was written in", ""))
            .map_err(NotWritten::from)
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> Result<(), NotWritten> {
        Ok(self.root.replace(PLACE, name, bytes, MODE.bits())?)
    }

    fn remove(&mut self, name: &str) -> Result<(), NotWritten> {
        let folder = self.open()?;
        durable::unlink(folder.as_fd(), name).map_err(self.failed("remove", name)).map_err(NotWritten::from)
    }
}
