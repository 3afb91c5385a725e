//! A collector over tiny_http that takes OTLP's requests apart with the messages that OpenTelemetry publishes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
pub(crate) use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tiny_http::{Request, Response, Server};

pub(crate) struct Collector {
    server: Arc<Server>,
    status: Arc<AtomicU16>,
    taken: Arc<Mutex<Taken>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Taken {
    logs: Vec<LogRecord>,
    spans: Vec<Span>,
    metrics: Vec<Metric>,
    /// `service.name` and the field `Authorization` of each request.
    senders: Vec<String>,
}

impl Collector {
    /// On a free port; answers with this status, and takes what it answers well.
    pub(crate) fn start(status: u16) -> Self {
        let server = Arc::new(Server::http("127.0.0.1:0").unwrap());
        let (status, taken) = (Arc::new(AtomicU16::new(status)), Arc::new(Mutex::new(Taken::default())));
        let (heard, answer, into) = (Arc::clone(&server), Arc::clone(&status), Arc::clone(&taken));
        let thread = std::thread::spawn(move || {
            for mut request in heard.incoming_requests() {
                let status = answer.load(Ordering::Relaxed);
                if status == 200 {
                    into.lock().unwrap().take(&mut request);
                }
                // The agent may be gone.
                drop(request.respond(Response::empty(status)));
            }
        });
        Self { server, status, taken, thread: Some(thread) }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.server.server_addr())
    }

    /// From now on it answers with this status.
    pub(crate) fn answer(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    pub(crate) fn logs(&self) -> Vec<LogRecord> {
        self.taken.lock().unwrap().logs.clone()
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.taken.lock().unwrap().spans.clone()
    }

    pub(crate) fn metrics(&self) -> Vec<Metric> {
        self.taken.lock().unwrap().metrics.clone()
    }

    pub(crate) fn senders(&self) -> Vec<String> {
        self.taken.lock().unwrap().senders.clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.unblock();
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Taken {
    fn take(&mut self, request: &mut Request) {
        let field = |name: &'static str| {
            let field = request.headers().iter().find(|header| header.field.equiv(name));
            field.map(|header| header.value.as_str().to_owned()).unwrap_or_default()
        };
        assert_eq!(field("content-type"), "application/x-protobuf");
        let authorization = field("authorization");
        let path = request.url().to_owned();
        let mut body = Vec::new();
        request.as_reader().read_to_end(&mut body).unwrap();
        let resource = match path.trim_start_matches("/otlp") {
            "/v1/logs" => {
                let mut told = ExportLogsServiceRequest::decode(&*body).unwrap().resource_logs.pop().unwrap();
                self.logs.extend(told.scope_logs.drain(..).flat_map(|scope| scope.log_records));
                told.resource
            }
            "/v1/traces" => {
                let mut told = ExportTraceServiceRequest::decode(&*body).unwrap().resource_spans.pop().unwrap();
                self.spans.extend(told.scope_spans.drain(..).flat_map(|scope| scope.spans));
                told.resource
            }
            "/v1/metrics" => {
                let mut told = ExportMetricsServiceRequest::decode(&*body).unwrap().resource_metrics.pop().unwrap();
                self.metrics.extend(told.scope_metrics.drain(..).flat_map(|scope| scope.metrics));
                told.resource
            }
            other => panic!("nobody sends to {other}"),
        };
        let Resource { attributes, .. } = resource.unwrap();
        self.senders.push(format!("{} {authorization}", attribute(&attributes, "service.name")));
    }
}

/// The value of an attribute as text; empty where there is none.
pub(crate) fn attribute(attributes: &[KeyValue], name: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == name);
    match found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => other.map_or_else(String::new, |other| panic!("{name}: {other:?}")),
    }
}

/// The text of a line.
pub(crate) fn body(line: &LogRecord) -> String {
    match line.body.as_ref().and_then(|body| body.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn hexadecimal(id: &[u8]) -> String {
    castellan_core::hexadecimal(id)
}

/// Each span as `name < parent < its parent`, sorted.
pub(crate) fn tree(spans: &[Span]) -> Vec<String> {
    let by_id: BTreeMap<&[u8], &Span> = spans.iter().map(|span| (&*span.span_id, span)).collect();
    assert_eq!(by_id.len(), spans.len(), "an id was given twice: {spans:#?}");
    let path = |span| {
        let path = std::iter::successors(Some(span), |span: &&Span| by_id.get(&*span.parent_span_id).copied());
        path.map(|span| span.name.as_str()).collect::<Vec<_>>().join(" < ")
    };
    let mut lines: Vec<String> = spans.iter().map(path).collect();
    lines.sort();
    lines
}
