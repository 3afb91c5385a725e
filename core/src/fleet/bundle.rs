//! A bundle: several configuration policies under one name and number, `{"bundle": …, "sequence": …, "policies": {name: policy}}`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::configuration_policy::{PolicyContent, PolicyFile, PolicySigner};
use crate::digest::digest;
use crate::job::finding::quote;
use crate::json::Json;
use crate::limits::ID_LENGTH;
use crate::time::WallTime;

/// Policies of one bundle: each may cost a durable write, and all are applied as one.
const MOST: usize = 256;

/// The content of a bundle.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// Whose it is: a machine takes bundles of one name.
    pub name: String,
    /// From 1; only a higher one takes its place.
    pub sequence: u64,
    /// In the order of the bundle; none has a signature of its own.
    pub policies: Vec<PolicyFile>,
}

/// A bundle as it is kept in `state/`, to be in force from the next start on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptBundle {
    /// The source, as [`PolicySource`](crate::config::PolicySource) shows it.
    pub source: String,
    /// The server's entity tag (RFC 9110 8.8.3), if it gave one.
    pub etag: Option<String>,
    /// What was received, signature included.
    pub document: Arc<[u8]>,
    /// When it was accepted.
    pub at: WallTime,
}

/// A bundle for the policies to judge: all that the source has.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Its policies.
    pub policies: Vec<PolicyFile>,
    /// Who signed it, if anybody did.
    pub signer: Option<PolicySigner>,
    /// What is kept together with the record of its policies; `None` where it is kept already.
    pub keep: Option<KeptBundle>,
}

impl Bundle {
    /// Reads a bundle; keys in any case. `sha256` gives the hex digits of a document's digest.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(bytes: &[u8], sha256: impl Fn(&[u8]) -> String) -> Result<Self, String> {
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
        if found.len() > MOST {
            return Err(format!("it has {} policies; at most {MOST} are taken.", found.len()));
        }
        if let Some((wrong, _)) = found.iter().find(|(name, _)| !is_name(name)) {
            return Err(format!("{} is no name for a policy.", quote(wrong)));
        }
        let policy = |(name, policy): &(String, Json)| {
            let document = policy.to_string().into_bytes();
            let sha256 = sha256(&document);
            let content = PolicyContent { document: document.into(), sha256, signature: None, owner: None };
            PolicyFile { name: name.clone(), content: Ok(content) }
        };
        Ok(Self { name: name.to_string(), sequence, policies: found.iter().map(policy).collect() })
    }

    /// Tells it from another one with the same number.
    pub(super) fn digest(&self) -> u64 {
        let parts = self.policies.iter().flat_map(|PolicyFile { name, content }| {
            let document = content.as_ref().map(|content| &*content.document).unwrap_or_default();
            [name.as_bytes(), document]
        });
        digest(&parts.collect::<Vec<&[u8]>>())
    }
}

fn is_name(name: &str) -> bool {
    (1..=ID_LENGTH).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}
