//! What is refused before anybody asks what was wanted: wrong hosts, browsers, proxies, wrong content types (contract section 2).

use alloc::format;
use alloc::string::String;

use super::route::Target;
use super::{ApiRequest, ApiResponse, Listener};
use crate::event::Endpoints;
use crate::why::Explanation;

/// The answer to a request that goes no further, or `None`.
pub(crate) fn refuse(request: &ApiRequest, target: &Target, endpoints: Endpoints) -> Option<ApiResponse> {
    match request.listener {
        Listener::Http => plain_http(request, target, endpoints),
        Listener::Https => {
            let port = endpoints.https;
            wrong_host(request, target, port)
                .or_else(|| from_a_browser(request))
                .or_else(|| wrong_content_type(request))
        }
    }
}

/// The HTTP listener serves `/health` itself and points everything else to HTTPS. `Location` is never built from the request's Host.
fn plain_http(request: &ApiRequest, target: &Target, endpoints: Endpoints) -> Option<ApiResponse> {
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        let explanation = Explanation::new(
            "Only GET and HEAD are taken over plain HTTP.",
            "Anything else would travel unprotected.",
            format!("Use https://127.0.0.1:{}.", endpoints.https),
        );
        return Some(ApiResponse::problem(403, &explanation));
    }
    if target.path.eq_ignore_ascii_case("/health") {
        return wrong_host(request, target, endpoints.http).or_else(|| from_a_browser(request));
    }
    let mut response = ApiResponse { status: 308, headers: alloc::vec![], body: alloc::vec![] };
    response.set_header("location", &format!("https://127.0.0.1:{}{}", endpoints.https, safe_path(&target.path)));
    Some(response)
}

/// The path as it may stand in a header field.
fn safe_path(path: &str) -> &str {
    let plain = path.starts_with('/') && !path.starts_with("//") && path.bytes().all(|byte| byte.is_ascii_graphic());
    if plain { path } else { "/" }
}

/// Against DNS rebinding: only our own names, at our own port.
fn wrong_host(request: &ApiRequest, target: &Target, port: u16) -> Option<ApiResponse> {
    let ours = |authority: &str| {
        let authority = authority.to_ascii_lowercase();
        ["127.0.0.1", "localhost", "[::1]"].iter().any(|name| authority == format!("{name}:{port}"))
    };
    let host = request.header("host").unwrap_or_default();
    let named = target.authority.as_deref().unwrap_or(host);
    if ours(host) && ours(named) {
        return None;
    }
    let explanation = Explanation::new(
        format!("'{named}' is not this agent."),
        "Only 127.0.0.1, localhost and [::1] at this port are served, so that no web page can reach it under another name.",
        format!("Send the request to https://127.0.0.1:{port}."),
    );
    Some(ApiResponse::problem(421, &explanation))
}

/// Browsers and proxies have no business here.
fn from_a_browser(request: &ApiRequest) -> Option<ApiResponse> {
    let fetch_site = request.header("sec-fetch-site");
    let same_origin_read = matches!(request.method.as_str(), "GET" | "HEAD") && fetch_site == Some("same-origin");
    let field = request.headers.iter().map(|(name, _)| name.as_str()).find(|name| {
        matches!(*name, "origin" | "forwarded" | "via")
            || name.starts_with("x-forwarded-")
            || (*name == "sec-fetch-site" && fetch_site != Some("none") && !same_origin_read)
    })?;
    let explanation = Explanation::new(
        "The request was refused.",
        format!("It carries the header field '{field}', which a web page or a proxy adds."),
        "Call the API directly, from a program on this machine.",
    );
    Some(ApiResponse::problem(403, &explanation))
}

fn wrong_content_type(request: &ApiRequest) -> Option<ApiResponse> {
    if request.body.is_empty() {
        return None;
    }
    let media_type = request.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
    if media_type.trim().eq_ignore_ascii_case("application/json") {
        return None;
    }
    let found = if media_type.is_empty() { String::from("none") } else { format!("'{media_type}'") };
    let explanation = Explanation::new(
        "The body was not read.",
        format!("Its content type is {found}."),
        "Send it as Content-Type: application/json.",
    );
    Some(ApiResponse::problem(415, &explanation))
}
