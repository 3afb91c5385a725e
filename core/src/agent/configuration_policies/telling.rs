//! What became of policies: on record, in the log, on the broker, and told to whoever asked.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Asker, PolicyLine, Refusal, Underway};
use crate::agent::Agent;
use crate::configuration_policy::AppliedPolicy;
use crate::configuration_policy::record::PolicyResult;
use crate::effect::{BrokerOrder, Effects};
use crate::job::finding::Findings;
use crate::log_message::Level;
use crate::plugin::storage::PolicySettings;
use crate::time::Now;
use crate::why::{Explanation, sentence};

/// Where the agent tells what became of a policy.
const TOPIC: &str = "EventMessages";
/// QoS of that.
const QOS: u8 = 1;

impl Agent {
    pub(super) fn finish_unit(&mut self, now: Now, underway: Underway, effects: &mut Effects) {
        for key in &underway.forget {
            self.audit_forgotten(now, key, effects);
        }
        self.policies.records.apply(underway.record());
        self.put_layers_in_force();
        let lines = underway.ready.into_iter().map(|ready| ready.line).chain(underway.idle);
        for line in lines {
            self.note_policy(now, line, effects);
        }
        self.continue_policies(now, effects);
    }

    /// A unit that came as far as an order, which failed.
    pub(super) fn fail_unit(
        &mut self,
        now: Now,
        underway: Underway,
        status: u16,
        what: &str,
        why: &str,
        effects: &mut Effects,
    ) {
        let mut lines: Vec<PolicyLine> = underway.ready.into_iter().map(|ready| ready.line).collect();
        lines.extend(underway.idle);
        if lines.is_empty() {
            let what = "Policies could not be forgotten; the settings that they set stay in effect.";
            let explanation = Explanation::new(what, sentence(why), "Mend that, and try again.");
            self.desk.turn(now, effects).log(Level::Error, "PolicyRefused", explanation.to_string());
            let refusal = Refusal { status, explanation, findings: Findings::new() };
            // Whoever brought it is told: a bundle without policies is not in force while what the former one set still is.
            if let Some(delivery) = self.policies.deliveries.front_mut() {
                delivery.refused = Some(refusal);
            }
            return self.continue_policies(now, effects);
        }
        let line = lines.remove(0);
        let decision = format!("The policy {} of {} was not applied.", line.name, line.source);
        let why = format!("{what} {}", sentence(why));
        let explanation = Explanation::new(decision, why, "POST /api/policies/reload, or apply it again.");
        let refusal = Refusal { status, explanation, findings: Findings::new() };
        self.refuse_unit(now, line, lines, refusal, effects);
    }

    /// One policy is refused, and with it the others of its unit.
    pub(super) fn refuse_unit(
        &mut self,
        now: Now,
        line: PolicyLine,
        others: Vec<PolicyLine>,
        refusal: Refusal,
        effects: &mut Effects,
    ) {
        let why = format!("{} {}", refusal.explanation.why, refusal.explanation.fix);
        for other in others.into_iter().filter(|other| other.result == PolicyResult::Applied) {
            let why = Some(format!("The policy {} of the same delivery was refused.", line.name));
            self.note_policy(
                now,
                PolicyLine { result: PolicyResult::Refused, changes: Vec::new(), why, ..other },
                effects,
            );
        }
        let line = PolicyLine { result: PolicyResult::Refused, changes: Vec::new(), why: Some(why), ..line };
        self.note_policy(now, line, effects);
        if let Some(delivery) = self.policies.deliveries.front_mut() {
            delivery.refused = Some(refusal);
        }
        self.continue_policies(now, effects);
    }

    /// Says what became of a policy: to the log, on the broker, in the list; and to whoever asked.
    pub(super) fn note_policy(&mut self, now: Now, line: PolicyLine, effects: &mut Effects) {
        let is_dry_run = self.policies.deliveries.front().is_some_and(|delivery| delivery.is_dry_run);
        if let Some(delivery) = self.policies.deliveries.front_mut() {
            delivery.lines.push(line.clone());
        }
        if is_dry_run {
            return;
        }
        if self.policies.records.is_known(&line) {
            return;
        }
        self.audit_policy(now, &line, effects);
        let mut turn = self.desk.turn(now, effects);
        match line.result {
            PolicyResult::Applied => {
                let done =
                    if line.changes.is_empty() { String::from("nothing to change") } else { line.changes.join(", ") };
                let message = format!("The policy {} of {} was applied: {done}.", line.name, line.source);
                turn.log(Level::Information, "PolicyApplied", message);
            }
            PolicyResult::Refused => {
                let why = line.why.as_deref().unwrap_or_default();
                let message = format!("The policy {} of {} was not applied. {why}", line.name, line.source);
                turn.log(Level::Error, "PolicyRefused", message);
            }
            PolicyResult::Idle => {
                let why = line.why.as_deref().unwrap_or_default();
                let message = format!("The policy {} of {} is left alone. {why}", line.name, line.source);
                turn.log(Level::Debug, "PolicyIdle", message);
            }
            PolicyResult::Unchanged | PolicyResult::Valid => {
                return self.policies.records.note_unchanged(line);
            }
        }
        if line.result != PolicyResult::Idle {
            let event =
                serde_json::json!({ "eventName": format!("ConfigurationPolicy{:?}", line.result), "context": line });
            let (topic, payload) = (TOPIC.to_string(), event.to_string().into_bytes());
            turn.broker(BrokerOrder::Publish { topic, payload, qos: QOS, retain: false });
        }
        self.policies.records.note(line);
    }

    pub(super) fn settle_delivery(&mut self, now: Now, effects: &mut Effects) {
        let Some(delivery) = self.policies.deliveries.pop_front() else { return };
        match delivery.asker {
            Asker::Nobody => {}
            Asker::Bundle => {
                let result = delivery.refused.as_ref().map_or(Ok(()), |refusal| Err(&refusal.explanation));
                self.on_bundle_settled(now, result, effects);
            }
            Asker::Document(_) | Asker::Folder(_) => self.answer_about_policies(delivery, effects),
            Asker::Removal(request) => self.answer_about_removal(now, request, delivery, effects),
        }
    }

    /// Says of each policy on record that counts no more what that means, and what to do.
    pub(super) fn tell_distrust(&mut self, now: Now, effects: &mut Effects) {
        let line = |(policy, why): (&AppliedPolicy, String)| {
            let stays = match &policy.layer {
                Some(layer) => format!("The settings that it set for the plugin {} are out of effect.", layer.plugin),
                None if policy.document.is_some() => String::from("What it may be about is denied."),
                None => String::from("What it wrote into Jobs/ or Plugins/ stays in service; see to it yourself."),
            };
            let fix = "Have it signed by somebody who counts and apply it again, or forget it: castellan policy remove";
            let why = Some(format!("It counts no more. {why} {stays} {fix} {}.", policy.key.name));
            PolicyLine { result: PolicyResult::Refused, why, ..PolicyLine::of(policy) }
        };
        let lines: Vec<PolicyLine> = self.policies.records.distrusted(&self.desk.settings).map(line).collect();
        for line in lines {
            let why = line.why.as_deref().unwrap_or_default();
            let message = format!("The policy {} of {}: {why}", line.name, line.source);
            self.desk.turn(now, effects).log(Level::Warning, "PolicyDistrusted", message);
            self.policies.records.note(line);
        }
    }

    pub(super) fn put_layers_in_force(&mut self) {
        let layers = self.policies.records.layers(&self.desk.settings).map(|(policy, layer)| PolicySettings {
            plugin: layer.plugin.clone(),
            values: layer.values.clone(),
            writer: format!("policy:{}", policy.key.name),
            time: policy.time.clone(),
        });
        self.desk.plugin_settings.set_policies(layers.collect());
    }
}
