//! Files that somebody edits while no references are kept: they count, and each is told.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec::Vec;

use super::Agent;
use super::answers::Pending;
use crate::api::view::LoadReport;
use crate::effect::{Effects, StoreOrder};
use crate::event::{DefinitionFile, DefinitionKind};
use crate::lkg::{Document, Item};
use crate::log_message::Level;
use crate::time::Now;

impl Agent {
    /// Hand edits count while no references are kept.
    pub(super) fn on_touched(&mut self, now: Now, effects: &mut Effects) {
        if self.pending.values().any(|pending| matches!(pending, Pending::Touched)) {
            return;
        }
        let mut turn = self.desk.turn(now, effects);
        let ticket = turn.counters.ticket();
        turn.store(StoreOrder::ReadDefinitions { ticket });
        self.expect_answer(ticket, Pending::Touched);
    }

    /// Brings the files into service as they are, as no references are kept; each that became another one is told.
    pub(super) fn load_hand_edits(
        &mut self,
        now: Now,
        files: Vec<DefinitionFile>,
        effects: &mut Effects,
    ) -> LoadReport {
        let before = self.known_documents();
        let report = self.load(now, files, effects);
        let after = self.known_documents();
        let items: BTreeSet<&Item> = before.keys().chain(after.keys()).collect();
        let mut turn = self.desk.turn(now, effects);
        for item in items {
            let what = match (before.get(item), after.get(item)) {
                (former, latter) if former == latter => continue,
                (_, Some(None)) => "was changed by hand and is refused; nothing of it is in service",
                (None | Some(None), Some(Some(_))) => "was written by hand and is in service now",
                (Some(Some(_)), Some(Some(_))) => "was changed by hand, and the new one is in service now",
                (_, None) => "was removed by hand; nothing of it is in service",
            };
            turn.log(Level::Information, "HandEdit", format!("{item}.json {what}."));
        }
        report
    }

    /// Every document in service, and every item that is refused.
    fn known_documents(&self) -> BTreeMap<Item, Option<Document>> {
        let jobs = self.catalog.refused().map(|(stem, _)| Item::new(DefinitionKind::Job, stem));
        let plugins = self.refused_plugins.keys().map(|stem| Item::new(DefinitionKind::Plugin, stem.as_str()));
        let refused = jobs.chain(plugins).map(|item| (item, None));
        let served = self.documents_in_service().map(|(item, document)| (item, Some(document)));
        refused.chain(served).collect()
    }
}
