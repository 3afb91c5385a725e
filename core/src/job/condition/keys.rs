//! The keys of a condition's forms. Here an unknown key is an error: ignored, it would change what the condition says.

use super::structured::{COMPARISONS, EXISTS, MATCHES, OPERATORS};
use crate::limits::LIST_ENTRIES;
use crate::shape::{Key, Named, Names, Object, Others, Rule, Shape, Text};
use alloc::vec::Vec;

/// A condition in all its forms.
pub(crate) static CONDITION: Named = Named {
    name: "condition",
    doc: "A text such as RiskLevel > 50 && !HasDesktop (operators == != < <= > >= && || ! contains startsWith endsWith matches in exists), or one of the object forms. What cannot be parsed is an error, never true.",
    shape: Shape::AnyOf(&[TEXT, Shape::Object(&EXPRESSION), Shape::Object(&OPERATOR), Shape::Object(&LEAF)]),
};

const TEXT: Shape = Shape::Text(Text { length: (1, usize::MAX), ..Text::ANY.such_as("findings > 0") });
const DESCRIPTION: Key = Key::new("description", Shape::Any, "What it means, for people.");

pub(crate) static EXPRESSION: Object = Object {
    name: "conditionExpression",
    doc: "A condition as text.",
    keys: &[Key::required("expression", TEXT, "The condition."), DESCRIPTION],
    rules: &[],
    others: Others::Refused,
};

pub(crate) static OPERATOR: Object = Object {
    name: "conditionOperator",
    doc: "Several conditions joined, or one negated.",
    keys: &[
        Key::required("operator", Shape::Choice(&OPERATORS), "Not takes exactly one expression."),
        Key::required("expressions", Shape::List(&Shape::Named(&CONDITION), (1, LIST_ENTRIES)), "What is joined."),
        DESCRIPTION,
    ],
    rules: &[],
    others: Others::Refused,
};

pub(crate) static LEAF: Object = Object {
    name: "conditionLeaf",
    doc: "A value of the run, held against a value.",
    keys: &[
        Key::required("type", Shape::Choice(&LEAF_TYPES), "How they are compared."),
        Key::required(
            "key",
            Shape::Text(Text { length: (1, usize::MAX), ..Text::like(r"^[^{}\u0000-\u001f\u007f-\u009f]+$") }),
            "The name of a value, dotted; read without regard to case.",
        ),
        Key::new(
            "value",
            Shape::AnyOf(&[
                Shape::Scalar,
                Shape::Null,
                Shape::List(&Shape::AnyOf(&[Shape::Scalar, Shape::Null]), (0, usize::MAX)),
            ]),
            "What it is held against: an array for In, a regular expression for Matches, true, false or nothing for Exists.",
        )
        .never_null(),
        DESCRIPTION,
    ],
    rules: &[Rule::Where("type", EXISTS, &[], &["value"])],
    others: Others::Refused,
};

/// All types of a leaf.
#[derive(Debug)]
struct LeafTypes;

static LEAF_TYPES: LeafTypes = LeafTypes;

impl Names for LeafTypes {
    fn names(&self) -> Vec<&'static str> {
        COMPARISONS.names().into_iter().chain([MATCHES, EXISTS]).collect()
    }
}
