//! Lines of the audit: how an entry becomes one, and what a line that somebody edited, moved or took away looks like.
//!
//! ```text
//! {"sequence":7,"previous":"<SHA-256 of line 6>", …the entry… ,"hash":"<SHA-256 of this line up to here>"}
//! ```
//! A line is sound by itself where its own hash fits. It is in its place where `previous` is the hash of the line before and `sequence`
//! is one more. Whoever may write the files can make a new chain from any line on; against that stand hashes that were noted elsewhere:
//! the log has one of every hour.

#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::String;
use core::fmt;

use super::Entry;
use crate::hexadecimal;
use crate::limits::AUDIT_LINE_BYTES;

/// What makes SHA-256; the core has no cryptography of its own.
pub type Sha256 = fn(&[u8]) -> [u8; 32];

/// What stands before a line's own hash.
const OWN_HASH: &str = ",\"hash\":\"";
/// What stands after it.
const END: &str = "\"}";
const HASH_DIGITS: usize = 64;

/// The last line of a chain, which stands for all before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// How many lines there are.
    pub sequence: u64,
    /// The hash of the last one.
    pub sha256: [u8; 32],
}

impl Head {
    /// That of a chain without lines.
    pub const START: Self = Self { sequence: 0, sha256: [0; 32] };

    /// The head in a text that [`Display`](fmt::Display) made.
    pub fn parse(text: &str) -> Option<Self> {
        let (sequence, sha256) = text.strip_prefix("entry ")?.split_once(", SHA-256 ")?;
        Some(Self { sequence: sequence.parse().ok()?, sha256: hash_of(sha256.as_bytes())? })
    }

    /// Its hash in lower-case hexadecimal digits.
    pub fn hash(&self) -> String {
        hexadecimal(&self.sha256)
    }
}

impl fmt::Display for Head {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "entry {}, SHA-256 {}", self.sequence, self.hash())
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The line of an entry behind `head`, without its line break, and the head that it becomes.
///
/// # Errors
/// It would be longer than any line may be.
pub fn line(head: &Head, entry: &Entry, sha256: Sha256) -> Result<(String, Head), String> {
    let entry = serde_json::to_string(entry).map_err(|error| format!("an entry cannot be written: {error}"))?;
    let sequence = head.sequence.saturating_add(1);
    let members = entry.strip_prefix('{').and_then(|entry| entry.strip_suffix('}')).unwrap_or_default();
    let mut line = format!("{{\"sequence\":{sequence},\"previous\":\"{}\",{members}", head.hash());
    let own = sha256(line.as_bytes());
    let head = Head { sequence, sha256: own };
    line.push_str(OWN_HASH);
    line.push_str(&head.hash());
    line.push_str(END);
    if line.len() > AUDIT_LINE_BYTES {
        let length = line.len();
        return Err(format!(
            "an entry of {length} bytes is too long: a line of the audit has at most {AUDIT_LINE_BYTES}"
        ));
    }
    Ok((line, head))
}

/// A line that is sound by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The line as the end of a chain.
    pub head: Head,
    /// The hash that the line before has to have.
    previous: [u8; 32],
}

/// Reads a line without its line break; `None` where its own hash does not fit.
pub fn link(line: &[u8], sha256: Sha256) -> Option<Link> {
    let rest = line.strip_suffix(END.as_bytes())?;
    let (rest, own) = rest.split_at_checked(rest.len().checked_sub(HASH_DIGITS)?)?;
    let own = hash_of(own)?;
    let covered = rest.strip_suffix(OWN_HASH.as_bytes())?;
    if sha256(covered) != own {
        return None;
    }
    let after = covered.strip_prefix(b"{\"sequence\":")?;
    let comma = after.iter().position(|byte| *byte == b',')?;
    let (digits, after) = after.split_at_checked(comma)?;
    let sequence = core::str::from_utf8(digits).ok()?.parse().ok()?;
    let previous = after.strip_prefix(b",\"previous\":\"")?.get(..HASH_DIGITS)?;
    Some(Link { head: Head { sequence, sha256: own }, previous: hash_of(previous)? })
}

/// The hash that lower-case hexadecimal digits stand for.
fn hash_of(digits: &[u8]) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let value = |digit: u8| match digit {
        b'0'..=b'9' => digit.checked_sub(b'0'),
        b'a'..=b'f' => digit.checked_sub(b'a').and_then(|value| value.checked_add(10)),
        _ => None,
    };
    let (pairs, rest) = digits.as_chunks::<2>();
    if pairs.len() != hash.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
        *byte = value(*high)? << 4 | value(*low)?;
    }
    Some(hash)
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its own hash does not fit: it was edited, or is not whole.
    Edited,
    /// Entries before it are not there, or not before it.
    Missing {
        /// The first of them.
        from: u64,
        /// The last of them.
        to: u64,
    },
    /// It stands behind entries that came later.
    Misplaced {
        /// Its number.
        sequence: u64,
    },
    /// It follows another line than the one before it, of which one was replaced by another whole line.
    Foreign {
        /// Its number.
        sequence: u64,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edited => formatter.write_str("the line was edited: it has another hash than it says"),
            Self::Missing { from, to } if from == to => {
                write!(formatter, "entry {from}, which has to stand before it, is missing")
            }
            Self::Missing { from, to } => {
                write!(formatter, "entries {from} to {to}, which have to stand before it, are missing")
            }
            Self::Misplaced { sequence } => {
                write!(formatter, "entry {sequence} stands behind a later one, or is there twice")
            }
            Self::Foreign { sequence } => write!(
                formatter,
                "entry {sequence} does not follow the line before it: that one was replaced by another, or this one was"
            ),
        }
    }
}

/// What the next line has to follow.
#[derive(Debug, Clone, Copy)]
enum Expected {
    /// Anything: the first line of an excerpt.
    Any,
    /// This line.
    After(Head),
    /// The line of this number, whose hash is not known.
    Behind(u64),
}

/// Goes through the lines of a chain in their order.
#[derive(Debug, Clone)]
pub struct Verifier {
    expected: Expected,
    sha256: Sha256,
}

impl Verifier {
    /// Of a chain from its first line on.
    pub const fn whole(sha256: Sha256) -> Self {
        Self { expected: Expected::After(Head::START), sha256 }
    }

    /// Of lines that may begin in the middle of a chain.
    pub const fn excerpt(sha256: Sha256) -> Self {
        Self { expected: Expected::Any, sha256 }
    }

    /// Takes the next line, without its line break.
    ///
    /// # Errors
    /// What is wrong with it; the lines behind it are judged all the same.
    pub fn take(&mut self, line: &[u8]) -> Result<Head, Fault> {
        let Some(Link { head, previous }) = link(line, self.sha256) else {
            self.expected = match self.expected {
                Expected::Any => Expected::Any,
                Expected::After(Head { sequence, .. }) | Expected::Behind(sequence) => {
                    Expected::Behind(sequence.saturating_add(1))
                }
            };
            return Err(Fault::Edited);
        };
        let sequence = head.sequence;
        let (before, is_next) = match self.expected {
            Expected::Any => (sequence.saturating_sub(1), true),
            Expected::After(before) => (before.sequence, previous == before.sha256),
            Expected::Behind(before) => (before, true),
        };
        let next = before.saturating_add(1);
        if sequence < next {
            // What follows is held against the line that came latest.
            return Err(Fault::Misplaced { sequence });
        }
        self.expected = Expected::After(head);
        if sequence > next {
            return Err(Fault::Missing { from: next, to: sequence.saturating_sub(1) });
        }
        if is_next { Ok(head) } else { Err(Fault::Foreign { sequence }) }
    }

    /// The end of what was taken so far; `None` where that is not known.
    pub fn head(&self) -> Option<Head> {
        match self.expected {
            Expected::After(head) => Some(head),
            Expected::Any | Expected::Behind(_) => None,
        }
    }
}
