//! The audit on disk: `state/audit/{number of its first entry}.jsonl`, each file in its time the one that is written.
//!
//! | part | does |
//! | --- | --- |
//! | (here) | opening, appending, what a crash left at the end |
//! | `port` | the thread that appends what the agent orders, and answers |
//! | `reader` | the lines of all files in order, beside a running agent |
//!
//! The files are only ever appended to, and never removed: how long they are kept is for people to say. What was confirmed stays as it
//! is; what a crash left behind that was never confirmed, and is put into a file beside them.

mod port;
mod reader;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use castellan_core::audit::chain::{self, Head};
use castellan_core::audit::{Act, Entry};
use castellan_core::hexadecimal;
use castellan_core::limits::AUDIT_LINE_BYTES;
use castellan_core::time::WallTime;
use ring::digest::{SHA256, digest};
use rustix::fs::{Dir, Mode, OFlags, fstat, fsync, openat};

use crate::error::RootError;
use crate::files::Privacy;
use crate::root::Root;
pub use port::{Audit, AuditQueueFull};
pub use reader::{AuditLine, AuditReader};

/// Where it is.
pub(crate) const PLACE: &str = "state/audit";
const MODE: u32 = 0o600;
/// A file that has so many bytes is the last time appended to. Large enough for a hundred thousand entries to be few files, and small
/// enough to be read at every start.
const FILE_BYTES: u64 = 8 << 20;
/// Entries that are written and brought to disk together, at most.
const TOGETHER: usize = 64;
/// A file with its last batch: read at the start to find its end.
const READ_BYTES: usize = (FILE_BYTES as usize).saturating_add(AUDIT_LINE_BYTES.saturating_mul(TOGETHER + 1));
/// Who says what a crash left.
const AGENT: &str = "agent";

/// SHA-256, as the chain wants it.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest(&SHA256, bytes).as_ref());
    sha256
}

/// The name of the file whose first entry has this number; names sort as numbers do.
fn file_name(first: u64) -> String {
    format!("{first:020}.jsonl")
}

/// The number in such a name.
fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".jsonl")?;
    if digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// The file that has what a crash left where this entry was to be.
fn torn_name(sequence: u64) -> String {
    format!("{sequence:020}.torn")
}

/// The end of the audit, open for appending. There is one for each root, as the root is locked.
#[derive(Debug)]
pub struct AuditFile {
    root: Root,
    folder: OwnedFd,
    file: File,
    name: String,
    size: u64,
    head: Head,
    /// Whether more stands at the end than was confirmed, and could not be taken away.
    is_torn: bool,
    /// What somebody should know of, in sentences.
    notices: Vec<String>,
}

impl AuditFile {
    /// Opens the audit at its end, or begins it; what a crash left is put aside, and the first entry says so.
    ///
    /// # Errors
    /// A file is not the agent's alone, cannot be read, or the disk does not take what is to be put aside.
    pub fn open(root: &Root, now: WallTime) -> Result<Self, RootError> {
        let folder = root.folder(PLACE)?;
        let path = root.path().join(PLACE);
        let mut files = numbers(&folder).map_err(RootError::failed("list", &path))?;
        let newest = files.pop();
        let mut newest = match newest {
            Some(first) => End::read(root, first)?,
            None => End { first: 1, head: None, sound: 0, torn: Vec::new() },
        };
        // A file that was begun and has no entry yet follows the one before.
        while let (None, Some(first)) = (newest.head, files.pop()) {
            newest.head = End::read(root, first)?.head;
        }
        let head = newest.head.unwrap_or(Head::START);
        let name = file_name(newest.first);
        let file = append_to(&folder, &name, false).map_err(RootError::failed("open", &path.join(&name)))?;
        let (root, size, notices) = (root.clone(), newest.sound, Vec::new());
        let mut audit = Self { root, folder, file, name, size, head, is_torn: false, notices };
        audit.put_aside(&newest.torn, now)?;
        Ok(audit)
    }

    /// The last entry.
    pub const fn head(&self) -> Head {
        self.head
    }

    /// What was done about a torn end, or about files that somebody else changed, since it was asked last.
    pub fn take_notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices)
    }

    /// Appends entries and returns once they are on disk: all of them, or none. The reason says which of them cannot be written at all.
    ///
    /// # Errors
    /// Why none was written.
    pub fn append(&mut self, entries: &[&Entry]) -> Result<(), NotAppended> {
        let (mut lines, mut head) = (String::new(), self.head);
        for (place, entry) in entries.iter().enumerate() {
            let (line, next) = chain::line(&head, entry, sha256).map_err(|why| NotAppended::Unfit { place, why })?;
            lines.push_str(&line);
            lines.push('\n');
            head = next;
        }
        let size = self.write(lines.as_bytes()).map_err(|error| NotAppended::of(&error, &self.path()))?;
        (self.head, self.size) = (head, size);
        Ok(())
    }

    /// The length of the file once the bytes are on disk.
    fn write(&mut self, bytes: &[u8]) -> io::Result<u64> {
        if self.is_torn {
            self.file.set_len(self.size)?;
            self.is_torn = false;
        }
        let stat = fstat(&self.file)?;
        // What somebody removed nobody reads, and behind what somebody else wrote a line may not be one: both show in the chain.
        let is_mine = stat.st_nlink == 1 && u64::try_from(stat.st_size) == Ok(self.size);
        if !is_mine || self.size >= FILE_BYTES {
            let former = self.path();
            self.begin_file()?;
            if !is_mine {
                let fix = "castellan audit verify says what it had.";
                self.notices.push(format!(
                    "{} was removed or written to by somebody else; a new file goes on. {fix}",
                    former.display()
                ));
            }
        }
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // What nobody was told of must not be there when it is tried again.
            self.is_torn = self.file.set_len(self.size).is_err();
            return Err(error);
        }
        Ok(self.size.saturating_add(bytes.len() as u64))
    }

    fn begin_file(&mut self) -> io::Result<()> {
        let name = file_name(self.head.sequence.saturating_add(1));
        if name == self.name && self.size == 0 && fstat(&self.file)?.st_nlink == 1 {
            // Somebody wrote where nothing was yet.
            self.file.set_len(0)?;
            return Ok(());
        }
        self.file = append_to(&self.folder, &name, true)?;
        fsync(&self.folder)?;
        (self.name, self.size) = (name, 0);
        Ok(())
    }

    /// Keeps what a crash left at the end in a file beside, takes it away, and says so in an entry. Killed in between, the next start
    /// goes on: the entry has its number from where the torn end was, so that it shows whether it is there.
    fn put_aside(&mut self, torn: &[u8], now: WallTime) -> Result<(), RootError> {
        let name = torn_name(self.head.sequence.saturating_add(1));
        let mut aside = self.root.read(PLACE, &name, READ_BYTES, Privacy::Secret)?.unwrap_or_default();
        if !torn.is_empty() && !aside.ends_with(torn) {
            aside.extend_from_slice(torn);
            self.root.replace(PLACE, &name, &aside, MODE)?;
        }
        if !torn.is_empty() {
            let cut = self.file.set_len(self.size).and_then(|()| self.file.sync_all());
            cut.map_err(RootError::failed("cut the torn end of", &self.path()))?;
        }
        if aside.is_empty() {
            return Ok(());
        }
        let (place, bytes) = (self.root.path().join(PLACE).join(&name), aside.len());
        self.notices.push(format!(
            "A crash tore the end of the audit: {bytes} bytes, which were confirmed to nobody, are in {} now.",
            place.display()
        ));
        let what = Act::PutAside { file: name, bytes: aside.len() as u64, sha256: hexadecimal(&sha256(&aside)) };
        let (time, who) = (now.to_rfc3339(), AGENT.to_owned());
        let entry = Entry { time, boot: self.root.boot(), who, request: None, what };
        self.append(&[&entry]).map_err(|error| RootError::Invalid { path: self.path(), what: error.to_string() })
    }

    fn path(&self) -> PathBuf {
        self.root.path().join(PLACE).join(&self.name)
    }
}

/// Why entries were not appended.
#[derive(Debug)]
pub enum NotAppended {
    /// The entry at this place cannot be written by anybody; without it the others can.
    Unfit {
        /// Its place among those that were given.
        place: usize,
        /// Why.
        why: String,
    },
    /// The disk did not take them; it may later.
    Failed(String),
}

impl NotAppended {
    fn of(error: &io::Error, path: &std::path::Path) -> Self {
        let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        let fix = if full { "Make room on that disk." } else { "Look at the disk that holds the agent root." };
        Self::Failed(format!("cannot write the audit to {}: {error}. {fix}", path.display()))
    }
}

impl std::fmt::Display for NotAppended {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unfit { why, .. } | Self::Failed(why) => formatter.write_str(why),
        }
    }
}

impl std::error::Error for NotAppended {}

/// How a file ends.
struct End {
    first: u64,
    /// The last line that is sound by itself.
    head: Option<Head>,
    /// How far the file is lines, of which that is the last.
    sound: u64,
    /// What stands behind it.
    torn: Vec<u8>,
}

impl End {
    fn read(root: &Root, first: u64) -> Result<Self, RootError> {
        let bytes = root.read(PLACE, &file_name(first), READ_BYTES, Privacy::Secret)?.unwrap_or_default();
        let mut end = bytes.len();
        // From the end, so that what was edited further up stays where it can be found.
        while let Some(lines) = bytes.get(..end).filter(|lines| !lines.is_empty()) {
            let whole = lines.strip_suffix(b"\n");
            let line = whole.unwrap_or(lines);
            let begin = line.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place.saturating_add(1));
            let link = line.get(begin..).filter(|_| whole.is_some()).and_then(|line| chain::link(line, sha256));
            if let Some(link) = link {
                let torn = bytes.get(end..).unwrap_or_default().to_vec();
                return Ok(Self { first, head: Some(link.head), sound: end as u64, torn });
            }
            end = begin;
        }
        Ok(Self { first, head: None, sound: 0, torn: bytes })
    }
}

/// The numbers of the files that are there, in their order.
fn numbers(folder: &OwnedFd) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in Dir::read_from(folder)? {
        numbers.extend(entry?.file_name().to_str().ok().and_then(first_of));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn append_to(folder: &OwnedFd, name: &str, is_new: bool) -> io::Result<File> {
    let made = if is_new { OFlags::CREATE | OFlags::EXCL } else { OFlags::CREATE };
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | made;
    Ok(File::from(openat(folder.as_fd(), name, flags, Mode::from_raw_mode(MODE))?))
}
