//! Laws of conditions: printed, they parse to themselves; they are worth what a naive model says; no text makes them panic.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use std::borrow::Cow;

use castellan_core::job::condition::Condition;
use castellan_core::json::Json;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

/// A condition over four numbers, two booleans and a name that nobody knows.
#[derive(Debug, Clone)]
enum Model {
    Compare(usize, &'static str, i64),
    Flag(usize),
    Exists(bool),
    Not(Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
}

const NUMBERS: [i64; 4] = [-3, 0, 3, 70];
const FLAGS: [bool; 2] = [true, false];

fn context(name: &str) -> Option<Cow<'static, Value>> {
    let index = |prefix: &str| name.strip_prefix(prefix)?.parse::<usize>().ok();
    let number = index("number-").and_then(|index| NUMBERS.get(index)).map(|number| json!(number));
    let value = number.or_else(|| index("Flag.").and_then(|index| FLAGS.get(index)).map(|flag| json!(flag)));
    value.map(Cow::Owned)
}

impl Model {
    fn holds(&self) -> bool {
        match self {
            Self::Compare(index, operator, right) => {
                let left = NUMBERS[*index];
                match *operator {
                    "==" => left == *right,
                    "!=" => left != *right,
                    "<" => left < *right,
                    "<=" => left <= *right,
                    ">" => left > *right,
                    _ => left >= *right,
                }
            }
            Self::Flag(index) => FLAGS[*index],
            Self::Exists(known) => *known,
            Self::Not(inner) => !inner.holds(),
            Self::And(parts) => parts.iter().all(Self::holds),
            Self::Or(parts) => parts.iter().any(Self::holds),
        }
    }

    /// As text, every group in parentheses.
    fn text(&self) -> String {
        let join = |parts: &[Self], between: &str| {
            let texts: Vec<String> = parts.iter().map(|part| format!("({})", part.text())).collect();
            texts.join(between)
        };
        match self {
            Self::Compare(index, operator, right) => format!("number-{index} {operator} {right}"),
            Self::Flag(index) => format!("Flag.{index}"),
            Self::Exists(known) => format!("exists({})", if *known { "number-0" } else { "Missing" }),
            Self::Not(inner) => format!("!({})", inner.text()),
            Self::And(parts) => join(parts, " && "),
            Self::Or(parts) => join(parts, "||"),
        }
    }

    /// In the structured form, as far as that has the operators.
    fn structured(&self) -> Value {
        let all = |parts: &[Self]| parts.iter().map(Self::structured).collect::<Vec<_>>();
        match self {
            Self::Compare(index, operator, right) => {
                let kind = match *operator {
                    "==" => "Equals",
                    "!=" => "NotEquals",
                    "<" => "LessThan",
                    ">" => "GreaterThan",
                    _ => return json!({"expression": self.text()}),
                };
                json!({"type": kind, "key": format!("number-{index}"), "value": right})
            }
            Self::Flag(_) => json!(self.text()),
            Self::Exists(known) => json!({"type": "Exists", "key": if *known { "number-0" } else { "Missing" }}),
            Self::Not(inner) => json!({"operator": "Not", "expressions": [inner.structured()]}),
            Self::And(parts) => json!({"operator": "And", "expressions": all(parts)}),
            Self::Or(parts) => json!({"operator": "Or", "expressions": all(parts)}),
        }
    }
}

fn model() -> impl Strategy<Value = Model> {
    let operators = proptest::sample::select(&["==", "!=", "<", "<=", ">", ">="][..]);
    let leaf = prop_oneof![
        (0..NUMBERS.len(), operators, -4..5_i64)
            .prop_map(|(index, operator, right)| Model::Compare(index, operator, right)),
        (0..FLAGS.len()).prop_map(Model::Flag),
        any::<bool>().prop_map(Model::Exists),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|model| Model::Not(Box::new(model))),
            vec(inner.clone(), 1..4).prop_map(Model::And),
            vec(inner, 1..4).prop_map(Model::Or),
        ]
    })
}

/// Words of the grammar in any order.
fn soup() -> impl Strategy<Value = String> {
    let words = [
        "a",
        "b.c",
        "run-x.ExitCode",
        "{odd name}",
        "'text'",
        "\"te\\u0041xt\\n\"",
        "5",
        "-1.5e3",
        "true",
        "null",
        "[1, 'x']",
        "[]",
        "==",
        "!=",
        "<",
        "<=",
        ">",
        ">=",
        "&&",
        "||",
        "!",
        "(",
        ")",
        "contains",
        "startsWith",
        "endsWith",
        "matches",
        "in",
        "exists",
        "'^a+$'",
    ];
    vec(proptest::sample::select(words.to_vec()), 1..12).prop_map(|words| words.join(" "))
}

/// A text that parses is printed to a text that parses to the same; evaluation never panics and is the same for both.
fn parses(text: &str) -> bool {
    let Ok(condition) = Condition::parse_expression(text) else { return false };
    let printed = condition.to_string();
    let again =
        Condition::parse_expression(&printed).unwrap_or_else(|error| panic!("{text:?} printed {printed:?}: {error}"));
    assert_eq!(condition, again, "{text:?} printed {printed:?}");
    assert_eq!(condition.evaluate(&context), again.evaluate(&context));
    true
}

proptest! {
    #[test]
    fn worth_what_the_model_says(model in model()) {
        let condition = Condition::parse_expression(&model.text()).unwrap();
        prop_assert_eq!(condition.evaluate(&context).holds, model.holds());
        prop_assert!(parses(&model.text()));
    }

    #[test]
    fn both_forms_are_worth_the_same(model in model()) {
        let json = Json::parse(model.structured().to_string().as_bytes()).unwrap();
        let condition = Condition::from_json(&json).unwrap();
        prop_assert_eq!(condition.evaluate(&context).holds, model.holds());
        prop_assert_eq!(Condition::parse_expression(&condition.to_string()), Ok(condition));
    }

    #[test]
    fn word_soup(text in soup()) {
        parses(&text);
    }

    #[test]
    fn any_text(text in any::<String>()) {
        parses(&text);
    }

    #[test]
    fn any_literal_and_name(
        name in "[^{}\\p{Cc}]{1,10}",
        text in any::<String>(),
        number in any::<f64>().prop_filter("finite", |number| number.is_finite()),
    ) {
        for value in [json!(text), json!(number), json!([text, number, null])] {
            let json = json!({"type": "NotEquals", "key": name, "value": value});
            let condition = Condition::from_json(&Json::parse(json.to_string().as_bytes()).unwrap()).unwrap();
            prop_assert_eq!(Condition::parse_expression(&condition.to_string()), Ok(condition));
        }
    }
}
