//! What each filter compares, what policies amount to together, and what the explanation says about it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::policy::{
    Control, Decision, LocalTime, PolicySet, PolicySource, PolicyType, Request, Signer, Standing, User, Verdict,
};

/// Alice of @staff asks on a Thursday for `apt update`.
fn request() -> Request {
    Request {
        policy_type: PolicyType::PrivilegeElevation,
        user: User { uid: 1000, name: "alice".to_string(), groups: BTreeSet::from(["staff".to_string()]) },
        machine: "Build-7".to_string(),
        file_path: "/usr/bin/apt".to_string(),
        command_line: "apt update".to_string(),
        arguments: Vec::from(["update".to_string()]),
        has_desktop: false,
        at: LocalTime::parse("2026-12-24T09:30:00+01:00").unwrap(),
        signer: Some(Signer { sha1: "a".repeat(40), sha256: "b".repeat(64) }),
        variables: BTreeMap::from([("home".to_string(), "/srv/alice".to_string())]),
    }
}

fn decide_on(documents: &[&str], request: &Request) -> Decision {
    let names: Vec<String> = (0..documents.len()).map(|number| format!("f{number}")).collect();
    let sources: Vec<PolicySource<'_>> = names
        .iter()
        .zip(documents)
        .map(|(name, document)| PolicySource { name, content: Ok(document.as_bytes()), distrust: None })
        .collect();
    PolicySet::compile(&sources, &[]).evaluate(request).decision()
}

fn policy(controls: &str, more: &str) -> String {
    format!(r#"{{"PolicyType":"PrivilegeElevation","Status":"enforce","Controls":[{controls}]{more}}}"#)
}

const CHECKS: [(&str, &str); 7] = [
    ("CheckUser()", "UserCheck"),
    ("CheckMachine()", "MachineCheck"),
    ("CheckFile(false)", "ApplicationCheck"),
    ("CheckDate()", "DateCheck"),
    ("CheckTime()", "TimeCheck"),
    ("CheckDay()", "DayCheck"),
    ("CheckCertificate(x)", "CertificationCheck"),
];

/// Whether a list of a filter takes the request in.
fn holds(key: &str, list: &str, request: &Request) -> bool {
    let expression = CHECKS.iter().find(|(_, known)| *known == key).unwrap().0;
    let more = format!(r#","{key}":{list},"Rules":[{{"Expression":"{expression}"}}]"#);
    let decision = decide_on(&[&policy(r#""ALLOW""#, &more)], request);
    assert!(decision.explanation.policies.iter().all(|one| one.standing != Standing::Unreadable), "{decision:?}");
    decision.verdict == Verdict::Allow
}

#[test]
fn each_filter_compares_as_it_says() {
    let mut domain = request();
    domain.user.name = "CORP\\alice".to_string();
    let asked = request();
    let cases: [(&str, &[&str], &[&str]); 7] = [
        (
            "UserCheck",
            &[r#"[]"#, r#"["*"]"#, r#"["alice"]"#, r#"["bob","@staff"]"#, r#"[".\\alice"]"#, r#"["BUILD-7\\alice"]"#],
            &[r#"["Alice"]"#, r#"["@alice"]"#, r#"["staff"]"#, r#"["CORP\\alice"]"#, r#"["ali*"]"#, r#"[".\\bob"]"#],
        ),
        ("MachineCheck", &[r#"["build-7"]"#, r#"["BUILD-7"]"#, r#"["x","*"]"#], &[r#"["build"]"#, r#"["build-*"]"#]),
        (
            "ApplicationCheck",
            &[r#"["/usr/bin/apt"]"#, r#"["apt"]"#, r#"["a*t"]"#, r#"["/usr/*/apt"]"#, r#"["/usr/bin/*"]"#, r#"["*"]"#],
            &[r#"["/usr/*"]"#, r#"["/usr/bin"]"#, r#"["APT"]"#, r#"["/*apt"]"#, r#"["{home}/*"]"#, r#"["C:\\x\\apt"]"#],
        ),
        (
            "DateCheck",
            &[
                r#"[{}]"#,
                r#"[{"StartDate":"2026-12-24","EndDate":"2026-12-24"}]"#,
                r#"[{"EndDate":"2026-12-24T09:30:00"}]"#,
                r#"[{"StartDate":"2026-12-24T08:30:00Z","EndDate":1798101000}]"#,
                r#"[{"StartDate":1798101000000}]"#,
                r#"[{"StartDate":"2027-01-01"},{"EndDate":null}]"#,
            ],
            &[
                r#"[{"StartDate":"2026-12-25"}]"#,
                r#"[{"EndDate":"2026-12-23"}]"#,
                r#"[{"EndDate":1798100999}]"#,
                r#"[{"StartDate":"2026-12-24T08:30:01Z"}]"#,
                r#"[{"EndDate":"2026-12-24T09:29:59"}]"#,
            ],
        ),
        (
            "TimeCheck",
            &[
                r#"[{"StartTime":"9","EndTime":"18"}]"#,
                r#"[{"StartTime":"09:30:00"}]"#,
                r#"[{"StartTime":"22","EndTime":"09:30:01"}]"#,
                r#"[{"StartTime":0,"EndTime":24}]"#,
            ],
            &[
                r#"[{"StartTime":"9","EndTime":"09:30"}]"#,
                r#"[{"StartTime":"22","EndTime":"9"}]"#,
                r#"[{"StartTime":"9","EndTime":"9"}]"#,
            ],
        ),
        ("DayCheck", &[r#"[4]"#, r#"[0,4]"#], &[r#"[0,1,2,3,5,6]"#]),
        (
            "CertificationCheck",
            &[r#"["AAAAAAAAAA AAAAAAAAAA AAAAAAAAAA AAAAAAAAAA"]"#],
            &[r#"["bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"]"#],
        ),
    ];
    for (key, taken, left) in cases {
        assert!(
            taken.iter().all(|list| holds(key, list, &asked)),
            "{key}: {:?}",
            taken.iter().find(|list| !holds(key, list, &asked))
        );
        assert!(
            !left.iter().any(|list| holds(key, list, &asked)),
            "{key}: {:?}",
            left.iter().find(|list| holds(key, list, &asked))
        );
    }
    assert!(holds("UserCheck", r#"["corp\\alice"]"#, &domain) && !holds("UserCheck", r#"["alice"]"#, &domain));
    let unsigned = Request { signer: None, ..request() };
    assert!(!holds("CertificationCheck", r#"["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]"#, &unsigned));
}

#[test]
fn a_variable_is_the_users_own() {
    let at_home = Request { file_path: "/srv/alice/bin/x".to_string(), ..request() };
    let nowhere = Request { variables: BTreeMap::new(), ..at_home.clone() };
    let beside = Request { file_path: "/srv/alice2/bin/x".to_string(), ..request() };
    assert!(holds("ApplicationCheck", r#"["{HOME}/bin/*"]"#, &at_home));
    assert!(![nowhere, beside].iter().any(|request| holds("ApplicationCheck", r#"["{HOME}/bin/*"]"#, request)));
}

#[test]
fn extension_narrows_by_folders_and_commands() {
    let verdict = |policy_type: &str, extension: &str| {
        let document = format!(
            r#"{{"PolicyType":"{policy_type}","Status":"enabled","Controls":["ALLOW"],"Extension":{{{extension}}}}}"#
        );
        decide_on(&[&document], &request()).verdict == Verdict::Allow
    };
    for (extension, expected) in [
        (r#""Folders":["/usr/"]"#, true),
        (r#""Folders":["/usr/b"]"#, true),
        (r#""Folders":["/opt/","/usr/*"]"#, false),
        (r#""AllowCommands":["apt"]"#, true),
        (r#""AllowCommands":["/usr/bin/apt update"]"#, true),
        (r#""AllowCommands":["apt up*"]"#, true),
        (r#""AllowCommands":["apt *"]"#, true),
        (r#""AllowCommands":["apt update *"]"#, true),
        (r#""AllowCommands":["apt update now"]"#, false),
        (r#""AllowCommands":["apt upgrade"]"#, false),
        (r#""AllowCommands":["'apt update'"]"#, false),
        (r#""AllowCommands":[]"#, true),
    ] {
        assert_eq!(verdict("CommandLine", extension), expected, "{extension}");
    }
    assert!(!verdict("FileAccess", ""), "what is run is not opened");
}

#[test]
fn an_argument_of_a_command_has_no_way_out_of_its_segment() {
    let document = r#"{"PolicyType":"CommandLine","Status":"enforce","Controls":["ALLOW"],"Extension":{"AllowCommands":["cat /var/log/*"]}}"#;
    let cat = |argument: &str| {
        let request = Request {
            file_path: "/usr/bin/cat".to_string(),
            arguments: Vec::from([argument.to_string()]),
            ..request()
        };
        decide_on(&[document], &request).verdict == Verdict::Allow
    };
    assert!(cat("/var/log/syslog") && !cat("/var/log/../../etc/shadow"));
}

#[test]
fn expressions_look_at_the_command_line_and_the_path() {
    let matches = |joined: &str, expressions: &[(&str, &str)]| {
        let expressions: Vec<String> =
            expressions.iter().map(|(kind, value)| format!(r#"{{"Type":"{kind}","Value":"{value}"}}"#)).collect();
        let rule = format!(r#","Rules":[{{"Operator":"{joined}","Expressions":[{}]}}]"#, expressions.join(","));
        decide_on(&[&policy(r#""ALLOW""#, &rule)], &request()).verdict == Verdict::Allow
    };
    assert!(matches(
        "And",
        &[("Contains", "upd"), ("Equals", "/usr/bin/apt"), ("startswith", "apt "), ("EndsWith", "date")]
    ));
    assert!(matches("Or", &[("Equals", "apt"), ("Contains", "usr")]));
    assert!(!matches("And", &[("Contains", "upd"), ("Contains", "UPD")]) && !matches("Or", &[("EndsWith", "up")]));
}

#[test]
fn policies_amount_to_what_the_table_says() {
    let pending = |controls: &[Control]| Verdict::Pending(controls.iter().copied().collect());
    let both = pending(&[Control::Justify, Control::Approval]);
    let cases: [(&[&str], Verdict); 9] = [
        (&[], Verdict::Deny),
        (&[r#""ALLOW""#], Verdict::Allow),
        (&[r#""ALLOW""#, r#""DENY""#], Verdict::Deny),
        (&[r#""AUDIT","NOTIFY","RECORD""#], Verdict::Deny),
        (&[r#""ALLOW""#, r#""mfa""#], pending(&[Control::Mfa])),
        (&[r#""APPROVAL""#], both),
        (&[r#""JUSTIFY""#, r#""MFA","ALLOW""#], pending(&[Control::Mfa, Control::Justify])),
        (&[r#""MFA""#, r#""DENY""#], Verdict::Deny),
        (&[""], Verdict::Deny),
    ];
    for (controls, expected) in cases {
        let documents: Vec<String> = controls.iter().map(|controls| policy(controls, "")).collect();
        let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
        assert_eq!(decide_on(&documents, &request()).verdict, expected, "{controls:?}");
    }
}

#[test]
fn monitoring_tells_and_audits_and_decides_nothing() {
    let of = |status: &str, controls: &str| {
        format!(
            r#"{{"PolicyId":"{status}","PolicyType":"PrivilegeElevation","Status":"{status}","Controls":["{controls}"],"NotificationMessage":"hear"}}"#
        )
    };
    let allow = policy(r#""ALLOW""#, "");
    let quiet = decide_on(&[&allow, &of("off", "DENY"), &of("DISABLED", "DENY")], &request());
    assert!(quiet.verdict == Verdict::Allow && !quiet.audit && quiet.notify.is_empty());
    let heard = decide_on(&[&allow, &of("monitor", "DENY"), &of("Monitor_And_Notify", "MFA")], &request());
    assert!(heard.verdict == Verdict::Allow && heard.audit);
    assert_eq!(
        heard.notify.iter().map(|notice| (notice.policy_id.as_str(), notice.message.as_str())).collect::<Vec<_>>(),
        [("Monitor_And_Notify", "hear")]
    );
    let enforced = decide_on(&[&of("enforce", "NOTIFY"), &allow, &policy(r#""RECORD","AUDIT""#, "")], &request());
    assert!(enforced.record && enforced.audit && enforced.notify.len() == 1);
}

#[test]
fn what_cannot_be_read_and_may_act_denies() {
    let allow = policy(r#""ALLOW""#, "");
    let verdict = |document: &str| {
        let decision = decide_on(&[&allow, document], &request());
        let named = decision.policies.iter().any(|id| id.as_str() == "f1");
        assert_eq!(named, decision.verdict == Verdict::Deny, "{decision:?}");
        decision.verdict
    };
    for denies in [
        "{",
        "[]",
        r#"{"Status":"enforce"}"#,
        r#"{"PolicyType":"PrivilegeElevation"}"#,
        r#"{"PolicyType":"PrivilegeElevation","Status":"enforced"}"#,
        r#"{"PolicyType":"CommandLine","Status":"enforce","Controls":5}"#,
    ] {
        assert_eq!(verdict(denies), Verdict::Deny, "{denies}");
    }
    for passes in [
        r#"{"PolicyType":"PrivilegeElevation","Status":"monitor","Controls":5}"#,
        r#"{"PolicyType":"FileAccess","Status":"enforce","Controls":5}"#,
        r#"{"PolicyType":"JobUpdate","Status":"enforce"}"#,
        r#"{"PolicyType":"LeastPrivilege","Status":"enforce","Controls":5}"#,
    ] {
        assert_eq!(verdict(passes), Verdict::Allow, "{passes}");
    }
    let policies = [PolicySource { name: "a", content: Ok(allow.as_bytes()), distrust: None }];
    let broken = |content| {
        PolicySet::compile(&policies, &[PolicySource { name: "c", content, distrust: None }])
            .evaluate(&request())
            .verdict()
    };
    assert_eq!(broken(Ok(&b"{}"[..])), Verdict::Allow);
    assert_eq!([broken(Ok(&b"[]"[..])), broken(Err("it is a link"))], [Verdict::Deny, Verdict::Deny]);
}

#[test]
fn a_path_with_another_name_is_not_judged() {
    for path in ["", "apt", "/usr/bin/../bin/apt", "/usr/bin/apt/", "//usr/bin/apt", "/usr/bin/apt\0"] {
        let decision = decide_on(&[&policy(r#""ALLOW""#, "")], &Request { file_path: path.to_string(), ..request() });
        assert!(decision.verdict == Verdict::Deny && decision.policies.is_empty(), "{path}");
        assert!(decision.explanation.why.contains("FilePath"), "{}", decision.explanation.why);
    }
}

#[test]
fn a_denial_names_the_policy_that_almost_matched() {
    let rules =
        r#","Rules":[{"Expression":"CheckUser()","ErrorMessage":"Only Bob."},{"Expression":"CheckFile(false)"}]"#;
    let near =
        policy(r#""MFA""#, &format!(r#"{rules},"PolicyId":"near","UserCheck":["bob"],"ApplicationCheck":["apt"]"#));
    let far =
        policy(r#""ALLOW""#, &format!(r#"{rules},"PolicyId":"far","UserCheck":["bob"],"ApplicationCheck":["vi"]"#));
    let explanation = decide_on(&[&far, &near], &request()).explanation;
    let nearest = explanation.nearest.clone().unwrap();
    assert_eq!((nearest.policy_id.as_str(), nearest.filters.len()), ("near", 1));
    assert_eq!(nearest.verdict, Verdict::Pending(BTreeSet::from([Control::Mfa])));
    assert_eq!(explanation.fix, "With the policy 'near' it would be PENDING (MFA), if UserCheck held.");
    let shown = explanation.policies.iter().find(|one| one.policy_id.as_str() == "near").unwrap();
    let compared: Vec<(&str, bool, &str, &str)> = shown
        .filters
        .iter()
        .map(|one| (one.filter.as_str(), one.holds, one.asked.as_str(), one.message.as_str()))
        .collect();
    assert_eq!(
        compared,
        [("UserCheck", false, "alice @staff", "Only Bob."), ("ApplicationCheck", true, "/usr/bin/apt", "")]
    );
}

#[test]
fn what_decided_is_named_and_its_removal_told() {
    let named = |id: &str, controls: &str| policy(controls, &format!(r#","PolicyId":"{id}","RiskLevel":70"#));
    let decision = decide_on(&[&named("yes", r#""ALLOW""#), &named("no", r#""DENY""#)], &request());
    assert_eq!((decision.policies[0].as_str(), decision.risk_level), ("no", 70));
    assert_eq!(decision.explanation.why, "It is denied by 'no'.");
    assert_eq!(decision.explanation.fix, "Without the policy 'no' it would be ALLOW.");
    let twice = decide_on(&[&named("a", r#""DENY""#), &named("b", r#""DENY""#)], &request()).explanation;
    assert!(twice.nearest.is_none() && twice.policies.iter().all(|one| !one.decisive));
    assert_eq!(twice.fix, "No change of a single policy gives another outcome.");
    let none = decide_on(&[], &request()).explanation;
    assert!(none.fix.contains("put a policy that allows it"), "{}", none.fix);
}

#[test]
fn approvers_of_all_that_ask_are_kept() {
    let asks =
        |name: &str| policy(r#""APPROVAL""#, &format!(r#","Extension":{{"Approvers":{{"groups":[["{name}"]]}}}}"#));
    let decision = decide_on(&[&asks("carol"), &asks("dave"), &asks("carol")], &request());
    let groups: Vec<&str> = decision.approvers.iter().map(|approvers| approvers.groups[0][0].as_str()).collect();
    assert_eq!(groups, ["carol", "dave"]);
}

#[test]
fn of_rules_joined_by_or_one_more_is_enough() {
    let members = r#","PolicyId":"or","Operator":"Or","Rules":[{"Expression":"CheckUser()"},{"Expression":"CheckDay()"}],"UserCheck":["bob"],"DayCheck":[0],
        "Extension":{"Folders":["/opt/"]}"#;
    let nearest = decide_on(&[&policy(r#""ALLOW""#, members)], &request()).explanation.nearest.unwrap();
    assert_eq!(nearest.filters, ["UserCheck", "Extension.Folders"]);
}

#[test]
fn what_nobody_who_counts_signed_denies_what_it_may_be_about_and_nothing_else() {
    let policy = |of: &str, status: &str, controls: &str| {
        format!(r#"{{"PolicyType":"{of}","Status":"{status}","Controls":["{controls}"]}}"#)
    };
    let allow = policy("PrivilegeElevation", "enforce", "ALLOW");
    let verdict = |document: &str, collection: Option<&str>| {
        let good = PolicySource { name: "good", content: Ok(allow.as_bytes()), distrust: None };
        let bad = PolicySource { name: "bad", content: Ok(document.as_bytes()), distrust: Some("It is not signed.") };
        let members =
            collection.map(|text| PolicySource { name: "c", content: Ok(text.as_bytes()), distrust: Some("No.") });
        let set = PolicySet::compile(&[good, bad], members.as_slice());
        set.evaluate(&request()).verdict()
    };
    let off = policy("PrivilegeElevation", "off", "DENY");
    for denies in [&allow, &policy("CommandLine", "enforce", "ALLOW"), "nonsense"] {
        assert_eq!(verdict(denies, None), Verdict::Deny, "{denies}");
    }
    for stays in [&off, &policy("FileAccess", "enforce", "DENY"), &policy("JobUpdate", "enforce", "DENY")] {
        assert_eq!(verdict(stays, None), Verdict::Allow, "{stays}");
    }
    assert_eq!(verdict(&off, Some(r#"{"team":["alice"]}"#)), Verdict::Deny, "who is in it may be named by a policy");
}
