//! Former versions of an item.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Disk, Entry, Seal, Vault};
use crate::hexadecimal;
use crate::lkg::{Document, Item, ReferenceVersion};

impl<D: Disk, S: Seal> Vault<D, S> {
    /// The versions that are kept of an item, newest first; one that cannot be read is a notice instead.
    ///
    /// # Errors
    /// A sentence where the item has no reference.
    pub fn history(&mut self, item: &Item) -> Result<Vec<ReferenceVersion>, String> {
        let entry = self.entry(item)?;
        let mut versions = Vec::new();
        for version in (entry.first..=entry.version).rev() {
            match self.facts(item, &entry, version) {
                Ok(facts) => versions.push(facts),
                Err(why) => self.tell(why),
            }
        }
        Ok(versions)
    }

    /// The document of one version; `None` where it says that the item was deleted, and where it is not kept.
    ///
    /// # Errors
    /// A sentence where that version cannot be read.
    pub fn version(&mut self, item: &Item, number: u64) -> Result<Option<Document>, String> {
        let entry = self.manifest.items.get(item).cloned();
        let Some(entry) = entry.filter(|entry| (entry.first..=entry.version).contains(&number)) else {
            return Ok(None);
        };
        self.read_record(item, number, entry.tag_of(number)).map(|record| record.document)
    }

    fn facts(&mut self, item: &Item, entry: &Entry, version: u64) -> Result<ReferenceVersion, String> {
        let record = self.read_record(item, version, entry.tag_of(version))?;
        let document = record.document.as_ref();
        Ok(ReferenceVersion {
            version,
            time: record.at.to_rfc3339(),
            writer: record.writer,
            bytes: document.map(|document| u64::try_from(document.len()).unwrap_or(u64::MAX)),
            sha256: document.map(|document| hexadecimal(&self.seal.sha256(document))),
        })
    }

    fn entry(&self, item: &Item) -> Result<Entry, String> {
        self.manifest.items.get(item).cloned().ok_or_else(|| {
            format!("{item} has no reference. `castellan lkg status` lists those that have; `castellan lkg accept {item}` makes one.")
        })
    }
}

impl Entry {
    /// The tag that the file of this version must have, where the manifest knows.
    fn tag_of(&self, number: u64) -> Option<&str> {
        (number == self.version).then_some(self.tag.as_str())
    }
}
