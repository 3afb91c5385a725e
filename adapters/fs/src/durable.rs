//! Writing so that after a crash at any instant the old content or the new one stands under the name, never a part.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Mode, OFlags, fchmod, fsync, openat, renameat, unlinkat};
use rustix::io::Errno;

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
