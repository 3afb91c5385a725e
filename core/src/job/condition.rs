//! Conditions of jobs and tasks (contract section 3): parsed once, so that a form that cannot be read is a finding and never true.
//!
//! Grammar of expressions, loosest first; names are looked up in the run's context:
//! ```text
//! or      = and { "||" and }
//! and     = not { "&&" not }
//! not     = "!" not | "(" or ")" | "exists" name | term
//! term    = operand [ operator operand | "exists" ]
//! operator= == != < <= > >= contains startsWith endsWith matches in
//! operand = name | {any name} | "text" | 'text' | number | true | false | null | [ literal, … ]
//! ```
//! A name is letters, digits, `_`, `-` and dots. Words are read without regard to case. Invariants: printed, a condition parses to itself;
//! an unknown name is null, which `exists` and `== null` tell apart and which makes every other comparison false.

mod constant;
mod evaluate;
pub(crate) mod keys;
mod lexer;
mod parse;
mod print;
mod structured;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use crate::job::Lookup;
use crate::json::Json;
use crate::limits::{MATCHING_WORK, PATTERN_BYTES};

/// A valid condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// Apart, as most jobs and tasks have none.
    root: Box<Expression>,
}

/// Why a text is not a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionError {
    /// Characters before the place, plus one.
    pub column: usize,
    /// What is wrong there and what would be right.
    pub message: String,
}

impl fmt::Display for ConditionError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "column {}: {}", self.column, self.message)
    }
}

/// The outcome of a condition and how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// Whether it is true.
    pub holds: bool,
    /// The condition with the value behind each name: `findings = 3 > 0`.
    pub explanation: String,
}

impl Condition {
    /// Reads an expression such as `RiskLevel > 50 && (UserName == "alice" || !HasDesktop)`.
    ///
    /// # Errors
    /// [`ConditionError`] with the column and what was expected there.
    pub fn parse_expression(text: &str) -> Result<Self, ConditionError> {
        parse::parse(text, 0).map(|root| Self { root: Box::new(root) })
    }

    /// Reads a condition as it stands in a job: a bare text, `{"expression": …}`, or the structured form.
    ///
    /// # Errors
    /// The JSON pointer below the condition, and a sentence.
    pub fn from_json(json: &Json) -> Result<Self, (String, String)> {
        structured::parse(json, 1).map(|root| Self { root: Box::new(root) })
    }

    /// Decides it against a context, which is asked for each name as it is written.
    pub fn evaluate(&self, lookup: Lookup<'_, '_>) -> Evaluation {
        evaluate::evaluate(&self.root, lookup)
    }
}

/// An expression in a form where each text has one tree: lists of `And` and `Or` have two entries or more.
#[derive(Debug, Clone, PartialEq)]
enum Expression {
    Or(Vec<Self>),
    And(Vec<Self>),
    Not(Box<Self>),
    Compare(Operand, Comparison, Operand),
    Matches(Operand, Pattern),
    Exists(String),
    /// A name alone, or `true` or `false`.
    Truth(Operand),
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq)]
enum Operand {
    Name(String),
    /// Null, boolean, number, text, or an array of those.
    Literal(Value),
}

/// A comparison of two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Contains,
    StartsWith,
    EndsWith,
    In,
}

impl Comparison {
    const fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Contains => "contains",
            Self::StartsWith => "startsWith",
            Self::EndsWith => "endsWith",
            Self::In => "in",
        }
    }
}

/// The right side of `matches`: a regular expression that is searched for, not anchored, in time linear to the text.
#[derive(Debug, Clone)]
struct Pattern {
    source: String,
    compiled: Regex,
    /// Bytes of the longest text that it is held against.
    longest_text: usize,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Pattern {
    /// Compiles with growing bounds: the smaller the machine, the longer the texts it may be held against.
    fn compile(source: &str) -> Result<Self, String> {
        let mut refusal = String::new();
        for bytes in [4 << 10, 16 << 10, 64 << 10, PATTERN_BYTES] {
            match RegexBuilder::new(source).size_limit(bytes).nest_limit(PATTERN_NESTING).build() {
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
}

/// Nesting of groups in a pattern; its parser recurses.
const PATTERN_NESTING: u32 = 32;

/// The one line of the regex crate's drawing that says what is wrong.
fn plain(drawing: &str) -> &str {
    drawing.lines().last().map_or(drawing, |line| line.strip_prefix("error: ").unwrap_or(line))
}

/// Joins two or more; one alone is itself.
fn joined(mut parts: Vec<Expression>, join: fn(Vec<Expression>) -> Expression) -> Option<Expression> {
    parts.shrink_to_fit();
    if parts.len() > 1 { Some(join(parts)) } else { parts.pop() }
}
