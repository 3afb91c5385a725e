//! Changes of references, each committed by one manifest.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Disk, KeyId, Manifest, Purpose, Seal, Vault, manifest, record};
use crate::limits::DEFINITIONS;
use crate::lkg::{Cause, DefinitionChange, Item, NotWritten};
use crate::time::WallTime;

impl<D: Disk, S: Seal> Vault<D, S> {
    /// Makes all of these documents the blessed ones, on disk when it returns, and gives the version of each. An item that has its
    /// document already keeps its version; of several changes of one item the last one counts. The very first change counts also
    /// without any item: from then on there are references.
    ///
    /// # Errors
    /// [`NotWritten`]; then every item has the reference that it had, or, where the sentence says so, the next start decides.
    pub fn change(&mut self, changes: &[DefinitionChange], writer: &str, at: WallTime) -> Result<Vec<u64>, NotWritten> {
        self.writable()?;
        let key = self.begin()?;
        let last: BTreeMap<&Item, &DefinitionChange> = changes.iter().map(|change| (&change.item, change)).collect();
        let mut next = self.next_manifest();
        let mut written = Vec::new();
        let is_first = self.manifest.counter == 0;
        let committed = last
            .into_values()
            .try_for_each(|change| match self.has(change) {
                true => Ok(()),
                false => self.write_version(key, &mut next, change, (writer, at), &mut written),
            })
            .and_then(|()| {
                if written.is_empty() && !is_first {
                    return Ok(());
                }
                if next.is_too_large() {
                    return Err(NotWritten::because(format!(
                        "There would be more than {DEFINITIONS} jobs, or as many plugins. Delete some first."
                    )));
                }
                next.forget();
                self.commit(key, next)
            });
        if let Err(failed) = committed {
            // Where the new manifest may count, what it names has to stay.
            if self.doubt.is_none() {
                self.discard(written);
            }
            return Err(failed);
        }
        self.drop_old(key, changes);
        Ok(changes
            .iter()
            .map(|change| self.manifest.items.get(&change.item).map_or(0, |entry| entry.version))
            .collect())
    }

    /// Remembers whether files may change without being blessed, for the start after the one at which they may no longer. Where
    /// nothing is kept or nothing changes, nothing is written.
    ///
    /// # Errors
    /// [`NotWritten`], as for a change.
    pub fn note_off(&mut self, off: bool) -> Result<(), NotWritten> {
        if self.manifest.counter == 0 || self.manifest.off == off {
            return Ok(());
        }
        self.writable()?;
        let key = self.begin()?;
        let next = Manifest { off, ..self.next_manifest() };
        self.commit(key, next)
    }

    fn writable(&self) -> Result<(), NotWritten> {
        match self.lost.clone().or_else(|| self.doubt.clone()).or_else(|| self.missing_key()) {
            Some(reason) => Err(NotWritten { cause: Cause::Unusable, reason }),
            None => Ok(()),
        }
    }

    /// The key, made with an empty manifest where there is none yet.
    fn begin(&mut self) -> Result<KeyId, NotWritten> {
        if let Some(key) = self.key {
            return Ok(key);
        }
        let key = match self.seal.keys().first() {
            Some(key) => *key,
            None => self.seal.create(None)?,
        };
        self.commit(key, Manifest::default())?;
        Ok(key)
    }

    /// What counts now, under a counter above everything that is known.
    fn next_manifest(&self) -> Manifest {
        let counter = self.manifest.counter.max(self.floor).saturating_add(1);
        Manifest { counter, ..self.manifest.clone() }
    }

    /// Whether the item's reference is sound and says the same already.
    fn has(&mut self, change: &DefinitionChange) -> bool {
        let Some(entry) = self.manifest.items.get(&change.item).cloned() else {
            return change.document.is_none();
        };
        self.read_record(&change.item, entry.version, Some(&entry.tag))
            .is_ok_and(|record| record.document == change.document)
    }

    fn write_version(
        &mut self,
        key: KeyId,
        next: &mut Manifest,
        change: &DefinitionChange,
        (writer, at): (&str, WallTime),
        written: &mut Vec<String>,
    ) -> Result<(), NotWritten> {
        let DefinitionChange { item, document } = change;
        let version = next.next_version(item);
        let plain = record::encode(writer, at, document.as_deref()).map_err(NotWritten::because)?;
        let tag = self.write_record(key, item, version, &plain, written)?;
        next.put(item, version, tag, document.is_none());
        Ok(())
    }

    /// Seals and writes one version; gives its tag.
    fn write_record(
        &mut self,
        key: KeyId,
        item: &Item,
        version: u64,
        plain: &[u8],
        written: &mut Vec<String>,
    ) -> Result<String, NotWritten> {
        let bound_to = record::bound_to(key, Some((item, version)));
        let sealed = self.seal.seal(key, Purpose::Record, &bound_to, plain).map_err(NotWritten::because)?;
        let name = record::name(item, version, key);
        written.push(name.clone());
        self.disk.write(&name, &record::wrap(key, &sealed))?;
        Ok(record::tag(&sealed))
    }

    /// Brings what was written to disk, then makes this manifest the one that counts.
    fn commit(&mut self, key: KeyId, next: Manifest) -> Result<(), NotWritten> {
        self.disk.sync()?;
        let plain = next.encode().map_err(NotWritten::because)?;
        let sealed = self
            .seal
            .seal(key, Purpose::Manifest, &record::bound_to(key, None), &plain)
            .map_err(NotWritten::because)?;
        let tag = record::tag(&sealed);
        if let Err(mut failed) = self.disk.replace(manifest::NAME, &record::wrap(key, &sealed)) {
            // Whether it happened is what the disk says.
            let is_new = |bytes: Vec<u8>| record::unwrap(&bytes).is_ok_and(|(_, sealed)| record::tag(sealed) == tag);
            if self.disk.read(manifest::NAME).map_or(true, |bytes| bytes.is_some_and(is_new)) {
                failed.reason = format!(
                    "{} It may count nevertheless: start the agent again to see. Until then nothing is written.",
                    failed.reason
                );
                self.doubt = Some(failed.reason.clone());
            }
            return Err(failed);
        }
        self.stamps.remove(manifest::NAME);
        (self.key, self.tag, self.manifest) = (Some(key), Some(tag), next);
        Ok(())
    }

    /// After the commit: versions that are kept no longer, and what was said of the items before.
    fn drop_old(&mut self, key: KeyId, changes: &[DefinitionChange]) {
        for DefinitionChange { item, .. } in changes {
            let Some(entry) = self.manifest.items.get(item) else { continue };
            let (version, first) = (entry.version, entry.first);
            self.stamps.remove(&record::name(item, version, key));
            if first > 1 {
                self.discard(Vec::from([record::name(item, first.saturating_sub(1), key)]));
            }
            if version > 1 {
                self.stamps.remove(&record::name(item, version.saturating_sub(1), key));
            }
            self.damaged.remove(item);
        }
    }

    /// Takes a new key and seals everything again that can be opened, as one change; gives the number of versions. An item whose
    /// reference is damaged stays out of service. Where nothing counts any more, nothing is blessed afterwards: the way to begin anew.
    ///
    /// # Errors
    /// [`NotWritten`]; then the old key and what it sealed count as before.
    pub fn rekey(&mut self) -> Result<usize, NotWritten> {
        if self.lost.is_none() && self.manifest.counter == 0 {
            return Err(NotWritten::because("There is no key of references to replace: none were kept yet."));
        }
        let before = self.key;
        if let Some(before) = before {
            // An older key may still be there where removing it failed; the new one must not take the place of the one in use.
            self.seal.keep(before)?;
        }
        let key = self.seal.create(before)?;
        let mut written = Vec::new();
        let sealed = self.seal_again(key, &mut written).and_then(|next| self.commit(key, next));
        if let Err(failed) = sealed {
            if self.doubt.is_none() {
                self.discard(written);
                if let Some(Err(left)) = before.map(|before| self.seal.keep(before)) {
                    self.tell(left.reason);
                }
            }
            return Err(failed);
        }
        (self.lost, self.doubt) = (None, None);
        // Which items are damaged is what the agent was told; the next check looks at every file again and tells what changed.
        self.stamps.clear();
        if let Err(left) = self.seal.keep(key) {
            self.tell(left.reason);
        }
        match self.disk.list() {
            Ok(found) => self.remove_strays(&found),
            Err(why) => self.tell(why),
        }
        Ok(written.len())
    }

    fn seal_again(&mut self, key: KeyId, written: &mut Vec<String>) -> Result<Manifest, NotWritten> {
        let mut next = self.next_manifest();
        let versions: Vec<(Item, u64)> =
            self.manifest.versions().map(|(item, version)| (item.clone(), version)).collect();
        for (item, version) in versions {
            let tag = self.manifest.items.get(&item).filter(|entry| entry.version == version).map(|entry| &entry.tag);
            let tag = tag.cloned();
            let record = match self.read_record(&item, version, tag.as_deref()) {
                Ok(record) => record,
                Err(why) => {
                    self.tell(why);
                    continue;
                }
            };
            let plain =
                record::encode(&record.writer, record.at, record.document.as_deref()).map_err(NotWritten::because)?;
            let sealed = self.write_record(key, &item, version, &plain, written)?;
            if let Some(entry) = next.items.get_mut(&item).filter(|_| tag.is_some()) {
                entry.tag = sealed;
            }
        }
        Ok(next)
    }
}
