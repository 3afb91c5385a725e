//! What texts about a plugin must not show: the values of its `secretSettings` in every layer.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::PluginSettings;
use crate::run::secret::Secrets;

/// Secrets by lower-case plugin id; only of plugins that have some.
pub(super) type Hidden = BTreeMap<String, Secrets>;

impl PluginSettings {
    /// A text of a plugin's, or about it, as it may be seen.
    pub(crate) fn mask(&self, plugin: &str, text: String) -> String {
        if self.hidden.is_empty() {
            return text;
        }
        match self.hidden.get(&plugin.to_ascii_lowercase()) {
            Some(secrets) => secrets.mask(text),
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
        self.hidden.get(&plugin.to_ascii_lowercase()).cloned().unwrap_or_default()
    }

    /// Learns anew what a plugin has to hide.
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
        let secrets = (!values.is_empty()).then(|| Secrets::of_settings(values.into_iter()));
        let plugin = plugin.to_ascii_lowercase();
        match secrets {
            Some(secrets) => drop(self.hidden.insert(plugin, secrets)),
            None => drop(self.hidden.remove(&plugin)),
        }
    }
}
