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
use crate::id::{PluginId, TicketId};
use crate::plugin::supervisor::output::{ProcessOutput, Written};
use crate::run::secret::Secrets;
use crate::time::Now;

impl Agent {
    /// What its processes wrote; the one that runs is asked first.
    pub(super) fn show_plugin_output(
        &mut self,
        now: Now,
        request: &ApiRequest,
        id: &PluginId,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        let Some(plugin) = self.plugins.get(id) else { return Some(self.no_plugin(id)) };
        let Some(spawn) = plugin.writes() else { return Some(self.plugin_output(id, None)) };
        if let Some(refusal) = self.overloaded() {
            return Some(refusal);
        }
        let mut turn = self.desk.turn(now, effects);
        let ticket = turn.counters.ticket();
        turn.process(ProcessOrder::Peek { ticket, spawn });
        self.expect_answer(ticket, Pending::PluginOutput { request: request.id, plugin: id.clone(), spawn });
        None
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
            Some(Pending::PluginOutput { request, plugin: id, spawn }) => {
                let secrets = self.desk.plugin_settings.secrets(id.as_str());
                // One that was collected meanwhile is the last that ended.
                let present = self.plugins.get(&id).filter(|plugin| plugin.writes() == Some(spawn));
                let present = present.map(|plugin| plugin.output(shown(&secrets, stdout), shown(&secrets, stderr)));
                respond(request, self.plugin_output(&id, present), effects);
            }
            other => self.unasked(now, ticket, other, effects),
        }
    }

    fn plugin_output(&self, id: &PluginId, present: Option<ProcessOutput>) -> ApiResponse {
        let Some(plugin) = self.plugins.get(id) else { return self.no_plugin(id) };
        let processes = plugin.last_output.iter().cloned().chain(present).collect();
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
