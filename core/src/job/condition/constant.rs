//! What is known of a condition before any value is: the names it asks for, and whether it can hold at all.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::Value;

use super::evaluate::evaluate;
use super::{Comparison, Condition, Expression, Operand};

impl Condition {
    /// The names it looks up, each once.
    pub fn names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        collect(&self.root, &mut names);
        names
    }

    /// Its value where that is the same in every context; a contradiction such as `a == 1 && a == 2` is never true.
    pub fn constant(&self) -> Option<bool> {
        constant(&self.root)
    }
}

fn collect(expression: &Expression, names: &mut BTreeSet<String>) {
    let mut operand = |operand: &Operand| {
        if let Operand::Name(name) = operand {
            names.insert(name.to_string());
        }
    };
    match expression {
        Expression::Or(parts) | Expression::And(parts) => parts.iter().for_each(|part| collect(part, names)),
        Expression::Not(inner) => collect(inner, names),
        Expression::Compare(left, _, right) => {
            operand(left);
            operand(right);
        }
        Expression::Matches(left, _) => operand(left),
        Expression::Exists(name) => {
            names.insert(name.to_string());
        }
        Expression::Truth(truth) => operand(truth),
    }
}

fn constant(expression: &Expression) -> Option<bool> {
    match expression {
        Expression::Or(parts) => {
            let known: Vec<Option<bool>> = parts.iter().map(constant).collect();
            if known.contains(&Some(true)) {
                return Some(true);
            }
            known.iter().all(|part| *part == Some(false)).then_some(false)
        }
        Expression::And(parts) => {
            let known: Vec<Option<bool>> = parts.iter().map(constant).collect();
            if known.contains(&Some(false)) || contradicts(parts) {
                return Some(false);
            }
            known.iter().all(|part| *part == Some(true)).then_some(true)
        }
        Expression::Not(inner) => constant(inner).map(|holds| !holds),
        Expression::Exists(_) => None,
        Expression::Compare(..) | Expression::Matches(..) | Expression::Truth(_) => {
            let mut names = BTreeSet::new();
            collect(expression, &mut names);
            names.is_empty().then(|| evaluate(expression, &|_| None).holds)
        }
    }
}

/// Whether one name would have to equal two different values, both texts or both numbers.
fn contradicts(parts: &[Expression]) -> bool {
    let equals: Vec<(&String, &Value)> = parts
        .iter()
        .filter_map(|part| match part {
            Expression::Compare(Operand::Name(name), Comparison::Equal, Operand::Literal(value))
            | Expression::Compare(Operand::Literal(value), Comparison::Equal, Operand::Name(name)) => {
                Some((name, value))
            }
            Expression::Compare(..)
            | Expression::Or(_)
            | Expression::And(_)
            | Expression::Not(_)
            | Expression::Matches(..)
            | Expression::Exists(_)
            | Expression::Truth(_) => None,
        })
        .collect();
    let differ = |left: &Value, right: &Value| match (left, right) {
        // "1" and "1.0" are the same number, so texts that are numbers do not count.
        (Value::String(left), Value::String(right)) => left != right && left.parse::<f64>().is_err(),
        (Value::Number(left), Value::Number(right)) => left.as_f64() != right.as_f64(),
        _ => false,
    };
    equals.iter().enumerate().any(|(index, (name, value))| {
        equals.iter().skip(index).any(|(other, second)| name.eq_ignore_ascii_case(other) && differ(value, second))
    })
}
