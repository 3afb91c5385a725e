//! What a condition is worth in a context: numbers where both sides are, booleans where either is, else text.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use core::cmp::Ordering;
use core::fmt::Write;

use serde_json::Value;

use super::print::is_plain_name;
use super::{Comparison, Evaluation, Expression, Operand};
use crate::job::Lookup;
use crate::job::finding::{quote, shorten};

/// Characters of an explanation; a condition of thousands of terms is not explained to its end.
const EXPLANATION_CHARS: usize = 2000;

pub(super) fn evaluate(expression: &Expression, lookup: Lookup<'_, '_>) -> Evaluation {
    let mut told = Told(String::with_capacity(EXPLANATION_ROOM));
    let holds = decide(expression, lookup, &mut told);
    Evaluation { holds, explanation: told.cut() }
}

/// The explanation as it is written, in one text: a condition of a few terms costs less than a microsecond with it.
struct Told(String);

/// Bytes that most explanations have at most.
const EXPLANATION_ROOM: usize = 256;

impl Told {
    /// Words of a term; a condition of thousands of terms tells its first ones.
    fn tell(&mut self, words: impl FnOnce(&mut String)) {
        if self.0.len() < EXPLANATION_CHARS.saturating_mul(4) {
            words(&mut self.0);
        }
    }

    fn sign(&mut self, sign: &str) {
        self.0.push_str(sign);
    }

    fn cut(self) -> String {
        let is_short = self.0.len() <= EXPLANATION_CHARS || self.0.chars().count() <= EXPLANATION_CHARS;
        if is_short { self.0 } else { self.0.chars().take(EXPLANATION_CHARS).chain(['…']).collect() }
    }
}

/// Decides and writes down every term, so that also the ones that did not matter are seen.
fn decide(expression: &Expression, lookup: Lookup<'_, '_>, told: &mut Told) -> bool {
    match expression {
        Expression::Or(parts) => chain(parts, " || ", lookup, told).0,
        Expression::And(parts) => chain(parts, " && ", lookup, told).1,
        Expression::Not(inner) => {
            told.sign("!");
            !grouped(inner, lookup, told)
        }
        Expression::Compare(left, comparison, right) => {
            let left_value = operand(left, lookup, told);
            told.tell(|text| text.extend([" ", comparison.symbol(), " "]));
            let right_value = operand(right, lookup, told);
            let with_null = [left, right].into_iter().any(|side| matches!(side, Operand::Literal(Value::Null)));
            compare(&left_value, *comparison, &right_value, with_null)
        }
        Expression::Matches(left, pattern) => {
            let value = operand(left, lookup, told);
            told.tell(|text| text.extend([" matches ", &quote(pattern.source())]));
            let text = as_text(&value);
            match pattern.is_in(&text) {
                Ok(is_in) => !value.is_null() && is_in,
                Err(longest) => {
                    let why = format!(" (not tried: the text is longer than {longest} bytes)");
                    told.tell(|text| text.push_str(&why));
                    false
                }
            }
        }
        Expression::Exists(name) => {
            told.tell(|text| text.push_str("exists "));
            !named(name, lookup, told).is_null()
        }
        Expression::Truth(truth) => as_boolean(&operand(truth, lookup, told)) == Some(true),
    }
}

/// Whether any and whether all of the parts hold; each part is looked at.
fn chain(parts: &[Expression], separator: &str, lookup: Lookup<'_, '_>, told: &mut Told) -> (bool, bool) {
    let (mut any, mut all) = (false, true);
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            told.sign(separator);
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

fn grouped(inner: &Expression, lookup: Lookup<'_, '_>, told: &mut Told) -> bool {
    told.sign("(");
    let holds = decide(inner, lookup, told);
    told.sign(")");
    holds
}

/// The value of an operand, written down as `name = value` or as the literal.
fn operand<'o, 'v: 'o>(operand: &'o Operand, lookup: Lookup<'_, 'v>, told: &mut Told) -> Cow<'o, Value> {
    match operand {
        Operand::Literal(value) => {
            told.tell(|text| show(value, text));
            Cow::Borrowed(value)
        }
        Operand::Name(name) => named(name, lookup, told),
    }
}

fn named<'v>(name: &str, lookup: Lookup<'_, 'v>, told: &mut Told) -> Cow<'v, Value> {
    let value = lookup(name).unwrap_or(Cow::Owned(Value::Null));
    told.tell(|text| {
        if is_plain_name(name) {
            text.push_str(name);
        } else {
            text.extend(["{", name, "}"]);
        }
        text.push_str(" = ");
        show(&value, text);
    });
    value
}

/// A value as explanations show it: texts in quotation marks, everything cut and without control characters.
fn show(value: &Value, text: &mut String) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::String(value) => {
            text.push('"');
            shorten(value, text);
            text.push('"');
        }
        Value::Number(_) | Value::Array(_) | Value::Object(_) => shorten(&as_text(value), text),
    }
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
        Value::Number(number) => {
            let whole = number.as_u64().map(i128::from).or_else(|| number.as_i64().map(i128::from));
            return whole.map(Numeric::Whole).or_else(|| number.as_f64().map(Numeric::Real));
        }
        Value::String(text) => text.trim(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    // Words that the parser of doubles takes for numbers ("inf", "NaN") are texts here.
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
    if !plain || !text.contains(|letter: char| letter.is_ascii_digit()) {
        return None;
    }
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
