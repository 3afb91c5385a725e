//! Calls of Http tasks: answers of the HTTP client, and requests to the agent's own API, which never leave the core.
//!
//! An own request takes the way of every other one (guard, route, tier, handler), in the name of its run and under a number that no
//! listener gives; its answer is taken back from the orders before the shell sees them. No socket, hence nothing to steal.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

use super::callers::Caller;
use super::requests::respond;
use super::{Agent, lifecycle};
use crate::api::{ApiRequest, ApiResponse, Listener};
use crate::effect::{Effect, Effects};
use crate::event::{Captured, HttpReport};
use crate::id::{Component, RequestId, RunId, TicketId};
use crate::log_message::Level;
use crate::run::OwnCall;
use crate::time::Now;
use crate::trust::PeerFacts;

/// Requests of the agent's own Http tasks that have no answer yet.
pub(super) type OwnCalls = BTreeMap<RequestId, (RunId, TicketId)>;

/// Set in the numbers of own requests; listeners count from 1.
const OWN: u64 = 1 << 63;

impl Agent {
    pub(super) fn on_http(&mut self, now: Now, report: HttpReport, effects: &mut Effects) {
        let (HttpReport::Answered { ticket, .. } | HttpReport::Failed { ticket, .. }) = &report;
        let Some(id) = self.runs.values().find(|run| run.calls(*ticket)).map(|run| run.id.clone()) else {
            let message = format!("An answer to request {ticket} came, but nobody waits for it; nothing changed.");
            return self.desk.turn(now, effects).log(Level::Warning, "Anomaly", message);
        };
        self.with_run(now, &id, effects, |run, turn| match &report {
            HttpReport::Answered { ticket, status, body } => run.on_answered(*ticket, *status, body, turn),
            HttpReport::Failed { ticket, reason } => run.on_call_failed(*ticket, reason, turn),
        });
    }

    /// Answers a request of an Http task, now or later.
    pub(super) fn call_own_api(&mut self, now: Now, component: &Component, call: &OwnCall, effects: &mut Effects) {
        // A run that was stopped between its order and this line waits no more.
        if !self.runs.get(&call.run).is_some_and(|run| run.calls(call.ticket)) {
            return;
        }
        let id = RequestId(OWN | call.ticket.0);
        self.own_calls.insert(id, (call.run.clone(), call.ticket));
        let caller = Caller::http_task(component, call.run.clone());
        let request = ApiRequest {
            id,
            listener: Listener::Https,
            // There is no connection and hence no peer; who asks is known without one.
            peer: PeerFacts::default(),
            certificate: None,
            method: call.method.clone(),
            target: call.target.clone(),
            headers: call.headers.clone(),
            body: call.body.clone(),
        };
        if let Some(response) = self.answer(now, &request, &caller, effects) {
            respond(id, response, effects);
        }
    }

    /// Takes the answers to own requests back and lets their runs go on; whether there were any. One whose task was stopped
    /// meanwhile is dropped, as it would be by a client that hung up.
    pub(super) fn deliver_own_answers(&mut self, now: Now, effects: &mut Effects) -> bool {
        if self.own_calls.is_empty() {
            return false;
        }
        let own = |effect: &mut Effect| matches!(effect, Effect::Respond { request, .. } if request.0 & OWN != 0);
        let taken: Vec<Effect> = effects.extract_if(.., own).collect();
        let any = !taken.is_empty();
        for effect in taken {
            let Effect::Respond { request, response: ApiResponse { status, body, .. } } = effect else { continue };
            self.meter.answered(request, status);
            let Some((run, ticket)) = self.own_calls.remove(&request) else { continue };
            let waits = self.runs.get(&run).is_some_and(|run| run.calls(ticket));
            if waits && self.phase != lifecycle::Lifecycle::Stopped {
                let body = Captured::of(body);
                self.with_run(now, &run, effects, |run, turn| run.on_answered(ticket, status, &body, turn));
            }
        }
        any
    }
}
