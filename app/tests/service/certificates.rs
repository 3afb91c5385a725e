//! Admin certificates over their life: issued to somebody with a key of his own, listed, taken back while connections are open, by a
//! running agent and on the files of a stopped one.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::SystemTime;

use castellan_core::certificate::CertificateChange;
use castellan_core::time::WallTime;
use castellan_fs::Root;
use castellan_fs::certificates::{AdminAuthority, SigningRequest};
use castellan_mqtt::client::{Client, ClientConfig};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConnection, StreamOwned};
use serde_json::Value;

use crate::support::{Agent, PATIENCE, Stage, binary, has_program, spawn};

/// `castellan admin` on the root of a stage: exit code, standard output and standard error.
#[track_caller]
fn admin(stage: &Stage, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(binary());
    command.arg("admin").args(arguments).arg("--root").arg(stage.root());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = spawn(&mut command).wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// The folder of certificates that are given to people, outside of the root.
fn safe(stage: &Stage) -> PathBuf {
    stage.folder().join("safe")
}

fn issue(stage: &Stage, name: &str) -> Value {
    let folder = safe(stage);
    let (code, told, error) = admin(stage, &["issue", name, "--out", folder.to_str().unwrap(), "-o", "json"]);
    assert_eq!(code, 0, "{error}");
    serde_json::from_str(&told).unwrap()
}

/// What an administrator with these files trusts and shows.
fn tls(stage: &Stage, certificate: &Path, key: &Path) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(stage.root().join("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    Arc::new(builder.with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap())
}

fn of(stage: &Stage, name: &str) -> Arc<rustls::ClientConfig> {
    tls(stage, &safe(stage).join(format!("{name}.pem")), &safe(stage).join(format!("{name}.key")))
}

/// One connection to the API that stays open.
struct Kept(BufReader<StreamOwned<ClientConnection, TcpStream>>, String);

impl Kept {
    fn open(agent: &Agent<'_>, tls: Arc<rustls::ClientConfig>) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", agent.https)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let connection = ClientConnection::new(tls, ServerName::try_from("127.0.0.1").unwrap()).unwrap();
        Self(BufReader::new(StreamOwned::new(connection, socket)), format!("127.0.0.1:{}", agent.https))
    }

    /// The status of a request, or why the connection is over.
    fn get(&mut self, target: &str) -> Result<u16, String> {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", self.1);
        let failed = |error: std::io::Error| error.to_string();
        self.0.get_mut().write_all(request.as_bytes()).map_err(failed)?;
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).map_err(failed)?;
            let line = line.trim_end().to_ascii_lowercase();
            match line.split_once([' ', ':']) {
                Some(("http/1.1", rest)) => status = rest[..3].parse().unwrap(),
                Some(("content-length", bytes)) => length = bytes.trim().parse().unwrap(),
                Some(_) => {}
                None => break,
            }
        }
        self.0.read_exact(&mut vec![0; length]).map_err(failed)?;
        Ok(status)
    }
}

#[test]
fn a_certificate_works_from_its_issue_and_ends_on_open_connections_when_it_is_revoked() {
    let stage = Stage::new();
    let agent = stage.start();
    let issued = issue(&stage, "alice");
    let sha256 = issued["sha256"].as_str().unwrap();
    let mut kept = Kept::open(&agent, of(&stage, "alice"));
    assert_eq!(kept.get("/api/denials"), Ok(200));
    let pid = std::process::id();
    let client = Client::connect(ClientConfig {
        address: format!("127.0.0.1:{}", agent.mqtt),
        client_id: format!("@admin_{pid}"),
        tls: of(&stage, "alice"),
        timeout: PATIENCE,
    });
    let client = client.unwrap();
    client.subscribe("#").unwrap();
    assert_eq!(agent.logged_message("Connected", "Administrator 'alice'")["component"], "admin:alice");

    let (code, _, error) = admin(&stage, &["issue", "alice", "--out", stage.folder().to_str().unwrap()]);
    assert!(code == 1 && error.contains("'alice' has a certificate"), "{error}");
    assert!(!stage.folder().join("alice.key").exists(), "no key is left without its certificate");
    let (code, _, error) = admin(&stage, &["issue", "bob", "--out", safe(&stage).join("alice.key").to_str().unwrap()]);
    assert!(code == 1 && !error.contains("bob is"), "{error}");

    let (code, told, _) = admin(&stage, &["revoke", "alice"]);
    assert_eq!((code, told), (0, format!("Revoked: {sha256}\n")));
    assert_eq!(kept.get("/api/denials"), Ok(403), "on the connection that was open");
    let closed = client.next_message(PATIENCE).unwrap_err().to_string();
    assert!(closed.contains("expired or was revoked"), "{closed}");
    assert_eq!(Kept::open(&agent, of(&stage, "alice")).get("/api/denials"), Ok(403));
    assert_eq!(kept.get("/health"), Ok(200), "it may still do what anybody may");

    let (_, listed, _) = admin(&stage, &["list"]);
    let states: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().take(2).collect()).collect();
    assert_eq!(states, [["NAME", "STATE"], ["client", "valid"], ["alice", "revoked"]], "{listed}");
    let line = agent.logged_message("CertificateRevoked", "revoked the certificate of 'alice'");
    assert!(line["message"].as_str().unwrap().starts_with("Administrator 'client' "), "{line}");
    let (code, _, error) = admin(&stage, &["revoke", "client"]);
    assert!(code == 1 && error.contains("--force"), "{error}");
    assert_eq!(admin(&stage, &["revoke", "client", "--force"]).0, 0);
    assert_eq!(admin(&stage, &["list"]).0, 4);
    agent.stop();

    // A new start does not make what was revoked, and the files are the way back.
    let agent = stage.start();
    assert_eq!(admin(&stage, &["list"]).0, 4);
    agent.stop();
    issue(&stage, "carol");
    let agent = stage.start();
    assert_eq!(Kept::open(&agent, of(&stage, "carol")).get("/api/denials"), Ok(200));
    agent.stop();
}

#[test]
fn a_key_made_by_openssl_is_signed_and_the_api_never_sees_it() {
    if !has_program("openssl", "a signing request that nobody here wrote") {
        return;
    }
    let stage = Stage::new();
    let agent = stage.start();
    fs::create_dir(safe(&stage)).unwrap();
    for (name, kind) in [("p256", "ec:P-256"), ("rsa", "rsa:2048"), ("ed25519", "ed25519")] {
        let key = safe(&stage).join(format!("{name}.key"));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-new", "-nodes", "-subj", "/CN=somebody else", "-keyout"]).arg(&key);
        match kind.split_once(':') {
            Some(("ec", curve)) => openssl.args(["-newkey", "ec", "-pkeyopt", &format!("ec_paramgen_curve:{curve}")]),
            _ => openssl.args(["-newkey", kind]),
        };
        let output = spawn(openssl.stdout(Stdio::piped()).stderr(Stdio::piped())).wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let request = String::from_utf8(output.stdout).unwrap();
        let body = serde_json::json!({ "name": name, "days": 1, "certificateRequest": request });
        let answer = agent.call("POST", "/api/admin/certificates").json(&body).send();
        assert_eq!(answer.status, 201, "{answer:?}");
        let certificate = safe(&stage).join(format!("{name}.pem"));
        fs::write(certificate, answer.json()["certificate"].as_str().unwrap()).unwrap();
        assert_eq!(Kept::open(&agent, of(&stage, name)).get("/api/denials"), Ok(200), "{name}");
    }
    let body = serde_json::json!({ "name": "nobody", "certificateRequest": "no request" });
    let answer = agent.call("POST", "/api/admin/certificates").json(&body).send();
    assert!(answer.status == 400 && answer.body.contains("openssl req"), "{answer:?}");
    agent.stop();
}

#[test]
fn an_expired_certificate_and_one_of_another_authority_fail_the_handshake() {
    let (stage, other) = (Stage::new(), Stage::new());
    stage.start().stop();
    other.start().stop();
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let long_ago = WallTime::from_millis(i64::try_from(seconds).unwrap() * 1000 - 40 * 24 * 3600 * 1000);
    let make = |stage: &Stage, name: &str, at: WallTime| {
        let root = Root::open_stopped(&stage.root()).unwrap();
        let request = SigningRequest::create(name).unwrap();
        request.write_key(&safe(stage), name).unwrap();
        let change = CertificateChange::Issue { name: name.to_owned(), days: 30, request: request.pem };
        let (_, pem) = AdminAuthority::change(&root, &change, at).unwrap().issued.unwrap();
        SigningRequest::write_certificate(&safe(stage), name, &pem).unwrap();
    };
    make(&stage, "late", long_ago);
    make(&stage, "good", WallTime::from_millis(long_ago.as_millis() + 20 * 24 * 3600 * 1000));
    let agent = stage.start();
    assert_eq!(Kept::open(&agent, of(&stage, "good")).get("/health"), Ok(200));
    let foreign = other.root().join("state/admin");
    let foreign = tls(&stage, &foreign.join("client.pem"), &foreign.join("client.key"));
    for (config, alert) in [(of(&stage, "late"), "CertificateExpired"), (foreign, "")] {
        let refused = Kept::open(&agent, config).get("/health").unwrap_err();
        assert!(refused.contains("received fatal alert") && refused.contains(alert), "{refused}");
    }
    let (_, listed, _) = admin(&stage, &["list"]);
    assert!(listed.lines().any(|line| line.starts_with("late") && line.contains(" expired ")), "{listed}");
    agent.stop();
}

#[test]
fn the_files_of_a_stopped_agent_are_changed_by_the_same_rules_under_its_lock() {
    let stage = Stage::new();
    let (code, _, error) = admin(&stage, &["list"]);
    assert!(code == 3 && error.contains("no agent ever ran there"), "{error}");
    stage.start().stop();
    issue(&stage, "alice");
    let (code, _, error) = admin(&stage, &["issue", "alice", "--out", stage.folder().to_str().unwrap()]);
    assert!(code == 1 && error.contains("'alice' has a certificate"), "{error}");
    assert_eq!(admin(&stage, &["issue", "client"]).0, 2);
    assert_eq!(admin(&stage, &["issue", "../alice"]).0, 2);
    assert_eq!(admin(&stage, &["issue", "bob", "--days", "826"]).0, 2);
    assert_eq!(admin(&stage, &["revoke", "alice"]).0, 0);
    assert_eq!(admin(&stage, &["revoke", "alice"]).0, 3);
    assert_eq!(admin(&stage, &["revoke", "client"]).0, 1, "nobody would be left");
    let agent = stage.start();
    assert_eq!(Kept::open(&agent, of(&stage, "alice")).get("/api/denials"), Ok(403));
    let listed: Value = serde_json::from_str(&admin(&stage, &["list", "-o", "json"]).1).unwrap();
    assert_eq!(listed[1]["revokedBy"], "the command line, while the agent was stopped");
    agent.stop();
    let held = Root::open_stopped(&stage.root()).unwrap();
    assert_ne!(admin(&stage, &["revoke", "client", "--force"]).0, 0, "another one has the files");
    drop(held);
}
