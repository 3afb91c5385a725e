//! Where the policy source stands, for people.

use alloc::string::String;

use schemars::JsonSchema;
use serde::Serialize;

/// What people are shown of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Standing {
    /// The source.
    pub(crate) source: String,
    /// `waiting`, `asking` or `listening`.
    pub(crate) state: &'static str,
    /// What is in force.
    pub(crate) bundle: Option<BundleLine>,
    /// Why the last answer did not count, or there was none.
    pub(crate) problem: Option<String>,
    /// Bundles refused since the start.
    pub(crate) refused: u64,
    /// Questions without an answer since the start.
    pub(crate) failed: u64,
}

/// A bundle in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BundleLine {
    pub(crate) name: String,
    pub(crate) sequence: u64,
    #[schemars(extend("format" = "date-time"))]
    pub(crate) accepted_at: String,
}
