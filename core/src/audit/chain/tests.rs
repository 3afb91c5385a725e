//! Chains of a few lines, and every way of spoiling them.

use std::string::{String, ToString};
use std::vec::Vec;

use super::{Fault, Head, Verifier, line, link};
use crate::audit::{Act, CertificateOutcome, Entry, PolicyOutcome};
use crate::json::Json;
use crate::limits::AUDIT_LINE_BYTES;

/// Not SHA-256, which the core has not: any change changes it as well.
fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    for (place, chunk) in hash.chunks_mut(8).enumerate() {
        let begin = 0xcbf2_9ce4_8422_2325_u64 ^ place as u64;
        let fnv = bytes.iter().fold(begin, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
        chunk.copy_from_slice(&fnv.to_be_bytes());
    }
    hash
}

fn entry(reason: &str) -> Entry {
    Entry {
        time: "2026-01-01T00:00:00.000Z".to_string(),
        boot: 3,
        who: "admin:alice".to_string(),
        request: Some("E3-1".to_string()),
        what: Act::Approval { approved: true, reason: Some(reason.to_string()) },
    }
}

fn lines(count: usize) -> Vec<String> {
    let mut head = Head::START;
    let next = |number: usize| {
        let (line, next) = line(&head, &entry(&number.to_string()), sha256).unwrap();
        head = next;
        line
    };
    (1..=count).map(next).collect()
}

/// Every line that is at fault, from 1, with its fault.
fn faults(mut verifier: Verifier, lines: &[impl AsRef<[u8]>]) -> Vec<(usize, Fault)> {
    let judge = |(line, number): (&_, usize)| Some((number, verifier.take(AsRef::as_ref(line)).err()?));
    lines.iter().zip(1..).filter_map(judge).collect()
}

fn whole(lines: &[impl AsRef<[u8]>]) -> Vec<(usize, Fault)> {
    faults(Verifier::whole(sha256), lines)
}

#[test]
fn a_line_is_an_object_with_its_place_the_entry_and_its_hash() {
    let (first, head) = line(&Head::START, &entry("as agreed"), sha256).unwrap();
    let zeros = "0".repeat(64);
    let expect = std::format!(
        r#"{{"sequence":1,"previous":"{zeros}","time":"2026-01-01T00:00:00.000Z","boot":3,"who":"admin:alice","request":"E3-1","kind":"approval","approved":true,"reason":"as agreed","hash":"{}"}}"#,
        head.hash()
    );
    assert_eq!(first, expect);
    assert_eq!(link(first.as_bytes(), sha256).unwrap().head, head);
    let told: serde_json::Value = serde_json::from_str(&first).unwrap();
    assert_eq!(told["kind"], "approval");
}

/// Members of the line and of what happened share one object.
#[test]
fn no_member_of_a_line_is_there_twice() {
    let text = |text: &str| text.to_string();
    let acts = [
        Act::Request { user: text("u"), uid: 1, pid: 2, command: Vec::new(), folder: None, reason: None },
        Act::Launch {
            program: text("p"),
            sha256: Some(text("s")),
            command: Vec::new(),
            run_as: text("root"),
            instead_of: None,
        },
        Act::Certificate {
            change: CertificateOutcome::Issued,
            names: Vec::new(),
            sha256: Vec::from([text("s")]),
            until: None,
        },
        Act::Policy {
            name: text("n"),
            source: text("s"),
            policy_type: text("t"),
            sha256: text("s"),
            change: PolicyOutcome::Applied,
            changes: Vec::new(),
            why: None,
        },
        Act::PutAside { file: text("f"), bytes: 1, sha256: text("s") },
    ];
    for what in acts {
        let (line, _) = line(&Head::START, &Entry { what, ..entry("") }, sha256).unwrap();
        assert!(Json::parse(line.as_bytes()).is_ok(), "{line}");
    }
}

#[test]
fn a_chain_as_it_was_written_is_whole_and_so_is_each_of_its_ends() {
    let lines = lines(6);
    assert_eq!(whole(&lines), []);
    for first in 0..lines.len() {
        assert_eq!(faults(Verifier::excerpt(sha256), &lines[first..]), []);
    }
}

#[test]
fn every_byte_that_changes_is_found_in_its_line() {
    let sound = lines(3);
    for (place, line) in sound.iter().enumerate() {
        for byte in 0..line.len() {
            for flip in [0x01, 0x20, 0x80] {
                let mut edited: Vec<Vec<u8>> = sound.iter().map(|line| line.as_bytes().to_vec()).collect();
                edited[place][byte] ^= flip;
                assert_eq!(whole(&edited), [(place + 1, Fault::Edited)], "byte {byte} of line {}", place + 1);
            }
        }
    }
}

#[test]
fn every_line_that_is_missing_moved_or_doubled_is_found() {
    let sound = lines(6);
    for gone in 0..sound.len() - 1 {
        let mut left = sound.clone();
        left.remove(gone);
        let number = gone as u64 + 1;
        assert_eq!(whole(&left), [(gone + 1, Fault::Missing { from: number, to: number })]);
    }
    let mut swapped = sound.clone();
    swapped.swap(2, 3);
    let expect = [(3, Fault::Missing { from: 3, to: 3 }), (4, Fault::Misplaced { sequence: 3 })];
    assert_eq!(whole(&swapped), expect);
    let mut doubled = sound.clone();
    doubled.insert(3, sound[1].clone());
    assert_eq!(whole(&doubled), [(4, Fault::Misplaced { sequence: 2 })]);
    assert_eq!(whole(&sound[2..]), [(1, Fault::Missing { from: 1, to: 2 })]);
}

#[test]
fn a_line_that_was_made_anew_does_not_fit_the_one_behind_it() {
    let mut lines = lines(4);
    let before = link(lines[0].as_bytes(), sha256).unwrap().head;
    lines[1] = line(&before, &entry("forged"), sha256).unwrap().0;
    assert_eq!(whole(&lines), [(3, Fault::Foreign { sequence: 3 })]);
}

#[test]
fn behind_an_edited_line_the_others_are_judged_all_the_same() {
    let mut lines = lines(6);
    lines[1] = lines[1].replace("admin:alice", "admin:mallory");
    lines.remove(4);
    assert_eq!(whole(&lines), [(2, Fault::Edited), (5, Fault::Missing { from: 5, to: 5 })]);
}

#[test]
fn the_head_is_what_the_last_line_says_and_reads_back_from_its_text() {
    let lines = lines(3);
    let mut verifier = Verifier::whole(sha256);
    let heads: Vec<Head> = lines.iter().map(|line| verifier.take(line.as_bytes()).unwrap()).collect();
    assert_eq!(verifier.head(), heads.last().copied());
    assert_eq!(Head::parse(&heads[2].to_string()), Some(heads[2]));
    for text in ["", "entry 3", "entry x, SHA-256 00", &heads[2].to_string().replace(", SHA-256 ", ", SHA-256 A")] {
        assert_eq!(Head::parse(text), None, "{text}");
    }
}

#[test]
fn an_entry_that_is_too_long_is_refused() {
    let why = line(&Head::START, &entry(&"x".repeat(AUDIT_LINE_BYTES)), sha256).unwrap_err();
    assert!(why.contains("too long") && why.contains("1048576"), "{why}");
}
