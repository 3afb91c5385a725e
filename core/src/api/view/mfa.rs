//! Answers about authenticators.

use alloc::string::String;

use schemars::JsonSchema;
use serde::Serialize;

use crate::mfa::Verdict;
use crate::time::WallTime;

/// A new authenticator; its secret is told this once.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Enrolled {
    /// Whose.
    pub(crate) user: String,
    /// In base32 (RFC 4648), to be typed.
    pub(crate) secret: String,
    /// The otpauth URI, to be shown as a QR code.
    pub(crate) uri: String,
}

/// An authenticator that is gone.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Removed {
    /// Whose.
    pub(crate) user: String,
    /// Always true.
    pub(crate) removed: bool,
}

/// What a code is worth; it is used now.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Checked {
    /// Whether it counted.
    verified: bool,
    /// Tries that are left.
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<u32>,
    /// Until when no code is looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    locked_until: Option<String>,
}

impl Checked {
    /// The verdict for programs.
    pub(crate) fn of(verdict: Verdict) -> Self {
        let (left, until) = match verdict {
            Verdict::Verified | Verdict::NotEnrolled => (None, None),
            Verdict::Wrong { left } => (Some(left), None),
            Verdict::Locked { until } => (None, Some(until)),
        };
        Self { verified: verdict == Verdict::Verified, left, locked_until: until.map(WallTime::to_rfc3339) }
    }
}
