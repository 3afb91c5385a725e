//! Heads and bodies that two parsers could read differently, and those beyond a limit (security.md section 6, H26 and H30).

use super::support::{World, text};

const PROBLEM: Option<&str> = Some("application/problem+json");

/// Sends `bytes` on a connection of its own: this status, a body of this type, the end, and nothing reached the agent.
fn check(world: &World, name: &str, bytes: impl AsRef<[u8]>, status: u16, content_type: Option<&str>) {
    let raw = world.https();
    let reply = raw.ask(bytes);
    assert_eq!((reply.status, reply.header("content-type")), (status, content_type), "{name}: {}", reply.head);
    assert!(raw.ends(), "{name}: the connection is closed");
    let arrived = world.requests();
    assert!(arrived.is_empty(), "{name}: {arrived:?}");
}

#[test]
fn ambiguous_heads_are_refused_with_a_problem_and_the_connection_is_closed() {
    let world = World::echoing();
    let chunks = "4\r\nabcd\r\n0\r\n\r\n";
    let post = |fields: &str, body: &str| format!("POST /x HTTP/1.1\r\nHost: h\r\n{fields}\r\n{body}");
    check(&world, "CL, TE", post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", chunks), 400, PROBLEM);
    check(&world, "TE, CL", post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", chunks), 400, PROBLEM);
    check(&world, "te, bad cl", post("transfer-encoding: chunked\r\ncontent-length: +4\r\n", chunks), 400, PROBLEM);
    check(&world, "no Host", "GET / HTTP/1.1\r\nAccept: */*\r\n\r\n", 400, PROBLEM);
    check(&world, "no Host, 1.0", "GET / HTTP/1.0\r\n\r\n", 400, PROBLEM);
    check(&world, "two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, PROBLEM);
    check(&world, "Latin-1", b"GET / HTTP/1.1\r\nHost: h\r\nX: caf\xe9\r\n\r\n", 400, PROBLEM);
    check(&world, "C1 control", "GET / HTTP/1.1\r\nHost: h\r\nX: a\u{85}b\r\n\r\n", 400, PROBLEM);
    check(&world, "bare LF", "GET / HTTP/1.1\nHost: h\r\n\r\n", 400, PROBLEM);
    check(&world, "bare LF at the end", "GET / HTTP/1.1\r\nHost: h\r\n\n", 400, PROBLEM);
    check(&world, "unknown Expect", post("Expect: cake\r\nContent-Length: 1\r\n", "x"), 417, PROBLEM);
    assert_eq!(world.server.counters().refused, 11);
}

#[test]
fn what_hyper_refuses_by_itself_has_a_problem_too() {
    let world = World::echoing();
    let get = |fields: &str| format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
    let te = "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    check(&world, "1.0 with TE", te, 400, PROBLEM);
    check(&world, "two CL", get("Content-Length: 1\r\nContent-Length: 2\r\n"), 400, PROBLEM);
    check(&world, "signed CL", get("Content-Length: +2\r\n"), 400, PROBLEM);
    check(&world, "negative CL", get("Content-Length: -2\r\n"), 400, PROBLEM);
    check(&world, "list CL", get("Content-Length: 2, 2\r\n"), 400, PROBLEM);
    check(&world, "TE gzip", get("Transfer-Encoding: gzip\r\n"), 400, PROBLEM);
    check(&world, "TE chunked, identity", get("Transfer-Encoding: chunked, identity\r\n"), 400, PROBLEM);
    check(&world, "TE xchunked", get("Transfer-Encoding: xchunked\r\n"), 400, PROBLEM);
    check(&world, "obs-fold", get("X: a\r\n b\r\n"), 400, PROBLEM);
    check(&world, "space before colon", get("X : a\r\n"), 400, PROBLEM);
    check(&world, "NUL", get("X: a\0b\r\n"), 400, PROBLEM);
    check(&world, "NUL in the target", "GET /a\0b HTTP/1.1\r\nHost: h\r\n\r\n", 400, PROBLEM);
    check(&world, "space in the target", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400, PROBLEM);
    check(&world, "no request at all", "\0\x01\x02\r\n\r\n", 400, PROBLEM);
    check(&world, "unknown version", "GET / HTTP/3.0\r\nHost: h\r\n\r\n", 400, PROBLEM);
    check(&world, "65 fields", get(&"X: a\r\n".repeat(64)), 431, PROBLEM);
    check(&world, "20 KB field", get(&format!("X: {}\r\n", "a".repeat(20_000))), 431, PROBLEM);
    check(&world, "64 KB target", format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(64 << 10)), 431, PROBLEM);
    assert_eq!(world.server.counters().refused, 18);
}

#[test]
fn a_refusal_after_a_good_request_has_its_problem_and_what_was_smuggled_behind_is_dropped() {
    let world = World::echoing();
    let raw = world.https();
    raw.send(
        "GET /good HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nX : a\r\n\r\nGET /evil HTTP/1.1\r\nHost: h\r\n\r\n",
    );
    assert_eq!(raw.reply(false).unwrap().body, "GET /good []");
    let refusal = raw.reply(false).unwrap();
    assert_eq!((refusal.status, refusal.header("content-type")), (400, PROBLEM));
    assert_eq!(
        (refusal.header("connection"), refusal.body.starts_with("{\"type\"")),
        (Some("close"), true),
        "{refusal:?}"
    );
    assert!(raw.ends());
    assert_eq!(world.requests().len(), 1);
}

#[test]
fn no_answer_of_the_agent_is_taken_for_a_bare_refusal() {
    let lookalike = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    let world = World::new(Some(Box::new(move |_| Some(text(200, lookalike)))));
    let raw = world.https();
    let ask = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(raw.ask(ask).body, lookalike);
    assert_eq!(raw.ask(ask).body, lookalike, "the connection goes on");
}

#[test]
fn a_client_that_asks_first_is_told_to_go_on() {
    let world = World::echoing();
    let raw = world.https();
    let go_on = raw.ask("POST /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(go_on.status, 100);
    assert_eq!(raw.ask("body").body, "POST /x [body]");
    let too_much = raw.ask("POST /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 9999999\r\n\r\n");
    assert_eq!((too_much.status, too_much.header("connection")), (413, Some("close")), "before a byte of it is sent");
}

#[test]
fn targets_reach_the_agent_as_they_were_sent() {
    let world = World::echoing();
    let raw = world.https();
    let targets = ["/a/%2e%2e%2fb", "/a%5cb", "/a%00b", "/%25%32%65", "http://evil/health", "//a", "/a?b#c", "*"];
    for target in targets {
        let method = if target == "*" { "OPTIONS" } else { "GET" };
        let reply = raw.ask(format!("{method} {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!((reply.status, reply.body), (200, format!("{method} {target} []")));
    }
}

#[test]
fn an_http_2_client_is_disconnected() {
    let world = World::echoing();
    let raw = world.https();
    raw.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(raw.ends());
    assert!(world.requests().is_empty());
}

#[test]
fn a_head_at_the_limits_passes() {
    let world = World::echoing();
    let raw = world.https();
    let fields = "X: a\r\n".repeat(63);
    assert_eq!(raw.ask(format!("GET /many HTTP/1.1\r\nHost: h\r\n{fields}\r\n")).status, 200);
    let value = "a".repeat((16 << 10) - "GET /long HTTP/1.1\r\nHost: h\r\nX: \r\n\r\n".len());
    assert_eq!(raw.ask(format!("GET /long HTTP/1.1\r\nHost: h\r\nX: {value}\r\n\r\n")).status, 200);
    let reply = raw.ask(format!("GET /long HTTP/1.1\r\nHost: h\r\nX: {value}a\r\n\r\n"));
    assert_eq!(reply.status, 431);
}

#[test]
fn a_body_over_the_limit_is_413_and_the_client_can_read_that_while_it_is_still_sending() {
    let world = World::echoing();
    let size = (1 << 20) + 1;
    let body = "x".repeat(size);
    check(
        &world,
        "length",
        format!("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n{body}"),
        413,
        PROBLEM,
    );
    check(
        &world,
        "chunked",
        format!("POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{size:x}\r\n{body}\r\n0\r\n\r\n"),
        413,
        PROBLEM,
    );
    check(
        &world,
        "unbelievable length",
        "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 70368744177664\r\n\r\n",
        413,
        PROBLEM,
    );
    check(
        &world,
        "chunk overflow",
        "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx",
        400,
        PROBLEM,
    );
    let raw = world.https();
    let whole = "y".repeat(1 << 20);
    let reply = raw.ask(format!("POST /whole HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{whole}", 1 << 20));
    assert_eq!((reply.status, reply.body.len()), (200, (1 << 20) + "POST /whole []".len()));
}

#[test]
fn a_body_that_looks_like_a_request_stays_a_body() {
    let world = World::echoing();
    let raw = world.https();
    let inner = "GET /evil HTTP/1.1\r\nHost: h\r\n\r\n";
    let length = inner.len();
    raw.send(format!(
        "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{inner}GET /b HTTP/1.1\r\nHost: h\r\n\r\n"
    ));
    assert_eq!(raw.reply(false).unwrap().body, format!("POST /a [{inner}]"));
    assert_eq!(raw.reply(false).unwrap().body, "GET /b []");
    let targets: Vec<String> = world.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(targets, ["/a", "/b"]);
}

#[test]
fn a_good_request_before_a_bad_one_is_answered() {
    let world = World::echoing();
    let raw = world.https();
    raw.send("GET /good HTTP/1.1\r\nHost: h\r\n\r\nGET /bad HTTP/1.1\r\n\r\n");
    assert_eq!(raw.reply(false).unwrap().body, "GET /good []");
    assert_eq!(raw.reply(false).unwrap().status, 400);
    assert!(raw.ends());
}

#[test]
fn a_chunked_body_arrives_whole_and_is_the_last_request_of_its_connection() {
    let world = World::echoing();
    let raw = world.https();
    let reply = raw.ask(
        "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\nGET /d HTTP/1.1\r\nHost: h\r\n\r\n",
    );
    assert_eq!((reply.body.as_str(), reply.header("connection")), ("POST /c [abcde]", Some("close")));
    assert!(raw.ends());
    assert_eq!(world.requests().len(), 1);
}
