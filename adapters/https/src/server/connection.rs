//! One connection from accept to close.

use std::error::Error;
use std::io;
use std::net::Shutdown;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use castellan_core::api::{CertificateFacts, Listener};
use castellan_core::trust::Witness;
use futures_lite::future::or;
use futures_lite::{AsyncRead, AsyncReadExt, AsyncWrite};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use smol::Timer;
use smol::net::TcpStream;
use smol_hyper::rt::FuturesIo;

use super::alarm::Alarm;
use super::exchange::{Exchange, answer};
use super::head::SharedSeen;
use super::slots::Slot;
use super::tap::Tap;
use super::{Shared, bump, limits};

/// A connection that has a place.
pub(crate) struct Connection {
    pub(crate) listener: Listener,
    pub(crate) stream: TcpStream,
    pub(crate) tls: Option<futures_rustls::TlsAcceptor>,
    pub(crate) witness: Witness,
    pub(crate) slot: Arc<Slot>,
    pub(crate) shared: Arc<Shared>,
}

impl Connection {
    /// Serves it until it ends, has to make room, or the server closes.
    pub(crate) async fn run(self) {
        let (stream, slot, shared) = (self.stream.clone(), Arc::clone(&self.slot), Arc::clone(&self.shared));
        let served = async {
            let result = self.serve().await;
            result.is_ok()
        };
        let evicted = async {
            slot.evicted().await;
            false
        };
        if or(evicted, served).await {
            let closed = or(linger(stream), async {
                slot.evicted().await;
                Ok(())
            });
            if closed.await.is_err() {
                shared.count(|counters| bump(&mut counters.broken));
            }
        }
    }

    /// The handshake, then requests.
    async fn serve(self) -> Result<(), Unserved> {
        let Some(acceptor) = self.tls.clone() else {
            let stream = self.stream.clone();
            return self.requests(stream, None).await;
        };
        let handshake = async { acceptor.accept(self.stream.clone()).await.ok() };
        let deadline = async {
            Timer::after(limits::HANDSHAKE).await;
            None
        };
        let closing = async {
            self.shared.closing().await;
            None
        };
        let Some(stream) = or(or(handshake, deadline), closing).await else {
            self.shared.count(|counters| bump(&mut counters.handshakes_failed));
            return Err(Unserved);
        };
        let (_, session) = stream.get_ref();
        let certificate = session.peer_certificates().and_then(|chain| chain.first());
        let certificate = certificate.map(|leaf| CertificateFacts { sha256: crate::certificate_sha256(leaf) });
        self.requests(stream, certificate).await
    }

    async fn requests<S>(self, stream: S, certificate: Option<CertificateFacts>) -> Result<(), Unserved>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let seen = SharedSeen::default();
        let shared = Arc::clone(&self.shared);
        let alarm = Alarm::default();
        let exchange = Arc::new(Exchange {
            listener: self.listener,
            certificate,
            witness: self.witness,
            seen: Arc::clone(&seen),
            slot: self.slot,
            shared: Arc::clone(&self.shared),
            open: AtomicBool::new(false),
            alarm: alarm.clone(),
        });
        let asked = Arc::clone(&exchange);
        let service = service_fn(move |request| answer(Arc::clone(&asked), request));
        let mut connection = pin!(
            http1::Builder::new()
                .timer(alarm)
                .header_read_timeout(limits::HEAD)
                .max_headers(limits::HEADERS)
                .max_header_size(limits::HEAD_BYTES)
                .max_buf_size(limits::HEAD_BYTES)
                .serve_connection(FuturesIo::new(Tap::new(stream, seen, Arc::clone(&shared))), service)
        );
        let closing = async {
            shared.closing().await;
            None
        };
        let mut ended = or(async { Some(connection.as_mut().await) }, closing).await;
        if ended.is_none() {
            connection.as_mut().graceful_shutdown();
            let deadline = async {
                Timer::after(limits::CLOSE).await;
                None
            };
            ended = or(async { Some(Pin::new(&mut connection).await) }, deadline).await;
        }
        // Leaving in the middle is the only way to leave an open response.
        let may_leave = exchange.open.load(Ordering::Relaxed);
        if ended.is_some_and(|ended| ended.is_err_and(|error| is_broken(&error))) && !may_leave {
            shared.count(|counters| bump(&mut counters.broken));
        }
        Ok(())
    }
}

/// Whether a connection ended in the middle of a message, against the protocol, or because its client did not read. A client
/// that simply closes, with or without TLS close_notify, or stays idle too long, is ordinary.
fn is_broken(error: &hyper::Error) -> bool {
    let transport = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    let unread = transport.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut);
    unread || error.is_parse() || error.is_incomplete_message() || error.is_body_write_aborted() || error.is_user()
}

/// There was no TLS session, so there is nothing to close in order.
#[derive(Debug)]
struct Unserved;

/// Ends the connection for the client, then discards what it still sends, within bounds.
async fn linger(mut stream: TcpStream) -> io::Result<()> {
    match stream.shutdown(Shutdown::Write) {
        // The client is gone, or was told already: both are what is wanted.
        Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(()),
        result => result?,
    }
    let discard = async {
        let mut buffer = [0; 4096];
        let mut left = limits::LINGER_BYTES;
        while left > 0 {
            match stream.read(&mut buffer).await {
                Ok(0) => break,
                Ok(read) => left = left.saturating_sub(read),
                // It closed before it had read that the connection ends, and is gone.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    };
    let deadline = async {
        Timer::after(limits::LINGER).await;
        Ok(())
    };
    or(discard, deadline).await
}
