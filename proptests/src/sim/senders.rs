//! A client that fires events over a link that loses messages and acknowledgements, and sends again what is not acknowledged.

use std::collections::BTreeMap;

use castellan_core::acl::Subject;
use castellan_core::broker::message::Packet;
use castellan_core::event::{BrokerReport, Event};
use castellan_core::id::{Component, PluginId, SpawnId};
use serde_json::json;

use super::World;
use super::jobs::Overlap;
use super::ledger::{Broken, broken};

/// Processes of this world's agents never have this number.
const SPAWN: SpawnId = SpawnId(1_000_000);

/// The client of one life of the agent; with that its process ends.
#[derive(Debug, Default)]
pub(super) struct Sender {
    sent: u16,
    /// Packet identifier and message, and whether the agent took it already.
    messages: BTreeMap<u16, (u64, bool)>,
}

impl World<'_> {
    /// A new message, which may be lost, or one of the former ones again.
    pub(super) fn fire(&mut self) -> Result<(), Broken> {
        let known: Vec<u16> = self.sender.messages.keys().copied().collect();
        let former = known.get(self.dice.place(known.len())).copied().filter(|_| self.dice.percent(50));
        let identifier = former.unwrap_or_else(|| self.sender.sent.saturating_add(1));
        if former.is_none() {
            self.sender.sent = identifier;
            self.messages = self.messages.saturating_add(1);
            self.sender.messages.insert(identifier, (self.messages, false));
            if self.dice.percent(30) {
                self.note("a message is lost");
                return Ok(());
            }
        }
        let Some((message, was_taken)) = self.sender.messages.get_mut(&identifier) else { return Ok(()) };
        let (message, was_taken) = (*message, std::mem::replace(was_taken, true));
        let before: Vec<usize> = self.started_by(message);
        let payload = json!({ "eventName": "go", "context": { "message": message } }).to_string().into_bytes();
        let packet = Some(Packet { identifier, duplicate: former.is_some() });
        let Ok(id) = PluginId::parse("Sender") else { return broken("total", "a plugin id is refused") };
        let component = Component::Plugin(id);
        let subject = Subject { component, run: None, spawn: SPAWN, pid: 9, client_id: String::from("Sender_9") };
        let topic = String::from("EventMessages");
        self.tell(Event::Broker(BrokerReport::Published { subject, topic, payload: payload.into(), packet }))?;
        if self.crashed || self.exited {
            return Ok(());
        }
        let due = usize::from(!was_taken);
        for ((number, job), (before, now)) in
            self.jobs.iter().enumerate().zip(before.iter().zip(self.started_by(message)))
        {
            let new = now.saturating_sub(*before);
            let may_be_refused = job.overlap == Overlap::Skip || self.ledger.is_crowded(number);
            if new > due || (new < due && !may_be_refused) {
                let detail = format!("message {message} began {new} runs of {} instead of {due}", job.id);
                return broken("event-once", detail);
            }
        }
        Ok(())
    }

    /// How many runs of each job a message began so far.
    fn started_by(&self, message: u64) -> Vec<usize> {
        (0..self.jobs.len()).map(|number| self.ledger.runs_by(number, message)).collect()
    }
}
