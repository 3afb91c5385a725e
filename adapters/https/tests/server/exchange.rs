//! What reaches the agent, and what its answer becomes.

use std::sync::atomic::Ordering;

use castellan_core::api::{ApiResponse, Listener};

use super::support::{AT_ONCE, World, text};

#[test]
fn a_request_reaches_the_agent_as_it_was_sent() {
    let world = World::echoing();
    let raw = world.https();
    let reply = raw.ask(
        "PUT http://evil/a%2e%2e%2fb?c=d%20e HTTP/1.1\r\nHost: 127.0.0.1\r\nX-B: 1\r\nx-a: \u{e4}\r\nX-B: 2\r\nContent-Length: 2\r\n\r\n{}",
    );
    assert_eq!(reply.body, "PUT http://evil/a%2e%2e%2fb?c=d%20e [{}]");
    let request = world.requests().remove(0);
    let fields: Vec<(&str, &str)> =
        request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(fields, [("host", "127.0.0.1"), ("x-b", "1"), ("x-a", "\u{e4}"), ("x-b", "2"), ("content-length", "2")]);
    assert_eq!((request.listener, request.certificate, request.body), (Listener::Https, None, b"{}".to_vec()));
    assert_eq!(request.peer.claimed_pid, None);
}

#[test]
fn the_peer_is_looked_at_anew_for_every_request_of_a_connection() {
    let world = World::echoing();
    let raw = world.https();
    for expected in 1..=3 {
        assert_eq!(raw.ask("GET /x HTTP/1.1\r\nHost: h\r\n\r\n").status, 200);
        assert_eq!(world.asked.load(Ordering::SeqCst), expected);
    }
    let ids: Vec<u64> = world.requests().iter().map(|request| request.id.0).collect();
    assert_eq!(ids, [1, 2, 3]);
}

#[test]
fn what_can_be_answered_at_once_needs_neither_the_agent_nor_a_look_at_the_peer() {
    let world = World::echoing();
    let raw = world.https();
    for _ in 0..2 {
        let reply = raw.ask(format!("GET {AT_ONCE} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!((reply.status, reply.body.as_str()), (200, "at once"));
    }
    assert_eq!(raw.ask("GET /x HTTP/1.1\r\nHost: h\r\n\r\n").body, "GET /x []");
    assert_eq!((world.asked.load(Ordering::SeqCst), world.server.counters().answered_at_once), (1, 2));
    let targets: Vec<String> = world.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(targets, ["/x"]);
}

#[test]
fn the_http_listener_reads_no_body_and_closes_after_one() {
    let world = World::echoing();
    let raw = world.http();
    assert_eq!(raw.ask("GET /health HTTP/1.1\r\nHost: h\r\n\r\n").body, "GET /health []");
    let reply = raw.ask("POST /api/Jobs HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n");
    assert_eq!((reply.body.as_str(), reply.header("connection")), ("POST /api/Jobs []", Some("close")));
    assert!(raw.ends());
    let requests = world.requests();
    assert!(requests.iter().all(|request| request.listener == Listener::Http && request.body.is_empty()));
}

#[test]
fn head_gets_the_headers_of_get_and_no_body() {
    let world = World::echoing();
    let raw = world.https();
    raw.send("HEAD /x HTTP/1.1\r\nHost: h\r\n\r\nGET /y HTTP/1.1\r\nHost: h\r\n\r\n");
    let reply = raw.reply(true).unwrap();
    assert_eq!((reply.status, reply.header("content-length")), (200, Some("10")));
    assert_eq!(raw.reply(false).unwrap().body, "GET /y []");
}

#[test]
fn status_and_headers_are_the_agents_and_what_is_not_http_becomes_a_500() {
    let world = World::new(Some(Box::new(|request| {
        let with = |name: &str, value: &str| ApiResponse {
            status: 308,
            headers: vec![(name.to_owned(), value.to_owned())],
            body: Vec::new(),
        };
        Some(match request.target.as_str() {
            "/moved" => with("Location", "https://127.0.0.1/x"),
            "/split" => with("X", "a\r\nSet-Cookie: b"),
            "/name" => with("a b", "c"),
            "/framing" => with("Content-Length", "5"),
            "/status" => text(99, ""),
            "/continue" => text(100, ""),
            other => panic!("{other}"),
        })
    })));
    let raw = world.https();
    let ask = |target: &str| raw.ask(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
    let moved = ask("/moved");
    assert_eq!((moved.status, moved.header("location")), (308, Some("https://127.0.0.1/x")));
    for target in ["/split", "/name", "/framing", "/status", "/continue"] {
        let reply = ask(target);
        assert_eq!((reply.status, reply.header("set-cookie")), (500, None), "{target}");
    }
    assert_eq!(world.server.counters().unsendable, 5);
}
