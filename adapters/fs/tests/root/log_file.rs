//! The log writer: order, form, loss, rotation.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::{Arc, Mutex};

use castellan_core::log_message::{Level, LogRecord};
use castellan_fs::log_file::{LogOutput, LogWriter};
use serde_json::Value;

use super::support::{mode, root};

fn record(number: usize) -> LogRecord {
    LogRecord {
        timestamp: "2026-01-01T00:00:00.000Z".to_owned(),
        level: Level::Information,
        source: "Tool".into(),
        category: "Phase".into(),
        message: format!("message {number}"),
        correlation_id: "c".to_owned(),
        context: "x\ny".to_owned(),
        client_id: Some("a_B_1".to_owned()),
        pid: Some(1),
        component: "job:a".to_owned(),
        trace: None,
    }
}

fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn messages(path: &Path) -> Vec<String> {
    lines(path).iter().map(|line| line["message"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn records_stand_in_order_one_object_a_line_with_the_keys_in_order() {
    let (folder, root) = root();
    let path = folder.path().join("state/logs/agent.jsonl");
    let writer = LogWriter::start(&root, LogOutput::default(), Level::Information).unwrap();
    for number in 0..100 {
        writer.log(record(number));
    }
    writer.log(LogRecord { level: Level::Debug, ..record(1000) });
    writer.close().unwrap();
    let expected: Vec<String> = (0..100).map(|number| format!("message {number}")).collect();
    assert_eq!(messages(&path), expected);
    assert_eq!(mode(&path), 0o600);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(
        text.lines().next().unwrap(),
        r#"{"timestamp":"2026-01-01T00:00:00.000Z","level":"Information","source":"Tool","category":"Phase","message":"message 0","correlationId":"c","context":"x\ny","clientId":"a_B_1","pid":1,"component":"job:a"}"#
    );
}

#[test]
fn a_second_start_appends_and_mends_a_line_that_a_crash_cut() {
    let (folder, root) = root();
    let path = folder.path().join("state/logs/agent.jsonl");
    fs::write(&path, "{\"message\":\"whole\"}\n{\"mess").unwrap();
    let writer = LogWriter::start(&root, LogOutput::default(), Level::Trace).unwrap();
    writer.log(record(1));
    writer.close().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], ["{\"message\":\"whole\"}", "{\"mess"]);
    assert!(lines[2].contains("message 1") && lines.len() == 3);
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn what_does_not_fit_is_counted_and_the_count_is_logged() {
    let (folder, root) = root();
    let path = folder.path().join("state/logs/agent.jsonl");
    let (sent, total) = (Arc::new(Mutex::new(())), 10_000_usize);
    let gate = Arc::clone(&sent);
    let (arrived, arrival) = std::sync::mpsc::channel();
    let tap = move |_: &LogRecord| {
        // The writer stands still at its first record until all are sent.
        if arrived.send(()).is_ok() {
            drop(gate.lock().unwrap());
        }
    };
    let output = LogOutput { readable: false, tap: Some(Box::new(tap)) };
    let writer = LogWriter::start(&root, output, Level::Trace).unwrap();
    let closed = sent.lock().unwrap();
    writer.log(record(0));
    arrival.recv().unwrap();
    for number in 1..total {
        writer.log(record(number));
    }
    drop(closed);
    writer.close().unwrap();
    let messages = messages(&path);
    let written = messages.iter().filter(|message| message.starts_with("message ")).count();
    assert_eq!(written, 1 + 4096);
    assert!(messages[written].starts_with(&format!("{} log records were lost", total - written)));
    assert_eq!(messages.len(), written + 1);
    assert_eq!(lines(&path)[written]["component"], "agent");
}

#[test]
fn a_full_file_becomes_the_old_one_and_no_record_is_lost() {
    let (folder, root) = root();
    let logs = folder.path().join("state/logs");
    let writer = LogWriter::start(&root, LogOutput::default(), Level::Trace).unwrap();
    let long = "x".repeat(60_000);
    let total = 400;
    for number in 0..total {
        writer.log(LogRecord { context: long.clone(), ..record(number) });
    }
    writer.close().unwrap();
    let (old, new) = (messages(&logs.join("agent.jsonl.1")), messages(&logs.join("agent.jsonl")));
    assert!(!old.is_empty() && !new.is_empty());
    let expected: Vec<String> = (0..total).map(|number| format!("message {number}")).collect();
    assert_eq!([old, new].concat(), expected);
    assert!(fs::metadata(logs.join("agent.jsonl.1")).unwrap().len() <= 16 << 20);
}

#[test]
fn a_log_file_that_is_something_else_is_refused() {
    let (folder, root) = root();
    let path = folder.path().join("state/logs/agent.jsonl");
    let victim = folder.path().join("victim");
    fs::write(&victim, "").unwrap();
    symlink(&victim, &path).unwrap();
    assert!(LogWriter::start(&root, LogOutput::default(), Level::Trace).is_err());
    fs::remove_file(&path).unwrap();
    fs::hard_link(&victim, &path).unwrap();
    let error = LogWriter::start(&root, LogOutput::default(), Level::Trace).unwrap_err().to_string();
    assert!(error.contains("agent.jsonl") && error.contains("move it away"), "{error}");
}
