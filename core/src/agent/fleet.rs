//! The policy source's part in the agent: its bundles go to the policies, and what became of them goes back.

use alloc::string::String;

use super::Agent;
use crate::api::exposition::{Exposition, Kind};
use crate::effect::Effects;
use crate::event::FleetReport;
use crate::fleet::Bundle;
use crate::time::Now;

impl Agent {
    pub(super) fn on_fleet(&mut self, now: Now, report: FleetReport, effects: &mut Effects) {
        let bundle = self.fleet.on_report(report, &mut self.desk.turn(now, effects));
        self.judge_bundles(now, bundle, effects);
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

    fn judge_bundles(&mut self, now: Now, mut bundle: Option<Bundle>, effects: &mut Effects) {
        while let Some(judged) = bundle {
            let result = self.apply_bundle(now, judged, effects);
            bundle = self.fleet.on_judged(result, &mut self.desk.turn(now, effects));
        }
    }

    /// All policies of a bundle, or none.
    fn apply_bundle(&mut self, _now: Now, _bundle: Bundle, _effects: &mut Effects) -> Result<(), String> {
        Ok(())
    }
}
