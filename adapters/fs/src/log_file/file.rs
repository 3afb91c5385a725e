//! The log file itself, of bounded size: when it is full it becomes `agent.jsonl.1`, in place of the one before.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};

use castellan_core::log_message::LogRecord;
use rustix::fs::{FileType, Mode, OFlags, fchmod, fstat, openat, renameat};

use crate::error::RootError;
use crate::root::Root;

pub(crate) const NAME: &str = "agent.jsonl";
pub(crate) const OLD_NAME: &str = "agent.jsonl.1";
/// Bytes of one file, of which there are two.
const FILE_BYTES: u64 = 16 << 20;
/// Bytes gathered before they are written without waiting for a pause.
const GATHER_BYTES: usize = 64 << 10;

/// The open log file.
#[derive(Debug)]
pub(super) struct LogFile {
    folder: OwnedFd,
    file: File,
    size: u64,
    gathered: Vec<u8>,
    /// Records in `gathered`.
    records: u64,
    lost: u64,
}

impl LogFile {
    pub(super) fn open(root: &Root) -> Result<Self, RootError> {
        let folder = root.folder("state/logs")?;
        let path = root.path().join("state/logs").join(NAME);
        let (file, size) = open(&folder).map_err(RootError::failed("open", &path))?;
        Ok(Self { folder, file, size, gathered: Vec::new(), records: 0, lost: 0 })
    }

    /// Gathers a record; writes when much is gathered.
    pub(super) fn write(&mut self, record: &LogRecord) -> io::Result<()> {
        let line = serde_json::to_vec(record).map_err(io::Error::other)?;
        self.gathered.extend_from_slice(&line);
        self.gathered.push(b'\n');
        self.records = self.records.saturating_add(1);
        if self.gathered.len() >= GATHER_BYTES { self.flush() } else { Ok(()) }
    }

    /// Writes what is gathered. After an error it is lost and counted.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let result = self.rotate_if_full().and_then(|()| self.file.write_all(&self.gathered));
        let written = std::mem::take(&mut self.gathered).len() as u64;
        let records = std::mem::take(&mut self.records);
        match &result {
            Ok(()) => self.size = self.size.saturating_add(written),
            Err(_) => self.lost = self.lost.saturating_add(records),
        }
        result
    }

    /// Records lost since it was last asked.
    pub(super) const fn take_lost(&mut self) -> u64 {
        std::mem::replace(&mut self.lost, 0)
    }

    /// From now on it writes to `file` instead.
    #[cfg(test)]
    pub(super) fn redirect(&mut self, file: File) -> File {
        std::mem::replace(&mut self.file, file)
    }

    fn rotate_if_full(&mut self) -> io::Result<()> {
        if self.size == 0 || self.size.saturating_add(self.gathered.len() as u64) <= FILE_BYTES {
            return Ok(());
        }
        renameat(&self.folder, NAME, &self.folder, OLD_NAME)?;
        (self.file, self.size) = open(&self.folder)?;
        Ok(())
    }
}

/// Opens the file for appending, its last line complete.
fn open(folder: &OwnedFd) -> io::Result<(File, u64)> {
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = File::from(openat(folder.as_fd(), NAME, flags, Mode::RUSR | Mode::WUSR)?);
    let stat = fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_nlink != 1 {
        return Err(io::Error::other("it is not a regular file with one name; move it away"));
    }
    fchmod(&file, Mode::RUSR | Mode::WUSR)?;
    let mut size = u64::try_from(stat.st_size).unwrap_or(0);
    if size > 0 {
        // A crash in the middle of a line must not spoil the next one.
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
            size = size.saturating_add(1);
        }
    }
    Ok((file, size))
}
