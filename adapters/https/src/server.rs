//! The servers on the HTTP and HTTPS listeners: accept, admit, and hand each request to the agent as an event.
//!
//! What it never does: decide who may do what, follow a client's word on who it is, wait without a bound.

mod alarm;
mod connection;
mod exchange;
mod head;
mod limits;
mod problem;
mod slots;
mod stream;
mod tap;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use castellan_core::api::{ApiRequest, ApiResponse, Listener};
use castellan_core::effect::StreamOrder;
use castellan_core::event::Event;
use castellan_core::id::RequestId;
use castellan_core::trust::{SocketFacts, Witness};
use futures_lite::future::or;
use smol::channel::{Receiver, Sender, bounded};
use smol::{Async, Timer};

use connection::Connection;
use slots::{Admission, Owner, Slots};
use stream::{Answer, Streams};

/// Called with a connection right after it was accepted: what the kernel knows about its other end now, and who looks again later.
pub type Observe = Arc<dyn Fn(&std::net::TcpStream) -> io::Result<(Option<SocketFacts>, Witness)> + Send + Sync>;

/// The answer to a request of which nothing is known about the peer, where that is enough and the agent's thread need not be asked.
pub type AnswerAtOnce = Arc<dyn Fn(&ApiRequest) -> Option<ApiResponse> + Send + Sync>;

/// What the servers are made of.
pub struct ServerConfig {
    /// The bound HTTP listener.
    pub http: TcpListener,
    /// The bound HTTPS listener.
    pub https: TcpListener,
    /// See [`crate::tls_config`].
    pub tls: Arc<rustls::ServerConfig>,
    /// Who is at the other end.
    pub observe: Observe,
    /// Runs all connections.
    pub executor: Arc<smol::Executor<'static>>,
    /// Asked first, for each request.
    pub at_once: AnswerAtOnce,
    /// Takes [`Event::Api`]; each is answered by [`Server::respond`] or [`Server::stream`].
    pub events: Sender<Event>,
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ServerConfig")
            .field("http", &self.http)
            .field("https", &self.https)
            .finish_non_exhaustive()
    }
}

/// How often what happened since the start; for the status page and the log's aggregate lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Connections taken.
    pub accepted: u64,
    /// Requests that [`ServerConfig::at_once`] answered.
    pub answered_at_once: u64,
    /// Connections closed without a request in progress, to make room for a new one.
    pub evicted: u64,
    /// Connections closed at once because every place was busy.
    pub turned_away: u64,
    /// Connections closed at once because nothing could be found out about their other end.
    pub unobserved: u64,
    /// Handshakes that failed or took too long.
    pub handshakes_failed: u64,
    /// Requests refused for their framing, size or time.
    pub refused: u64,
    /// Requests answered with 503 because the agent's queue was full.
    pub overloaded: u64,
    /// Requests that the agent did not answer in time.
    pub unanswered: u64,
    /// Responses that nobody waited for any more.
    pub unclaimed: u64,
    /// Open responses that were ended because their client did not read.
    pub not_read: u64,
    /// Responses that could not be sent as they were.
    pub unsendable: u64,
    /// Connections that ended in the middle of a message or against the protocol.
    pub broken: u64,
    /// Calls of `accept` that failed.
    pub accept_failed: u64,
    /// The last error of `accept` or of the observation, as text.
    pub last_error: Option<String>,
}

/// Something that the servers could not do for a client, or a client not with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// In snake case, for counters.
    pub name: &'static str,
    /// For the log, in the plural; `None` where it is ordinary.
    pub said: Option<&'static str>,
    /// How often since the start.
    pub count: u64,
}

impl Counters {
    /// Everything that failed, always in this order.
    pub const fn failures(&self) -> [Failure; 12] {
        const fn failure(name: &'static str, said: Option<&'static str>, count: u64) -> Failure {
            Failure { name, said, count }
        }
        [
            failure("evicted", Some("connections evicted"), self.evicted),
            failure("turned_away", Some("connections turned away"), self.turned_away),
            failure("unobserved", Some("connections of unknown origin"), self.unobserved),
            failure("handshake", Some("failed handshakes"), self.handshakes_failed),
            failure("refused", Some("requests refused for their framing, size or time"), self.refused),
            failure("overloaded", Some("requests answered with 503"), self.overloaded),
            failure("unanswered", Some("requests without an answer in time"), self.unanswered),
            failure("unclaimed", None, self.unclaimed),
            failure("not_read", Some("event streams that were not read"), self.not_read),
            failure("unsendable", Some("responses that could not be sent as they were"), self.unsendable),
            failure("broken", Some("broken connections"), self.broken),
            failure("accept", Some("failed accepts"), self.accept_failed),
        ]
    }
}

/// What all connections share.
pub(crate) struct Shared {
    events: Sender<Event>,
    at_once: AnswerAtOnce,
    waiting: Mutex<BTreeMap<RequestId, Sender<Answer>>>,
    streams: Mutex<Streams>,
    next_request: AtomicU64,
    counters: Mutex<Counters>,
    /// Closed once the server closes.
    closing: Receiver<()>,
}

impl Shared {
    /// Changes the counters.
    pub(crate) fn count(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut self.counters.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<RequestId, Sender<Answer>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Completes once the server closes.
    pub(crate) async fn closing(&self) {
        // Nothing is ever sent: an error, the channel's end, is the message.
        while self.closing.recv().await.is_ok() {}
    }
}

/// One more.
pub(crate) const fn bump(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}

/// The running servers. Dropping it closes them.
pub struct Server {
    shared: Arc<Shared>,
    close: Sender<()>,
    ended: Receiver<()>,
}

impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Server").field("waiting", &self.shared.waiting().len()).finish_non_exhaustive()
    }
}

impl Server {
    /// Answers a request. Where its client has left meanwhile, that is counted and nothing else.
    pub fn respond(&self, request: RequestId, response: ApiResponse) {
        let waiter = self.shared.waiting().remove(&request);
        if waiter.is_none_or(|waiter| waiter.try_send(Answer::Whole(response)).is_err()) {
            self.shared.count(|counters| bump(&mut counters.unclaimed));
        }
    }

    /// Opens a response that stays open, adds to it, or ends it. [`Event::StreamEnded`] tells that its client is gone.
    pub fn stream(&self, order: StreamOrder) {
        self.shared.stream(order);
    }

    /// Stops accepting at once; responses in progress get three seconds to finish, open ones end. [`Server::closed`] tells when all is over.
    pub fn close(&self) {
        self.close.close();
        self.shared.streams().clear();
    }

    /// Completes once all connections are gone, which after [`Server::close`] takes five seconds at most.
    pub async fn closed(&self) {
        // Nothing is ever sent: an error, the channel's end, is the message.
        while self.ended.recv().await.is_ok() {}
    }

    /// How often what happened.
    pub fn counters(&self) -> Counters {
        self.shared.counters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.close.close();
    }
}

/// Starts serving on both listeners.
///
/// # Errors
/// Where a listener cannot be watched.
pub fn start(config: ServerConfig) -> io::Result<Server> {
    let (close, closing) = bounded(1);
    let (alive, ended) = bounded(1);
    let shared = Arc::new(Shared {
        events: config.events,
        at_once: config.at_once,
        waiting: Mutex::default(),
        streams: Mutex::default(),
        next_request: AtomicU64::new(1),
        counters: Mutex::default(),
        closing,
    });
    let doors = [(Listener::Http, config.http, None), (Listener::Https, config.https, Some(config.tls))];
    let doors = doors.map(|(listener, socket, tls)| {
        Ok(Door {
            listener,
            socket: Async::new(socket)?,
            tls: tls.map(futures_rustls::TlsAcceptor::from),
            observe: Arc::clone(&config.observe),
            executor: Arc::clone(&config.executor),
            shared: Arc::clone(&shared),
            slots: Slots::new(limits::CONNECTIONS, limits::CONNECTIONS_PER_USER),
            alive: alive.clone(),
        })
    });
    for door in doors.into_iter().collect::<io::Result<Vec<Door>>>()? {
        config.executor.spawn(door.run()).detach();
    }
    Ok(Server { shared, close, ended })
}

/// One listener.
struct Door {
    listener: Listener,
    socket: Async<TcpListener>,
    tls: Option<futures_rustls::TlsAcceptor>,
    observe: Observe,
    executor: Arc<smol::Executor<'static>>,
    shared: Arc<Shared>,
    slots: Arc<Slots>,
    /// Kept by whatever has not ended yet.
    alive: Sender<()>,
}

impl Door {
    async fn run(self) {
        loop {
            let accepted = async { Some(self.socket.accept().await) };
            let closed = async {
                self.shared.closing().await;
                None
            };
            match or(closed, accepted).await {
                None => return,
                Some(Ok((stream, _))) => self.admit(stream),
                Some(Err(error)) => {
                    self.shared.count(|counters| {
                        bump(&mut counters.accept_failed);
                        counters.last_error = Some(format!("accept on the {:?} listener: {error}", self.listener));
                    });
                    Timer::after(limits::ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Observes the connection before anything else can happen to it, then serves it.
    fn admit(&self, stream: Async<std::net::TcpStream>) {
        // A piece of an event stream, or the end of a long body, must not wait for the client's acknowledgement of the one before.
        let socket = stream.get_ref();
        let (socket, witness) = match socket.set_nodelay(true).and_then(|()| (self.observe)(socket)) {
            Ok(observed) => observed,
            Err(error) => {
                return self.shared.count(|counters| {
                    bump(&mut counters.unobserved);
                    counters.last_error = Some(format!("first look at a connection: {error}"));
                });
            }
        };
        let owner = socket.map(|socket| Owner { uid: Some(socket.uid), cgroup: socket.cgroup }).unwrap_or_default();
        let slot = match self.slots.admit(owner) {
            Admission::Free(slot) => slot,
            Admission::Evicted(slot) => {
                self.shared.count(|counters| bump(&mut counters.evicted));
                slot
            }
            Admission::Full => return self.shared.count(|counters| bump(&mut counters.turned_away)),
        };
        self.shared.count(|counters| bump(&mut counters.accepted));
        let connection = Connection {
            listener: self.listener,
            stream: stream.into(),
            tls: self.tls.clone(),
            witness,
            slot: Arc::new(slot),
            shared: Arc::clone(&self.shared),
        };
        let alive = self.alive.clone();
        self.executor
            .spawn(async move {
                connection.run().await;
                drop(alive);
            })
            .detach();
    }
}

/// The next request's number.
pub(crate) fn next_request(shared: &Shared) -> RequestId {
    RequestId(shared.next_request.fetch_add(1, Ordering::Relaxed))
}
