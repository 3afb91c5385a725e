//! Orders that a port did not take: whoever waits for their answer gets one, and what ends somebody's trust is ordered again.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;

use super::Agent;
use super::answers::Pending;
use super::requests::respond;
use crate::api::ApiResponse;
use crate::certificate::NotChanged;
use crate::effect::{BrokerOrder, Effects, LostOrder, ProcessOrder};
use crate::event::{Captured, HttpReport, ProcessReport, StoreReport};
use crate::id::{Component, RunId, SpawnId, TicketId};
use crate::lkg::NotWritten;
use crate::log_message::Level;
use crate::time::{Deadline, Monotonic, Now};
use crate::why::Explanation;

/// Milliseconds until an order about trust is given again.
const AGAIN_MILLIS: u64 = 100;

/// Orders to the broker that must not stay lost.
#[derive(Debug, Default)]
pub(super) struct Losses {
    regrants: BTreeSet<Component>,
    revokes: BTreeSet<SpawnId>,
    certificates: BTreeSet<String>,
    again_at: Option<Monotonic>,
}

impl Losses {
    /// What is put there now is ordered again soon.
    fn later(&mut self, now: Now) -> &mut Self {
        self.again_at.get_or_insert(now.monotonic.plus_millis(AGAIN_MILLIS));
        self
    }

    pub(super) fn next_deadline(&self) -> Option<Deadline> {
        self.again_at.map(|at| Deadline { at, reason: "a lost order about trust" })
    }
}

impl Agent {
    pub(super) fn on_lost(&mut self, now: Now, order: LostOrder, why: String, effects: &mut Effects) {
        let message = format!("An order was lost ({order:?}): {why}");
        self.desk.turn(now, effects).log(Level::Error, "Congested", message);
        let reason = format!("the order was lost: {why}");
        match order {
            LostOrder::Spawn(spawn) | LostOrder::Abort(spawn) => {
                self.on_process(now, ProcessReport::SpawnFailed { spawn, reason }, effects);
            }
            LostOrder::Release(spawn) => {
                self.on_process(now, ProcessReport::SpawnFailed { spawn, reason: reason.clone() }, effects);
                self.desk.turn(now, effects).process(ProcessOrder::Abort { spawn, reason });
            }
            LostOrder::Collect(spawn) => {
                let (stdout, stderr) = (Captured::default(), Captured::default());
                self.on_process(now, ProcessReport::Collected { spawn, stdout, stderr }, effects);
            }
            LostOrder::Discard(spawn) => self.on_process(now, ProcessReport::Discarded { spawn }, effects),
            LostOrder::Peek(ticket)
            | LostOrder::Inspect(ticket)
            | LostOrder::Examine(ticket)
            | LostOrder::Survey(ticket)
            | LostOrder::ReadDefinitions(ticket)
            | LostOrder::ReadPolicies(ticket) => self.give_up(now, ticket, &why, effects),
            LostOrder::KeepPolicies(ticket) => {
                self.on_store(now, StoreReport::PoliciesKept { ticket, result: Err(reason) }, effects);
            }
            LostOrder::PersistRun(ticket, run) => {
                // The agent made the id, so it is one.
                let run = RunId::from_text(&run).unwrap_or_else(|| RunId::new(0, 0));
                self.on_store(now, StoreReport::RunPersisted { ticket, run, result: Err(reason) }, effects);
            }
            LostOrder::KeepElevation(ticket) => self.on_elevation_kept(now, ticket, Err(reason), effects),
            LostOrder::ReadRuns(ticket) => self.on_runs_read(now, ticket, Err(reason), effects),
            LostOrder::ReadElevations(ticket) => self.on_elevations_read(now, ticket, Err(reason), effects),
            LostOrder::ChangeDefinitions(ticket) => {
                let result = Err(NotWritten::because(reason));
                self.on_store(now, StoreReport::DefinitionsChanged { ticket, result }, effects);
            }
            LostOrder::Restore(ticket, item) => {
                self.on_store(now, StoreReport::Restored { ticket, item, result: Err(reason) }, effects);
            }
            LostOrder::ReadReferences(ticket) => {
                self.on_store(now, StoreReport::ReferencesRead { ticket, result: Err(reason) }, effects);
            }
            LostOrder::Rekey(ticket) => {
                let result = Err(NotWritten::because(reason));
                self.on_store(now, StoreReport::Rekeyed { ticket, result }, effects);
            }
            LostOrder::WriteSettings(ticket) => {
                self.on_store(now, StoreReport::SettingsWritten { ticket, result: Err(reason) }, effects);
            }
            LostOrder::Append(Some(ticket)) => self.on_audited(now, ticket, Err(reason), effects),
            LostOrder::Send(ticket) => self.on_http(now, HttpReport::Failed { ticket, reason }, effects),
            LostOrder::Regrant(component) => {
                self.losses.later(now).regrants.insert(component);
            }
            LostOrder::Revoke(spawn) => {
                self.losses.later(now).revokes.insert(spawn);
            }
            LostOrder::RevokeCertificate(sha256) => {
                self.losses.later(now).certificates.insert(sha256);
            }
            LostOrder::Mfa(ticket) => self.on_mfa(now, ticket, Err(reason), effects),
            LostOrder::ChangeCertificates(ticket) => {
                let result = Err(NotChanged::Failed(reason));
                self.on_store(now, StoreReport::CertificatesChanged { ticket, result }, effects);
            }
            // The line above names it; whoever waits for an entry has a ticket.
            LostOrder::Signal(_) | LostOrder::Append(None) | LostOrder::Other => {}
        }
    }

    /// A question that a request waits for will have no answer.
    fn give_up(&mut self, now: Now, ticket: TicketId, why: &str, effects: &mut Effects) {
        match self.pending.remove(&ticket) {
            Some(
                Pending::Inspection { request, .. }
                | Pending::PluginOutput { request, .. }
                | Pending::Reload { request },
            ) => respond(request, given_up(why), effects),
            Some(Pending::Lkg(asked)) => respond(asked.request, given_up(why), effects),
            Some(Pending::PoliciesRead(wanted)) => {
                if let Some(request) = wanted.request() {
                    respond(request, given_up(why), effects);
                }
            }
            // Somebody changes files again, or the next sweep comes.
            Some(Pending::Touched | Pending::Sweep) => {}
            Some(Pending::Policies) => self.give_up_policy(now, why, effects),
            Some(Pending::Examination(question)) => self.give_up_examination(now, question, why, effects),
            None if self.elevation_awaits(ticket) => self.on_program_found(now, ticket, Err(why), effects),
            other => self.unasked(now, ticket, other, effects),
        }
    }

    /// Orders again what the broker must know, by the definitions of now.
    pub(super) fn order_again(&mut self, now: Now, effects: &mut Effects) {
        if self.losses.again_at.take_if(|at| now.monotonic >= *at).is_none() {
            return;
        }
        for spawn in core::mem::take(&mut self.losses.revokes) {
            self.desk.turn(now, effects).broker(BrokerOrder::Revoke { spawn });
        }
        for sha256 in core::mem::take(&mut self.losses.certificates) {
            self.desk.turn(now, effects).broker(BrokerOrder::RevokeCertificate { sha256 });
        }
        for component in core::mem::take(&mut self.losses.regrants) {
            let (publish, subscribe, primary) = self.permissions(&component).unwrap_or_default();
            let order = BrokerOrder::Regrant { component, publish, subscribe, primary };
            self.desk.turn(now, effects).broker(order);
        }
    }
}

/// 503 to a request whose question will have no answer.
fn given_up(why: &str) -> ApiResponse {
    let fix = "Send the request again when fewer others are under way.";
    ApiResponse::problem(503, &Explanation::new("The agent has too much to do; nothing was changed.", why, fix))
}
