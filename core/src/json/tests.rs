//! What is a document and what is not, and how objects are read.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::read::{Field, ObjectReader, nearest};
use super::{Json, Names};
use crate::job::finding::Report;
use crate::limits::{DOCUMENT_BYTES, JSON_DEPTH, LIST_ENTRIES};
use crate::shape::{Key, Object, Others, Shape};

/// `Ok` with the compact form, or part of the message that refuses the document.
#[track_caller]
fn check(document: &[u8], expect: Result<&str, &str>) {
    let found = Json::parse(document).map(|json| json.to_string()).map_err(|error| error.to_string());
    match (&found, expect) {
        (Ok(text), Ok(wanted)) => assert_eq!(text, wanted),
        (Err(message), Err(part)) => assert!(message.contains(part), "{message:?} lacks {part:?}"),
        _ => panic!("{found:?} instead of {expect:?}"),
    }
}

#[test]
fn documents() {
    check(b" {\"b\": [1, -2, 1.5, true, null], \"a\": \"x\\n\"} ", Ok(r#"{"b":[1,-2,1.5,true,null],"a":"x\n"}"#));
    check(b"18446744073709551615", Ok("18446744073709551615"));
    check(br#"{"__proto__":{"constructor":1}}"#, Ok(r#"{"__proto__":{"constructor":1}}"#));
    check("\"\u{1F980}\\ud83e\\udd80\\u0000\"".as_bytes(), Ok("\"\u{1F980}\u{1F980}\\u0000\""));
}

#[test]
fn refused_documents() {
    check(b"", Err("line 1, column 0: EOF"));
    check(b"{\"a\": 1,}", Err("trailing comma"));
    check(b"{\"a\":\n 1 x}", Err("line 2, column 4"));
    check(b"{} {}", Err("trailing characters"));
    check(b"\xef\xbb\xbf{}", Err("byte order mark"));
    check(b"\"\xff\"", Err("line 1"));
    check(b"\"\\ud800\"", Err("hex escape"));
    check(b"\"\\ud800\\u0041\"", Err("surrogate"));
    check(b"\"\\udc00\"", Err("surrogate"));
    check(b"1e999999", Err("number out of range"));
    check(b"[NaN]", Err("line 1"));
    check(b"// no\n{}", Err("line 1, column 1"));
    check(b"{\"a\":1,\"a\":2}", Err("the key 'a' stands there twice"));
    check(b"{\"id\":1,\"ID\":2}", Err("the key 'ID' stands there twice (upper and lower case"));
    check(b"[{\"x\":{\"id\":1,\"Id\":2}}]", Err("line 1, column"));
    check(&[b' '; DOCUMENT_BYTES + 1], Err("at most 1048576"));
}

#[test]
fn a_duplicate_is_reported_with_a_short_name() {
    let name = "k".repeat(10_000);
    let error = Json::parse(format!("{{\"{name}\":1,\"{name}\":2}}").as_bytes()).unwrap_err();
    assert!(error.message.len() < 300 && error.line == 1 && error.column > 0, "{error:?}");
}

#[test]
fn variables_may_differ_by_case() {
    check(
        br#"{"environment":{"http_proxy":"a","HTTP_PROXY":"b"}}"#,
        Ok(r#"{"environment":{"http_proxy":"a","HTTP_PROXY":"b"}}"#),
    );
    check(br#"{"environment":{"A":"a","A":"b"}}"#, Err("twice"));
    assert!(Json::parse_as(br#"{"a":1,"A":2}"#, 100, Names::Exact).is_ok());
}

#[test]
fn depth() {
    let nested = |depth: usize| [b"[".repeat(depth), b"]".repeat(depth)].concat();
    assert!(Json::parse(&nested(JSON_DEPTH)).is_ok());
    check(&nested(JSON_DEPTH + 1), Err("nested more than 32 deep"));
    check(&b"[".repeat(100_000), Err("nested more than 32 deep"));
    check(&b"{\"a\":".repeat(100_000), Err("nested more than 32 deep"));
}

#[test]
fn names_are_read_in_any_case() {
    let json = Json::parse(br#"{"Settings":{"Port":7},"list":[1]}"#).unwrap();
    assert_eq!(json.lookup(&["settings", "PORT"]).and_then(Json::as_integer), Some(7));
    assert_eq!(json.lookup(&["list", "0"]), None);
    assert_eq!(json.lookup(&[]), Some(&json));
    assert_eq!(json.to_value(), serde_json::json!({"Settings": {"Port": 7}, "list": [1]}));
}

#[test]
fn whole_numbers() {
    let integer = |text: &str| Json::parse(text.as_bytes()).unwrap().as_integer();
    for (text, expect) in [
        ("5", Some(5)),
        ("5.0", Some(5)),
        ("-1e3", Some(-1000)),
        ("0.5", None),
        ("1e18", None),
        ("18446744073709551615", None),
        ("\"5\"", None),
        ("-0.0", Some(0)),
    ] {
        assert_eq!(integer(text), expect, "{text}");
    }
}

static TABLE: Object = Object {
    name: "sample",
    doc: "",
    keys: &[
        Key::new("name", Shape::TEXT, ""),
        Key::flag("on", true, ""),
        Key::number("count", (1, 10), 3, ""),
        Key::required("nothing", Shape::Any, ""),
        Key::new("items", Shape::List(&Shape::Any, (0, 1000)), "").also(&["l"]),
    ],
    rules: &[],
    others: Others::Kept,
};

/// Findings as `path code`, after `read` took what it wanted from the document.
fn findings(document: &str, read: impl FnOnce(&ObjectReader<'_>, &mut Report)) -> Vec<String> {
    let json = Json::parse(document.as_bytes()).unwrap();
    let mut report = Report::default();
    let reader = Field { pointer: String::new(), value: &json }.object(&TABLE, &mut report).unwrap();
    read(&reader, &mut report);
    reader.finish(&mut report);
    report.into_findings().iter().map(|finding| format!("{} {}", finding.path, finding.code)).collect()
}

#[test]
fn members_are_checked_where_they_stand() {
    let found =
        findings(r#"{"Name":5,"on":"yes","a/b~c":1,"count":11,"nothing":null,"items":{}}"#, |reader, report| {
            assert_eq!(reader.text("name", report), None);
            assert!(reader.boolean("on", report));
            assert_eq!(reader.integer("count", report), 3);
            assert!(reader.required("nothing", report).is_none());
            assert!(reader.array("items", report).is_empty());
        });
    assert_eq!(
        found,
        [
            "/Name wrong-type",
            "/on wrong-type",
            "/count out-of-range",
            "/nothing required",
            "/items wrong-type",
            "/a~1b~0c unknown-key"
        ]
    );
}

#[test]
#[should_panic(expected = "'colour' is not in the table of sample")]
fn a_key_beside_the_table_is_not_read() {
    findings("{}", |reader, _| assert!(reader.take("colour").is_none()));
}

#[test]
fn long_lists_are_refused_and_findings_are_bounded() {
    let list = format!("{{\"l\":[{}0]}}", "0,".repeat(LIST_ENTRIES));
    assert_eq!(
        findings(&list, |reader, report| assert!(reader.array("l", report).is_empty())),
        ["/l too-many-entries"]
    );
    let many: Vec<String> = (0..50_000).map(|number| format!("\"k{number}\":0")).collect();
    let found = findings(&format!("{{{}}}", many.join(",")), |_, _| {});
    assert_eq!((found.len(), found.last().map(String::as_str)), (101, Some(" more-findings")));
}

#[test]
fn the_nearest_name() {
    let known = ["allowedPublications", "allowedSubscriptions", "id", "enabled"];
    for (key, expect) in [
        ("allowedPublication", Some("allowedPublications")),
        ("ENABLD", Some("enabled")),
        ("idd", Some("id")),
        ("colour", None),
        ("", None),
    ] {
        assert_eq!(nearest(key, &known), expect, "{key}");
    }
    assert_eq!(nearest(&"é".repeat(100_000), &known), None);
}
