//! Laws of the API's router: no path, however it is spelled, reaches a file that no id names, another method than `Allow` says, or a
//! tier below the one that the plain path needs.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test may fail by panicking, and looks for the effects it is about"
)]

use castellan_core::agent::Agent;
use castellan_core::api::{ApiRequest, ApiResponse, AtOnce, CertificateFacts, Listener, Pulse};
use castellan_core::config::Settings;
use castellan_core::effect::{Effect, Effects, ProcessOrder, StoreOrder};
use castellan_core::event::{DefinitionFile, DefinitionKind, Endpoints, Event, ExecutableFacts, Loaded, ProcessReport};
use castellan_core::id::{JobId, RequestId};
use castellan_core::time::{Monotonic, Now, WallTime};
use castellan_proptests::agents::{facts_of_a_stranger, surroundings_of};
use castellan_proptests::laws::config;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: Now = Now { monotonic: Monotonic::from_millis(1000), wall: WallTime::from_millis(1_700_000_000_000) };
const ENDPOINTS: Endpoints = Endpoints { http: 80, https: 443, mqtt: 8883 };
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
/// Every path, with an id of the job in service where one stands.
const PATHS: [&str; 20] = [
    "/",
    "/health",
    "/metrics",
    "/openapi.json",
    "/api/system/status",
    "/api/denials",
    "/api/events",
    "/api/Jobs",
    "/api/Jobs/validate",
    "/api/Jobs/reload",
    "/api/Jobs/one",
    "/api/Jobs/one/trigger",
    "/api/Jobs/one/runs",
    "/api/runs",
    "/api/runs/7-1",
    "/api/runs/7-1/cancel",
    "/api/plugins",
    "/api/plugins/one/restart",
    "/api/PluginSettings/one",
    "/api/PluginSettings/one/key",
];

fn job(id: &str) -> Vec<u8> {
    json!({ "id": id, "tasks": [ { "id": "t", "command": "echo" } ] }).to_string().into_bytes()
}

/// An agent with a job of this id, at work.
fn agent(id: &str) -> Agent {
    let mut agent = Agent::new(Settings::default(), surroundings_of(7, NOW));
    let definitions =
        vec![DefinitionFile { kind: DefinitionKind::Job, stem: id.to_owned(), content: Ok(job(id).into()) }];
    let loaded = Loaded { definitions, ..Loaded::default() };
    let mut effects = Effects::new();
    agent.handle(NOW, Event::Loaded(loaded), &mut effects);
    agent.handle(NOW, Event::Opened(ENDPOINTS), &mut effects);
    agent
}

/// One request of an administrator or of a stranger; binaries are found where they are looked for.
fn ask(agent: &mut Agent, method: &str, target: &str, admin: bool, body: &[u8]) -> (Option<ApiResponse>, Effects) {
    let mut headers = vec![(String::from("host"), String::from("127.0.0.1:443"))];
    headers.push((String::from("content-type"), String::from("application/json")));
    let request = ApiRequest {
        id: RequestId(1),
        listener: Listener::Https,
        peer: facts_of_a_stranger(),
        certificate: admin.then(|| CertificateFacts { sha256: String::from("ad") }),
        method: method.to_owned(),
        target: target.to_owned(),
        headers,
        body: body.to_vec(),
    };
    let mut effects = Effects::new();
    agent.handle(NOW, Event::Api(request), &mut effects);
    let looks: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Process(ProcessOrder::Inspect { ticket, queries }) => Some((*ticket, queries.len())),
            _ => None,
        })
        .collect();
    for (ticket, count) in looks {
        let found = ExecutableFacts { exists: true, executable: true, ..ExecutableFacts::default() };
        let report = ProcessReport::Inspected { ticket, executables: vec![found; count] };
        agent.handle(NOW, Event::Process(report), &mut effects);
    }
    let answer = effects.iter().find_map(|effect| match effect {
        Effect::Respond { response, .. } => Some(response.clone()),
        _ => None,
    });
    (answer, effects)
}

/// What an id is, by the words of the contract.
fn names_a_job(id: &str) -> bool {
    let letters = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-');
    letters && (1..=64).contains(&id.len()) && !id.starts_with(['.', '-']) && !id.ends_with('.')
}

/// What a segment stands for, percent-encoding undone once; `None` where that is no text.
fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = segment.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let pair = behind.get(..2).filter(|_| *first == b'%').and_then(|pair| std::str::from_utf8(pair).ok());
        let digits = pair.filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()));
        (bytes, rest) = match digits.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) => ([&bytes[..], &[byte]].concat(), &behind[2..]),
            None => ([&bytes[..], &[*first]].concat(), behind),
        };
    }
    String::from_utf8(bytes).ok()
}

/// What tends to lead somewhere else: dots, slashes, their encodings and encodings of those, NUL, bytes that are not UTF-8.
fn piece() -> impl Strategy<Value = String> {
    let hostile = [
        "..", ".", "/", "\\", "%2e", "%2E%2e", "%2f", "%5C", "%00", "%252e", "%c0%ae", "%ff", "%", "%4", "%zz", "one",
        "a", "~",
    ];
    prop_oneof![4 => prop::sample::select(hostile.to_vec()).prop_map(str::to_owned), 1 => "[ -~]{1,4}", 1 => "\\PC{1,2}"]
}

/// Such pieces together, or one of them where a name goes on behind it.
fn name() -> impl Strategy<Value = String> {
    let part = || prop::sample::select(vec!["one", "a", ""]);
    let amid = (part(), piece(), part()).prop_map(|(before, piece, behind)| format!("{before}{piece}{behind}"));
    prop_oneof![vec(piece(), 1..6).prop_map(|pieces| pieces.concat()), amid]
}

/// The path in another spelling: letters in another case, any of them percent-encoded.
fn respelled(path: &str, dice: &[u8]) -> String {
    let letters = path.bytes().zip(dice.iter().chain(std::iter::repeat(&0)));
    letters
        .map(|(byte, die)| match (byte, die % 4) {
            (b'/', _) | (_, 0) => char::from(byte).to_string(),
            (_, 1) => char::from(byte).to_ascii_uppercase().to_string(),
            (_, 2) => format!("%{byte:02x}"),
            (_, _) => format!("%{byte:02X}"),
        })
        .collect()
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn no_path_reaches_a_file_that_no_id_names(
        text in name(), method in 0..METHODS.len(), after in prop::sample::select(vec!["", "/trigger", "/runs", "/"]),
    ) {
        let target = format!("/api/Jobs/{text}{after}");
        let mut agent = agent("one");
        let (answer, effects) = ask(&mut agent, METHODS[method], &target, true, &job("one"));
        // Nothing of that name is even looked for: the path is refused as it stands.
        if !text.contains(['/', '?']) && !decoded(&text).is_some_and(|id| names_a_job(&id)) {
            let answer = answer.as_ref().unwrap();
            let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let title = body["title"].as_str().unwrap_or_default();
            let refused = (answer.status == 400 && title == "The path cannot be read.")
                || (answer.status == 404 && title.starts_with("There is nothing at "));
            prop_assert!(refused, "{} {target}: {} {body}", METHODS[method], answer.status);
        }
        for effect in &effects {
            match effect {
                Effect::Store(StoreOrder::ChangeDefinitions { changes, .. }) => {
                    let bad = changes.iter().find(|change| !names_a_job(&change.item.id));
                    prop_assert!(bad.is_none(), "{target} leads to {bad:?}");
                }
                Effect::Store(StoreOrder::ReadRuns { query, .. }) => {
                    prop_assert!(query.job.as_ref().is_none_or(|job| names_a_job(job.as_str())), "{target}");
                }
                Effect::Store(StoreOrder::PersistRun { record, .. }) => prop_assert!(names_a_job(&record.job_id), "{target}"),
                _ => {}
            }
        }
    }

    #[test]
    fn an_id_comes_back_from_every_spelling_of_its_path(
        id in "[A-Za-z0-9][A-Za-z0-9.-]{0,62}[A-Za-z0-9]", dice in vec(any::<u8>(), 0..80),
    ) {
        prop_assume!(JobId::parse(&id).is_ok());
        let mut agent = agent(&id);
        // Only the fixed part may change its case: ids keep theirs.
        let (fixed, kept): (String, String) = (respelled("/api/Jobs/", &dice), id.bytes().map(|byte| format!("%{byte:02X}")).collect());
        let (answer, _) = ask(&mut agent, "GET", &format!("{fixed}{kept}"), true, b"");
        let answer = answer.unwrap();
        prop_assert_eq!(answer.status, 200, "{}{}", fixed, kept);
        let document: Value = serde_json::from_slice(&answer.body).unwrap();
        prop_assert_eq!(document["id"].as_str(), Some(id.as_str()));
    }

    #[test]
    fn a_method_that_allow_does_not_name_is_405(path in 0..PATHS.len(), dice in vec(any::<u8>(), 0..60)) {
        let target = respelled(PATHS[path], &dice);
        let refused = |method: &str| {
            let (answer, _) = ask(&mut agent("one"), method, &target, false, b"");
            answer.filter(|answer| answer.status == 405)
        };
        let answers: Vec<Option<ApiResponse>> = METHODS.iter().map(|method| refused(method)).collect();
        let allow = answers.iter().flatten().map(|answer| {
            answer.headers.iter().find(|(name, _)| name == "allow").unwrap().1.clone()
        });
        let allow: Vec<String> = allow.collect();
        prop_assert!(!allow.is_empty() && allow.iter().all(|other| *other == allow[0]), "{target}: {allow:?}");
        for (method, answer) in METHODS.iter().zip(&answers) {
            let named = allow[0].split(", ").any(|name| name == *method);
            // POST at these two is the list's own, which is at another resource.
            prop_assert_eq!(answer.is_none(), named, "{} {}: Allow {}", method, target, allow[0]);
        }
    }

    #[test]
    fn no_spelling_of_a_path_needs_a_lower_tier(path in 0..PATHS.len(), method in 0..4_usize, dice in vec(any::<u8>(), 0..60)) {
        let method = ["GET", "POST", "PUT", "DELETE"][method];
        let needs = |target: &str| {
            let (answer, effects) = ask(&mut agent("one"), method, target, false, b"");
            let body: Value = answer.as_ref().map_or(Value::Null, |answer| serde_json::from_slice(&answer.body).unwrap_or_default());
            let asked = effects.iter().any(|effect| matches!(effect, Effect::Store(_) | Effect::Count(_)));
            (answer.map(|answer| answer.status), body["tierNeeded"].clone(), asked)
        };
        let (plain, spelled) = (needs(PATHS[path]), needs(&respelled(PATHS[path], &dice)));
        if plain.0 == Some(403) {
            prop_assert!(!spelled.2, "{} asked a port for a stranger", PATHS[path]);
            // In capitals the id is another one, which a stranger is not told.
            prop_assert_eq!(&spelled.1, &plain.1, "{} {}", method, PATHS[path]);
        }
        prop_assert_eq!(spelled.0, plain.0, "{} {}", method, PATHS[path]);
    }

    #[test]
    fn what_is_answered_at_once_is_what_the_agent_answers_and_no_more(
        path in prop_oneof![2 => Just(1), 1 => 0..PATHS.len()], method in 0..3_usize, dice in vec(0..2_u8, 0..8), plain in any::<bool>(),
        host in prop_oneof![4 => Just("127.0.0.1"), 1 => Just("evil.example")],
        field in prop_oneof![4 => Just("accept"), 1 => Just("origin"), 1 => Just("via")],
    ) {
        let (listener, port) = if plain { (Listener::Http, 80) } else { (Listener::Https, 443) };
        let mut agent = agent("one");
        let request = ApiRequest {
            id: RequestId(1),
            listener,
            peer: facts_of_a_stranger(),
            certificate: None,
            method: METHODS[method].to_owned(),
            target: respelled(PATHS[path], &dice),
            headers: vec![("host".into(), format!("{host}:{port}")), (field.into(), "*/*".into())],
            body: Vec::new(),
        };
        let version = surroundings_of(7, NOW).version;
        let at_once = AtOnce::new(version, ENDPOINTS).answer(NOW, Pulse::Waiting, &request);
        let is_plain_question = path == 1 && method < 2 && host != "evil.example" && field == "accept";
        let mut effects = Effects::new();
        agent.handle(NOW, Event::Api(request), &mut effects);
        if let Some(response) = at_once {
            let [Effect::Respond { request, response: given }] = &effects[..] else {
                return Err(TestCaseError::fail(format!("more than an answer: {effects:?}")));
            };
            prop_assert_eq!((*request, given), (RequestId(1), &response));
        } else {
            prop_assert!(!is_plain_question, "nothing was answered at once");
        }
    }
}
