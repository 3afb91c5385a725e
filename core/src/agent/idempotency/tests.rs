//! Keys, answers and their bounds.

use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use super::{Idempotency, KEPT_ANSWER_BYTES, KEPT_ANSWERS, KEPT_SECONDS};
use crate::api::{ApiRequest, ApiResponse, Listener};
use crate::id::RequestId;
use crate::time::Monotonic;
use crate::trust::PeerFacts;

/// A table, and the number of the next request.
#[derive(Default)]
struct Desk {
    table: Idempotency,
    next: u64,
    millis: u64,
}

impl Desk {
    /// Asks; the status that it is answered at once, and whether that is a replay.
    fn ask(&mut self, caller: &str, key: &str, target: &str, body: &str) -> Option<(u16, bool)> {
        self.next += 1;
        let request = ApiRequest {
            id: RequestId(self.next),
            listener: Listener::Https,
            peer: PeerFacts::default(),
            certificate: None,
            method: "POST".to_string(),
            target: target.to_string(),
            headers: vec![],
            body: body.as_bytes().to_vec(),
        };
        let answer = self.table.answer(Monotonic::from_millis(self.millis), caller.to_string(), key, &request)?;
        Some((answer.status, answer.headers.iter().any(|(name, _)| name == "idempotency-replayed")))
    }

    /// Asks as the first one and is answered so.
    fn answered(&mut self, caller: &str, key: &str, status: u16, body: Vec<u8>) {
        assert_eq!(self.ask(caller, key, "/", ""), None, "{caller} {key}");
        self.table.keep(RequestId(self.next), &ApiResponse::document(status, body));
    }
}

#[test]
fn a_key_is_its_callers_and_stands_for_one_request() {
    let mut desk = Desk::default();
    assert_eq!(desk.ask("a", "k", "/x", "1"), None);
    assert_eq!(desk.ask("a", "k", "/x", "1"), Some((409, false)), "under way");
    assert_eq!(desk.ask("b", "k", "/x", "1"), None, "somebody else's");
    desk.table.keep(RequestId(1), &ApiResponse::document(202, vec![]));
    for (caller, key, target, body, expect) in [
        ("a", "k", "/x", "1", Some((202, true))),
        ("a", "k", "/x", "2", Some((422, false))),
        ("a", "k", "/y", "1", Some((422, false))),
        ("a", "k", "/x?1", "", Some((422, false))),
        ("b", "k", "/x", "1", Some((409, false))),
        ("a", "K", "/x", "1", None),
    ] {
        assert_eq!(desk.ask(caller, key, target, body), expect, "{caller} {key} {target} {body}");
    }
}

#[test]
fn what_may_be_tried_again_is_not_kept() {
    let mut desk = Desk::default();
    for (status, kept) in [(200, true), (201, true), (202, true), (400, true), (404, true), (409, true)]
        .into_iter()
        .chain([(403, false), (500, false), (503, false)])
    {
        let key = status.to_string();
        desk.answered("a", &key, status, vec![]);
        assert_eq!(desk.ask("a", &key, "/", ""), kept.then_some((status, true)), "{status}");
    }
}

#[test]
fn after_a_day_a_key_is_new_unless_its_request_is_under_way() {
    let mut desk = Desk::default();
    desk.answered("a", "k", 200, vec![]);
    assert_eq!(desk.ask("a", "waits", "/", ""), None);
    desk.millis = KEPT_SECONDS * 1000 - 1;
    assert_eq!(desk.ask("a", "k", "/", ""), Some((200, true)));
    desk.millis += 1;
    assert_eq!(desk.ask("a", "k", "/", ""), None);
    assert_eq!(desk.ask("a", "waits", "/", ""), Some((409, false)));
}

#[test]
fn whoever_has_the_most_makes_room() {
    let mut desk = Desk::default();
    desk.answered("careful", "first", 200, vec![]);
    for number in 0..KEPT_ANSWERS * 2 {
        desk.answered("flood", &number.to_string(), 200, vec![]);
        assert!(desk.table.entries.len() <= KEPT_ANSWERS);
    }
    assert_eq!(desk.ask("careful", "first", "/", ""), Some((200, true)));
    assert_eq!(desk.ask("flood", "0", "/", ""), None, "the oldest of the flood is forgotten");

    let mut desk = Desk::default();
    let large = || vec![0; KEPT_ANSWER_BYTES / 3];
    desk.answered("careful", "first", 200, large());
    for number in 0..3 {
        desk.answered("flood", &number.to_string(), 200, large());
    }
    assert_eq!(desk.ask("careful", "first", "/", ""), Some((200, true)));
    assert_eq!(desk.ask("flood", "0", "/", ""), None);
    assert_eq!(desk.ask("flood", "2", "/", ""), Some((200, true)));
    desk.answered("other", "huge", 200, vec![0; KEPT_ANSWER_BYTES + 1]);
    assert!(desk.table.entries.iter().map(super::Entry::bytes).sum::<usize>() <= KEPT_ANSWER_BYTES);
}

#[test]
fn a_table_of_requests_under_way_takes_no_more() {
    let mut desk = Desk::default();
    for number in 0..KEPT_ANSWERS {
        assert_eq!(desk.ask(&format!("{}", number % 7), &number.to_string(), "/", ""), None);
    }
    assert_eq!(desk.ask("a", "more", "/", ""), Some((503, false)));
    desk.table.keep(RequestId(1), &ApiResponse::document(200, vec![]));
    assert_eq!(desk.ask("a", "more", "/", ""), None, "there is room again");
    let caller = String::from("0");
    assert_eq!(desk.ask(&caller, "0", "/", ""), Some((503, false)), "what made room is forgotten");
}
