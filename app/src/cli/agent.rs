//! The agent that runs on a root, for commands that ask it something: found by its files, trusted by its certificate, and told by
//! the administrator's own certificate who asks.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use castellan_core::acl::client_id;
use castellan_core::log_message::escape;
use castellan_fs::past::is_running;
use castellan_https::client::{ClientRequest, ClientResponse, request, requests};
use castellan_mqtt::client::{Client, ClientConfig, ClientError};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;
use serde_json::Value;

use super::position::Mark;
use crate::failure::Failure;

/// For each exchange with the agent; it answers at once or not at all.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of `ports.json`, a certificate or a key; none comes near.
const FILE_BYTES: u64 = 1 << 20;
/// The name that both addresses and certificate have.
const HOST: &str = "127.0.0.1";
/// Reason codes of MQTT 5.0 that refuse who asks: client id not valid, not authorized.
const DENIED: [u8; 2] = [0x85, 0x87];

/// A running agent.
pub(crate) struct Agent {
    root: PathBuf,
    ports: Ports,
    tls: Arc<rustls::ClientConfig>,
}

/// `state/ports.json`.
#[derive(Deserialize)]
struct Ports {
    http: u16,
    https: u16,
    mqtt: u16,
}

impl Agent {
    /// The agent of this root, with the certificate in `state/admin`.
    pub(crate) fn find(root: &Path) -> Result<Self, Failure> {
        let shown = root.display();
        let absent = || {
            Failure::unreachable(format!(
                "no agent runs on {shown}. Start one with: castellan run --root {shown}, or name another root with --root."
            ))
        };
        let Some(ports) = read(&root.join("state/ports.json"))? else { return Err(absent()) };
        if !is_running(root) {
            return Err(absent());
        }
        let ports = serde_json::from_slice(&ports).map_err(|error| {
            Failure::invalid_file(format!(
                "{shown}/state/ports.json is not what the agent writes: {error}. Start the agent again."
            ))
        })?;
        Ok(Self { root: root.to_owned(), ports, tls: tls(root)? })
    }

    /// What the API answers to GET with 2xx.
    pub(crate) fn get(&self, target: &str) -> Result<Value, Failure> {
        self.ask("GET", target, None)
    }

    /// What the API answers to this request with 2xx.
    pub(crate) fn ask(&self, method: &str, target: &str, body: Option<&Value>) -> Result<Value, Failure> {
        self.send(method, target, &[], body.map(|body| body.to_string().into_bytes()))?.accepted()
    }

    /// What the API answers, whatever that is. A body is JSON.
    pub(crate) fn send(
        &self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<Answer, Failure> {
        let answer = smol::block_on(request(self.request(method, target, fields, body)));
        Ok(Answer::new(answer.map_err(|error| self.unreached(&error))?, method, target))
    }

    /// What the API answers to several GETs with 2xx; they share one connection.
    pub(crate) fn get_all<const N: usize>(&self, targets: [&str; N]) -> Result<[Value; N], Failure> {
        let asked = targets.map(|target| self.request("GET", target, &[], None));
        let answers = smol::block_on(requests(asked.to_vec())).map_err(|error| self.unreached(&error))?;
        let values: Result<Vec<Value>, Failure> = answers
            .into_iter()
            .zip(targets)
            .map(|(answer, target)| Answer::new(answer, "GET", target).accepted())
            .collect();
        values?.try_into().map_err(|_| Failure::failed("an answer of the agent was lost."))
    }

    fn request(&self, method: &str, target: &str, fields: &[(&str, &str)], body: Option<Vec<u8>>) -> ClientRequest {
        let json = body.is_some().then_some(("Content-Type", "application/json"));
        let fields = fields.iter().copied().chain(json);
        ClientRequest {
            method: String::from(method),
            address: (Ipv4Addr::LOCALHOST, self.ports.https).into(),
            host: String::from(HOST),
            target: target.to_owned(),
            headers: fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body: body.unwrap_or_default(),
            tls: Some(Arc::clone(&self.tls)),
            timeout: TIMEOUT,
        }
    }

    /// A client of the broker, as this administrator.
    pub(crate) fn connect(&self) -> Result<Client, Failure> {
        let address = format!("{HOST}:{}", self.ports.mqtt);
        let client_id = client_id::of_administrator(std::process::id());
        let config = ClientConfig { address, client_id, tls: Arc::clone(&self.tls), timeout: TIMEOUT };
        Client::connect(config).map_err(|error| match &error {
            ClientError::Refused { code, .. } if DENIED.contains(code) => Failure::denied(error),
            ClientError::Refused { .. } => Failure::failed(error),
            ClientError::NotConnected(_) | ClientError::TimedOut { .. } => self.unreached(&error),
        })
    }

    /// The ports that the agent listens on: HTTP, HTTPS, MQTT.
    pub(crate) const fn ports(&self) -> (u16, u16, u16) {
        (self.ports.http, self.ports.https, self.ports.mqtt)
    }

    fn unreached(&self, error: &dyn std::error::Error) -> Failure {
        let root = self.root.display();
        Failure::unreachable(format!(
            "the agent of {root} did not answer: {error}. If it has just been started or stopped, try again; else see that \
             {root}/state/admin/client.pem is on the list of certificates beside it, and the agent's log."
        ))
    }
}

/// What the API answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    headers: Vec<(String, String)>,
    asked: String,
}

impl Answer {
    fn new(response: ClientResponse, method: &str, target: &str) -> Self {
        let ClientResponse { status, headers, body } = response;
        Self { status, body, headers, asked: format!("{method} {target}") }
    }

    /// A header field, its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body, which is JSON whatever the status.
    pub(crate) fn value(&self) -> Result<Value, Failure> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Failure::failed(format!("the agent's answer to {} is not JSON: {error}.", self.asked)))
    }

    /// What a refusal found in a document.
    pub(crate) fn findings(&self) -> Vec<Mark> {
        #[derive(Deserialize)]
        struct Found {
            #[serde(default)]
            findings: Vec<Mark>,
        }
        // A refusal without findings is none of a document.
        serde_json::from_slice(&self.body).map(|found: Found| found.findings).unwrap_or_default()
    }

    /// The body of a success; anything else is a failure in the agent's own words.
    pub(crate) fn accepted(&self) -> Result<Value, Failure> {
        let body = self.value()?;
        if (200..300).contains(&self.status) {
            return Ok(body);
        }
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(escape).unwrap_or_default();
        let mut message =
            format!("the agent answered {}: {} {} {}", self.status, text("title"), text("detail"), text("fix"));
        for finding in self.findings() {
            let place = escape(&finding.path);
            message.push_str(&format!("\n  {place} {}: {}", escape(&finding.code), escape(&finding.message)));
        }
        Err(match self.status {
            400 => Failure::usage(message),
            403 => Failure::denied(message),
            404 => Failure::not_found(message),
            _ => Failure::failed(message),
        })
    }
}

/// A text as one segment of a path or one value of a query.
pub(crate) fn encode(text: &str) -> String {
    /// What RFC 3986 leaves unreserved.
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, RESERVED).to_string()
}

/// Trust in the agent's certificate alone, and the administrator's own to show.
fn tls(root: &Path) -> Result<Arc<rustls::ClientConfig>, Failure> {
    let admin = root.join("state/admin");
    let invalid = |path: &Path, error: &dyn std::error::Error| {
        Failure::invalid_file(format!(
            "{} cannot be used: {error}. Start the agent again, or put back what was there.",
            path.display()
        ))
    };
    let mut roots = RootCertStore::empty();
    let path = root.join("state/ca.pem");
    let authority = CertificateDer::from_pem_slice(&needed(&path)?).map_err(|error| invalid(&path, &error))?;
    roots.add(authority).map_err(|error| invalid(&path, &error))?;
    let path = admin.join("client.key");
    let key = PrivateKeyDer::from_pem_slice(&needed(&path)?).map_err(|error| invalid(&path, &error))?;
    let path = admin.join("client.pem");
    let pem = needed(&path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|error| invalid(&path, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(Failure::failed)?.with_root_certificates(roots);
    builder.with_client_auth_cert(chain, key).map(Arc::new).map_err(|error| invalid(&path, &error))
}

fn needed(path: &Path) -> Result<Vec<u8>, Failure> {
    read(path)?.ok_or_else(|| {
        Failure::not_found(format!("{} is not there. Start the agent again; it makes what is missing.", path.display()))
    })
}

/// A file of the agent's state; `None` where it is not there.
fn read(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let mut bytes = Vec::new();
    let result = File::open(path).and_then(|file| file.take(FILE_BYTES).read_to_end(&mut bytes));
    match result {
        Ok(_) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(Failure::denied(format!(
            "{} may be read by the agent's own user and root alone. Say it again as that user, for example with sudo.",
            path.display()
        ))),
        Err(error) => Err(Failure::failed(format!("{} cannot be read: {error}.", path.display()))),
    }
}
