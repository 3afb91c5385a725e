//! The documents of a decision lead to it alone, are bounded, and are held against their hashes.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use serde_json::{Value, json};

use super::{Document, bound, compile, digest, documents, is_same};
use crate::limits::{BASIS_BYTES, BASIS_DOCUMENTS};
use crate::policy::{LocalTime, PolicySet, PolicySource, PolicyType, Request, User};

/// Not SHA-256, which the core has not.
fn hash(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    for (place, byte) in bytes.iter().enumerate() {
        hash[place % 32] = u8::wrapping_add(u8::wrapping_mul(hash[place % 32], 31), *byte);
    }
    hash
}

fn request() -> Request {
    Request {
        policy_type: PolicyType::PrivilegeElevation,
        user: User { uid: 1000, name: "alice".to_string(), groups: BTreeSet::new() },
        machine: "m".to_string(),
        file_path: "/usr/bin/id".to_string(),
        command_line: "id".to_string(),
        arguments: Vec::new(),
        has_desktop: false,
        at: LocalTime::parse("2026-12-24T09:30:00+01:00").unwrap(),
        signer: None,
        variables: BTreeMap::new(),
    }
}

fn policy(id: &str, user: &str, control: &str) -> (String, Value) {
    let policy = json!({
        "PolicyId": id, "PolicyType": "PrivilegeElevation", "Status": "enforce", "Controls": [control],
        "Rules": [{"Expression": "CheckUser()"}], "UserCheck": [user],
    });
    (id.to_string(), policy)
}

/// The files that are kept of a decision by these, and whether they lead to it alone.
fn kept(policies: &[(String, Value)], collections: &[(String, Value)]) -> (Vec<String>, bool) {
    let texts = |files: &[(String, Value)]| files.iter().map(|(_, value)| value.to_string()).collect::<Vec<_>>();
    let (texts, lists) = (texts(policies), texts(collections));
    fn sources<'a>(files: &'a [(String, Value)], texts: &'a [String]) -> Vec<PolicySource<'a>> {
        let named = files.iter().map(|(name, _)| name).zip(texts);
        named.map(|(name, text)| PolicySource { name, content: Ok(text.as_bytes()), distrust: None }).collect()
    }
    let (policies, collections) = (sources(policies, &texts), sources(collections, &lists));
    let set = PolicySet::compile(&policies, &collections);
    let decision = set.evaluate(&request()).decision();
    let documents = documents(&set, &policies, &collections, (&request(), &decision), hash);
    let again = compile(&documents, hash).unwrap().evaluate(&request()).decision();
    (documents.into_iter().map(|document| document.file).collect(), is_same(&again, &decision))
}

#[test]
fn what_is_kept_leads_to_the_decision_alone() {
    let all = [policy("mfa", "alice", "MFA"), policy("allow", "*", "ALLOW"), policy("other", "bob", "DENY")];
    assert_eq!(kept(&all, &[]), (vec!["mfa.json".to_string()], true));
    let team = [("teams".to_string(), json!({"team": ["alice"]}))];
    let all = [policy("team", "team", "JUSTIFY"), policy("mfa", "alice", "MFA")];
    let files = ["team.json", "mfa.json", "collections/teams.json"].map(String::from);
    assert_eq!(kept(&all, &team), (files.to_vec(), true), "without the collection it would be another");
    assert_eq!(kept(&all[1..], &team), (vec!["mfa.json".to_string()], true));
    assert_eq!(kept(&[policy("allow", "*", "ALLOW")], &[]).0, Vec::<String>::new(), "nothing is to be met");
}

#[test]
fn too_much_is_kept_as_hashes_and_another_content_is_found() {
    let document = |content: &str| Document {
        file: "p.json".to_string(),
        sha256: crate::hexadecimal(&hash(content.as_bytes())),
        content: Some(content.to_string()),
    };
    let mut fits = vec![document(&"x".repeat(BASIS_BYTES))];
    bound(&mut fits);
    assert!(fits[0].content.is_some());
    let mut many = vec![document("{}"); BASIS_DOCUMENTS + 1];
    for mut over in [vec![document(&"x".repeat(BASIS_BYTES)), document("y")], core::mem::take(&mut many)] {
        bound(&mut over);
        assert!(over.len() <= BASIS_DOCUMENTS && over.iter().all(|document| document.content.is_none()));
        assert!(compile(&over, hash).unwrap_err().contains("p.json is not kept"));
    }
    let mut other = document("{}");
    other.content = Some("{ }".to_string());
    assert!(compile(&[other], hash).unwrap_err().contains("another SHA-256"));
}

#[test]
fn a_digest_is_that_of_all_files_in_any_order() {
    let file = |name, content| PolicySource { name, content: Ok::<&[u8], &str>(content), distrust: None };
    let of = |policies: &[PolicySource<'_>], collections: &[PolicySource<'_>]| digest(policies, collections, hash);
    let both = of(&[file("a", b"1"), file("b", b"2")], &[]);
    assert_eq!(both, of(&[file("b", b"2"), file("a", b"1")], &[]));
    let unreadable = PolicySource { name: "b", content: Err("is away"), distrust: None };
    for other in [
        of(&[file("a", b"1"), file("b", b"3")], &[]),
        of(&[file("a", b"1"), file("c", b"2")], &[]),
        of(&[file("a", b"1")], &[file("b", b"2")]),
        of(&[file("a", b"1"), unreadable], &[]),
        of(&[file("a", b"1")], &[]),
    ] {
        assert_ne!(both, other);
    }
}
