//! Where each setting in force comes from: the place in the file, or the default.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Settings;
use crate::json::{Json, pointer_to};

/// The section of keys that do not name one.
const GENERAL: &str = "Settings";
const BROKER: &str = "MqttBrokerSettings";
/// What the keys begin with that have dots in their names, and are also nested objects.
const DOTTED: &str = "system.logging.";

/// The JSON pointer of each setting of [`Settings::flat`] that the file has, as the file spells it.
pub(super) fn pointers(settings: &Settings, file: &Json) -> BTreeMap<String, String> {
    let of = |key: String| Some((pointer(file, &key)?, key));
    settings.flat().into_keys().filter_map(of).map(|(pointer, key)| (key, pointer)).collect()
}

fn pointer(file: &Json, key: &str) -> Option<String> {
    let pieces: Vec<&str> = key.split('.').collect();
    let path = match pieces.as_slice() {
        [BROKER, rest @ ..] => [&[BROKER], rest].concat(),
        rest => [&[GENERAL], rest].concat(),
    };
    let whole = key.starts_with(DOTTED).then(|| spelled(file, &[GENERAL, key])).flatten();
    whole.or_else(|| spelled(file, &path))
}

/// The pointer of a path of names, with the keys as the document spells them.
fn spelled(file: &Json, path: &[&str]) -> Option<String> {
    let mut value = file;
    let mut pointer = String::new();
    for name in path {
        let Json::Object(members) = value else { return None };
        let (key, inner) = members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        pointer = pointer_to(&pointer, &key.to_string());
        value = inner;
    }
    Some(pointer)
}
