//! Lines of a log that grows and rotates below its reader.

use std::fs;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

use super::LogReader;

fn append(folder: &Path, text: &str) {
    let path = folder.join("state/logs/agent.jsonl");
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn rotate(folder: &Path) {
    let logs = folder.join("state/logs");
    let name = |number: u32| logs.join(format!("agent.jsonl.{number}"));
    for (from, to) in (1..9).zip(2..10).rev().filter(|(from, _)| name(*from).exists()) {
        fs::rename(name(from), name(to)).unwrap();
    }
    fs::rename(logs.join("agent.jsonl"), logs.join("agent.jsonl.1")).unwrap();
    append(folder, "");
}

fn lines(log: &mut LogReader) -> Vec<String> {
    std::iter::from_fn(|| log.next_line().unwrap()).map(|line| String::from_utf8(line).unwrap()).collect()
}

#[test]
fn every_line_comes_once_and_in_order() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(LogReader::open(root.path()).unwrap_err().kind(), ErrorKind::NotFound);
    fs::create_dir_all(root.path().join("state/logs")).unwrap();
    append(root.path(), "1\n2\n");
    rotate(root.path());
    append(root.path(), "3\nhal");
    let mut log = LogReader::open(root.path()).unwrap();
    assert_eq!(lines(&mut log), ["1", "2", "3"], "from the rotated file into the one that is written");
    append(root.path(), "f\n4\n");
    assert_eq!(lines(&mut log), ["half", "4"], "a line that was not complete is one line");
    append(root.path(), "5\n");
    rotate(root.path());
    append(root.path(), "6\n");
    assert_eq!(lines(&mut log), ["5", "6"], "one rotation");
    append(root.path(), "7\n");
    rotate(root.path());
    append(root.path(), "8\n");
    rotate(root.path());
    append(root.path(), "9\n");
    assert_eq!(lines(&mut log), ["7", "8", "9"], "two rotations between two looks");
    assert_eq!(lines(&mut log), [""; 0]);
    let mut whole = LogReader::open(root.path()).unwrap();
    assert_eq!(lines(&mut whole), ["1", "2", "3", "half", "4", "5", "6", "7", "8", "9"], "from the oldest on");
    append(root.path(), "10\n");
    for line in ["11\n", "12\n", "13\n"] {
        rotate(root.path());
        append(root.path(), line);
    }
    let former = |number: u32| root.path().join(format!("state/logs/agent.jsonl.{number}"));
    (3..).map(former).take_while(|path| path.exists()).for_each(|path| fs::remove_file(path).unwrap());
    assert_eq!(lines(&mut log), ["10", "11", "12", "13"], "its own file, and from the oldest that is left");
}
