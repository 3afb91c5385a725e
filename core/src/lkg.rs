//! Last Known Good: what of `Jobs/*.json` and `Plugins/*.json` is blessed, and what the disk may not do about it (contract section 8,
//! security.md section 5).
//!
//! The agent runs from memory. Memory is filled from the references at start and changed by blessed writes alone: the reference first,
//! then the file. The disk is only compared with it.
//!
//! ```text
//! the start found   in service                         files that differ
//! ----------------  ---------------------------------  ------------------------------------------
//! Off               what the files say                 count at reload, and when they are seen
//! First             what is valid, which is blessed    are not there yet
//! Kept              what the references say            restored; with AuditOnly reported
//! Unusable          nothing                            stay as they are; writes are refused
//! ```
//!
//! [`vault`] keeps the references, [`judge`] says what is done about a file that differs, [`brake`] how often, [`diff`] what people see
//! of it.

pub mod brake;
pub mod diff;
pub mod judge;
pub mod vault;

pub use vault::Checked;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::event::DefinitionKind;
use crate::log_message::escape;

/// The bytes of a definition, shared by all who hold them.
pub type Document = Arc<[u8]>;

/// One definition file, whether it exists or not; shown as `Jobs/scan`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// Job or plugin.
    pub kind: DefinitionKind,
    /// The id, which is the file name without `.json`; of a stray file its name without it.
    pub id: String,
}

impl Item {
    /// The item of this kind and id.
    pub fn new(kind: DefinitionKind, id: impl Into<String>) -> Self {
        Self { kind, id: id.into() }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.kind.folder(), escape(&self.id))
    }
}

/// A blessed write of one item.
#[derive(Clone, PartialEq, Eq)]
pub struct DefinitionChange {
    /// What changes.
    pub item: Item,
    /// Its new document, byte for byte; `None` removes it.
    pub document: Option<Document>,
}

impl fmt::Debug for DefinitionChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Documents may hold secrets, so only their length is shown.
        let bytes = self.document.as_ref().map(|document| document.len());
        formatter.debug_struct("DefinitionChange").field("item", &self.item).field("bytes", &bytes).finish()
    }
}

/// What the start found of references.
#[derive(Debug, Clone, Default)]
pub enum References {
    /// `ConfigurationLkg:Enabled` is false: none are kept.
    #[default]
    Off,
    /// There never were any on this root: neither references nor a counter that remembers them.
    First {
        /// A file has a key all the same: it was made beforehand, or everything that it sealed was removed.
        lone_key: bool,
    },
    /// They are there.
    Kept {
        /// Of the manifest: grows with each blessed write.
        counter: u64,
        /// The key's public name, 16 hex digits.
        key_id: String,
        /// Every item the manifest names, tombstones included.
        items: Vec<Reference>,
        /// Files may have changed by intent since: Last Known Good was off.
        was_off: bool,
    },
    /// They are there and prove nothing; why, and what to do, as sentences.
    Unusable(String),
}

/// One item as the references have it.
#[derive(Clone, PartialEq, Eq)]
pub struct Reference {
    /// Which.
    pub item: Item,
    /// Its version, from 1.
    pub version: u64,
    /// Its document, `None` where it was removed; or the sentence why it cannot be trusted.
    pub content: Result<Option<Document>, String>,
}

impl fmt::Debug for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.content.as_ref().map(|content| content.as_ref().map(|document| document.len()));
        let mut shown = formatter.debug_struct("Reference");
        shown.field("item", &self.item).field("version", &self.version).field("bytes", &bytes).finish()
    }
}

/// Why a blessed write did not happen; file and reference are as they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotWritten {
    /// What kept it.
    pub cause: Cause,
    /// A sentence with the file or call concerned.
    pub reason: String,
}

/// What keeps a blessed write, and so what somebody has to mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The disk, or the user's share of it, is full.
    Full,
    /// The references prove nothing, so nothing may be blessed beside them.
    Unusable,
    /// Anything else.
    Other,
}

impl NotWritten {
    /// For any other reason than a full disk or references that prove nothing.
    pub fn because(reason: impl Into<String>) -> Self {
        Self { cause: Cause::Other, reason: reason.into() }
    }
}

impl fmt::Display for NotWritten {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.reason)
    }
}

/// What a comparison of the disk with what is blessed saw.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// Whether every file was compared, or just those that the watcher named.
    pub whole: bool,
    /// Files that are not as blessed.
    pub differences: Vec<Difference>,
    /// Folders that are not the ones that were opened at start, with a sentence each; nothing is written through them.
    pub folders: Vec<(DefinitionKind, String)>,
    /// Folders of which the kernel does not tell when something changes, with a sentence each; only the sweep looks at them.
    pub unwatched: Vec<(DefinitionKind, String)>,
    /// Stray files beyond the bound of one survey, to be found by the next one.
    pub left_out: usize,
}

/// A file that is not as blessed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which.
    pub item: Item,
    /// What is there.
    pub found: Found,
}

/// What is in an item's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Missing,
    /// A regular file with other bytes, or where nothing is blessed.
    Bytes {
        /// They; counted, so that whoever brings them knows for how long they are held.
        content: Arc<Vec<u8>>,
        /// Who has to do with it, as far as the kernel tells.
        trace: Trace,
    },
    /// The blessed bytes, with other rights or another owner; a phrase that follows the name.
    Rights {
        /// What is different.
        what: String,
        /// Who has to do with it, as far as the kernel tells.
        trace: Trace,
    },
    /// Something else than a plain file of one name, or one that is not read; a phrase that follows the name.
    Other {
        /// What it is.
        what: String,
        /// Who has to do with it, as far as the kernel tells.
        trace: Trace,
    },
}

/// Who has to do with a file, as far as the kernel tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trace {
    /// The user whom it belongs to.
    pub owner: Option<u32>,
    /// When its content changed last, in RFC 3339.
    pub modified: Option<String>,
    /// The process that was seen to write it, as `pid 4711 (/usr/bin/vim, user 1000)`.
    pub writer: Option<String>,
}

/// A question about references and what was moved away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReferenceQuery {
    /// The versions of an item.
    History(Item),
    /// The document of one version.
    Version(Item, u64),
    /// What could be accepted of an item: what stands in its place, if that is not as blessed, else what stood there.
    Candidate(Item, Option<Former>),
    /// Everything in `state/quarantine/`.
    Quarantine,
}

/// What stood in an item's place before it was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Former {
    /// What is in `state/quarantine/` under this name.
    Copy(String),
    /// Nothing: the file had been deleted.
    Nothing,
    /// The newest copy in `state/quarantine/`, if there is one: nothing of the item was ever blessed.
    NewestCopy,
}

/// What somebody should know of files and references without having asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LkgNotice {
    /// `Settings:PluginPath` is another folder than at the last start.
    PluginFolder {
        /// The one of before.
        before: String,
        /// The one of now.
        now: String,
    },
    /// `state/quarantine/` was full: so many of its oldest copies were deleted.
    QuarantineFull(usize),
}

/// A document, or that there is none on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundDocument {
    /// The document.
    pub document: Option<Document>,
    /// Where that is from as a phrase: `version 3`, `Jobs/scan.json`, `Jobs/scan.json (deleted)`, `state/quarantine/…`.
    pub from: String,
    /// Lower-case hex SHA-256 of the document; empty where there is none. What is accepted is held against it, as whoever wrote a file
    /// that drifted chose its bytes.
    pub sha256: String,
}

/// The answer to a [`ReferenceQuery`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReferencesFound {
    /// Newest first.
    History(Vec<ReferenceVersion>),
    /// `None` where there is neither a document nor that there is none on purpose.
    Document(Option<FoundDocument>),
    /// Newest first.
    Quarantine(Vec<Quarantined>),
}

/// One version of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceVersion {
    /// Its number, from 1.
    pub version: u64,
    /// When it was blessed, in RFC 3339.
    pub time: String,
    /// By whom: `admin:{name}`, `root`, `policy:{name}`, `agent`.
    pub writer: String,
    /// Bytes of the document; `None` where the item was removed.
    pub bytes: Option<u64>,
    /// Lower-case hex SHA-256 of the document.
    pub sha256: Option<String>,
}

/// Something that was moved away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Its name in `state/quarantine/`.
    pub name: String,
    /// Where it was found.
    pub item: Item,
    /// When it was moved, in RFC 3339.
    pub time: String,
    /// Its bytes.
    pub bytes: u64,
}
