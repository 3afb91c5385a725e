//! The log files: `agent.jsonl`, which becomes `agent.jsonl.1` when it is full, and that one `agent.jsonl.2`; the oldest go.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};

use castellan_core::config::LogFileLimits;
use castellan_core::log_message::LogRecord;
use castellan_core::time::WallTime;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fchmod, fstat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;
use serde_json::Value;

use super::sink::Sink;
use crate::error::RootError;
use crate::root::Root;

pub(crate) const NAME: &str = "agent.jsonl";
/// Bytes gathered before they are written without waiting for a pause.
const GATHER_BYTES: usize = 64 << 10;
/// Bytes of a first line that is looked at for its time; a longer one tells none.
const FIRST_LINE_BYTES: u64 = 1 << 20;

/// The open log file.
#[derive(Debug)]
pub(super) struct LogFile {
    limits: LogFileLimits,
    folder: OwnedFd,
    file: File,
    size: u64,
    /// When its first record came; `None` while it has none.
    begun: Option<WallTime>,
    gathered: Vec<u8>,
    /// Records in `gathered`, and when the last of them came.
    records: u64,
    newest: String,
    lost: u64,
    /// Whether half a line stands at its end, which could not be taken away.
    is_torn: bool,
}

impl LogFile {
    pub(super) fn open(root: &Root, limits: LogFileLimits) -> Result<Self, RootError> {
        let folder = root.folder("state/logs")?;
        let path = root.path().join("state/logs").join(NAME);
        let (file, size, begun) = open(&folder).map_err(RootError::failed("open", &path))?;
        Ok(Self {
            limits,
            folder,
            file,
            size,
            begun,
            gathered: Vec::new(),
            records: 0,
            newest: String::new(),
            lost: 0,
            is_torn: false,
        })
    }

    fn write_gathered(&mut self) -> io::Result<()> {
        if fstat(&self.file)?.st_nlink == 0 {
            // Somebody removed it: what is written there nobody reads, and its room is not free.
            self.reopen()?;
        }
        let now = WallTime::parse_rfc3339(&self.newest);
        if self.limits.is_full(self.size, self.gathered.len() as u64, self.begun, now) {
            self.rotate()?;
        }
        if self.is_torn {
            self.file.write_all(b"\n")?;
            self.size = self.size.saturating_add(1);
            self.is_torn = false;
        }
        if let Err(error) = self.file.write_all(&self.gathered) {
            // Half a line must not spoil the next one.
            self.is_torn = self.file.set_len(self.size).is_err();
            return Err(error);
        }
        self.size = self.size.saturating_add(self.gathered.len() as u64);
        self.begun = self.begun.or(now);
        Ok(())
    }

    /// Makes room, and begins a new file. Killed in between, no number stands twice, and the next start goes on.
    fn rotate(&mut self) -> io::Result<()> {
        if self.is_there()? {
            self.move_up()?;
        }
        self.reopen()
    }

    /// Whether a file has the name. Somebody may have moved it; or it has its number already, and the new one could not be made.
    fn is_there(&self) -> io::Result<bool> {
        match statat(&self.folder, NAME, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        (self.file, self.size, self.begun) = open(&self.folder)?;
        self.is_torn = false;
        Ok(())
    }

    /// Gives each file the next number, and removes those for which there is no room.
    fn move_up(&mut self) -> io::Result<()> {
        let former = former(&self.folder)?;
        let sizes: Vec<u64> = [self.size].into_iter().chain(former.iter().map(|(_, bytes)| *bytes)).collect();
        let kept = self.limits.kept(&sizes);
        for (number, _) in former.iter().skip(kept.saturating_sub(1)) {
            unlinkat(&self.folder, name(*number), AtFlags::empty())?;
        }
        let numbers: Vec<u32> = former.iter().take(kept.saturating_sub(1)).map(|(number, _)| *number).collect();
        // Those before the first number that is free move up by one.
        let moving = numbers.iter().zip(1..).take_while(|(number, place)| *number == place).count();
        for number in numbers.iter().take(moving).rev() {
            renameat(&self.folder, name(*number), &self.folder, name(number.saturating_add(1)))?;
        }
        renameat(&self.folder, NAME, &self.folder, name(1))?;
        Ok(())
    }
}

impl Sink for LogFile {
    /// Gathers a record; writes when much is gathered.
    fn write(&mut self, record: &LogRecord) -> io::Result<()> {
        let line = serde_json::to_vec(record).map_err(io::Error::other)?;
        self.gathered.extend_from_slice(&line);
        self.gathered.push(b'\n');
        self.records = self.records.saturating_add(1);
        self.newest.clone_from(&record.timestamp);
        if self.gathered.len() >= GATHER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let result = self.write_gathered();
        self.gathered.clear();
        let records = std::mem::take(&mut self.records);
        if result.is_err() {
            self.lost = self.lost.saturating_add(records);
        }
        result
    }

    fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}

/// The name of a former file.
fn name(number: u32) -> String {
    format!("{NAME}.{number}")
}

/// The number in the name of a former file.
pub(crate) fn number_of(name: &str) -> Option<u32> {
    let number = name.strip_prefix(NAME)?.strip_prefix('.')?;
    number.parse().ok().filter(|parsed: &u32| *parsed > 0 && parsed.to_string() == number)
}

/// The former files by number and size, the newest first.
fn former(folder: &OwnedFd) -> io::Result<Vec<(u32, u64)>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(folder)? {
        let Some(number) = entry?.file_name().to_str().ok().and_then(number_of) else { continue };
        let stat = statat(folder, name(number), AtFlags::SYMLINK_NOFOLLOW)?;
        found.push((number, u64::try_from(stat.st_size).unwrap_or(0)));
    }
    found.sort_unstable();
    Ok(found)
}

/// Opens the file for appending, its last line complete; with its size, and when its first record came.
fn open(folder: &OwnedFd) -> io::Result<(File, u64, Option<WallTime>)> {
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = File::from(openat(folder.as_fd(), NAME, flags, Mode::RUSR | Mode::WUSR)?);
    let stat = fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_nlink != 1 {
        return Err(io::Error::other("it is not a regular file with one name; move it away"));
    }
    fchmod(&file, Mode::RUSR | Mode::WUSR)?;
    let mut size = u64::try_from(stat.st_size).unwrap_or(0);
    if size == 0 {
        return Ok((file, 0, None));
    }
    // A crash in the middle of a line must not spoil the next one.
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    if last != *b"\n" {
        file.write_all(b"\n")?;
        size = size.saturating_add(1);
    }
    file.seek(SeekFrom::Start(0))?;
    let mut first = Vec::new();
    BufReader::new(Read::by_ref(&mut file).take(FIRST_LINE_BYTES)).read_until(b'\n', &mut first)?;
    let begun = serde_json::from_slice::<Value>(&first).ok();
    let begun = begun.and_then(|record| WallTime::parse_rfc3339(record.get("timestamp")?.as_str()?));
    Ok((file, size, begun))
}
