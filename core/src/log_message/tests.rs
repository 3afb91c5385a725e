//! Which messages are taken, which are refused and why, and what cannot be forged.

use std::format;
use std::string::{String, ToString};

use super::{Level, LogMessage, escape};
use crate::acl::Subject;
use crate::id::{Component, JobId, RunId, SpawnId};
use crate::limits::LOG_MESSAGE_BYTES;
use crate::time::WallTime;

fn sender() -> Subject {
    let component = Component::Job(JobId::parse("j").unwrap());
    Subject { component, run: Some(RunId::new(1, 2)), spawn: SpawnId(3), pid: 4, client_id: String::from("j_Tool_4") }
}

const SAMPLE: &str = include_str!("../../tests/data/seed-001-log-message.json");

/// A message whose `MetaData` has these members beside a valid type and text; the level, or part of the reason.
#[track_caller]
fn check(members: &str, expect: Result<Level, &str>) {
    let payload = format!("{{\"MetaData\":{{{members}}}}}");
    match (LogMessage::parse(payload.as_bytes()), expect) {
        (Ok(message), Ok(level)) => assert_eq!(message.level, level),
        (Err(reason), Err(part)) => assert!(reason.contains(part), "{reason:?} lacks {part:?}"),
        (found, _) => panic!("{found:?} instead of {expect:?}"),
    }
}

#[test]
fn the_documented_message() {
    let message = LogMessage::parse(SAMPLE.as_bytes()).unwrap();
    let component = Component::Job(JobId::parse("secrets-scanner").unwrap());
    let record = message.into_record(WallTime::from_millis(0), &Subject { component, pid: 48292, ..sender() });
    assert_eq!(record.message, "Scan complete: 0 issues detected.");
    assert_eq!((&*record.source, &*record.category), ("SecretScanner", "SecretsScan"));
    assert_eq!((record.level, record.pid), (Level::Information, Some(48292)));
    assert_eq!(record.component, "job:secrets-scanner");
    assert_eq!(record.timestamp, "1970-01-01T00:00:00.000Z");
}

#[test]
fn levels() {
    let levels = [Level::Debug, Level::Information, Level::Warning, Level::Error, Level::Critical, Level::Trace];
    let names = ["Debug", "Info", "Warning", "Error", "Critical", "Verbose"];
    for (index, (level, name)) in levels.into_iter().zip(names).enumerate() {
        check(&format!("\"MessageType\":4,\"Message\":\"x\",\"LogLevel\":{index}"), Ok(level));
        check(&format!("\"MessageType\":\"Log\",\"Message\":\"x\",\"LogLevel\":\"{name}\""), Ok(level));
    }
    check(r#""MessageType":4,"Message":"x""#, Ok(Level::Information));
    for level in ["6", "-1", "1.5", "\"Loud\"", "\"\"", "true", "[1]"] {
        check(&format!("\"MessageType\":4,\"Message\":\"x\",\"LogLevel\":{level}"), Err("0 Debug, 1 Info"));
    }
}

#[test]
fn refusals() {
    check(r#""MessageType":4"#, Err("MetaData.Message is missing."));
    check(r#""MessageType":4,"Message":null"#, Err("MetaData.Message is missing."));
    check(r#""MessageType":4,"message":"x""#, Err("case-sensitive, write 'Message'"));
    check(r#""MessageType":4,"Message":"""#, Err("MetaData.Message is empty."));
    check(r#""MessageType":4,"Message":" \n ""#, Err("MetaData.Message is empty."));
    check(r#""MessageType":4,"Message":5"#, Err("MetaData.Message is a number; it must be a text."));
    check(r#""Message":"x""#, Err("MetaData.MessageType is missing."));
    check(r#""MessageType":3,"Message":"x""#, Err("MetaData.MessageType is 3"));
    check(r#""MessageType":"Event","Message":"x""#, Err("is 'Event'; it must be 4 or 'Log'"));
    check(r#""MessageType":4,"Message":"x","Message":"y""#, Err("stands there twice"));
    check(r#""MessageType":4,"Message":"x","Source":{}"#, Err("MetaData.Source is an object"));
    for (payload, part) in [
        ("[]", "is an array"),
        ("{}", "MetaData is missing."),
        ("{\"metadata\":{}}", "write 'MetaData'"),
        ("{\"MetaData\":\"x\"}", "MetaData is a text"),
        ("{} {}", "not one JSON object"),
        ("plain words", "not one JSON object"),
        ("", "not one JSON object"),
    ] {
        let reason = LogMessage::parse(payload.as_bytes()).unwrap_err();
        assert!(reason.contains(part), "{payload}: {reason:?} lacks {part:?}");
    }
}

#[test]
fn what_is_not_utf_8_is_refused() {
    let payload = b"{\"MetaData\":{\"MessageType\":4,\"Message\":\"caf\xe9\"}}";
    let reason = LogMessage::parse(payload).unwrap_err();
    assert!(reason.contains("UTF-8"), "{reason}");
}

#[test]
fn size_is_bounded_to_the_byte() {
    let of_size = |size: usize| {
        let frame = r#"{"MetaData":{"MessageType":4,"Message":""}}"#;
        frame.replace("\"\"", &format!("\"{}\"", "x".repeat(size - frame.len())))
    };
    assert!(LogMessage::parse(of_size(LOG_MESSAGE_BYTES).as_bytes()).is_ok());
    let reason = LogMessage::parse(of_size(LOG_MESSAGE_BYTES + 1).as_bytes()).unwrap_err();
    assert!(reason.contains("at most 65536"), "{reason}");
}

#[test]
fn nothing_can_be_forged() {
    for (text, expect) in [
        ("two\nlines\r\n", "two\\nlines\\r\\n"),
        ("\u{1b}[2Jgone\u{7}\t", "\\u001b[2Jgone\\u0007\\t"),
        ("a\u{85}b\u{2028}c\u{9b}d", "a\\u0085b\\u2028c\\u009bd"),
        ("exe\u{202e}gpj", "exe\\u202egpj"),
        ("a\u{61c}b\u{200b}c\u{ad}d\u{feff}", "a\\u061cb\\u200bc\\u00add\\ufeff"),
        ("\u{2066}a\u{2069}\u{180e}\u{fff9}", "\\u2066a\\u2069\\u180e\\ufff9"),
        ("ok\u{e0068}\u{e0000}\u{e007f}", "ok\\udb40\\udc68\\udb40\\udc00\\udb40\\udc7f"),
        ("e\u{301} \u{bbf}\u{3000}\u{a0}\u{e000}", "e\u{301} \u{bbf}\u{3000}\u{a0}\u{e000}"),
        ("C:\\new ünï 🦀", "C:\\new ünï 🦀"),
    ] {
        assert_eq!(escape(text), expect);
    }
    let payload = serde_json::json!({"MetaData": {"MessageType": 4, "Message": "a\nb", "Context": "c\rd", "Source": "\u{1b}e", "Category": "f\u{0}"}});
    let record =
        LogMessage::parse(payload.to_string().as_bytes()).unwrap().into_record(WallTime::from_millis(0), &sender());
    let shown = [record.message, record.context, record.source.into_owned(), record.category.into_owned()];
    assert_eq!(
        (record.client_id.as_deref(), record.pid, record.run_id.as_deref()),
        (Some("j_Tool_4"), Some(4), Some("1-2"))
    );
    assert_eq!(shown, ["a\\nb", "c\\rd", "\\u001be", "f\\u0000"].map(String::from));
}
