//! The request of an Http task: `method`, `url`, `headers`, `body`, `expectStatus`.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use super::environment::scalar;
use crate::job::finding::{Report, quote};
use crate::job::task::HttpRequestDefinition;
use crate::job::url::HttpUrl;
use crate::json::read::{Field, ObjectReader};
use crate::json::{Json, pointer_to};

/// Methods that a task may use (RFC 9110 9.3, RFC 5789); CONNECT and TRACE are not for tasks.
pub(super) const METHODS: [(&str, &str); 7] = [
    ("GET", "GET"),
    ("HEAD", "HEAD"),
    ("POST", "POST"),
    ("PUT", "PUT"),
    ("PATCH", "PATCH"),
    ("DELETE", "DELETE"),
    ("OPTIONS", "OPTIONS"),
];

/// Fields that the agent writes itself, because they frame the message (RFC 9110 7.2, 7.6.1, 8.6).
const OWN_FIELDS: [&str; 9] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "keep-alive",
    "proxy-connection",
];

/// Statuses that there are (RFC 9110 15).
pub(super) const STATUS: RangeInclusive<i64> = 100..=599;

/// The request of an Http task; for any other task a URL is warned about.
pub(super) fn parse(reader: &ObjectReader<'_>, is_http: bool, report: &mut Report) -> Option<HttpRequestDefinition> {
    if !is_http {
        if let Some(url) = reader.take("url") {
            let message = "the request is sent only by tasks with \"executionType\": \"Http\".";
            report.warning(url.pointer, "http-key-unused", message);
        }
        return None;
    }
    let method = reader.required("method", report).and_then(|field| field.choice(&METHODS, report));
    let url = reader.required("url", report).and_then(|field| url(&field, report));
    let headers = headers(reader, report);
    let body = reader.take("body").map(|field| field.value.to_value());
    let expect_status = expect_status(reader, report);
    Some(HttpRequestDefinition { method: method?.to_string(), url: url?, headers, body, expect_status })
}

/// An absolute http or https URL; its beginning may also be a token such as `{KeeperApiBaseUrl}`.
fn url(field: &Field<'_>, report: &mut Report) -> Option<String> {
    let text = field.text(report)?;
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    let known = matches!(scheme.as_deref(), Some("http" | "https")) || text.starts_with('{');
    let authority = text.split_once("://").and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
    let problem = if text.contains('{') {
        let user = authority.is_some_and(|authority| authority.contains('@'));
        user.then(|| String::from("it has user information before the host; send credentials in a header field."))
    } else {
        HttpUrl::parse(text).err()
    };
    if let Some(problem) = problem.filter(|_| known) {
        report.error(field.pointer.clone(), "url-invalid", format!("{} is not a URL: {problem}", quote(text)));
        return None;
    }
    if known && !text.contains(|letter: char| letter.is_control() || letter == ' ') {
        return Some(text.to_string());
    }
    let message = format!(
        "{} is not a URL; it starts with https://, http:// or {{KeeperApiBaseUrl}} and has no blanks.",
        quote(text)
    );
    report.error(field.pointer.clone(), "url-invalid", message);
    None
}

fn headers(reader: &ObjectReader<'_>, report: &mut Report) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    let Some(field) = reader.take("headers") else { return headers };
    let Json::Object(members) = field.value else {
        field.wrong_type("an object", report);
        return headers;
    };
    for (name, value) in members {
        let header = Field { pointer: pointer_to(&field.pointer, name), value };
        let Some(text) = scalar(&header, report) else { continue };
        let problem = if OWN_FIELDS.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            "the agent writes this field itself; remove it."
        } else if name.is_empty() || !name.bytes().all(is_token_byte) {
            "a field name consists of letters, digits and !#$%&'*+-.^_`|~ (RFC 9110 5.6.2)."
        } else if text.contains(|letter: char| letter.is_control() && letter != '\t') {
            "a field value has no line breaks or control characters."
        } else {
            headers.insert(name.clone(), text);
            continue;
        };
        report.error(header.pointer, "header-invalid", format!("{}: {problem}", quote(name)));
    }
    headers
}

/// Bytes of a token (RFC 9110 5.6.2).
const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// One status or several; none given means 200 to 299.
fn expect_status(reader: &ObjectReader<'_>, report: &mut Report) -> Vec<u16> {
    let Some(field) = reader.take("expectStatus") else { return Vec::new() };
    let fields = match field.value {
        Json::Array(_) => field.array(report).unwrap_or_default(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_) => Vec::from([field]),
    };
    let status = |field: &Field<'_>| field.integer(STATUS, report).and_then(|status| u16::try_from(status).ok());
    fields.iter().filter_map(status).collect()
}
