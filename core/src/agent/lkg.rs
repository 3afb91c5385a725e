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
use crate::event::{DefinitionFile, DefinitionKind};
use crate::id::TicketId;
use crate::lkg::brake::Brake;
use crate::lkg::{DefinitionChange, Document, Item, NotWritten, Reference, References};
use crate::log_message::Level;
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
    /// Whether references count no more since they were looked at while the agent ran; they may come back as they were.
    pub(super) is_doubted: bool,
    pub(super) last_sweep: Option<WallTime>,
    /// When all files are compared again.
    pub(super) next_sweep: Option<Monotonic>,
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
            References::Off => on_disk,
            References::First => {
                self.lkg.state = State::Kept;
                on_disk
            }
            References::Kept { counter, key_id, items, was_off } => {
                self.lkg = Lkg { state: State::Kept, counter, key_id, is_held: was_off, ..Lkg::default() };
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

    /// The first start: what is in service becomes the reference.
    pub(super) fn adopt(&mut self, now: Now, effects: &mut Effects) {
        let jobs =
            self.catalog.iter().map(|job| (Item::new(DefinitionKind::Job, job.id.as_str()), job.document.clone()));
        let plugins = self.plugins.values().filter(|plugin| !plugin.retired).map(|plugin| {
            let definition = &plugin.definition;
            (Item::new(DefinitionKind::Plugin, definition.id.as_str()), definition.document.clone())
        });
        let changes: Vec<DefinitionChange> =
            jobs.chain(plugins).map(|(item, document)| DefinitionChange { item, document: Some(document) }).collect();
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
