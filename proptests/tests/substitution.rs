//! Laws of substitution: pieces put together give what each piece gives alone, and JSON texts come through unharmed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use std::borrow::Cow;

use castellan_core::job::substitution::{is_token_name, substitute};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

fn context(name: &str) -> Option<Cow<'static, Value>> {
    Some(Cow::Owned(match name {
        "Name" => json!("al{ic}e}}{{Name}"),
        "task-1.ExitCode" => json!(7),
        "Deep" => json!({"a": {"b": []}}),
        _ => return None,
    }))
}

/// A piece of a template and what becomes of it.
fn piece() -> impl Strategy<Value = (String, String)> {
    let same = |text: String| (text.clone(), text);
    let fixed = |piece: &str, becomes: &str| Just((piece.to_string(), becomes.to_string()));
    let leaf = prop_oneof!["[^{}\\p{Cc}]{0,5}".prop_map(Value::String), any::<u8>().prop_map(|number| json!(number)),];
    let document = leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::Array),
            btree_map("[a-z ]{0,3}", inner, 0..3).prop_map(|members| members.into_iter().collect::<Value>()),
        ]
    });
    prop_oneof![
        "[^{}]{0,8}".prop_map(same),
        fixed("{{", "{"),
        fixed("}}", "}"),
        fixed("{Name}", "al{ic}e}}{{Name}"),
        fixed("{task-1.ExitCode}", "7"),
        fixed("{Deep}", r#"{"a":{"b":[]}}"#),
        fixed("{Unknown.x}", "{Unknown.x}"),
        document.prop_map(move |value| same(value.to_string())),
    ]
}

proptest! {
    #[test]
    fn pieces_are_independent(pieces in vec(piece(), 0..12)) {
        let template: String = pieces.iter().map(|(piece, _)| piece.as_str()).collect();
        let expect: String = pieces.iter().map(|(_, becomes)| becomes.as_str()).collect();
        let found = substitute(&template, &context).unwrap();
        prop_assert_eq!(&found.text, &expect, "{}", template);
        let unknown = pieces.iter().any(|(piece, _)| piece == "{Unknown.x}");
        prop_assert_eq!(found.unknown, if unknown { vec![String::from("Unknown.x")] } else { Vec::new() });
    }

    #[test]
    fn any_text(template in "[{}a.b3 \"]{0,40}") {
        let found = substitute(&template, &|_| None).unwrap();
        prop_assert!(found.text.len() <= template.len());
        prop_assert!(found.unknown.iter().all(|name| is_token_name(name)));
        if !template.contains(['{', '}']) {
            prop_assert_eq!(found.text, template);
        }
    }
}
