//! Records that wait to be written together, and what is told of each.

use std::sync::Arc;

use castellan_core::effect::StoreOrder;
use castellan_core::elevation::ElevationRecord;
use castellan_core::event::StoreReport;
use castellan_core::id::{RunId, TicketId};
use castellan_core::run::history::RunRecord;

use crate::history::Kept;

/// A record with its order's ticket, and whether it has to be on disk.
pub(super) struct Waiting {
    pub(super) ticket: TicketId,
    pub(super) record: Record,
    pub(super) durable: bool,
}

pub(super) enum Record {
    Run(Arc<RunRecord>),
    Elevation(Box<ElevationRecord>),
}

/// Whether an order brings a record.
pub(super) const fn brings_record(order: &StoreOrder) -> bool {
    matches!(order, StoreOrder::PersistRun { .. } | StoreOrder::KeepElevation { .. })
}

impl Record {
    pub(super) fn kept(&self) -> Kept<'_> {
        match self {
            Self::Run(record) => Kept::Run(record),
            Self::Elevation(record) => Kept::Elevation(record),
        }
    }

    /// What came of it. The record is gone by then: the agent may change a run again without a copy.
    pub(super) fn report(self, ticket: TicketId, result: Result<(), String>) -> StoreReport {
        match self {
            Self::Run(record) => {
                // The core made the id, so it is one; the ticket says which order this was in any case.
                let run = RunId::from_text(&record.run_id).unwrap_or_else(|| RunId::new(0, 0));
                StoreReport::RunPersisted { ticket, run, result }
            }
            Self::Elevation(_) => StoreReport::ElevationKept { ticket, result },
        }
    }
}
