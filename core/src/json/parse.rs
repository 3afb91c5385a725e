//! Bytes to [`Json`], with every bound of the format checked on the way.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::{Json, JsonError, Names};
use crate::job::finding::quote;
use crate::limits::JSON_DEPTH;

/// The bytes of U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

pub(super) fn parse(bytes: &[u8], limit: usize, names: Names) -> Result<Json, JsonError> {
    let whole = |message: String| JsonError { line: 0, column: 0, message };
    if bytes.len() > limit {
        return Err(whole(format!("the document has {} bytes; at most {limit} are allowed.", bytes.len())));
    }
    if bytes.starts_with(BYTE_ORDER_MARK) {
        let message = String::from("the document starts with a byte order mark; save it as UTF-8 without one.");
        return Err(JsonError { line: 1, column: 1, message });
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Element { depth: 0, names }.deserialize(&mut deserializer).map_err(|error| describe(&error))?;
    deserializer.end().map_err(|error| describe(&error))?;
    Ok(value)
}

/// The error without the position that serde_json writes behind it.
fn describe(error: &serde_json::Error) -> JsonError {
    let text = error.to_string();
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
    JsonError { line: error.line(), column: error.column(), message: String::from(message) }
}

/// One value at `depth` containers below the root.
#[derive(Clone, Copy)]
struct Element {
    depth: usize,
    names: Names,
}

impl Element {
    /// What is inside the container that starts here.
    fn inside<E: Error>(self) -> Result<Self, E> {
        let depth = self.depth.saturating_add(1);
        if depth > JSON_DEPTH {
            return Err(E::custom(format!("objects and arrays are nested more than {JSON_DEPTH} deep")));
        }
        Ok(Self { depth, names: self.names })
    }
}

impl<'de> DeserializeSeed<'de> for Element {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element {
    type Value = Json;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(Number::from(value)))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(Number::from(value)))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json, E> {
        Number::from_f64(value).map(Json::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(String::from(value)))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Json, E> {
        Ok(Json::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let inside = self.inside()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inside)? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let inside = self.inside()?;
        let mut object: Vec<(String, Json)> = Vec::new();
        let mut seen = BTreeSet::new();
        while let Some(name) = members.next_key::<String>()? {
            let key = match self.names {
                Names::AnyCase => name.to_ascii_lowercase(),
                Names::Exact => name.clone(),
            };
            // Names of environment variables are case-sensitive: http_proxy and HTTP_PROXY may both be set.
            let names = if key == "environment" { Names::Exact } else { self.names };
            if !seen.insert(key) {
                let hint = match self.names {
                    Names::AnyCase => " (upper and lower case are not told apart)",
                    Names::Exact => "",
                };
                return Err(A::Error::custom(format!("the key {} stands there twice{hint}", quote(&name))));
            }
            let value = members.next_value_seed(Self { depth: inside.depth, names })?;
            object.push((name, value));
        }
        Ok(Json::Object(object))
    }
}
