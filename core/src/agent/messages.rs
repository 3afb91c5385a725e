//! Messages on the topics that the agent itself reads: `KeeperLogger`, `EventMessages`, `JobService` (contract section 5), `PluginHealth`,
//! `KeeperPolicy/answers`.

use alloc::format;
use alloc::string::String;

use super::Agent;
use crate::acl::{Action, Subject};
use crate::broker::message::Packet;
use crate::effect::Effects;
use crate::id::{Component, RunId};
use crate::json::Json;
use crate::log_message::{Level, LogMessage};
use crate::plugin::HEALTH_TOPIC;
use crate::policy::message::ANSWER_TOPIC;
use crate::run::{Chain, FiredEvent, JobRequest, Origin};
use crate::time::Now;
use crate::why::Explanation;

impl Agent {
    pub(super) fn on_published(
        &mut self,
        now: Now,
        subject: &Subject,
        topic: &str,
        payload: &[u8],
        packet: Option<Packet>,
        effects: &mut Effects,
    ) {
        if matches!(topic, "EventMessages" | "JobService")
            && self.is_copy(now, subject, topic, payload, packet, effects)
        {
            return;
        }
        let result = match topic {
            "KeeperLogger" => self.on_log_message(now, subject, payload, effects),
            "EventMessages" => self.on_event_message(now, subject, payload, effects),
            "JobService" => self.on_job_message(now, subject, payload, effects),
            HEALTH_TOPIC => self.on_health_message(now, subject, payload, effects),
            ANSWER_TOPIC => self.on_policy_answer(now, subject, payload, effects),
            _ => Err(format!("The agent does not read '{topic}'.")),
        };
        if let Err(why) = result {
            let what = format!("A message of {} on '{topic}' was refused.", subject.component);
            let explanation = Explanation::new(what, why, "Send it in the documented form (docs/integrators.md).");
            let denial = subject.denial(Action::Log, topic, explanation, None);
            self.record_denial(now, denial, effects);
        }
    }

    fn on_log_message(
        &mut self,
        now: Now,
        subject: &Subject,
        payload: &[u8],
        effects: &mut Effects,
    ) -> Result<(), String> {
        let message = LogMessage::parse(payload)?;
        let mut record = message.hidden(&|text| self.hide(subject, text)).into_record(now.wall, subject);
        let run = subject.run.as_ref().and_then(|id| self.runs.get(id));
        record.trace = run.and_then(|run| run.task_context_of(subject.spawn));
        self.desk.turn(now, effects).log_record(record);
        Ok(())
    }

    /// The answer to a ping counts from the plugin's present process tree alone.
    fn on_health_message(
        &mut self,
        now: Now,
        subject: &Subject,
        payload: &[u8],
        effects: &mut Effects,
    ) -> Result<(), String> {
        let Component::Plugin(plugin) = &subject.component else {
            return Err(String::from("Only plugins answer pings."));
        };
        let answer = Json::parse(payload).map_err(|error| error.message)?;
        let Some(id) = answer.lookup(&["id"]).and_then(Json::as_str) else {
            return Err(String::from("It is not the object of the ping, with its 'id' as a text."));
        };
        let plugin = self.plugins.get_mut(plugin).ok_or("Its sender is of no plugin in service.")?;
        let is_others = plugin.has_sent(id) && !id.starts_with(&format!("{}.", subject.spawn));
        let instance =
            plugin.instance_of_mut(subject.spawn).ok_or("Its sender is not the plugin's present process.")?;
        if is_others {
            // All instances hear each ping; the answer of one is no sign of life of another, and no offence either.
            return Ok(());
        }
        instance.on_answer(id, &mut self.desk.turn(now, effects))
    }

    /// A text of a client without what its run or its plugin has to hide; last messages may come when the run has just ended.
    fn hide(&self, subject: &Subject, text: String) -> String {
        match (&subject.component, &subject.run) {
            (Component::Plugin(id), _) => self.desk.plugin_settings.mask(id.as_str(), text),
            (_, Some(run)) => match self.runs.get(run) {
                Some(run) => run.mask(text),
                None => match self.chain_of_ended(run) {
                    Some(chain) => chain.secrets.mask(text),
                    None => text,
                },
            },
            (_, None) => text,
        }
    }

    /// Starts every job that waits for the event.
    fn on_event_message(
        &mut self,
        now: Now,
        subject: &Subject,
        payload: &[u8],
        effects: &mut Effects,
    ) -> Result<(), String> {
        let event = FiredEvent::parse(payload)?;
        if self.is_repeated(now, subject, event.id.as_deref(), effects) {
            return Ok(());
        }
        let chain = self.chain_of(subject)?;
        drop(self.fire(now, &event, &chain, effects));
        Ok(())
    }

    /// Whether a PUBLISH is the copy of one that was taken, sent by a client that never got the acknowledgement.
    fn is_copy(
        &mut self,
        now: Now,
        subject: &Subject,
        topic: &str,
        payload: &[u8],
        packet: Option<Packet>,
        effects: &mut Effects,
    ) -> bool {
        let registry = &self.registry;
        let lives = |spawn| registry.entry(spawn).is_some();
        let Some(packet) = packet.filter(|packet| !self.taken.is_new(subject, topic, payload, *packet, &lives)) else {
            return false;
        };
        let message = format!(
            "{} sent packet {} on '{topic}' once more (DUP); it was taken already and starts nothing again.",
            subject.client_id, packet.identifier
        );
        self.desk.turn(now, effects).log_about(Level::Information, "Event", message, Some(&subject.component));
        true
    }

    /// Whether a message came already: MQTT delivers at least once, and its sender may have sent it again.
    fn is_repeated(&mut self, now: Now, subject: &Subject, id: Option<&str>, effects: &mut Effects) -> bool {
        let Some(id) = id.filter(|id| !self.event_starts.is_new(&subject.component, id)) else { return false };
        let message = format!("Message '{id}' of {} came already; it starts nothing again.", subject.component);
        self.desk.turn(now, effects).log_about(Level::Information, "Event", message, Some(&subject.component));
        true
    }

    /// Triggers one job. The agent's own completions on this topic do not come here.
    fn on_job_message(
        &mut self,
        now: Now,
        subject: &Subject,
        payload: &[u8],
        effects: &mut Effects,
    ) -> Result<(), String> {
        let request = JobRequest::parse(payload)?;
        if self.is_repeated(now, subject, request.id.as_deref(), effects) {
            return Ok(());
        }
        let chain = self.chain_of(subject)?;
        self.run_requested(now, &request, &subject.component, chain, effects)
    }

    /// A message on `JobService`, from a client or from a task's `publish-mqtt`.
    pub(super) fn run_requested(
        &mut self,
        now: Now,
        request: &JobRequest,
        by: &Component,
        chain: Chain,
        effects: &mut Effects,
    ) -> Result<(), String> {
        let JobRequest { job: id, context, trace, .. } = request;
        let chain = Chain { trace: trace.or(chain.trace), ..chain };
        let job = self.catalog.find(id).cloned().ok_or_else(|| format!("There is no job '{id}' in service."))?;
        let trigger = format!("message on JobService from {by}");
        drop(self.trigger_or_log(now, &job, Origin { trigger, chain, ..Origin::default() }, context, effects));
        Ok(())
    }

    /// What a run hands down that ended not long ago.
    fn chain_of_ended(&self, run: &RunId) -> Option<&Chain> {
        self.ended.iter().find(|(ended, _)| ended == run).map(|(_, chain)| chain)
    }

    /// What the run that sent a message hands down; last messages may come when it has just ended.
    fn chain_of(&mut self, subject: &Subject) -> Result<Chain, String> {
        let Some(id) = &subject.run else { return Ok(Chain { depth: 1, ..Chain::default() }) };
        if let Some(run) = self.runs.get_mut(id) {
            let trace = run.take_published(subject.spawn);
            return Ok(Chain { trace, ..run.chain() });
        }
        self.chain_of_ended(id).cloned().ok_or_else(|| format!("Run {id}, which sent it, ended too long ago."))
    }
}
