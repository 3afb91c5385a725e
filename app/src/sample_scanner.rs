//! A task program as an integrator writes it (seed 001): Plugin Settings over HTTPS, MQTT over TLS, log messages to `KeeperLogger`.
//! It uses nothing of the agent but its public interfaces.

mod scan;

use std::io::Write;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use castellan_https::client::{ClientRequest, request};
use castellan_mqtt::client::{Client, ClientConfig};
use clap::Args;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use serde_json::{Value, json};

use crate::failure::Failure;
use scan::Scan;

/// For each exchange with the agent.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A topic that the job does not declare; publishing to it shows what a denial looks like.
const UNDECLARED_TOPIC: &str = "SecretScanner/undeclared";

/// What the job's `arguments` give.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The folder to scan.
    #[arg(long)]
    scan: PathBuf,
    /// `{KeeperApiBaseUrl}`.
    #[arg(long)]
    keeper_api_base: String,
}

/// Scans, reports, prints one JSON object.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let job_id = variable("KEEPER_JOB_ID")?;
    let job_name = variable("KEEPER_JOB_NAME")?;
    let tls = loopback_tls().map_err(Failure::failed)?;
    let address = broker_address(&options.keeper_api_base, &tls)?;
    let client_id = format!("{job_id}_SecretScanner_{}", std::process::id());
    let client =
        Client::connect(ClientConfig { address, client_id, tls, timeout: TIMEOUT }).map_err(Failure::failed)?;

    let scan = Scan::of(&options.scan);
    let publish =
        |topic: &str, payload: String| client.publish_at_least_once(topic, payload.as_bytes()).map_err(Failure::failed);
    publish("KeeperLogger", message(1, &format!("{job_name}: {scan}.")))?;
    for place in &scan.places {
        publish("KeeperLogger", message(2, &format!("Looks like a credential: {place}")))?;
    }
    publish(UNDECLARED_TOPIC, String::from("nobody hears this"))?;
    publish(&format!("Jobs/{job_id}/events"), json!({ "findings": scan.findings }).to_string())?;
    client.disconnect().map_err(Failure::failed)?;
    let result = json!({ "filesRead": scan.files_read, "findings": scan.findings });
    writeln!(std::io::stdout(), "{result}").map_err(Failure::failed)
}

pub(crate) fn variable(name: &str) -> Result<String, Failure> {
    std::env::var(name).map_err(|_| {
        Failure::failed(format!(
            "{name} is not set; this program is started by a job that declares mqttTopics, not by hand"
        ))
    })
}

/// Asks the agent where its broker is.
pub(crate) fn broker_address(base: &str, tls: &Arc<rustls::ClientConfig>) -> Result<String, Failure> {
    let settings = settings_of(base, "KeeperPrivilegeManager", tls)?;
    let text = |key: &str| settings.get(key).and_then(Value::as_str).unwrap_or_default();
    Ok(format!("{}:{}", text("broker.host"), text("broker.port")))
}

/// Plugin Settings of one plugin, as this process may read them.
pub(crate) fn settings_of(base: &str, plugin: &str, tls: &Arc<rustls::ClientConfig>) -> Result<Value, Failure> {
    let invalid = || Failure::failed(format!("--keeper-api-base '{base}' is not https://127.0.0.1:PORT"));
    let port: u16 = base.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).ok_or_else(invalid)?;
    let response = smol::block_on(request(ClientRequest {
        method: String::from("GET"),
        address: (Ipv4Addr::LOCALHOST, port).into(),
        host: String::from("127.0.0.1"),
        target: format!("/api/PluginSettings/{plugin}"),
        headers: Vec::new(),
        body: Vec::new(),
        tls: Some(Arc::clone(tls)),
        timeout: TIMEOUT,
    }))
    .map_err(Failure::failed)?;
    let body = String::from_utf8_lossy(&response.body);
    if response.status != 200 {
        return Err(Failure::failed(format!("Plugin Settings answered {}: {body}", response.status)));
    }
    serde_json::from_str(&body).map_err(Failure::failed)
}

/// A `RequestMessage` for `KeeperLogger` (seed 001, step 5).
fn message(level: u8, text: &str) -> String {
    json!({
        "Id": format!("{:08x}-0000-4000-8000-{:012x}", std::process::id(), level),
        "Version": 1,
        "RespondToTopic": null,
        "MetaData": {
            "MessageType": 4,
            "LogLevel": level,
            "Source": "SecretScanner",
            "Category": "SecretsScan",
            "Message": text,
            "CorrelationId": "",
            "Context": ""
        }
    })
    .to_string()
}

/// TLS to loopback without a CA bundle, as the documented samples do it.
pub(crate) fn loopback_tls() -> Result<Arc<rustls::ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(LoopbackOnly(provider)))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Accepts any certificate: the connection never leaves the machine, and the broker's address came from the agent.
#[derive(Debug)]
struct LoopbackOnly(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for LoopbackOnly {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
