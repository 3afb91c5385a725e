//! The administrator's client: `curl` where it is there, else the agent's own.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock};

use castellan_https::client::{ClientRequest, request};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

use super::{Agent, PATIENCE, has_program, spawn};

static HAS_CURL: LazyLock<bool> =
    LazyLock::new(|| has_program("curl", "the half of the API's proof that needs a client nobody here wrote"));

/// A request before it is sent.
pub(crate) struct Call {
    method: String,
    target: String,
    port: u16,
    tls: bool,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    ca: PathBuf,
    admin: Option<PathBuf>,
}

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Call {
    pub(crate) fn new(agent: &Agent<'_>, method: &str, target: &str) -> Self {
        let state = agent.stage.root().join("state");
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            port: agent.https,
            tls: true,
            headers: Vec::new(),
            body: Vec::new(),
            ca: state.join("ca.pem"),
            admin: Some(state.join("admin")),
        }
    }

    /// Without a client certificate.
    pub(crate) fn anonymous(mut self) -> Self {
        self.admin = None;
        self
    }

    /// Over plain HTTP, to this port.
    pub(crate) fn plain(mut self, port: u16) -> Self {
        (self.tls, self.port, self.admin) = (false, port, None);
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A JSON body.
    pub(crate) fn json(self, body: &Value) -> Self {
        self.header("Content-Type", "application/json").body(&body.to_string())
    }

    pub(crate) fn body(mut self, body: &str) -> Self {
        self.body = body.as_bytes().to_vec();
        self
    }

    #[track_caller]
    pub(crate) fn send(self) -> Answer {
        if *HAS_CURL { self.by_curl() } else { self.by_own_client() }
    }

    /// `curl` with everything but the body, which it reads from its stdin.
    pub(crate) fn curl(&self) -> Command {
        let scheme = if self.tls { "https" } else { "http" };
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--include", "--path-as-is", "--globoff", "--noproxy", "*"]);
        curl.args(["--max-time", &PATIENCE.as_secs().to_string(), "--request", &self.method]);
        if self.tls {
            curl.arg("--cacert").arg(&self.ca);
        }
        if let Some(admin) = &self.admin {
            curl.arg("--cert").arg(admin.join("client.pem")).arg("--key").arg(admin.join("client.key"));
        }
        for (name, value) in [("Expect", ""), ("Content-Type", "")] {
            if !self.headers.iter().any(|(key, _)| key.eq_ignore_ascii_case(name)) {
                curl.args(["--header", &format!("{name}:{value}")]);
            }
        }
        for (name, value) in &self.headers {
            curl.args(["--header", &format!("{name}: {value}")]);
        }
        if !self.body.is_empty() {
            curl.args(["--data-binary", "@-"]);
        }
        curl.arg(format!("{scheme}://127.0.0.1:{}{}", self.port, self.target));
        curl
    }

    #[track_caller]
    fn by_curl(self) -> Answer {
        let mut curl = self.curl();
        let mut child = spawn(curl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()));
        child.stdin.take().unwrap().write_all(&self.body).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (head, body) = text
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("{} {}: {}", self.method, self.target, String::from_utf8_lossy(&output.stderr)));
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        Answer { status, headers, body: body.to_owned() }
    }

    #[track_caller]
    fn by_own_client(self) -> Answer {
        let answer = smol::block_on(request(ClientRequest {
            tls: self.tls.then(|| self.tls_config()),
            method: self.method,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)),
            host: String::from("127.0.0.1"),
            target: self.target,
            headers: self.headers,
            body: self.body,
            timeout: PATIENCE,
        }));
        let answer = answer.unwrap();
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        Answer { status: answer.status, headers: answer.headers, body }
    }

    fn tls_config(&self) -> Arc<rustls::ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(&self.ca).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.unwrap().with_root_certificates(roots);
        Arc::new(match &self.admin {
            None => builder.with_no_client_auth(),
            Some(admin) => {
                let chain: Vec<_> =
                    CertificateDer::pem_slice_iter(&fs::read(admin.join("client.pem")).unwrap()).flatten().collect();
                let key = PrivateKeyDer::from_pem_file(admin.join("client.key")).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        })
    }
}
