//! What a condition is worth in a context: numbers where both sides are, booleans where either is, else text.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use core::cmp::Ordering;
use core::fmt::Write;

use serde_json::Value;

use super::print::PlainName;
use super::{Comparison, Evaluation, Expression, Operand};
use crate::job::finding::quote;

type Lookup<'l> = &'l dyn Fn(&str) -> Option<Value>;

/// Characters of an explanation; a condition of thousands of terms is not explained to its end.
const EXPLANATION_CHARS: usize = 2000;

pub(super) fn evaluate(expression: &Expression, lookup: Lookup<'_>) -> Evaluation {
    let mut explanation = String::new();
    let holds = decide(expression, lookup, &mut explanation);
    if explanation.chars().count() > EXPLANATION_CHARS {
        explanation = explanation.chars().take(EXPLANATION_CHARS).chain(['…']).collect();
    }
    Evaluation { holds, explanation }
}

/// Decides and writes down every term, so that also the ones that did not matter are seen.
fn decide(expression: &Expression, lookup: Lookup<'_>, told: &mut String) -> bool {
    match expression {
        Expression::Or(parts) => chain(parts, " || ", lookup, told).0,
        Expression::And(parts) => chain(parts, " && ", lookup, told).1,
        Expression::Not(inner) => {
            told.push('!');
            !grouped(inner, lookup, told)
        }
        Expression::Compare(left, comparison, right) => {
            let left_value = operand(left, lookup, told);
            tell(told, &format!(" {} ", comparison.symbol()));
            let right_value = operand(right, lookup, told);
            let with_null = [left, right].contains(&&Operand::Literal(Value::Null));
            compare(&left_value, *comparison, &right_value, with_null)
        }
        Expression::Matches(left, pattern) => {
            let value = operand(left, lookup, told);
            tell(told, &format!(" matches {}", quote(&pattern.source)));
            let text = as_text(&value);
            if text.len() > pattern.longest_text {
                tell(told, &format!(" (not tried: the text is longer than {} bytes)", pattern.longest_text));
                return false;
            }
            !value.is_null() && pattern.compiled.is_match(&text)
        }
        Expression::Exists(name) => {
            tell(told, "exists ");
            !operand(&Operand::Name(name.clone()), lookup, told).is_null()
        }
        Expression::Truth(truth) => as_boolean(&operand(truth, lookup, told)) == Some(true),
    }
}

/// Whether any and whether all of the parts hold; each part is looked at.
fn chain(parts: &[Expression], separator: &str, lookup: Lookup<'_>, told: &mut String) -> (bool, bool) {
    let (mut any, mut all) = (false, true);
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            told.push_str(separator);
        }
        let holds = match part {
            Expression::Or(_) | Expression::And(_) => grouped(part, lookup, told),
            Expression::Not(_)
            | Expression::Compare(..)
            | Expression::Matches(..)
            | Expression::Exists(_)
            | Expression::Truth(_) => decide(part, lookup, told),
        };
        any |= holds;
        all &= holds;
    }
    (any, all)
}

fn grouped(inner: &Expression, lookup: Lookup<'_>, told: &mut String) -> bool {
    told.push('(');
    let holds = decide(inner, lookup, told);
    told.push(')');
    holds
}

fn tell(told: &mut String, words: &str) {
    if told.len() < EXPLANATION_CHARS.saturating_mul(4) {
        told.push_str(words);
    }
}

/// The value of an operand, written down as `name = value` or as the literal.
fn operand<'v>(operand: &'v Operand, lookup: Lookup<'_>, told: &mut String) -> Cow<'v, Value> {
    match operand {
        Operand::Literal(value) => {
            tell(told, &shown(value));
            Cow::Borrowed(value)
        }
        Operand::Name(name) => {
            let value = lookup(name).unwrap_or(Value::Null);
            tell(told, &format!("{} = {}", PlainName(name), shown(&value)));
            Cow::Owned(value)
        }
    }
}

/// A value as explanations show it: texts in quotation marks, everything cut and without control characters.
fn shown(value: &Value) -> String {
    let mark = if value.is_string() { "\"" } else { "" };
    let quoted = quote(&as_text(value));
    let bare = quoted.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or(&quoted);
    let mut shown = String::from(mark);
    shown.push_str(bare);
    shown.push_str(mark);
    shown
}

fn compare(left: &Value, comparison: Comparison, right: &Value, with_null: bool) -> bool {
    if left.is_null() || right.is_null() {
        let both = left.is_null() && right.is_null();
        return match comparison {
            Comparison::Equal => with_null && both,
            Comparison::NotEqual => with_null && !both,
            Comparison::Less
            | Comparison::LessOrEqual
            | Comparison::Greater
            | Comparison::GreaterOrEqual
            | Comparison::Contains
            | Comparison::StartsWith
            | Comparison::EndsWith => false,
            Comparison::In => left.is_null() && right.as_array().is_some_and(|items| items.contains(&Value::Null)),
        };
    }
    let ordered = |wanted: fn(Ordering) -> bool| order(left, right).is_some_and(wanted);
    match comparison {
        Comparison::Equal => is_equal(left, right),
        Comparison::NotEqual => !is_equal(left, right),
        Comparison::Less => ordered(Ordering::is_lt),
        Comparison::LessOrEqual => ordered(Ordering::is_le),
        Comparison::Greater => ordered(Ordering::is_gt),
        Comparison::GreaterOrEqual => ordered(Ordering::is_ge),
        Comparison::Contains => match left {
            Value::Array(items) => items.iter().any(|item| is_equal(item, right)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                as_text(left).contains(&*as_text(right))
            }
        },
        Comparison::StartsWith => as_text(left).starts_with(&*as_text(right)),
        Comparison::EndsWith => as_text(left).ends_with(&*as_text(right)),
        Comparison::In => right.as_array().is_some_and(|items| items.iter().any(|item| is_equal(left, item))),
    }
}

fn is_equal(left: &Value, right: &Value) -> bool {
    if left.is_null() || right.is_null() {
        return left.is_null() && right.is_null();
    }
    if left.is_boolean() || right.is_boolean() {
        let (left, right) = (as_boolean(left), as_boolean(right));
        return left.is_some() && left == right;
    }
    order(left, right) == Some(Ordering::Equal)
}

/// The order of two values; none for booleans, which have none.
fn order(left: &Value, right: &Value) -> Option<Ordering> {
    if left.is_boolean() || right.is_boolean() {
        return None;
    }
    match (as_number(left), as_number(right)) {
        (Some(Numeric::Whole(left)), Some(Numeric::Whole(right))) => Some(left.cmp(&right)),
        (Some(left), Some(right)) => left.approximate().partial_cmp(&right.approximate()),
        _ => Some(as_text(left).cmp(&as_text(right))),
    }
}

/// A number; whole ones are compared exactly.
#[derive(Clone, Copy)]
enum Numeric {
    Whole(i128),
    Real(f64),
}

impl Numeric {
    #[expect(clippy::cast_precision_loss, reason = "compared with a double, a whole number is one too")]
    const fn approximate(self) -> f64 {
        match self {
            Self::Whole(number) => number as f64,
            Self::Real(number) => number,
        }
    }
}

/// A number, or a text that is one, blanks around it disregarded as they stand around what commands print.
fn as_number(value: &Value) -> Option<Numeric> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => {
            let text = text.trim();
            // Words that the parser of doubles takes for numbers ("inf", "NaN") are texts here.
            let plain =
                text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
            if !plain || !text.contains(|letter: char| letter.is_ascii_digit()) {
                return None;
            }
            String::from(text)
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    if let Ok(number) = text.parse::<i128>() {
        return Some(Numeric::Whole(number));
    }
    text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Numeric::Real)
}

/// A boolean, a text that is one, or a number: 0 is false, any other true.
fn as_boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.trim().eq_ignore_ascii_case("false") => Some(false),
        Value::Number(number) => Some(number.as_f64() != Some(0.0)),
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A text as it is, anything else as compact JSON.
fn as_text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            let mut text = String::new();
            match write!(text, "{value}") {
                Ok(()) => Cow::Owned(text),
                Err(fmt) => Cow::Owned(format!("({fmt})")),
            }
        }
    }
}
