//! The parser of event streams.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

use super::ClientError;
use super::event_stream::{Parser, StreamEvent};

fn event(kind: &str, data: &str) -> StreamEvent {
    StreamEvent { kind: kind.to_owned(), data: data.to_owned() }
}

#[test]
fn every_cut_of_a_stream_gives_the_same_events() {
    let text = "retry: 1000\n\n:\nid: 7-1\n\nid: 7-2\nevent: run\ndata: {\"a\":1}\n\ndata:one\r\ndata: two\r\n\r\nevent: half\n";
    for cut in 0..=text.len() {
        let (mut parser, mut found) = (Parser::default(), Vec::new());
        for part in [text.as_bytes().get(..cut).unwrap(), text.as_bytes().get(cut..).unwrap()] {
            parser.push(part);
            while let Some(event) = parser.next().unwrap() {
                found.push(event);
            }
        }
        assert_eq!(found, [event("run", "{\"a\":1}"), event("message", "one\ntwo")], "cut at {cut}");
    }
}

#[test]
fn a_line_or_an_event_without_end_is_an_error() {
    for piece in [&b"x"[..], b"data: 0123456789\n"] {
        let mut parser = Parser::default();
        let error = (0..2 << 20).find_map(|_| {
            parser.push(piece);
            parser.next().err()
        });
        assert!(matches!(error, Some(ClientError::TooLarge)), "{error:?}");
    }
}
