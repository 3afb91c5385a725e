//! The API's doors: every route with every method and its tier, hostile paths, and the guard in front of them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    reason = "a test may fail by panicking"
)]

mod accept;
mod description;
mod exposition;
mod guard;

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::route::{Resource, RouteError, Target, route, tier};
use super::*;
use serde_json::{Value, json};

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];

/// What a path takes: each method's tier, or the status with its `Allow`.
fn shown(path: &str) -> String {
    let mut shown = String::new();
    for method in METHODS {
        let word = match route(method, path) {
            Ok((resource, routed)) => format!("{:?}", tier(&resource, routed)),
            Err(RouteError::NotFound) => "404".to_string(),
            Err(RouteError::BadRequest(_)) => "400".to_string(),
            Err(RouteError::MethodNotAllowed(allow)) => {
                let allowed: Vec<&str> = allow.split(", ").collect();
                let takes = |method: &&&str| route(method, path).is_ok();
                let taken: Vec<&&str> = METHODS.iter().filter(takes).collect();
                assert!(taken.iter().all(|method| allowed.contains(*method)), "{path}: Allow {allow}, takes {taken:?}");
                assert_eq!(taken.len(), allowed.len(), "{path}: Allow {allow}, takes {taken:?}");
                "-".to_string()
            }
        };
        shown.push_str(&format!("{word:<7}"));
    }
    shown.trim_end().to_string()
}

/// Path, then GET HEAD POST PUT DELETE PATCH OPTIONS; `-` is 405 with exactly the methods taken in `Allow`.
const ROUTES: [(&str, &str); 59] = [
    ("/metrics", "Plugin Plugin -      -      -      -      -"),
    ("/openapi.json", "Public Public -      -      -      -      -"),
    ("/", "Public Public -      -      -      -      -"),
    ("/health", "Public Public -      -      -      -      -"),
    ("/api/system/status", "Public Public -      -      -      -      -"),
    ("/api/Jobs", "Plugin Plugin Admin  -      -      -      -"),
    ("/api/Jobs/demo", "Plugin Plugin -      Admin  Admin  -      -"),
    ("/api/Jobs/validate", "Plugin Plugin Plugin Admin  Admin  -      -"),
    ("/api/Jobs/reload", "Plugin Plugin Admin  Admin  Admin  -      -"),
    ("/api/Jobs/demo/trigger", "-      -      Plugin -      -      -      -"),
    ("/api/Jobs/demo/run", "-      -      Plugin -      -      -      -"),
    ("/api/Jobs/demo/runs", "Plugin Plugin -      -      -      -      -"),
    ("/api/runs", "Plugin Plugin -      -      -      -      -"),
    ("/api/runs/7-1/cancel", "-      -      Admin  -      -      -      -"),
    ("/api/events", "Plugin Plugin Admin  -      -      -      -"),
    ("/api/admin/certificates", "Admin  Admin  Admin  -      -      -      -"),
    ("/api/mfa", "Admin  Admin  -      -      -      -      -"),
    ("/api/mfa/alice", "-      -      Admin  -      Admin  -      -"),
    ("/api/admin/certificates/alice", "-      -      -      -      Admin  -      -"),
    ("/api/runs/7-1", "Plugin Plugin -      -      -      -      -"),
    ("/api/plugins", "Plugin Plugin -      -      -      -      -"),
    ("/api/plugins/bridge", "Plugin Plugin -      -      -      -      -"),
    ("/api/plugins/bridge/output", "Admin  Admin  -      -      -      -      -"),
    ("/api/plugins/bridge/start", "-      -      Admin  -      -      -      -"),
    ("/api/plugins/bridge/stop", "-      -      Admin  -      -      -      -"),
    ("/api/plugins/bridge/restart", "-      -      Admin  -      -      -      -"),
    ("/api/PluginSettings/bridge", "Plugin Plugin -      -      -      -      -"),
    ("/api/PluginSettings/KeeperPrivilegeManager", "Plugin Plugin -      -      -      -      -"),
    ("/api/PluginSettings/bridge/a.b", "Plugin Plugin -      Plugin -      -      -"),
    ("/api/PluginSettings/bridge/revert", "Plugin Plugin Plugin Plugin -      -      -"),
    ("/api/PluginSettings/revert-all", "Plugin Plugin Plugin -      -      -      -"),
    ("/api/PluginSettings/revert-all/revert", "Plugin Plugin Plugin Plugin -      -      -"),
    ("/api/policies", "Admin  Admin  Admin  -      -      -      -"),
    ("/api/policies/reload", "-      -      Admin  -      Admin  -      -"),
    ("/api/policies/10-add", "-      -      -      -      Admin  -      -"),
    ("/api/denials", "Admin  Admin  -      -      -      -      -"),
    ("/api/elevation", "Plugin Plugin -      -      -      -      -"),
    ("/api/elevation/E1-1", "Plugin Plugin -      -      -      -      -"),
    ("/api/elevation/E1-1/controls/JUSTIFY", "-      -      Plugin -      -      -      -"),
    ("/api/elevation/E1-1/launch", "-      -      Plugin -      -      -      -"),
    ("/api/elevation/E1-1/launch-substitute", "-      -      Plugin -      -      -      -"),
    ("/api/elevation/E1-1/redirect", "Plugin Plugin -      -      -      -      -"),
    ("/api/elevation/E1-1/approve", "-      -      Admin  -      -      -      -"),
    ("/api/elevation/E1-1/deny", "-      -      Admin  -      -      -      -"),
    ("/api/grants", "Admin  Admin  -      -      -      -      -"),
    ("/api/grants/cleanup", "-      -      Plugin -      -      -      -"),
    ("/api/grants/E1-1", "-      -      -      -      Admin  -      -"),
    ("/api/lkg", "Admin  Admin  -      -      -      -      -"),
    ("/api/lkg/verify", "-      -      Admin  -      -      -      -"),
    ("/api/lkg/rekey", "-      -      Admin  -      -      -      -"),
    ("/api/lkg/quarantine", "Admin  Admin  -      -      -      -      -"),
    ("/api/lkg/Jobs/demo", "Admin  Admin  -      -      -      -      -"),
    ("/api/lkg/Plugins/bridge/diff", "Admin  Admin  -      -      -      -      -"),
    ("/api/lkg/Jobs/demo/accept", "-      -      Admin  -      -      -      -"),
    ("/api/lkg/Jobs/demo/rollback", "-      -      Admin  -      -      -      -"),
    ("/api", "404    404    404    404    404    404    404"),
    ("/health/", "404    404    404    404    404    404    404"),
    ("//health", "404    404    404    404    404    404    404"),
    ("*", "404    404    404    404    404    404    404"),
];

#[test]
fn every_route_with_every_method_and_its_tier() {
    for (path, expect) in ROUTES {
        assert_eq!(shown(path), expect, "{path}");
        assert_eq!(shown(&path.to_uppercase()), expect, "{path} in capitals");
        assert_eq!(shown(&path.to_lowercase()), expect, "{path} in small letters");
    }
}

#[test]
fn methods_are_read_as_they_stand() {
    for method in ["get", "Get", "", "GET ", "TRACE", "CONNECT", "\u{130}"] {
        assert!(
            matches!(route(method, "/health"), Err(RouteError::MethodNotAllowed(allow)) if allow == "GET, HEAD"),
            "{method}"
        );
    }
}

#[test]
fn ids_keep_their_case_and_percent_encoding_is_undone_once() {
    let job = |path| match route("GET", path) {
        Ok((Resource::Job(id), _)) => id.to_string(),
        other => panic!("{path}: {other:?}"),
    };
    assert_eq!(job("/API/JOBS/My-Job.1"), "My-Job.1");
    assert_eq!(job("/api/%4aobs/%4dy"), "My");
    assert!(matches!(route("GET", "/api/Jobs/%2541"), Err(RouteError::BadRequest(_))), "not twice");
}

/// security.md section 8, H20.
#[test]
fn hostile_ids_are_refused() {
    let long = "x".repeat(65);
    let ids = [
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "..%2f..%2fetc",
        "..%5cx",
        "a%00b",
        "%ff",
        ".",
        "..",
        "%2e%2e",
        "a.",
        "a%2fb",
        "%c3%a4",
        "ä",
        "a_b",
        "-a",
        ".a",
        "a%20b",
        "a%0ab",
        "a;b",
        "a%3fb",
        "a%23b",
        "a:b",
        "%",
        "%4",
        "%zz",
        "a%",
        "",
        "CON",
        "con",
        "nul.txt",
        "COM1",
        "lpt9",
        long.as_str(),
    ];
    for id in ids {
        for (method, path) in [
            ("GET", format!("/api/Jobs/{id}")),
            ("PUT", format!("/api/Jobs/{id}")),
            ("DELETE", format!("/api/Jobs/{id}")),
            ("POST", format!("/api/Jobs/{id}/trigger")),
            ("GET", format!("/api/Jobs/{id}/runs")),
            ("GET", format!("/api/plugins/{id}")),
            ("POST", format!("/api/plugins/{id}/restart")),
            ("GET", format!("/api/PluginSettings/{id}")),
            ("GET", format!("/api/PluginSettings/{id}/key")),
            ("GET", format!("/api/lkg/Jobs/{id}")),
            ("POST", format!("/api/lkg/Plugins/{id}/accept")),
        ] {
            let routed = route(method, &path);
            assert!(
                matches!(routed, Err(RouteError::BadRequest(ref why)) if !why.is_empty()),
                "{method} {path}: {routed:?}"
            );
        }
    }
    for key in ["%2f", "a%5cb", "a%00", "%0a", "", &"k".repeat(257)] {
        let routed = route("GET", &format!("/api/PluginSettings/bridge/{key}"));
        assert!(matches!(routed, Err(RouteError::BadRequest(_))), "{key}: {routed:?}");
    }
    for id in ["x", "7-1;", "%2e%2e", "", &"1".repeat(42), "7 1"] {
        assert_eq!(route("GET", &format!("/api/runs/{id}")), Err(RouteError::NotFound), "{id}");
    }
}

#[test]
fn targets_fall_into_their_parts() {
    for (text, path, authority, query) in [
        ("/health", "/health", None, ""),
        ("/a?b=c&d&=e&f=g%20h&B=2", "/a", None, "b=c d= =e f=g h B=2"),
        ("/a?b=c?d", "/a", None, "b=c?d"),
        ("https://127.0.0.1:2/a?b", "/a", Some("127.0.0.1:2"), "b="),
        ("HTTP://evil", "/", Some("evil"), ""),
        ("http://evil?x=/y", "/", Some("evil"), "x=/y"),
        ("http://user@evil:2/", "/", Some("user@evil:2"), ""),
        ("ftp://evil/x", "ftp://evil/x", None, ""),
        ("httpß://", "httpß://", None, ""),
        ("", "", None, ""),
        ("*", "*", None, ""),
    ] {
        let target = Target::parse(text);
        let shown: Vec<String> = target.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(target.authority.as_deref(), authority, "{text}");
        assert_eq!((target.path.as_str(), shown.join(" ").as_str()), (path, query), "{text}");
    }
    assert_eq!(Target::parse("/a?WAIT=true&wait=false").parameter("wait"), Some("true"));
}

#[test]
fn problems_are_rfc_9457_with_the_fix() {
    let response = ApiResponse::problem_with(
        403,
        &Explanation::new("No.", "Because.", "Do this."),
        Members { tier_needed: Some(Tier::Admin), ..Members::default() },
    );
    let body: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(
        body,
        json!({"type":"about:blank","title":"No.","status":403,"detail":"Because.","fix":"Do this.","tierNeeded":"Admin"})
    );
    assert_eq!(response.headers, [("content-type".to_string(), "application/problem+json".to_string())]);
}
