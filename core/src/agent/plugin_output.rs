//! `GET /api/plugins/{id}/output`: what the processes of a plugin wrote, without the values of its secret settings.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Agent;
use super::answers::Pending;
use super::requests::respond;
use crate::api::view::PluginOutput;
use crate::api::{ApiRequest, ApiResponse};
use crate::effect::{Effects, ProcessOrder};
use crate::event::Captured;
use crate::id::{PluginId, SpawnId, TicketId};
use crate::plugin::supervisor::Supervisor;
use crate::plugin::supervisor::output::{ProcessOutput, Written};
use crate::run::secret::Secrets;
use crate::time::Now;

impl Agent {
    /// What its processes wrote; those that run are asked first, one after the other.
    pub(super) fn show_plugin_output(
        &mut self,
        now: Now,
        request: &ApiRequest,
        id: &PluginId,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        let Some(plugin) = self.plugins.get(id) else { return Some(self.no_plugin(id)) };
        let mut rest: Vec<SpawnId> = plugin.instances().rev().filter_map(Supervisor::writes).collect();
        let Some(spawn) = rest.pop() else { return Some(self.plugin_output(id, Vec::new())) };
        if let Some(refusal) = self.overloaded() {
            return Some(refusal);
        }
        let (request, plugin, found) = (request.id, id.clone(), Vec::new());
        self.peek(now, Pending::PluginOutput { request, plugin, spawn, rest, found }, spawn, effects);
        None
    }

    fn peek(&mut self, now: Now, pending: Pending, spawn: SpawnId, effects: &mut Effects) {
        let mut turn = self.desk.turn(now, effects);
        let ticket = turn.counters.ticket();
        turn.process(ProcessOrder::Peek { ticket, spawn });
        self.expect_answer(ticket, pending);
    }

    pub(super) fn on_peeked(
        &mut self,
        now: Now,
        ticket: TicketId,
        stdout: &Captured,
        stderr: &Captured,
        effects: &mut Effects,
    ) {
        match self.pending.remove(&ticket) {
            Some(Pending::PluginOutput { request, plugin: id, spawn, mut rest, mut found }) => {
                let secrets = self.desk.plugin_settings.secrets(id.as_str());
                // One that was collected meanwhile is the last that ended.
                let present = self.plugins.get(&id).and_then(|plugin| plugin.instance_of(spawn));
                let present = present.filter(|instance| instance.writes() == Some(spawn));
                let output = |instance: &Supervisor| instance.output(shown(&secrets, stdout), shown(&secrets, stderr));
                found.extend(present.map(output));
                match rest.pop() {
                    None => respond(request, self.plugin_output(&id, found), effects),
                    Some(next) => {
                        let plugin = id;
                        self.peek(
                            now,
                            Pending::PluginOutput { request, plugin, spawn: next, rest, found },
                            next,
                            effects,
                        );
                    }
                }
            }
            other => self.unasked(now, ticket, other, effects),
        }
    }

    fn plugin_output(&self, id: &PluginId, present: Vec<ProcessOutput>) -> ApiResponse {
        let Some(plugin) = self.plugins.get(id) else { return self.no_plugin(id) };
        let processes = plugin.last_outputs().cloned().chain(present).collect();
        ApiResponse::json(200, &PluginOutput { id: id.to_string(), processes })
    }
}

/// What a port captured, as it may be seen.
pub(super) fn shown(secrets: &Secrets, captured: &Captured) -> Written {
    let bytes: Vec<u8> = captured.head.iter().chain(&captured.tail).copied().collect();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let text = if captured.omitted == 0 { secrets.mask(text) } else { secrets.mask_tail(text) };
    Written { text, omitted: captured.omitted }
}
