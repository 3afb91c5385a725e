//! A web server over TLS that answers as it is told, knows entity tags, wants a client certificate, and can go away and come back.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::PATIENCE;

/// What it answers; to a question for something newer than `etag` with 304.
#[derive(Debug, Clone, Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) header: &'static str,
    pub(super) etag: String,
    pub(super) body: Vec<u8>,
}

#[derive(Default)]
struct Shared {
    reply: Mutex<Reply>,
    /// `If-None-Match` of each question, and the status it got.
    asked: Mutex<Vec<(Option<String>, u16)>>,
    stop: AtomicBool,
}

pub(super) struct Web {
    pub(super) port: u16,
    tls: Arc<ServerConfig>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Web {
    pub(super) fn start(tls: Arc<ServerConfig>) -> Self {
        let mut web = Self { port: 0, tls, shared: Arc::default(), thread: None };
        web.open();
        web
    }

    /// Comes back where it was.
    pub(super) fn open(&mut self) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        self.port = listener.local_addr().unwrap().port();
        let (tls, shared) = (Arc::clone(&self.tls), Arc::clone(&self.shared));
        shared.stop.store(false, Ordering::SeqCst);
        self.thread = Some(std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.stop.load(Ordering::SeqCst) {
                    return;
                }
                // The agent closes early where it has read enough.
                if let Err(error) = shared.serve(stream.unwrap(), &tls) {
                    eprintln!("a connection ended: {error}");
                }
            }
        }));
    }

    pub(super) fn close(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.shared.stop.store(true, Ordering::SeqCst);
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        thread.join().unwrap();
    }

    pub(super) fn answers(&self, reply: Reply) {
        *self.shared.reply.lock().unwrap() = reply;
    }

    /// What was asked since the last look.
    pub(super) fn asked(&self) -> Vec<(Option<String>, u16)> {
        std::mem::take(&mut *self.shared.asked.lock().unwrap())
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream, tls: &Arc<ServerConfig>) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let connection = ServerConnection::new(Arc::clone(tls)).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, stream);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).map_err(io::Error::other)?;
        let known = head.lines().find_map(|line| line.strip_prefix("if-none-match: ")).map(str::to_owned);
        let reply = self.reply.lock().unwrap().clone();
        let is_known = known.as_ref() == Some(&reply.etag);
        let (status, body) = match stream.conn.peer_certificates() {
            None => (401, Vec::new()),
            Some(_) if is_known => (304, Vec::new()),
            Some(_) => (reply.status, reply.body),
        };
        self.asked.lock().unwrap().push((known, status));
        let length = if status == 304 { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let (header, etag) = (reply.header, reply.etag);
        write!(stream, "HTTP/1.1 {status} X\r\nETag: {etag}\r\n{header}{length}Connection: close\r\n\r\n")?;
        stream.write_all(&body)?;
        stream.conn.send_close_notify();
        stream.flush()
    }
}
