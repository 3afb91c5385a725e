//! Responses that stay open; the test plays the agent by hand.

use std::sync::Arc;
use std::time::Duration;

use castellan_core::api::ApiResponse;
use castellan_core::effect::StreamOrder;
use castellan_core::event::{Event, StreamEnd};
use castellan_core::id::RequestId;
use castellan_https::client::{ClientError, ClientRequest, EventStream, Followed, StreamEvent, follow};

use super::support::{Raw, World, tcp, text};

/// No deadline of these tests is ever waited for, except where that is said.
const PATIENCE: Duration = Duration::from_secs(40);

fn request(world: &World) -> RequestId {
    let Ok(Event::Api(request)) = world.events.recv_blocking() else { panic!("no request") };
    request.id
}

fn ended(world: &World) -> (RequestId, StreamEnd) {
    let Ok(Event::StreamEnded { request, why }) = world.events.recv_blocking() else { panic!("no end") };
    (request, why)
}

fn open(world: &World, request: RequestId, body: &str) {
    let headers = vec![("content-type".to_owned(), "text/event-stream".to_owned())];
    let response = ApiResponse { status: 200, headers, body: body.as_bytes().to_vec() };
    world.server.stream(StreamOrder::Open { request, response });
}

fn append(world: &World, request: RequestId, bytes: &str) {
    world.server.stream(StreamOrder::Append { request, bytes: Arc::from(bytes.as_bytes()) });
}

/// An open stream that began with `hello`.
fn opened(world: &World) -> (Raw, RequestId) {
    let raw = world.https();
    raw.send("GET /api/events HTTP/1.1\r\nHost: h\r\n\r\n");
    let id = request(world);
    open(world, id, "hello");
    let head = raw.reply(true).unwrap();
    assert_eq!((head.status, head.header("transfer-encoding")), (200, Some("chunked")), "{}", head.head);
    assert_eq!(raw.chunk().as_deref(), Some("hello"));
    (raw, id)
}

#[test]
fn what_is_appended_arrives_at_once_and_the_connection_goes_on_after_the_end() {
    let world = World::new(None);
    let (raw, id) = opened(&world);
    for part in ["one", "two"] {
        append(&world, id, part);
        assert_eq!(raw.chunk().as_deref(), Some(part));
    }
    append(&world, id, "last");
    world.server.stream(StreamOrder::Finish { request: id });
    assert_eq!(raw.chunk().as_deref(), Some("last"), "what was sent before the end still comes");
    assert_eq!(raw.chunk(), None);
    raw.send("GET /next HTTP/1.1\r\nHost: h\r\n\r\n");
    let next = request(&world);
    world.server.respond(next, text(200, "next"));
    assert_eq!(raw.reply(false).unwrap().body, "next");
    assert!(world.events.is_empty(), "an end that the agent wanted is no news");
}

#[test]
fn a_client_that_leaves_is_told_once_and_gives_its_place_back() {
    let world = World::new(None);
    let (raw, id) = opened(&world);
    let (other, second) = opened(&world);
    drop(raw);
    assert_eq!(ended(&world), (id, StreamEnd::Left));
    world.left.recv_blocking().unwrap();
    append(&world, second, "still here");
    assert_eq!(other.chunk().as_deref(), Some("still here"));
    // An agent that has not heard of it is told again.
    append(&world, id, "late");
    assert_eq!(ended(&world), (id, StreamEnd::Left));
    assert_eq!(world.server.counters().broken, 0, "leaving is the only way to end a stream");
    open(&world, RequestId(77), "nobody");
    assert_eq!(ended(&world), (RequestId(77), StreamEnd::Left));
}

#[test]
fn a_client_that_does_not_read_is_left_behind_and_disturbs_nobody() {
    let world = World::new(None);
    let (slow, id) = opened(&world);
    let (other, second) = opened(&world);
    let block = "x".repeat(64 << 10);
    let mut sent = 0;
    while world.events.is_empty() {
        append(&world, id, &block);
        sent += 1;
        append(&world, second, "tick");
        assert_eq!(other.chunk().as_deref(), Some("tick"));
        assert!(sent < 2000, "more than any socket takes is waiting for a client that does not read");
    }
    assert_eq!(ended(&world), (id, StreamEnd::NotRead));
    assert_eq!(world.server.counters().not_read, 1);
    // What waited when it was left behind comes in order, then the end, as of a stream that is over.
    let mut read = 0;
    while let Some(chunk) = slow.chunk() {
        assert_eq!(chunk, block);
        read += 1;
    }
    assert_eq!(read, sent - 1, "all but the one that had no room");
    append(&world, second, "tock");
    assert_eq!(other.chunk().as_deref(), Some("tock"));
}

#[test]
fn an_open_stream_is_not_idle_and_the_server_ends_it_in_order() {
    let world = World::new(None);
    let (raw, id) = opened(&world);
    let crowd: Vec<_> = (0..300).map(|_| tcp(world.https)).collect();
    // Accepted in their order: once the last has its place, those before had theirs.
    let (last, second) = opened(&world);
    assert!(world.server.counters().evicted >= 44, "{:?}", world.server.counters());
    append(&world, id, "still here");
    assert_eq!(raw.chunk().as_deref(), Some("still here"));
    world.server.close();
    assert_eq!((raw.chunk(), last.chunk()), (None, None), "{second:?}");
    assert!(raw.ends() && last.ends());
    drop(crowd);
}

fn get(world: &World, timeout: Duration) -> ClientRequest {
    ClientRequest {
        method: String::from("GET"),
        address: world.https,
        host: String::from("127.0.0.1"),
        target: String::from("/api/events"),
        headers: Vec::new(),
        body: Vec::new(),
        tls: Some(Arc::new(world.client_config(None))),
        timeout,
    }
}

fn followed(world: &World, body: &'static str) -> (EventStream, RequestId) {
    smol::block_on(async {
        let ask = follow(get(world, PATIENCE));
        let answer = async {
            let Ok(Event::Api(request)) = world.events.recv().await else { panic!("no request") };
            open(world, request.id, body);
            request.id
        };
        let (followed, id) = futures_lite::future::zip(ask, answer).await;
        let Ok(Followed::Open(stream)) = followed else { panic!("no stream: {followed:?}") };
        (stream, id)
    })
}

#[test]
fn the_own_client_reads_event_by_event_with_a_deadline_for_each_wait() {
    let world = World::new(None);
    let (mut stream, id) = followed(&world, "retry: 1000\nid: 7-0\n\n");
    append(&world, id, "id: 7-1\nevent: run\ndata: {}\n\nid: 7-2\nev");
    append(&world, id, "ent: plugin\ndata: 2\n\n");
    let event = |kind: &str, data: &str| StreamEvent { kind: kind.to_owned(), data: data.to_owned() };
    smol::block_on(async {
        assert_eq!(stream.next(PATIENCE).await.unwrap(), Some(event("run", "{}")));
        assert_eq!(stream.last_event_id(), Some("7-1"));
        assert_eq!(stream.next(PATIENCE).await.unwrap(), Some(event("plugin", "2")));
        let limit = Duration::from_millis(20);
        assert!(matches!(stream.next(limit).await, Err(ClientError::TimedOut(waited)) if waited == limit));
        append(&world, id, "data: after\n\n");
        assert_eq!(
            stream.next(PATIENCE).await.unwrap(),
            Some(event("message", "after")),
            "a wait that was in vain loses nothing"
        );
        world.server.stream(StreamOrder::Finish { request: id });
        assert_eq!(stream.next(PATIENCE).await.unwrap(), None);
    });
    assert_eq!(stream.last_event_id(), Some("7-2"));
}

#[test]
fn the_own_client_tells_a_refusal_from_a_stream() {
    let world = World::new(Some(Box::new(|_| Some(text(403, "no")))));
    let followed = smol::block_on(follow(get(&world, PATIENCE)));
    let Ok(Followed::Refused(response)) = followed else { panic!("no refusal: {followed:?}") };
    assert_eq!((response.status, response.body.as_slice()), (403, b"no".as_slice()));
}
