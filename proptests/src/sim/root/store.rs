//! The store as the agent sees it: it carries out one order after the other, and tells of each later on.

use std::collections::BTreeSet;

use castellan_core::configuration_policy::{PolicyChange, PolicyContent, PolicyFile};
use castellan_core::effect::StoreOrder;
use castellan_core::event::{Event, StoreReport};
use castellan_core::hexadecimal;
use castellan_core::lkg::{DefinitionChange, Item};

use super::super::ledger::{Broken, broken};
use super::World;
use super::people::{is_valid, items};
use crate::vaults::Fault;

impl World<'_> {
    /// The store carries out its oldest order.
    pub(super) fn carry_out(&mut self) -> Result<(), Broken> {
        let Some(order) = self.orders.pop_front() else { return Ok(()) };
        if (self.faults.crashes || self.faults.full) && self.dice.percent(12) {
            let is_crash = self.faults.crashes && (!self.faults.full || self.dice.percent(50));
            let fault = if is_crash { Fault::Crash } else { Fault::Full };
            let (calls, of_files) = (u32::try_from(self.dice.below(6)).unwrap_or_default(), self.dice.percent(50));
            let dice = self.dice.below(u64::MAX);
            self.guard.break_after(calls, fault, of_files, dice);
        }
        let mut counts = Vec::new();
        let report = match order {
            StoreOrder::ChangeDefinitions { ticket, changes, at, .. } => {
                let result = self.guard.change(&changes, at);
                if result.is_ok() {
                    self.tally.writes = self.tally.writes.saturating_add(1);
                    counts = changes;
                }
                StoreReport::DefinitionsChanged { ticket, result }
            }
            StoreOrder::Survey { ticket, thorough } => {
                let (survey, checked) = self.guard.survey(None, thorough);
                StoreReport::Surveyed { ticket: Some(ticket), survey, checked }
            }
            StoreOrder::Restore { ticket, item, .. } => {
                let result = self.guard.restore(&item);
                self.tally.restores = self.tally.restores.saturating_add(u64::from(result.is_ok()));
                StoreReport::Restored { ticket, item, result }
            }
            StoreOrder::KeepElevation { ticket, .. } => StoreReport::ElevationKept { ticket, result: Ok(()) },
            StoreOrder::ReadReferences { ticket, query } => {
                let result = self.guard.look_up(&query);
                self.entitle(&query, result.as_ref().ok());
                StoreReport::ReferencesRead { ticket, result }
            }
            StoreOrder::Rekey { ticket } => StoreReport::Rekeyed { ticket, result: self.guard.rekey() },
            StoreOrder::ReadDefinitions { ticket } => StoreReport::DefinitionsRead { ticket, files: self.guard.read() },
            StoreOrder::ReadPolicies { ticket, document } => {
                let files = document.map(|brought| PolicyFile {
                    name: brought.name,
                    content: Ok(PolicyContent {
                        sha256: hexadecimal(&brought.document),
                        document: brought.document,
                        signature: None,
                        owner: None,
                    }),
                });
                StoreReport::PoliciesRead { ticket, files: files.into_iter().collect() }
            }
            StoreOrder::KeepPolicies { ticket, changes, .. } => {
                for change in changes {
                    match change {
                        PolicyChange::Keep(policy) => drop(self.applied.insert(policy.key.clone(), policy)),
                        PolicyChange::Forget(key) => drop(self.applied.remove(&key)),
                    }
                }
                StoreReport::PoliciesKept { ticket, result: Ok(()) }
            }
            StoreOrder::SettleHeld => {
                self.guard.settle_held();
                return Ok(());
            }
            StoreOrder::PersistRun { .. }
            | StoreOrder::Note(_)
            | StoreOrder::ReadRuns { .. }
            | StoreOrder::ReadElevations { .. }
            | StoreOrder::WriteSettings { .. }
            | StoreOrder::Mfa { .. }
            | StoreOrder::ChangeCertificates { .. } => return broken("total", "an order that nobody causes here"),
        };
        self.reports.push_back((report, counts));
        Ok(())
    }

    /// The agent is told the oldest report.
    pub(super) fn report(&mut self) -> Result<(), Broken> {
        let Some((report, counts)) = self.reports.pop_front() else { return Ok(()) };
        if let StoreReport::DefinitionsRead { files, .. } = &report {
            let read = files.iter().filter_map(|file| {
                let item = Item::new(file.kind, file.stem.clone());
                let bytes = file.content.as_ref().ok().filter(|bytes| is_valid(&item, bytes))?;
                Some((item, bytes.to_vec()))
            });
            self.memory = read.collect();
            for item in items() {
                self.count(&item);
            }
        }
        for DefinitionChange { item, document } in counts {
            match document {
                Some(document) => drop(self.memory.insert(item.clone(), document.to_vec())),
                None => drop(self.memory.remove(&item)),
            }
            self.count(&item);
        }
        self.tell(Event::Store(report))
    }

    /// Remembers that this is what counts of an item now.
    pub(super) fn count(&mut self, item: &Item) {
        let document = self.memory.get(item).and_then(|bytes| serde_json::from_slice(bytes).ok());
        self.counted.push((item.clone(), document));
    }

    /// The store looks where the watcher saw something, and tells what is not as blessed.
    pub(super) fn look(&mut self) -> Result<(), Broken> {
        let seen: BTreeSet<Item> = std::mem::take(&mut self.guard.seen);
        if seen.is_empty() {
            return Ok(());
        }
        if !self.guard.is_on() {
            self.reports.push_back((StoreReport::DefinitionsTouched, Vec::new()));
            return Ok(());
        }
        let (survey, checked) = self.guard.survey(Some(seen), false);
        if !survey.differences.is_empty() {
            self.reports.push_back((StoreReport::Surveyed { ticket: None, survey, checked }, Vec::new()));
        }
        Ok(())
    }
}
