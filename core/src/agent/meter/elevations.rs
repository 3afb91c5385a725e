//! Figures of requests for more privileges: what policies decided, how long people waited, how requests ended, and what waits now.

use alloc::collections::BTreeMap;

use super::histogram::Histogram;
use super::{Agent, bump};
use crate::api::exposition::{Exposition, Kind};
use crate::elevation::{ElevationRecord, Status};
use crate::id::ElevationId;
use crate::policy::{Control, Verdict};
use crate::time::{Monotonic, Now};

/// What policies can decide.
const DECISIONS: [&str; 3] = [Verdict::ALLOW, Verdict::DENY, Verdict::PENDING];

/// Counts since the start.
#[derive(Debug, Default)]
pub(in crate::agent) struct ElevationMeter {
    decisions: BTreeMap<&'static str, u64>,
    authorized: u64,
    ended: BTreeMap<Status, u64>,
    took: Histogram,
    /// Since when those are under way that nobody decided yet.
    undecided: BTreeMap<ElevationId, Monotonic>,
}

impl ElevationMeter {
    /// A request was taken.
    pub(in crate::agent) fn begun(&mut self, id: ElevationId, now: Now) {
        self.undecided.insert(id, now.monotonic);
    }

    /// KeeperPolicy decided.
    pub(in crate::agent) fn judged(&mut self, decision: &'static str) {
        bump(self.decisions.entry(decision).or_default());
    }

    /// How a request stands now; what it came to counts once.
    pub(in crate::agent) fn stands(&mut self, id: &ElevationId, record: &ElevationRecord, now: Now) {
        let is_open = matches!(record.status, Status::Requested | Status::Evaluating | Status::AwaitingControls);
        if let Some(begun) = (!is_open).then(|| self.undecided.remove(id)).flatten() {
            self.took.add(now.monotonic.millis_since(begun));
            if !record.status.is_final() {
                bump(&mut self.authorized);
            }
        }
    }

    /// A request is over.
    pub(in crate::agent) fn ended(&mut self, status: Status) {
        bump(self.ended.entry(status).or_default());
    }

    fn print(&self, text: &mut Exposition) {
        let name = "castellan_policy_decisions_total";
        text.family(name, Kind::Counter, "What policies decided about requests for more privileges.");
        for decision in DECISIONS {
            let count = self.decisions.get(decision).copied().unwrap_or_default();
            text.sample(name, &[("decision", decision)], count);
        }
        let help = "Requests for more privileges whose program could be launched.";
        text.single("castellan_elevations_authorized_total", Kind::Counter, help, self.authorized);
        let name = "castellan_elevations_total";
        text.family(name, Kind::Counter, "Requests for more privileges that ended, by how.");
        for status in Status::FINAL {
            let count = self.ended.get(&status).copied().unwrap_or_default();
            text.sample(name, &[("result", status.as_str())], count);
        }
        let help = "Time from a request for more privileges to its authorization, or its end without one.";
        self.took.print("castellan_elevation_decision_seconds", help, text);
    }
}

impl Agent {
    /// The figures of now and those since the start.
    pub(super) fn print_elevations(&self, now: Now, text: &mut Exposition) {
        let help = "Requests for more privileges that are not over.";
        text.single("castellan_elevations_active", Kind::Gauge, help, self.elevations.active.len());
        let name = "castellan_elevations_waiting";
        text.family(name, Kind::Gauge, "Requests for more privileges that wait for a control, by which.");
        for control in Control::ALL {
            let waiting = self.waiting_elevations().filter(|record| record.outstanding.contains(&control));
            text.sample(name, &[("control", control.as_str())], waiting.count());
        }
        let help = "Grants that count.";
        text.single("castellan_grants", Kind::Gauge, help, self.elevations.grants.list(now).count());
        self.meter.elevations.print(text);
    }
}
