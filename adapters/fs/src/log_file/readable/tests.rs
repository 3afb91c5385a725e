//! Lines for people.
use super::*;

fn check(message: &str, context: &str, colour: bool, expect: &str) {
    let record = LogRecord {
        timestamp: "2026-01-02T03:04:05.678Z".to_owned(),
        context: context.to_owned(),
        component: "job:a".to_owned(),
        ..LogRecord::own(Level::Warning, "c", message)
    };
    assert_eq!(line(&record, colour), expect);
}

#[test]
fn lines() {
    check("hello", "", false, "2026-01-02T03:04:05.678Z WARN  job:a  hello\n");
    check("hello", "x=1", false, "2026-01-02T03:04:05.678Z WARN  job:a  hello  (x=1)\n");
    check("hello", "", true, "2026-01-02T03:04:05.678Z \u{1b}[33mWARN \u{1b}[0m job:a  hello\n");
    check("a\nb\r\u{1b}[2J\u{9b}1m", "", false, "2026-01-02T03:04:05.678Z WARN  job:a  a\\nb\\r\\u001b[2J\\u009b1m\n");
    check("a\u{202e}b", "\u{2028}", false, "2026-01-02T03:04:05.678Z WARN  job:a  a\\u202eb  (\\u2028)\n");
    check("grün 🔑", "", false, "2026-01-02T03:04:05.678Z WARN  job:a  grün 🔑\n");
}
