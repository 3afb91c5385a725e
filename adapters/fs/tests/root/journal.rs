//! journald, played by a datagram socket of the test's own: absent, there, gone, too slow; and entries that fit no datagram.

use std::fs::{self, File};
use std::io::{IoSliceMut, Read, Seek, SeekFrom};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use castellan_core::config::Logging;
use castellan_core::log_message::{Level, LogRecord};
use castellan_fs::log_file::{LogOutput, LogWriter};
use rustix::fs::{SealFlags, fcntl_get_seals};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::support::root;

/// Bounds a test that would hang; never a measure.
const PATIENCE: Duration = Duration::from_secs(60);

fn listen(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// The next entry, as lines, however it was sent.
fn entry(journal: &UnixDatagram) -> Vec<String> {
    let mut bytes = vec![0; 1 << 20];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(journal, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::empty()).unwrap();
    bytes.truncate(received.bytes);
    for message in ancillary.drain() {
        let RecvAncillaryMessage::ScmRights(descriptors) = message else { panic!("no file") };
        for descriptor in descriptors {
            let seals = fcntl_get_seals(&descriptor).unwrap();
            assert!(seals.contains(SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE), "{seals:?}");
            assert!(bytes.is_empty(), "a datagram with a file has nothing else");
            let mut file = File::from(descriptor);
            file.seek(SeekFrom::Start(0)).unwrap();
            file.read_to_end(&mut bytes).unwrap();
        }
    }
    String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
}

fn record(message: &str) -> LogRecord {
    LogRecord {
        timestamp: String::from("2026-01-01T00:00:00.000Z"),
        source: "Tool".into(),
        client_id: Some(String::from("a_Tool_7")),
        pid: Some(7),
        component: String::from("job:a"),
        run_id: Some(String::from("1-2")),
        ..LogRecord::own(Level::Warning, "Phase", message)
    }
}

#[test]
fn journald_gets_each_record_with_its_fields_however_long() {
    let (folder, root) = root();
    let path = folder.path().join("journal");
    let journal = listen(&path);
    let logging = Logging { journal: Some(path.display().to_string()), ..Logging::default() };
    let writer = LogWriter::start(&root, LogOutput::default(), &logging).unwrap();
    assert!(writer.description().ends_with("agent.jsonl and journald"), "{}", writer.description());
    writer.log(record("first"));
    assert_eq!(
        entry(&journal),
        [
            "MESSAGE=first",
            "PRIORITY=4",
            "SYSLOG_IDENTIFIER=castellan",
            "CATEGORY=Phase",
            "SOURCE=Tool",
            "COMPONENT=job:a",
            "KEEPER_JOB_ID=a",
            "RUN_ID=1-2",
            "CLIENT_ID=a_Tool_7",
            "CLIENT_PID=7",
        ]
    );
    writer
        .log(LogRecord { component: String::from("plugin:P"), ..LogRecord::own(Level::Critical, "C", "of a plugin") });
    let of_plugin = entry(&journal);
    assert!(
        of_plugin.contains(&String::from("PLUGIN_ID=P")) && of_plugin.contains(&String::from("PRIORITY=2")),
        "{of_plugin:?}"
    );
    let long = "x".repeat(400_000);
    writer.log(record(&long));
    assert_eq!(entry(&journal)[0], format!("MESSAGE={long}"));
    writer.log(record("two\nPRIORITY=0"));
    let forged = entry(&journal);
    assert_eq!(
        (forged[0].as_str(), forged[3].as_str()),
        ("MESSAGE", "PRIORITY=4"),
        "a length before it, and no field of its own: {forged:?}"
    );
    writer.close().unwrap();
}

#[test]
fn a_journald_that_comes_late_goes_and_comes_again_is_written_to_while_it_is_there() {
    let (folder, root) = root();
    let path = folder.path().join("journal");
    let logging = Logging { journal: Some(path.display().to_string()), ..Logging::default() };
    let writer = LogWriter::start(&root, LogOutput::default(), &logging).unwrap();
    assert!(writer.description().contains("not there now"), "{}", writer.description());
    let file = || fs::read_to_string(folder.path().join("state/logs/agent.jsonl")).unwrap();
    let lost = |sink: &str| writer.lost().iter().find(|(name, _)| *name == sink).unwrap().1;
    writer.log(record("nobody is there"));

    // What the sink has not tried when journald comes it gets.
    let journal = listen(&path);
    writer.log(record("it came"));
    while entry(&journal)[0] != "MESSAGE=it came" {}
    assert_eq!(lost("journald"), 0, "nothing is missed that was never there");

    drop(journal);
    fs::remove_file(&path).unwrap();
    writer.log(record("it went"));
    while lost("journald") == 0 {
        std::thread::yield_now();
    }
    let journal = listen(&path);
    writer.log(record("it is back"));
    assert_eq!(entry(&journal)[0], "MESSAGE=it is back");
    assert!(entry(&journal)[0].starts_with("MESSAGE=1 log records were lost in journald"));
    writer.close().unwrap();
    let file = file();
    for line in [
        "nobody is there",
        "it came",
        "it went",
        "journald takes no records",
        "it is back",
        "1 log records were lost in journald",
    ] {
        assert!(file.contains(line), "{line}: {file}");
    }
}

#[test]
fn a_journald_that_reads_nothing_holds_nobody_up() {
    let (folder, root) = root();
    let path = folder.path().join("journal");
    let journal = listen(&path);
    let logging = Logging { journal: Some(path.display().to_string()), ..Logging::default() };
    let writer = LogWriter::start(&root, LogOutput::default(), &logging).unwrap();
    for number in 0..5000 {
        writer.log(record(&format!("message {number}")));
    }
    let lost = || writer.lost().iter().find(|(name, _)| *name == "journald").unwrap().1;
    while lost() == 0 {
        std::thread::yield_now();
    }
    writer.close().unwrap();
    let file = fs::read_to_string(folder.path().join("state/logs/agent.jsonl")).unwrap();
    assert_eq!(file.lines().filter(|line| line.contains("\"message ")).count(), 5000, "the file has all of them");
    drop(journal);
}

#[test]
fn what_is_there_and_is_no_socket_is_refused_at_once() {
    let (folder, root) = root();
    for (name, kind) in [("file", "a regular file"), ("folder", "a directory")] {
        let path = folder.path().join(name);
        if name == "file" {
            fs::write(&path, "").unwrap()
        } else {
            fs::create_dir(&path).unwrap()
        }
        let logging = Logging { journal: Some(path.display().to_string()), ..Logging::default() };
        let error = LogWriter::start(&root, LogOutput::default(), &logging).unwrap_err().to_string();
        let expect = format!(
            "{} is {kind}, not the socket of journald. Name that in Settings:system.logging.journal",
            path.display()
        );
        assert!(error.starts_with(&expect), "{error}");
    }
}
