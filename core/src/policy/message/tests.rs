//! The messages as they stand in the specification, there and back, and what is refused.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString;
use alloc::vec::Vec;

use serde_json::{Value, json};

use super::{Answer, Known, Question};
use crate::policy::{LocalTime, PolicySet, PolicySource, Request};

fn question() -> Value {
    json!({
        "Id": "m1", "Version": 1, "RespondToTopic": "agent/answers",
        "MetaData": {
            "MessageType": "PolicyEvaluation", "PolicyType": "PrivilegeElevation", "UserName": "alice", "UserId": 1000,
            "MachineName": "m", "FilePath": "/usr/bin/id", "CommandLine": "id -u", "Arguments": ["-u"], "HasDesktop": false,
            "RequestId": "r1", "SessionId": ""
        }
    })
}

fn known() -> Known {
    let at = LocalTime::parse("2026-12-24T09:30:00+01:00").unwrap();
    Known { groups: BTreeSet::from(["staff".to_string()]), at, variables: BTreeMap::new() }
}

fn parse(question: &Value) -> Result<Question, alloc::string::String> {
    Question::parse(question.to_string().as_bytes())
}

#[test]
fn a_question_is_answered_in_the_documented_names() {
    let read = parse(&question()).unwrap();
    let request = read.clone().into_request(known());
    assert_eq!(serde_json::from_value::<Request>(serde_json::to_value(&request).unwrap()).unwrap(), request);
    let policy = br#"{"PolicyId":"p","PolicyType":"CommandLine","Status":"enforce","Controls":["APPROVAL"]}"#;
    let set = PolicySet::compile(&[PolicySource { name: "f", content: Ok(&policy[..]), distrust: None }], &[]);
    let answer = read.judged(&set.evaluate(&request));
    let json = serde_json::to_value(&answer).unwrap();
    let head = [&json["Id"], &json["RequestId"], &json["Decision"], &json["Controls"], &json["PolicyIds"]];
    assert_eq!(head, [&json!("m1"), &json!("r1"), &json!("PENDING"), &json!(["JUSTIFY", "APPROVAL"]), &json!(["p"])]);
    assert_eq!(json["Explanation"]["Nearest"]["PolicyId"], "p");
    assert_eq!(Answer::parse(json.to_string().as_bytes()).unwrap(), answer);
}

#[test]
fn an_answer_lists_few_policies_and_counts_the_rest() {
    let policies: Vec<_> = (0..30)
        .map(|number| {
            json!({"PolicyId": number.to_string(), "PolicyType": "CommandLine", "Status": "enforce"}).to_string()
        })
        .collect();
    let sources: Vec<_> =
        policies.iter().map(|text| PolicySource { name: "f", content: Ok(text.as_bytes()), distrust: None }).collect();
    let read = parse(&question()).unwrap();
    let request = read.clone().into_request(known());
    let answer = read.judged(&PolicySet::compile(&sources, &[]).evaluate(&request)).decision.explanation;
    assert_eq!((answer.policies.len(), answer.left_out), (20, 10));
}

#[test]
fn what_is_no_question_is_refused_with_the_reason() {
    let with = |path: &str, value: Value| {
        let mut question = question();
        *question.pointer_mut(path).unwrap() = value;
        parse(&question).unwrap_err()
    };
    let cases = [
        (with("/Version", json!(2)), "Version is 2"),
        (with("/MetaData/MessageType", json!("Log")), "must be PolicyEvaluation"),
        (with("/MetaData/UserId", json!("1000")), "no question of KeeperPolicy"),
        (with("/MetaData/UserId", json!(-1)), "no question of KeeperPolicy"),
        (with("/MetaData/PolicyType", json!("JobUpdate")), "no question of KeeperPolicy"),
        (with("/RespondToTopic", json!("a/#")), "RespondToTopic is no topic"),
        (Question::parse(b"[").unwrap_err(), "not one JSON object"),
        (Question::parse(br#"{"Id":"a","Id":"b"}"#).unwrap_err(), "not one JSON object"),
        (Question::parse(br#"{"id":"a"}"#).unwrap_err(), "missing field `Id`"),
    ];
    for (why, words) in cases {
        assert!(why.contains(words), "{words}: {why}");
    }
}

#[test]
fn the_signer_of_a_file_comes_with_the_question_and_needs_both_thumbprints() {
    let policy = json!({
        "PolicyType": "PrivilegeElevation", "Status": "enforce", "Controls": ["ALLOW"],
        "Rules": [{ "Expression": "CheckCertificate()" }], "CertificationCheck": ["b".repeat(64)],
    });
    let policy = policy.to_string();
    let set = PolicySet::compile(&[PolicySource { name: "f", content: Ok(policy.as_bytes()), distrust: None }], &[]);
    let answer = |thumbprints: Value| {
        let mut question = question();
        question["MetaData"]["SignerThumbprints"] = thumbprints;
        let read = parse(&question).unwrap();
        let answer = read.judged(&set.evaluate(&read.clone().into_request(known())));
        serde_json::to_value(answer).unwrap()["Decision"].clone()
    };
    assert_eq!(answer(json!(["a".repeat(40), "b".repeat(64)])), "ALLOW");
    assert_eq!(answer(json!(["a".repeat(40), "c".repeat(64)])), "DENY");
    assert_eq!(answer(json!(["b".repeat(64)])), "DENY");
    assert_eq!(answer(json!([])), "DENY");
}
