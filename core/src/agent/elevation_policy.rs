//! KeeperPolicy, which decides requests for more privileges: whether it can be asked, and what it answers.

use alloc::format;
use alloc::string::String;

use super::Agent;
use crate::acl::Subject;
use crate::effect::Effects;
use crate::elevation::POLICY_PLUGIN;
use crate::id::{Component, ElevationId, SpawnId};
use crate::job::finding::quote;
use crate::plugin::supervisor::Supervisor;
use crate::policy::message::Answer;
use crate::time::Now;

/// Whether KeeperPolicy can be asked.
pub(super) enum Evaluator {
    /// In this process.
    Ready(SpawnId),
    /// Not now; why.
    Away(String),
    /// Not at all; why.
    Missing(String),
}

impl Agent {
    pub(super) fn evaluator(&self) -> Evaluator {
        let plugin = self.plugins.values().find(|plugin| plugin.definition().id.as_str() == POLICY_PLUGIN);
        let Some(plugin) = plugin.filter(|plugin| !plugin.retired) else {
            return Evaluator::Missing(format!("There is no plugin {POLICY_PLUGIN} in service."));
        };
        if plugin.definition().run_as.is_some() {
            let fix = "its definition has to say \"executionContext\": \"Service\".";
            return Evaluator::Missing(format!(
                "Plugin {POLICY_PLUGIN} runs as a user, who cannot decide about privileges: {fix}"
            ));
        }
        if let Some(spawn) = plugin.instances().find_map(Supervisor::ready_process) {
            return Evaluator::Ready(spawn);
        }
        let reason = plugin.reason().unwrap_or_else(|| String::from("it did not say why."));
        let why = format!("plugin {POLICY_PLUGIN} is {}: {reason}", plugin.status());
        if plugin.obstacle().is_some() { Evaluator::Missing(why) } else { Evaluator::Away(why) }
    }

    /// An answer counts from the present process of KeeperPolicy alone, for a request that waits for it, and to what that request asks:
    /// others may ask KeeperPolicy in its name.
    pub(super) fn on_policy_answer(
        &mut self,
        now: Now,
        subject: &Subject,
        payload: &[u8],
        effects: &mut Effects,
    ) -> Result<(), String> {
        let is_its = matches!(&subject.component, Component::Plugin(_))
            && matches!(self.evaluator(), Evaluator::Ready(spawn) if spawn == subject.spawn);
        if !is_its {
            return Err(format!("Its sender is not the present process of the plugin {POLICY_PLUGIN}."));
        }
        let Answer { id, meta_data, decision, basis, .. } = Answer::parse(payload)?;
        let request = ElevationId::from_text(&id).ok_or_else(|| format!("{} is no id of a request.", quote(&id)))?;
        let user = self.elevations.active.get(&request).map(|elevation| elevation.record.user_id);
        let crowded = user.and_then(|user| self.crowded(user));
        let elevation = self.elevations.active.get_mut(&request);
        let elevation = elevation.ok_or_else(|| format!("There is no request {request} under way."))?;
        let mut turn = self.desk.turn(now, effects);
        if elevation.asks(&turn)? != meta_data {
            return Err(format!("It answers another question than that of request {request}."));
        }
        let verdict = decision.verdict.as_str();
        elevation.on_decision((decision, basis), &self.elevations.grants, crowded, &mut turn)?;
        self.meter.elevations.judged(verdict);
        Ok(())
    }

    /// Why no further request of this user may begin to wait for controls. Each that waits keeps a run, for hours where an approval is
    /// asked for: half of the runs stay for other jobs, and half of those that may wait for other users.
    fn crowded(&self, user: u32) -> Option<String> {
        let waiting = || self.waiting_elevations();
        let most = (self.desk.settings.max_concurrent_runs / 2).max(1);
        let most_of_one = (most / 2).max(1);
        if waiting().filter(|record| record.user_id == user).count() >= most_of_one {
            return Some(format!("{most_of_one} requests of yours wait for an answer already, which is the most."));
        }
        (waiting().count() >= most).then(|| format!("{most} requests wait for an answer already, which is the most."))
    }
}
