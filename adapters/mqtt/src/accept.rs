//! From accept to CONNECT: who is at the other end, TLS, the protocol version, and the bounds on clients that have not
//! said who they are. Accepting has a thread of its own, which outlives a shell that panicked.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;

use async_io::{Async, Timer};
use castellan_core::broker::{BrokerEvent, WRITE_WINDOW_BYTES};
use castellan_core::id::ConnectionId;
use castellan_core::trust::Witness;
use ntex_io::{Io, IoBoxed, IoConfig, Layer};
use ntex_service::Pipeline;
use ntex_service::cfg::SharedCfg;
use ntex_tls::TlsConfig;
use ntex_tls::rustls::{TlsAcceptor, TlsServerFilter};
use ntex_util::channel::oneshot;
use ntex_util::time::{Seconds, sleep};
use smol::channel::{Receiver, Sender};

use crate::shell::Shell;
use crate::wire::LastPayload;
use crate::{House, Observe, connection};

/// Connections that have not sent a CONNECT; one more costs the oldest of them its place, so that a flood of silent
/// connections cannot keep an honest client out.
const UNAUTHENTICATED: usize = 64;
/// Connections that wait for the broker's thread; the others wait in the kernel.
const ARRIVALS: usize = 64;
/// How long a client has for TLS and CONNECT together.
const HANDSHAKE_SECONDS: u16 = 5;
/// How long to wait after a failed accept (out of descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A client that does not take data for so long is gone.
const WRITE_SECONDS: u16 = 30;

/// A connection that was accepted, and who can tell which process is at its other end.
pub(crate) type Arrival = (TcpStream, Witness);

/// Connections that have not sent a CONNECT, oldest first, each with the means to end it.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    places: RefCell<BTreeMap<ConnectionId, oneshot::Sender<()>>>,
}

impl Waiting {
    fn enter(&self, connection: ConnectionId) -> oneshot::Receiver<()> {
        let (place, evicted) = oneshot::channel();
        let mut places = self.places.borrow_mut();
        if places.len() >= UNAUTHENTICATED
            && let Some((oldest, _)) = places.pop_first()
        {
            log::debug!("{UNAUTHENTICATED} connections have not sent a CONNECT; the oldest, {oldest}, is closed");
        }
        places.insert(connection, place);
        evicted
    }

    /// Gives the place back; `None` where it was lost.
    pub(crate) fn leave(&self, connection: ConnectionId) -> Option<oneshot::Sender<()>> {
        self.places.borrow_mut().remove(&connection)
    }
}

/// What every connection needs.
pub(crate) struct Front {
    pub(crate) shell: Rc<Shell>,
    pub(crate) max_packet_bytes: u32,
    pub(crate) fingerprint: fn(&[u8]) -> String,
    pub(crate) payloads: Rc<LastPayload>,
    config: SharedCfg,
    tls: Pipeline<Io, Io<Layer<TlsServerFilter>>, io::Error>,
}

impl Front {
    pub(crate) fn new(shell: Rc<Shell>, house: House) -> Self {
        let House { tls, max_packet_bytes, fingerprint, clock: _ } = house;
        let io = IoConfig::new().set_write_timeout(Seconds(WRITE_SECONDS)).set_write_backpressure(WRITE_WINDOW_BYTES);
        let config = SharedCfg::new("broker")
            .add(io)
            // The limit on TLS and CONNECT together is ours.
            .add(TlsConfig::new().set_handshake_timeout(Seconds::ZERO))
            .into();
        let tls = Pipeline::new((), TlsAcceptor::new(tls));
        Self { shell, max_packet_bytes, fingerprint, payloads: Rc::default(), config, tls }
    }

    /// One connection from accept to its end.
    async fn serve(&self, (stream, witness): Arrival) {
        let id = self.shell.next_connection();
        let evicted = self.shell.waiting.enter(id);
        let evicted = async {
            let timeout = async {
                sleep(Seconds(HANDSHAKE_SECONDS)).await;
                if self.shell.waiting.leave(id).is_none() {
                    std::future::pending::<()>().await;
                }
            };
            let lost_place = async {
                // It was let in; how it ends from then on is another's to say.
                if evicted.await.is_ok() {
                    std::future::pending::<()>().await;
                }
            };
            smol::future::or(timeout, lost_place).await;
            String::from("it did not send a CONNECT in time")
        };
        let reason = smol::future::or(evicted, self.speak(id, stream, witness)).await;
        drop(self.shell.waiting.leave(id));
        if self.shell.unlink(id) {
            self.shell.drive(BrokerEvent::ConnectionLost { connection: id, reason });
        } else {
            log::debug!("connection {id} ended before CONNECT: {reason}");
        }
    }

    /// TLS and MQTT until the connection ends; how it ended.
    async fn speak(&self, id: ConnectionId, stream: TcpStream, witness: Witness) -> String {
        let io = match ntex_net::from_tcp_stream(stream, self.config.clone()) {
            Ok(io) => io,
            Err(error) => return format!("the socket cannot be used: {error}"),
        };
        match self.tls.call(io).await {
            Ok(io) => connection::converse(self, id, IoBoxed::from(io), witness).await,
            Err(error) => format!("TLS failed: {error}"),
        }
    }
}

/// A panic in a callback of the agent's must not take the broker's thread with it.
pub(crate) fn caught<T>(callback: impl FnOnce() -> T) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(callback)).map_err(|_| io::Error::other("the identification of peers panicked"))
}

/// Takes connections until there are no more.
pub(crate) async fn serve_all(front: Rc<Front>, arrivals: Receiver<Arrival>) {
    while let Ok(arrival) = arrivals.recv().await {
        let front = Rc::clone(&front);
        ntex_rt::spawn(async move { front.serve(arrival).await });
    }
}

/// Starts the thread that accepts. It drops the listener and ends when nobody takes what arrives any more.
///
/// # Errors
/// The listener cannot be watched, or the thread cannot be made.
pub(crate) fn start(listener: TcpListener, observe: Observe) -> io::Result<(Receiver<Arrival>, JoinHandle<()>)> {
    let listener = Async::new(listener)?;
    let (arrived, arrivals) = smol::channel::bounded(ARRIVALS);
    let accepting = move || smol::block_on(accept_all(&listener, &observe, &arrived));
    let thread = std::thread::Builder::new().name(String::from("broker accept")).spawn(accepting)?;
    Ok((arrivals, thread))
}

async fn accept_all(listener: &Async<TcpListener>, observe: &Observe, arrived: &Sender<Arrival>) {
    loop {
        let unwanted = async {
            arrived.closed().await;
            None
        };
        let accepted = async { Some(listener.accept().await.and_then(|(stream, _)| stream.into_inner())) };
        let stream = match smol::future::or(unwanted, accepted).await {
            None => return,
            Some(Ok(stream)) => stream,
            Some(Err(error)) => {
                log::error!("an MQTT connection could not be accepted: {error}");
                Timer::after(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match caught(|| observe(&stream)).flatten() {
            Ok(witness) => {
                if arrived.send((stream, witness)).await.is_err() {
                    return;
                }
            }
            Err(error) => log::warn!("a connection is closed, because nobody can say who it is: {error}"),
        }
    }
}
