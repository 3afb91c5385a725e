//! Lint finds what is valid and cannot have been meant, and nothing in what is sound.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::lint;
use crate::job::OperatingSystem;
use crate::job::lint::Document;

/// The codes found in each of several policies, each given by its members behind type and status.
fn codes(policies: &[&str]) -> Vec<Vec<&'static str>> {
    let texts: Vec<String> = policies
        .iter()
        .enumerate()
        .map(|(number, members)| {
            format!(r#"{{"PolicyId":"p{number}","PolicyType":"PrivilegeElevation","Status":"enforce",{members}}}"#)
        })
        .collect();
    let documents: Vec<Document<'_>> =
        texts.iter().map(|text| Document { file: "x.json", stem: "x", bytes: text.as_bytes() }).collect();
    let linted = lint(&documents, &[], OperatingSystem::Linux);
    linted.into_iter().map(|one| one.findings.into_iter().map(|finding| finding.code).collect()).collect()
}

const ALICE: &str = r#""Rules":[{"Expression":"CheckUser()"}],"UserCheck":["alice"]"#;
const BOTH: &str = r#""Rules":[{"Expression":"CheckUser()"}],"UserCheck":["alice","bob"]"#;

#[test]
fn what_is_in_vain_is_found() {
    let cases = [
        (format!(r#""Controls":["ALLOW","DENY"],{ALICE}"#), "controls-contradict"),
        (format!(r#""Controls":["ALLOW","MFA"],{ALICE}"#), "allow-in-vain"),
        (format!(r#""Controls":[],{ALICE}"#), "no-controls"),
        (
            format!(r#""Controls":["MFA"],"Extension":{{"Approvers":{{"groups":[["a"]]}}}},{ALICE}"#),
            "approvers-in-vain",
        ),
        (String::from(r#""Controls":["ALLOW"]"#), "applies-to-everything"),
        (
            String::from(r#""Controls":["ALLOW"],"Rules":[{"Expressions":[{"Type":"Contains","Value":"x"}]}]"#),
            "rests-on-text",
        ),
        (
            String::from(
                r#""Controls":["DENY"],"Rules":[{"Expression":"CheckTime()"}],"TimeCheck":[{"StartTime":"9","EndTime":"9"}]"#,
            ),
            "never-matches",
        ),
        (
            String::from(
                r#""Controls":["DENY"],"Rules":[{"Expression":"CheckFile(false)"}],"ApplicationCheck":["C:\\a\\b.exe"]"#,
            ),
            "never-matches",
        ),
        (String::from(r#""Controls":["DENY"],"UserCheck":["alice"]"#), "filter-without-rule"),
    ];
    for (members, code) in cases {
        assert!(codes(&[&members])[0].contains(&code), "{members}: {:?}", codes(&[&members]));
    }
    assert_eq!(codes(&[&format!(r#""Controls":["ALLOW"],{ALICE}"#)]), [[""; 0]], "nothing in what is sound");
}

#[test]
fn a_policy_that_another_makes_void_is_found() {
    let policy = |controls: &str, who: &str| format!(r#""Controls":[{controls}],{who}"#);
    let cases = [
        (policy(r#""ALLOW""#, ALICE), policy(r#""DENY""#, BOTH), [true, false]),
        (policy(r#""MFA""#, ALICE), policy(r#""MFA","JUSTIFY""#, BOTH), [true, false]),
        (policy(r#""ALLOW""#, ALICE), policy(r#""MFA""#, BOTH), [true, false]),
        (policy(r#""ALLOW""#, ALICE), policy(r#""ALLOW""#, ALICE), [false, true]),
        (policy(r#""DENY""#, ALICE), policy(r#""MFA""#, BOTH), [false, false]),
        (policy(r#""ALLOW""#, BOTH), policy(r#""DENY""#, ALICE), [false, false]),
        (policy(r#""ALLOW","AUDIT""#, ALICE), policy(r#""DENY""#, BOTH), [false, false]),
        (policy(r#""MFA""#, ALICE), policy(r#""ALLOW""#, BOTH), [false, false]),
    ];
    for (one, other, expected) in cases {
        let found: Vec<bool> = codes(&[&one, &other]).iter().map(|codes| codes.contains(&"shadowed")).collect();
        assert_eq!(found, expected, "{one} {other}");
    }
}

#[test]
fn policies_that_configure_and_collections_are_looked_at_too() {
    let document = |bytes: &'static str| Document { file: "x.json", stem: "x", bytes: bytes.as_bytes() };
    let policies = [document(r#"{"PolicyType":"JobUpdate","Extension":{"Action":"Grow"}}"#), document("{}")];
    let linted = lint(&policies, &[document(r#"{"a":5}"#)], OperatingSystem::Linux);
    let found: Vec<(bool, &str)> = linted.iter().map(|one| (one.valid, one.findings[0].code)).collect();
    assert_eq!(found, [(false, "unknown-value"), (false, "required"), (false, "wrong-type")]);
}
