//! The log writer: order, form, loss, rotation.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use castellan_core::config::{LogFileLimits, Logging};
use castellan_core::log_message::{Level, LogRecord};
use castellan_fs::log_file::{LogOutput, LogWriter};
use castellan_fs::log_reader::LogReader;
use serde_json::Value;

use super::support::{mode, root};

fn record(number: usize) -> LogRecord {
    LogRecord {
        timestamp: "2026-01-01T00:00:00.000Z".to_owned(),
        source: "Tool".into(),
        correlation_id: "c".to_owned(),
        context: "x\ny".to_owned(),
        client_id: Some("a_B_1".to_owned()),
        pid: Some(1),
        component: "job:a".to_owned(),
        run_id: Some("1-2".to_owned()),
        ..LogRecord::own(Level::Information, "Phase", format!("message {number}"))
    }
}

/// Only files, from this level on.
fn logging(level: Level) -> Logging {
    Logging { level, journal: None, ..Logging::default() }
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
    let writer = LogWriter::start(&root, LogOutput::default(), &logging(Level::Information)).unwrap();
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
        r#"{"timestamp":"2026-01-01T00:00:00.000Z","level":"Information","source":"Tool","category":"Phase","message":"message 0","correlationId":"c","context":"x\ny","clientId":"a_B_1","pid":1,"component":"job:a","runId":"1-2"}"#
    );
}

#[test]
fn a_second_start_appends_and_mends_a_line_that_a_crash_cut() {
    let (folder, root) = root();
    let path = folder.path().join("state/logs/agent.jsonl");
    fs::write(&path, "{\"message\":\"whole\"}\n{\"mess").unwrap();
    let writer = LogWriter::start(&root, LogOutput::default(), &logging(Level::Trace)).unwrap();
    writer.log(record(1));
    writer.close().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], ["{\"message\":\"whole\"}", "{\"mess"]);
    assert!(lines[2].contains("message 1") && lines.len() == 3);
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn a_sink_that_stands_still_costs_the_others_nothing() {
    let (folder, root) = root();
    let logs = folder.path().join("state/logs");
    let path = logs.join("agent.jsonl");
    let (gate, total) = (Arc::new(Mutex::new(())), 1500_usize);
    let (told, heard) = std::sync::mpsc::channel();
    let tap = {
        let gate = Arc::clone(&gate);
        move |record: &LogRecord| {
            // It stands still at its first record until all are sent.
            drop(gate.lock().unwrap());
            told.send(record.message.clone()).unwrap();
        }
    };
    let output = LogOutput { readable: false, tap: Some(Box::new(tap)) };
    let writer = LogWriter::start(&root, output, &logging(Level::Trace)).unwrap();
    let closed = gate.lock().unwrap();
    let long = "x".repeat(16 << 10);
    for number in 0..total {
        writer.log(LogRecord { context: long.clone(), ..record(number) });
        // The file is not to be behind; the other one stands.
        let is_behind = || fs::metadata(&path).is_ok_and(|file| (file.len() as usize) < number * long.len());
        while number % 100 == 0 && fs::read_dir(&logs).unwrap().count() == 1 && is_behind() {
            thread::yield_now();
        }
    }
    let lost = |sink: &str| writer.lost().iter().find(|(name, _)| *name == sink).unwrap().1;
    assert_eq!(lost("file"), 0);
    let missed = lost("tap");
    assert!(missed > 0, "more came than wait");
    drop(closed);
    let heard: Vec<String> = heard.iter().take(total + 1 - usize::try_from(missed).unwrap()).collect();
    let told = format!("{missed} log records were lost in tap");
    assert_eq!(heard.iter().filter(|message| message.starts_with(&told)).count(), 1);
    writer.close().unwrap();
    let messages = read(folder.path());
    assert_eq!(messages.iter().filter(|message| message.starts_with("message ")).count(), total, "all of them");
    assert_eq!(messages.iter().filter(|message| message.starts_with(&told)).count(), 1, "and what the other one lost");
}

fn size(path: &Path) -> usize {
    usize::try_from(fs::metadata(path).unwrap().len()).unwrap()
}

#[test]
fn the_level_changes_while_it_runs() {
    let (folder, root) = root();
    let writer = LogWriter::start(&root, LogOutput::default(), &logging(Level::Warning)).unwrap();
    writer.log(record(1));
    writer.set_level(Level::Information);
    writer.queue().log(record(2));
    writer.set_level(Level::Error);
    writer.log(record(3));
    writer.close().unwrap();
    assert_eq!(messages(&folder.path().join("state/logs/agent.jsonl")), ["message 2"]);
}

/// Everything that the files say, the oldest first, read as `castellan logs` does.
fn read(folder: &Path) -> Vec<String> {
    let mut log = LogReader::open(folder).unwrap();
    let lines = std::iter::from_fn(|| log.next_line().unwrap());
    let message =
        |line: Vec<u8>| serde_json::from_slice::<Value>(&line).unwrap()["message"].as_str().unwrap().to_owned();
    lines.map(message).collect()
}

#[test]
fn files_rotate_by_size_and_the_oldest_go() {
    let (folder, root) = root();
    let logs = folder.path().join("state/logs");
    let files = LogFileLimits { file_bytes: 1 << 20, file_hours: 1, total_bytes: 5 << 20 };
    let long = "x".repeat(60_000);
    let expected: Vec<String> = (0..120).map(|number| format!("message {number}")).collect();
    for part in [0..30, 30..120] {
        let writer =
            LogWriter::start(&root, LogOutput::default(), &Logging { files, ..logging(Level::Trace) }).unwrap();
        for number in part {
            writer.log(LogRecord { context: long.clone(), ..record(number) });
        }
        writer.close().unwrap();
        let found = read(folder.path());
        let last = expected.iter().position(|message| Some(message) == found.last()).unwrap();
        assert_eq!(found, expected[last + 1 - found.len()..=last], "no gap, in order, to the end");
    }
    let sizes: Vec<u64> = fs::read_dir(&logs).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
    assert!(sizes.iter().all(|bytes| *bytes <= 1 << 20) && sizes.iter().sum::<u64>() <= 5 << 20, "{sizes:?}");
    assert!(sizes.len() >= 5, "there is room for so many: {sizes:?}");
}

#[test]
fn a_log_file_that_somebody_removed_or_moved_is_made_anew() {
    for is_removed in [true, false] {
        let (folder, root) = root();
        let path = folder.path().join("state/logs/agent.jsonl");
        let files = LogFileLimits { file_bytes: 1 << 20, file_hours: 1, total_bytes: 5 << 20 };
        let writer =
            LogWriter::start(&root, LogOutput::default(), &Logging { files, ..logging(Level::Trace) }).unwrap();
        writer.log(record(0));
        let deadline = Instant::now() + Duration::from_secs(20);
        while size(&path) == 0 {
            assert!(Instant::now() < deadline, "the first line is not written");
            // poll: nothing tells when a line is in the file
            thread::sleep(Duration::from_millis(5));
        }
        if is_removed {
            fs::remove_file(&path).unwrap();
        } else {
            fs::rename(&path, folder.path().join("moved")).unwrap();
        }
        for number in 1..40 {
            writer.log(LogRecord { context: "x".repeat(60_000), ..record(number) });
        }
        let lost = writer.lost();
        writer.close().unwrap();
        assert_eq!(lost, [("file", 0)]);
        assert_eq!(messages(&path).last().unwrap(), "message 39");
    }
}

#[test]
fn files_rotate_by_age_also_over_a_start() {
    let (folder, root) = root();
    let files = LogFileLimits { file_hours: 1, ..LogFileLimits::default() };
    for (number, time) in ["00:00", "00:59", "01:00", "01:30"].into_iter().enumerate() {
        let writer =
            LogWriter::start(&root, LogOutput::default(), &Logging { files, ..logging(Level::Trace) }).unwrap();
        writer.log(LogRecord { timestamp: format!("2026-01-01T{time}:00.000Z"), ..record(number) });
        writer.close().unwrap();
    }
    let logs = folder.path().join("state/logs");
    assert_eq!(messages(&logs.join("agent.jsonl.1")), ["message 0", "message 1"]);
    assert_eq!(messages(&logs.join("agent.jsonl")), ["message 2", "message 3"]);
    assert!(!logs.join("agent.jsonl.2").exists());
}

#[test]
fn a_log_file_that_is_something_else_is_refused() {
    let (folder, root) = root();
    let path = folder.path().join("state/logs/agent.jsonl");
    let victim = folder.path().join("victim");
    fs::write(&victim, "").unwrap();
    symlink(&victim, &path).unwrap();
    assert!(LogWriter::start(&root, LogOutput::default(), &logging(Level::Trace)).is_err());
    fs::remove_file(&path).unwrap();
    fs::hard_link(&victim, &path).unwrap();
    let error = LogWriter::start(&root, LogOutput::default(), &logging(Level::Trace)).unwrap_err().to_string();
    assert!(error.contains("agent.jsonl") && error.contains("move it away"), "{error}");
}
