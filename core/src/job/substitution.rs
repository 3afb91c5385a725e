//! Substitution of `{tokens}` in arguments and texts (contract section 3). One pass: what a value brings in is never read again.
//!
//! `{Name}` with a valid name is a token; `{{` and `}}` stand for one brace each. A `{` without a name behind it opens literal text,
//! as JSON has it, and its own `}` closes that text: `{"a":{"b":1}}` stays as it is although it ends in `}}`.

#[cfg(test)]
mod tests;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::Lookup;
use crate::limits::SUBSTITUTED_BYTES;

/// A text with its tokens replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Substituted {
    /// The text; tokens that nobody knows stand as they were.
    pub text: String,
    /// The names of those tokens, each once, in the order they were met.
    pub unknown: Vec<String>,
}

/// The text would be longer than [`SUBSTITUTED_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the text is longer than {SUBSTITUTED_BYTES} bytes after substitution.")
    }
}

/// Characters of a token's name; more are literal text.
const NAME_CHARS: usize = 256;

/// Replaces the tokens of `template`: texts as they are, other values as compact JSON. Dotted paths are looked up whole.
///
/// # Errors
/// [`TooLong`], so that a context can never blow up a command line.
pub fn substitute(template: &str, lookup: Lookup<'_, '_>) -> Result<Substituted, TooLong> {
    let mut text = String::with_capacity(template.len());
    let mut unknown: Vec<String> = Vec::new();
    let mut open = 0_usize;
    let mut rest = template;
    while let Some(first) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("{{") {
            text.push('{');
            rest = after;
        } else if let Some((name, after)) = token(rest) {
            match lookup(name) {
                Some(value) => match value.as_str() {
                    Some(value) => text.push_str(value),
                    None => text.push_str(&value.to_string()),
                },
                None => {
                    text.extend(["{", name, "}"]);
                    if !unknown.iter().any(|known| known == name) {
                        unknown.push(name.to_string());
                    }
                }
            }
            rest = after;
        } else if let Some(after) = rest.strip_prefix("}}").filter(|_| open == 0) {
            text.push('}');
            rest = after;
        } else {
            open = match first {
                '{' => open.saturating_add(1),
                '}' => open.saturating_sub(1),
                _ => open,
            };
            text.push(first);
            rest = rest.strip_prefix(first).unwrap_or_default();
        }
        if text.len() > SUBSTITUTED_BYTES {
            return Err(TooLong);
        }
    }
    Ok(Substituted { text, unknown })
}

/// The name of the token that `text` starts with, and what is behind it.
fn token(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('{')?;
    // Stops at the first character that no name has, so that a text full of open braces is still read in linear time.
    let end = inside.find(|letter: char| !is_name_character(letter) && letter != '.')?;
    let (name, behind) = inside.split_at_checked(end)?;
    let after = behind.strip_prefix('}')?;
    is_token_name(name).then_some((name, after))
}

/// Whether a text can stand between the braces of a token: segments of letters, digits, `_` and `-` with dots between, the first not all digits
/// (`{3}` is a repetition in many languages).
pub fn is_token_name(name: &str) -> bool {
    let is_segment = |segment: &str| !segment.is_empty() && segment.chars().all(is_name_character);
    let first = name.split('.').next().unwrap_or_default();
    name.len() <= NAME_CHARS.saturating_mul(4)
        && name.chars().nth(NAME_CHARS).is_none()
        && name.split('.').all(is_segment)
        && first.contains(|letter: char| letter.is_alphabetic() || letter == '_')
}

fn is_name_character(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '-')
}
