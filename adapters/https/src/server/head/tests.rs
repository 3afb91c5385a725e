//! Where one request ends and the next begins, however the bytes are cut.
#![allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
use super::*;

const FIRST: &str = "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nGET /";
const SECOND: &str = "\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn heads_are_found_wherever_the_bytes_are_cut() {
    let bytes = [FIRST, SECOND].concat().into_bytes();
    let head_end = FIRST.len() - 5;
    for cut in head_end..=bytes.len() {
        let mut seen = Seen::default();
        assert!(seen.push(&bytes[..cut]));
        let first = seen.take_head().unwrap();
        assert_eq!((first.method.as_str(), first.target.as_str(), first.length), ("POST", "/a", Some(5)));
        assert!(seen.push(&bytes[cut..]));
        let second = seen.take_head().unwrap();
        assert_eq!((second.method.as_str(), second.target.as_str(), second.has_body()), ("GET", "/b", false));
        assert!(seen.take_head().is_err());
    }
}

#[test]
fn bytes_beyond_any_ordered_use_are_too_many() {
    let mut seen = Seen::default();
    assert!(seen.push(&vec![b'x'; SEEN_BYTES]));
    assert!(!seen.push(b"x"));
}

#[test]
fn nothing_is_kept_of_a_chunked_body_or_what_follows() {
    let mut seen = Seen::default();
    assert!(seen.push(b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"));
    assert!(seen.take_head().unwrap().chunked);
    assert!(seen.push(&vec![b'x'; 2 * SEEN_BYTES]));
    assert!(seen.take_head().is_err());
}
