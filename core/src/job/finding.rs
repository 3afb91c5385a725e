//! Findings: what is wrong or odd in a definition, where exactly, and how to mend it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use schemars::JsonSchema;
use serde::Serialize;

use crate::limits::FINDINGS;
use crate::log_message::escape_into;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
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

/// All findings of one document, in the order they were met.
pub type Findings = Vec<Finding>;

/// Whether any finding refuses the document.
pub fn has_errors(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}

/// Collects the findings of one document, at most [`FINDINGS`] of them.
#[derive(Debug, Default)]
pub struct Report {
    findings: Findings,
    omitted: usize,
    worst_omitted: Option<Severity>,
}

impl Report {
    /// Records something that refuses the document.
    pub fn error(&mut self, path: impl Into<String>, code: &'static str, message: impl Into<String>) {
        self.add(Severity::Error, path.into(), code, message.into());
    }

    /// Records something that is probably not what was meant.
    pub fn warning(&mut self, path: impl Into<String>, code: &'static str, message: impl Into<String>) {
        self.add(Severity::Warning, path.into(), code, message.into());
    }

    /// Records something worth knowing.
    pub fn note(&mut self, path: impl Into<String>, code: &'static str, message: impl Into<String>) {
        self.add(Severity::Note, path.into(), code, message.into());
    }

    /// Whether further findings are only counted, so that nobody needs to find words for them.
    pub fn is_full(&self) -> bool {
        self.findings.len() >= FINDINGS
    }

    /// Everything that was recorded; beyond the bound one last finding, as severe as the worst left out, counts the rest.
    pub fn into_findings(mut self) -> Findings {
        if let Some(severity) = self.worst_omitted {
            self.findings.push(Finding {
                path: String::new(),
                code: "more-findings",
                message: format!("{} more findings are not listed; mend these first.", self.omitted),
                severity,
            });
        }
        self.findings
    }

    fn add(&mut self, severity: Severity, path: String, code: &'static str, message: String) {
        if self.is_full() {
            self.omitted = self.omitted.saturating_add(1);
            self.worst_omitted = self.worst_omitted.max(Some(severity));
        } else {
            self.findings.push(Finding { path, code, message, severity });
        }
    }
}

/// Characters of foreign text that a message repeats: enough to recognise it.
const QUOTED_CHARS: usize = 80;

/// Foreign text as messages show it: in single quotes, control characters escaped, cut after 80 characters.
pub fn quote(text: &str) -> String {
    let mut quoted = String::from("'");
    shorten(text, &mut quoted);
    quoted.push('\'');
    quoted
}

/// The same without the quotes, for tables and lists.
pub(crate) fn brief(text: &str) -> String {
    let mut brief = String::new();
    shorten(text, &mut brief);
    brief
}

/// Adds foreign text to a message whose author sets the marks around it: escaped and cut the same.
pub(crate) fn shorten(text: &str, message: &mut String) {
    if text.len() <= QUOTED_CHARS {
        return escape_into(text, message);
    }
    let end = text.char_indices().nth(QUOTED_CHARS).map_or(text.len(), |(at, _)| at);
    let (shown, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    escape_into(shown, message);
    if !rest.is_empty() {
        message.push('…');
    }
}
