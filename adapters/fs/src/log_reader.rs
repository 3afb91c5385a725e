//! Reads a root's log line by line, oldest first, and on through rotation; no lock is taken and nothing is kept from the writer.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::log_file::{NAME, OLD_NAME};

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
        let (file, number) = match open(&folder, OLD_NAME) {
            Err(error) if error.kind() == ErrorKind::NotFound => open(&folder, NAME)?,
            opened => opened?,
        };
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

    /// Goes to the file after this one: the rotated one where two rotations came between, else the one that is written.
    fn follow(&mut self) -> io::Result<()> {
        let rotated = open(&self.folder, OLD_NAME);
        let next = match rotated {
            Ok((file, number)) if number != self.number => (file, number),
            Ok(_) => open(&self.folder, NAME)?,
            Err(error) if error.kind() == ErrorKind::NotFound => open(&self.folder, NAME)?,
            Err(error) => return Err(error),
        };
        (self.file, self.number) = next;
        self.begun.clear();
        Ok(())
    }
}

fn open(folder: &Path, name: &str) -> io::Result<(BufReader<File>, u64)> {
    let file = File::open(folder.join(name))?;
    let number = file.metadata()?.ino();
    Ok((BufReader::new(file), number))
}

#[cfg(test)]
mod tests;
