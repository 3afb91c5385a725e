//! The manifest: which version of each item counts.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::event::DefinitionKind;
use crate::limits::{DEFINITIONS, REFERENCE_TOMBSTONES, REFERENCE_VERSIONS};
use crate::lkg::Item;

/// Its file.
pub(super) const NAME: &str = "manifest";

/// What counts, as of the change with this number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    /// Goes up by one with each change; 0: nothing was ever blessed.
    pub(super) counter: u64,
    /// Whether files may change without being blessed: Last Known Good is off.
    pub(super) off: bool,
    pub(super) items: BTreeMap<Item, Entry>,
}

/// What counts for one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The version that counts.
    pub(super) version: u64,
    /// The oldest version that is kept.
    pub(super) first: u64,
    /// The manifest's counter when this version came.
    pub(super) since: u64,
    /// The tag of this version's sealed file, so that no other one with the same number counts.
    pub(super) tag: String,
    /// Whether this version says that the item was deleted.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub(super) deleted: bool,
}

#[derive(Serialize, Deserialize)]
struct Document {
    counter: u64,
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    off: bool,
    items: BTreeMap<String, Entry>,
}

impl Manifest {
    /// As it is sealed.
    pub(super) fn encode(&self) -> Result<Vec<u8>, String> {
        let items = self.items.iter().map(|(item, entry)| (item.to_string(), entry.clone())).collect();
        serde_json::to_vec(&Document { counter: self.counter, off: self.off, items })
            .map_err(|error| format!("the manifest of references cannot be written: {error}"))
    }

    /// What [`encode`](Self::encode) gave.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let Document { counter, off, items } = serde_json::from_slice(bytes).ok()?;
        let items = items.into_iter().map(|(text, entry)| Some((item(&text)?, entry))).collect::<Option<_>>()?;
        Some(Self { counter, off, items })
    }

    /// The version that the item's next change has.
    pub(super) fn next_version(&self, item: &Item) -> u64 {
        self.items.get(item).map_or(0, |entry| entry.version).saturating_add(1)
    }

    /// Makes the version with this tag the one that counts, from this manifest on.
    pub(super) fn put(&mut self, item: &Item, version: u64, tag: String, deleted: bool) {
        let kept = u64::try_from(REFERENCE_VERSIONS).unwrap_or(u64::MAX);
        let oldest = version.saturating_sub(kept).saturating_add(1);
        let first = self.items.get(item).map_or(version, |entry| entry.first).max(oldest);
        self.items.insert(item.clone(), Entry { version, first, since: self.counter, tag, deleted });
    }

    /// Forgets the items that were deleted longest ago beyond [`REFERENCE_TOMBSTONES`].
    pub(super) fn forget(&mut self) {
        let mut deleted: Vec<(u64, Item)> = self
            .items
            .iter()
            .filter(|(_, entry)| entry.deleted)
            .map(|(item, entry)| (entry.since, item.clone()))
            .collect();
        let beyond = deleted.len().saturating_sub(REFERENCE_TOMBSTONES);
        deleted.sort_unstable();
        for (_, item) in deleted.into_iter().take(beyond) {
            self.items.remove(&item);
        }
    }

    /// Whether more items of one kind are in force than are ever loaded.
    pub(super) fn is_too_large(&self) -> bool {
        [DefinitionKind::Job, DefinitionKind::Plugin].into_iter().any(|kind| {
            self.items.iter().filter(|(item, entry)| item.kind == kind && !entry.deleted).count() > DEFINITIONS
        })
    }

    /// Every version that is kept, oldest first for each item.
    pub(super) fn versions(&self) -> impl Iterator<Item = (&Item, u64)> {
        self.items.iter().flat_map(|(item, entry)| (entry.first..=entry.version).map(move |version| (item, version)))
    }
}

fn item(text: &str) -> Option<Item> {
    let (folder, id) = text.split_once('/')?;
    let kind = [DefinitionKind::Job, DefinitionKind::Plugin].into_iter().find(|kind| kind.folder() == folder)?;
    Some(Item { kind, id: id.to_owned() })
}
