//! Parts of URLs, what is none, and which of them are this agent.

use alloc::format;
use alloc::string::String;

use super::HttpUrl;
use crate::event::Endpoints;

#[track_caller]
fn check(text: &str, expect: &str) {
    let endpoints = Some(Endpoints { http: 1, https: 6889, mqtt: 3 });
    let found = match HttpUrl::parse(text) {
        Ok(url) => {
            let own = if url.is_own(endpoints) { " own" } else { "" };
            format!("{} {} {} {}{own}", if url.tls { "https" } else { "http" }, url.host, url.port, url.target)
        }
        Err(why) => format!("! {why}"),
    };
    assert!(if expect == "!" { found.starts_with('!') } else { found == expect }, "{text}: {found}");
}

#[test]
fn parts_of_a_url() {
    check("https://example.com", "https example.com 443 /");
    check("HTTP://Example.com/a?b=c#d", "http example.com 80 /a?b=c");
    check("http://example.com?b", "http example.com 80 /?b");
    check("http://example.com#b", "http example.com 80 /");
    check("https://[2001:db8::1]:8443/x", "https [2001:db8::1] 8443 /x");
    check("https://[::1]/", "https [::1] 443 /");
}

#[test]
fn what_is_no_url() {
    for text in [
        "",
        "example.com",
        "ftp://a/",
        "file:///etc/passwd",
        "https://",
        "https:///x",
        "https://:80/",
        "https://a:0/",
        "https://a:65536/",
        "https://a:+1/",
        "https://a:/",
        "https://[::1",
        "https://[::1]x/",
        "https://[x]/",
        "https://user@a/",
        "https://user:word@a/",
        "https://127.0.0.1:6889@evil.example/",
        "https://a b/",
        "https://a/\u{e9}",
        "https://a/\r\nX: y",
        "https://a\\b/",
        "https://a%2fb/",
        "https://{Host}/",
    ] {
        check(text, "!");
    }
    check(&String::from_iter(["https://a/", &"x".repeat(9000)]), "!");
}

#[test]
fn own_api_by_its_names_at_its_port_over_tls_only() {
    check("https://127.0.0.1:6889/api", "https 127.0.0.1 6889 /api own");
    check("https://LOCALHOST:6889", "https localhost 6889 / own");
    check("https://[::1]:6889", "https [::1] 6889 / own");
    check("http://127.0.0.1:6889/", "http 127.0.0.1 6889 /");
    check("https://127.0.0.1/", "https 127.0.0.1 443 /");
    check("https://127.0.0.2:6889/", "https 127.0.0.2 6889 /");
    check("https://localhost.evil.example:6889/", "https localhost.evil.example 6889 /");
}
