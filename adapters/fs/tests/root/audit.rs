//! The audit on a real disk: the chain goes on over files, restarts and crashes; a full disk is told to who waits; nothing is confirmed
//! that is not there.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use castellan_core::audit::chain::{Head, Verifier};
use castellan_core::audit::{Act, Entry};
use castellan_core::effect::AuditOrder;
use castellan_core::event::Event;
use castellan_core::id::TicketId;
use castellan_core::limits::AUDIT_LINE_BYTES;
use castellan_fs::Root;
use castellan_fs::audit::{Audit, AuditFile, AuditReader, NotAppended, sha256};
use serde_json::Value;
use smol::channel::{Receiver, bounded};

use super::crash::{folder, has_strace};
use super::support::{NEW_YEAR, mode, names, root};

fn entry(status: &str) -> Entry {
    let what = Act::Exit { status: status.to_owned() };
    Entry { time: NEW_YEAR.to_rfc3339(), boot: 1, who: "agent".into(), request: None, what }
}

fn append(audit: &mut AuditFile, statuses: &[&str]) {
    let entries: Vec<Entry> = statuses.iter().map(|status| entry(status)).collect();
    audit.append(&entries.iter().collect::<Vec<_>>()).unwrap();
}

fn place(root: &Path) -> PathBuf {
    root.join("state/audit")
}

/// Where the first entry stands.
fn first_file(root: &Path) -> PathBuf {
    place(root).join("00000000000000000001.jsonl")
}

/// Every entry; the chain has to be whole.
#[track_caller]
fn whole(root: &Path) -> (Head, Vec<Value>) {
    let (mut reader, mut verifier) = (AuditReader::open(root).unwrap(), Verifier::whole(sha256));
    let mut entries = Vec::new();
    while let Some(line) = reader.next_line().unwrap() {
        assert!(line.is_whole, "{line:?}");
        verifier.take(&line.bytes).unwrap_or_else(|fault| panic!("{}:{}: {fault}", line.file.display(), line.number));
        entries.push(serde_json::from_slice(&line.bytes).unwrap());
    }
    (verifier.head().unwrap(), entries)
}

fn statuses(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["status"].as_str().unwrap_or_else(|| entry["kind"].as_str().unwrap())).collect()
}

#[test]
fn the_chain_goes_on_over_files_and_restarts_and_is_nobody_elses() {
    let (folder, root) = root();
    let mut audit = AuditFile::open(&root, NEW_YEAR).unwrap();
    assert_eq!(audit.head(), Head::START);
    append(&mut audit, &["first", "second"]);
    let large = "x".repeat(AUDIT_LINE_BYTES - 1000);
    for _ in 0..10 {
        append(&mut audit, &[&large]);
    }
    assert_eq!(names(&place(folder.path())), ["00000000000000000001.jsonl", "00000000000000000012.jsonl"]);
    let head = audit.head();
    drop(audit);
    let mut audit = AuditFile::open(&root, NEW_YEAR).unwrap();
    assert_eq!(audit.head(), head);
    append(&mut audit, &["after the restart"]);
    let (end, entries) = whole(folder.path());
    assert_eq!((end, end.sequence, entries.len()), (audit.head(), 13, 13));
    assert_eq!((mode(&place(folder.path())), mode(&first_file(folder.path()))), (0o700, 0o600));

    // A file that was begun and has no entry yet.
    fs::write(place(folder.path()).join("00000000000000000014.jsonl"), "").unwrap();
    super::support::set_mode(&place(folder.path()).join("00000000000000000014.jsonl"), 0o600);
    let mut audit = AuditFile::open(&root, NEW_YEAR).unwrap();
    append(&mut audit, &["in the new file"]);
    assert_eq!(whole(folder.path()).0.sequence, 14);
}

#[test]
fn an_entry_that_is_too_long_keeps_no_other_back() {
    let (folder, root) = root();
    let mut audit = AuditFile::open(&root, NEW_YEAR).unwrap();
    let (good, long) = (entry("good"), entry(&"x".repeat(AUDIT_LINE_BYTES)));
    let refused = audit.append(&[&good, &long]).unwrap_err();
    assert!(matches!(&refused, NotAppended::Unfit { place: 1, why } if why.contains("too long")), "{refused:?}");
    assert_eq!(fs::read(first_file(folder.path())).unwrap(), b"", "all of them, or none");
    append(&mut audit, &["good"]);
    assert_eq!(whole(folder.path()).0.sequence, 1);
}

#[test]
fn what_a_crash_tore_is_put_aside_and_the_chain_says_so() {
    let (folder, root) = root();
    let mut audit = AuditFile::open(&root, NEW_YEAR).unwrap();
    append(&mut audit, &["first", "second"]);
    drop(audit);
    let file = first_file(folder.path());
    let sound = fs::read(&file).unwrap();
    // Of a batch the first line can be whole in its length and not in its content.
    for torn in ["{", "{\"sequence\":3,\"previous\"", "\0\0\0\n{\"sequence\":4"] {
        fs::write(&file, [sound.as_slice(), torn.as_bytes()].concat()).unwrap();
        let mut audit = AuditFile::open(&root, NEW_YEAR).unwrap();
        let told = audit.take_notices().concat();
        assert!(
            told.contains(&format!("{} bytes", torn.len())) && told.contains("00000000000000000003.torn"),
            "{told}"
        );
        append(&mut audit, &["third"]);
        drop(audit);
        let (_, entries) = whole(folder.path());
        assert_eq!(statuses(&entries), ["first", "second", "putAside", "third"]);
        let (name, told) = (entries[2]["file"].as_str().unwrap(), &entries[2]);
        let aside = fs::read(place(folder.path()).join(name)).unwrap();
        assert_eq!(aside, torn.as_bytes());
        let sha256 = castellan_core::hexadecimal(&sha256(&aside));
        assert_eq!(
            (told["bytes"].as_u64(), told["sha256"].as_str()),
            (Some(aside.len() as u64), Some(sha256.as_str()))
        );
        fs::remove_file(place(folder.path()).join(name)).unwrap();
    }
}

#[test]
fn what_somebody_edited_further_up_stays_where_it_can_be_found() {
    let (folder, root) = root();
    let mut audit = AuditFile::open(&root, NEW_YEAR).unwrap();
    append(&mut audit, &["first", "second", "third"]);
    drop(audit);
    let file = first_file(folder.path());
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("second", "SECOND")).unwrap();
    let mut audit = AuditFile::open(&root, NEW_YEAR).unwrap();
    append(&mut audit, &["fourth"]);
    assert!(fs::read_to_string(&file).unwrap().contains("SECOND"));
    assert_eq!(names(&place(folder.path())).len(), 1, "nothing is put aside");
}

#[test]
fn behind_what_somebody_removed_or_wrote_a_new_file_goes_on() {
    let (folder, root) = root();
    let mut audit = AuditFile::open(&root, NEW_YEAR).unwrap();
    append(&mut audit, &["first"]);
    fs::write(first_file(folder.path()), fs::read_to_string(first_file(folder.path())).unwrap() + "forged").unwrap();
    append(&mut audit, &["second"]);
    fs::remove_file(place(folder.path()).join("00000000000000000002.jsonl")).unwrap();
    append(&mut audit, &["third"]);
    assert_eq!(names(&place(folder.path())), ["00000000000000000001.jsonl", "00000000000000000003.jsonl"]);
}

/// Runs the writer on a root under strace; what it said.
fn write(root: &Path, count: usize, trace: &Path, filter: &[&str]) -> String {
    let writer = env::current_exe().unwrap().with_file_name("../examples/audit_write");
    assert!(writer.exists(), "the writer is missing: run `cargo test -p castellan-fs`, or build it with `--examples`");
    let mut command = Command::new("strace");
    command.args(["-qq", "-o"]).arg(trace).args(filter).arg(writer).arg(root).arg(count.to_string());
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

/// System calls of three entries that change the disk, by name, with their number in the process.
fn calls() -> Vec<(String, usize)> {
    let (root, trace) = (folder(), tempfile::NamedTempFile::new().unwrap());
    let filter = "trace=/^(openat|write|fdatasync|fsync|ftruncate)$";
    write(root.path(), 3, trace.path(), &["-e", filter]);
    let mut numbers = std::collections::BTreeMap::new();
    let (mut calls, mut inside) = (Vec::new(), false);
    for line in fs::read_to_string(trace.path()).unwrap().lines() {
        let Some((name, _)) = line.split_once('(') else { continue };
        let number: &mut usize = numbers.entry(name.to_owned()).or_default();
        *number += 1;
        inside |= line.contains("\"begin");
        let is_said = line.contains("\"begin") || line.contains("\"confirmed");
        if inside && !is_said && (name != "openat" || line.contains("O_CREAT")) {
            calls.push((name.to_owned(), *number));
        }
    }
    assert!(calls.iter().filter(|(name, _)| name == "fdatasync").count() >= 3, "{calls:?}");
    calls
}

#[test]
fn killed_or_out_of_disk_at_any_system_call_the_chain_is_whole_and_has_what_was_confirmed() {
    if !has_strace() {
        return;
    }
    let trace = tempfile::NamedTempFile::new().unwrap();
    let (mut killed, mut full) = (0, 0);
    for (name, number) in calls() {
        for fault in ["signal=KILL", "error=ENOSPC"] {
            let folder = folder();
            let inject = format!("inject={name}:{fault}:when={number}");
            let only = format!("trace={name}");
            let said = write(folder.path(), 3, trace.path(), &["-e", &only, "-e", &inject]);
            let mut audit = AuditFile::open(&Root::open(folder.path()).unwrap(), NEW_YEAR).unwrap();
            append(&mut audit, &["afterwards"]);
            let (_, entries) = whole(folder.path());
            let found = statuses(&entries);
            for number in 0..3 {
                let status = format!("code {number}");
                let is_there = found.contains(&status.as_str());
                if said.contains(&format!("confirmed {number}")) {
                    assert!(is_there, "{name} {number} {fault}: {said}{found:?}");
                }
                if said.contains(&format!("refused {number}")) {
                    assert!(!is_there, "{name} {number} {fault}: {said}{found:?}");
                    assert!(said.contains("Make room"), "{said}");
                    full += 1;
                }
            }
            assert_eq!(found.last(), Some(&"afterwards"));
            killed += usize::from(fault == "signal=KILL" && !said.contains("confirmed 2"));
        }
    }
    println!("the audit: {killed} times killed, {full} entries refused");
    assert!(killed > 5 && full > 5, "{killed} killed, {full} refused");
}

/// The answer to who waits.
#[track_caller]
fn answer(events: &Receiver<Event>) -> (u64, Result<(), String>) {
    match smol::block_on(events.recv()).unwrap() {
        Event::Audited { ticket, result } => (ticket.0, result),
        other => panic!("{other:?}"),
    }
}

fn order(audit: &Audit, ticket: Option<u64>, status: &str) {
    let (ticket, entry) = (ticket.map(TicketId), Box::new(entry(status)));
    audit.order(AuditOrder::Append { ticket, entry }).unwrap();
}

#[test]
fn who_waits_is_answered_once_the_entry_is_on_disk_and_nobody_else_is() {
    let (folder, root) = root();
    let (sender, events) = bounded(1000);
    let audit = Audit::start(AuditFile::open(&root, NEW_YEAR).unwrap(), sender).unwrap();
    order(&audit, None, "0");
    for number in 1..200 {
        order(&audit, Some(number), &number.to_string());
    }
    for number in 1..200 {
        assert_eq!(answer(&events), (number, Ok(())));
    }
    assert_eq!(whole(folder.path()).0, audit.head());
    assert_eq!((audit.head().sequence, audit.close().unwrap().sequence, events.len()), (200, 200, 0));
    let long = Entry { who: "x".repeat(AUDIT_LINE_BYTES), ..entry("") };
    let (sender, events) = bounded(10);
    let audit = Audit::start(AuditFile::open(&root, NEW_YEAR).unwrap(), sender).unwrap();
    audit.order(AuditOrder::Append { ticket: Some(TicketId(1)), entry: Box::new(long) }).unwrap();
    assert!(answer(&events).1.unwrap_err().contains("too long"));
}

#[test]
fn what_the_disk_does_not_take_is_refused_to_who_waits_and_kept_where_nobody_does() {
    let (folder, root) = root();
    let (sender, events) = bounded(1000);
    let audit = Audit::start(AuditFile::open(&root, NEW_YEAR).unwrap(), sender).unwrap();
    order(&audit, Some(1), "first");
    assert_eq!(answer(&events), (1, Ok(())));
    // Somebody removes the file, and a folder is in the way of the next one.
    fs::remove_file(first_file(folder.path())).unwrap();
    let in_the_way = place(folder.path()).join("00000000000000000002.jsonl");
    fs::create_dir(&in_the_way).unwrap();
    order(&audit, None, "kept");
    let told = smol::block_on(events.recv()).unwrap();
    assert!(
        matches!(&told, Event::Congested(why) if why.contains("state/audit") && why.contains("tried again")),
        "{told:?}"
    );
    order(&audit, Some(2), "refused");
    let (ticket, refused) = answer(&events);
    assert!(ticket == 2 && refused.as_ref().unwrap_err().contains("cannot write the audit"), "{refused:?}");
    fs::remove_dir(&in_the_way).unwrap();
    // It is tried again without an order.
    let told = smol::block_on(events.recv()).unwrap();
    assert!(matches!(&told, Event::Congested(why) if why.contains("by somebody else")), "{told:?}");
    order(&audit, Some(3), "third");
    assert_eq!(answer(&events), (3, Ok(())));
    audit.close().unwrap();
    let mut reader = AuditReader::open(folder.path()).unwrap();
    let mut found = Vec::new();
    while let Some(line) = reader.next_line().unwrap() {
        found.push(serde_json::from_slice::<Value>(&line.bytes).unwrap());
    }
    assert_eq!(statuses(&found), ["kept", "third"]);
}
