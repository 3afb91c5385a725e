//! What the agent knows of Last Known Good: which document of each item is blessed, which reference proves nothing, what is under way.
//!
//! Blessed writes all go through [`Agent::bless`], and count here once the store has them; what the disk does in between is
//! [`super::drift`]'s.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Agent;
use super::answers::Pending;
use super::drift::Drift;
use crate::effect::{Effects, StoreOrder};
use crate::event::DefinitionFile;
use crate::id::TicketId;
use crate::lkg::brake::Brake;
use crate::lkg::{DefinitionChange, Document, Former, Item, LkgNotice, NotWritten, Reference, References};
use crate::log_message::{Level, escape};
use crate::time::{Deadline, Monotonic, Now, WallTime};

/// Everything that Last Known Good keeps.
#[derive(Debug, Default)]
pub(super) struct Lkg {
    pub(super) state: State,
    pub(super) counter: u64,
    pub(super) key_id: String,
    pub(super) items: BTreeMap<Item, Kept>,
    /// Blessed writes that the store has not answered.
    ordered: BTreeMap<TicketId, Vec<DefinitionChange>>,
    /// How often items are restored.
    pub(super) brake: Brake,
    /// What keeps folders from being compared or watched, and was told.
    pub(super) troubles: BTreeSet<String>,
    /// Whether any item is held.
    pub(super) is_held: bool,
    /// Whether a file that nobody blessed is held, as it may have been there before: until everything was looked at once.
    pub(super) holds_strays: bool,
    /// Whether references count no more since they were looked at while the agent ran; they may come back as they were.
    pub(super) is_doubted: bool,
    pub(super) last_sweep: Option<WallTime>,
    /// When all files are compared again.
    pub(super) next_sweep: Option<Monotonic>,
    /// Copies in quarantine that were deleted to make room, and not told of yet; `None` where none was since the last sweep.
    deleted: Option<usize>,
}

/// Whether references count.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// None are kept.
    #[default]
    Off,
    /// They do.
    Kept,
    /// They prove nothing, why: what is in memory stays in service, and no write is taken.
    Unusable(String),
}

/// One item.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// 0 where nothing was ever blessed.
    pub(super) version: u64,
    pub(super) document: Option<Document>,
    /// Why its reference proves nothing.
    pub(super) fault: Option<String>,
    /// Its file differs since Last Known Good was off, and somebody has to say which one counts.
    pub(super) held: bool,
    pub(super) drift: Option<Drift>,
    /// What stood in its place when its content differed last, if it was restored since.
    pub(super) former: Option<Former>,
    /// The order by which it is being restored.
    pub(super) restoring: Option<TicketId>,
}

impl Lkg {
    pub(super) fn next_deadline(&self) -> Option<Deadline> {
        let sweep = self.next_sweep.map(|at| Deadline { at, reason: "the sweep of Last Known Good" });
        let brake = self.brake.next_deadline().map(|at| Deadline { at, reason: "a file that is fought over" });
        Deadline::earlier(sweep, brake)
    }

    /// Items of blessed writes that the store has not answered.
    pub(super) fn under_way(&self) -> BTreeSet<Item> {
        self.ordered.values().flatten().map(|change| change.item.clone()).collect()
    }

    /// Writes are on disk.
    fn note_blessed(&mut self, changes: Vec<DefinitionChange>, versions: &[u64]) {
        if self.state == State::Off {
            return;
        }
        (self.state, self.is_doubted) = (State::Kept, false);
        // What changes nothing has no counter of its own; the next survey tells it in any case.
        let known = |change: &DefinitionChange| self.items.get(&change.item).map_or(0, |kept| kept.version);
        if changes.is_empty() || changes.iter().zip(versions).any(|(change, version)| known(change) != *version) {
            self.counter = self.counter.saturating_add(1);
        }
        for (DefinitionChange { item, document }, version) in changes.into_iter().zip(versions) {
            let kept = self.items.entry(item).or_default();
            *kept = Kept { version: *version, document, ..Kept::default() };
        }
    }
}

impl Agent {
    /// What counts of jobs and plugins at start: what is on disk, or what the references say.
    pub(super) fn begin_lkg(
        &mut self,
        now: Now,
        on_disk: Vec<DefinitionFile>,
        references: References,
        effects: &mut Effects,
    ) -> Vec<DefinitionFile> {
        match references {
            References::Off => {
                let message = "Last Known Good is off, as Settings:ConfigurationLkg:Enabled is false: whoever can write to Jobs or Plugins \
                     decides what runs. Set it to true and start the agent again to have files restored that are changed by hand.";
                self.desk.turn(now, effects).log(Level::Warning, "LkgOff", message);
                on_disk
            }
            References::First { lone_key } => {
                if lone_key {
                    let message = "There is a key of references, state/keys/lkg.key, and nothing that it sealed: this start counts as the \
                         first one. That is as it should be where the key was made beforehand. Otherwise somebody removed the references: \
                         compare Jobs and Plugins with what you know of them, or stop the agent and put state back from a backup.";
                    self.desk.turn(now, effects).log(Level::Warning, "LkgLoneKey", message);
                }
                self.lkg.state = State::Kept;
                on_disk
            }
            References::Kept { counter, key_id, items, was_off } => {
                let state = State::Kept;
                self.lkg = Lkg { state, counter, key_id, is_held: was_off, holds_strays: was_off, ..Lkg::default() };
                items.into_iter().filter_map(|reference| self.take_reference(reference, was_off)).collect()
            }
            References::Unusable(why) => {
                let message = format!(
                    "The references of Last Known Good prove nothing: {why} No job and no plugin is in service, and no write is taken."
                );
                self.desk.turn(now, effects).log(Level::Critical, "LkgUnusable", message);
                self.lkg.state = State::Unusable(why.clone());
                let refused = |file: DefinitionFile| DefinitionFile { content: Err(why.clone()), ..file };
                on_disk.into_iter().map(refused).collect()
            }
        }
    }

    fn take_reference(&mut self, reference: Reference, was_off: bool) -> Option<DefinitionFile> {
        let Reference { item, version, content } = reference;
        let (document, fault) = match &content {
            Ok(document) => (document.clone(), None),
            Err(why) => (None, Some(why.clone())),
        };
        self.lkg.items.insert(item.clone(), Kept { version, document, fault, held: was_off, ..Kept::default() });
        let content = content.transpose()?;
        Some(DefinitionFile { kind: item.kind, stem: item.id, content })
    }

    /// The store tells what nobody asked for.
    pub(super) fn on_lkg_notice(&mut self, now: Now, notice: LkgNotice, effects: &mut Effects) {
        match notice {
            LkgNotice::PluginFolder { before, now: folder } => {
                let (before, folder) = (escape(&before), escape(&folder));
                let message = format!(
                    "Settings:PluginPath is {folder} now and was {before}: the plugins that are blessed are written to {folder}, other \
                     definitions there are moved to state/quarantine until `castellan lkg accept Plugins/ID`, and those in {before} count \
                     no more. If that is not meant, set it back to {before} and start the agent again."
                );
                self.desk.turn(now, effects).log(Level::Warning, "LkgPluginPath", message);
            }
            LkgNotice::QuarantineFull(deleted) => {
                let is_known = self.lkg.deleted.is_some();
                let sum = self.lkg.deleted.get_or_insert_default();
                *sum = sum.saturating_add(deleted);
                if !is_known {
                    self.tell_deleted(now, effects);
                }
            }
        }
    }

    /// With each sweep, not with each file.
    pub(super) fn tell_deleted(&mut self, now: Now, effects: &mut Effects) {
        let Some(deleted) = self.lkg.deleted.filter(|deleted| *deleted > 0) else {
            self.lkg.deleted = None;
            return;
        };
        self.lkg.deleted = Some(0);
        let message = format!(
            "state/quarantine is full: {deleted} of its oldest copies were deleted. Somebody writes many files that nobody blessed, or \
             fights over one; the lines of category Drift say which, and who. Copy elsewhere what is still of use."
        );
        self.desk.turn(now, effects).log(Level::Warning, "LkgQuarantine", message);
    }

    /// The first start: what is in service becomes the reference.
    pub(super) fn adopt(&mut self, now: Now, effects: &mut Effects) {
        let changes: Vec<DefinitionChange> = self
            .documents_in_service()
            .map(|(item, document)| DefinitionChange { item, document: Some(document) })
            .collect();
        let names = changes.iter().map(|change| change.item.to_string()).collect::<Vec<_>>().join(", ");
        let message = format!(
            "Last Known Good has no references yet: {} definitions become the reference as they are ({names}). From now on they change \
             through the API, a JobUpdate policy or `castellan lkg accept`; a file that is edited by hand is restored.",
            changes.len()
        );
        self.desk.turn(now, effects).log(Level::Information, "LkgAdopted", message);
        self.bless(now, changes, String::from("agent"), Pending::Adoption, effects);
    }

    /// Orders a blessed write; all changes count, or none.
    pub(super) fn bless(
        &mut self,
        now: Now,
        changes: Vec<DefinitionChange>,
        writer: String,
        pending: Pending,
        effects: &mut Effects,
    ) {
        let mut turn = self.desk.turn(now, effects);
        let ticket = turn.counters.ticket();
        turn.store(StoreOrder::ChangeDefinitions { ticket, changes: changes.clone(), writer, at: now.wall });
        self.lkg.ordered.insert(ticket, changes);
        self.expect_answer(ticket, pending);
    }

    /// The store answered a blessed write, well (with versions) or not.
    pub(super) fn on_blessed(&mut self, ticket: TicketId, versions: Option<&[u64]>) {
        if let (Some(changes), Some(versions)) = (self.lkg.ordered.remove(&ticket), versions) {
            self.lkg.note_blessed(changes, versions);
        }
    }

    /// The first start's references are made, or not.
    pub(super) fn on_adopted(&mut self, now: Now, result: Result<Vec<u64>, NotWritten>, effects: &mut Effects) {
        let Err(error) = result else {
            // It tells the name of the key that was made.
            return self.survey(now, Pending::Sweep, effects);
        };
        let message = format!(
            "What is in service could not become the reference: {error} It stays in service; restart the agent once that is mended."
        );
        self.desk.turn(now, effects).log(Level::Critical, "LkgUnusable", message);
        self.lkg.state = State::Unusable(error.reason);
    }
}
