//! The agent root: made, checked, locked.

use std::fmt;
use std::fs::{DirBuilder, File};
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use castellan_core::limits::DOCUMENT_BYTES;
use rustix::fs::{FlockOperation, Mode, OFlags, fchmod, flock, fstat, mkdirat, openat};
use rustix::io::Errno;

use crate::durable;
use crate::error::RootError;
use crate::files::{self, Privacy, Unread, open_folder, unsafe_because};

/// Rights of a folder that everybody may look into.
const OPEN: u32 = 0o755;
/// Rights of a folder of the agent alone.
const CLOSED: u32 = 0o700;
/// What `castellan run` makes where it is missing (contract section 1); parents first.
const FOLDERS: [(&str, u32); 12] = [
    ("Jobs", OPEN),
    ("Jobs/bin", OPEN),
    ("Plugins", OPEN),
    ("Plugins/bin", OPEN),
    ("Policies", OPEN),
    ("state", CLOSED),
    ("state/logs", CLOSED),
    ("state/audit", CLOSED),
    ("state/admin", CLOSED),
    ("state/keys", CLOSED),
    ("state/lkg", CLOSED),
    ("state/quarantine", CLOSED),
];
/// Bytes of `state/lock` and `state/boot`: a number each.
const NUMBER_BYTES: usize = 64;

/// The agent root, locked for this process for as long as a copy of it lives. Copies are cheap and mean the same root.
#[derive(Clone)]
pub struct Root(Arc<Open>);

struct Open {
    path: PathBuf,
    folder: OwnedFd,
    boot: u64,
    lock: File,
}

impl Drop for Open {
    fn drop(&mut self) {
        // Closing alone would leave the lock with a child that is just being started and has not closed its copy yet.
        // Where this fails, the end of this process gives the lock back.
        drop(flock(&self.lock, FlockOperation::Unlock).map_err(std::io::Error::from));
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Root").field("path", &self.0.path).field("boot", &self.0.boot).finish_non_exhaustive()
    }
}

impl Root {
    /// Makes what is missing below `path`, checks who may change it, locks it and counts this start.
    ///
    /// # Errors
    /// [`RootError::Locked`] where another agent runs on it, [`RootError::Unsafe`] where somebody else may change it.
    pub fn open(path: &Path) -> Result<Self, RootError> {
        DirBuilder::new()
            .recursive(true)
            .mode(OPEN)
            .create(path)
            .map_err(RootError::failed("make the agent root", path))?;
        Self::take(path, count_boot)
    }

    /// The root of an agent that ran before and does not run now, for work on its files; locked, and not counted as a start.
    ///
    /// # Errors
    /// As [`Root::open`], and [`RootError::Invalid`] where no agent ever ran there.
    pub fn open_stopped(path: &Path) -> Result<Self, RootError> {
        if path.join("state/boot").exists() {
            return Self::take(path, |_, _| Ok(0));
        }
        let what = String::from("is no agent root: no agent ever ran there. Name another one with --root.");
        Err(RootError::Invalid { path: path.to_owned(), what })
    }

    fn take(
        path: &Path,
        boot: impl FnOnce(BorrowedFd<'_>, &Path) -> Result<u64, RootError>,
    ) -> Result<Self, RootError> {
        let path = path.canonicalize().map_err(RootError::failed("find the agent root", path))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(&path, flags, Mode::empty()).map_err(RootError::failed("open", &path))?;
        check(&folder, &path)?;
        for (name, mode) in FOLDERS {
            make_folder(folder.as_fd(), &path, name, mode)?;
        }
        let state = open_folder(folder.as_fd(), "state").map_err(RootError::failed("open", &path.join("state")))?;
        let lock = lock(state.as_fd(), &path.join("state/lock"))?;
        let boot = boot(state.as_fd(), &path.join("state/boot"))?;
        Ok(Self(Arc::new(Open { path, folder, boot, lock })))
    }

    /// Its absolute path, links resolved.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// How often an agent was started on this root, this time included; makes run ids unique over restarts.
    pub fn boot(&self) -> u64 {
        self.0.boot
    }

    /// The bytes of `appsettings.json`; `None` where there is none.
    ///
    /// # Errors
    /// [`RootError`] where it is there and cannot be read, or somebody else may change it.
    pub fn read_settings(&self) -> Result<Option<Vec<u8>>, RootError> {
        self.read("", "appsettings.json", DOCUMENT_BYTES, Privacy::Guarded)
    }

    /// Opens the folder `place` (relative, `/` between parts, empty for the root itself), following no link on the way.
    pub(crate) fn folder(&self, place: &str) -> Result<OwnedFd, RootError> {
        let folder = self.0.folder.try_clone().map_err(RootError::failed("open", &self.0.path))?;
        folder_below(folder, &self.0.path, place)
    }

    /// Reads a file below the root.
    pub(crate) fn read(
        &self,
        place: &str,
        name: &str,
        limit: usize,
        privacy: Privacy,
    ) -> Result<Option<Vec<u8>>, RootError> {
        files::read_in(self.folder(place)?.as_fd(), &self.0.path.join(place), name, limit, privacy)
    }

    /// Replaces a file below the root durably.
    pub(crate) fn replace(&self, place: &str, name: &str, bytes: &[u8], mode: u32) -> Result<(), RootError> {
        let path = self.0.path.join(place).join(name);
        durable::replace(self.folder(place)?.as_fd(), name, bytes, Mode::from_raw_mode(mode))
            .map_err(RootError::failed("write", &path))
    }

    /// Removes a file below the root durably; one that is not there is removed already.
    pub(crate) fn remove(&self, place: &str, name: &str) -> Result<(), RootError> {
        let path = self.0.path.join(place).join(name);
        durable::remove(self.folder(place)?.as_fd(), name).map_err(RootError::failed("remove", &path))
    }
}

/// Opens the folder `place` below an open one, following no link on the way.
pub(crate) fn folder_below(mut folder: OwnedFd, root: &Path, place: &str) -> Result<OwnedFd, RootError> {
    let mut path = root.to_owned();
    for part in place.split('/').filter(|part| !part.is_empty()) {
        path.push(part);
        if !durable::is_plain_name(part) {
            let what = String::from("is not a folder below the agent root. Name one without dots in front.");
            return Err(RootError::Invalid { path, what });
        }
        folder = open_folder(folder.as_fd(), part).map_err(RootError::failed("open the folder", &path))?;
    }
    Ok(folder)
}

/// Refuses a folder that others may change.
pub(crate) fn check(folder: &OwnedFd, path: &Path) -> Result<(), RootError> {
    let stat = fstat(folder).map_err(RootError::failed("look at", path))?;
    match unsafe_because(&stat, Privacy::Guarded) {
        Some(what) => Err(RootError::Unsafe { path: path.to_owned(), what }),
        None => Ok(()),
    }
}

fn make_folder(root: BorrowedFd<'_>, root_path: &Path, place: &str, mode: u32) -> Result<(), RootError> {
    let path = root_path.join(place);
    let (parent, name) = place.rsplit_once('/').unwrap_or((".", place));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = if parent == "." {
        openat(root, ".", flags, Mode::empty()).map_err(Into::into)
    } else {
        open_folder(root, parent)
    };
    let parent = parent.map_err(RootError::failed("open the folder above", &path))?;
    match mkdirat(&parent, name, Mode::from_raw_mode(mode)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(RootError::failed("make the folder", &path)(error)),
    }
    let folder = open_folder(parent.as_fd(), name).map_err(RootError::failed("open the folder", &path))?;
    check(&folder, &path)?;
    if mode == CLOSED {
        fchmod(&folder, Mode::from_raw_mode(mode)).map_err(RootError::failed("close to others", &path))?;
    }
    Ok(())
}

/// Takes the root's lock; the kernel gives it back whenever this process ends.
fn lock(state: BorrowedFd<'_>, path: &Path) -> Result<File, RootError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(state, "lock", flags, Mode::RUSR | Mode::WUSR).map_err(RootError::failed("open", path))?;
    let mut file = File::from(file);
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            file.take(NUMBER_BYTES as u64).read_to_string(&mut holder).map_err(RootError::failed("read", path))?;
            return Err(RootError::Locked { path: path.to_owned(), holder: holder.trim().parse().ok() });
        }
        Err(error) => return Err(RootError::failed("lock", path)(error)),
    }
    let mut write = || {
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(format!("{}\n", std::process::id()).as_bytes())
    };
    write().map_err(RootError::failed("write", path))?;
    Ok(file)
}

/// Adds one to `state/boot`, on disk before it is used.
fn count_boot(state: BorrowedFd<'_>, path: &Path) -> Result<u64, RootError> {
    let last = match files::read(state, "boot", NUMBER_BYTES, Privacy::Guarded) {
        Ok(bytes) => std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse::<u64>().ok()),
        Err(Unread::Missing) => Some(0),
        Err(Unread::Refused(what)) => return Err(RootError::Unsafe { path: path.to_owned(), what }),
        Err(Unread::Failed(error)) => return Err(RootError::failed("read", path)(error)),
    };
    let Some(boot) = last.and_then(|last| last.checked_add(1)) else {
        let what = String::from(
            "does not hold the number of starts, which makes run ids unique. Write a number into it that is larger than \
             the first part of every run id in state/history.db.",
        );
        return Err(RootError::Invalid { path: path.to_owned(), what });
    };
    durable::replace(state, "boot", format!("{boot}\n").as_bytes(), Mode::RUSR | Mode::WUSR)
        .map_err(RootError::failed("write", path))?;
    Ok(boot)
}
