//! The store of the simulated root: carries out orders as `castellan-fs` does, on a disk that loses, tears and delays writes, and holds
//! what it finds after a crash against what it wrote.

use std::collections::{BTreeMap, BTreeSet};

use castellan_core::event::{DefinitionFile, DefinitionKind};
use castellan_core::hexadecimal;
use castellan_core::lkg::vault::{Disk, Vault};
use castellan_core::lkg::{
    Checked, DefinitionChange, Difference, Document, Former, Found, FoundDocument, Item, NotWritten, Reference,
    ReferenceQuery, References, ReferencesFound, Survey, Trace,
};
use castellan_core::time::WallTime;

use super::super::ledger::{Broken, broken};
use super::people::mark_of;
use crate::vaults::{Blessed, Fault, Handle, apply};

/// References and files of one root, and the store while it is open.
#[derive(Debug, Default)]
pub(super) struct Guard {
    references: Handle,
    /// Both folders, by the item's name.
    pub(super) files: Handle,
    /// `None` while Last Known Good is off.
    vault: Option<Vault<Handle, Handle>>,
    /// How each item has to stand on disk.
    blessed: BTreeMap<Item, Document>,
    /// The newest copy of each item that was moved away.
    quarantine: Blessed,
    /// Items that the watcher saw change.
    pub(super) seen: BTreeSet<Item>,
    /// The counter that the history knows.
    anchor: Option<u64>,
    /// What was committed last; `None` before the first time.
    pub(super) committed: Option<Blessed>,
    /// What may count instead, where the store said so of a commit that failed.
    unsure: Vec<Blessed>,
    is_lost: bool,
}

/// Each item with what tells its document from all others.
pub(super) fn shown(blessed: &Blessed) -> String {
    let one = |(item, bytes): (&Item, &Vec<u8>)| format!("{item} {} ({} bytes)", mark_of(bytes), bytes.len());
    format!("[{}]", blessed.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// The item of a file.
fn item_of(name: &str) -> Option<Item> {
    let (folder, id) = name.split_once('/')?;
    let kinds = [DefinitionKind::Job, DefinitionKind::Plugin];
    kinds.into_iter().find(|kind| kind.folder() == folder).map(|kind| Item::new(kind, id))
}

impl Guard {
    /// Both disks of the machine; a fault of one of them may stop it.
    pub(super) fn is_stopped(&self) -> bool {
        self.references.is_stopped() || self.files.is_stopped()
    }

    pub(super) fn break_after(&self, calls: u32, fault: Fault, of_files: bool, dice: u64) {
        let disk = if of_files { &self.files } else { &self.references };
        disk.break_after(calls, fault, dice);
    }

    /// Power goes and comes back.
    pub(super) fn restart(&mut self) {
        self.references.restart();
        self.files.restart();
    }

    /// What stands in the folders.
    pub(super) fn on_disk(&self) -> Blessed {
        let content = |name: String| Some((item_of(&name)?, self.files.content(&name)));
        self.files.names().into_iter().filter_map(content).collect()
    }

    pub(super) fn read(&self) -> Vec<DefinitionFile> {
        let file = |(item, bytes): (Item, Vec<u8>)| DefinitionFile {
            kind: item.kind,
            stem: item.id,
            content: Ok(bytes.into()),
        };
        self.on_disk().into_iter().map(file).collect()
    }

    /// What a start finds; it is what was committed last, or may have been.
    pub(super) fn open(&mut self, is_on: bool) -> Result<References, Broken> {
        for draft in self.files.names().into_iter().filter(|name| name.starts_with('.')) {
            self.files.tamper(&draft, None);
        }
        self.blessed.clear();
        self.seen.clear();
        let (mut vault, found) = Vault::open(self.references.clone(), self.references.clone(), self.anchor);
        self.hold_against_what_was_written(&found)?;
        self.vault = None;
        if !is_on {
            // Where it cannot be noted, what is edited meanwhile is drift once it is on again.
            drop(vault.note_off(true));
            return Ok(References::Off);
        }
        if let References::Kept { items, .. } = &found {
            items.iter().for_each(|reference| self.bless(reference));
        }
        self.is_lost = matches!(found, References::Unusable(_));
        self.vault = Some(vault);
        Ok(found)
    }

    fn hold_against_what_was_written(&mut self, found: &References) -> Result<(), Broken> {
        let blessed: Option<Blessed> = match found {
            References::First { .. } => None,
            References::Kept { items, .. } => {
                let mut blessed = Blessed::new();
                for Reference { item, content, .. } in items {
                    match content {
                        Ok(Some(document)) => drop(blessed.insert(item.clone(), document.to_vec())),
                        Ok(None) => {}
                        Err(why) => return broken("one-or-other", why.clone()),
                    }
                }
                Some(blessed)
            }
            References::Off | References::Unusable(_) => return broken("one-or-other", format!("{found:?}")),
        };
        let may_count = blessed.as_ref().is_some_and(|blessed| self.unsure.contains(blessed));
        if blessed != self.committed && !may_count {
            let [found, committed] =
                [&blessed, &self.committed].map(|one| one.as_ref().map_or_else(String::new, shown));
            let unsure: Vec<String> = self.unsure.iter().map(shown).collect();
            return broken("one-or-other", format!("{found} is neither {committed} nor one of {unsure:?}"));
        }
        (self.committed, self.unsure) = (blessed, Vec::new());
        Ok(())
    }

    fn bless(&mut self, Reference { item, content, .. }: &Reference) {
        match content {
            Ok(Some(document)) => drop(self.blessed.insert(item.clone(), document.clone())),
            Ok(None) | Err(_) => drop(self.blessed.remove(item)),
        }
    }

    pub(super) fn change(&mut self, changes: &[DefinitionChange], at: WallTime) -> Result<Vec<u64>, NotWritten> {
        let after = apply(self.committed.as_ref().unwrap_or(&Blessed::new()), changes);
        // The drafts of the files.
        self.files.sync()?;
        let versions = match &mut self.vault {
            None => None,
            Some(vault) => match vault.change(changes, "law", at) {
                Ok(versions) => {
                    (self.committed, self.unsure) = (Some(after), Vec::new());
                    Some((versions, vault.counter()))
                }
                Err(failed) => {
                    if failed.reason.contains("may count nevertheless") {
                        self.unsure.push(after);
                    }
                    return Err(failed);
                }
            },
        };
        let mut published = Ok(());
        for DefinitionChange { item, document } in changes {
            self.seen.insert(item.clone());
            published = published.and(self.put(item, document.as_ref()));
        }
        let Some((versions, counter)) = versions else {
            return published.map(|()| vec![0; changes.len()]);
        };
        // What could not be published is drift.
        for DefinitionChange { item, document } in changes {
            let reference = Reference { item: item.clone(), version: 0, content: Ok(document.clone()) };
            self.bless(&reference);
        }
        self.anchor = Some(counter);
        Ok(versions)
    }

    fn put(&mut self, item: &Item, document: Option<&Document>) -> Result<(), NotWritten> {
        let name = item.to_string();
        match document {
            Some(document) => self.files.replace(&name, document),
            None => self.files.remove(&name).and_then(|()| self.files.sync()),
        }
    }

    /// What stands in the place of an item, where that is not what is blessed.
    fn difference(&mut self, item: &Item) -> Option<Found> {
        let there = self.files.read(&item.to_string()).ok().flatten();
        let blessed = self.blessed.get(item);
        match there {
            Some(content) if blessed.is_none_or(|blessed| **blessed != *content) => {
                Some(Found::Bytes { content: content.into(), trace: Trace::default() })
            }
            None if blessed.is_some() => Some(Found::Missing),
            Some(_) | None => None,
        }
    }

    /// Looks at these items, or at everything.
    pub(super) fn survey(&mut self, at: Option<BTreeSet<Item>>, is_thorough: bool) -> (Survey, Checked) {
        let whole = at.is_none();
        let Some(vault) = &mut self.vault else { return (Survey { whole, ..Survey::default() }, Checked::default()) };
        let checked = match (whole, is_thorough) {
            (_, true) => vault.check_thoroughly(),
            (true, false) => vault.check(),
            (false, false) => Checked::default(),
        };
        checked.changed.iter().for_each(|reference| self.bless(reference));
        let everything = || self.on_disk().into_keys().chain(self.blessed.keys().cloned()).collect();
        let items = at.unwrap_or_else(everything);
        let differs = |item: Item| self.difference(&item).map(|found| Difference { item, found });
        let differences = items.into_iter().filter_map(differs).collect();
        (Survey { whole, differences, ..Survey::default() }, checked)
    }

    pub(super) fn restore(&mut self, item: &Item) -> Result<Option<String>, String> {
        let Some(found) = self.difference(item) else { return Ok(None) };
        let document = self.blessed.get(item).cloned();
        self.seen.insert(item.clone());
        let mut moved = None;
        if let Found::Bytes { content, .. } = found {
            self.put(item, None).map_err(|failed| failed.reason)?;
            self.quarantine.insert(item.clone(), content.to_vec());
            moved = Some(item.to_string());
        }
        match document {
            Some(document) => self.put(item, Some(&document)).map_err(|failed| failed.reason).map(|()| moved),
            None => Ok(moved),
        }
    }

    pub(super) fn look_up(&mut self, query: &ReferenceQuery) -> Result<ReferencesFound, String> {
        let Some(vault) = &mut self.vault else { return Err(String::from("off.")) };
        Ok(match query {
            ReferenceQuery::History(item) => ReferencesFound::History(vault.history(item)?),
            ReferenceQuery::Version(item, version) => {
                let document = vault.version(item, *version)?;
                ReferencesFound::Document(
                    document.map(|document| found_document(Some(document), format!("version {version}"))),
                )
            }
            ReferenceQuery::Candidate(item, former) => {
                let difference = self.difference(item);
                let copy = || self.quarantine.get(item).map(|copy| Some(Document::from(copy.as_slice())));
                let found = match (difference, former) {
                    (Some(Found::Bytes { content, .. }), _) => Some(Some(Document::from(content.as_slice()))),
                    (Some(Found::Missing), _) | (_, Some(Former::Nothing)) => Some(None),
                    (_, Some(Former::Copy(_) | Former::NewestCopy)) => copy(),
                    (Some(Found::Rights { .. } | Found::Other { .. }) | None, None) => None,
                };
                ReferencesFound::Document(found.map(|document| found_document(document, item.to_string())))
            }
            ReferenceQuery::Quarantine => ReferencesFound::Quarantine(Vec::new()),
        })
    }

    pub(super) fn rekey(&mut self) -> Result<String, NotWritten> {
        let Some(vault) = &mut self.vault else { return Err(NotWritten::because("off.")) };
        vault.rekey()?;
        if std::mem::take(&mut self.is_lost) {
            vault.note_off(true)?;
        }
        self.anchor = Some(vault.counter());
        Ok(vault.key_id().map(|key| key.to_string()).unwrap_or_default())
    }

    pub(super) fn settle_held(&mut self) {
        if let Some(vault) = &mut self.vault
            && vault.note_off(false).is_ok()
        {
            self.anchor = Some(vault.counter());
        }
    }

    pub(super) const fn is_on(&self) -> bool {
        self.vault.is_some()
    }

    /// How often the references were changed.
    pub(super) fn counter(&self) -> u64 {
        self.vault.as_ref().map_or(0, Vault::counter)
    }
}

/// What was found, by its bytes: nobody looks for another of one digest here.
fn found_document(document: Option<Document>, from: String) -> FoundDocument {
    let sha256 = document.as_ref().map(|document| hexadecimal(document)).unwrap_or_default();
    FoundDocument { document, from, sha256 }
}
