//! Explanations: how a decision came about, in words that tell a person what to do next.

use alloc::format;
use alloc::string::String;
use core::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happened, why, and how to change it. Written by the code that decided, printed by everybody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// One sentence: the decision.
    pub what: String,
    /// One sentence: the facts it rests on.
    pub why: String,
    /// One sentence: what to do to get another outcome.
    pub fix: String,
}

impl Explanation {
    /// The three sentences.
    pub fn new(what: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into(), fix: fix.into() }
    }
}

/// A reason as a sentence: with a full stop, unless it has its end already.
pub(crate) fn sentence(text: &str) -> String {
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{text}{end}")
}

impl fmt::Display for Explanation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} {}", self.what, self.why, self.fix)
    }
}
