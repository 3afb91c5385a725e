//! Those who trigger: an administrator on an open HTTPS connection, and a task of the agent on an open MQTT connection.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use crate::monotonic;
use crate::stage::Stage;

/// The first argument that makes the bench a client that publishes when it is told to.
pub(crate) const SENDER: &str = "sender";
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) type Wire = StreamOwned<ClientConnection, TcpStream>;

/// An open connection to the API.
pub(crate) struct Https(Wire);

impl Https {
    pub(crate) fn connect(stage: &Stage) -> Self {
        let admin = stage.root().join("state/admin");
        let chain = CertificateDer::pem_file_iter(admin.join("client.pem")).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(admin.join("client.key")).unwrap();
        Self(wire(&stage.root(), "https", Some((chain, key))))
    }

    /// Sends a request and reads its answer.
    pub(crate) fn post(&mut self, target: &str) {
        let request = format!("POST {target} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: 0\r\n\r\n", self.port());
        self.0.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !is_whole(&answer) {
            let mut chunk = [0; 4096];
            let count = self.0.read(&mut chunk).unwrap();
            assert!(count > 0, "the agent closed the connection after {}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&chunk[..count]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 20"), "{target}: {}", String::from_utf8_lossy(&answer));
    }

    fn port(&self) -> u16 {
        self.0.sock.peer_addr().unwrap().port()
    }
}

/// Whether a response with a Content-Length is there to its last byte.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).unwrap_or("0");
    body.len() >= length.trim().parse().unwrap()
}

/// The bench's end of the task that publishes.
pub(crate) struct Sender(UnixStream);

impl Sender {
    /// Waits until it is connected to the broker.
    pub(crate) fn accept(stage: &Stage) -> Self {
        let stream = stage.sender();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    /// Lets it publish; the moment before.
    pub(crate) fn send(&mut self) -> Duration {
        self.0.write_all(b"!").unwrap();
        let mut nanos = [0; 8];
        self.0.read_exact(&mut nanos).unwrap();
        Duration::from_nanos(u64::from_ne_bytes(nanos))
    }
}

/// The task: connects to the broker of this root and publishes to `JobService` for each byte, until the bench closes.
pub(crate) fn send_when_told(root: &str, control: &str) -> ExitCode {
    let mut wire = connected(root, &format!("sender_Bench_{}", std::process::id()));
    let publish = packet(0x30, &[&string("JobService")[..], br#"{"jobId":"probe"}"#].concat());
    let mut control = UnixStream::connect(control).unwrap();
    while control.read(&mut [0]).unwrap() == 1 {
        let ordered = monotonic();
        wire.write_all(&publish).unwrap();
        let nanos = u64::try_from(ordered.as_nanos()).unwrap();
        control.write_all(&nanos.to_ne_bytes()).unwrap();
    }
    ExitCode::SUCCESS
}

/// A connection to the broker of this root that it has accepted.
pub(crate) fn connected(root: &str, id: &str) -> Wire {
    let mut wire = wire(Path::new(root), "mqtt", None);
    // MQTT 3.1.1: protocol name and level, Clean Session, no keep-alive, the client id.
    let head = [&[0, 4][..], b"MQTT", &[4, 2, 0, 0]].concat();
    wire.write_all(&packet(0x10, &[&head[..], &string(id)].concat())).unwrap();
    let mut answer = [0; 4];
    wire.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [0x20, 2, 0, 0], "the broker did not accept the connection");
    wire
}

/// A control packet of less than 128 bytes.
fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, u8::try_from(body.len()).unwrap()], body].concat()
}

/// A UTF-8 string of MQTT.
fn string(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
}

/// TLS to one of the agent's ports, which trusts the agent's own certificate alone.
fn wire(root: &Path, port: &str, client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>) -> Wire {
    let ports: Value = serde_json::from_slice(&fs::read(root.join("state/ports.json")).unwrap()).unwrap();
    let port = u16::try_from(ports[port].as_u64().unwrap()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(root.join("state/ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let config = match client {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
}
