//! What this binary needs where the agent started it as a plugin or as the program of a task: trust in that agent's certificate alone, its
//! API, its broker, and messages for its log.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use castellan_core::config::TlsFiles;
use castellan_core::log_message::Level;
use castellan_https::client::{ClientRequest, ClientResponse, request};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::tls_files;

/// The agent that started this process.
#[derive(Debug)]
pub(crate) struct Agent {
    port: u16,
    /// For connections to it, whichever listener.
    pub(crate) tls: Arc<rustls::ClientConfig>,
}

impl Agent {
    /// The agent of this root, at `{KeeperApiBaseUrl}`.
    pub(crate) fn at(base: &str, root: &Path) -> Result<Self, Failure> {
        let port = base.strip_prefix("https://127.0.0.1:").and_then(|port| port.parse().ok());
        let port = port.ok_or_else(|| {
            let shown = base.escape_default();
            Failure::usage(format!(
                "--keeper-api-base '{shown}' is not https://127.0.0.1:PORT; give {{KeeperApiBaseUrl}}."
            ))
        })?;
        let authority = root.join("state/ca.pem").display().to_string();
        let files = TlsFiles { trusted_certificates: Some(authority), client_certificate: None, client_key: None };
        Ok(Self { port, tls: tls_files::client(&files).map_err(Failure::failed)? })
    }

    /// What the API answers, whatever that is, within a time.
    pub(crate) fn call(&self, method: &str, target: &str, timeout: Duration) -> Result<ClientResponse, Failure> {
        let answer = smol::block_on(request(ClientRequest {
            method: String::from(method),
            address: (Ipv4Addr::LOCALHOST, self.port).into(),
            host: String::from("127.0.0.1"),
            target: String::from(target),
            headers: Vec::new(),
            body: Vec::new(),
            tls: Some(Arc::clone(&self.tls)),
            timeout,
        }));
        answer.map_err(|error| Failure::unreachable(format!("{method} {target}: {error}.")))
    }

    /// The settings that it runs by, text to text. Those of the file may be others by now.
    pub(crate) fn settings(&self, timeout: Duration) -> Result<BTreeMap<String, String>, Failure> {
        let target = "/api/PluginSettings/KeeperPrivilegeManager";
        let answer = self.call("GET", target, timeout)?;
        if answer.status != 200 {
            let body = String::from_utf8_lossy(&answer.body);
            return Err(Failure::denied(format!("GET {target} was answered {}: {body}", answer.status)));
        }
        serde_json::from_slice(&answer.body).map_err(Failure::failed)
    }
}

/// A `RequestMessage` for `KeeperLogger` (seed 001, step 5).
pub(crate) fn log_message(id: u64, source: &str, level: Level, category: &str, message: &str) -> Value {
    let level = match level {
        Level::Information => "Info",
        Level::Trace => "Verbose",
        Level::Debug | Level::Warning | Level::Error | Level::Critical => level.as_str(),
    };
    json!({
        "Id": format!("{:08x}-0000-4000-8000-{id:012x}", std::process::id()),
        "Version": 1,
        "RespondToTopic": null,
        "MetaData": {
            "MessageType": 4, "LogLevel": level, "Source": source, "Category": category,
            "Message": message, "CorrelationId": "", "Context": ""
        }
    })
}
