//! When the agent's thread is not asked, by its pulse and by the request.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{AtOnce, Pulse};
use crate::api::{ApiRequest, Listener};
use crate::event::Endpoints;
use crate::id::RequestId;
use crate::time::{Monotonic, Now, WallTime};
use crate::trust::PeerFacts;

const NOW: Now = Now { monotonic: Monotonic::from_millis(5000), wall: WallTime::from_millis(1_700_000_000_000) };

fn answered(pulse: Pulse, listener: Listener, method: &str, target: &str, headers: &[(&str, &str)]) -> Option<String> {
    let request = ApiRequest {
        id: RequestId(1),
        listener,
        peer: PeerFacts::default(),
        certificate: None,
        method: method.to_string(),
        target: target.to_string(),
        headers: headers.iter().map(|(name, value)| ((*name).to_string(), (*value).to_string())).collect(),
        body: Vec::new(),
    };
    let at_once = AtOnce::new(String::from("1.2.3"), Endpoints { http: 80, https: 443, mqtt: 8883 });
    let answer = at_once.answer(NOW, pulse, &request)?;
    assert_eq!(answer.status, 200);
    Some(String::from_utf8(answer.body).unwrap())
}

const HOST: &[(&str, &str)] = &[("host", "127.0.0.1:443")];

#[test]
fn health_is_told_while_the_thread_is_seen_to_work() {
    let health = r#"{"status":"healthy","timestamp":"2023-11-14T22:13:20.000Z","version":"1.2.3"}"#;
    for (pulse, expect) in [
        (Pulse::None, None),
        (Pulse::Waiting, Some(health)),
        (Pulse::Busy(Monotonic::from_millis(4001)), Some(health)),
        (Pulse::Busy(Monotonic::from_millis(4000)), None),
        (Pulse::Busy(Monotonic::from_millis(5001)), Some(health)),
    ] {
        assert_eq!(answered(pulse, Listener::Https, "GET", "/health", HOST).as_deref(), expect, "{pulse:?}");
    }
    let plain = answered(Pulse::Waiting, Listener::Http, "HEAD", "/Health?now", &[("host", "localhost:80")]);
    assert_eq!(plain.as_deref(), Some(health));
}

#[test]
fn everything_else_is_the_threads_own() {
    fn ask(listener: Listener, method: &str, target: &str, headers: &[(&str, &str)]) -> Option<String> {
        answered(Pulse::Waiting, listener, method, target, headers)
    }
    for (method, target) in [("POST", "/health"), ("GET", "/"), ("GET", "/api/system/status"), ("GET", "/health/")] {
        assert_eq!(ask(Listener::Https, method, target, HOST), None, "{method} {target}");
    }
    // What is refused goes on record, which is there.
    assert_eq!(ask(Listener::Https, "GET", "/health", &[("host", "evil.example")]), None);
    assert_eq!(ask(Listener::Https, "GET", "/health", &[HOST[0], ("origin", "https://evil.example")]), None);
    assert_eq!(ask(Listener::Http, "GET", "/health", HOST), None, "the port of the other listener");
}
