//! Conditions as text that parses to the same condition.

use core::fmt::{self, Write};

use serde_json::Value;

use super::lexer::{is_name_character, keyword};
use super::{Condition, Expression, Operand};

impl fmt::Display for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.root)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Or(parts) => chain(parts, " || ", formatter),
            Self::And(parts) => chain(parts, " && ", formatter),
            Self::Not(inner) => write!(formatter, "!{}", Grouped(inner)),
            Self::Compare(left, comparison, right) => write!(formatter, "{left} {} {right}", comparison.symbol()),
            Self::Matches(left, pattern) => {
                write!(formatter, "{left} matches ")?;
                text(pattern.source(), formatter)
            }
            Self::Exists(name) => write!(formatter, "exists {}", PlainName(name)),
            Self::Truth(operand) => write!(formatter, "{operand}"),
        }
    }
}

fn chain(parts: &[Expression], separator: &str, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            formatter.write_str(separator)?;
        }
        match part {
            Expression::Or(_) | Expression::And(_) => write!(formatter, "({part})")?,
            Expression::Not(_)
            | Expression::Compare(..)
            | Expression::Matches(..)
            | Expression::Exists(_)
            | Expression::Truth(_) => write!(formatter, "{part}")?,
        }
    }
    Ok(())
}

/// What stands behind a `!`.
struct Grouped<'e>(&'e Expression);

impl fmt::Display for Grouped<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Expression::Not(_) | Expression::Truth(_) => write!(formatter, "{}", self.0),
            Expression::Or(_)
            | Expression::And(_)
            | Expression::Compare(..)
            | Expression::Matches(..)
            | Expression::Exists(_) => write!(formatter, "({})", self.0),
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(formatter, "{}", PlainName(name)),
            Self::Literal(value) => literal(value, formatter),
        }
    }
}

/// A literal in the syntax of expressions, which is that of JSON but for characters beyond the basic plane, never escaped here.
pub(super) fn literal(value: &Value, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    match value {
        Value::String(plain) => text(plain, formatter),
        Value::Array(items) => {
            formatter.write_char('[')?;
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    formatter.write_str(", ")?;
                }
                literal(item, formatter)?;
            }
            formatter.write_char(']')
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => write!(formatter, "{value}"),
    }
}

fn text(plain: &str, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    formatter.write_char('"')?;
    for letter in plain.chars() {
        match letter {
            '"' | '\\' => write!(formatter, "\\{letter}")?,
            '\n' => formatter.write_str("\\n")?,
            '\r' => formatter.write_str("\\r")?,
            '\t' => formatter.write_str("\\t")?,
            control if control.is_control() => write!(formatter, "\\u{:04x}", u32::from(control))?,
            letter => formatter.write_char(letter)?,
        }
    }
    formatter.write_char('"')
}

/// A name, in braces where it would not be read as one without.
struct PlainName<'n>(&'n str);

impl fmt::Display for PlainName<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0;
        if is_plain_name(name) { formatter.write_str(name) } else { write!(formatter, "{{{name}}}") }
    }
}

/// Whether a name is read as one without braces; a number starts with none of these letters.
pub(super) fn is_plain_name(name: &str) -> bool {
    let starts = name.starts_with(|first: char| first.is_alphabetic() || first == '_');
    starts && name.chars().all(is_name_character) && keyword(name).is_none()
}
