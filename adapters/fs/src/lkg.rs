//! Last Known Good on disk. References: `state/lkg/`, sealed with `state/keys/lkg.key`, and blessed writes, which change them and the
//! definition files as one. What is written in which order and what counts is decided by [`castellan_core::lkg::vault`]; here are its
//! folder and its keys. And the files, which are held against what is blessed:
//!
//! | part | does |
//! | --- | --- |
//! | [`watch`] | asks the kernel what changes, and says where to look |
//! | [`survey`] | holds what is blessed beside what stands in the folders, and puts it right |
//! | [`quarantine`] | keeps what was moved away |
//! | [`Guard`] | all of it, as the store's thread orders it |

mod blessed;
mod compare;
mod disk;
pub(crate) mod guard;
mod key;
pub mod quarantine;
mod seal;
mod strays;
pub mod survey;
pub mod watch;
mod writers;

use std::path::PathBuf;

use castellan_core::lkg::vault::{Checked, Vault};
use castellan_core::lkg::{DefinitionChange, Document, Item, NotWritten, ReferenceVersion, References};
use castellan_core::time::WallTime;

use self::disk::Folder;
use self::key::Keys;
use crate::error::RootError;
use crate::root::Root;

pub use blessed::{Changed, change, remove_drafts};
pub use guard::Guard;

/// The open references. Whoever opens them holds the root's lock.
#[derive(Debug)]
pub struct ReferenceStore(Vault<Folder, Keys>);

impl ReferenceStore {
    /// Opens what is there, with the key that systemd gives as the credential `lkg.key`, or else `state/keys/lkg.key`. Makes no
    /// file; the first change does. `anchor` is the counter that the history knows ([`History::anchor`](crate::history::History::anchor)).
    ///
    /// # Errors
    /// [`RootError`] where a key is not the agent's own, may be read by others, or is none.
    pub fn open(root: &Root, anchor: Option<u64>) -> Result<(Self, References), RootError> {
        Self::open_with(root, std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from), anchor)
    }

    /// The same with this folder of credentials.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_with(
        root: &Root,
        credentials: Option<PathBuf>,
        anchor: Option<u64>,
    ) -> Result<(Self, References), RootError> {
        let keys = Keys::open(root, credentials)?;
        let has_key_file = keys.has_file();
        let (vault, mut references) = Vault::open(Folder::new(root), keys, anchor);
        if let References::First { lone_key } = &mut references {
            // Where there is a manifest, this agent made both.
            *lone_key = has_key_file && vault.key_id().is_none();
        }
        Ok((Self(vault), references))
    }

    /// As [`Vault::change`]: the references alone, without the files.
    ///
    /// # Errors
    /// [`NotWritten`].
    pub fn change(&mut self, changes: &[DefinitionChange], writer: &str, at: WallTime) -> Result<Vec<u64>, NotWritten> {
        self.0.change(changes, writer, at)
    }

    /// As [`Vault::check`].
    pub fn check(&mut self) -> Checked {
        self.0.check()
    }

    /// As [`Vault::check_thoroughly`].
    pub fn check_thoroughly(&mut self) -> Checked {
        self.0.check_thoroughly()
    }

    /// As [`Vault::history`].
    ///
    /// # Errors
    /// A sentence.
    pub fn history(&mut self, item: &Item) -> Result<Vec<ReferenceVersion>, String> {
        self.0.history(item)
    }

    /// As [`Vault::version`].
    ///
    /// # Errors
    /// A sentence.
    pub fn version(&mut self, item: &Item, number: u64) -> Result<Option<Document>, String> {
        self.0.version(item, number)
    }

    /// As [`Vault::rekey`].
    ///
    /// # Errors
    /// [`NotWritten`].
    pub fn rekey(&mut self) -> Result<usize, NotWritten> {
        self.0.rekey()
    }

    /// As [`Vault::note_off`].
    ///
    /// # Errors
    /// [`NotWritten`].
    pub fn note_off(&mut self, off: bool) -> Result<(), NotWritten> {
        self.0.note_off(off)
    }

    /// As [`Vault::counter`]; for [`History::note_anchor`](crate::history::History::note_anchor).
    pub fn counter(&self) -> u64 {
        self.0.counter()
    }

    /// As [`Vault::key_id`].
    pub fn key_id(&self) -> Option<String> {
        self.0.key_id().map(|key| key.to_string())
    }

    /// As [`Vault::take_notices`].
    pub fn take_notices(&mut self) -> Vec<String> {
        self.0.take_notices()
    }
}
