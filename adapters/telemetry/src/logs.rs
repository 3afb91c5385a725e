//! Lines of the log as OTLP has them.

use castellan_core::log_message::{Level, LogRecord};
use castellan_core::time::WallTime;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::{self as proto, ResourceLogs, ScopeLogs, SeverityNumber};
use prost::Message;

use crate::words::{Sender, nanos, number, text};

/// Everything that the line has; empty texts are left out.
pub(crate) fn encoded(record: &LogRecord) -> proto::LogRecord {
    let at = WallTime::parse_rfc3339(&record.timestamp).map(nanos).unwrap_or_default();
    let texts = [
        ("castellan.component", record.component.as_str()),
        ("castellan.log.source", &*record.source),
        ("castellan.log.category", &*record.category),
        ("castellan.log.correlation_id", &record.correlation_id),
        ("castellan.log.context", &record.context),
        ("messaging.client.id", record.client_id.as_deref().unwrap_or_default()),
    ];
    let texts = texts.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| text(name, value));
    let pid = record.pid.map(|pid| number("process.pid", i64::from(pid)));
    let bytes = |id: Option<&[u8]>| id.map(<[u8]>::to_vec).unwrap_or_default();
    let span = record.trace.as_ref().and_then(|trace| trace.span_id.as_ref());
    proto::LogRecord {
        time_unix_nano: at,
        observed_time_unix_nano: at,
        severity_number: severity(record.level) as i32,
        severity_text: record.level.as_str().to_owned(),
        body: Some(AnyValue { value: Some(Value::StringValue(record.message.clone())) }),
        attributes: texts.chain(pid).collect(),
        trace_id: bytes(record.trace.as_ref().map(|trace| trace.trace_id.as_bytes())),
        span_id: bytes(span.map(|span| span.as_bytes())),
        ..proto::LogRecord::default()
    }
}

const fn severity(level: Level) -> SeverityNumber {
    match level {
        Level::Trace => SeverityNumber::Trace,
        Level::Debug => SeverityNumber::Debug,
        Level::Information => SeverityNumber::Info,
        Level::Warning => SeverityNumber::Warn,
        Level::Error => SeverityNumber::Error,
        Level::Critical => SeverityNumber::Fatal,
    }
}

/// The request with these lines.
pub(crate) fn wrapped(sender: &Sender, log_records: Vec<proto::LogRecord>) -> Vec<u8> {
    let scope_logs = vec![ScopeLogs { scope: sender.scope(), log_records, ..ScopeLogs::default() }];
    let resource_logs = vec![ResourceLogs { resource: sender.resource(), scope_logs, ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}
