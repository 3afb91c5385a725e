//! Lines for people.
use super::*;

fn check(message: &str, context: &str, colour: bool, expect: &str) {
    let record = LogRecord {
        timestamp: "2026-01-02T03:04:05.678Z".to_owned(),
        level: Level::Warning,
        source: "s".into(),
        category: "c".into(),
        message: message.to_owned(),
        correlation_id: String::new(),
        context: context.to_owned(),
        client_id: None,
        pid: None,
        component: "job:a".to_owned(),
        trace: None,
    };
    assert_eq!(line(&record, colour), expect);
}

#[test]
fn lines() {
    check("hello", "", false, "2026-01-02T03:04:05.678Z WARN  job:a  hello\n");
    check("hello", "x=1", false, "2026-01-02T03:04:05.678Z WARN  job:a  hello  (x=1)\n");
    check("hello", "", true, "2026-01-02T03:04:05.678Z \u{1b}[33mWARN \u{1b}[0m job:a  hello\n");
    check("a\nb\r\u{1b}[2J\u{9b}1m", "", false, "2026-01-02T03:04:05.678Z WARN  job:a  a\\nb\\r\\u{1b}[2J\\u{9b}1m\n");
    check("a\u{202e}b", "\u{2028}", false, "2026-01-02T03:04:05.678Z WARN  job:a  a\\u{202e}b  (\\u{2028})\n");
    check("grün 🔑", "", false, "2026-01-02T03:04:05.678Z WARN  job:a  grün 🔑\n");
}
