//! Requests for more privileges: reports of the request socket.

use super::Agent;
use crate::effect::{Effect, Effects, ElevationAnswer, ElevationOrder};
use crate::event::ElevationReport;
use crate::time::Now;
use crate::why::Explanation;

impl Agent {
    pub(super) fn on_elevation(&mut self, _now: Now, report: ElevationReport, effects: &mut Effects) {
        if let ElevationReport::Asked { caller, .. } = report {
            let explanation = Explanation::new(
                "The request was denied.",
                "This agent decides no requests yet.",
                "Ask the administrator of this machine.",
            );
            let answer = ElevationAnswer::Denied { request: None, explanation };
            effects.push(Effect::Elevation(ElevationOrder::Answer { caller, answer }));
        }
    }
}
