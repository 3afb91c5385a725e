//! What the audit costs: an entry on disk, 64 of them together, and the proof of 100,000. The figures stand in `docs/performance.md`; the
//! folder is where `TMPDIR` says, so that the disk can be chosen.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench measures time, says what it found, and may fail by panicking"
)]

use std::time::{Duration, Instant};

use castellan_core::audit::chain::Verifier;
use castellan_core::audit::{Act, Entry};
use castellan_core::time::WallTime;
use castellan_fs::Root;
use castellan_fs::audit::{AuditFile, AuditReader, sha256};

const ENTRIES: usize = 100_000;
const TOGETHER: usize = 64;

/// A decision as an elevation has it.
fn entry(number: usize) -> Entry {
    let what = Act::Decision {
        decision: "ALLOW".into(),
        controls: vec![],
        policies: vec![format!("policy-{}", number % 100)],
        input: serde_json::json!({ "userName": "alice", "filePath": "/usr/bin/id", "arguments": ["-u"] }),
        policy_set: Some("a".repeat(64)),
        documents: vec![],
        explanation: serde_json::json!({ "what": "The request is allowed.", "why": "A policy allows it.", "fix": "" }),
    };
    let time = WallTime::from_millis(i64::try_from(number).unwrap()).to_rfc3339();
    Entry { time, boot: 1, who: "user:alice".into(), request: Some(format!("E1-{number}")), what }
}

/// Median and 95th percentile of so many times.
fn measured(what: &str, rounds: usize, mut once: impl FnMut(usize)) {
    let mut times: Vec<Duration> = (0..rounds)
        .map(|round| {
            let start = Instant::now();
            once(round);
            start.elapsed()
        })
        .collect();
    times.sort();
    println!("{what}: p50 {:?}, p95 {:?}", times[rounds / 2], times[rounds * 95 / 100]);
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let root = Root::open(folder.path()).unwrap();
    let mut audit = AuditFile::open(&root, WallTime::from_millis(0)).unwrap();
    measured("an entry on disk", 200, |round| audit.append(&[&entry(round)]).unwrap());
    let begun = Instant::now();
    for batch in 0..ENTRIES.div_ceil(TOGETHER) {
        let entries: Vec<Entry> = (0..TOGETHER).map(|place| entry(batch * TOGETHER + place)).collect();
        audit.append(&entries.iter().collect::<Vec<_>>()).unwrap();
    }
    println!("{ENTRIES} entries, {TOGETHER} together: {:?}", begun.elapsed());
    measured("the proof of them", 5, |_| {
        let (mut reader, mut verifier) = (AuditReader::open(folder.path()).unwrap(), Verifier::whole(sha256));
        while let Some(line) = reader.next_line().unwrap() {
            verifier.take(&line.bytes).unwrap();
        }
        assert_eq!(verifier.head(), Some(audit.head()));
    });
    drop(audit);
    measured("opening them", 5, |_| drop(AuditFile::open(&root, WallTime::from_millis(0)).unwrap()));
}
