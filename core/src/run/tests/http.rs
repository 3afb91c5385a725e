//! Http tasks: what is sent, what an answer means, and what never leaves.

use super::*;
use crate::effect::{Effect, HttpCall, HttpOrder};

/// A run at its first task, a request with these members.
fn calling(members: &str, given: Value) -> Rig {
    let task = format!(
        r#"{{"id":"ask","executionType":"Http",{members}}},{{"id":"next","command":"echo","arguments":"{{LastExitCode}}"}}"#
    );
    Rig::new(&job(&task, r#","parameters":[{"name":"Token","secret":true}]"#), given).begun()
}

#[track_caller]
fn sent(rig: &Rig) -> HttpCall {
    let sent = rig.effects.iter().find_map(|effect| match effect {
        Effect::Http(HttpOrder::Send(call)) => Some(call.clone()),
        _ => None,
    });
    sent.unwrap_or_else(|| panic!("{:?}", rig.run.record()))
}

#[track_caller]
fn refused(members: &str, given: Value, why: &str) {
    let rig = calling(members, given);
    let task = &rig.run.record().tasks[0];
    assert_eq!(task.outcome, "Failed");
    assert!(task.reason.as_ref().unwrap().contains(why), "{task:?}");
    assert!(!shown(&rig.effects).iter().any(|line| line.starts_with("Send")), "nothing is sent");
}

fn answered(rig: &mut Rig, status: u16, body: &str) {
    let body = Captured::of(body.as_bytes().to_vec());
    rig.act(|run, turn| run.on_answered(TicketId(2), status, &body, turn));
}

#[test]
fn every_part_of_the_request_is_substituted() {
    let rig = calling(
        r#""method":"post","url":"{Base}/a/{Name}?q={Name}","headers":{"X-Name":"<{Name}>","Accept":"*/*"},"timeoutSeconds":7,
           "body":{"name":"{Name}","deep":[{"n":1,"t":"{Missing}"}],"{Name}":true}"#,
        json!({"Base": "https://x.example:8443", "Name": "a%20b"}),
    );
    let call = sent(&rig);
    assert_eq!((call.method.as_str(), call.url.host.as_str(), call.url.port), ("POST", "x.example", 8443));
    assert_eq!(call.url.target, "/a/a%20b?q=a%20b");
    assert_eq!(call.give_up_seconds, 12);
    let body: Value = serde_json::from_slice(&call.body).unwrap();
    assert_eq!(body, json!({"name": "a%20b", "deep": [{"n": 1, "t": "{Missing}"}], "{Name}": true}));
    let headers: Vec<String> = call.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    assert_eq!(
        headers,
        ["accept: */*", "x-name: <a%20b>", "user-agent: castellan/1.0.0", "content-type: application/json"]
    );
    assert_eq!(rig.run.record().tasks[0].command_line, ["POST", "https://x.example:8443/a/a%20b?q=a%20b"]);
    assert_eq!(rig.run.record().warnings.len(), 1, "{:?}", rig.run.record().warnings);
}

#[test]
fn a_value_cannot_change_the_structure_of_a_body() {
    let given = json!({"Name": "x\",\"admin\":\"yes"});
    let rig = calling(r#""method":"PUT","url":"http://x.example","body":{"name":"{Name}"}"#, given.clone());
    let body: Value = serde_json::from_slice(&sent(&rig).body).unwrap();
    assert_eq!(body, json!({"name": given["Name"]}));
}

#[test]
fn the_media_type_of_a_text() {
    for (body, media_type) in [
        (r#""{\"a\":1}""#, "application/json"),
        (r#""plain {JobId}""#, "text/plain; charset=utf-8"),
        ("7", "application/json"),
    ] {
        let rig = calling(&format!(r#""method":"PUT","url":"http://x.example","body":{body}"#), json!({}));
        let headers = sent(&rig).headers;
        assert!(headers.contains(&("content-type".to_string(), media_type.to_string())), "{body}: {headers:?}");
    }
    let rig =
        calling(r#""method":"PUT","url":"http://x.example","headers":{"Content-Type":"a/b"},"body":"x""#, json!({}));
    let types = sent(&rig).headers.into_iter().filter(|(name, _)| name == "content-type");
    assert_eq!(types.map(|(_, value)| value).collect::<Vec<_>>(), ["a/b"]);
}

#[test]
fn what_is_not_sent() {
    let get = |rest: &str| format!(r#""method":"GET","url":{rest}"#);
    refused(&get(r#""{Base}/a""#), json!({}), "is not a URL");
    refused(&get(r#""{Base}/a""#), json!({"Base": "file:///etc"}), "neither https nor http");
    refused(&get(r#""https://x.example{Path}""#), json!({"Path": "@evil.example/"}), "user information");
    refused(&get(r#""https://x.example/{Path}""#), json!({"Path": "a b"}), "percent-encode");
    refused(&get(r#""https://x.example/{Path}""#), json!({"Path": "a\r\nHost: b"}), "percent-encode");
    let header = get(r#""https://x.example/","headers":{"X":"{Value}"}"#);
    refused(&header, json!({"Value": "a\r\nHost: b"}), "line break");
    refused(&get(r#""https://x.example/","body":"{Big}{Big}""#), json!({"Big": "x".repeat(60_000)}), "longer than");
}

#[test]
fn what_an_answer_means() {
    for (expect, status, outcome, code) in [
        ("", 200, "Succeeded", 0),
        ("", 299, "Succeeded", 0),
        ("", 302, "Failed", 302),
        ("", 404, "Failed", 404),
        (r#","expectStatus":404"#, 404, "Succeeded", 0),
        (r#","expectStatus":[201,409]"#, 409, "Succeeded", 0),
        (r#","expectStatus":[201,409]"#, 200, "Failed", 200),
    ] {
        let members = format!(r#""method":"GET","url":"https://x.example","continueOnFailure":true{expect}"#);
        let mut rig = calling(&members, json!({}));
        answered(&mut rig, status, "the body\n");
        let tasks = &rig.run.record().tasks;
        assert_eq!((&*tasks[0].outcome, tasks[0].exit_code), (outcome, Some(code)), "{expect} {status}");
        assert_eq!((tasks[0].http_status, tasks[0].stdout.as_str()), (Some(status), "the body\n"));
        assert_eq!(tasks[1].command_line, ["echo", &code.to_string()]);
        assert_eq!(rig.value("ask.ExitCode"), Some(json!(code)));
    }
}

#[test]
fn no_answer_is_neither_success_nor_a_status() {
    let mut rig = calling(r#""method":"GET","url":"https://x.example","continueOnFailure":true"#, json!({}));
    rig.act(|run, turn| run.on_call_failed(TicketId(2), "no connection", turn));
    let tasks = &rig.run.record().tasks;
    assert_eq!((tasks[0].exit_code, tasks[0].http_status), (None, None));
    assert_eq!(tasks[0].reason.as_deref(), Some("There was no answer: no connection."));
    assert_eq!(tasks[1].command_line, ["echo", "-1"]);
}

#[test]
fn a_reply_is_merged_like_a_standard_output() {
    let members = r#""method":"GET","url":"https://x.example","mergeStdoutJsonIntoContext":true"#;
    let mut rig = calling(members, json!({"kept": 1}));
    answered(&mut rig, 200, r#" {"score":7,"Kept":2} "#);
    assert_eq!((rig.value("score"), rig.value("kept")), (Some(json!(7)), Some(json!(2))));
    let mut rig = calling(members, json!({}));
    answered(&mut rig, 200, "[1]");
    assert!(rig.run.record().warnings[0].contains("not an object"), "{:?}", rig.run.record().warnings);
}

#[test]
fn a_long_body_is_kept_at_both_ends() {
    let mut rig = calling(r#""method":"GET","url":"https://x.example""#, json!({}));
    let body = format!("head{}tail", "x".repeat(1 << 20));
    answered(&mut rig, 200, &body);
    let kept = &rig.run.record().tasks[0].stdout;
    assert!(kept.starts_with("head") && kept.ends_with("tail") && kept.contains("524296 bytes left out"));
}

#[test]
fn the_time_limit_cancels_and_does_not_wait_for_ever() {
    let mut rig = calling(r#""method":"GET","url":"https://x.example","timeoutSeconds":3"#, json!({}));
    rig.now = 3000;
    assert_eq!(rig.act(|run, turn| run.on_deadline(turn)), ["Cancel 2"]);
    let mut silent = calling(r#""method":"GET","url":"https://x.example","timeoutSeconds":3"#, json!({}));
    rig.act(|run, turn| run.on_call_failed(TicketId(2), "it was canceled", turn));
    assert_eq!(rig.tasks(), ["ask:TimedOut"]);
    silent.now = 3000;
    silent.act(|run, turn| run.on_deadline(turn));
    silent.now = 8000;
    silent.act(|run, turn| run.on_deadline(turn));
    assert_eq!(silent.tasks(), ["ask:TimedOut"]);
    assert_eq!(silent.act(|run, turn| run.on_call_failed(TicketId(2), "late", turn)), ["!Anomaly"]);
}

#[test]
fn a_request_to_the_agent_itself_stays_inside() {
    let mut rig = calling(r#""method":"POST","url":"{KeeperApiBaseUrl}/api/Jobs/b/trigger","body":{"a":1}"#, json!({}));
    assert!(!shown(&rig.effects).iter().any(|line| line.starts_with("Send")));
    let requests = rig.run.take_requests();
    let [Request::Call(call)] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!((call.method.as_str(), call.target.as_str()), ("POST", "/api/Jobs/b/trigger"));
    assert!(call.headers.contains(&("host".to_string(), "127.0.0.1:2".to_string())), "{:?}", call.headers);
    // Stopped, it waits for nobody.
    rig.act(|run, turn| run.cancel("test.", turn));
    assert_eq!(rig.tasks(), ["ask:Canceled"]);
}
