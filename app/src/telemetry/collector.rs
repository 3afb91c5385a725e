//! Tells a collector: what it is told with, and the requests.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use castellan_core::config::Telemetry as Collector;
use castellan_core::effect::TelemetryOrder;
use castellan_core::job::url::HttpUrl;
use castellan_core::log_message::LogRecord;
use castellan_fs::log_file::LogOutput;
use castellan_fs::policy_source::read_secret;
use castellan_https::calls;
use castellan_telemetry::{Patience, Reply, Signal, Telemetry, TelemetryConfig};

use super::TelemetryStart;
use crate::tls_files;

/// For one request, connecting included; what OTLP's own exporters take.
const REQUEST_TIME: Duration = Duration::from_secs(10);

/// The port; it does nothing where there is no collector.
pub(crate) struct TelemetryPort(Option<Telemetry>);

impl fmt::Debug for TelemetryPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("TelemetryPort").field(&self.0).finish()
    }
}

impl TelemetryPort {
    pub(crate) fn start(start: TelemetryStart<'_>) -> Self {
        let TelemetryStart { settings, machine, clock, executor } = start;
        let Some(collector) = settings.telemetry.clone() else { return Self(None) };
        let wanted =
            [(collector.logs, Signal::Logs), (collector.traces, Signal::Traces), (collector.metrics, Signal::Metrics)];
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let resource = [
            ("service.name", String::from("castellan")),
            ("service.version", version.clone()),
            ("service.instance.id", machine),
            ("host.name", host),
        ];
        let place = Arc::new(Place { collector, access: Mutex::default() });
        Self(Some(Telemetry::start(TelemetryConfig {
            signals: wanted.into_iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, signal)| signal).collect(),
            resource: resource.into(),
            version,
            post: Box::new(move |signal, body| Box::pin(Arc::clone(&place).post(signal, body))),
            executor,
            clock: Arc::new(move || clock.now()),
            patience: Patience::default(),
        })))
    }

    /// The same outputs of the log, and the collector.
    pub(crate) fn listen(&self, output: LogOutput) -> LogOutput {
        let Some(inlet) = self.0.as_ref().map(Telemetry::log_inlet) else { return output };
        let mut first = output.tap;
        let tap = move |record: &LogRecord| {
            first.iter_mut().for_each(|tap| tap(record));
            inlet.log(record);
        };
        LogOutput { tap: Some(Box::new(tap)), ..output }
    }

    pub(crate) fn order(&self, order: TelemetryOrder) {
        if let Some(telemetry) = &self.0 {
            telemetry.order(order);
        }
    }

    pub(crate) fn lost(&self) -> Vec<(&'static str, u64)> {
        self.0.as_ref().map(Telemetry::lost).unwrap_or_default()
    }

    /// Tells what is left, within a time of its own.
    pub(crate) async fn close(self) {
        if let Some(telemetry) = self.0 {
            telemetry.close().await;
        }
    }
}

/// The collector, and how to get in.
struct Place {
    collector: Collector,
    /// Read when it is needed first and after each failure, so that what was renewed counts.
    access: Mutex<Option<Access>>,
}

/// What stands in files.
#[derive(Clone)]
struct Access {
    headers: Vec<(String, String)>,
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl Place {
    async fn post(self: Arc<Self>, signal: Signal, body: Vec<u8>) -> Result<Reply, String> {
        let known = self.access.lock().unwrap_or_else(PoisonError::into_inner).take();
        let access = match known {
            Some(access) => access,
            None => {
                let place = Arc::clone(&self);
                smol::unblock(move || place.read()).await?
            }
        };
        let HttpUrl { tls, host, port, target } = self.collector.endpoint.clone();
        let target = format!("{}{}", target.trim_end_matches('/'), signal.path());
        let url = HttpUrl { tls, host, port, target };
        let Access { headers, tls } = access.clone();
        let response = calls::post(url, headers, body, tls, REQUEST_TIME).await?;
        if (200..300).contains(&response.status) {
            *self.access.lock().unwrap_or_else(PoisonError::into_inner) = Some(access);
        }
        let retry_after = response.headers.iter().find(|(name, _)| name == "retry-after");
        let retry_after = retry_after.and_then(|(_, value)| value.parse().ok());
        Ok(Reply { status: response.status, retry_after, body: response.body })
    }

    fn read(&self) -> Result<Access, String> {
        let mut headers = match &self.collector.headers_file {
            None => Vec::new(),
            Some(file) => {
                let bytes = read_secret(Path::new(file)).map_err(|error| error.to_string())?;
                header_fields(&String::from_utf8_lossy(&bytes)).map_err(|why| format!("{file}: {why}"))?
            }
        };
        headers.push((String::from("content-type"), String::from("application/x-protobuf")));
        headers.push((String::from("user-agent"), format!("castellan/{}", env!("CARGO_PKG_VERSION"))));
        let tls = self.collector.endpoint.tls.then(|| tls_files::client(&self.collector.tls)).transpose()?;
        Ok(Access { headers, tls })
    }
}

/// `name: value` in each line; blank lines and those that begin with `#` are none. An error never shows a value.
fn header_fields(text: &str) -> Result<Vec<(String, String)>, String> {
    let lines = text.lines().enumerate().map(|(index, line)| (index.saturating_add(1), line.trim()));
    let field = |(number, line): (usize, &str)| {
        let (name, value) = line.split_once(':').unwrap_or_default();
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        let value = value.trim();
        if !is_name(name) || value.is_empty() || value.chars().any(char::is_control) {
            return Err(format!("line {number} is not of the form 'name: value'"));
        }
        Ok((name.to_ascii_lowercase(), value.to_owned()))
    };
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).map(field).collect()
}

#[cfg(test)]
mod tests;
