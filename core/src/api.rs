//! The API: request facts in, a route, a tier and a command out; response bodies (contract section 2).

use alloc::string::String;
use alloc::vec::Vec;

use crate::id::RequestId;
use crate::trust::PeerFacts;

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
