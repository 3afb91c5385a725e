//! Tokens, literal braces, and the JSON texts that must come through unharmed.

use std::borrow::Cow;
use std::string::{String, ToString};
use std::vec::Vec;

use serde_json::{Value, json};

use super::{TooLong, is_token_name, substitute};
use crate::limits::SUBSTITUTED_BYTES;

fn value(name: &str) -> Option<Cow<'static, Value>> {
    Some(Cow::Owned(match name {
        "Name" => json!("alice"),
        "run-scanner.ExitCode" => json!(0),
        "Deep" => json!({"a": [1, true]}),
        "Nothing" => Value::Null,
        "Tricky" => json!("{Name}}}{{"),
        _ => return None,
    }))
}

#[track_caller]
fn check(template: &str, text: &str, unknown: &[&str]) {
    let found = substitute(template, &value).unwrap();
    assert_eq!(
        (found.text.as_str(), found.unknown),
        (text, unknown.iter().map(ToString::to_string).collect::<Vec<String>>())
    );
}

#[test]
fn tokens() {
    check("", "", &[]);
    check("--user={Name} {Name}", "--user=alice alice", &[]);
    check("{run-scanner.ExitCode}", "0", &[]);
    check("{Deep}|{Nothing}", r#"{"a":[1,true]}|null"#, &[]);
    check("{Unknown} {Other} {Unknown}", "{Unknown} {Other} {Unknown}", &["Unknown", "Other"]);
    check("{Tricky}", "{Name}}}{{", &[]);
}

#[test]
fn literal_braces() {
    check("{{Name}}", "{Name}", &[]);
    check("{{{Name}}}", "{alice}", &[]);
    check("}} { {} {", "} { {} {", &[]);
    check("{ Name } {Na me} {.a} {a.} {a..b}", "{ Name } {Na me} {.a} {a.} {a..b}", &[]);
    check("a{3} b{2,} [0-9]{1,3}", "a{3} b{2,} [0-9]{1,3}", &[]);
    check("{Name", "{Name", &[]);
    check("{é}", "{é}", &["é"]);
}

#[test]
fn json_comes_through() {
    for text in [r#"{"a":{"b":1}}"#, r#"{"a":{}}"#, r#"[{"a":[{"b":{}}]}]"#, r#"{"a":{"b":{"c":"x"}}}"#, "{}"] {
        check(text, text, &[]);
    }
    check(r#"{"a":{"b":"{Name}"}}"#, r#"{"a":{"b":"alice"}}"#, &[]);
    check(r#"{"a":{"b":{Deep}}}"#, r#"{"a":{"b":{"a":[1,true]}}}"#, &[]);
    check(r#"{{"a":{{"b":1}}}}"#, r#"{"a":{"b":1}}"#, &[]);
}

#[test]
fn size_is_bounded() {
    let long = "x".repeat(SUBSTITUTED_BYTES);
    assert_eq!(substitute(&long, &value).map(|done| done.text.len()), Ok(SUBSTITUTED_BYTES));
    assert_eq!(substitute(&(long + "x"), &value), Err(TooLong));
    let huge = |_: &str| Some(Cow::Owned(json!("y".repeat(SUBSTITUTED_BYTES / 2 + 1))));
    assert_eq!(substitute("{a}{b}", &huge), Err(TooLong));
    // Would take minutes if every brace were followed to the end of the text.
    assert_eq!(substitute(&"{a".repeat(1 << 19), &value), Err(TooLong));
}

#[test]
fn names_of_tokens() {
    for (name, expect) in [
        ("Name", true),
        ("a.0.b", true),
        ("1st", true),
        ("_", true),
        ("12", false),
        ("12.a", false),
        ("a b", false),
        ("", false),
        ("a.", false),
    ] {
        assert_eq!(is_token_name(name), expect, "{name}");
    }
    assert!(is_token_name(&"é".repeat(256)));
    assert!(!is_token_name(&"a".repeat(257)));
}
