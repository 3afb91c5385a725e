//! Settings as `GET /api/PluginSettings` shows them: one flat object, text to text (contract section 2).

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};

use crate::json::Json;

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
