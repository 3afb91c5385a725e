//! The protocol of references: what is written in which order, what counts after a crash, and what is a rollback.
//!
//! A change seals new versions into files of their own, brings these to disk, and then replaces the manifest, which is the commit:
//! one item or twenty thousand change as one. Before the very first one comes an empty manifest (counter 0), so that versions
//! without a manifest always mean that somebody took it away. A new key works alike: everything is sealed again beside what is
//! there, and the manifest, sealed with the new key, says that the old one counts no more.
//!
//! | file | has | written |
//! | --- | --- | --- |
//! | `Jobs.{id}.{version}.{key id}` | one version: document (or that it was removed), writer, time | once, before the manifest that names it |
//! | `manifest` | a counter; version, tag and oldest kept version of each item | replaced at once: this is the commit |
//!
//! What no manifest names is what a crash left; it is removed.

mod change;
mod disk;
mod history;
mod manifest;
mod record;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use self::manifest::{Entry, Manifest};
use self::record::Record;
use super::{Item, Reference, References};
use crate::event::DefinitionKind;

pub use disk::{Disk, Seal, Stamp};
pub use record::{KeyId, Purpose};

/// Sentences about what could not be tidied up that wait to be taken; so many at once have one reason.
const NOTICES: usize = 100;

/// The references on a disk.
#[derive(Debug)]
pub struct Vault<D, S> {
    disk: D,
    seal: S,
    /// With what the manifest on disk is sealed; `None` where there is none, or none that opens.
    key: Option<KeyId>,
    manifest: Manifest,
    /// The tag of the manifest on disk.
    tag: Option<String>,
    /// Why nothing that is on disk counts; ends with a new key.
    lost: Option<String>,
    /// Why the manifest on disk is not the one in memory; ends when it is there again.
    doubt: Option<String>,
    /// The least that the next counter has to be above.
    floor: u64,
    /// Files as they were when they were opened last.
    stamps: BTreeMap<String, Stamp>,
    /// Items that are out of service, and why.
    damaged: BTreeMap<Item, String>,
    /// Strays that could not be removed, each told once.
    stuck: BTreeSet<String>,
    notices: Vec<String>,
}

/// What a look at the references found.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// Items that are out of service from now on, or in service again with this content.
    pub changed: Vec<Reference>,
    /// Why no reference on disk can be relied on: what was loaded stays in force, and nothing is written.
    pub doubt: Option<String>,
    /// The manifest's counter and the public name of the key, where references are sound.
    pub sealed: Option<(u64, String)>,
}

impl<D: Disk, S: Seal> Vault<D, S> {
    /// Opens what is there and removes what a crash left. `anchor` is the last counter that is known from elsewhere; it may lag behind.
    pub fn open(disk: D, seal: S, anchor: Option<u64>) -> (Self, References) {
        let mut vault = Self {
            disk,
            seal,
            key: None,
            manifest: Manifest::default(),
            tag: None,
            lost: None,
            doubt: None,
            floor: anchor.unwrap_or(0),
            stamps: BTreeMap::new(),
            damaged: BTreeMap::new(),
            stuck: BTreeSet::new(),
            notices: Vec::new(),
        };
        let references = vault.load(anchor).unwrap_or_else(|why| {
            vault.lost = Some(why.clone());
            References::Unusable(why)
        });
        (vault, references)
    }

    /// How often the references were changed; for the anchor.
    pub fn counter(&self) -> u64 {
        self.manifest.counter
    }

    /// The name of the key in use.
    pub fn key_id(&self) -> Option<KeyId> {
        self.key
    }

    /// What could not be tidied up since the last call, as sentences; nothing that counts depends on it.
    pub fn take_notices(&mut self) -> Vec<String> {
        core::mem::take(&mut self.notices)
    }

    fn tell(&mut self, what: String) {
        if self.notices.len() < NOTICES {
            self.notices.push(what);
        }
    }

    fn load(&mut self, anchor: Option<u64>) -> Result<References, String> {
        let found = self.disk.list()?;
        let Some(stamp) = found.get(manifest::NAME) else {
            return self.nothing_kept(&found, anchor);
        };
        let (key, tag, manifest) = self.read_manifest()?;
        self.floor = self.floor.max(manifest.counter);
        if let Some(anchor) = anchor.filter(|anchor| *anchor > manifest.counter) {
            return Err(format!(
                "state/lkg/manifest is older than it was: it has counter {}, and the history knows of {anchor}. Somebody put back an \
                 old one. Put back the newest, or begin anew with `castellan lkg rekey`.",
                manifest.counter
            ));
        }
        self.stamps.insert(manifest::NAME.to_string(), *stamp);
        (self.key, self.tag, self.manifest) = (Some(key), Some(tag), manifest);
        // A commit that was interrupted may be seen and not be on disk yet; what it replaced must not go before it is.
        match self.disk.sync().and_then(|()| self.seal.keep(key)) {
            Ok(()) => self.remove_strays(&found),
            Err(failed) => self.tell(failed.reason),
        }
        if self.manifest.counter == 0 {
            return Ok(References::First { lone_key: false });
        }
        let current: Vec<(Item, Entry)> = self.manifest.items.clone().into_iter().collect();
        let items = current.into_iter().map(|(item, entry)| self.look(item, &entry, &found)).collect();
        let (counter, was_off) = (self.manifest.counter, self.manifest.off);
        Ok(References::Kept { counter, key_id: key.to_string(), items, was_off })
    }

    fn nothing_kept(&mut self, found: &BTreeMap<String, Stamp>, anchor: Option<u64>) -> Result<References, String> {
        // A crash before the first manifest leaves its draft and nothing else.
        let (drafts, versions): (Vec<String>, Vec<String>) =
            found.keys().cloned().partition(|name| name.starts_with('.'));
        let known = match anchor {
            Some(anchor) => format!("the history knows that they were changed {anchor} times"),
            None if versions.is_empty() => {
                self.discard(drafts);
                return Ok(References::First { lone_key: false });
            }
            None => format!("{} of their files are there", versions.len()),
        };
        Err(format!(
            "state/lkg/manifest is gone, though references were kept: {known}. Put it back, or begin anew with `castellan lkg rekey`."
        ))
    }

    /// The manifest on disk: key, tag and content.
    fn read_manifest(&mut self) -> Result<(KeyId, String, Manifest), String> {
        const HELP: &str = "Put it back, or make a new key with `castellan lkg rekey`.";
        let bytes = self.disk.read(manifest::NAME)?;
        let bytes = bytes.ok_or_else(|| format!("state/lkg/manifest is gone. {HELP}"))?;
        let (key, sealed) = record::unwrap(&bytes).map_err(|what| format!("state/lkg/manifest {what}. {HELP}"))?;
        let keys = self.seal.keys();
        if !keys.contains(&key) {
            let what = if keys.is_empty() { "is missing" } else { "is not the one" };
            return Err(format!(
                "the key of the references {what}: state/lkg/manifest is sealed with the key {key}. Put state/keys/lkg.key (or the \
                 systemd credential lkg.key) back, or make a new one with `castellan lkg rekey`."
            ));
        }
        let opened = self.seal.open(key, Purpose::Manifest, &record::bound_to(key, None), sealed);
        let manifest = opened.and_then(|plain| Manifest::decode(&plain));
        let manifest = manifest.ok_or_else(|| format!("state/lkg/manifest was changed and does not open. {HELP}"))?;
        Ok((key, record::tag(sealed), manifest))
    }

    /// One version of an item; `tag` where only the file with this one counts.
    fn read_record(&mut self, item: &Item, version: u64, tag: Option<&str>) -> Result<Record, String> {
        let key = self.key.ok_or_else(|| String::from("No references are kept yet."))?;
        let name = record::name(item, version, key);
        let wrong = |what: &str| {
            let anew = match item.kind {
                DefinitionKind::Job => "write it anew with `castellan jobs apply FILE`, ",
                DefinitionKind::Plugin => "",
            };
            format!(
                "state/lkg/{name} {what}. Put it back, {anew}go back with `castellan lkg rollback {item} VERSION`, or, where its \
                 file is there, bless that with `castellan lkg accept {item}`."
            )
        };
        let bytes = self.disk.read(&name)?.ok_or_else(|| wrong("is gone"))?;
        let (found, sealed) = record::unwrap(&bytes).map_err(wrong)?;
        if found != key {
            return Err(wrong("is sealed with another key"));
        }
        if tag.is_some_and(|tag| tag != record::tag(sealed)) {
            return Err(wrong("is not the one that the manifest names: another file stands in its place"));
        }
        let opened = self.seal.open(key, Purpose::Record, &record::bound_to(key, Some((item, version))), sealed);
        opened.and_then(|plain| record::decode(&plain)).ok_or_else(|| wrong("was changed and does not open"))
    }

    /// Opens the version that counts and remembers what its file looked like.
    fn look(&mut self, item: Item, entry: &Entry, found: &BTreeMap<String, Stamp>) -> Reference {
        let content = self.read_record(&item, entry.version, Some(&entry.tag)).map(|record| record.document);
        if let Some(key) = self.key {
            let name = record::name(&item, entry.version, key);
            match found.get(&name) {
                Some(stamp) => self.stamps.insert(name, *stamp),
                None => self.stamps.remove(&name),
            };
        }
        match &content {
            Ok(_) => self.damaged.remove(&item),
            Err(why) => self.damaged.insert(item.clone(), why.clone()),
        };
        Reference { item, version: entry.version, content }
    }

    /// The same of every file, whether it looks different or not.
    pub fn check_thoroughly(&mut self) -> Checked {
        self.stamps.clear();
        self.check()
    }

    /// Looks whether the files are still those that were opened; cheap enough for each sweep, as only files that look different are
    /// opened again.
    pub fn check(&mut self) -> Checked {
        let doubt = |why| Checked { doubt: Some(why), ..Checked::default() };
        if let Some(why) = &self.lost {
            return doubt(why.clone());
        }
        let found = match self.disk.list() {
            Ok(found) => found,
            Err(why) => return doubt(why),
        };
        self.doubt = self.check_manifest(&found).err().or_else(|| self.missing_key());
        if let Some(why) = &self.doubt {
            return doubt(why.clone());
        }
        let Some(key) = self.key else { return Checked::default() };
        self.remove_strays(&found);
        let looks_different = |(item, entry): &(&Item, &Entry)| {
            let name = record::name(item, entry.version, key);
            let stamp = found.get(&name);
            stamp.is_none() || stamp != self.stamps.get(&name)
        };
        let different: Vec<(Item, Entry)> = self
            .manifest
            .items
            .iter()
            .filter(looks_different)
            .map(|(item, entry)| (item.clone(), entry.clone()))
            .collect();
        let mut changed = Vec::new();
        for (item, entry) in different {
            let before = self.damaged.get(&item).cloned();
            let reference = self.look(item, &entry, &found);
            if reference.content.as_ref().err() != before.as_ref() {
                changed.push(reference);
            }
        }
        Checked { changed, doubt: None, sealed: Some((self.manifest.counter, key.to_string())) }
    }

    /// What is sealed with a key that the next start does not find is lost.
    fn missing_key(&self) -> Option<String> {
        self.key.and_then(|key| self.seal.missing(key))
    }

    fn check_manifest(&mut self, found: &BTreeMap<String, Stamp>) -> Result<(), String> {
        let stamp = found.get(manifest::NAME);
        if self.doubt.is_none() && stamp == self.stamps.get(manifest::NAME) && stamp.is_some() == self.tag.is_some() {
            return Ok(());
        }
        if stamp.is_some() || self.tag.is_some() {
            let (_, tag, manifest) = self.read_manifest()?;
            if self.tag.as_ref() != Some(&tag) {
                return Err(format!(
                    "state/lkg/manifest is not the one that this agent wrote last: it has counter {}, and should have {}. Put that one \
                     back, start the agent again, or have all sealed with a new key by `castellan lkg rekey`.",
                    manifest.counter, self.manifest.counter
                ));
            }
        }
        match stamp {
            Some(stamp) => self.stamps.insert(manifest::NAME.to_string(), *stamp),
            None => self.stamps.remove(manifest::NAME),
        };
        Ok(())
    }

    /// Removes what neither is the manifest nor stands in it.
    fn remove_strays(&mut self, found: &BTreeMap<String, Stamp>) {
        let Some(key) = self.key else { return };
        self.stuck.retain(|name| found.contains_key(name));
        // With as many files as there should be none is a stray, unless one is gone as well, which is no hurry: this spares each look the
        // names of all versions.
        if found.len() == self.manifest.versions().count().saturating_add(1) {
            return;
        }
        let named: BTreeSet<String> =
            self.manifest.versions().map(|(item, version)| record::name(item, version, key)).collect();
        let strays = found.keys().filter(|name| *name != manifest::NAME && !named.contains(*name));
        self.discard(strays.cloned().collect());
    }

    /// Removes files that do not count; what stays is a stray at the next look.
    fn discard(&mut self, names: Vec<String>) {
        for name in names {
            self.stamps.remove(&name);
            if let Err(failed) = self.disk.remove(&name)
                && self.stuck.insert(name)
            {
                self.tell(failed.reason);
            }
        }
    }
}
