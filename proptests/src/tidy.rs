//! The rules of the house, as functions from text to findings. `tests/tidy.rs` holds them against the working tree.

pub mod house;
pub mod manifests;
pub mod source;
#[cfg(test)]
mod tests;
pub mod texts;
mod tree;

use std::fmt;

pub use tree::{read_tree, root};

/// One file of the working tree.
#[derive(Debug, Clone)]
pub struct File {
    /// Its path below the root, with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl File {
    /// Whether it is Rust.
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether it is only compiled for tests.
    pub fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }
}

/// A rule that was broken, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub path: String,
    /// The line, from 1; 0 where the whole file is meant.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// A finding in a file.
pub fn finding(file: &File, line: usize, message: impl Into<String>) -> Finding {
    Finding { path: file.path.clone(), line, message: message.into() }
}

/// Every finding on a line of its own.
pub fn report(findings: &[Finding]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
