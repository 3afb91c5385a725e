//! Every documented shape is one model, and what is wrong is found with its place.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Parsed, Policy, parse};
use crate::job::finding::{Findings, Severity};
use crate::policy::collection::Collections;
use crate::policy::envelope::Status;
use crate::policy::filter::Test;
use crate::policy::{PolicyType, effect::Word};

const ACTIONS: &str = include_str!("../../../tests/data/design-policy-actions.json");
const NESTED: &str = include_str!("../../../tests/data/design-policy-nested-filters.json");
const ROOT: &str = include_str!("../../../tests/data/design-policy-root-controls.json");

fn read(document: &str) -> (Box<Policy>, Findings) {
    match parse(document.as_bytes(), "file", &Collections::default()) {
        Ok((Parsed::Privileges(policy), findings)) => (policy, findings),
        other => panic!("{document}: {other:?}"),
    }
}

fn filters(policy: &Policy) -> Vec<&str> {
    policy.conditions().map(|condition| condition.filter.as_str()).collect()
}

#[test]
fn each_documented_shape_is_read() {
    let (policy, findings) = read(ACTIONS);
    assert_eq!((policy.id.as_str(), policy.status, policy.risk_level), ("elevate-editors", Status::Enforce, 50));
    assert_eq!(policy.effect.names(), ["MFA", "JUSTIFY", "APPROVAL"]);
    assert_eq!(filters(&policy), ["UserCheck", "ApplicationCheck"], "lists without a rule do not count");
    let places: Vec<&str> =
        findings.iter().filter(|one| one.code == "filter-without-rule").map(|one| one.path.as_str()).collect();
    assert_eq!(places, ["/DateCheck", "/TimeCheck", "/DayCheck"]);
    assert_eq!(policy.approvers.as_ref().unwrap().groups.len(), 2);

    let (policy, findings) = read(NESTED);
    assert_eq!((policy.policy_type, policy.status), (PolicyType::CommandLine, Status::Enforce));
    let nested = ["Filters.UserCheck.Users", "Filters.MachineCheck.Machines", "Filters.ApplicationCheck.Applications"];
    assert_eq!(
        filters(&policy),
        [&["Rules.0.Expressions"][..], &nested].concat(),
        "nested filters count without rules"
    );
    assert!(policy.effect.has(Word::Deny) && findings.is_empty(), "{findings:?}");

    let (policy, findings) = read(ROOT);
    assert_eq!(filters(&policy), ["UserCheck", "Extension.AllowCommands"]);
    assert!(policy.effect.has(Word::Allow) && policy.effect.has(Word::Audit) && findings.is_empty(), "{findings:?}");
}

#[test]
fn controls_come_from_the_first_place_that_has_them() {
    let policy = |text: &str| read(&alloc::format!(r#"{{"PolicyType":"FileAccess","Status":"OFF",{text}}}"#));
    let (actions, success, root) = (
        r#""Actions":{"OnSuccess":{"Controls":["MFA"]}}"#,
        r#""OnSuccess":{"Controls":["deny"]}"#,
        r#""Controls":["ALLOW"]"#,
    );
    for (order, expected) in [(&[actions, success, root][..], "MFA"), (&[root, success], "DENY"), (&[root], "ALLOW")] {
        let (policy, findings) = policy(&order.join(","));
        assert_eq!(policy.effect.names(), [expected]);
        assert_eq!(findings.iter().filter(|one| one.code == "controls-twice").count(), order.len() - 1, "{findings:?}");
    }
}

#[test]
fn other_types_are_kept() {
    let other = parse(br#"{"PolicyType":"LeastPrivilege","Status":5}"#, "f", &Collections::default()).unwrap();
    assert!(matches!(other.0, Parsed::NotEnforced) && other.1.iter().any(|one| one.code == "not-enforced"));
    let configures = parse(br#"{"policytype":"jobupdate"}"#, "f", &Collections::default()).unwrap();
    assert!(matches!(configures.0, Parsed::Configures));
}

/// Pointer and code of the errors of a policy that has these members.
fn errors(members: &str) -> Vec<(String, &'static str)> {
    let document = alloc::format!(r#"{{"PolicyType":"PrivilegeElevation",{members}}}"#);
    let found =
        parse(document.as_bytes(), "f", &Collections::default()).map_or_else(|errors| errors, |(_, notes)| notes);
    found.into_iter().filter(|one| one.severity == Severity::Error).map(|one| (one.path, one.code)).collect()
}

#[test]
fn what_is_wrong_is_found_with_its_place() {
    let status = r#""Status":"off","#;
    let cases = [
        (r#""PolicyId":"a""#, "/Status", "status-missing"),
        (r#""status":"on""#, "/status", "unknown-value"),
        (r#""Controls":["MAYBE"]"#, "/Controls/0", "unknown-value"),
        (r#""Actions":{"OnSuccess":{"Controls":"DENY"}}"#, "/Actions/OnSuccess/Controls", "wrong-type"),
        (r#""Actions":{"OnFailure":{"Command":5}}"#, "/Actions/OnFailure/Command", "wrong-type"),
        (r#""RiskLevel":101"#, "/RiskLevel", "out-of-range"),
        (r#""Operator":"Xor""#, "/Operator", "unknown-value"),
        (r#""Rules":[{"Expression":"CheckMoon()"}]"#, "/Rules/0/Expression", "rule-unknown"),
        (r#""Rules":[{"RuleName":"x"}]"#, "/Rules/0", "rule-empty"),
        (r#""Rules":[{"Expressions":[{"Type":"Like","Value":"x"}]}]"#, "/Rules/0/Expressions/0/Type", "unknown-value"),
        (r#""Rules":[{"Expressions":[{"Type":"Equals"}]}]"#, "/Rules/0/Expressions/0/Value", "required"),
        (r#""UserCheck":["@"]"#, "/UserCheck", "entry-invalid"),
        (r#""UserCheck":[5]"#, "/UserCheck/0", "wrong-type"),
        (r#""MachineCheck":[""]"#, "/MachineCheck", "entry-invalid"),
        (r#""ApplicationCheck":["/usr/bin/"]"#, "/ApplicationCheck", "entry-invalid"),
        (r#""ApplicationCheck":["{hmoe}/x"]"#, "/ApplicationCheck", "entry-invalid"),
        (r#""DateCheck":[{"StartDate":"24.12.2026"}]"#, "/DateCheck/0/StartDate", "date-invalid"),
        (r#""DateCheck":[{"EndDate":true}]"#, "/DateCheck/0/EndDate", "wrong-type"),
        (r#""TimeCheck":[{"StartTime":"9am"}]"#, "/TimeCheck/0/StartTime", "time-invalid"),
        (r#""TimeCheck":[{"EndTime":"24:01"}]"#, "/TimeCheck/0/EndTime", "time-invalid"),
        (r#""TimeCheck":[{"EndTime":25}]"#, "/TimeCheck/0/EndTime", "out-of-range"),
        (r#""DayCheck":[7]"#, "/DayCheck/0", "out-of-range"),
        (r#""CertificationCheck":["abc"]"#, "/CertificationCheck", "entry-invalid"),
        (r#""Filters":{"UserCheck":{"Users":"alice"}}"#, "/Filters/UserCheck/Users", "wrong-type"),
        (r#""Extension":{"Folders":["opt"]}"#, "/Extension/Folders", "entry-invalid"),
        (r#""Extension":{"AllowCommands":["ls 'a"]}"#, "/Extension/AllowCommands", "entry-invalid"),
        (r#""Extension":{"Approvers":{"groups":[[]]}}"#, "/Extension/Approvers/groups/0", "out-of-range"),
    ];
    for (members, path, code) in cases {
        let status = if members.to_lowercase().contains("status") || code == "status-missing" { "" } else { status };
        assert_eq!(errors(&alloc::format!("{status}{members}")), [(path.to_string(), code)], "{members}");
    }
    let long = alloc::format!(r#"{status}"PolicyId":"{}""#, "x".repeat(257));
    assert_eq!(errors(&long), [("/PolicyId".to_string(), "too-long")]);
}

#[test]
fn a_collection_stands_for_its_members_and_those_of_collections_in_it() {
    let mut collections = Collections::default();
    collections.add(br#"{"Ops":["alice","oncall","@wheel"],"OnCall":["bob","ops"],"all":["*"]}"#).unwrap();
    let test = |entry: &str| {
        let document = alloc::format!(
            r#"{{"PolicyType":"FileAccess","Status":"off","Rules":[{{"Expression":"CheckUser()"}}],"UserCheck":["{entry}"]}}"#
        );
        match parse(document.as_bytes(), "f", &collections) {
            Ok((Parsed::Privileges(policy), _)) => policy.rules[0].test.clone(),
            other => panic!("{other:?}"),
        }
    };
    let Test::Users(users) = test("ops") else { panic!() };
    assert!(users.names.iter().eq(["alice", "bob"]) && users.groups.iter().eq(["wheel"]), "{users:?}");
    assert_eq!(test("all"), Test::Everything);
    let faults: Vec<String> = [r#"[1]"#, r#"{"a":"b"}"#, r#"{"a":[""]}"#]
        .into_iter()
        .map(|text| collections.add(text.as_bytes()).unwrap_err().remove(0).path)
        .collect();
    assert_eq!(faults, ["", "/a", "/a/0"]);
}
