//! What plugins do to each other: a primary topic that two have, and circles of `requires`.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::PluginDefinition;
use crate::id::PluginId;
use crate::job::finding::{Finding, Severity, quote};
use crate::json::{Json, pointer_to};

/// What the others speak against a plugin, by its id. Only those that can run here count; of two with one topic the later by id is refused.
pub(crate) fn conflicts<'a>(plugins: impl Iterator<Item = &'a PluginDefinition>) -> BTreeMap<PluginId, Finding> {
    let plugins = plugins.filter(|plugin| plugin.enabled && plugin.supported_here);
    let plugins: BTreeMap<&PluginId, &PluginDefinition> = plugins.map(|plugin| (&plugin.id, plugin)).collect();
    let mut owners: BTreeMap<&str, &PluginId> = BTreeMap::new();
    let mut found = BTreeMap::new();
    for (id, plugin) in &plugins {
        let owner = *owners.entry(plugin.subscription.topic.as_str()).or_insert(id);
        let conflict = if owner == *id { circle(plugin, &plugins) } else { Some(topic_taken(plugin, owner)) };
        found.extend(conflict.map(|finding| ((*id).clone(), finding)));
    }
    found
}

fn topic_taken(plugin: &PluginDefinition, owner: &PluginId) -> Finding {
    let message = format!(
        "plugin {} has the topic {} too; a plugin is reached by its own, so give one of them another.",
        quote(owner.as_str()),
        quote(plugin.subscription.topic.as_str())
    );
    error(plugin, &["Subscription", "Topic"], "topic-taken", message)
}

/// The shortest way from a plugin back to itself by what it requires.
fn circle(plugin: &PluginDefinition, plugins: &BTreeMap<&PluginId, &PluginDefinition>) -> Option<Finding> {
    // From each plugin that was reached to the one that requires it, and the place of its own first step.
    let mut reached: BTreeMap<&PluginId, (&PluginId, usize)> = BTreeMap::new();
    let first = plugin.requires.iter().enumerate().map(|(index, id)| (&plugin.id, id, index));
    let mut open: VecDeque<(&PluginId, &PluginId, usize)> = first.collect();
    while let Some((from, id, index)) = open.pop_front() {
        let Some(required) = plugins.get(id).filter(|_| !reached.contains_key(id)) else { continue };
        reached.insert(id, (from, index));
        if *id == plugin.id {
            let mut way: Vec<&str> = Vec::from([id.as_str()]);
            let mut step = from;
            while *step != plugin.id {
                way.push(step.as_str());
                step = reached.get(step).map_or(&plugin.id, |(from, _)| from);
            }
            way.push(id.as_str());
            way.reverse();
            let message = format!("nobody can be first: {}; take one out of requires.", way.join(" requires "));
            return Some(error(plugin, &["requires", &index.to_string()], "requires-cycle", message));
        }
        open.extend(required.requires.iter().map(|next| (id, next, index)));
    }
    None
}

fn error(plugin: &PluginDefinition, path: &[&str], code: &'static str, message: String) -> Finding {
    Finding { path: spelled(&plugin.settings, path), code, message, severity: Severity::Error }
}

/// The JSON pointer of a place, with the keys as the document spells them.
pub(crate) fn spelled(document: &Json, path: &[&str]) -> String {
    let mut json = Some(document);
    let mut pointer = String::new();
    for step in path {
        let (key, inner) = match json {
            Some(Json::Object(members)) => members
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(step))
                .map_or((*step, None), |(key, value)| (key.as_str(), Some(value))),
            Some(Json::Array(items)) => (*step, step.parse().ok().and_then(|index: usize| items.get(index))),
            _ => (*step, None),
        };
        pointer = pointer_to(&pointer, key);
        json = inner;
    }
    pointer
}
