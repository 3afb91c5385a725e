//! What texts about a plugin must not show: the values of its `secretSettings` in every layer.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::PluginSettings;
use crate::run::secret::Secrets;

/// Sets of values that a process may know besides the present one; beyond that the oldest are forgotten.
const FORMER: usize = 16;

/// Secrets by lower-case plugin id; only of plugins that have some.
pub(super) type Hidden = BTreeMap<String, Kept>;

/// What a plugin has to hide.
#[derive(Debug, Default)]
pub(super) struct Kept {
    present: Vec<String>,
    /// What it had to hide before, the newest last: the process that runs may know it, and say it.
    former: VecDeque<Vec<String>>,
    all: Secrets,
}

impl PluginSettings {
    /// A text of a plugin's, or about it, as it may be seen.
    pub(crate) fn mask(&self, plugin: &str, text: String) -> String {
        if self.hidden.is_empty() {
            return text;
        }
        match self.hidden.get(&plugin.to_ascii_lowercase()) {
            Some(kept) => kept.all.mask(text),
            None => text,
        }
    }

    /// The same where it is known whose text it is as records name it (`plugin:{id}`); others' have nothing to hide here.
    pub(crate) fn hide(&self, component: &str, text: String) -> String {
        match component.strip_prefix("plugin:") {
            Some(plugin) => self.mask(plugin, text),
            None => text,
        }
    }

    /// What a plugin has to hide.
    pub(crate) fn secrets(&self, plugin: &str) -> Secrets {
        self.hidden.get(&plugin.to_ascii_lowercase()).map(|kept| kept.all.clone()).unwrap_or_default()
    }

    /// No process of the plugin is left that was told of anything but what counts now.
    pub(crate) fn forget_former(&mut self, plugin: &str) {
        if let Some(kept) = self.hidden.get_mut(&plugin.to_ascii_lowercase()) {
            kept.former.clear();
        }
        self.learn(plugin);
    }

    /// Learns anew what a plugin has to hide. What it had to hide before stays hidden until [`PluginSettings::forget_former`].
    pub(super) fn learn(&mut self, plugin: &str) {
        let mut values: Vec<&str> = Vec::new();
        if let Some(source) = self.source(plugin).filter(|source| !source.secrets.is_empty()) {
            let file = source.values.iter();
            let policies = self.policies.iter().filter(|policy| policy.plugin.eq_ignore_ascii_case(plugin));
            let set = file.chain(policies.flat_map(|policy| &policy.values));
            values.extend(set.filter(|(key, _)| source.is_secret(key)).map(|(_, value)| value.as_str()));
            let stored = self.stored.get(&plugin.to_ascii_lowercase()).into_iter().flat_map(BTreeMap::values);
            values.extend(stored.filter(|row| source.is_secret(&row.key)).filter_map(|row| row.value.as_deref()));
        }
        values.retain(|value| !value.is_empty());
        let present: Vec<String> = values.into_iter().map(ToString::to_string).collect();
        let plugin = plugin.to_ascii_lowercase();
        let mut kept = self.hidden.remove(&plugin).unwrap_or_default();
        if kept.present != present {
            let former = core::mem::replace(&mut kept.present, present);
            if !former.is_empty() {
                kept.former.push_back(former);
            }
            if kept.former.len() > FORMER {
                kept.former.pop_front();
            }
        }
        let values = || kept.former.iter().flatten().chain(&kept.present).map(String::as_str);
        if values().next().is_some() {
            let all = Secrets::of_settings(values());
            self.hidden.insert(plugin, Kept { all, ..kept });
        }
    }
}
