//! What a command prints: text for people, or one JSON document for programs.

use std::io::Write;

use clap::ValueEnum;
use serde::Serialize;

use crate::failure::Failure;

/// The form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For people.
    Text,
    /// One JSON document.
    Json,
}

/// Prints a value as JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::failed)?;
    lines(&[text])
}

/// Says something about the work to people, beside its result.
pub(crate) fn note(text: &str) -> Result<(), Failure> {
    writeln!(std::io::stderr(), "castellan: {text}").map_err(Failure::failed)
}

/// Prints lines.
pub(crate) fn lines(lines: &[String]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}").map_err(Failure::failed)?;
    }
    out.flush().map_err(Failure::failed)
}
