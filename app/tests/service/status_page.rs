//! The status page: what whom is shown, that hostile names stay text, and that nothing but its own style and script may work on it.

use castellan_https::certificate_sha256;
use serde_json::json;

use crate::support::{Answer, Stage};

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
const HOSTILE: &str = "</td><script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;\u{202e}";

/// What stands between two marks.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    text.split_once(from).and_then(|(_, rest)| rest.split_once(to)).map(|(inside, _)| inside).unwrap()
}

/// The hexadecimal form of what is written in base64.
fn hexadecimal(base64: &str) -> String {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: String =
        base64.trim_end_matches('=').chars().map(|letter| format!("{:06b}", LETTERS.find(letter).unwrap())).collect();
    bits.as_bytes()
        .chunks_exact(8)
        .map(|byte| format!("{:02x}", byte.iter().fold(0_u8, |sum, bit| sum << 1 | (bit - b'0'))))
        .collect()
}

#[track_caller]
fn is_page(answer: &Answer) {
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/html; charset=utf-8")), "{answer:?}");
    assert_eq!(answer.header("vary"), Some("Accept"));
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("x-frame-options", "DENY"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none';") && policy.ends_with("frame-ancestors 'none'"), "{policy}");
    for (tag, directive) in [("style", "style-src"), ("script", "script-src")] {
        let inside = between(&answer.body, &format!("<{tag}>"), &format!("</{tag}>"));
        let allowed = between(policy, &format!("{directive} 'sha256-"), "'");
        assert_eq!(hexadecimal(allowed), certificate_sha256(inside.as_bytes()), "the hash of {tag} in page.rs");
    }
    for elsewhere in ["src=\"", "href=\"http", "url(", "@import"] {
        assert!(!answer.body.contains(elsewhere), "nothing comes from elsewhere: {elsewhere}");
    }
}

#[test]
fn a_browser_sees_what_its_tier_may_see_and_hostile_names_stay_text() {
    let stage = Stage::new();
    stage.job(&json!({ "id": "loud", "name": HOSTILE, "tasks": [ { "id": "say", "command": "echo", "arguments": "hello" } ] }));
    let agent = stage.start();
    agent.run("loud");
    let denied = agent.anonymous("GET", "/api/Jobs").send();
    assert_eq!(denied.status, 403, "{denied:?}");
    let denied = agent.anonymous("GET", "/").header("Host", "<script>alert(3)</script>").send();
    assert_eq!(denied.status, 421, "{denied:?}");

    let page = |call: crate::support::Call| {
        let answer = call.header("Accept", BROWSER).header("Sec-Fetch-Site", "none").send();
        is_page(&answer);
        answer.body
    };
    let public = page(agent.anonymous("GET", "/"));
    assert!(public.contains("running") && public.contains("openssl pkcs12"), "{public}");
    for secret in ["loud", "alert(1)", "Succeeded", "<table", "/api/Jobs"] {
        assert!(!public.contains(secret), "a stranger is shown {secret}: {public}");
    }

    let admin = page(agent.call("GET", "/"));
    assert!(admin.contains("&lt;/td&gt;&lt;script&gt;alert(1)&lt;/script&gt;"), "{admin}");
    for mark in ["<script>alert", "<img", "onerror=alert(2)>&amp;\u{202e}<"] {
        assert!(!admin.contains(mark), "{mark}: {admin}");
    }
    for shown in [
        ">loud</th>",
        "Succeeded",
        "api call of",
        "GET /api/Jobs needs the Plugin tier.",
        "&lt;script&gt;alert(3)",
        "Refused, newest first",
    ] {
        assert!(admin.contains(shown), "{shown}: {admin}");
    }
    for (id, caption) in
        [("jobs", "Jobs"), ("runs", "Active and last runs"), ("plugins", "Plugins"), ("denials", "Refused")]
    {
        assert!(admin.contains(&format!("id=\"{id}\"")) && admin.contains(&format!("<caption>{caption}")), "{id}");
    }

    for accept in ["*/*", "application/json", "text/html;q=0.5, application/json"] {
        let answer = agent.call("GET", "/").header("Accept", accept).send();
        assert_eq!((answer.header("content-type"), answer.header("vary")), (Some("application/json"), Some("Accept")));
        assert_eq!(answer.json()["service"], "Castellan");
    }
    let foreign = agent.call("GET", "/").header("Accept", BROWSER).header("Sec-Fetch-Site", "cross-site").send();
    assert_eq!(foreign.status, 403, "another site's link is no way in: {foreign:?}");
    agent.stop();
}
