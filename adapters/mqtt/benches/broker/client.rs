//! A client that is only a socket: packets of MQTT 3.1.1 written many at a time, and read without a copy of their payload.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustls::pki_types::ServerName;

use crate::brokers::Peer;

/// Bytes of each payload.
pub(crate) const PAYLOAD: usize = 256;

static CLIENTS: AtomicU32 = AtomicU32::new(1);

/// A connected client.
pub(crate) struct Client {
    stream: rustls::StreamOwned<rustls::ClientConnection, TcpStream>,
    unread: Vec<u8>,
    unsent: Vec<u8>,
}

impl Client {
    /// TLS, CONNECT and CONNACK.
    pub(crate) fn connect(peer: &Peer) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", peer.port)).unwrap();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let session = rustls::ClientConnection::new(Arc::clone(&peer.tls), name).unwrap();
        let stream = rustls::StreamOwned::new(session, stream);
        let mut client = Self { stream, unread: Vec::new(), unsent: Vec::new() };
        let client_id = format!("bench_Tok_{}", CLIENTS.fetch_add(1, Ordering::Relaxed));
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, u8::try_from(client_id.len()).unwrap()];
        body.extend(client_id.as_bytes());
        client.put(0x10, &body);
        client.flush();
        client.read(|first, body| assert_eq!((first, body), (0x20, &[0, 0][..])));
        client
    }

    pub(crate) fn subscribe(&mut self, topic: &str, qos: u8) {
        let mut body = vec![0, 1, 0, u8::try_from(topic.len()).unwrap()];
        body.extend(topic.as_bytes());
        body.push(qos);
        self.put(0x82, &body);
        self.flush();
        self.read(|first, body| assert_eq!((first, body[2]), (0x90, qos)));
    }

    /// Puts a packet where the next [`Client::flush`] takes it from.
    pub(crate) fn put(&mut self, first: u8, body: &[u8]) {
        self.unsent.push(first);
        let mut length = body.len();
        while length >= 128 {
            self.unsent.push(u8::try_from(length % 128).unwrap() | 0x80);
            length /= 128;
        }
        self.unsent.push(u8::try_from(length).unwrap());
        self.unsent.extend(body);
    }

    pub(crate) fn publish(&mut self, topic: &str, qos: u8, packet: u16, payload: &[u8]) {
        let mut body = vec![0, u8::try_from(topic.len()).unwrap()];
        body.extend(topic.as_bytes());
        if qos > 0 {
            body.extend(packet.to_be_bytes());
        }
        body.extend(payload);
        self.put(0x30 | (qos << 1), &body);
    }

    pub(crate) fn flush(&mut self) {
        self.stream.write_all(&self.unsent).unwrap();
        self.stream.flush().unwrap();
        self.unsent.clear();
    }

    /// Waits for bytes and gives every whole packet to `take`; `false` at the end of the stream.
    pub(crate) fn read(&mut self, mut take: impl FnMut(u8, &[u8])) -> bool {
        let mut buffer = [0; 64 << 10];
        let count = self.stream.read(&mut buffer).unwrap_or(0);
        self.unread.extend(&buffer[..count]);
        let mut at = 0;
        while let Some((first, body, next)) = packet(&self.unread, at) {
            take(first, &self.unread[body..next]);
            at = next;
        }
        self.unread.drain(..at);
        count > 0
    }
}

/// The packet that begins here: its first byte, where its body begins, where it ends.
fn packet(bytes: &[u8], at: usize) -> Option<(u8, usize, usize)> {
    let (mut length, mut shift, mut place) = (0, 0, at + 1);
    loop {
        let byte = *bytes.get(place)?;
        length |= usize::from(byte & 0x7F) << shift;
        (shift, place) = (shift + 7, place + 1);
        if byte & 0x80 == 0 {
            break;
        }
    }
    (place + length <= bytes.len()).then(|| (bytes[at], place, place + length))
}
