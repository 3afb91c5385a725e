//! One file held against one document. Bytes are compared, never times: those can be set.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use castellan_core::limits::DOCUMENT_BYTES;
use castellan_core::lkg::{Document, Found, Trace};
use castellan_core::time::WallTime;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};
use rustix::io::Errno;

use super::watch::Looks;
use crate::definitions::MODE;
use crate::files;

/// What a comparison needs.
#[derive(Debug)]
pub(super) struct Comparer {
    /// For one file and a byte more; allocated once.
    buffer: Vec<u8>,
    looks: Arc<Looks>,
}

impl Comparer {
    pub(super) fn new(looks: Arc<Looks>) -> Self {
        Self { buffer: vec![0; DOCUMENT_BYTES + 1], looks }
    }

    /// What stands there instead of the document; `None` where it is the document, as the agent writes it.
    pub(super) fn difference(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &OsStr,
        document: Option<&Document>,
    ) -> Option<Found> {
        let missing = || document.map(|_| Found::Missing);
        let unreadable = |error: Errno, trace| Some(Found::Other { what: format!("cannot be read: {error}"), trace });
        // Looked at before it is opened, because opening alone has effects on a device.
        let stat = match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return missing(),
            Err(error) => return unreadable(error, Trace::default()),
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Some(Found::Other { what: what(folder, name, &stat), trace: self.trace(&stat) });
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match openat(folder, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return missing(),
            Err(error) => return unreadable(error, self.trace(&stat)),
        };
        // Looked at again: this is what was opened.
        let (length, stat) =
            match fstat(&file).and_then(|stat| Ok((read(file.as_fd(), &stat, &mut self.buffer)?, stat))) {
                Ok(found) => found,
                Err(error) => return unreadable(error, self.trace(&stat)),
            };
        let trace = self.trace(&stat);
        let other = |what| Some(Found::Other { what, trace: trace.clone() });
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return other(what(folder, name, &stat));
        }
        if stat.st_nlink > 1 {
            return other(format!("has {} hard links, so that it can be changed under another name", stat.st_nlink));
        }
        if length > DOCUMENT_BYTES {
            return other(format!("has {} bytes; at most {DOCUMENT_BYTES} are read", stat.st_size));
        }
        let bytes = self.buffer.get(..length).unwrap_or_default();
        if document.is_none_or(|document| **document != *bytes) {
            return Some(Found::Bytes { content: Arc::new(bytes.to_vec()), trace });
        }
        let mode = Mode::from_raw_mode(stat.st_mode).bits() & 0o7777;
        let own = rustix::process::geteuid().as_raw();
        if (mode, stat.st_uid) == (MODE, own) {
            return None;
        }
        let what = format!("has mode {mode:04o} and owner {}, not {MODE:04o} and {own}", stat.st_uid);
        Some(Found::Rights { what, trace })
    }

    fn trace(&self, stat: &Stat) -> Trace {
        let millis = i64::try_from(stat.st_mtime_nsec / 1_000_000).unwrap_or(0);
        let modified = WallTime::from_millis(stat.st_mtime.saturating_mul(1000).saturating_add(millis));
        let writer = self.looks.writers.of(stat.st_dev, stat.st_ino);
        Trace { owner: Some(stat.st_uid), modified: Some(modified.to_rfc3339()), writer }
    }
}

/// Reads a file into the buffer, which has room for one byte more than a document may have: how many bytes came.
fn read(file: BorrowedFd<'_>, stat: &Stat, buffer: &mut [u8]) -> rustix::io::Result<usize> {
    let size = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
    let mut length = 0_usize;
    while let Some(room) = buffer.get_mut(length..).filter(|room| !room.is_empty()) {
        let more = rustix::io::read(file, room)?;
        length = length.saturating_add(more);
        // What is appended after this look is told by an event of its own.
        if more == 0 || length == size {
            break;
        }
    }
    Ok(length)
}

/// What an entry that is no file is, as a phrase that follows its name; a link with where it leads.
fn what(folder: BorrowedFd<'_>, name: &OsStr, stat: &Stat) -> String {
    let kind = files::kind(stat);
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        return format!("is {kind}");
    }
    match readlinkat(folder, name, Vec::new()) {
        Ok(target) => format!("is {kind} to '{}'", String::from_utf8_lossy(target.to_bytes())),
        Err(error) => format!("is {kind} that cannot be read: {error}"),
    }
}
