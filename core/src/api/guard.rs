//! What is refused before anybody asks what was wanted: wrong hosts, browsers, proxies, wrong content types (contract section 2).

use alloc::format;
use alloc::string::String;

use super::route::Target;
use super::{ApiRequest, ApiResponse, Listener};
use crate::event::Endpoints;
use crate::job::finding::quote;
use crate::why::Explanation;

/// A request that goes no further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Its answer.
    pub(crate) response: ApiResponse,
    /// Why, where somebody tried what only a web page or a proxy does: that goes on record.
    pub(crate) explanation: Option<Explanation>,
}

impl From<ApiResponse> for Refused {
    fn from(response: ApiResponse) -> Self {
        Self { response, explanation: None }
    }
}

impl Refused {
    fn on_record(status: u16, explanation: Explanation) -> Self {
        Self { response: ApiResponse::problem(status, &explanation), explanation: Some(explanation) }
    }
}

/// The answer to a request that goes no further, or `None`.
pub(crate) fn refuse(request: &ApiRequest, target: &Target, endpoints: Endpoints) -> Option<Refused> {
    match request.listener {
        Listener::Http => plain_http(request, target, endpoints),
        Listener::Https => {
            let port = endpoints.https;
            wrong_host(request, target, port)
                .or_else(|| from_a_browser(request))
                .or_else(|| wrong_content_type(request).map(Refused::from))
        }
    }
}

/// The HTTP listener serves `/health` itself and points everything else to HTTPS. `Location` is never built from the request's Host.
fn plain_http(request: &ApiRequest, target: &Target, endpoints: Endpoints) -> Option<Refused> {
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        let explanation = Explanation::new(
            "Only GET and HEAD are taken over plain HTTP.",
            "Anything else would travel unprotected.",
            format!("Use https://127.0.0.1:{}.", endpoints.https),
        );
        return Some(ApiResponse::problem(403, &explanation).into());
    }
    if target.path.eq_ignore_ascii_case("/health") {
        return wrong_host(request, target, endpoints.http).or_else(|| from_a_browser(request));
    }
    let mut response = ApiResponse { status: 308, headers: alloc::vec![], body: alloc::vec![] };
    response.set_header("location", &format!("https://127.0.0.1:{}{}", endpoints.https, safe_path(&target.path)));
    Some(response.into())
}

/// The path as it may stand in a header field.
fn safe_path(path: &str) -> &str {
    let plain = path.starts_with('/') && !path.starts_with("//") && path.bytes().all(|byte| byte.is_ascii_graphic());
    if plain { path } else { "/" }
}

/// Against DNS rebinding: only our own names, at our own port; exactly one `Host`, so that nobody else reads another one.
fn wrong_host(request: &ApiRequest, target: &Target, port: u16) -> Option<Refused> {
    let ours = |authority: &str| {
        let authority = authority.to_ascii_lowercase();
        ["127.0.0.1", "localhost", "[::1]"].iter().any(|name| authority == format!("{name}:{port}"))
    };
    let mut hosts = request.all_headers("host");
    let host = hosts.next().unwrap_or_default();
    let named = target.authority.as_deref().unwrap_or(host);
    if ours(host) && ours(named) && hosts.next().is_none() {
        return None;
    }
    let explanation = Explanation::new(
        format!("{} is not this agent.", quote(named)),
        "Only 127.0.0.1, localhost and [::1] at this port are served, named once, so that no web page can reach it under another name.",
        format!("Send the request to https://127.0.0.1:{port}."),
    );
    Some(Refused::on_record(421, explanation))
}

/// Browsers and proxies have no business here.
fn from_a_browser(request: &ApiRequest) -> Option<Refused> {
    let read = matches!(request.method.as_str(), "GET" | "HEAD");
    let (field, _) = request.headers.iter().find(|(name, value)| match name.as_str() {
        "origin" | "forwarded" | "via" => true,
        "sec-fetch-site" => value != "none" && !(read && value == "same-origin"),
        other => other.starts_with("x-forwarded"),
    })?;
    let explanation = Explanation::new(
        "The request was refused.",
        format!("It carries the header field '{field}', which a web page or a proxy adds."),
        "Call the API directly, from a program on this machine.",
    );
    Some(Refused::on_record(403, explanation))
}

fn wrong_content_type(request: &ApiRequest) -> Option<ApiResponse> {
    if request.body.is_empty() {
        return None;
    }
    let mut fields = request.all_headers("content-type");
    let media_type = fields.next().unwrap_or_default().split(';').next().unwrap_or_default();
    if media_type.trim().eq_ignore_ascii_case("application/json") && fields.next().is_none() {
        return None;
    }
    let found = if media_type.is_empty() { String::from("none") } else { quote(media_type) };
    let explanation = Explanation::new(
        "The body was not read.",
        format!("Its content type is {found}."),
        "Send it as Content-Type: application/json.",
    );
    Some(ApiResponse::problem(415, &explanation))
}
