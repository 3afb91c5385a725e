//! Answers that the adapter gives by itself: RFC 9457 problems about framing, size, time and load.

use castellan_core::api::ApiResponse;
use hyper::StatusCode;

/// A refusal by the adapter. All texts are constants, so nothing a client sent is echoed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Status code.
    pub(crate) status: StatusCode,
    /// What is wrong and what to do, without characters that JSON escapes.
    pub(crate) detail: &'static str,
    /// Seconds for `Retry-After`.
    pub(crate) retry_after: Option<&'static str>,
}

impl Problem {
    /// 400 (RFC 9112 section 2.2 and 3.2).
    pub(crate) const fn malformed(detail: &'static str) -> Self {
        Self::of(StatusCode::BAD_REQUEST, detail)
    }

    /// Any other status.
    pub(crate) const fn of(status: StatusCode, detail: &'static str) -> Self {
        Self { status, detail, retry_after: None }
    }

    /// The agent cannot take the request now.
    pub(crate) const fn busy(detail: &'static str) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, detail, retry_after: Some("1") }
    }

    /// What hyper says without a body of what it cannot parse, before anybody else sees it.
    pub(crate) fn of_bare(status: StatusCode) -> Option<Self> {
        Some(match status {
            StatusCode::BAD_REQUEST => {
                Self::malformed("The request line, a header field or the framing is malformed. See RFC 9112.")
            }
            StatusCode::URI_TOO_LONG => Self::of(status, "The request target is too long."),
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
                Self::of(status, "A request head has at most 64 header fields and 16 KiB.")
            }
            _ => return None,
        })
    }

    /// As the bytes of a whole response, after which the connection is closed.
    pub(crate) fn bytes(self) -> Vec<u8> {
        let ApiResponse { status, headers, body } = self.response();
        let reason = self.status.canonical_reason().unwrap_or("Error");
        let fields: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status} {reason}\r\n{fields}content-length: {length}\r\nconnection: close\r\n\r\n");
        [head.into_bytes(), body].concat()
    }

    /// As a response with an `application/problem+json` body.
    pub(crate) fn response(self) -> ApiResponse {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let status = self.status.as_u16();
        let body = format!(
            r#"{{"type":"about:blank","title":"{title}","status":{status},"detail":"{detail}"}}"#,
            detail = self.detail
        );
        let mut headers = vec![(String::from("content-type"), String::from("application/problem+json"))];
        headers.extend(self.retry_after.map(|seconds| (String::from("retry-after"), String::from(seconds))));
        ApiResponse { status, headers, body: body.into_bytes() }
    }
}
