//! `Settings:Telemetry`: its keys, and how they are read.

use alloc::format;

use super::policy_source::{CLIENT_CERTIFICATE, CLIENT_KEY, PATH, TRUSTED_CERTIFICATES, path, tls_files};
use super::{Checked, DAY_SECONDS, Section, wrong};
use crate::config::{Settings, Telemetry};
use crate::job::finding::{Report, quote};
use crate::job::url::HttpUrl;
use crate::shape::{Key, Object, Others, Shape, Text};

/// Seconds between two tellings of metrics where nothing else is said; what SDKs of OpenTelemetry do.
const INTERVAL_SECONDS: i64 = 60;

pub(super) static TELEMETRY: Object = Object {
    name: "telemetry",
    doc: "A collector of OpenTelemetry's, spoken to by OTLP over HTTP, and what it is told.",
    keys: &[
        Key::required(
            "Endpoint",
            Shape::Text(Text::like("^[Hh][Tt][Tt][Pp][Ss]?://").such_as("https://collector.example.com:4318")),
            "Its base URL, without /v1/logs; https, or http to this machine itself.",
        ),
        Key::new("HeadersFile", PATH, "A file with header fields to send, 'name: value' in each line."),
        Key::number("IntervalSeconds", (1, DAY_SECONDS), INTERVAL_SECONDS, "How often metrics are told."),
        Key::flag("Logs", true, "Whether the lines of the agent's log are told."),
        Key::flag("Traces", true, "Whether events, runs, tasks and publishes are told as spans of traces."),
        Key::flag("Metrics", true, "Whether the figures of GET /metrics are told."),
        TRUSTED_CERTIFICATES,
        CLIENT_CERTIFICATE,
        CLIENT_KEY,
    ],
    rules: &[],
    others: Others::Kept,
};

pub(super) fn read(section: Section<'_>, settings: &mut Settings, unknown: &mut Report) -> Checked<()> {
    let allowed = "the base URL of a collector: https, or http to 127.0.0.1, [::1] or localhost";
    let Some((key, text)) = section.text("Endpoint")? else {
        return Err(wrong(&section.key("Endpoint"), "not given", allowed));
    };
    let endpoint = HttpUrl::parse(&text)
        .map_err(|why| wrong(&key, &quote(&text), &format!("{allowed}; {}", why.trim_end_matches('.'))))?;
    let is_loopback = matches!(endpoint.host.as_str(), "localhost" | "127.0.0.1" | "[::1]");
    if !(endpoint.tls || is_loopback) || endpoint.target.contains('?') {
        return Err(wrong(&key, &quote(&text), allowed));
    }
    let mut telemetry = Telemetry {
        endpoint,
        headers_file: path(&section, "HeadersFile")?,
        tls: tls_files(&section)?,
        interval_seconds: INTERVAL_SECONDS.unsigned_abs(),
        logs: true,
        traces: true,
        metrics: true,
    };
    section.number("IntervalSeconds", &mut telemetry.interval_seconds)?;
    section.boolean("Logs", &mut telemetry.logs)?;
    section.boolean("Traces", &mut telemetry.traces)?;
    section.boolean("Metrics", &mut telemetry.metrics)?;
    section.finish(unknown);
    settings.telemetry = Some(telemetry);
    Ok(())
}
