//! The structured form: `{"operator":"And|Or|Not","expressions":[…]}` around `{"type":…,"key":…,"value":…}`.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::Value;

use super::keys::{EXPRESSION, LEAF, OPERATOR};
use super::{Comparison, Expression, Operand, joined, parse as expression};
use crate::job::finding::quote;
use crate::json::read::hint;
use crate::json::{Json, pointer_to};
use crate::limits::{CONDITION_DEPTH, LIST_ENTRIES};
use crate::regular::Regular;

type Parsed<T> = Result<T, (String, String)>;

fn fail<T>(member: &str, message: impl Into<String>) -> Parsed<T> {
    let pointer = if member.is_empty() { String::new() } else { pointer_to("", member) };
    Err((pointer, message.into()))
}

/// Parses the condition that stands `depth` levels deep, 1 for the root.
pub(super) fn parse(json: &Json, depth: usize) -> Parsed<Expression> {
    if depth > CONDITION_DEPTH {
        return fail("", format!("conditions are nested more than {CONDITION_DEPTH} deep."));
    }
    match json {
        Json::String(text) => from_text(text, depth, ""),
        Json::Object(members) => object(json, members, depth),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) => fail(
            "",
            format!(
                "this is {}; a condition is a text or an object with 'expression', 'operator' or 'type'.",
                json.kind()
            ),
        ),
    }
}

fn from_text(text: &str, depth: usize, member: &str) -> Parsed<Expression> {
    expression::parse(text, depth.saturating_sub(1)).or_else(|error| fail(member, error.to_string()))
}

fn object(json: &Json, members: &[(String, Json)], depth: usize) -> Parsed<Expression> {
    let form = ["expression", "operator", "type"].into_iter().filter(|name| json.lookup(&[name]).is_some());
    let table = match form.collect::<Vec<_>>().as_slice() {
        ["expression"] => &EXPRESSION,
        ["operator"] => &OPERATOR,
        ["type"] => &LEAF,
        [] => return fail("", "a condition has a member 'expression', 'operator' or 'type'."),
        several => return fail("", format!("'{}' exclude one another.", several.join("' and '"))),
    };
    // Elsewhere an unknown key is harmless; here, ignored, it would change what the condition says.
    if let Some((name, _)) = members.iter().find(|(name, _)| table.key(name).is_none()) {
        let hint = hint(name, &table.names());
        return fail(name, format!("{} is not known in this form of a condition{hint}.", quote(name)));
    }
    if let Some(text) = json.lookup(&["expression"]) {
        return match text {
            Json::String(text) => from_text(text, depth, "expression"),
            other @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_)) => {
                fail("expression", format!("this is {}; it must be a text.", other.kind()))
            }
        };
    }
    if json.lookup(&["operator"]).is_some() { operator(json, depth) } else { leaf(json) }
}

fn text<'j>(json: &'j Json, member: &str) -> Parsed<&'j str> {
    match json.lookup(&[member]) {
        Some(Json::String(text)) => Ok(text),
        Some(other) => fail(member, format!("this is {}; it must be a text.", other.kind())),
        None => fail("", format!("'{member}' is missing.")),
    }
}

/// What joins conditions.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operator {
    And,
    Or,
    Not,
}

pub(super) const OPERATORS: [(&str, Operator); 3] =
    [("And", Operator::And), ("Or", Operator::Or), ("Not", Operator::Not)];

fn operator(json: &Json, depth: usize) -> Parsed<Expression> {
    let name = text(json, "operator")?;
    let Some(Json::Array(items)) = json.lookup(&["expressions"]) else {
        return fail("expressions", "an operator needs an array 'expressions'.");
    };
    if items.is_empty() || items.len() > LIST_ENTRIES {
        return fail(
            "expressions",
            format!("there must be 1 to {LIST_ENTRIES} expressions; here are {}.", items.len()),
        );
    }
    let below = |(index, item): (usize, &Json)| {
        let parsed = parse(item, depth.saturating_add(1));
        parsed.map_err(|(pointer, message)| (format!("/expressions/{index}{pointer}"), message))
    };
    let parts = items.iter().enumerate().map(below).collect::<Parsed<Vec<_>>>()?;
    let joined = match OPERATORS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        Some((_, Operator::And)) => joined(parts, Expression::And),
        Some((_, Operator::Or)) => joined(parts, Expression::Or),
        Some((_, Operator::Not)) if parts.len() > 1 => {
            return fail("expressions", "'Not' takes exactly one expression; join several with 'And' or 'Or'.");
        }
        Some((_, Operator::Not)) => joined(parts, Expression::And).map(|part| Expression::Not(Box::new(part))),
        None => return fail("operator", format!("{} is unknown; it must be And, Or or Not.", quote(name))),
    };
    joined.map_or_else(|| fail("expressions", "there is no expression."), Ok)
}

/// The type of a leaf that searches for a regular expression.
pub(super) const MATCHES: &str = "Matches";
/// The type of a leaf that asks whether there is a value.
pub(super) const EXISTS: &str = "Exists";
/// The types of a leaf that compare two values.
pub(super) const COMPARISONS: [(&str, Comparison); 8] = [
    ("Equals", Comparison::Equal),
    ("NotEquals", Comparison::NotEqual),
    ("Contains", Comparison::Contains),
    ("StartsWith", Comparison::StartsWith),
    ("EndsWith", Comparison::EndsWith),
    ("GreaterThan", Comparison::Greater),
    ("LessThan", Comparison::Less),
    ("In", Comparison::In),
];

fn leaf(json: &Json) -> Parsed<Expression> {
    let kind = text(json, "type")?;
    let key = text(json, "key")?;
    if key.is_empty() || key.contains(|letter: char| letter.is_control() || matches!(letter, '{' | '}')) {
        return fail("key", "a key is a name without braces and control characters.");
    }
    let value = json.lookup(&["value"]);
    if kind.eq_ignore_ascii_case(EXISTS) {
        let exists = Expression::Exists(key.to_string());
        return match value {
            None | Some(Json::Null | Json::Bool(true)) => Ok(exists),
            Some(Json::Bool(false)) => Ok(Expression::Not(Box::new(exists))),
            Some(other) => {
                fail("value", format!("this is {}; for 'Exists' it must be true, false or left out.", other.kind()))
            }
        };
    }
    let Some(value) = value else { return fail("", format!("'value' is missing; {} compares with it.", quote(kind))) };
    let left = Operand::Name(key.to_string());
    if kind.eq_ignore_ascii_case(MATCHES) {
        let Some(source) = value.as_str() else {
            return fail("value", format!("this is {}; for 'Matches' it must be a regular expression.", value.kind()));
        };
        return Regular::compile(source)
            .map(|pattern| Expression::Matches(left, pattern))
            .or_else(|message| fail("value", message));
    }
    let Some((_, comparison)) = COMPARISONS.iter().find(|(name, _)| name.eq_ignore_ascii_case(kind)) else {
        let names: Vec<&str> = COMPARISONS.iter().map(|(name, _)| *name).collect();
        return fail(
            "type",
            format!("{} is unknown; it must be one of {}, Matches, Exists.", quote(kind), names.join(", ")),
        );
    };
    let right = literal(value)?;
    if *comparison == Comparison::In && !right.is_array() {
        return fail("value", format!("this is {}; for 'In' it must be an array.", value.kind()));
    }
    Ok(Expression::Compare(left, *comparison, Operand::Literal(right)))
}

fn literal(value: &Json) -> Parsed<Value> {
    let nested = |item: &Json| matches!(item, Json::Array(_) | Json::Object(_));
    match value {
        Json::Object(_) => fail("value", "a value is a text, a number, true, false, null or an array of those."),
        Json::Array(items) if items.iter().any(nested) => {
            fail("value", "the array may hold texts, numbers, true, false and null only.")
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => Ok(value.to_value()),
    }
}
