//! Digests of images that did not change since: hashing is what costs, and the same program connects again and again.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, PoisonError};

use castellan_core::time::WallTime;
use ring::digest::{Algorithm, Digest};

/// Images that are remembered; with one more, all are forgotten.
const REMEMBERED: usize = 1024;
/// Milliseconds. A file that was changed less long ago is not remembered: the clock of the file system may not have moved on, and the
/// next change would leave no trace.
const SETTLED: i64 = 2000;

/// Everything that changes with a file's content, with the digest's length for its algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    file: (u64, u64),
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    length: usize,
}

impl Key {
    fn of(found: &Metadata, algorithm: &'static Algorithm) -> Self {
        Self {
            file: (found.dev(), found.ino()),
            bytes: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
            length: algorithm.output_len(),
        }
    }

    const fn is_settled(&self, now: WallTime) -> bool {
        now.as_millis().saturating_sub(self.changed.0.saturating_mul(1000)) > SETTLED
    }
}

/// Digests by file.
#[derive(Debug, Default)]
pub(crate) struct Digests(Mutex<BTreeMap<Key, Digest>>);

impl Digests {
    /// The digest of an image, by `hash` where it is not known; `now` is when that was asked.
    ///
    /// # Errors
    /// It cannot be read, or was changed meanwhile.
    pub(super) fn of(
        &self,
        image: &File,
        now: WallTime,
        algorithm: &'static Algorithm,
        hash: impl FnOnce() -> io::Result<Digest>,
    ) -> io::Result<Digest> {
        let key = Key::of(&image.metadata()?, algorithm);
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(*known);
        }
        let digest = hash()?;
        if Key::of(&image.metadata()?, algorithm) != key {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "it was changed while it was read"));
        }
        if key.is_settled(now) {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= REMEMBERED {
                known.clear();
            }
            known.insert(key, digest);
        }
        Ok(digest)
    }
}
