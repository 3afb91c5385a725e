//! The difference of two documents for people: key by key, bounded, without the values of secrets.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::job::finding::shorten;
use crate::json::{Json, pointer_to};
use crate::run::secret::MASK;

/// Lines that are shown: more than anybody changes by hand, little enough for a line of the log.
const LINES: usize = 40;

/// What a name has in it whose value is a secret, in lower case without `-` and `_`.
const SECRET_NAMES: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
    "authorization",
    "cookie",
    "connectionstring",
];

/// One line for each key that differs: `+` added, `-` removed, `~` changed, each with its JSON pointer and short values; `None` is a
/// file that is not there. Empty where both are the same.
///
/// Masked are values under a name that sounds like a secret, what the plugin names in `secretSettings` (in either document), and the
/// default of a parameter with `"secret": true`. Where one is no JSON, of which nobody can say what is secret in it, only sizes and
/// the first line that differs are told.
pub fn lines(before: Option<&[u8]>, after: Option<&[u8]>) -> Vec<String> {
    if before == after {
        return Vec::new();
    }
    let (old, new) = match (parse(before), parse(after)) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(why), _) => return raw("blessed", &why, before, after),
        (_, Err(why)) => return raw("found", &why, before, after),
    };
    let secrets: BTreeSet<String> = old.iter().chain(&new).flat_map(secret_settings).collect();
    let [old, new] = [old, new].map(|document| {
        let mut leaves = BTreeMap::new();
        if let Some(document) = document {
            collect(&document, Place::default(), &secrets, &mut leaves);
        }
        leaves
    });
    let mut lines = Vec::new();
    let pointers: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let different = pointers.into_iter().filter(|pointer| old.get(*pointer) != new.get(*pointer));
    let mut more = 0_usize;
    for pointer in different {
        if lines.len() < LINES {
            lines.push(line(pointer, old.get(pointer), new.get(pointer)));
        } else {
            more = more.saturating_add(1);
        }
    }
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    if lines.is_empty() {
        lines.push("the same keys and values, written differently".to_owned());
    }
    lines
}

fn parse(document: Option<&[u8]>) -> Result<Option<Json>, String> {
    document.map(Json::parse).transpose().map_err(|error| error.to_string())
}

/// What can be said of texts that are no documents.
fn raw(which: &str, why: &str, before: Option<&[u8]>, after: Option<&[u8]>) -> Vec<String> {
    let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
    let mut pairs = before.split(|byte| *byte == b'\n').zip(after.split(|byte| *byte == b'\n'));
    // Where all common lines are equal, the shorter one ends there.
    let same = pairs.position(|(old, new)| old != new);
    let common = before.split(|byte| *byte == b'\n').count().min(after.split(|byte| *byte == b'\n').count());
    let first = same.unwrap_or(common).saturating_add(1);
    let mut no_json = format!("the {which} file is no JSON: ");
    shorten(why, &mut no_json);
    alloc::vec![no_json, format!("{} bytes, were {}; the first different line is {first}", after.len(), before.len())]
}

/// The dotted names of a plugin's secret settings, in lower case.
fn secret_settings(document: &Json) -> Vec<String> {
    let Some(Json::Array(names)) = document.lookup(&["secretSettings"]) else { return Vec::new() };
    names.iter().filter_map(Json::as_str).map(str::to_ascii_lowercase).collect()
}

/// A value that is no object or array, or an empty one.
#[derive(PartialEq)]
struct Leaf {
    text: String,
    secret: bool,
}

#[derive(Clone, Default)]
struct Place {
    pointer: String,
    /// The same as the settings of a plugin are named.
    dotted: String,
    secret: bool,
}

impl Place {
    fn below(&self, name: &str, secrets: &BTreeSet<String>) -> Self {
        let pointer = pointer_to(&self.pointer, name);
        let name = name.to_ascii_lowercase();
        let dotted = if self.dotted.is_empty() { name.clone() } else { format!("{}.{name}", self.dotted) };
        let secret = self.secret || sounds_secret(&name) || secrets.contains(&dotted);
        Self { pointer, dotted, secret }
    }
}

/// Whether a name is one of those that secrets have. `secretSettings` and a parameter's `secret` say what is secret and are none.
fn sounds_secret(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    !matches!(plain.as_str(), "secret" | "secretsettings") && SECRET_NAMES.iter().any(|word| plain.contains(word))
}

fn collect(value: &Json, place: Place, secrets: &BTreeSet<String>, leaves: &mut BTreeMap<String, Leaf>) {
    match value {
        Json::Object(members) if !members.is_empty() => {
            let says_secret = value.lookup(&["secret"]) == Some(&Json::Bool(true));
            for (name, member) in members {
                let mut below = place.below(name, secrets);
                below.secret |=
                    says_secret && ["default", "defaultValue"].iter().any(|key| name.eq_ignore_ascii_case(key));
                // A text under this name is a secret; a boolean says that something else is one.
                below.secret |= name.eq_ignore_ascii_case("secret") && !matches!(member, Json::Bool(_));
                collect(member, below, secrets, leaves);
            }
        }
        Json::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                // Settings have no names inside of an array.
                let pointer = pointer_to(&place.pointer, &index.to_string());
                collect(item, Place { pointer, ..place.clone() }, secrets, leaves);
            }
        }
        // An empty document has no keys; that it is one is seen from those that are gone.
        Json::Object(_) | Json::Array(_) if place.pointer.is_empty() => {}
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_) | Json::Array(_) => {
            leaves.insert(place.pointer, Leaf { text: value.to_string(), secret: place.secret });
        }
    }
}

fn line(pointer: &str, old: Option<&Leaf>, new: Option<&Leaf>) -> String {
    let mut line = match (old, new) {
        (None, _) => "+ ".to_owned(),
        (_, None) => "- ".to_owned(),
        (Some(_), Some(_)) => "~ ".to_owned(),
    };
    shorten(if pointer.is_empty() { "/" } else { pointer }, &mut line);
    line.push_str(": ");
    // A secret on one side is one on the other, whatever its file says now.
    let secret = old.into_iter().chain(new).any(|leaf| leaf.secret);
    for (index, leaf) in old.into_iter().chain(new).enumerate() {
        if index > 0 {
            line.push_str(" -> ");
        }
        shorten(if secret { MASK } else { &leaf.text }, &mut line);
    }
    line
}

#[cfg(test)]
mod tests;
