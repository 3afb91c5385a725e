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

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::event::DefinitionKind;
use crate::log_message::escape;
use crate::time::WallTime;

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
    /// There never were any on this root: neither key, nor references, nor a counter that remembers them.
    First,
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
    /// Whether the disk, or the user's share of it, is full.
    pub full: bool,
    /// A sentence with the file or call concerned.
    pub reason: String,
}

impl NotWritten {
    /// For any other reason than a full disk.
    pub fn because(reason: impl Into<String>) -> Self {
        Self { full: false, reason: reason.into() }
    }
}

impl fmt::Display for NotWritten {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.reason)
    }
}

/// What a look at the references found.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// Items that are out of service from now on, or in service again with this content.
    pub changed: Vec<Reference>,
    /// Why no reference on disk can be relied on: what was loaded stays in force, and nothing is written.
    pub doubt: Option<String>,
}

/// What was found on disk that is not as it was blessed. Nothing in it means that all is well in what was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// What was looked at.
    pub looked: Looked,
    /// One for each item, in no order.
    pub differences: Vec<Difference>,
    /// What could not be looked at.
    pub troubles: Vec<Trouble>,
    /// Files without a reference that were found beyond the bound of one survey; the next one has them.
    pub left_out: usize,
}

impl Survey {
    /// All is well everywhere.
    pub const CLEAN: Self =
        Self { looked: Looked::Everywhere, differences: Vec::new(), troubles: Vec::new(), left_out: 0 };
}

/// What a survey looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    /// Both folders.
    Everywhere,
    /// These items only.
    At(Vec<Item>),
}

/// One item that is not on disk as it was blessed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which.
    pub item: Item,
    /// What stands there.
    pub found: Found,
    /// What is known of who put it there.
    pub trace: Trace,
}

/// What stands in the place of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Missing,
    /// A file with other bytes.
    Bytes {
        /// How many.
        size: u64,
        /// All of them; `None` beyond [`DOCUMENT_BYTES`](crate::limits::DOCUMENT_BYTES), or where too much differed at one time.
        bytes: Option<Arc<[u8]>>,
    },
    /// The blessed bytes with other rights or another owner than the agent gives them.
    Rights {
        /// As in chmod(2).
        mode: u32,
        /// The user id.
        owner: u32,
    },
    /// A file that has other names as well, under which it can be changed unseen: how many in all.
    Links(u64),
    /// No file: "a symbolic link to '/etc/passwd'", "a directory".
    Other(String),
    /// The system refused to tell; its reason.
    Unreadable(String),
}

/// What is known of who wrote a file. The kernel tells the process only to root, and only where fanotify is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trace {
    /// The process that wrote it last, as far as it was seen.
    pub writer: Option<Writer>,
    /// Whose the file is.
    pub owner: Option<u32>,
    /// When its content, name or rights were changed last.
    pub changed: Option<WallTime>,
}

/// A process that wrote a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    /// Its number at that time.
    pub pid: u32,
    /// Its program, where it still ran when it was looked at.
    pub program: Option<String>,
    /// Its user, likewise.
    pub user: Option<u32>,
}

/// Why part of the disk is not looked at, or not written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The folder is another one than at the start (replaced, a link, mounted over) or cannot be opened: nothing of it is read, and
    /// nothing is written through it.
    Folder {
        /// Of these definitions.
        kind: DefinitionKind,
        /// A sentence.
        why: String,
    },
    /// The kernel does not tell of changes in the folder, so only the sweep finds them.
    Watch {
        /// Of these definitions.
        kind: DefinitionKind,
        /// A sentence.
        why: String,
    },
}

/// A question about references and what was moved away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReferenceQuery {
    /// The versions of an item.
    History(Item),
    /// The document of one version.
    Version(Item, u64),
    /// What could be accepted of an item: its file if that is not as blessed, else the newest copy in `state/quarantine/`.
    Candidate(Item),
    /// Everything in `state/quarantine/`.
    Quarantine,
}

/// The answer to a [`ReferenceQuery`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReferencesFound {
    /// Newest first.
    History(Vec<ReferenceVersion>),
    /// A document, and where it is from as a phrase (`version 3`, `Jobs/scan.json`, `state/quarantine/…`); `None` where there is none.
    Document(Option<(Document, String)>),
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
