//! The two brokers, each a process of its own on a free port: ours with access control and 1,000 declared filters, mosquitto as
//! Debian has it, both with TLS and the same certificate.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use castellan_core::acl::topic::TopicFilter;
use castellan_core::acl::{FilterSet, Grant, Subject};
use castellan_core::broker::BrokerSettings;
use castellan_core::broker::stored::Stored;
use castellan_core::effect::{BrokerOrder, ConnectVerdict};
use castellan_core::event::{BrokerReport, Event};
use castellan_core::id::{Component, JobId, SpawnId};
use castellan_core::time::{Monotonic, Now, WallTime};
use castellan_core::trust::{PeerFacts, Witness};
use castellan_mqtt::BrokerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The argument that makes this program a broker.
pub(crate) const SERVE: &str = "--serve";
/// Filters that each client of ours has declared, beside the one it uses.
const DECLARED: usize = 1000;

/// A running broker.
pub(crate) struct Peer {
    process: Child,
    folder: PathBuf,
    pub(crate) port: u16,
    pub(crate) tls: Arc<rustls::ClientConfig>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

impl Peer {
    /// Ours.
    pub(crate) fn castellan() -> Result<Self, String> {
        let (folder, tls) = certificates();
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg(SERVE)
            .arg(&folder)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap();
        Ok(Self { process, folder, port, tls })
    }

    /// Debian's.
    pub(crate) fn mosquitto() -> Result<Self, String> {
        let (folder, tls) = certificates();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let name = folder.display();
        let configuration = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\ncertfile {name}/cert.pem\nkeyfile {name}/key.pem\n\
             user root\nset_tcp_nodelay true\nmax_inflight_messages 1000\nmax_queued_messages 0\nlog_dest none\n"
        );
        std::fs::write(folder.join("mosquitto.conf"), configuration).unwrap();
        let process = Command::new("mosquitto")
            .arg("-c")
            .arg(folder.join("mosquitto.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("mosquitto cannot be started ({error}): apt-get install mosquitto"))?;
        let peer = Self { process, folder, port, tls };
        let end = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "mosquitto does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(peer)
    }

    /// Resident memory, MiB.
    pub(crate) fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }
}

/// A certificate in a folder of its own, and what trusts it.
fn certificates() -> (PathBuf, Arc<rustls::ClientConfig>) {
    let name = format!("castellan-bench-{}-{:?}", std::process::id(), std::time::SystemTime::now());
    let name: String =
        name.chars().filter(|character| character.is_ascii_alphanumeric() || *character == '-').collect();
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir(&folder).unwrap();
    let made = rcgen::generate_simple_self_signed(vec![String::from("127.0.0.1")]).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(made.cert.der().to_vec())).unwrap();
    let mut client = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    // Whole handshakes only: a process that connects once has no session to resume.
    client.resumption = rustls::client::Resumption::disabled();
    (folder, Arc::new(client))
}

fn filters() -> FilterSet {
    let declared = (0..DECLARED).map(|number| format!("declared/{number}/+"));
    declared.chain([String::from("bench/#")]).map(|text| TopicFilter::parse(&text).unwrap()).collect::<Vec<_>>().into()
}

/// This program as a broker, with a thread in the agent's place; ends with its parent's signal. With a port it stands there and
/// every client may publish and subscribe anything, for conformance suites (docs/conformance.md).
pub(crate) fn serve(arguments: &[String]) {
    let folder = Path::new(&arguments[0]);
    let port: Option<u16> = arguments.get(1).map(|port| port.parse().unwrap());
    let certificate = CertificateDer::from_pem_file(folder.join("cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    // As the agent has it.
    tls.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    tls.send_tls13_tickets = 0;
    let listener = TcpListener::bind(("127.0.0.1", port.unwrap_or(0))).unwrap();
    let declared = if port.is_some() { vec![TopicFilter::parse("#").unwrap()].into() } else { filters() };
    let port = listener.local_addr().unwrap().port();
    let (events, incoming) = smol::channel::bounded(4096);
    let start = Instant::now();
    let broker = castellan_mqtt::start(BrokerConfig {
        listener,
        tls: Arc::new(tls),
        fingerprint: |_| String::new(),
        settings: BrokerSettings { max_queued_messages: 100_000, ..BrokerSettings::default() },
        observe: Arc::new(|_| {
            let witness: Witness = Box::new(|claim| PeerFacts {
                claimed_pid: claim.pid,
                own_end_established: true,
                ..PeerFacts::default()
            });
            Ok(witness)
        }),
        clock: Arc::new(move || Now {
            monotonic: Monotonic::from_millis(u64::try_from(start.elapsed().as_millis()).unwrap()),
            wall: WallTime::from_millis(0),
        }),
        stored: Stored::default(),
        keep: Box::new(|_| Ok(())),
        events,
    })
    .unwrap();
    println!("{port}");
    std::io::stdout().flush().unwrap();
    while let Ok(event) = incoming.recv_blocking() {
        let Event::Broker(BrokerReport::ConnectAsked { connection, client_id, peer, .. }) = event else {
            continue;
        };
        let pid = peer.claimed_pid.unwrap_or(1);
        let component = Component::Job(JobId::parse("bench").unwrap());
        let subject = Subject { component, run: None, spawn: SpawnId(u64::from(pid)), pid, client_id };
        let grant = Grant {
            subject,
            publish: declared.clone(),
            subscribe: declared.clone(),
            primary: None,
            user: None,
            withheld: None,
        };
        let verdict = ConnectVerdict::Accept(Arc::new(grant));
        broker.order(BrokerOrder::AnswerConnect { connection, verdict }).unwrap();
    }
}
