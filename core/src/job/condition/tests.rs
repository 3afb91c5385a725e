//! The grammar, what conditions are worth, and the texts that are no conditions.

use std::borrow::Cow;
use std::format;
use std::string::{String, ToString};

use serde_json::{Value, json};

use super::Condition;
use crate::json::Json;

fn context(name: &str) -> Option<Cow<'static, Value>> {
    Some(Cow::Owned(match name {
        "RiskLevel" => json!(70),
        "Small" => json!("7"),
        "Big" => json!("10"),
        "Exact" => json!(9_007_199_254_740_993_u64),
        "UserName" => json!("bob"),
        "HasDesktop" => json!(false),
        "Enabled" => json!("True"),
        "Roles" => json!(["admin", "dev", 3]),
        "Empty" => json!(""),
        "Nothing" => Value::Null,
        "run-scanner.ExitCode" => json!(0),
        "Odd Name" => json!("odd"),
        "Output" => json!("42\n"),
        _ => return None,
    }))
}

/// The value of an expression; its printed form must be the same condition.
#[track_caller]
fn check(expression: &str, expect: bool) {
    let condition = Condition::parse_expression(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
    let evaluation = condition.evaluate(&context);
    assert_eq!(evaluation.holds, expect, "{expression}: {}", evaluation.explanation);
    let printed = condition.to_string();
    assert_eq!(Condition::parse_expression(&printed), Ok(condition), "{printed}");
}

#[track_caller]
fn refused(expression: &str, column: usize, part: &str) {
    let error = Condition::parse_expression(expression).unwrap_err();
    assert!(error.message.contains(part), "{expression}: {:?} lacks {part:?}", error.message);
    assert_eq!(error.column, column, "{expression}: {error}");
}

#[test]
fn numbers_booleans_and_texts() {
    for (expression, expect) in [
        ("RiskLevel > 50 && (UserName == \"alice\" || !HasDesktop)", true),
        ("RiskLevel > 50 && (UserName == \"alice\" || HasDesktop)", false),
        ("RiskLevel >= 70 && RiskLevel <= 70.0 && RiskLevel != 71", true),
        ("Small < Big", true),
        ("Small < 10 && \"07\" == Small", true),
        ("Exact == 9007199254740993 && Exact != 9007199254740992", true),
        ("UserName < \"carol\"", true),
        ("UserName == 'Bob'", false),
        ("Output == 42", true),
        ("\"NaN\" == \"nan\"", false),
        ("\"inf\" > 5", true),
        ("HasDesktop == \"FALSE\"", true),
        ("HasDesktop == 0", true),
        ("HasDesktop != \"no\"", true),
        ("HasDesktop < true", false),
        ("Enabled", true),
        ("!Enabled || false", false),
        ("UserName", false),
        ("run-scanner.ExitCode == 0", true),
        ("{run-scanner.ExitCode} == 0 && {Odd Name} == 'odd'", true),
    ] {
        check(expression, expect);
    }
}

#[test]
fn words() {
    for (expression, expect) in [
        ("UserName contains 'o' && UserName startsWith 'b' && UserName EndsWith 'b'", true),
        ("Roles contains 'admin' && Roles contains 3 && !(Roles contains 'adm')", true),
        ("UserName in ['alice', 'bob']", true),
        ("RiskLevel in [\"70\", null]", true),
        ("'dev' in Roles", true),
        ("UserName in []", false),
        ("UserName in Small", false),
        ("UserName matches '^b.b$' && UserName matches 'O' == false", false),
        ("UserName matches '(?i)^B' && Small matches '^\\\\d+$'", true),
    ] {
        match Condition::parse_expression(expression) {
            Ok(_) => check(expression, expect),
            // `a matches 'x' == false` compares twice, which no operator does.
            Err(error) => assert!(!expect && error.message.contains("too much"), "{expression}: {error}"),
        }
    }
}

#[test]
fn unknown_is_null() {
    for (expression, expect) in [
        ("exists UserName && UserName exists && exists(Empty)", true),
        ("exists Missing || exists Nothing || Missing.deeper exists", false),
        ("Missing == null && Nothing == null && null == Missing", true),
        ("UserName != null", true),
        ("Missing != null || UserName == null", false),
        ("Missing == 'x' || Missing != 'x' || Missing > 1 || Missing <= 1", false),
        ("Missing == Nothing || Missing != UserName || Missing == false", false),
        ("Missing contains '' || Missing startsWith '' || Missing matches ''", false),
        ("Missing || HasDesktop", false),
        ("!Missing", true),
        ("Missing in [null]", true),
        ("Missing in ['null', '']", false),
    ] {
        check(expression, expect);
    }
}

#[test]
fn precedence_and_depth() {
    check("true || false && false", true);
    check("(true || false) && false", false);
    check("!false && !!true && !(true && false)", true);
    let deep = |depth: usize| format!("{}true{}", "(".repeat(depth), ")".repeat(depth));
    check(&deep(32), true);
    refused(&deep(33), 33, "nested more than 32");
    refused(&"(".repeat(1_000_000), 33, "nested more than 32");
    refused(&"!".repeat(1_000_000), 33, "nested more than 32");
    assert!(Condition::parse_expression(&["true"; 10_000].join(" && ")).is_ok());
}

#[test]
fn what_is_no_condition() {
    refused("", 1, "expected a name or a value");
    refused("  ", 3, "expected a name or a value");
    refused("a = 1", 3, "write '=='");
    refused("a & b", 3, "write '&&'");
    refused("a | b", 3, "write '||'");
    refused("a and b", 3, "write &&, || or !");
    refused("a == ", 6, "expected a name or a value");
    refused("(a == 1", 8, "expected ')' for the '(' in column 1");
    refused("a == 1)", 7, "')' is too much here");
    refused("a == 'x", 6, "not closed");
    refused("a == \"\\q\"", 8, "unknown escape");
    refused("a == 1.2.3", 6, "is not a number");
    refused("a == -b", 6, "is not a number");
    refused("a == 1e999", 6, "is not a number");
    refused("'text'", 7, "no condition");
    refused("5", 2, "no condition");
    refused("null && a", 6, "no condition");
    refused("a in 'x'", 6, "followed by a list");
    refused("a in [b]", 7, "a list holds");
    refused("a in [1 2]", 9, "expected ',' or ']'");
    refused("a matches b", 11, "regular expression in quotation marks");
    refused("a matches '('", 11, "no regular expression: unclosed group");
    refused("a matches '\\\\w{1000}{1000}'", 11, "too large");
    refused("exists 'x'", 8, "followed by a name");
    refused("{}", 1, "no name");
    refused("{a", 1, "not closed");
    refused("a == 1 § b", 8, "has no meaning");
    refused("ä == 1 ; b", 8, "has no meaning");
}

#[test]
fn explanations_show_the_values() {
    let explain = |text: &str| Condition::parse_expression(text).unwrap().evaluate(&context).explanation;
    assert_eq!(explain("findings > 0"), "findings = null > 0");
    assert_eq!(explain("RiskLevel > 50"), "RiskLevel = 70 > 50");
    assert_eq!(
        explain("RiskLevel > 50 && (UserName == \"alice\" || !HasDesktop)"),
        "RiskLevel = 70 > 50 && (UserName = \"bob\" == \"alice\" || !(HasDesktop = false))"
    );
    assert_eq!(explain("exists UserName"), "exists UserName = \"bob\"");
    assert_eq!(explain("Output matches '^4'"), "Output = \"42\\n\" matches '^4'");
    let long = |_: &str| Some(Cow::Owned(json!("x".repeat(300_000))));
    let many = ["a == b"; 1000].join(" || ");
    assert!(Condition::parse_expression(&many).unwrap().evaluate(&long).explanation.chars().count() <= 2001);
    let matched = Condition::parse_expression("a matches 'x'").unwrap().evaluate(&long);
    assert!(!matched.holds && matched.explanation.contains("not tried"), "{matched:?}");
    let mail = |_: &str| Some(Cow::Owned(json!("alice.b@example.com")));
    assert!(Condition::parse_expression(r"a matches '^[\\w.+-]+@[\\w-]+\\.\\w+$'").unwrap().evaluate(&mail).holds);
}

/// The printed condition, or pointer and part of the message.
#[track_caller]
fn structured(json: &str, expect: Result<&str, (&str, &str)>) {
    let found = Condition::from_json(&Json::parse(json.as_bytes()).unwrap());
    match (found, expect) {
        (Ok(condition), Ok(printed)) => {
            assert_eq!(condition.to_string(), printed);
            assert_eq!(Condition::parse_expression(printed), Ok(condition));
        }
        (Err((pointer, message)), Err((place, part))) => {
            assert_eq!(pointer, place, "{message}");
            assert!(message.contains(part), "{message:?} lacks {part:?}");
        }
        (found, _) => panic!("{json}: {found:?} instead of {expect:?}"),
    }
}

#[test]
fn structured_conditions() {
    structured(r#""findings > 0""#, Ok("findings > 0"));
    structured(r#"{"Expression":"findings > 0"}"#, Ok("findings > 0"));
    structured(r#"{"type":"equals","key":"A","value":"x\"y"}"#, Ok(r#"A == "x\"y""#));
    structured(r#"{"type":"In","key":"A b","value":[1,"2",null]}"#, Ok(r#"{A b} in [1, "2", null]"#));
    structured(r#"{"type":"Exists","key":"in"}"#, Ok("exists {in}"));
    structured(r#"{"type":"Exists","key":"A","value":false}"#, Ok("!(exists A)"));
    structured(r#"{"type":"Matches","key":"A","value":"^\\d$"}"#, Ok(r#"A matches "^\\d$""#));
    structured(
        r#"{"operator":"And","expressions":[{"type":"GreaterThan","key":"R","value":50},{"operator":"Or","expressions":["A",{"operator":"Not","expressions":[{"expression":"B && C"}]}]}]}"#,
        Ok("R > 50 && (A || !(B && C))"),
    );
    structured(r#"{"operator":"and","expressions":["A"]}"#, Ok("A"));
}

#[test]
fn structured_forms_that_are_none() {
    structured("5", Err(("", "this is a number")));
    structured("{}", Err(("", "has a member 'expression'")));
    structured(r#"{"expression":5}"#, Err(("/expression", "must be a text")));
    structured(r#"{"expression":"a ="}"#, Err(("/expression", "column 3")));
    structured(r#"{"expression":"a","type":"Exists"}"#, Err(("", "exclude one another")));
    structured(r#"{"expression":"a","negate":true}"#, Err(("/negate", "not known")));
    structured(r#"{"operator":"Xor","expressions":["a"]}"#, Err(("/operator", "And, Or or Not")));
    structured(r#"{"operator":"And","expressions":[]}"#, Err(("/expressions", "1 to 1000")));
    structured(r#"{"operator":"Not","expressions":["a","b"]}"#, Err(("/expressions", "exactly one")));
    structured(
        r#"{"operator":"And","expressions":["a",{"type":"Equals"}]}"#,
        Err(("/expressions/1", "'key' is missing")),
    );
    structured(r#"{"type":"Equals","key":"A"}"#, Err(("", "'value' is missing")));
    structured(r#"{"type":"Like","key":"A","value":1}"#, Err(("/type", "one of Equals")));
    structured(r#"{"type":"Equals","key":"a}b","value":1}"#, Err(("/key", "without braces")));
    structured(r#"{"type":"Equals","key":"A","value":{}}"#, Err(("/value", "a value is")));
    structured(r#"{"type":"In","key":"A","value":"x"}"#, Err(("/value", "must be an array")));
    structured(r#"{"type":"Matches","key":"A","value":"["}"#, Err(("/value", "no regular expression")));
    let mut deep = String::from("\"a\"");
    for _ in 0..15 {
        deep = format!("{{\"operator\":\"Not\",\"expressions\":[{deep}]}}");
    }
    assert!(Condition::from_json(&Json::parse(deep.as_bytes()).unwrap()).is_ok());
    let text = format!("{}a{}", "(".repeat(20), ")".repeat(20));
    let both = deep.replace("\"a\"", &format!("\"{text}\""));
    assert!(
        Condition::from_json(&Json::parse(both.as_bytes()).unwrap()).unwrap_err().1.contains("nested more than 32")
    );
}
