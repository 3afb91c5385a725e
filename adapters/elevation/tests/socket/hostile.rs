//! Callers who mean harm, or do not know better: each is refused or closed, leaves nothing, and keeps nobody else waiting.

use std::fs::File;
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use castellan_core::effect::ElevationOrder;
use castellan_elevation::wire::{Ask, Ended, FRAME_BYTES, FromCaller, ToCaller};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use crate::rig::{Files, Rig, ask, within};

fn frame(json: &str) -> Vec<u8> {
    let mut bytes = u32::try_from(json.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend(json.as_bytes());
    bytes
}

/// Sends bytes with descriptors beside the first.
fn send(stream: &UnixStream, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(100))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    assert!(descriptors.is_empty() || beside.push(SendAncillaryMessage::ScmRights(descriptors)));
    rustix::net::sendmsg(stream, &[IoSlice::new(bytes)], &mut beside, SendFlags::NOSIGNAL).unwrap();
}

/// What a stranger is told before his connection is closed.
fn last_words(mut stream: UnixStream) -> String {
    let mut bytes = Vec::new();
    // Closed with something unread: what was said before still arrives.
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    String::from_utf8_lossy(bytes.get(4..).unwrap_or_default()).into_owned()
}

fn json(ask: &Ask) -> String {
    let words = ask.words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(",");
    format!(
        r#"{{"version":{},"words":[{words}],"terminal":{},"environment":[],"reason":null,"code":null}}"#,
        ask.version, ask.terminal
    )
}

#[test]
fn what_is_no_request_is_refused_with_a_sentence() {
    let rig = Rig::start();
    let good = frame(&json(&ask(&["true"])));
    let file = File::open("/dev/null").unwrap();
    let with = |change: fn(&mut Ask)| {
        let mut ask = ask(&["true"]);
        change(&mut ask);
        frame(&json(&ask))
    };
    let cases: [(&str, Vec<u8>, usize, &str); 14] = [
        ("GET / HTTP/1.1", b"GET / HTTP/1.1\r\nHost: castellan\r\n\r\n".to_vec(), 4, "was announced"),
        ("no descriptors", good.clone(), 0, "0 descriptors came"),
        ("three descriptors", good.clone(), 3, "3 descriptors came"),
        ("100 descriptors", good.clone(), 100, "more than"),
        ("too long", u32::try_from(FRAME_BYTES + 1).unwrap().to_le_bytes().to_vec(), 4, "was announced"),
        ("another version", with(|ask| ask.version = 2), 4, "version 2"),
        ("no command", with(|ask| ask.words.clear()), 4, "names no command"),
        ("an empty command", with(|ask| ask.words[0].clear()), 4, "names no command"),
        ("a terminal that is none", with(|ask| ask.terminal = true), 4, "is called a terminal"),
        ("descriptors beside a question", frame(r#"{"version":1,"own":"List"}"#), 4, "instead of 0"),
        ("an unknown question", frame(r#"{"version":1,"own":"All"}"#), 0, "is not understood"),
        ("a question as somebody else", frame(r#"{"version":1,"own":"List","uid":0}"#), 0, "is not understood"),
        ("a question and a command", frame(r#"{"version":1,"own":"List","words":["id"]}"#), 0, "is not understood"),
        ("a frame of something else", frame(r#"{"version":1,"uid":0}"#), 4, "is not understood"),
    ];
    for (what, bytes, count, why) in cases {
        let (stream, files) = (rig.stranger(), Files::new());
        let descriptors: Vec<BorrowedFd<'_>> = files.lent().into_iter().cycle().take(count).collect();
        send(&stream, &bytes, &descriptors);
        let told = last_words(stream);
        assert!(told.contains("does not take the request") && told.contains(why), "{what}: {told}");
        files.are_closed();
    }
    let (stream, files) = (rig.stranger(), Files::new());
    send(&stream, &good, &[file.as_fd(), file.as_fd(), files.stdout.as_fd(), file.as_fd()]);
    let told = last_words(stream);
    assert!(told.contains("not that of a folder"), "{told}");
    files.are_closed();
    rig.serves();
}

#[test]
fn who_stops_in_the_middle_is_not_waited_for() {
    let rig = Rig::start();
    let whole = frame(&json(&ask(&["true"])));
    let silent = rig.stranger();
    let (half, files) = (rig.stranger(), Files::new());
    send(&half, &whole[..20], &files.lent());
    // A later frame, too: its caller was heard already.
    let (later, lent) = (rig.stranger(), Files::new());
    send(&later, &whole, &lent.lent());
    let (caller, _) = rig.asked();
    (&later).write_all(&[9, 0]).unwrap();
    for _ in 0..3 {
        rig.serves();
    }
    assert!(last_words(silent).contains("longer than"));
    assert!(last_words(half).contains("longer than"));
    files.are_closed();
    rig.left(caller);
    lent.are_closed();
}

#[test]
fn an_answer_that_nobody_asked_for_ends_the_connection() {
    let rig = Rig::start();
    let (connection, files) = (rig.connect(), Files::new());
    within("a request", connection.ask(&ask(&["true"]), files.lent())).unwrap();
    let (caller, _) = rig.asked();
    within("a reply", connection.send(&FromCaller::Reply { prompt: 0, text: None })).unwrap();
    rig.left(caller);
    assert_eq!(rig.hear(&connection), None);
    files.are_closed();
}

#[test]
fn who_does_not_read_is_dropped_and_others_do_not_wait() {
    let rig = Rig::start();
    let (connection, files) = (rig.connect(), Files::new());
    within("a request", connection.ask(&ask(&["true"]), files.lent())).unwrap();
    let (caller, _) = rig.asked();
    for _ in 0..200 {
        rig.port().order(ElevationOrder::Tell { caller, text: "x".repeat(64 << 10) });
    }
    rig.left(caller);
    files.are_closed();
    rig.serves();
    assert!(matches!(rig.hear(&connection), Some(ToCaller::Tell { .. })), "what he was told stays for him to read");
}

#[test]
fn ten_thousand_connections_do_not_keep_anybody_out() {
    let rig = Rig::start();
    let mut taken: Vec<_> = std::iter::repeat_with(|| rig.takes_a_place()).take(16).collect();
    for _ in 0..10_000 {
        let told = last_words(rig.stranger());
        assert!(told.contains("one user may have 16"), "{told}");
    }
    // Each of them is told and gone; who has a place keeps it, and the next one gets the next that is free.
    let (caller, connection) = taken.pop().unwrap();
    rig.answer(caller, 0);
    assert_eq!(rig.hear(&connection), Some(ToCaller::Ended(Ended::Code(0))));
    while !rig.admits() {}
}
