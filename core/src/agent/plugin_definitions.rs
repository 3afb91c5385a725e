//! Plugins come into service and leave it, and what they do to each other and to jobs keeps them out of it.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::Agent;
use super::definitions::{readable, too_many};
use crate::acl::FilterSet;
use crate::effect::{BrokerOrder, Effects};
use crate::event::{DefinitionFile, DefinitionKind};
use crate::id::{Component, PluginId};
use crate::job::JobDefinition;
use crate::job::finding::{Finding, Findings, Severity};
use crate::job::lint::shared_binary;
use crate::limits::DEFINITIONS;
use crate::log_message::Level;
use crate::plugin::PluginDefinition;
use crate::plugin::instances::Plugin;
use crate::plugin::together::conflicts;
use crate::time::Now;

impl Agent {
    /// A plugin that runs keeps its process and gets its new permissions at once; the rest counts from its next start.
    pub(super) fn load_plugin(
        &mut self,
        now: Now,
        file: &DefinitionFile,
        effects: &mut Effects,
    ) -> Result<Findings, Findings> {
        let here = self.desk.surroundings.here;
        let parsed = readable(file).and_then(|bytes| PluginDefinition::parse(bytes, Some(&file.stem), here));
        let known = self.plugins.keys().any(|id| id.as_str() == file.stem);
        let full = self.plugins.len() >= DEFINITIONS && !known;
        let allowed = parsed.and_then(|parsed| if full { Err(too_many()) } else { Ok(parsed) });
        match allowed.and_then(|parsed| self.twin(&parsed.0.id).map_or(Ok(parsed), |twin| Err(id_taken(twin)))) {
            Ok((plugin, findings)) => {
                self.refused_plugins.remove(&file.stem);
                self.desk.plugin_settings.define(&plugin);
                self.insert_plugin(now, Arc::new(plugin), effects);
                Ok(findings)
            }
            Err(findings) => {
                let known = self.plugins.keys().find(|id| id.as_str() == file.stem).cloned();
                if let Some(id) = known {
                    self.retire_plugin(now, &id, effects);
                }
                self.refused_plugins.insert(file.stem.clone(), findings.clone());
                Err(findings)
            }
        }
    }

    /// The plugin in service whose id differs by case alone. Settings, and who may read their secrets, are looked up without regard to
    /// case, so there is one of a name.
    fn twin(&self, id: &PluginId) -> Option<&PluginId> {
        let is_twin = |other: &&Plugin| {
            let known = &other.definition().id;
            !other.retired && known != id && known.as_str().eq_ignore_ascii_case(id.as_str())
        };
        self.plugins.values().find(is_twin).map(|other| &other.definition().id)
    }

    /// Puts a plugin into service; one that comes while the agent runs is started as at start-up.
    fn insert_plugin(&mut self, now: Now, plugin: Arc<PluginDefinition>, effects: &mut Effects) {
        let id = plugin.id.clone();
        let running = self.is_running();
        let component = Component::Plugin(id.clone());
        let definition = Arc::clone(&plugin);
        let known = self.plugins.entry(id.clone()).or_insert_with(|| Plugin::new(Arc::clone(&plugin)));
        let former = known.define(plugin);
        let fresh = Arc::ptr_eq(&former, &definition) || core::mem::take(&mut known.retired);
        // Also without a process: a session waits for the next one.
        if former.document != definition.document {
            let (publish, subscribe) = definition.permissions();
            self.desk.turn(now, effects).broker(BrokerOrder::Regrant {
                component: component.clone(),
                publish,
                subscribe,
                primary: Some(definition.subscription.clone()),
            });
        }
        if fresh || former.document != definition.document {
            self.warn_of_limits(now, "", definition.limits, component.clone(), effects);
        }
        if running && fresh {
            self.line_up(now, &id, effects);
        } else if !definition.enabled && self.plugins.get(&id).is_some_and(|plugin| !plugin.is_stopped()) {
            // One that runs nowhere needs no topic, and another may have it from now on.
            let message = format!("Plugin {id} is stopped: it is registered with \"enabled\": false by now.");
            self.desk.turn(now, effects).log_about(Level::Warning, "NotRun", message, Some(&component));
            self.with_plugin(now, &id, effects, Plugin::stop);
        }
    }

    /// Takes a plugin out of service: its permissions end at once, its process is stopped, then it is gone.
    pub(super) fn retire_plugin(&mut self, now: Now, id: &PluginId, effects: &mut Effects) {
        let Some(plugin) = self.plugins.get_mut(id).filter(|plugin| !plugin.retired) else { return };
        plugin.retired = true;
        self.desk.plugin_settings.retire(id.as_str());
        let component = Component::Plugin(id.clone());
        let mut turn = self.desk.turn(now, effects);
        turn.log_about(Level::Warning, "PluginRemoved", format!("Plugin {id} is out of service."), Some(&component));
        // Also without a process: a session waits for the next one, and others' messages for it.
        turn.broker(BrokerOrder::Regrant {
            component,
            publish: FilterSet::default(),
            subscribe: FilterSet::default(),
            primary: None,
        });
        plugin.stop(&mut turn);
    }

    /// What is gone is forgotten: plugins out of service with their last process, and instances whose session is over.
    pub(super) fn forget_gone_plugins(&mut self, now: Now, effects: &mut Effects) {
        let is_running = self.is_running();
        let desk = &mut self.desk;
        self.plugins.retain(|id, plugin| {
            if plugin.retired && plugin.is_stopped() {
                desk.plugin_settings.forget_former(id.as_str());
                return false;
            }
            // Those that went may have been in the way of others.
            if plugin.forget_gone() && is_running && !plugin.retired {
                plugin.settle(&mut desk.turn(now, effects));
            }
            true
        });
    }

    /// What the plugins in service speak against each other: such a plugin is listed with its finding, and does not run.
    pub(super) fn settle_conflicts(&mut self, now: Now, effects: &mut Effects) {
        let in_service = self.plugins.values().filter(|plugin| !plugin.retired);
        let mut conflicts = conflicts(in_service.map(|plugin| &**plugin.definition()));
        let (mut refused, mut freed): (Vec<(PluginId, Finding)>, Vec<PluginId>) = (Vec::new(), Vec::new());
        for (id, plugin) in self.plugins.iter_mut().filter(|(_, plugin)| !plugin.retired) {
            let conflict = conflicts.remove(id);
            if plugin.conflict() == conflict.as_ref() {
                continue;
            }
            if plugin.conflict().is_some() && conflict.is_none() {
                freed.push(id.clone());
            }
            refused.extend(conflict.clone().map(|finding| (id.clone(), finding)));
            plugin.set_conflict(conflict);
        }
        for (id, finding) in refused {
            self.log_findings(now, &DefinitionKind::Plugin.file(id.as_str()), &[finding], effects);
            self.with_plugin(now, &id, effects, Plugin::stop);
        }
        if self.is_running() {
            freed.iter().for_each(|id| self.line_up(now, id, effects));
        }
    }

    /// An administrator asked for what the files say: processes that these describe in another way are started again.
    pub(super) fn renew_plugins(&mut self, now: Now, effects: &mut Effects) {
        for plugin in self.plugins.values_mut() {
            plugin.renew(&mut self.desk.turn(now, effects));
        }
    }

    /// What would keep a plugin out of service if it were as this definition says.
    pub(super) fn conflict_of(&self, plugin: &PluginDefinition) -> Option<Finding> {
        let others = self.plugins.values().filter(|other| !other.retired && other.definition().id != plugin.id);
        let mut conflicts = conflicts(others.map(|other| &**other.definition()).chain([plugin]));
        let own = conflicts.remove(&plugin.id);
        own.or_else(|| self.kept_out(conflicts, core::iter::once(plugin)).map(|(_, finding)| finding))
    }

    /// The first of the plugins that are written which would keep one in service out of it: of two with one topic the later by id is at
    /// fault, also where the other one took it.
    pub(super) fn kept_out<'p>(
        &self,
        conflicts: BTreeMap<PluginId, Finding>,
        written: impl Iterator<Item = &'p PluginDefinition> + Clone,
    ) -> Option<(&'p PluginDefinition, Finding)> {
        conflicts.into_iter().find_map(|(id, found)| {
            let other = self.plugins.get(&id).filter(|other| other.conflict().is_none())?;
            let topic = &other.definition().subscription.topic;
            let taker = written.clone().find(|plugin| plugin.subscription.topic == *topic)?;
            let message = format!("it would keep the plugin {id} out of service: {}", found.message);
            Some((taker, Finding { path: String::from("/Subscription/Topic"), message, ..found }))
        })
    }

    /// A job, unless it runs the program of a plugin in service.
    pub(super) fn parse_job(
        &self,
        bytes: &[u8],
        expected_id: Option<&str>,
    ) -> Result<(JobDefinition, Findings), Findings> {
        let (job, findings) = JobDefinition::parse(bytes, expected_id)?;
        let plugins = self.plugins.values().filter(|plugin| !plugin.retired).map(|plugin| &**plugin.definition());
        match shared_binary(&job, plugins) {
            Some(finding) => Err(vec![finding]),
            None => Ok((job, findings)),
        }
    }
}

fn id_taken(twin: &PluginId) -> Findings {
    let message =
        format!("The plugin {twin} is called the same but for upper and lower case; give one of them another id.");
    vec![Finding { path: "/id".to_string(), code: "id-taken", message, severity: Severity::Error }]
}
