//! Who is answered, and when: the caller once, at the end; tasks and administrators once a step is on disk.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use schemars::JsonSchema;
use serde::Serialize;

use super::record::{ElevationRecord, Status};
use super::{Elevation, State};
use crate::api::ApiResponse;
use crate::effect::{Effect, ElevationAnswer, ElevationOrder};
use crate::id::RequestId;
use crate::limits::ELEVATION_CALLS;
use crate::policy::Control;
use crate::turn::Turn;
use crate::why::Explanation;

/// Somebody who is answered once a step is on disk.
#[derive(Debug)]
pub(super) enum Call {
    /// A task that asked to see a control met.
    Control(Control),
    /// An administrator who spoke about the request.
    Vote,
    /// A task that launches.
    Launch,
}

/// The answer to a task that asked to see a control met.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ControlAnswer {
    /// `MFA`, `JUSTIFY` or `APPROVAL`.
    control: String,
    /// Whether it is met.
    satisfied: bool,
    /// Why.
    reason: String,
}

/// The answer to the task that launches.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Launched {
    /// The request.
    request_id: String,
    /// The process that runs.
    process_id: u32,
    /// The place of the rule by which it is another program than was asked for, from 0.
    rule: Option<usize>,
}

impl Elevation {
    /// The caller hears how it ended, once, and who withdrew it that he did.
    pub(super) fn answer(&mut self, turn: &mut Turn<'_>) {
        if let Some(caller) = self.withdrawer.take() {
            let answer = ElevationAnswer::GaveUp(Vec::from([self.id.clone()]));
            turn.effects.push(Effect::Elevation(ElevationOrder::Answer { caller, answer }));
        }
        let Some(caller) = self.caller.take() else { return };
        let explanation = self.record.explanation.clone().unwrap_or_else(|| self.withdrawn());
        let answer = ElevationAnswer::Denied { request: Some(self.id.clone()), explanation };
        turn.effects.push(Effect::Elevation(ElevationOrder::Answer { caller, answer }));
    }

    pub(super) fn tell(&self, text: impl Into<String>, turn: &mut Turn<'_>) {
        if let Some(caller) = self.caller {
            turn.effects.push(Effect::Elevation(ElevationOrder::Tell { caller, text: text.into() }));
        }
    }

    /// Everybody whose question is decided by now.
    pub(super) fn answer_calls(&mut self, turn: &mut Turn<'_>) {
        let ended = matches!(self.state, State::Ended { .. });
        let (controls, record) = (&self.controls, &self.record);
        let why = record.explanation.as_ref();
        self.calls.retain(|(call, request)| {
            let response = match call {
                Call::Control(control) if !controls.awaits(*control) => control_answer(*control, true, "It is met."),
                Call::Control(control) if ended => {
                    control_answer(*control, false, &why.map(ToString::to_string).unwrap_or_default())
                }
                Call::Control(_) => return true,
                Call::Vote => ApiResponse::json(200, record),
                Call::Launch if record.status == Status::Running || record.exit.is_some() => launched(record),
                Call::Launch => match why.filter(|_| ended) {
                    Some(why) => ApiResponse::problem(409, why),
                    None => return true,
                },
            };
            turn.effects.push(Effect::Respond { request: *request, response });
            false
        });
    }

    /// Keeps somebody's question; 503 where too many wait.
    pub(super) fn wait(&mut self, call: Call, request: RequestId) -> Option<ApiResponse> {
        if self.calls.len() >= ELEVATION_CALLS {
            let why = format!("{ELEVATION_CALLS} calls wait for it already.");
            let what = format!("Request {} takes no more calls.", self.id);
            return Some(ApiResponse::problem(503, &Explanation::new(what, why, "Call again later.")));
        }
        self.calls.push((call, request));
        None
    }

    /// Everybody who still waits, as the agent exits.
    pub(crate) fn forsake(&mut self) -> Vec<RequestId> {
        self.calls.drain(..).map(|(_, request)| request).collect()
    }

    pub(super) fn denied(&self, why: impl Into<String>, fix: impl Into<String>) -> Explanation {
        Explanation::new(format!("Request {} was denied.", self.id), why, fix)
    }

    pub(super) fn not_on_record(&self, reason: &str) -> Explanation {
        let why = format!("It could not be put on record: {reason}");
        self.denied(why, "See that the disk that holds the agent root has room and works, then ask again.")
    }

    pub(super) fn withdrawn(&self) -> Explanation {
        let what = format!("Request {} was withdrawn.", self.id);
        Explanation::new(what, "Its caller left before its program was launched.", "Ask again.")
    }
}

pub(super) fn control_answer(control: Control, satisfied: bool, reason: &str) -> ApiResponse {
    let (control, reason) = (control.as_str().to_string(), reason.to_string());
    ApiResponse::json(200, &ControlAnswer { control, satisfied, reason })
}

fn launched(record: &ElevationRecord) -> ApiResponse {
    let process_id = record.process_id.unwrap_or_default();
    let rule = record.substitute.as_ref().map(|substitute| substitute.rule);
    ApiResponse::json(200, &Launched { request_id: record.request_id.clone(), process_id, rule })
}
