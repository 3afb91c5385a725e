//! Negotiation between page and JSON: what browsers, programs and awkward clients send.

use std::vec::Vec;

use super::guard::request;
use crate::api::{Listener, prefers_html};

#[test]
fn the_page_is_for_who_prefers_it() {
    for (accept, expect) in [
        // Chromium and Firefox.
        (&["text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"][..], true),
        (&["text/html"], true),
        (&["TEXT/HTML"], true),
        (&["text/*"], true),
        (&["text/html;q=0.5, application/json;q=0.4"], true),
        (&["application/json;q=0.4", "text/html;q=0.5"], true),
        (&["*/*;q=0.1, text/html;q=0.2"], true),
        (&["text/html;q=1.0;ext, application/json;q=0.9"], false),
        (&[], false),
        (&["*/*"], false),
        (&[""], false),
        (&["application/json"], false),
        (&["text/html, application/json"], false),
        (&["text/html;q=0.5, */*"], false),
        (&["text/html;q=0, */*;q=0.1"], false),
        (&["text/html;level=1"], false),
        (&["text/html;q=2"], false),
        (&["text/html;q=x"], false),
        (&["text/html;q=0.1234"], false),
        (&["html"], false),
        (&[";;,,/"], false),
    ] {
        let fields: Vec<(&str, &str)> = accept.iter().map(|value| ("accept", *value)).collect();
        assert_eq!(prefers_html(&request(Listener::Https, "GET", "/", &fields, "")), expect, "{accept:?}");
    }
}
