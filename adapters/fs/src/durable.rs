//! Writing so that after a crash at any instant the old content or the new one stands under the name, never a part.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, fchmod, fsync, openat, renameat, unlinkat};
use rustix::io::Errno;

use crate::error::RootError;

/// Whether `name` names a file in its folder and nothing else.
pub(crate) fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0'])
}

fn not_plain() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a plain file name")
}

/// Replaces `name` in `folder`, or makes it, and returns once it is on disk. Only the holder of the root's lock may call it.
pub(crate) fn replace(folder: BorrowedFd<'_>, name: &str, bytes: &[u8], mode: Mode) -> io::Result<()> {
    if !is_plain_name(name) {
        return Err(not_plain());
    }
    let draft = format!(".{name}.new");
    // What a crash left behind; there is one writer, so it is nobody else's.
    unlink(folder, &draft)?;
    let written = write_draft(folder, &draft, bytes, mode).and_then(|()| Ok(renameat(folder, &*draft, folder, name)?));
    if let Err(error) = written {
        return Err(match unlink(folder, &draft) {
            Ok(()) => error,
            Err(left) => io::Error::new(error.kind(), format!("{error}; and {draft} could not be removed: {left}")),
        });
    }
    Ok(fsync(folder)?)
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

fn write_draft(folder: BorrowedFd<'_>, draft: &str, bytes: &[u8], mode: Mode) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(folder, draft, flags, Mode::RUSR | Mode::WUSR)?);
    file.write_all(bytes)?;
    // Beyond the owner's rights only once it is whole; and whatever the umask says.
    fchmod(&file, mode)?;
    file.sync_all()
}

/// Removes `name` from `folder` and returns once that is on disk. One that is not there is removed already.
pub(crate) fn remove(folder: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    if !is_plain_name(name) {
        return Err(not_plain());
    }
    unlink(folder, name)?;
    Ok(fsync(folder)?)
}

fn unlink(folder: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        result => Ok(result?),
    }
}
