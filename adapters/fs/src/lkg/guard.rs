//! Last Known Good as the store's thread carries it out: references, the files beside them, and what was moved away.

use std::mem::take;
use std::sync::Arc;

use castellan_core::event::{DefinitionFile, DefinitionKind};
use castellan_core::lkg::{
    Checked, DefinitionChange, Document, FoundDocument, Item, LkgNotice, NotWritten, ReferenceQuery, References,
    ReferencesFound, Survey,
};
use castellan_core::time::WallTime;

use super::quarantine::{Moved, Quarantine};
use super::survey::{Surveyor, Where};
use super::watch::Looks;
use super::{Changed, ReferenceStore, change, remove_drafts};
use crate::digest::sha256;
use crate::error::RootError;
use crate::history::History;
use crate::root::Root;

/// What is answered where Last Known Good is off.
const OFF: &str = "no references are kept: ConfigurationLkg:Enabled is false.";

/// Jobs and plugins on disk, with their references where these are kept.
#[derive(Debug)]
pub struct Guard {
    root: Root,
    plugin_path: String,
    kept: Option<Kept>,
    looks: Arc<Looks>,
    notices: Vec<String>,
    /// What counts since the start, where no references are kept, until it is held against what stands there once that is watched.
    at_start: Option<Vec<DefinitionFile>>,
    /// Copies in quarantine that were deleted to make room, and not told of yet.
    deleted: usize,
    /// The folder of plugins that references were of, where it was another one, until that is told.
    former_plugins: Option<String>,
}

#[derive(Debug)]
struct Kept {
    references: ReferenceStore,
    surveyor: Surveyor,
    quarantine: Quarantine,
    /// Nothing that is on disk counts, so that a new key begins anew.
    is_lost: bool,
}

impl Guard {
    /// Opens what is kept, and tells what counts at start. `plugin_path` is `Settings:PluginPath`, `enabled` is
    /// `ConfigurationLkg:Enabled`.
    ///
    /// # Errors
    /// [`RootError`] where the key of references or a folder is not the agent's own.
    pub fn open(
        root: &Root,
        plugin_path: &str,
        enabled: bool,
        history: &History,
    ) -> Result<(Self, References), RootError> {
        remove_drafts(root, plugin_path)?;
        let anchor = history.anchor().map_err(|what| RootError::Invalid { path: root.path().join("state"), what })?;
        let mut guard = Self {
            root: root.clone(),
            plugin_path: plugin_path.to_owned(),
            kept: None,
            looks: Arc::default(),
            notices: Vec::new(),
            at_start: None,
            deleted: 0,
            former_plugins: None,
        };
        if !enabled {
            guard.leave(anchor);
            return Ok((guard, References::Off));
        }
        let (references, found) = ReferenceStore::open(root, anchor)?;
        let mut surveyor = Surveyor::new(root, plugin_path, Arc::clone(&guard.looks))?;
        if let References::Kept { items, .. } = &found {
            surveyor.bless_references(items);
        }
        match history.replace_plugin_folder(plugin_path.trim_end_matches('/')) {
            Ok(former) => guard.former_plugins = former,
            Err(why) => guard.notices.push(why),
        }
        let is_lost = matches!(found, References::Unusable(_));
        guard.kept = Some(Kept { references, surveyor, quarantine: Quarantine::open(root)?, is_lost });
        Ok((guard, found))
    }

    /// Last Known Good is off: what changes now may be meant, which the start after the next change of mind has to know.
    fn leave(&mut self, anchor: Option<u64>) {
        let noted = match ReferenceStore::open(&self.root, anchor) {
            Ok((mut references, References::Kept { .. })) => {
                references.note_off(true).map_err(|error| error.to_string())
            }
            Ok((_, References::Unusable(why))) => Err(why),
            Ok((_, References::Off | References::First { .. })) => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(why) = noted {
            self.notices.push(format!(
                "It could not be noted that Last Known Good is off, so what is edited meanwhile is restored once it is on again: {why}"
            ));
        }
    }

    /// Definition files as they are on disk.
    pub fn read(&self) -> Vec<DefinitionFile> {
        self.root.read_definitions(&[DefinitionKind::Job, DefinitionKind::Plugin], &self.plugin_path)
    }

    /// The same for the start: where no references are kept, an edit before the folders are watched is noticed all the same.
    pub fn read_at_start(&mut self) -> Vec<DefinitionFile> {
        let files = self.read();
        self.at_start = (!self.is_on()).then(|| files.clone());
        files
    }

    /// Whether files are not as they were read at the start; asked once.
    pub(crate) fn was_edited_since_start(&mut self) -> bool {
        self.at_start.take().is_some_and(|files| files != self.read())
    }

    /// Whether references are kept.
    pub const fn is_on(&self) -> bool {
        self.kept.is_some()
    }

    pub(crate) fn plugin_path(&self) -> &str {
        &self.plugin_path
    }

    /// Where the watcher says to look.
    pub(crate) fn looks(&self) -> Arc<Looks> {
        Arc::clone(&self.looks)
    }

    pub(crate) const fn root(&self) -> &Root {
        &self.root
    }

    /// What somebody should know since the last call, as sentences.
    pub(crate) fn take_notices(&mut self) -> Vec<String> {
        let mut notices = take(&mut self.notices);
        if let Some(kept) = &mut self.kept {
            notices.extend(kept.references.take_notices());
            notices.extend(kept.surveyor.take_notices());
        }
        notices
    }

    /// What somebody should know of files since the last call.
    pub(crate) fn take_lkg_notices(&mut self) -> impl Iterator<Item = LkgNotice> + use<> {
        let now = &self.plugin_path;
        let moved = self.former_plugins.take().map(|before| LkgNotice::PluginFolder { before, now: now.clone() });
        let deleted = Some(take(&mut self.deleted)).filter(|deleted| *deleted > 0).map(LkgNotice::QuarantineFull);
        moved.into_iter().chain(deleted)
    }

    pub(crate) fn change(
        &mut self,
        history: &History,
        changes: &[DefinitionChange],
        writer: &str,
        at: WallTime,
    ) -> Result<Vec<u64>, NotWritten> {
        let Self { root, plugin_path, kept, .. } = self;
        let (store, surveyor) = kept.as_mut().map(|kept| (&mut kept.references, &mut kept.surveyor)).unzip();
        let Changed { versions, unwritten } = change(root, store, surveyor, plugin_path, changes, writer, at)?;
        self.notices.extend(unwritten);
        self.note_anchor(history);
        Ok(versions)
    }

    /// The history remembers the counter, so that older references are known as such.
    fn note_anchor(&mut self, history: &History) {
        let Some(kept) = &self.kept else { return };
        if let Err(why) = history.note_anchor(kept.references.counter()) {
            self.notices.push(why);
        }
    }

    pub(crate) fn survey(&mut self, at: &Where, thorough: bool) -> (Survey, Checked) {
        let whole = *at == Where::Everywhere;
        let Some(kept) = &mut self.kept else { return (Survey { whole, ..Survey::default() }, Checked::default()) };
        let checked = match (thorough, whole) {
            (true, _) => kept.references.check_thoroughly(),
            (false, true) => kept.references.check(),
            (false, false) => Checked::default(),
        };
        kept.surveyor.bless_references(&checked.changed);
        (kept.surveyor.look(at), checked)
    }

    pub(crate) fn restore(&mut self, item: &Item, at: WallTime) -> Result<Option<String>, String> {
        let Some(kept) = &mut self.kept else { return Err(OFF.to_owned()) };
        let Moved { name, deleted, note } = kept.surveyor.restore(&mut kept.quarantine, item, at)?;
        self.deleted = self.deleted.saturating_add(deleted);
        self.notices.extend(note);
        Ok(name)
    }

    pub(crate) fn look_up(&mut self, query: &ReferenceQuery) -> Result<ReferencesFound, String> {
        let Some(kept) = &mut self.kept else { return Err(OFF.to_owned()) };
        Ok(match query {
            ReferenceQuery::History(item) => ReferencesFound::History(kept.references.history(item)?),
            ReferenceQuery::Version(item, version) => {
                let document = kept.references.version(item, *version)?;
                ReferencesFound::Document(document.map(|document| found(Some(document), format!("version {version}"))))
            }
            ReferenceQuery::Candidate(item, former) => {
                let candidate = kept.surveyor.candidate(&kept.quarantine, item, former.as_ref())?;
                ReferencesFound::Document(candidate.map(|(document, from)| found(document, from)))
            }
            ReferenceQuery::Quarantine => ReferencesFound::Quarantine(kept.quarantine.list()),
        })
    }

    pub(crate) fn rekey(&mut self, history: &History) -> Result<String, NotWritten> {
        let Some(kept) = &mut self.kept else { return Err(NotWritten::because(OFF)) };
        kept.references.rekey()?;
        if take(&mut kept.is_lost) {
            // Nothing is blessed any more, and every file waits until somebody blesses it; also after another start.
            kept.references.note_off(true)?;
        }
        let key = kept.references.key_id().unwrap_or_default();
        self.note_anchor(history);
        Ok(key)
    }

    pub(crate) fn settle_held(&mut self, history: &History) {
        let Some(kept) = &mut self.kept else { return };
        if let Err(why) = kept.references.note_off(false) {
            self.notices.push(why.to_string());
        }
        self.note_anchor(history);
    }
}

/// A document with its SHA-256.
fn found(document: Option<Document>, from: String) -> FoundDocument {
    let digest = document.as_deref().map(sha256);
    FoundDocument { document, from, sha256: digest.unwrap_or_default() }
}
