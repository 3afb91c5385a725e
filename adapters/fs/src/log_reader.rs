//! Reads a root's log line by line, oldest first, and on through rotation; no lock is taken and nothing is kept from the writer.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::log_file::{NAME, number_of};

/// Bytes of one line; a record of the largest message, escaped, is far shorter.
const LINE_BYTES: u64 = 4 << 20;

/// The log of a root, open for reading.
#[derive(Debug)]
pub struct LogReader {
    folder: PathBuf,
    file: BufReader<File>,
    /// The file's number, by which a rotation shows.
    number: u64,
    /// The beginning of a line whose end is not written yet.
    begun: Vec<u8>,
}

impl LogReader {
    /// Opens the log below `root` at its oldest line.
    ///
    /// # Errors
    /// The file cannot be opened; `NotFound` where no agent ever ran there.
    pub fn open(root: &Path) -> io::Result<Self> {
        let folder = root.join("state/logs");
        let (file, number) = next_after(&folder, None)?;
        Ok(Self { folder, file, number, begun: Vec::new() })
    }

    /// The next complete line without its end; `None` where none is written yet.
    ///
    /// # Errors
    /// The file cannot be read, or a line is longer than 4 MiB.
    pub fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            // Asked first: what was written before the rotation is then there to be read.
            let current = match fs::metadata(self.folder.join(NAME)) {
                Ok(metadata) => metadata.ino(),
                // Between the two steps of a rotation.
                Err(error) if error.kind() == ErrorKind::NotFound => self.number,
                Err(error) => return Err(error),
            };
            if self.read_line()? {
                return Ok(Some(std::mem::take(&mut self.begun)));
            }
            if current == self.number {
                return Ok(None);
            }
            self.follow()?;
        }
    }

    /// Whether a line is complete.
    fn read_line(&mut self) -> io::Result<bool> {
        let room = LINE_BYTES.saturating_sub(self.begun.len() as u64);
        self.file.by_ref().take(room).read_until(b'\n', &mut self.begun)?;
        if self.begun.pop_if(|last| *last == b'\n').is_some() {
            return Ok(true);
        }
        if self.begun.len() as u64 >= LINE_BYTES {
            return Err(io::Error::other(format!("a line is longer than {LINE_BYTES} bytes; move the file away")));
        }
        Ok(false)
    }

    /// Goes to the file after this one, or to the oldest where this one is gone.
    fn follow(&mut self) -> io::Result<()> {
        (self.file, self.number) = next_after(&self.folder, Some(self.number))?;
        self.begun.clear();
        Ok(())
    }
}

/// The file that came after the one of this number, or the oldest.
///
/// It looks from the newest on. A rotation in between gives each file a later name, so none is missed, and one that is seen twice does
/// no harm.
fn next_after(folder: &Path, number: Option<u64>) -> io::Result<(BufReader<File>, u64)> {
    let mut last = 0;
    for entry in fs::read_dir(folder)? {
        last = entry?.file_name().to_str().and_then(number_of).unwrap_or(0).max(last);
    }
    let mut next = None;
    let mut missing = io::Error::from(ErrorKind::NotFound);
    let former = (1..=last.saturating_add(1)).map(|place| format!("{NAME}.{place}"));
    for name in [NAME.to_owned()].into_iter().chain(former) {
        match open(folder, &name) {
            Ok(found) if Some(found.1) == number => {
                next = next.or(Some(found));
                break;
            }
            Ok(found) => next = Some(found),
            // Between two steps of a rotation, or behind the last.
            Err(error) if error.kind() == ErrorKind::NotFound => missing = error,
            Err(error) => return Err(error),
        }
    }
    next.ok_or(missing)
}

fn open(folder: &Path, name: &str) -> io::Result<(BufReader<File>, u64)> {
    let file = File::open(folder.join(name))?;
    let number = file.metadata()?.ino();
    Ok((BufReader::new(file), number))
}

#[cfg(test)]
mod tests;
