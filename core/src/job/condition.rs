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
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde_json::Value;

use crate::job::Lookup;
use crate::json::Json;
use crate::regular::Regular;

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
    /// The right side is searched for in the left one.
    Matches(Operand, Regular),
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

/// Joins two or more; one alone is itself.
fn joined(mut parts: Vec<Expression>, join: fn(Vec<Expression>) -> Expression) -> Option<Expression> {
    parts.shrink_to_fit();
    if parts.len() > 1 { Some(join(parts)) } else { parts.pop() }
}
