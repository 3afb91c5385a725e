//! Writing so that after a crash at any instant the old content or the new one stands under the name, never a part.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use castellan_core::hexadecimal;
use ring::rand::{SecureRandom, SystemRandom};
use rustix::fs::{AtFlags, Mode, OFlags, fchmod, fsync, openat, renameat, syncfs, unlinkat};
use rustix::io::Errno;

use crate::error::RootError;

/// Whether `name` names a file in its folder and nothing else.
pub(crate) fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0'])
}

fn not_plain() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a plain file name")
}

/// So many files of one change are brought to disk one by one, which takes milliseconds each; the rest with all that their file system
/// has to write, of others too, which then is the shorter way.
const ONE_BY_ONE: usize = 64;

/// Bytes of chance in the name of a directory that is put aside.
const UNGUESSABLE_BYTES: usize = 8;

/// Files that were written and may not be on disk yet.
#[derive(Debug, Default)]
pub(crate) struct Unsynced {
    written: usize,
}

impl Unsynced {
    fn add(&mut self, file: &File) -> io::Result<()> {
        self.written = self.written.saturating_add(1);
        if self.written <= ONE_BY_ONE { file.sync_all() } else { Ok(()) }
    }

    /// Brings their contents to disk; `folder` is on the same file system. Tried once: what failed is not remembered.
    pub(crate) fn sync(&mut self, folder: BorrowedFd<'_>) -> io::Result<()> {
        let Self { written } = std::mem::take(self);
        if written > ONE_BY_ONE { Ok(syncfs(folder)?) } else { Ok(()) }
    }
}

/// Replaces `name` in `folder`, or makes it, and returns once it is on disk. Only the holder of the root's lock may call it.
pub(crate) fn replace(folder: BorrowedFd<'_>, name: &str, bytes: &[u8], mode: Mode) -> io::Result<()> {
    let mut unsynced = Unsynced::default();
    write_draft(folder, name, bytes, mode, &mut unsynced)
        .and_then(|()| unsynced.sync(folder))
        .or_else(|error| without_draft(folder, name, error))?;
    publish_draft(folder, name)?;
    Ok(fsync(folder)?)
}

/// The file that is to become `name`.
fn draft(name: &str) -> String {
    format!(".{name}.new")
}

/// The name that this draft is of.
pub(crate) fn drafted(draft: &str) -> Option<&str> {
    draft.strip_prefix('.')?.strip_suffix(".new")
}

/// Writes what is to become `name`; on disk once `unsynced` is.
pub(crate) fn write_draft(
    folder: BorrowedFd<'_>,
    name: &str,
    bytes: &[u8],
    mode: Mode,
    unsynced: &mut Unsynced,
) -> io::Result<()> {
    if !is_plain_name(name) {
        return Err(not_plain());
    }
    write_new(folder, &draft(name), bytes, mode, unsynced)
}

/// Gives the draft of `name` its name; not on disk yet. Where that fails the draft is gone.
pub(crate) fn publish_draft(folder: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    renameat(folder, &*draft(name), folder, name).or_else(|error| without_draft(folder, name, error.into()))
}

/// Gives the error back once the draft is removed.
fn without_draft(folder: BorrowedFd<'_>, name: &str, error: io::Error) -> io::Result<()> {
    Err(match drop_draft(folder, name) {
        Ok(()) => error,
        Err(left) => io::Error::new(error.kind(), format!("{error}; and its draft could not be removed: {left}")),
    })
}

/// Removes the draft of `name`; not on disk yet. A directory in its place is none, and stays.
pub(crate) fn drop_draft(folder: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    match unlink(folder, &draft(name)) {
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => Ok(()),
        result => result,
    }
}

/// Replaces a file outside of the agent root, or makes it, and returns once it is on disk; `mode` as in chmod(2).
///
/// # Errors
/// The folder cannot be written, or the path does not end in a plain name.
pub fn replace_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), RootError> {
    let failed = RootError::failed("write", path);
    let Some(name) = path.file_name().and_then(OsStr::to_str) else {
        return Err(failed(not_plain()));
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open(folder, flags, Mode::empty())
        .map_err(io::Error::from)
        .and_then(|folder| replace(folder.as_fd(), name, bytes, Mode::from_raw_mode(mode)))
        .map_err(failed)
}

/// Writes a new file in place of whatever has the name; its content is on disk once `unsynced` is.
pub(crate) fn write_new(
    folder: BorrowedFd<'_>,
    name: &str,
    bytes: &[u8],
    mode: Mode,
    unsynced: &mut Unsynced,
) -> io::Result<()> {
    make_room(folder, name)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(folder, name, flags, Mode::RUSR | Mode::WUSR)?);
    file.write_all(bytes)?;
    // Beyond the owner's rights only once it is whole; and whatever the umask says.
    fchmod(&file, mode)?;
    unsynced.add(&file)
}

/// Takes away what stands where a new file is to be. That is what a crash left, as there is one writer; but a directory is somebody's who
/// wants to be in the way, and is put aside under a name that nobody could have taken, unless it is empty.
fn make_room(folder: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    match unlink(folder, name) {
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
            if unlinkat(folder, name, AtFlags::REMOVEDIR).is_ok() {
                return Ok(());
            }
            let mut unguessable = [0; UNGUESSABLE_BYTES];
            let fill = SystemRandom::new().fill(&mut unguessable);
            fill.map_err(|_| io::Error::other("a directory is in the way, and the system gives no random numbers"))?;
            Ok(renameat(folder, name, folder, format!("{name}.{}", hexadecimal(&unguessable)))?)
        }
        result => result,
    }
}

/// Whether this is the name of a directory that was put aside for a draft.
pub(crate) fn is_put_aside(name: &str) -> bool {
    let unguessable = name.rsplit_once('.').filter(|(former, _)| drafted(former).is_some()).map(|(_, last)| last);
    unguessable
        .is_some_and(|last| last.len() == 2 * UNGUESSABLE_BYTES && last.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// Removes `name` from `folder` and returns once that is on disk. One that is not there is removed already.
pub(crate) fn remove(folder: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    if !is_plain_name(name) {
        return Err(not_plain());
    }
    unlink(folder, name)?;
    Ok(fsync(folder)?)
}

/// Removes a name; not on disk yet. One that is not there is removed already.
pub(crate) fn unlink(folder: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        result => Ok(result?),
    }
}
