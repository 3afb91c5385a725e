//! What the store of a simulated world answers: everything is kept at once.

use alloc::sync::Arc;
use alloc::vec;

use super::World;
use crate::effect::StoreOrder;
use crate::event::{Event, StoreReport};
use crate::id::RunId;
use crate::lkg::{Checked, Survey};
use crate::run::history::RunRecord;

impl World {
    pub(super) fn on_store(&mut self, order: StoreOrder) {
        let report = match order {
            StoreOrder::PersistRun { ticket, record, .. } => {
                let Some(run) = RunId::from_text(&record.run_id) else { return };
                self.remember(Arc::unwrap_or_clone(record));
                StoreReport::RunPersisted { ticket, run, result: Ok(()) }
            }
            StoreOrder::KeepElevation { ticket, .. } => StoreReport::ElevationKept { ticket, result: Ok(()) },
            // Nobody asks for these here, and there is no fleet.
            StoreOrder::Note(_)
            | StoreOrder::ReadElevations { .. }
            | StoreOrder::ChangeCertificates { .. }
            | StoreOrder::Mfa { .. }
            | StoreOrder::ReadPolicies { .. } => return,
            StoreOrder::KeepPolicies { ticket, .. } => StoreReport::PoliciesKept { ticket, result: Ok(()) },
            StoreOrder::ReadRuns { ticket, .. } => {
                StoreReport::RunsRead { ticket, result: Ok(self.story.runs.iter().rev().cloned().collect()) }
            }
            StoreOrder::WriteSettings { ticket, .. } => StoreReport::SettingsWritten { ticket, result: Ok(()) },
            StoreOrder::ChangeDefinitions { ticket, changes, .. } => {
                StoreReport::DefinitionsChanged { ticket, result: Ok(vec![0; changes.len()]) }
            }
            // Nobody touches the files of a simulated world.
            StoreOrder::Survey { ticket, .. } => StoreReport::Surveyed {
                ticket: Some(ticket),
                survey: Survey { whole: true, ..Survey::default() },
                checked: Checked::default(),
            },
            StoreOrder::Restore { .. }
            | StoreOrder::ReadReferences { .. }
            | StoreOrder::Rekey { .. }
            | StoreOrder::SettleHeld => return,
            StoreOrder::ReadDefinitions { ticket } => {
                StoreReport::DefinitionsRead { ticket, files: self.definitions.clone() }
            }
        };
        self.ready.push_back(Event::Store(report));
    }

    fn remember(&mut self, record: RunRecord) {
        match self.story.runs.iter_mut().rev().find(|known| known.run_id == record.run_id) {
            Some(known) => *known = record,
            None => self.story.runs.push(record),
        }
    }
}
