//! What a policy's document asks for, what a plan allows, what counts as signed, and how many are remembered.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::parse::parse;
use super::plan::{InService, Plan, Standing};
use super::record::{PolicyLine, Records};
use super::{Action, AppliedPolicy, Policy, PolicyChange, PolicyContent, PolicyKey};
use crate::config::Settings;
use crate::job::OperatingSystem;
use crate::limits::{POLICIES, REFUSED_POLICIES};
use crate::lkg::{Document, Item};
use crate::time::WallTime;

/// What is in service, by item; the rest is absent.
#[derive(Default)]
struct Present(BTreeMap<String, Standing>);

impl InService for Present {
    fn standing(&self, item: &Item) -> Standing {
        self.0.get(&item.to_string()).cloned().unwrap_or(Standing::Absent)
    }

    fn jobs(&self) -> usize {
        self.0.len()
    }

    fn is_masked(&self, _: &str, _: &str, value: &str) -> bool {
        value == "***"
    }
}

fn read(document: &str) -> Policy {
    parse(document.as_bytes(), OperatingSystem::Linux).unwrap_or_else(|findings| panic!("{document}: {findings:?}")).0
}

fn action(document: &str) -> Action {
    let Policy::Configuration(policy) = read(document) else { panic!("{document}: {:?}", read(document)) };
    policy.action
}

fn job(action: &str, id: &str, said: u8) -> String {
    format!(
        r#"{{"PolicyType":"JobUpdate","Extension":{{"Action":"{action}","JobJson":{{"id":"{id}","tasks":[{{"id":"t","command":"echo","arguments":"{said}"}}]}}}}}}"#
    )
}

/// Plans policies one after the other; the code of the first that is refused, else what is written, by item.
fn planned(present: &Present, documents: &[&str]) -> Result<Vec<String>, &'static str> {
    let mut plan = Plan::default();
    for document in documents {
        let Policy::Configuration(policy) = read(document) else { panic!("{document}") };
        plan.add(&policy, present).map_err(|finding| finding.code)?;
    }
    let told = |change: &crate::lkg::DefinitionChange| {
        format!("{}{}", if change.document.is_some() { "" } else { "-" }, change.item)
    };
    Ok(plan.changes().iter().map(told).collect())
}

#[test]
fn keys_are_read_in_any_case_and_a_document_may_be_a_text() {
    let object = action(
        r#"{"policytype":"jobupdate","EXTENSION":{"action":"add","jobjson":{"id":"a","tasks":[{"id":"t","command":"echo"}]}}}"#,
    );
    let text = action(
        r#"{"PolicyType":"JobUpdate","Extension":{"Action":"Update","JobJson":"{\"id\":\"a\",\"tasks\":[{\"id\":\"t\",\"command\":\"echo\"}]}"}}"#,
    );
    let (Action::AddJob(object), Action::UpdateJob(text)) = (object, text) else { panic!() };
    assert_eq!(&*text.document, br#"{"id":"a","tasks":[{"id":"t","command":"echo"}]}"#, "a text byte for byte");
    assert!(object.document.ends_with(b"\n}\n") && object.document.len() > text.document.len(), "an object for people");
    let settings = r#"{"PolicyType":"SettingsUpdate","Extension":{"PluginId":"B","Settings":{"a":{"b":1},"c":true}}}"#;
    let Action::SetSettings(plugin, values) = action(settings) else { panic!() };
    let values: Vec<String> = values.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!((plugin.as_str(), values), ("B", Vec::from(["a.b=1".into(), "c=true".into()])));
}

#[test]
fn what_configures_nothing_or_is_switched_off_is_left_alone() {
    for (document, says) in [
        (r#"{"PolicyType":"LeastPrivilege","Rules":"nonsense"}"#, "configure nothing"),
        (r#"{"PolicyType":"JobUpdate","Status":"off"}"#, "'off'"),
        (r#"{"PolicyType":"JobUpdate","Status":"MONITOR"}"#, "'MONITOR'"),
    ] {
        assert!(matches!(read(document), Policy::Idle { why, .. } if why.contains(says)), "{document}");
    }
    assert!(matches!(action(r#"{"PolicyType":"UpdateSettings","Status":"Enabled"}"#), Action::Reload));
    let findings = parse(br#"{"PolicyType":"UpdateSettings","Status":"maybe"}"#, OperatingSystem::Linux).unwrap_err();
    assert_eq!((findings[0].path.as_str(), findings[0].code), ("/Status", "unknown-value"));
}

#[test]
fn what_a_bundle_cannot_set_is_named() {
    let settings = |values: &str| {
        format!(r#"{{"PolicyType":"SettingsUpdate","Extension":{{"PluginId":"B","Settings":{values}}}}}"#)
    };
    for (values, code) in [
        (String::from(r#"{"metadata":{"mqttTopics":{"publish":["a"]}}}"#), "setting-definition"),
        (String::from(r#"{"a/b":1}"#), "setting-key"),
        (format!(r#"{{"a":"{}"}}"#, "x".repeat(20_000)), "setting-too-long"),
        (String::from("[]"), "wrong-type"),
    ] {
        let findings = parse(settings(&values).as_bytes(), OperatingSystem::Linux).unwrap_err();
        assert_eq!(findings[0].code, code, "{findings:?}");
    }
    let own = settings("{}").replace("\"B\"", "\"KeeperPrivilegeManager\"");
    assert_eq!(parse(own.as_bytes(), OperatingSystem::Linux).unwrap_err()[0].code, "settings-of-agent");
}

#[test]
fn later_policies_are_planned_over_the_former() {
    let nothing = Present::default();
    let (add, update) = (job("Add", "a", 1), job("Update", "a", 2));
    let delete = r#"{"PolicyType":"JobUpdate","Extension":{"Action":"Delete","JobId":"a"}}"#;
    assert_eq!(planned(&nothing, &[&add, &update]), Ok(Vec::from(["Jobs/a".into()])));
    assert_eq!(planned(&nothing, &[&add, delete]), Ok(Vec::from(["-Jobs/a".into()])));
    assert_eq!(planned(&nothing, &[&add, &job("Add", "a", 2)]), Err("job-exists"));
    assert_eq!(planned(&nothing, &[&add, &add]), Ok(Vec::from(["Jobs/a".into()])), "the same bytes are there already");
    assert_eq!(planned(&nothing, &[&update]), Err("job-missing"));
    assert_eq!(planned(&nothing, &[&add, delete, &update]), Err("job-missing"));
    assert_eq!(planned(&nothing, &[delete]), Ok(Vec::new()), "it is gone already");
    let refused = Present(BTreeMap::from([(String::from("Jobs/a"), Standing::OutOfService)]));
    assert_eq!(planned(&refused, &[&add]), Err("job-exists"));
    assert_eq!(planned(&refused, &[&update]), Ok(Vec::from(["Jobs/a".into()])), "a broken file is mended");
    let changing = Present(BTreeMap::from([(String::from("Jobs/a"), Standing::Changing)]));
    for policy in [&*add, &update, delete] {
        assert_eq!(planned(&changing, &[policy]), Err("busy"));
    }
}

#[test]
fn settings_need_their_plugin_and_no_mask_is_stored() {
    let set = r#"{"PolicyType":"SettingsUpdate","Extension":{"PluginId":"B","Settings":{"token":"***"}}}"#;
    assert_eq!(planned(&Present::default(), &[set]), Err("plugin-missing"));
    let document: Document = Document::from(&b"{}"[..]);
    let present = Present(BTreeMap::from([(String::from("Plugins/B"), Standing::InService(document))]));
    assert_eq!(planned(&present, &[set]), Err("setting-masked"));
    assert_eq!(planned(&present, &[&set.replace("***", "secret")]), Ok(Vec::new()));
}

#[test]
fn a_delivery_that_was_verified_as_a_whole_needs_no_signatures_in_it() {
    let settings = Settings { require_signed_policies: true, ..Settings::default() };
    let content =
        PolicyContent { document: Document::from(&b"{}"[..]), sha256: String::new(), signature: None, owner: None };
    let key = PolicyKey { name: "a".into(), source: "api".into() };
    let found = super::signature::signer(&key, &content, &settings, WallTime::from_millis(0));
    assert_eq!(found, Ok(None));
}

#[test]
fn no_more_policies_are_remembered_than_there_is_room_for() {
    let key = |number: usize| PolicyKey { name: number.to_string(), source: "api".into() };
    let mut records = Records::default();
    for number in 0..POLICIES + 10 {
        records.note(PolicyLine::new(&key(number), format!("{number:05}")));
    }
    // Of those that were not applied the oldest go, and they are in nobody's way.
    assert_eq!(records.lines().count(), REFUSED_POLICIES);
    assert!(records.lines().all(|line| line.name.parse::<usize>().unwrap() >= POLICIES + 10 - REFUSED_POLICIES));
    assert!(records.has_room(&key(0), POLICIES - 1) && !records.has_room(&key(0), POLICIES));
    let applied = |number: usize| AppliedPolicy {
        key: key(number),
        policy_type: "UpdateSettings".into(),
        sha256: "00".into(),
        time: String::new(),
        layer: None,
        signer: None,
        document: None,
    };
    records.apply((0..POLICIES).map(|number| PolicyChange::Keep(applied(number))));
    assert!(records.has_room(&key(1), 0) && !records.has_room(&key(POLICIES), 0));
    assert_eq!(records.others("api", |name| name != "1"), [key(1)]);
    records.apply([PolicyChange::Forget(key(0))]);
    assert!(records.has_room(&key(POLICIES), 0));
    assert_eq!(records.others("Policies", |_| false), []);
}
