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
        let plugin = self.plugins.values().find(|plugin| is_policy_plugin(plugin));
        let Some(plugin) = plugin.filter(|plugin| !plugin.retired) else {
            return Evaluator::Missing(format!("There is no plugin {POLICY_PLUGIN} in service."));
        };
        if let Some(spawn) = plugin.ready_process() {
            return Evaluator::Ready(spawn);
        }
        let reason = plugin.reason().unwrap_or_else(|| String::from("it did not say why."));
        let why = format!("plugin {POLICY_PLUGIN} is {}: {reason}", plugin.status());
        if plugin.obstacle().is_some() { Evaluator::Missing(why) } else { Evaluator::Away(why) }
    }

    /// An answer counts from the present process of KeeperPolicy alone, for a request that waits for it.
    pub(super) fn on_policy_answer(
        &mut self,
        now: Now,
        subject: &Subject,
        payload: &[u8],
        effects: &mut Effects,
    ) -> Result<(), String> {
        let is_its = matches!(&subject.component, Component::Plugin(_))
            && self.plugins.values().any(|plugin| is_policy_plugin(plugin) && plugin.owns(subject.spawn));
        if !is_its {
            return Err(format!("Its sender is not the present process of the plugin {POLICY_PLUGIN}."));
        }
        let Answer { id, decision, .. } = Answer::parse(payload)?;
        let request = ElevationId::from_text(&id).ok_or_else(|| format!("{} is no id of a request.", quote(&id)))?;
        let elevation = self.elevations.active.get_mut(&request);
        let elevation = elevation.ok_or_else(|| format!("There is no request {request} under way."))?;
        elevation.on_decision(decision, &self.elevations.grants, &mut self.desk.turn(now, effects))
    }
}

fn is_policy_plugin(plugin: &Supervisor) -> bool {
    plugin.definition.id.as_str() == POLICY_PLUGIN
}
