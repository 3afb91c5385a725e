//! From accept to CONNECT: who is at the other end, TLS, the protocol version, and the bounds on clients that have not
//! said who they are.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
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
use ntex_util::time::Seconds;
use smol::channel::Receiver;

use crate::shell::Shell;
use crate::{House, Observe, connection};

/// Connections that have not sent a CONNECT; one more costs the oldest of them its place, so that a flood of silent
/// connections cannot keep an honest client out.
const UNAUTHENTICATED: usize = 64;
/// How long a client has for TLS and CONNECT together.
const HANDSHAKE_SECONDS: u16 = 5;
/// How long to wait after a failed accept (out of descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A client that does not take data for so long is gone.
const WRITE_SECONDS: u16 = 30;

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
    observe: Observe,
    config: SharedCfg,
    tls: Pipeline<Io, Io<Layer<TlsServerFilter>>, io::Error>,
}

impl Front {
    pub(crate) fn new(shell: Rc<Shell>, house: House) -> Self {
        let House { tls, max_packet_bytes, observe, fingerprint, clock: _ } = house;
        let io = IoConfig::new().set_write_timeout(Seconds(WRITE_SECONDS)).set_write_backpressure(WRITE_WINDOW_BYTES);
        let config = SharedCfg::new("broker")
            .add(io)
            .add(TlsConfig::new().set_handshake_timeout(Seconds(HANDSHAKE_SECONDS)))
            .into();
        Self { shell, max_packet_bytes, fingerprint, observe, config, tls: Pipeline::new((), TlsAcceptor::new(tls)) }
    }

    /// One connection from accept to its end.
    async fn serve(&self, stream: TcpStream) {
        let id = self.shell.next_connection();
        let evicted = self.shell.waiting.enter(id);
        let evicted = async {
            let timeout = async {
                Timer::after(Duration::from_secs(u64::from(HANDSHAKE_SECONDS))).await;
                if self.shell.waiting.leave(id).is_none() {
                    std::future::pending::<()>().await;
                }
                true
            };
            let lost_place = async { evicted.await.is_err() };
            smol::future::or(timeout, lost_place).await;
            String::from("it did not send a CONNECT in time")
        };
        let reason = smol::future::or(evicted, self.speak(id, stream)).await;
        drop(self.shell.waiting.leave(id));
        if self.shell.unlink(id) {
            self.shell.drive(BrokerEvent::ConnectionLost { connection: id, reason });
        } else {
            log::debug!("connection {id} ended before CONNECT: {reason}");
        }
    }

    /// TLS and MQTT until the connection ends; how it ended.
    async fn speak(&self, id: ConnectionId, stream: TcpStream) -> String {
        let (stream, witness) = match self.look(stream).await {
            Ok(seen) => seen,
            Err(error) => {
                log::warn!("connection {id} is closed, because nobody can say who it is: {error}");
                return error.to_string();
            }
        };
        let io = match ntex_net::from_tcp_stream(stream, self.config.clone()) {
            Ok(io) => io,
            Err(error) => return format!("the socket cannot be used: {error}"),
        };
        match self.tls.call(io).await {
            Ok(io) => connection::converse(self, id, IoBoxed::from(io), witness).await,
            Err(error) => format!("TLS failed: {error}"),
        }
    }

    async fn look(&self, stream: TcpStream) -> io::Result<(TcpStream, Witness)> {
        let observe = Arc::clone(&self.observe);
        smol::unblock(move || {
            let witness = caught(|| observe(&stream))??;
            Ok((stream, witness))
        })
        .await
    }
}

/// A panic in a callback of the agent's must not take the broker's thread with it.
pub(crate) fn caught<T>(callback: impl FnOnce() -> T) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(callback)).map_err(|_| io::Error::other("the identification of peers panicked"))
}

/// Accepts until `unlistened` is closed, then drops the listener.
pub(crate) async fn accept_all(front: Rc<Front>, listener: Option<io::Result<TcpListener>>, unlistened: Receiver<()>) {
    let Some(listener) = listener else {
        log::debug!("the broker is stopping and accepts nobody");
        return;
    };
    let listener = match listener.and_then(Async::new) {
        Ok(listener) => listener,
        Err(error) => {
            log::error!("the MQTT listener cannot be watched: {error}. Nobody can connect; start the agent again.");
            return;
        }
    };
    loop {
        let stop = async {
            // Never sent to; it ends when the shell closes it.
            if unlistened.recv().await.is_ok() {
                log::trace!("the accept loop was told to end");
            }
            None
        };
        let accepted = async { Some(listener.accept().await.and_then(|(stream, _)| stream.into_inner())) };
        match smol::future::or(stop, accepted).await {
            None => return,
            Some(Ok(stream)) => {
                let front = Rc::clone(&front);
                ntex_rt::spawn(async move { front.serve(stream).await });
            }
            Some(Err(error)) => {
                log::error!("an MQTT connection could not be accepted: {error}");
                Timer::after(ACCEPT_PAUSE).await;
            }
        }
    }
}
