//! Slow, silent, vanished and too many clients; an agent that is busy or stops.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use castellan_core::event::Event;

use super::support::{World, tcp, text};

const REQUEST: &str = "GET /x HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn hundreds_of_half_open_connections_do_not_disturb() {
    let world = World::echoing();
    let silent: Vec<TcpStream> = (0..300).map(|_| tcp(world.https)).collect();
    let half: Vec<_> = (0..300)
        .map(|_| {
            let raw = world.http();
            raw.send("GET /x HTTP/1.1\r\nHost: h\r\nX:");
            raw
        })
        .collect();
    assert_eq!(world.https().ask(REQUEST).status, 200);
    assert_eq!(world.http().ask(REQUEST).status, 200);
    assert!(world.server.counters().evicted > 0, "there are fewer places than connections");
    assert!(half[0].ends(), "the oldest made room");
    drop((silent, half));
}

#[test]
fn a_request_in_progress_is_never_evicted() {
    let world = World::new(None);
    let busy = world.http();
    busy.send(REQUEST);
    let Event::Api(request) = world.events.recv_blocking().unwrap() else { panic!("an API event") };
    let silent: Vec<TcpStream> = (0..300).map(|_| tcp(world.http)).collect();
    let last = world.http();
    last.send(REQUEST);
    let Event::Api(next) = world.events.recv_blocking().unwrap() else { panic!("an API event") };
    world.server.respond(request.id, text(200, "still here"));
    world.server.respond(next.id, text(200, "here too"));
    assert_eq!(busy.reply(false).unwrap().body, "still here");
    assert_eq!(last.reply(false).unwrap().body, "here too");
    drop(silent);
}

#[test]
fn a_silent_handshake_a_slow_head_and_an_idle_connection_are_ended() {
    let world = World::echoing();
    let (handshake, half, idle) = (tcp(world.https), world.https(), world.https());
    half.send("GET /x HTTP/1.1\r\nHost: h\r\n");
    assert_eq!(idle.ask(REQUEST).status, 200);
    assert!(half.ends());
    assert!(idle.ends());
    let mut end = Vec::new();
    assert_eq!((&handshake).read_to_end(&mut end).unwrap(), 0);
    assert_eq!(world.requests().len(), 1);
}

#[test]
fn a_head_that_trickles_is_ended_however_often_a_byte_comes() {
    let world = World::echoing();
    let mut stream = tcp(world.http);
    stream.write_all(b"GET /x HTTP/1.1\r\nHost: h\r\nX: ").unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let ended = (0..400).any(|_| {
        // A failed write is the end as well; the read tells.
        stream.write_all(b"a").is_err()
            || !matches!(stream.read(&mut [0; 64]), Err(error) if error.kind() == ErrorKind::WouldBlock)
    });
    assert!(ended);
    assert!(world.requests().is_empty());
}

#[test]
fn a_slow_body_is_408() {
    let world = World::echoing();
    let raw = world.https();
    let reply = raw.ask("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc");
    assert_eq!((reply.status, reply.header("content-type")), (408, Some("application/problem+json")));
    assert!(raw.ends());
    assert!(world.requests().is_empty());
}

#[test]
fn a_client_that_does_not_read_its_response_is_ended() {
    let world = World::new(Some(Box::new(|_| Some(text(200, "x".repeat(16 << 20))))));
    let in_the_open = world.http();
    in_the_open.send(REQUEST);
    let in_tls = world.https();
    in_tls.send(REQUEST);
    world.left.recv_blocking().unwrap();
    world.left.recv_blocking().unwrap();
    assert_eq!(world.server.counters().broken, 2);
}

#[test]
fn an_agent_with_too_much_to_do_is_503_and_the_connection_stays() {
    let world = World::new(None);
    let first = world.https();
    first.send(REQUEST);
    let second = world.https();
    // The queue has one place; which of the two requests gets it does not matter.
    second.send(REQUEST);
    let third = world.https();
    let reply = third.ask(REQUEST);
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    assert_eq!(third.ask(REQUEST).status, 503);
}

#[test]
fn an_answer_for_a_client_that_left_is_counted() {
    let world = World::new(None);
    let raw = world.http();
    raw.send(REQUEST);
    let Event::Api(request) = world.events.recv_blocking().unwrap() else { panic!("an API event") };
    drop(raw);
    world.left.recv_blocking().unwrap();
    world.server.respond(request.id, text(200, "too late"));
    world.server.respond(request.id, text(200, "twice"));
    assert_eq!(world.server.counters().unclaimed, 2);
}

#[test]
fn closing_lets_a_running_response_finish_and_accepts_nobody_else() {
    let world = World::new(None);
    let (running, idle) = (world.https(), world.http());
    running.send(REQUEST);
    let Event::Api(request) = world.events.recv_blocking().unwrap() else { panic!("an API event") };
    idle.send("GET /x");
    world.server.close();
    world.server.respond(request.id, text(200, "last words"));
    assert_eq!(running.reply(false).unwrap().body, "last words");
    assert!(running.ends());
    assert!(idle.ends());
    smol::block_on(world.server.closed());
    assert!(TcpStream::connect(world.http).is_err());
    assert!(TcpStream::connect(world.https).is_err());
}

#[test]
fn closing_does_not_wait_for_an_answer_that_never_comes() {
    let world = World::new(None);
    let waiting = world.https();
    waiting.send(REQUEST);
    assert!(matches!(world.events.recv_blocking().unwrap(), Event::Api(_)));
    world.server.close();
    smol::block_on(world.server.closed());
    assert!(waiting.ends());
}
