//! Settings as `GET /api/PluginSettings` shows them: one flat object, text to text (contract section 2).

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};

use super::parse::keys::{METADATA, PLUGIN, SUBSCRIPTION};
use crate::id::PluginId;
use crate::json::Json;
use crate::limits::SETTING_KEY_BYTES;
use crate::shape::{Literal, Object};

/// The settings of the agent itself, under a plugin's name (seed 001, step 5).
pub(crate) const AGENT: &str = "KeeperPrivilegeManager";

/// Whether this is the agent itself under a plugin's name.
pub(crate) fn is_agent(plugin: &PluginId) -> bool {
    plugin.as_str().eq_ignore_ascii_case(AGENT)
}

/// Flattens a document: nested keys dotted, arrays and empty objects as compact JSON, texts bare, `null` empty, the rest as text.
///
/// Where two members come to the same dotted key, the first in the document counts. A document that is no object has no settings.
pub fn flatten(document: &Json) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    if let Json::Object(members) = document {
        collect(None, members, &mut settings);
    }
    settings
}

/// One value under a key, as [`flatten`] shows it: an object that is not empty as the settings below.
pub(crate) fn flatten_at(key: &str, value: Json) -> BTreeMap<String, String> {
    flatten(&Json::Object(alloc::vec![(key.to_string(), value)]))
}

/// What the agent itself takes where the file says nothing.
pub(crate) fn defaults() -> impl Iterator<Item = (String, String)> {
    let of = |prefix: &'static str, object: &'static Object| {
        object.keys.iter().filter_map(move |key| {
            let value = match key.default? {
                Literal::Boolean(value) => value.to_string(),
                Literal::Integer(value) => value.to_string(),
                Literal::Text(value) => value.to_string(),
            };
            Some((format!("{prefix}{}", key.name), value))
        })
    };
    of("", &PLUGIN).chain(of("Subscription.", &SUBSCRIPTION))
}

/// Whether a text can be a setting's key: what fits one segment of a path.
pub(crate) fn is_key(text: &str) -> bool {
    let plain = |letter: char| !letter.is_control() && letter != '/' && letter != '\\';
    !text.is_empty() && text.len() <= SETTING_KEY_BYTES && text.chars().all(plain)
}

/// Whether a setting is a part of the definition, which the agent reads from the file alone.
pub(crate) fn is_definition(key: &str) -> bool {
    let mut names = key.split('.');
    let Some(known) = names.next().and_then(|name| PLUGIN.key(name)) else { return false };
    known.name != "metadata" || names.next().is_none_or(|name| METADATA.key(name).is_some())
}

/// Recursion is bounded by [`crate::limits::JSON_DEPTH`].
fn collect(prefix: Option<&str>, members: &[(String, Json)], settings: &mut BTreeMap<String, String>) {
    for (name, value) in members {
        let key = prefix.map_or_else(|| name.clone(), |prefix| format!("{prefix}.{name}"));
        match value {
            Json::Object(members) if !members.is_empty() => collect(Some(&key), members, settings),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) | Json::Object(_) => {
                settings.entry(key).or_insert_with(|| text(value));
            }
        }
    }
}

/// One value as text: a text bare, `null` empty, anything else as compact JSON.
pub fn text(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => value.to_string(),
    }
}
