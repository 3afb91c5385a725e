//! The settings of all plugins in their layers: unified storage over what policies set over the plugin's file over what the agent takes
//! by default (contract section 7). Ids and keys are compared without regard to case.
//!
//! The storage never changes what a plugin *is*: its program, its topics, its place in the order of starts stand in its file alone
//! (`settings::is_definition`), so nobody gains a right by a setting.

mod secrets;
#[cfg(test)]
mod tests;

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use schemars::JsonSchema;
use serde::Serialize;

use super::settings::{defaults, flatten};
use super::{PluginDefinition, settings};
use crate::json::Json;
use crate::limits::{SETTING_BYTES, STORED_SETTINGS, STORED_SETTINGS_IN_ALL};
use crate::run::secret::MASK;

/// What the unified storage keeps of one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSetting {
    /// The plugin's id.
    pub plugin: String,
    /// The dotted key.
    pub key: String,
    /// The value; `None` where it was reverted, and the file counts again.
    pub value: Option<String>,
    /// Who wrote or reverted it: `plugin:{id}`, `job:{id}`, `admin:{name}`, or `root`.
    pub writer: String,
    /// When, in RFC 3339.
    pub time: String,
    /// What was in effect before; never kept of a secret.
    pub former: Option<String>,
}

/// One change of the unified storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingChange {
    /// Insert or replace.
    Keep(StoredSetting),
    /// Remove, with all that is known of it.
    Forget {
        /// The plugin's id.
        plugin: String,
        /// The dotted key.
        key: String,
    },
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Layer {
    /// The agent's own: found out at its start.
    Agent,
    /// Unified storage.
    Storage,
    /// A configuration policy.
    Policy,
    /// `Plugins/{id}.json`, or `appsettings.json`.
    File,
    /// Compiled in.
    Default,
}

/// One setting in effect.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Setting {
    #[serde(skip)]
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) layer: Layer,
    pub(crate) writer: Option<String>,
    pub(crate) time: Option<String>,
    pub(crate) former: Option<String>,
    pub(crate) secret: bool,
}

impl Setting {
    pub(crate) const fn new(key: String, value: String, layer: Layer) -> Self {
        Self { key, value, layer, writer: None, time: None, former: None, secret: false }
    }
}

/// Settings by lower-case key.
pub(crate) type Settings = BTreeMap<String, Setting>;

/// What is stored of one plugin, by lower-case key.
pub(crate) type Rows = BTreeMap<String, StoredSetting>;

/// Why a setting cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unstorable {
    /// A name inside of the value can be no part of a key.
    Key,
    /// It is a part of the plugin's definition.
    Definition,
    /// It is the mask of a secret, which somebody read and sends back.
    Mask,
    /// The value is longer than [`SETTING_BYTES`].
    TooLong,
    /// The storage is full, for this plugin or at all.
    Full,
}

/// All layers of all plugins.
#[derive(Debug, Default)]
pub(crate) struct PluginSettings {
    /// What the files say, by plugin id.
    files: BTreeMap<String, Source>,
    /// By lower-case plugin id.
    stored: BTreeMap<String, Rows>,
    /// What policies set, the later over the former.
    policies: Vec<PolicySettings>,
    hidden: secrets::Hidden,
}

/// What one policy sets.
#[derive(Debug)]
pub(crate) struct PolicySettings {
    /// The plugin's id.
    pub(crate) plugin: String,
    /// Values by dotted key.
    pub(crate) values: BTreeMap<String, String>,
    /// `policy:{name}`.
    pub(crate) writer: String,
    /// When it was applied, in RFC 3339.
    pub(crate) time: String,
}

/// What a file says.
#[derive(Debug)]
struct Source {
    values: BTreeMap<String, String>,
    secrets: Vec<String>,
}

impl Source {
    /// A listed name covers itself and what is below it.
    fn is_secret(&self, key: &str) -> bool {
        self.secrets.iter().any(|name| {
            let (head, rest) = key.split_at_checked(name.len()).unwrap_or((key, ""));
            head.eq_ignore_ascii_case(name) && (rest.is_empty() || rest.starts_with('.'))
        })
    }
}

impl PluginSettings {
    /// Takes the settings of a plugin's file, replacing what was known of it.
    pub(crate) fn define(&mut self, plugin: &PluginDefinition) {
        self.insert(plugin.id.as_str(), flatten(&plugin.settings), plugin.secret_settings.clone());
    }

    pub(crate) fn insert(&mut self, plugin: &str, values: BTreeMap<String, String>, secrets: Vec<String>) {
        self.files.insert(plugin.to_owned(), Source { values, secrets });
        self.learn(plugin);
    }

    /// The plugin is out of service. What is stored of it stays for the day it comes back.
    pub(crate) fn retire(&mut self, plugin: &str) {
        self.files.remove(plugin);
        self.learn(plugin);
    }

    /// Takes what policies set, replacing what they set before.
    pub(crate) fn set_policies(&mut self, policies: Vec<PolicySettings>) {
        self.policies = policies;
        for plugin in self.files.keys().cloned().collect::<Vec<_>>() {
            self.learn(&plugin);
        }
    }

    /// The plugins that are in service or have something stored; those that are gone by their lower-case id.
    pub(crate) fn plugins(&self) -> Vec<String> {
        let known = self.files.keys().cloned();
        known.chain(self.stored.keys().filter(|id| self.source(id).is_none()).cloned()).collect()
    }

    /// What is stored of a plugin.
    pub(crate) fn rows(&self, plugin: &str) -> Rows {
        self.stored.get(&plugin.to_ascii_lowercase()).cloned().unwrap_or_default()
    }

    /// Carries out what is on disk.
    pub(crate) fn apply(&mut self, changes: impl IntoIterator<Item = SettingChange>) {
        for change in changes {
            let (SettingChange::Keep(StoredSetting { plugin, .. }) | SettingChange::Forget { plugin, .. }) = &change;
            let plugin = plugin.to_ascii_lowercase();
            let rows = self.stored.entry(plugin.clone()).or_default();
            change_rows(rows, change);
            if rows.is_empty() {
                self.stored.remove(&plugin);
            }
            self.learn(&plugin);
        }
    }

    /// The settings of a plugin in effect; `None` where it is not in service.
    pub(crate) fn of(&self, plugin: &str) -> Option<Settings> {
        self.layered(plugin, &self.rows(plugin))
    }

    /// The same with other stored settings than those on disk.
    pub(crate) fn layered(&self, plugin: &str, rows: &Rows) -> Option<Settings> {
        let source = self.source(plugin)?;
        let mut settings: Settings = defaults().map(|(key, value)| entry(key, value, Layer::Default)).collect();
        settings.extend(source.values.iter().map(|(key, value)| entry(key.clone(), value.clone(), Layer::File)));
        for policy in self.policies.iter().filter(|policy| policy.plugin.eq_ignore_ascii_case(plugin)) {
            for (key, value) in &policy.values {
                let lower = key.to_ascii_lowercase();
                let key = settings.get(&lower).map_or_else(|| key.clone(), |known| known.key.clone());
                let (writer, time) = (Some(policy.writer.clone()), Some(policy.time.clone()));
                let setting = Setting { writer, time, ..Setting::new(key, value.clone(), Layer::Policy) };
                settings.insert(lower, setting);
            }
        }
        for (lower, row) in rows {
            if let Some(value) = &row.value {
                let key = settings.get(lower).map_or_else(|| row.key.clone(), |known| known.key.clone());
                settings.insert(lower.clone(), Setting::new(key, value.clone(), Layer::Storage));
            }
            // Who reverted it says nothing of a value that a policy sets.
            let Some(setting) = settings.get_mut(lower).filter(|setting| setting.layer != Layer::Policy) else {
                continue;
            };
            setting.writer = Some(row.writer.clone());
            setting.time = Some(row.time.clone());
            setting.former.clone_from(&row.former);
        }
        for (key, setting) in settings.iter_mut().filter(|(key, _)| source.is_secret(key)) {
            debug_assert!(setting.key.eq_ignore_ascii_case(key));
            setting.secret = true;
            setting.former = None;
        }
        Some(settings)
    }

    /// What storage or policies say of a setting, whether its plugin is in service or not.
    pub(crate) fn set_over_file(&self, plugin: &str, key: &str) -> Option<String> {
        let stored = self.rows(plugin).remove(&key.to_ascii_lowercase()).and_then(|row| row.value);
        let policies = self.policies.iter().rev().filter(|policy| policy.plugin.eq_ignore_ascii_case(plugin));
        stored.or_else(|| {
            let mut set = policies.flat_map(|policy| &policy.values);
            set.find(|(known, _)| known.eq_ignore_ascii_case(key)).map(|(_, value)| value.clone())
        })
    }

    /// One setting as whoever is not the plugin itself may see it.
    pub(crate) fn shown(&self, plugin: &str, key: &str) -> Option<String> {
        let setting = self.of(plugin)?.remove(&key.to_ascii_lowercase())?;
        // Whether it is true is what conditions are about; that is all that a secret tells.
        let tells = !setting.secret || setting.value.eq_ignore_ascii_case("true");
        Some(if tells { setting.value } else { MASK.to_owned() })
    }

    /// The changes that store a value over these rows: one for each setting it consists of.
    pub(crate) fn put(
        &self,
        plugin: &str,
        rows: &Rows,
        (key, value): (&str, Json),
        (writer, time): (&str, &str),
    ) -> Result<Vec<SettingChange>, Unstorable> {
        let before = self.layered(plugin, rows).unwrap_or_default();
        let mut after = rows.clone();
        let mut changes = Vec::new();
        for (key, value) in settings::flatten_at(key, value) {
            let known = before.get(&key.to_ascii_lowercase());
            let is_secret = self.is_secret(plugin, &key);
            if !settings::is_key(&key) {
                return Err(Unstorable::Key);
            }
            if settings::is_definition(&key) {
                return Err(Unstorable::Definition);
            }
            if is_secret && value == MASK {
                return Err(Unstorable::Mask);
            }
            if value.len() > SETTING_BYTES {
                return Err(Unstorable::TooLong);
            }
            let change = SettingChange::Keep(StoredSetting {
                plugin: plugin.to_owned(),
                key: known.map_or(key, |known| known.key.clone()),
                value: Some(value),
                writer: writer.to_owned(),
                time: time.to_owned(),
                former: known.filter(|_| !is_secret).map(|known| known.value.clone()),
            });
            change_rows(&mut after, change.clone());
            changes.push(change);
        }
        let kept = after.values().filter(|row| row.value.is_some()).count();
        let more = after.len().saturating_sub(rows.len());
        let in_all = self.stored.values().map(Rows::len).sum::<usize>().saturating_add(more);
        if more > 0 && (kept > STORED_SETTINGS || in_all > STORED_SETTINGS_IN_ALL) {
            return Err(Unstorable::Full);
        }
        Ok(changes)
    }

    /// The changes that drop what is stored. Who did so stays on record where the file or a default has the setting.
    pub(crate) fn revert(&self, plugin: &str, rows: &Rows, (writer, time): (&str, &str)) -> Vec<SettingChange> {
        let below = self.layered(plugin, &Rows::new()).unwrap_or_default();
        let reverted = rows.iter().filter_map(|(lower, row)| match (below.get(lower), &row.value) {
            (None, _) => Some(SettingChange::Forget { plugin: row.plugin.clone(), key: row.key.clone() }),
            (Some(_), None) => None,
            (Some(known), Some(value)) => Some(SettingChange::Keep(StoredSetting {
                value: None,
                writer: writer.to_owned(),
                time: time.to_owned(),
                former: (!known.secret).then(|| value.clone()),
                ..row.clone()
            })),
        });
        reverted.collect()
    }

    /// Whether a setting is one that only its own plugin may read.
    pub(crate) fn is_secret(&self, plugin: &str, key: &str) -> bool {
        self.source(plugin).is_some_and(|source| source.is_secret(key))
    }

    fn source(&self, plugin: &str) -> Option<&Source> {
        self.files
            .get(plugin)
            .or_else(|| self.files.iter().find(|(id, _)| id.eq_ignore_ascii_case(plugin)).map(|(_, source)| source))
    }
}

/// Carries a change out on the rows of its plugin.
pub(crate) fn change_rows(rows: &mut Rows, change: SettingChange) {
    match change {
        SettingChange::Keep(row) => drop(rows.insert(row.key.to_ascii_lowercase(), row)),
        SettingChange::Forget { key, .. } => drop(rows.remove(&key.to_ascii_lowercase())),
    }
}

/// The plugin that a change is about.
pub(crate) fn plugin_of(change: &SettingChange) -> &str {
    let (SettingChange::Keep(StoredSetting { plugin, .. }) | SettingChange::Forget { plugin, .. }) = change;
    plugin
}

fn entry(key: String, value: String, layer: Layer) -> (String, Setting) {
    (key.to_ascii_lowercase(), Setting::new(key, value, layer))
}
