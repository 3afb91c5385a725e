//! Findings: what is wrong or odd in a definition, where exactly, and how to mend it.

use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is wrong (an unknown key that is kept).
    Note,
    /// Probably not what was meant.
    Warning,
    /// The definition is refused.
    Error,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// JSON pointer (RFC 6901) of the place; empty for the whole document.
    pub path: String,
    /// Stable, kebab-case code.
    pub code: &'static str,
    /// A sentence, with the fix where there is one.
    pub message: String,
    /// How much it matters.
    pub severity: Severity,
}

/// All findings of one document, in the order of the document.
pub type Findings = Vec<Finding>;

/// Whether any finding refuses the document.
pub fn has_errors(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}
