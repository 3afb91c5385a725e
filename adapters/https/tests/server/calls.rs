//! The port of Http tasks against real peers: every order is answered once, trust and bounds hold.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use castellan_core::effect::{HttpCall, HttpOrder};
use castellan_core::event::{Event, HttpReport};
use castellan_core::id::TicketId;
use castellan_core::job::url::HttpUrl;
use castellan_https::calls::Calls;
use smol::channel::{Receiver, bounded};

use super::support::World;

/// The port on an executor of its own; the test takes its reports.
struct Port {
    executor: Arc<smol::Executor<'static>>,
    calls: Calls,
    events: Receiver<Event>,
}

impl Port {
    fn new() -> Self {
        let executor = Arc::new(smol::Executor::new());
        let (sender, events) = bounded(8);
        Self { calls: Calls::new(Arc::clone(&executor), sender), executor, events }
    }

    fn send(&self, ticket: u64, url: &str, give_up_seconds: u64) {
        self.calls.order(HttpOrder::Send(call(ticket, url, give_up_seconds))).unwrap();
    }

    /// Ticket, and status with body or the reason of the failure.
    fn report(&self) -> (u64, Result<(u16, String), String>) {
        let event = smol::block_on(self.executor.run(self.events.recv())).unwrap();
        let Event::Http(report) = event else { panic!("{event:?}") };
        match report {
            HttpReport::Answered { ticket, status, body } => {
                (ticket.0, Ok((status, String::from_utf8_lossy(&body.head).into_owned())))
            }
            HttpReport::Failed { ticket, reason } => (ticket.0, Err(reason)),
        }
    }
}

fn call(ticket: u64, url: &str, give_up_seconds: u64) -> HttpCall {
    HttpCall {
        ticket: TicketId(ticket),
        method: "GET".to_owned(),
        url: HttpUrl::parse(url).unwrap(),
        headers: Vec::new(),
        body: Vec::new(),
        give_up_seconds,
    }
}

fn silent() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[test]
fn a_trusted_server_answers_and_an_unknown_one_is_not_asked() {
    let world = World::echoing();
    let url = format!("https://localhost:{}/a?b", world.https.port());
    let mut port = Port::new();
    port.calls = port.calls.trusting(Arc::new(world.client_config(None)));
    port.send(1, &url, 60);
    assert_eq!(port.report(), (1, Ok((200, "GET /a?b []".to_owned()))));
    let port = Port::new();
    port.send(2, &url, 60);
    let (ticket, result) = port.report();
    // Without any root on the machine the reason is another one; trusted it is never.
    assert!(ticket == 2 && result.is_err(), "{result:?}");
    assert_eq!(world.requests().len(), 1);
}

#[test]
fn a_canceled_call_is_answered_once() {
    let (_listener, address) = silent();
    let port = Port::new();
    port.send(1, &format!("http://{address}/"), 3600);
    port.calls.order(HttpOrder::Cancel { ticket: TicketId(1) }).unwrap();
    port.calls.order(HttpOrder::Cancel { ticket: TicketId(1) }).unwrap();
    assert_eq!(port.report(), (1, Err("it was canceled".to_owned())));
    port.calls.order(HttpOrder::Cancel { ticket: TicketId(1) }).unwrap();
    assert!(port.events.is_empty());
}

#[test]
fn a_silent_server_is_given_up() {
    let (_listener, address) = silent();
    let port = Port::new();
    port.send(1, &format!("http://{address}/"), 1);
    let (_, result) = port.report();
    assert!(result.as_ref().unwrap_err().contains("no complete response within 1000 ms"), "{result:?}");
}

#[test]
fn too_many_at_a_time_are_refused_and_places_come_back() {
    let (_listener, address) = silent();
    let port = Port::new();
    let url = format!("http://{address}/");
    let mut sent = 0;
    while port.calls.order(HttpOrder::Send(call(sent, &url, 3600))).is_ok() {
        sent += 1;
        assert!(sent < 10_000, "no bound");
    }
    port.calls.order(HttpOrder::Cancel { ticket: TicketId(0) }).unwrap();
    assert_eq!(port.report().0, 0);
    port.send(sent, &url, 3600);
}
