//! The API: request facts in, a route, a tier and a command out; response bodies (contract section 2).

mod accept;
mod at_once;
mod conditions;
pub mod exposition;
mod guard;
mod openapi;
pub(crate) mod operation;
pub(crate) mod page;
pub(crate) mod route;
pub(crate) mod stream;
#[cfg(test)]
mod tests;
pub(crate) mod view;

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use schemars::JsonSchema;
use serde::Serialize;

use crate::id::RequestId;
use crate::job::finding::Finding;
use crate::trace::TraceContext;
use crate::trust::PeerFacts;
use crate::why::Explanation;
pub(crate) use accept::prefers_html;
pub(crate) use at_once::health;
pub use at_once::{AtOnce, Pulse};
pub(crate) use conditions::{Conditions, conditional, entity_tag, tagged};
pub(crate) use guard::{Refused, refuse};
pub(crate) use openapi::document as openapi;

/// Which listener a request came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// Plain HTTP.
    Http,
    /// HTTPS.
    Https,
}

/// A client certificate that the TLS handshake verified against the admin CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Lower-case hex SHA-256 of the whole DER certificate.
    pub sha256: String,
}

/// One request, framed and bounded by the adapter, judged by nobody yet.
#[derive(Debug, Clone)]
pub struct ApiRequest {
    /// Its number; the response carries it.
    pub id: RequestId,
    /// Where it came in.
    pub listener: Listener,
    /// Who is at the other end, gathered for this request.
    pub peer: PeerFacts,
    /// The client certificate, if one was presented.
    pub certificate: Option<CertificateFacts>,
    /// Method as sent.
    pub method: String,
    /// Request target as sent: path and query, still percent-encoded.
    pub target: String,
    /// Header fields in order, names in lower case; a value that is not UTF-8 is replaced by an empty text.
    pub headers: Vec<(String, String)>,
    /// The body; always empty on the HTTP listener, where none is read.
    pub body: Vec<u8>,
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiResponse {
    /// Status code.
    pub status: u16,
    /// Header fields besides those of framing.
    pub headers: Vec<(String, String)>,
    /// The body; its content type stands in `headers`.
    pub body: Vec<u8>,
}

/// The body of a refusal (RFC 9457).
#[derive(Debug, Serialize, JsonSchema)]
struct Problem<'a> {
    /// `about:blank`: the status says of which kind it is.
    #[serde(rename = "type")]
    kind: &'static str,
    /// What happened.
    title: &'a str,
    /// The status code.
    status: u16,
    /// Why.
    detail: &'a str,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<&'a str>,
    #[serde(flatten)]
    members: Members<'a>,
}

/// What some problems have besides.
#[derive(Debug, Clone, Copy, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Members<'a> {
    /// What is wrong with a document, and where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findings: Option<&'a [Finding]>,
    /// The tier that the request needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier_needed: Option<Tier>,
    /// The tier that the caller has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier_held: Option<Tier>,
    /// The entity tag of what is there now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<&'a str>,
}

/// How far a caller is trusted (contract section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub enum Tier {
    /// Anyone.
    Public,
    /// A process that the agent started.
    Plugin,
    /// The holder of an admin certificate.
    Admin,
}

impl ApiRequest {
    /// The first value of a header field, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Where its sender says it belongs: W3C's `traceparent`; one that cannot be read is none, as Trace Context asks for.
    pub(crate) fn trace(&self) -> Option<TraceContext> {
        self.header("traceparent").and_then(TraceContext::from_traceparent)
    }

    /// Every value of a header field, by its lower-case name.
    pub fn all_headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl ApiResponse {
    /// A JSON body.
    pub fn json(status: u16, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => Self::document(status, body),
            Err(error) => {
                let why = error.to_string();
                Self::problem(
                    500,
                    &Explanation::new("The answer could not be written.", why, "Report this as a defect."),
                )
            }
        }
    }

    /// A JSON document as it is stored.
    pub fn document(status: u16, body: Vec<u8>) -> Self {
        Self { status, headers: vec![("content-type".to_string(), "application/json".to_string())], body }
    }

    /// `application/problem+json` (RFC 9457).
    pub fn problem(status: u16, explanation: &Explanation) -> Self {
        Self::problem_with(status, explanation, Members::default())
    }

    /// A problem with findings.
    pub fn findings(status: u16, explanation: &Explanation, findings: &[Finding]) -> Self {
        Self::problem_with(status, explanation, Members { findings: Some(findings), ..Members::default() })
    }

    /// A problem with further members.
    pub fn problem_with(status: u16, explanation: &Explanation, members: Members<'_>) -> Self {
        let Explanation { what: title, why: detail, fix } = explanation;
        let problem = Problem { kind: "about:blank", title, status, detail, fix: Some(fix), members };
        let mut response = Self::json(status, &problem);
        response.set_header("content-type", "application/problem+json");
        response
    }

    /// Sets a header field, replacing what it was.
    pub fn set_header(&mut self, name: &str, value: &str) {
        self.headers.retain(|(key, _)| key != name);
        self.headers.push((name.to_string(), value.to_string()));
    }
}
