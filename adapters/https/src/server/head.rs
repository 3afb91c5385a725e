//! The request head as it was sent, and the framing checks that hyper leaves open (security.md section 6).
//!
//! hyper drops a `Content-Length` beside `Transfer-Encoding` and regroups repeated fields before a handler sees them. So the
//! bytes that hyper reads are also kept here until its handler is called; the same parser then reads the same head again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::StatusCode;

use super::limits::{HEADERS, SEEN_BYTES};
use super::problem::Problem;

/// A request head in the order it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// Method as sent.
    pub(crate) method: String,
    /// Request target as sent.
    pub(crate) target: String,
    /// Fields in order, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// `Content-Length`, where there is one.
    pub(crate) length: Option<u64>,
    /// Whether a body comes in chunks.
    pub(crate) chunked: bool,
}

impl Head {
    /// Whether a body follows the head.
    pub(crate) fn has_body(&self) -> bool {
        self.chunked || self.length.is_some_and(|length| length > 0)
    }
}

/// What one connection sent since its last complete request.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    bytes: Vec<u8>,
    /// Bytes of the current body that have not come yet.
    skip: u64,
    /// A body of unknown length follows: this is the connection's last request.
    last: bool,
}

impl Seen {
    /// Takes note of bytes that hyper is about to get. False where a client sends more than any request in order needs.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> bool {
        if self.last {
            return true;
        }
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
        self.skip = self.skip.saturating_sub(skipped as u64);
        self.bytes.extend_from_slice(bytes.get(skipped..).unwrap_or_default());
        self.bytes.len() <= SEEN_BYTES
    }

    /// The head of the request that hyper has just parsed.
    ///
    /// # Errors
    /// The [`Problem`] to answer before the connection is closed.
    pub(crate) fn take_head(&mut self) -> Result<Head, Problem> {
        let mut fields = [httparse::EMPTY_HEADER; HEADERS];
        let mut request = httparse::Request::new(&mut fields);
        let Ok(httparse::Status::Complete(length)) = request.parse(&self.bytes) else {
            return Err(Problem::malformed("The request head cannot be read. Send one request after the other."));
        };
        let head = check(&request, self.bytes.get(..length).unwrap_or_default())?;
        self.bytes.drain(..length);
        if head.chunked {
            self.last = true;
            self.bytes = Vec::new();
        } else if let Some(body) = head.length {
            let here = usize::try_from(body).unwrap_or(usize::MAX).min(self.bytes.len());
            self.bytes.drain(..here);
            self.skip = body.saturating_sub(here as u64);
        }
        Ok(head)
    }
}

/// Whether every line ends in CR LF (RFC 9112 section 2.2 lets a recipient accept a bare LF; a strict one cannot be fooled).
fn has_bare_line_feed(bytes: &[u8]) -> bool {
    let before = std::iter::once(&0_u8).chain(bytes);
    bytes.iter().zip(before).any(|(byte, before)| *byte == b'\n' && *before != b'\r')
}

/// The field value as text: UTF-8 without control characters.
fn visible(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    text.chars().all(|character| character == '\t' || !character.is_control()).then(|| text.to_owned())
}

/// Checks a complete head.
fn check(request: &httparse::Request<'_, '_>, bytes: &[u8]) -> Result<Head, Problem> {
    if has_bare_line_feed(bytes) {
        return Err(Problem::malformed("A line of the request head ends in a bare LF. End every line with CR LF."));
    }
    let mut headers = Vec::with_capacity(request.headers.len());
    for field in request.headers.iter() {
        let Some(value) = visible(field.value) else {
            return Err(Problem::malformed("A header value has bytes that are not visible text in UTF-8."));
        };
        headers.push((field.name.to_ascii_lowercase(), value));
    }
    let values = |wanted: &'static str| headers.iter().filter(move |(name, _)| name == wanted).map(|(_, value)| value);
    let lengths = values("content-length").count();
    let chunked = values("transfer-encoding").count() > 0;
    if chunked && lengths > 0 {
        return Err(Problem::malformed("Content-Length and Transfer-Encoding exclude each other. Send one of them."));
    }
    if values("host").count() != 1 {
        return Err(Problem::malformed("A request has exactly one Host field. Send the address it was made to."));
    }
    if values("expect").any(|value| !value.eq_ignore_ascii_case("100-continue")) {
        return Err(Problem::of(
            StatusCode::EXPECTATION_FAILED,
            "The only expectation that can be met is 100-continue.",
        ));
    }
    let length = match values("content-length").next().map(|value| value.parse::<u64>()) {
        None => None,
        Some(Ok(length)) => Some(length),
        Some(Err(_)) => return Err(Problem::malformed("Content-Length is not a number of bytes.")),
    };
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return Err(Problem::malformed("The request line is incomplete."));
    };
    Ok(Head { method: method.to_owned(), target: target.to_owned(), headers, length, chunked })
}

/// What the reader and the handler of one connection share.
pub(crate) type SharedSeen = Arc<Mutex<Seen>>;

/// The lock; a panic elsewhere cannot leave half a change behind, so poison is of no concern.
pub(crate) fn lock(seen: &SharedSeen) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
