//! The two that are measured, each in a process of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::bare::VERB;
use crate::client::Target;

const PATIENCE: Duration = Duration::from_secs(60);

/// A process that leaves with its folder.
struct Started {
    child: Child,
    folder: PathBuf,
}

impl Started {
    fn new(name: &str, command: impl FnOnce(&Path) -> Command) -> Self {
        let folder = std::env::temp_dir().join(format!("castellan-bench-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut command = command(&folder);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { child, folder }
    }

    /// The port that the file names, once it is there.
    fn port(&mut self, file: &str) -> u16 {
        let began = Instant::now();
        loop {
            let text = fs::read_to_string(self.folder.join(file)).unwrap_or_default();
            if let Some((_, rest)) = text.split_once("\"https\":") {
                return rest.trim_start().split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap();
            }
            assert_eq!(self.child.try_wait().unwrap(), None, "what is measured ended; start it by hand to see why");
            assert!(began.elapsed() < PATIENCE, "what is measured is not ready");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn target(&self, port: u16, ca: &str, client: Option<&str>) -> Target {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.folder.join(ca)).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let tls = match client.map(|folder| self.folder.join(folder)) {
            None => builder.with_no_client_auth(),
            Some(folder) => {
                let chain = CertificateDer::pem_file_iter(folder.join("client.pem")).unwrap().map(Result::unwrap);
                let key = PrivateKeyDer::from_pem_file(folder.join("client.key")).unwrap();
                builder.with_client_auth_cert(chain.collect(), key).unwrap()
            }
        };
        Target { address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), tls: Arc::new(tls) }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// The binary that was built beside the bench.
fn castellan() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("castellan")
}

/// The whole agent.
pub(crate) struct Agent(Started, u16);

impl Agent {
    /// With so many jobs of one built-in task, each with a schedule.
    pub(crate) fn start(jobs: usize) -> Self {
        let binary = castellan();
        assert!(binary.exists(), "build {} first: cargo build --release -p castellan", binary.display());
        let mut started = Started::new("agent", |folder| {
            let write = |name: &str, text: &str| {
                let path = folder.join("root").join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            };
            let ports = r#"{"Settings":{"KestrelHttpPort":0,"KestrelHttpsPort":0,"system.logging.level":"Warning"},"MqttBrokerSettings":{"Port":0}}"#;
            write("appsettings.json", ports);
            for number in 0..jobs {
                let text = format!(
                    r#"{{"id":"job{number}","name":"Job number {number}","schedule":{{"intervalMinutes":1440}},"overlap":"parallel","tasks":[{{"id":"say","command":"echo","arguments":"hello"}}]}}"#
                );
                write(&format!("Jobs/job{number}.json"), &text);
            }
            let mut command = Command::new(binary);
            command.arg("run").arg("--root").arg(folder.join("root"));
            command
        });
        let port = started.port("root/state/ports.json");
        Self(started, port)
    }

    /// How long `castellan status` takes, from its start to its end.
    pub(crate) fn status(&self) -> Duration {
        let mut status = Command::new(castellan());
        status.arg("status").arg("--root").arg(self.0.folder.join("root")).stdin(Stdio::null());
        let began = Instant::now();
        let output = status.output().unwrap();
        let took = began.elapsed();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        took
    }

    /// As an administrator.
    pub(crate) fn target(&self) -> Target {
        self.0.target(self.1, "root/state/ca.pem", Some("root/state/admin"))
    }
}

/// The bare program.
pub(crate) struct Bare(Started, u16);

impl Bare {
    pub(crate) fn start() -> Self {
        let mut started = Started::new("bare", |folder| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.arg(VERB).arg(folder);
            command
        });
        let port = started.port("bare.json");
        Self(started, port)
    }

    pub(crate) fn target(&self) -> Target {
        self.0.target(self.1, "bare.pem", None)
    }
}
