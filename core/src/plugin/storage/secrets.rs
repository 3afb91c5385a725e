//! What texts about a plugin must not show: the values of its `secretSettings` in every layer.

use alloc::collections::BTreeMap;
use alloc::string::String;

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

    /// Learns anew what a plugin has to hide.
    pub(super) fn learn(&mut self, plugin: &str) {
        let mut secrets = Secrets::default();
        let mut is_any = false;
        let mut learn = |value: &str| {
            // Whether it is true is no secret (`shown`), and would hide every such word.
            if !value.is_empty() && !["true", "false"].iter().any(|word| value.eq_ignore_ascii_case(word)) {
                secrets.learn_string(value);
                is_any = true;
            }
        };
        if let Some(source) = self.source(plugin).filter(|source| !source.secrets.is_empty()) {
            let file = source.values.iter();
            let policies = self.policies.iter().filter(|policy| policy.plugin.eq_ignore_ascii_case(plugin));
            for (key, value) in file.chain(policies.flat_map(|policy| &policy.values)) {
                if source.is_secret(key) {
                    learn(value);
                }
            }
            for row in self.stored.get(&plugin.to_ascii_lowercase()).into_iter().flat_map(BTreeMap::values) {
                if let Some(value) = row.value.as_deref().filter(|_| source.is_secret(&row.key)) {
                    learn(value);
                }
            }
        }
        let plugin = plugin.to_ascii_lowercase();
        if is_any {
            self.hidden.insert(plugin, secrets);
        } else {
            self.hidden.remove(&plugin);
        }
    }
}
