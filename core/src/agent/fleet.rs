//! The policy source's part in the agent: its bundles go to the policies, and what became of them goes back.

use alloc::string::ToString;

use super::Agent;
use crate::api::exposition::{Exposition, Kind};
use crate::effect::Effects;
use crate::event::FleetReport;
use crate::fleet::Offer;
use crate::time::Now;
use crate::why::Explanation;

/// The source of its policies on record, wherever it is: what the former one had is replaced.
const SOURCE: &str = "PolicySource";

impl Agent {
    pub(super) fn on_fleet(&mut self, now: Now, report: FleetReport, effects: &mut Effects) {
        let offer = self.fleet.on_report(report, &mut self.desk.turn(now, effects));
        if let Some(offer) = offer {
            self.apply_bundle(now, offer, effects);
        }
    }

    pub(super) fn print_policy_source(&self, text: &mut Exposition) {
        let Some(standing) = self.fleet.standing() else { return };
        let sequence = standing.bundle.map(|bundle| bundle.sequence).unwrap_or_default();
        let help = "The sequence of the bundle of policies that is in force; 0 without one.";
        text.single("castellan_policy_bundle_sequence", Kind::Gauge, help, sequence);
        let help = "Bundles of policies that were refused.";
        text.single("castellan_policy_bundles_refused_total", Kind::Counter, help, standing.refused);
        let help = "Questions to the policy source without an answer.";
        text.single("castellan_policy_source_failures_total", Kind::Counter, help, standing.failed);
    }

    /// All policies of a bundle are applied, or none; whatever the source had before and has not any more is forgotten.
    fn apply_bundle(&mut self, now: Now, offer: Offer, effects: &mut Effects) {
        if let Err(busy) = self.apply_policies(now, SOURCE, offer, effects) {
            self.on_bundle_settled(now, Err(&busy), effects);
        }
    }

    /// What became of the bundle that was applied last.
    pub(super) fn on_bundle_settled(&mut self, now: Now, result: Result<(), &Explanation>, effects: &mut Effects) {
        let result = result.map_err(ToString::to_string);
        if let Some(next) = self.fleet.on_judged(result, &mut self.desk.turn(now, effects)) {
            self.apply_bundle(now, next, effects);
        }
    }
}
