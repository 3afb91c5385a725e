//! Regular expressions that others write: searched for, not anchored, in time linear to the text, and bounded in size, depth and work.

use alloc::format;
use alloc::string::{String, ToString};

use regex::{Regex, RegexBuilder};

use crate::limits::{MATCHING_WORK, PATTERN_BYTES};

/// Nesting of groups; its parser recurses.
const NESTING: u32 = 32;

/// One that can be compiled.
#[derive(Debug, Clone)]
pub(crate) struct Regular {
    source: String,
    compiled: Regex,
    /// Bytes of the longest text that it is held against.
    longest_text: usize,
}

impl PartialEq for Regular {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Regular {
    /// Compiles with growing bounds: the smaller the machine, the longer the texts it may be held against.
    ///
    /// # Errors
    /// A clause with what is wrong.
    pub(crate) fn compile(source: &str) -> Result<Self, String> {
        let mut refusal = String::new();
        for bytes in [4 << 10, 16 << 10, 64 << 10, PATTERN_BYTES] {
            match RegexBuilder::new(source).size_limit(bytes).nest_limit(NESTING).build() {
                Ok(compiled) => {
                    let longest_text = MATCHING_WORK.checked_div(bytes).unwrap_or_default();
                    return Ok(Self { source: String::from(source), compiled, longest_text });
                }
                Err(regex::Error::CompiledTooBig(_)) => {
                    refusal =
                        format!("this regular expression is too large; compiled it may have {PATTERN_BYTES} bytes.");
                }
                Err(error) => {
                    refusal = format!("this is no regular expression: {}", plain(&error.to_string()));
                    break;
                }
            }
        }
        Err(refusal)
    }

    /// As it was written.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Whether the text has a part that matches; the bytes that it may have, where it is longer.
    pub(crate) fn is_in(&self, text: &str) -> Result<bool, usize> {
        if text.len() > self.longest_text {
            return Err(self.longest_text);
        }
        Ok(self.compiled.is_match(text))
    }

    /// The same expression where `count` of them are held against one text: together they do the work of one.
    pub(crate) fn of_many(self, count: usize) -> Self {
        Self { longest_text: self.longest_text.checked_div(count).unwrap_or(self.longest_text), ..self }
    }
}

/// The one line of the regex crate's drawing that says what is wrong.
fn plain(drawing: &str) -> &str {
    drawing.lines().last().map_or(drawing, |line| line.strip_prefix("error: ").unwrap_or(line))
}
