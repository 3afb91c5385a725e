//! JSON as the product reads it: keys without regard to case, order and unknown keys kept, duplicates and bombs refused.
//!
//! Two parsers that disagree on a duplicate key would see two different jobs, so duplicates are errors, also those
//! that differ by case alone. The members of an `environment` object are the exception: POSIX tells them apart.

mod parse;
pub mod read;
#[cfg(test)]
mod tests;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Number, Value};

use crate::limits::DOCUMENT_BYTES;

/// A JSON value that keeps the order of its members.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A finite number.
    Number(Number),
    /// A text.
    String(String),
    /// An array.
    Array(Vec<Self>),
    /// An object: its members in the order of the document, no two names equal when case is disregarded.
    Object(Vec<(String, Self)>),
}

/// Why bytes are not a JSON document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    /// Line, from 1; 0 where the whole document is meant.
    pub line: usize,
    /// Column in bytes, from 1; 0 where the line or document is meant.
    pub column: usize,
    /// What is wrong there.
    pub message: String,
}

impl fmt::Display for JsonError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return formatter.write_str(&self.message);
        }
        write!(formatter, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

/// Whether member names that differ by case alone are the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// They are (every JSON file and body of the product).
    AnyCase,
    /// They are not (`RequestMessage`).
    Exact,
}

impl Json {
    /// Reads one JSON document (RFC 8259) of at most [`DOCUMENT_BYTES`], nested at most [`crate::limits::JSON_DEPTH`] deep.
    ///
    /// # Errors
    /// [`JsonError`] on syntax, size, depth, a byte order mark, bytes after the value, invalid UTF-8, lone surrogates,
    /// numbers beyond a double, and duplicate keys.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        parse::parse(bytes, DOCUMENT_BYTES, Names::AnyCase)
    }

    /// Reads one JSON document of at most `limit` bytes with the given rule for duplicate names.
    pub(crate) fn parse_as(bytes: &[u8], limit: usize, names: Names) -> Result<Self, JsonError> {
        parse::parse(bytes, limit, names)
    }

    /// The same value for code that does not need the order of members.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Number(value) => Value::Number(value.clone()),
            Self::String(value) => Value::String(value.clone()),
            Self::Array(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Self::Object(members) => Value::Object(to_map(members)),
        }
    }

    /// The value at the end of a path of member names, read without regard to case.
    pub fn lookup(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |value, name| match value {
            Self::Object(members) => {
                members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, found)| found)
            }
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) | Self::Array(_) => None,
        })
    }

    /// The text, where it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Array(_) | Self::Object(_) => None,
        }
    }

    /// What it is, with its article, as messages say it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a text",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// The whole number it stands for (`5` and `5.0` are the same, as in JSON Schema), where it is one.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
            Self::Null | Self::Bool(_) | Self::String(_) | Self::Array(_) | Self::Object(_) => None,
        }
    }
}

/// Largest magnitude below which every whole double is exact.
const EXACT_DOUBLE: f64 = 9_007_199_254_740_992.0;

/// The whole number that a double stands for exactly.
pub(crate) fn whole(number: f64) -> Option<i64> {
    if !(-EXACT_DOUBLE..=EXACT_DOUBLE).contains(&number) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked: the magnitude is at most 2^53")]
    let integer = number as i64;
    #[expect(clippy::cast_precision_loss, clippy::float_cmp, reason = "checked: exact up to 2^53")]
    let exact = integer as f64 == number;
    exact.then_some(integer)
}

/// Members as a map.
pub(crate) fn to_map(members: &[(String, Json)]) -> Map<String, Value> {
    members.iter().map(|(name, value)| (name.clone(), value.to_value())).collect()
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(value) => value.serialize(serializer),
            Self::String(value) => serializer.serialize_str(value),
            Self::Array(items) => items.serialize(serializer),
            Self::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

/// Compact JSON, members in the order of the document.
impl fmt::Display for Json {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        formatter.write_str(&text)
    }
}

/// Adds one member name or index to a JSON pointer (RFC 6901).
pub fn pointer_to(parent: &str, member: &str) -> String {
    let mut pointer = parent.to_string();
    pointer.push('/');
    for letter in member.chars() {
        match letter {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            plain => pointer.push(plain),
        }
    }
    pointer
}
