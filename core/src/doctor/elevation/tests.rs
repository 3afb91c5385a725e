//! Privilege elevation as checks: each by the fact that decides it.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::string::String;
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::policy::PolicySource;

const MFA: &str = r#"{"PolicyId":"code","PolicyType":"PrivilegeElevation","Status":"enforce","Controls":["MFA"],
    "Rules":[{"Expression":"CheckUser()"}],"UserCheck":["alice"]}"#;

/// A root where everything is as it should be.
struct Root {
    definitions: Vec<DefinitionFile>,
    policies: Vec<(&'static str, String)>,
    closed: Option<String>,
    has_socket: bool,
    running: Option<(Running, BTreeSet<String>)>,
}

fn file(kind: DefinitionKind, stem: &str, text: &str) -> DefinitionFile {
    DefinitionFile { kind, stem: stem.into(), content: Ok(Arc::from(text.as_bytes())) }
}

fn job(stem: &str, event: &str, enabled: bool) -> DefinitionFile {
    let tasks = r#"[{"id":"t","command":"echo"}]"#;
    let text = format!(r#"{{"id":"{stem}","enabled":{enabled},"events":["{event}"],"tasks":{tasks}}}"#);
    file(DefinitionKind::Job, stem, &text)
}

fn root() -> Root {
    let mut running = Running::default();
    running.plugins.insert("KeeperPolicy".into(), ("Running".into(), "Healthy".into(), 0));
    Root {
        definitions: vec![
            job("controls", "PolicyEvaluationPending", true),
            job("launch", "LaunchPrivilegeElevation", true),
            file(DefinitionKind::Plugin, "KeeperPolicy", "{}"),
        ],
        policies: vec![("code", MFA.into())],
        closed: None,
        has_socket: true,
        running: Some((running, BTreeSet::from(["alice".into()]))),
    }
}

fn examined(root: &Root) -> Vec<crate::doctor::Check> {
    let sources: Vec<PolicySource<'_>> = root
        .policies
        .iter()
        .map(|(name, text)| PolicySource { name, content: Ok(text.as_bytes()), distrust: None })
        .collect();
    let facts = ElevationFacts {
        definitions: &root.definitions,
        policies: &PolicySet::compile(&sources, &[]),
        closed: root.closed.clone(),
        has_socket: root.has_socket,
        running: root.running.as_ref().map(|(running, enrolled)| (running, enrolled.clone())),
    };
    examine_elevation(&facts).checks
}

/// The first letter of each check's outcome, after a change; and what is to be done first.
fn with(change: impl FnOnce(&mut Root)) -> (String, String) {
    let mut root = root();
    change(&mut root);
    let checks = examined(&root);
    for check in &checks {
        assert_eq!(check.fix.is_some(), check.status == crate::doctor::Status::Failed, "{check:?}");
        assert!(!check.proof.is_empty(), "{check:?}");
    }
    let fix = checks.iter().find_map(|check| check.fix.clone()).unwrap_or_default();
    (checks.iter().map(|check| format!("{:?}", check.status).remove(0)).collect(), fix)
}

#[track_caller]
fn check((outcomes, fix): (String, String), expected: &str, says: &str) {
    assert_eq!(outcomes, expected, "{fix}");
    assert!(fix.contains(says) && fix.is_empty() == says.is_empty(), "{fix}");
}

fn policy(root: &mut Root, from: &str, to: &str) {
    root.policies[0].1 = root.policies[0].1.replace(from, to);
}

#[test]
fn each_fact_decides_its_check() {
    check(with(|_| ()), "OOOOO", "");
    check(with(|root| root.definitions.truncate(2)), "FOOOO", "castellan init");
    check(with(|root| root.running.as_mut().unwrap().0.plugins.clear()), "FOOOO", "doctor plugin KeeperPolicy");
    let backoff = |root: &mut Root| {
        let plugins = &mut root.running.as_mut().unwrap().0.plugins;
        plugins.insert("KeeperPolicy".into(), ("Backoff".into(), "Unhealthy".into(), 3));
    };
    check(with(backoff), "FOOOO", "castellan plugins logs KeeperPolicy");
    check(with(|root| drop(root.definitions.remove(0))), "OFOOO", "castellan init");
    let disabled = |root: &mut Root| root.definitions[1] = job("launch", "LaunchPrivilegeElevation", false);
    check(with(disabled), "OFOOO", "castellan jobs enable launch");
    let for_others = |root: &mut Root| {
        let others = r#"{"id":"others","events":["PolicyEvaluationPending"],"condition":"PolicyType == \"FileAccess\"","tasks":[]}"#;
        root.definitions[0] =
            file(DefinitionKind::Job, "others", &others.replace("[]", r#"[{"id":"t","command":"echo"}]"#));
    };
    check(with(for_others), "OFOOO", "castellan init");
    check(with(|root| policy(root, "[\"alice\"]", "7")), "OOFOS", "castellan policy lint");
    check(with(|root| root.closed = Some("/srv/secret".into())), "OOOFO", "chmod o+x /srv/secret");
    check(with(|root| root.has_socket = false), "OOOFO", "start the agent again");
    check(with(|root| root.running = None), "SOOSS", "");
}

#[test]
fn whoever_is_asked_for_a_code_needs_an_authenticator() {
    let nobody = |root: &mut Root| root.running.as_mut().unwrap().1.clear();
    check(with(nobody), "OOOOF", "castellan mfa enroll alice");
    for (from, to) in [("[\"alice\"]", "[\"@staff\"]"), ("[\"alice\"]", "[\"*\"]"), ("CheckUser()", "CheckDay()")] {
        let others = |root: &mut Root| policy(root, from, to);
        check(with(others), "OOOOO", "");
        let and_nobody = |root: &mut Root| {
            policy(root, from, to);
            nobody(root);
        };
        check(with(and_nobody), "OOOOF", "castellan mfa enroll USER");
    }
    for (from, to) in [("enforce", "monitor"), ("[\"MFA\"]", "[\"MFA\",\"DENY\"]"), ("MFA", "JUSTIFY")] {
        let idle = |root: &mut Root| {
            policy(root, from, to);
            nobody(root);
        };
        check(with(idle), "OOOOS", "");
    }
}

#[test]
fn where_nothing_of_it_is_wanted_nothing_is_missing() {
    let nothing = |root: &mut Root| {
        root.definitions.clear();
        root.policies.clear();
        root.has_socket = false;
    };
    check(with(nothing), "SSSSS", "");
}
