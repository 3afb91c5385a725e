//! A running server, an agent that answers, and clients that write raw bytes.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use castellan_core::api::{ApiRequest, ApiResponse};
use castellan_core::event::Event;
use castellan_core::trust::{PeerFacts, SocketFacts, Witness};
use castellan_https::{Observe, Server, ServerConfig, start, tls_config};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use smol::channel::{Receiver, Sender, bounded};

/// Longer than any limit of the server: reaching it means that the server did not do its part.
const PATIENCE: Duration = Duration::from_secs(40);

/// The one target that is answered without the agent.
pub(crate) const AT_ONCE: &str = "/at-once";

/// A certificate authority for tests.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) certificate: CertificateDer<'static>,
}

pub(crate) type Leaf = (CertificateDer<'static>, PrivateKeyDer<'static>);

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    pub(crate) fn issue(&self, usage: ExtendedKeyUsagePurpose, change: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![usage];
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        (certificate, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }
}

/// How the test's agent answers; `None` leaves the request open.
pub(crate) type Answer = Box<dyn Fn(&ApiRequest) -> Option<ApiResponse> + Send>;

pub(crate) fn text(status: u16, body: impl Into<String>) -> ApiResponse {
    let headers = vec![("content-type".to_owned(), "text/plain".to_owned())];
    ApiResponse { status, headers, body: body.into().into_bytes() }
}

/// A server with an agent behind it.
pub(crate) struct World {
    pub(crate) server: Arc<Server>,
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    pub(crate) authority: Authority,
    pub(crate) admin: Authority,
    /// How often a witness was asked.
    pub(crate) asked: Arc<AtomicUsize>,
    /// What reached the agent.
    pub(crate) arrived: Receiver<ApiRequest>,
    /// One for each connection that is gone with everything that belonged to it.
    pub(crate) left: Receiver<()>,
    /// Taken by tests that play the agent by hand.
    pub(crate) events: Receiver<Event>,
    end: Sender<()>,
    threads: Vec<JoinHandle<()>>,
}

impl World {
    /// With an agent that answers `METHOD target` and the body.
    pub(crate) fn echoing() -> Self {
        Self::new(Some(Box::new(|request| {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            Some(text(200, format!("{} {} [{body}]", request.method, request.target)))
        })))
    }

    pub(crate) fn new(answer: Option<Answer>) -> Self {
        let (authority, admin) = (Authority::new(), Authority::new());
        let (certificate, key) = authority.issue(ExtendedKeyUsagePurpose::ServerAuth, |_| {});
        let tls = tls_config(vec![certificate], key, Some(admin.certificate.clone())).unwrap();
        let (http, https) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let (http_address, https_address) = (http.local_addr().unwrap(), https.local_addr().unwrap());
        let executor = Arc::new(smol::Executor::new());
        let asked = Arc::new(AtomicUsize::new(0));
        let (sender, events) = bounded(1);
        let (leaving, left) = smol::channel::unbounded();
        let config = ServerConfig {
            http,
            https,
            tls,
            observe: observe(&asked, leaving),
            executor: Arc::clone(&executor),
            at_once: Arc::new(|request| (request.target == AT_ONCE).then(|| text(200, "at once"))),
            events: sender,
        };
        let server = Arc::new(start(config).unwrap());
        let (end, ended) = bounded::<()>(1);
        let io = std::thread::spawn(move || assert!(smol::block_on(executor.run(ended.recv())).is_err()));
        let mut threads = vec![io];
        let (seen, arrived) = smol::channel::unbounded();
        if let Some(answer) = answer {
            let (events, server) = (events.clone(), Arc::clone(&server));
            threads.push(std::thread::spawn(move || {
                while let Ok(event) = events.recv_blocking() {
                    let Event::Api(request) = event else { panic!("only API events come from here") };
                    let response = answer(&request);
                    let id = request.id;
                    seen.try_send(request).unwrap();
                    if let Some(response) = response {
                        server.respond(id, response);
                    }
                }
            }));
        }
        Self {
            server,
            http: http_address,
            https: https_address,
            authority,
            admin,
            asked,
            arrived,
            left,
            events,
            end,
            threads,
        }
    }

    pub(crate) fn client_config(&self, identity: Option<Leaf>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.certificate.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        match identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
        }
    }

    pub(crate) fn tls_stream(&self, config: Arc<ClientConfig>) -> StreamOwned<ClientConnection, TcpStream> {
        let name = ServerName::try_from("127.0.0.1").unwrap();
        StreamOwned::new(ClientConnection::new(config, name).unwrap(), tcp(self.https))
    }

    /// A raw connection to the HTTPS listener, without a client certificate.
    pub(crate) fn https(&self) -> Raw {
        Raw::new(self.tls_stream(Arc::new(self.client_config(None))))
    }

    /// A raw connection to the HTTP listener.
    pub(crate) fn http(&self) -> Raw {
        Raw::new(tcp(self.http))
    }

    /// All requests that reached the agent so far.
    pub(crate) fn requests(&self) -> Vec<ApiRequest> {
        std::iter::from_fn(|| self.arrived.try_recv().ok()).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.server.close();
        smol::block_on(self.server.closed());
        self.end.close();
        self.events.close();
        let results: Vec<bool> = self.threads.drain(..).map(|thread| thread.join().is_ok()).collect();
        assert!(std::thread::panicking() || results.iter().all(|joined| *joined), "a thread of the test panicked");
    }
}

/// Tells when a witness is dropped, which is when its connection is.
struct Leaving(Sender<()>);

impl Drop for Leaving {
    fn drop(&mut self) {
        assert!(self.0.try_send(()).is_ok() || self.0.is_closed());
    }
}

/// Every client of these tests is root, who has no share.
fn root(stream: &TcpStream) -> SocketFacts {
    let (peer, local) = (stream.peer_addr().unwrap(), stream.local_addr().unwrap());
    SocketFacts { peer, local, established: true, inode: 1, uid: 0, cookie: 1, cgroup: None }
}

fn observe(asked: &Arc<AtomicUsize>, leaving: Sender<()>) -> Observe {
    let asked = Arc::clone(asked);
    Arc::new(move |stream| {
        stream.peer_addr()?;
        let (asked, leaving) = (Arc::clone(&asked), Leaving(leaving.clone()));
        let witness: Witness = Box::new(move |claim| {
            assert!(!leaving.0.is_closed());
            asked.fetch_add(1, Ordering::SeqCst);
            PeerFacts { claimed_pid: claim.pid, own_end_established: true, ..PeerFacts::default() }
        });
        Ok((Some(root(stream)), witness))
    })
}

pub(crate) fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// A connection on which a test writes what it likes.
pub(crate) struct Raw {
    stream: Mutex<Box<dyn Stream>>,
    ahead: Mutex<VecDeque<u8>>,
}

/// A response as it was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

impl Raw {
    fn new(stream: impl Read + Write + Send + 'static) -> Self {
        Self { stream: Mutex::new(Box::new(stream)), ahead: Mutex::default() }
    }

    pub(crate) fn send(&self, bytes: impl AsRef<[u8]>) {
        let mut stream = self.stream.lock().unwrap();
        stream.write_all(bytes.as_ref()).unwrap();
        stream.flush().unwrap();
    }

    fn byte(&self) -> Option<u8> {
        let mut ahead = self.ahead.lock().unwrap();
        if ahead.is_empty() {
            let mut buffer = [0; 4096];
            match self.stream.lock().unwrap().read(&mut buffer) {
                Ok(read) => ahead.extend(&buffer[..read]),
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) => {}
                Err(error) => panic!("the server neither answered nor closed: {error}"),
            }
        }
        ahead.pop_front()
    }

    /// The next response; `None` where the connection ends instead.
    pub(crate) fn reply(&self, to_head_request: bool) -> Option<Reply> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.byte()?);
        }
        let head = String::from_utf8(head).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut reply = Reply { status, head, body: String::new() };
        let length = reply.header("content-length").map_or(0, |length| length.parse::<usize>().unwrap());
        if !to_head_request {
            let body: Vec<u8> = (0..length).map(|_| self.byte().unwrap()).collect();
            reply.body = String::from_utf8(body).unwrap();
        }
        Some(reply)
    }

    /// The next chunk of a chunked body; `None` at its end.
    pub(crate) fn chunk(&self) -> Option<String> {
        let line =
            || -> String { std::iter::from_fn(|| self.byte()).take_while(|b| *b != b'\n').map(char::from).collect() };
        let size = line();
        let length = usize::from_str_radix(size.trim(), 16).unwrap_or_else(|_| panic!("no size of a chunk: {size:?}"));
        let body: Vec<u8> = (0..length).map(|_| self.byte().unwrap()).collect();
        assert_eq!(line(), "\r");
        (length > 0).then(|| String::from_utf8(body).unwrap())
    }

    /// Sends a request and reads its response.
    pub(crate) fn ask(&self, bytes: impl AsRef<[u8]>) -> Reply {
        self.send(bytes);
        self.reply(false).expect("a response")
    }

    /// Waits for the end of the connection; true where nothing else came before.
    pub(crate) fn ends(&self) -> bool {
        self.byte().is_none()
    }
}
