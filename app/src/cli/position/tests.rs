//! Places in documents, as carets point at them.

use super::{Mark, range_of, shown};

fn finding(path: &str, message: &str) -> Mark {
    let text = str::to_owned;
    Mark { path: text(path), code: text("code"), message: text(message), severity: text("error") }
}

#[track_caller]
fn check(text: &str, path: &str, expect: &[&str]) {
    assert_eq!(shown("f.json", text.as_bytes(), &[finding(path, "Why.")]), expect, "{path}");
}

#[test]
fn a_caret_stands_below_the_place() {
    let text = "{\n\t\"id\": \"ä\", \"tasks\": [\n    { \"command\": 7 }\n  ]\n}";
    check(
        text,
        "/tasks/0/command",
        &[
            "f.json:3:18: error code: Why. (/tasks/0/command)",
            "  3 |     { \"command\": 7 }",
            "    |                  ^",
        ],
    );
    // Names without regard to case; a tab and a letter of two bytes are one column each.
    check(
        text,
        "/TASKS",
        &[
            "f.json:2:22: error code: Why. (/TASKS)",
            "  2 |  \"id\": \"ä\", \"tasks\": [",
            "    |                      ^",
        ],
    );
    // What is missing is shown where it should stand.
    check(
        text,
        "/tasks/0/id",
        &["f.json:3:5: error code: Why. (/tasks/0/id)", "  3 |     { \"command\": 7 }", "    |     ^"],
    );
}

#[test]
fn an_error_of_syntax_says_its_place_itself() {
    let told = shown("f.json", b"{\n  nothing }", &[finding("", "line 2, column 3: key must be a string")]);
    assert_eq!(told[0], "f.json:2:3: error code: line 2, column 3: key must be a string");
    assert_eq!(told[1..], ["  2 |   nothing }", "    |   ^"]);
}

#[test]
fn a_long_line_is_shown_around_the_place_and_without_its_control_characters() {
    let text = format!("{{\"a\": \"{}\u{1b}[2J\", \"b\": 1}}", "x".repeat(500));
    let told = shown("f.json", text.as_bytes(), &[finding("/b", "Why.")]);
    assert!(told[1].len() < 120 && !told[1].contains('\u{1b}') && told[1].ends_with("\"b\": 1}"), "{told:?}");
    assert_eq!(told[2].len() - 1, told[1].rfind('1').unwrap(), "{told:?}");
}

#[test]
fn the_bytes_of_a_value() {
    let text = "{ \"Enabled\" : false }";
    let range = range_of(text, "/enabled").unwrap();
    assert_eq!(text.get(range.start..range.end), Some("false"));
    assert!(range_of(text, "/other").is_none());
}
