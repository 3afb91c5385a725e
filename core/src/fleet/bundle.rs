//! A bundle: several configuration policies under one name and number, `{"bundle": …, "sequence": …, "policies": {name: policy}}`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::digest::digest;
use crate::job::finding::quote;
use crate::json::Json;
use crate::limits::ID_LENGTH;

/// Policies of one bundle: each may cost a durable write, and all are applied as one.
pub const POLICIES: usize = 256;

/// The content of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Whose it is: a machine takes bundles of one name.
    pub name: String,
    /// From 1; only a higher one takes its place.
    pub sequence: u64,
    /// Names and documents, in the order of the bundle.
    pub policies: Vec<(String, Vec<u8>)>,
}

impl Bundle {
    /// Reads a bundle; keys in any case.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let json = Json::parse(bytes).map_err(|error| format!("it is no JSON document: {error}."))?;
        let Json::Object(members) = &json else {
            return Err(format!("it is {}, not an object with bundle, sequence and policies.", json.kind()));
        };
        let member =
            |name: &str| members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        let name = member("bundle").and_then(Json::as_str).filter(|name| is_name(name)).ok_or_else(|| {
            format!("its member 'bundle' is no name of 1 to {ID_LENGTH} of A-Z a-z 0-9 . - _, first a letter or digit.")
        })?;
        let sequence = member("sequence").and_then(Json::as_integer).and_then(|number| u64::try_from(number).ok());
        let sequence = sequence
            .filter(|number| *number > 0)
            .ok_or_else(|| String::from("its member 'sequence' is no whole number from 1."))?;
        let Some(Json::Object(found)) = member("policies") else {
            return Err(String::from("its member 'policies' is no object of policies by name."));
        };
        if found.len() > POLICIES {
            return Err(format!("it has {} policies; at most {POLICIES} are taken.", found.len()));
        }
        if let Some((wrong, _)) = found.iter().find(|(name, _)| !is_name(name)) {
            return Err(format!("{} is no name for a policy.", quote(wrong)));
        }
        let policies = found.iter().map(|(name, policy)| (name.clone(), policy.to_string().into_bytes())).collect();
        Ok(Self { name: name.to_string(), sequence, policies })
    }

    /// Tells it from another one with the same number.
    pub(super) fn digest(&self) -> u64 {
        let parts: Vec<&[u8]> =
            self.policies.iter().flat_map(|(name, policy)| [name.as_bytes(), policy.as_slice()]).collect();
        digest(&parts)
    }
}

fn is_name(name: &str) -> bool {
    (1..=ID_LENGTH).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}
