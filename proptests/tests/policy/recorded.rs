//! Laws of recorded decisions: by the same policies each comes out the same, from what crosses from KeeperPolicy to the agent and from there
//! to the audit alone; and the documents that are kept with one lead to it without all others.

use std::collections::{BTreeMap, BTreeSet};

use castellan_core::audit::{Act, Entry};
use castellan_core::policy::basis::{Basis, compile, digest, documents, is_same};
use castellan_core::policy::message::{Answer, Known, Question};
use castellan_core::policy::what_if::{Outcome, WhatIf};
use castellan_core::policy::{LocalTime, PolicySet, PolicySource, Request, Verdict};
use castellan_proptests::laws;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::generate::{policies, requests};

/// Stands in for SHA-256, which only tells files apart here.
fn hash(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    for (place, byte) in bytes.iter().enumerate() {
        hash[place % 32] = u8::wrapping_add(u8::wrapping_mul(hash[place % 32], 31), *byte);
    }
    hash
}

/// What the agent asks: nothing that only KeeperPolicy knows.
fn question(request: &Request) -> Question {
    let thumbprints: Vec<&String> = request.signer.iter().flat_map(|signer| [&signer.sha1, &signer.sha256]).collect();
    let question = json!({
        "Id": "E1-1", "Version": 1, "RespondToTopic": "KeeperPolicy/answers",
        "MetaData": {
            "MessageType": "PolicyEvaluation", "PolicyType": request.policy_type, "UserName": request.user.name,
            "UserId": request.user.uid, "MachineName": request.machine, "FilePath": request.file_path,
            "CommandLine": request.command_line, "Arguments": request.arguments, "HasDesktop": request.has_desktop,
            "RequestId": "E1-1", "SessionId": "", "SignerThumbprints": thumbprints,
        },
    });
    Question::parse(question.to_string().as_bytes()).unwrap()
}

/// What the agent knows by itself.
fn own(request: &Request) -> Request {
    let at = LocalTime::parse("1970-01-01T00:00:00+00:00").unwrap();
    let mut own = Request { at, variables: BTreeMap::new(), ..request.clone() };
    own.user.groups = BTreeSet::new();
    own
}

/// The entry of the audit that comes of a request.
fn recorded(set: &PolicySet, sources: [&[PolicySource<'_>]; 2], request: &Request) -> Value {
    let known = Known { groups: request.user.groups.clone(), at: request.at, variables: request.variables.clone() };
    let question = question(request);
    let decision = set.evaluate(&question.clone().into_request(known.clone())).decision();
    let [policies, collections] = sources;
    let documents = documents(set, policies, collections, (request, &decision), hash);
    let basis = Basis { known, policy_set: digest(policies, collections, hash), documents };
    let answer = Answer { basis: Some(basis), ..question.answer(decision) };
    // Over the broker.
    let answer = Answer::parse(&serde_json::to_vec(&answer).unwrap()).unwrap();
    let Basis { known, policy_set, documents } = answer.basis.unwrap();
    let verdict = serde_json::to_value(&answer.decision.verdict).unwrap();
    let what = Act::Decision {
        decision: verdict["Decision"].as_str().unwrap().to_owned(),
        controls: serde_json::from_value(verdict["Controls"].clone()).unwrap(),
        policies: answer.decision.policies.iter().map(ToString::to_string).collect(),
        input: serde_json::to_value(own(request).with(known)).unwrap(),
        policy_set: Some(policy_set),
        documents,
        explanation: json!({}),
    };
    let time = "2026-03-01T10:00:00.000Z".to_owned();
    let request = Some("E1-1".to_owned());
    serde_json::to_value(Entry { time, boot: 1, who: "plugin:KeeperPolicy".to_owned(), request, what }).unwrap()
}

/// Files with collections of which policies may name some.
fn files() -> impl Strategy<Value = (Vec<String>, Vec<String>)> {
    let members = proptest::sample::select(vec!["alice", "bob", "@staff", "@ops", "/usr/bin/apt", "id", "m1"]);
    let names = proptest::sample::select(vec!["alice", "bob", "@staff", "@ops", "m1", "m2", "m9", "/usr/*", "a*"]);
    let collections = vec((names, vec(members, 0..3)), 0..6);
    (policies(8), collections).prop_map(|(policies, collections)| {
        let texts = policies.iter().map(ToString::to_string).collect();
        (texts, collections.iter().map(|(name, members)| json!({*name: members}).to_string()).collect())
    })
}

fn sources<'a>(names: &'a [String], texts: &'a [String]) -> Vec<PolicySource<'a>> {
    names
        .iter()
        .zip(texts)
        .map(|(name, text)| PolicySource { name, content: Ok(text.as_bytes()), distrust: None })
        .collect()
}

proptest! {
    #![proptest_config(laws::config(200))]

    #[test]
    fn by_the_same_policies_every_decision_comes_out_the_same(
        (texts, lists) in files(),
        asked in vec(requests(), 1..6),
    ) {
        let names: Vec<String> = (0..8).map(|number| format!("f{number}")).collect();
        let (policies, collections) = (sources(&names, &texts), sources(&names, &lists));
        let set = PolicySet::compile(&policies, &collections);
        let entries: Vec<Value> = asked.iter().map(|request| recorded(&set, [&policies, &collections], request)).collect();
        let mut what_if = WhatIf::new(&set, None);
        entries.iter().for_each(|entry| what_if.take(entry));
        let (outcome, changes) = what_if.finish();
        prop_assert_eq!(outcome, Outcome { decisions: asked.len() as u64, ..Outcome::default() });
        prop_assert!(changes.is_empty());
    }

    #[test]
    fn the_documents_of_a_decision_lead_to_it_alone((texts, lists) in files(), asked in vec(requests(), 30)) {
        let names: Vec<String> = (0..8).map(|number| format!("f{number}")).collect();
        let (policies, collections) = (sources(&names, &texts), sources(&names, &lists));
        let set = PolicySet::compile(&policies, &collections);
        for request in asked {
            let decision = set.evaluate(&request).decision();
            let documents = documents(&set, &policies, &collections, (&request, &decision), hash);
            prop_assert_eq!(matches!(decision.verdict, Verdict::Pending(_)), !documents.is_empty());
            if !documents.is_empty() {
                let again = compile(&documents, hash).unwrap().evaluate(&request).decision();
                prop_assert!(is_same(&again, &decision), "{again:#?} {decision:#?}");
            }
        }
    }
}
