//! Reads the audit line by line, oldest first, beside a running agent: no lock is taken.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use castellan_core::limits::AUDIT_LINE_BYTES;

use super::{PLACE, first_of};

/// Bytes of a line that are read; a longer one is none of the audit's.
const LINE_BYTES: u64 = AUDIT_LINE_BYTES as u64 + 1;

/// The lines of some files, one after the other.
#[derive(Debug)]
pub struct AuditReader {
    /// Those that are not open yet, but where somebody else has opened one.
    files: VecDeque<(PathBuf, Option<File>)>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: BufReader<File>,
    line: u64,
}

/// A line as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLine {
    /// Its file.
    pub file: PathBuf,
    /// Its number there, from 1.
    pub number: u64,
    /// The line without its line break.
    pub bytes: Vec<u8>,
    /// Whether it has a line break; only the last line of the last file may be on its way to get one.
    pub is_whole: bool,
}

impl AuditReader {
    /// Of an agent root.
    ///
    /// # Errors
    /// The folder cannot be read; `NotFound` where no agent that keeps an audit ever ran there.
    pub fn open(root: &Path) -> io::Result<Self> {
        let folder = root.join(PLACE);
        let mut numbered = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let name = entry?.file_name();
            if let Some(first) = name.to_str().and_then(first_of) {
                numbered.push((first, folder.join(name)));
            }
        }
        numbered.sort();
        Ok(Self { files: numbered.into_iter().map(|(_, path)| (path, None)).collect(), open: None })
    }

    /// Of one file with lines of an audit, which is open and called this.
    pub fn of_file(path: &Path, file: File) -> Self {
        Self { files: VecDeque::from([(path.to_owned(), Some(file))]), open: None }
    }

    /// How many files are left to be read, the open one excluded.
    pub fn files_left(&self) -> usize {
        self.files.len()
    }

    /// The next line; `None` behind the last one.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn next_line(&mut self) -> io::Result<Option<AuditLine>> {
        loop {
            let Some(open) = &mut self.open else {
                let Some((path, opened)) = self.files.pop_front() else { return Ok(None) };
                let file = opened.map_or_else(|| File::open(&path), Ok).map_err(|error| named(&path, &error))?;
                self.open = Some(Open { path, file: BufReader::new(file), line: 0 });
                continue;
            };
            let mut bytes = Vec::new();
            let read = (&mut open.file).take(LINE_BYTES).read_until(b'\n', &mut bytes);
            read.map_err(|error| named(&open.path, &error))?;
            if bytes.is_empty() {
                self.open = None;
                continue;
            }
            open.line = open.line.saturating_add(1);
            let is_whole = bytes.pop_if(|last| *last == b'\n').is_some();
            return Ok(Some(AuditLine { file: open.path.clone(), number: open.line, bytes, is_whole }));
        }
    }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
