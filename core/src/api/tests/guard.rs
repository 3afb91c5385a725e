//! What goes no further: wrong hosts, browsers, proxies, wrong content types; and the plain HTTP listener.

use super::*;
use crate::event::Endpoints;
use crate::id::RequestId;

const ENDPOINTS: Endpoints = Endpoints { http: 80, https: 443, mqtt: 8883 };

pub(super) fn request(
    listener: Listener,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> ApiRequest {
    let peer = PeerFacts { own_end_established: true, ..PeerFacts::default() };
    ApiRequest {
        id: RequestId(1),
        listener,
        peer,
        certificate: None,
        method: method.to_string(),
        target: target.to_string(),
        headers: headers.iter().map(|(name, value)| ((*name).to_string(), (*value).to_string())).collect(),
        body: body.as_bytes().to_vec(),
    }
}

fn judge(request: &ApiRequest) -> Option<Refused> {
    refuse(request, &Target::parse(&request.target), ENDPOINTS)
}

/// The status, 0 where it passes.
#[track_caller]
fn check(method: &str, target: &str, headers: &[(&str, &str)], body: &str, expect: u16) {
    let refused = judge(&request(Listener::Https, method, target, headers, body));
    let status = refused.as_ref().map_or(0, |refused| refused.response.status);
    assert_eq!(status, expect, "{method} {target} {headers:?}");
    if let Some(refused) = refused {
        assert_eq!(refused.explanation.is_some(), expect != 415, "what a web page does goes on record");
        let names: Vec<&str> = refused.response.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert!(!names.iter().any(|name| name.starts_with("access-control")), "{names:?}");
    }
}

const HOST: (&str, &str) = ("host", "127.0.0.1:443");

#[test]
fn hosts() {
    for host in ["127.0.0.1:443", "localhost:443", "LocalHost:443", "[::1]:443"] {
        check("GET", "/health", &[("host", host)], "", 0);
    }
    for host in [
        "evil.com",
        "127.0.0.1",
        "127.0.0.1:80",
        "127.0.0.1:4433",
        "127.0.0.1:443.evil.com",
        "localhost.evil.com:443",
        "evil@127.0.0.1:443",
        "127.0.0.2:443",
        "[::]:443",
        "::1:443",
        "127.1:443",
        "",
        " 127.0.0.1:443",
        "127.0.0.1:0443",
        "127.0.0.1:443,evil",
    ] {
        check("GET", "/health", &[("host", host)], "", 421);
    }
    check("GET", "/health", &[], "", 421);
    check("GET", "/health", &[HOST, ("host", "evil.com")], "", 421);
    check("GET", "/health", &[("host", "evil.com"), HOST], "", 421);
    check("GET", "/health", &[HOST, HOST], "", 421);
}

#[test]
fn absolute_targets_name_us_too() {
    check("GET", "http://evil/health", &[HOST], "", 421);
    check("GET", "https://evil:443/health", &[HOST], "", 421);
    check("GET", "https://127.0.0.1:443/health", &[("host", "evil")], "", 421);
    check("GET", "https://127.0.0.1:443@evil/health", &[HOST], "", 421);
    check("GET", "https://localhost:443/health", &[HOST], "", 0);
}

#[test]
fn browsers_and_proxies() {
    for (name, value) in [
        ("origin", "https://evil"),
        ("origin", "null"),
        ("origin", "https://127.0.0.1:443"),
        ("origin", ""),
        ("forwarded", "for=1.2.3.4"),
        ("via", "1.1 proxy"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-host", "evil"),
        ("x-forwarded", "1.2.3.4"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "None"),
        ("sec-fetch-site", ""),
    ] {
        for method in ["GET", "HEAD", "POST", "DELETE"] {
            check(method, "/api/Jobs", &[HOST, (name, value)], "", 403);
        }
    }
    check("GET", "/", &[HOST, ("sec-fetch-site", "none")], "", 0);
    check("POST", "/api/Jobs", &[HOST, ("sec-fetch-site", "none")], "", 0);
    check("GET", "/", &[HOST, ("sec-fetch-site", "same-origin")], "", 0);
    check("HEAD", "/", &[HOST, ("sec-fetch-site", "same-origin")], "", 0);
    check("POST", "/api/Jobs", &[HOST, ("sec-fetch-site", "same-origin")], "", 403);
    check("GET", "/", &[HOST, ("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")], "", 403);
    check("GET", "/", &[HOST, ("x-keeper-pid", "1"), ("user-agent", "curl")], "", 0);
}

#[test]
fn bodies_are_json() {
    for (value, expect) in [
        ("application/json", 0),
        ("Application/JSON; charset=utf-8", 0),
        ("application/json ;x", 0),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; application/json", 415),
        ("application/jsonx", 415),
        ("", 415),
    ] {
        check("POST", "/api/Jobs", &[HOST, ("content-type", value)], "{}", expect);
        check("POST", "/api/Jobs/x/trigger", &[HOST, ("content-type", value)], "", 0);
    }
    check("POST", "/api/Jobs", &[HOST], "{}", 415);
    check(
        "POST",
        "/api/Jobs",
        &[HOST, ("content-type", "application/json"), ("content-type", "text/plain")],
        "{}",
        415,
    );
}

#[test]
fn plain_http_serves_health_and_points_the_rest_to_https() {
    let judged = |method: &str, target: &str, headers: &[(&str, &str)]| {
        judge(&request(Listener::Http, method, target, headers, "")).map_or((0, None, false), |refused| {
            let header = |name: &str| {
                refused.response.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
            };
            (refused.response.status, header("location"), header("connection").is_some())
        })
    };
    let to = |path: &str| (308, Some(format!("https://127.0.0.1:443{path}")), false);
    let host = ("host", "localhost:80");
    assert_eq!(judged("GET", "/health", &[host]), (0, None, false));
    assert_eq!(judged("HEAD", "/HEALTH?x", &[host]), (0, None, false));
    assert_eq!(judged("GET", "/health", &[HOST]).0, 421, "the port of the other listener");
    assert_eq!(judged("GET", "/health", &[host, ("origin", "null")]).0, 403);
    assert_eq!(judged("GET", "/api/Jobs", &[("host", "evil")]), to("/api/Jobs"));
    assert_eq!(judged("GET", "/api/Jobs?x=1", &[host]), to("/api/Jobs"));
    assert_eq!(judged("HEAD", "/", &[]), to("/"));
    for odd in ["//evil.com/x", "http://evil/", "/a\r\nSet-Cookie: x", "/ä", "", "*"] {
        assert_eq!(judged("GET", odd, &[("host", "evil")]), to("/"), "{odd:?}");
    }
    assert_eq!(judged("GET", "http://evil/api/Jobs", &[host]), to("/api/Jobs"), "never its host");
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "get", ""] {
        assert_eq!(judged(method, "/health", &[host]), (403, None, false), "{method}");
    }
}
