//! A writer for the tests to kill: `audit_write ROOT COUNT` appends so many entries to the audit, one after the other.
//! A program of its own with one thread, so that its system calls can be counted.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a writer that says what it did, or dies and says why")]

use std::path::Path;

use castellan_core::audit::{Act, Entry};
use castellan_core::time::WallTime;
use castellan_fs::Root;
use castellan_fs::audit::AuditFile;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, path, count] = arguments.as_slice() else { return println!("usage: audit_write ROOT COUNT") };
    let root = Root::open(Path::new(path)).unwrap();
    // In a trace this says where the writes begin, and each answer where one ends.
    println!("begin");
    let mut audit = AuditFile::open(&root, WallTime::from_millis(0)).unwrap();
    for number in 0..count.parse().unwrap() {
        let what = Act::Exit { status: format!("code {number}") };
        let (time, who) = (WallTime::from_millis(number).to_rfc3339(), String::from("agent"));
        let entry = Entry { time, boot: root.boot(), who, request: None, what };
        match audit.append(&[&entry]) {
            Ok(()) => println!("confirmed {number}"),
            Err(error) => println!("refused {number} {error}"),
        }
    }
}
