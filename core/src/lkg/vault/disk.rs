//! What the vault asks of a folder and of cryptography.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::{KeyId, Purpose};
use crate::lkg::NotWritten;

/// What tells whether a file is still the one that was opened: equal stamps, equal file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The file's number on its disk.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// When its content or its rights changed last, nanoseconds since 1970.
    pub changed: i128,
}

/// The folder of references. Only what [`sync`](Self::sync) or [`replace`](Self::replace) returned for survives a crash for sure;
/// of everything else a crash may leave all, a part, or nothing, in any order.
pub trait Disk {
    /// Every name in the folder; what a crash left of [`replace`](Self::replace) has a name that begins with a dot.
    ///
    /// # Errors
    /// A sentence with the folder and the reason.
    fn list(&mut self) -> Result<BTreeMap<String, Stamp>, String>;

    /// A file's bytes; `None` where there is none.
    ///
    /// # Errors
    /// A sentence with the file and the reason.
    fn read(&mut self, name: &str) -> Result<Option<Vec<u8>>, String>;

    /// Writes a new file, in place of whatever has the name.
    ///
    /// # Errors
    /// [`NotWritten`]; a part of the file may be there.
    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), NotWritten>;

    /// Brings to disk what [`write`](Self::write) wrote since the last call, names included.
    ///
    /// # Errors
    /// [`NotWritten`]; nothing is known of what is on disk.
    fn sync(&mut self) -> Result<(), NotWritten>;

    /// Gives a file this content at once, on disk when it returns.
    ///
    /// # Errors
    /// [`NotWritten`]; the old content or the new one is there.
    fn replace(&mut self, name: &str, bytes: &[u8]) -> Result<(), NotWritten>;

    /// Removes a file, sooner or later also on disk; one that is not there is removed already.
    ///
    /// # Errors
    /// [`NotWritten`]; it is still there.
    fn remove(&mut self, name: &str) -> Result<(), NotWritten>;
}

/// Authenticated encryption with keys that only the implementation knows.
pub trait Seal {
    /// The keys that are there: one, and a second one while the first is being replaced; none before the first change.
    fn keys(&self) -> Vec<KeyId>;

    /// Why a start would not find this key any more, as a sentence; `None` where it would.
    fn missing(&self, _key: KeyId) -> Option<String> {
        None
    }

    /// Takes another key than the one in use, on disk when it returns.
    ///
    /// # Errors
    /// [`NotWritten`]; the key in use is still there.
    fn create(&mut self, in_use: Option<KeyId>) -> Result<KeyId, NotWritten>;

    /// Removes every other key.
    ///
    /// # Errors
    /// [`NotWritten`]; more than this one are there.
    fn keep(&mut self, key: KeyId) -> Result<(), NotWritten>;

    /// Seals `plain`, bound to `bound_to`; ends with a tag of 16 bytes.
    ///
    /// # Errors
    /// A sentence with the reason.
    fn seal(&mut self, key: KeyId, purpose: Purpose, bound_to: &[u8], plain: &[u8]) -> Result<Vec<u8>, String>;

    /// What was sealed with the same key, purpose and binding; `None` for everything else.
    fn open(&self, key: KeyId, purpose: Purpose, bound_to: &[u8], sealed: &[u8]) -> Option<Vec<u8>>;

    /// SHA-256.
    fn sha256(&self, bytes: &[u8]) -> [u8; 32];
}
