//! Opening folders and files of the root so that nothing but the thing itself is opened (security.md section 5, "Reading").

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, openat, statat};
use rustix::io::Errno;

use crate::error::RootError;

/// Who may have which rights to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Privacy {
    /// Only root and the agent's own user may change it.
    Guarded,
    /// Only the owner may even read it.
    Secret,
}

/// Why `stat` belongs to nobody who may be trusted with it; a phrase that follows the path.
pub(crate) fn unsafe_because(stat: &Stat, privacy: Privacy) -> Option<String> {
    let mode = Mode::from_raw_mode(stat.st_mode).bits() & 0o7777;
    let own = rustix::process::geteuid().as_raw();
    if stat.st_uid != 0 && stat.st_uid != own {
        return Some(format!(
            "belongs to user {}; it must belong to root or to user {own}, as whom the agent runs. Change it with chown.",
            stat.st_uid
        ));
    }
    let (forbidden, fix) = match privacy {
        Privacy::Guarded => (0o022, "may be changed by others (mode {mode}). Take that away with chmod go-w."),
        Privacy::Secret => (0o077, "may be read or changed by others (mode {mode}). Take that away with chmod 600."),
    };
    (mode & forbidden != 0).then(|| fix.replace("{mode}", &format!("{mode:04o}")))
}

/// Opens a folder by its own name, following no link.
pub(crate) fn open_folder(parent: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(parent, name, flags, Mode::empty())?)
}

/// What a directory entry is, for people.
pub(crate) fn kind(stat: &Stat) -> &'static str {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice => "a character device",
        FileType::BlockDevice => "a block device",
        FileType::Unknown => "something unknown",
    }
}

/// Why this entry is not read; a phrase that follows the path.
fn refused(stat: &Stat, limit: usize, privacy: Privacy) -> Option<String> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Some(format!("is {}, not a regular file; it is not opened.", kind(stat)));
    }
    if stat.st_nlink != 1 {
        return Some(format!(
            "has {} hard links; a file that can be changed under another name is not read. Replace it with a copy.",
            stat.st_nlink
        ));
    }
    let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
    if size > limit as u64 {
        return Some(format!("has {size} bytes; at most {limit} are read."));
    }
    unsafe_because(stat, privacy)
}

/// Why a file was not read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// There is none.
    Missing,
    /// It is not what may be read; a phrase that follows the path.
    Refused(String),
    /// The system refused.
    Failed(io::Error),
}

impl From<Errno> for Unread {
    fn from(error: Errno) -> Self {
        match error {
            Errno::NOENT => Self::Missing,
            Errno::LOOP => Self::Refused(String::from("is a symbolic link, not a regular file; it is not opened.")),
            other => Self::Failed(other.into()),
        }
    }
}

/// How often a file is tried again that was replaced between the look at it and its opening.
const REPLACED_TRIES: usize = 8;

/// Reads a regular file of at most `limit` bytes that has one name only. Never blocks, whatever is there.
pub(crate) fn read(folder: BorrowedFd<'_>, name: &str, limit: usize, privacy: Privacy) -> Result<Vec<u8>, Unread> {
    read_owned(folder, name, limit, privacy).map(|(bytes, _)| bytes)
}

/// The same with the user id that the file belongs to.
pub(crate) fn read_owned(
    folder: BorrowedFd<'_>,
    name: &str,
    limit: usize,
    privacy: Privacy,
) -> Result<(Vec<u8>, u32), Unread> {
    for _ in 0..REPLACED_TRIES {
        // Looked at before it is opened, because opening alone has effects on a device.
        let before = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if before.st_nlink == 0 {
            // Replaced between the look-up of the name and the look at the file.
            continue;
        }
        if let Some(reason) = refused(&before, limit, privacy) {
            return Err(Unread::Refused(reason));
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = openat(folder, name, flags, Mode::empty())?;
        // Looked at again: this is what was opened. Without a name it was replaced in between.
        let opened = fstat(file.as_fd())?;
        if opened.st_nlink == 0 {
            continue;
        }
        return match refused(&opened, limit, privacy) {
            Some(reason) => Err(Unread::Refused(reason)),
            None => read_all(file, limit).map(|bytes| (bytes, opened.st_uid)),
        };
    }
    Err(Unread::Refused(format!("was replaced {REPLACED_TRIES} times while it was opened. Try again.")))
}

/// The same of a file in the folder at `place`; `None` where there is none.
///
/// # Errors
/// [`RootError`] where it is not what may be read, or cannot be.
pub(crate) fn read_in(
    folder: BorrowedFd<'_>,
    place: &Path,
    name: &str,
    limit: usize,
    privacy: Privacy,
) -> Result<Option<Vec<u8>>, RootError> {
    match read(folder, name, limit, privacy) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Unread::Missing) => Ok(None),
        Err(Unread::Refused(what)) => Err(RootError::Unsafe { path: place.join(name), what }),
        Err(Unread::Failed(error)) => Err(RootError::failed("read", &place.join(name))(error)),
    }
}

/// All of a file, unless it has grown beyond `limit`.
fn read_all(file: OwnedFd, limit: usize) -> Result<Vec<u8>, Unread> {
    let mut bytes = Vec::new();
    let one_more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    File::from(file).take(one_more).read_to_end(&mut bytes).map_err(Unread::Failed)?;
    if bytes.len() > limit {
        return Err(Unread::Refused(format!("grew while it was read; at most {limit} bytes are read.")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
