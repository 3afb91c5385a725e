//! Spans as OTLP has them.

use castellan_core::trace::{Attribute, Span, SpanKind};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{self as proto, ResourceSpans, ScopeSpans, Status, span};
use prost::Message;

use crate::words::{Sender, nanos, number, text};

pub(crate) fn encoded(span: Span) -> proto::Span {
    let Span { context, parent, name, kind, start, end, status, attributes } = span;
    let kind = match kind {
        SpanKind::Internal => span::SpanKind::Internal,
        SpanKind::Producer => span::SpanKind::Producer,
    };
    let status = match status {
        // A span without a status went well; `Ok` is for people who want to overrule an error.
        Ok(()) => None,
        Err(message) => Some(Status { message, code: StatusCode::Error as i32 }),
    };
    let attributes = attributes.into_iter().map(|(name, value)| match value {
        Attribute::Text(value) => text(name, value),
        Attribute::Number(value) => number(name, value),
    });
    proto::Span {
        trace_id: context.trace_id.as_bytes().to_vec(),
        span_id: context.span_id.map(|id| id.as_bytes().to_vec()).unwrap_or_default(),
        parent_span_id: parent.map(|id| id.as_bytes().to_vec()).unwrap_or_default(),
        name,
        kind: kind as i32,
        start_time_unix_nano: nanos(start),
        // A clock that was set back must not make a span end before it began.
        end_time_unix_nano: nanos(end.max(start)),
        attributes: attributes.collect(),
        status,
        ..proto::Span::default()
    }
}

/// The request with these spans.
pub(crate) fn wrapped(sender: &Sender, spans: Vec<proto::Span>) -> Vec<u8> {
    let scope_spans = vec![ScopeSpans { scope: sender.scope(), spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { resource: sender.resource(), scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}
