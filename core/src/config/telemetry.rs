//! `Settings:Telemetry`: whom logs, traces and metrics are told to.

use alloc::format;
use alloc::string::{String, ToString};

use super::policy_source::TlsFiles;
use crate::job::url::HttpUrl;

/// A collector of OpenTelemetry's, spoken to by OTLP over HTTP, and what it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telemetry {
    /// `Endpoint`: its base URL, to which `/v1/logs`, `/v1/traces` and `/v1/metrics` are added; https, or http to loopback.
    pub endpoint: HttpUrl,
    /// `HeadersFile`: absolute path of a file with header fields to send, `name: value` in each line.
    pub headers_file: Option<String>,
    /// Files for TLS.
    pub tls: TlsFiles,
    /// `IntervalSeconds`, 60: how often metrics are told.
    pub interval_seconds: u64,
    /// `Logs`, true.
    pub logs: bool,
    /// `Traces`, true.
    pub traces: bool,
    /// `Metrics`, true.
    pub metrics: bool,
}

/// What of it is given, as [`super::Settings::flat`] shows it.
pub(super) fn flat(telemetry: &Telemetry) -> impl Iterator<Item = (&'static str, String)> + use<> {
    let Telemetry { endpoint, headers_file, tls, interval_seconds, logs, traces, metrics } = telemetry.clone();
    let HttpUrl { tls: is_tls, host, port, target } = endpoint;
    let entries = [
        ("Telemetry.Endpoint", Some(format!("http{}://{host}:{port}{target}", if is_tls { "s" } else { "" }))),
        ("Telemetry.HeadersFile", headers_file),
        ("Telemetry.IntervalSeconds", Some(interval_seconds.to_string())),
        ("Telemetry.Logs", Some(logs.to_string())),
        ("Telemetry.Traces", Some(traces.to_string())),
        ("Telemetry.Metrics", Some(metrics.to_string())),
        ("Telemetry.TrustedCertificates", tls.trusted_certificates),
        ("Telemetry.ClientCertificate", tls.client_certificate),
        ("Telemetry.ClientKey", tls.client_key),
    ];
    entries.into_iter().filter_map(|(key, value)| Some((key, value?)))
}
