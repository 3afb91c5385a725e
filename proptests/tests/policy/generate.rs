//! Policies and requests over so few names, paths and moments that they meet often.

use std::collections::{BTreeMap, BTreeSet};

use castellan_core::policy::{LocalTime, PolicyType, Request, Signer, User};
use proptest::collection::{btree_set, vec};
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

pub(crate) const SHA1: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// The checks with their lists, and what these may hold.
fn checks() -> Vec<(&'static str, &'static str, Vec<Value>)> {
    let texts = |all: &[&str]| all.iter().map(|text| json!(text)).collect::<Vec<_>>();
    vec![
        (
            "CheckUser()",
            "UserCheck",
            texts(&["alice", "bob", "@staff", "@ops", "*", ".\\alice", "corp\\bob", "M1\\bob"]),
        ),
        ("checkmachine()", "MachineCheck", texts(&["m1", "M2", "*", "m9"])),
        (
            "CheckFile(false)",
            "ApplicationCheck",
            texts(&["/usr/bin/apt", "id", "/usr/*/id", "/usr/*", "a*", "{home}/*", "{HOME}/bin/*", "*", "C:\\x"]),
        ),
        (
            "CheckDate()",
            "DateCheck",
            vec![
                json!({"StartDate": "2026-03-01"}),
                json!({"EndDate": "2026-03-01"}),
                json!({"StartDate": "2026-03-02", "EndDate": "2026-03-01"}),
                json!({"StartDate": 1_772_366_400, "EndDate": null}),
            ],
        ),
        (
            "CheckTime()",
            "TimeCheck",
            vec![
                json!({"StartTime": "9", "EndTime": "18"}),
                json!({"StartTime": "22:00:00", "EndTime": "06:30:00"}),
                json!({"EndTime": 12}),
                json!({"StartTime": "7", "EndTime": "7"}),
            ],
        ),
        ("CheckDay()", "DayCheck", (0..7).map(|day| json!(day)).collect()),
        ("CheckCertificate(any)", "CertificationCheck", texts(&[SHA1, &"c".repeat(64)])),
    ]
}

fn some(of: Vec<Value>) -> impl Strategy<Value = Value> {
    let most = of.len().min(3);
    subsequence(of, 0..=most).prop_map(Value::Array)
}

/// Lists, and rules that make some of them count.
fn filters() -> impl Strategy<Value = Map<String, Value>> {
    let each: Vec<_> = checks()
        .into_iter()
        .map(|(rule, key, values)| (weighted(0.25, some(values)), prop::bool::weighted(0.8), Just((rule, key))))
        .collect();
    let kinds = select(vec!["Contains", "Equals", "StartsWith", "endswith"]);
    let expression = (kinds, select(vec!["apt", "id -u", "/usr/bin/id", "u", "update"]));
    let expressions = (select(vec!["And", "Or"]), vec(expression, 0..3));
    (each, weighted(0.15, expressions)).prop_map(|(lists, expressions)| {
        let mut members = Map::new();
        let mut rules = Vec::new();
        for (list, rule, (expression, key)) in lists {
            if rule && (list.is_some() || expression.len() % 2 == 0) {
                rules.push(json!({"RuleName": key, "RuleExpressionType": "BuiltInAction", "Expression": expression}));
            }
            members.extend(list.map(|list| (key.to_owned(), list)));
        }
        if let Some((operator, expressions)) = expressions {
            let all: Vec<Value> =
                expressions.into_iter().map(|(kind, value)| json!({"Type": kind, "Value": value})).collect();
            rules.push(json!({"Operator": operator, "Expressions": all}));
        }
        members.insert("Rules".to_owned(), json!(rules));
        members
    })
}

/// Nested filters and the extension.
fn scope() -> impl Strategy<Value = Map<String, Value>> {
    let texts = |all: &[&str]| all.iter().map(|text| json!(text)).collect::<Vec<_>>();
    let users = weighted(0.2, some(texts(&["alice", "@ops", "*"])));
    let files = weighted(0.2, some(texts(&["apt", "/usr/bin/*"])));
    let folders = weighted(0.15, some(texts(&["/usr/", "{home}", "/usr/bin/a"])));
    let commands = weighted(
        0.15,
        some(texts(&["apt", "apt update", "/usr/bin/apt u*", "id *", "id -u *", "* update", "'apt update'"])),
    );
    (users, files, folders, commands).prop_map(|(users, files, folders, commands)| {
        let mut filters = Map::new();
        filters.extend(users.map(|users| ("UserCheck".to_owned(), json!({"Users": users}))));
        filters.extend(files.map(|files| ("ApplicationCheck".to_owned(), json!({"Applications": files}))));
        let mut extension = Map::new();
        extension.extend(folders.map(|folders| ("Folders".to_owned(), folders)));
        extension.extend(commands.map(|commands| ("AllowCommands".to_owned(), commands)));
        let mut members = Map::new();
        members.extend((!filters.is_empty()).then(|| ("Filters".to_owned(), Value::Object(filters))));
        members.extend((!extension.is_empty()).then(|| ("Extension".to_owned(), Value::Object(extension))));
        members
    })
}

/// A policy in one of the documented shapes; now and then one that cannot be read, or of a type that is not evaluated.
fn policy() -> impl Strategy<Value = Value> {
    let types = select(vec![
        "PrivilegeElevation",
        "PrivilegeElevation",
        "privilegeelevation",
        "CommandLine",
        "FileAccess",
        "LeastPrivilege",
    ]);
    let statuses =
        select(vec!["enforce", "Enforce", "enabled", "enforce", "off", "disabled", "monitor", "monitor_and_notify"]);
    let words = ["ALLOW", "ALLOW", "DENY", "NOTIFY", "MFA", "justify", "APPROVAL", "AUDIT", "RECORD"];
    let controls = subsequence(words.to_vec(), 0..3);
    let operator = select(vec![None, Some("And"), Some("Or"), Some("or")]);
    let odd = 0..120_u8;
    (types, statuses, controls, 0..3_u8, operator, filters(), scope(), odd).prop_map(
        |(policy_type, status, controls, place, operator, filters, scope, odd)| {
            let mut policy = json!({"PolicyType": policy_type, "Status": status});
            match place {
                0 => policy["Actions"] = json!({"OnSuccess": {"Controls": controls}}),
                1 => policy["OnSuccess"] = json!({"Controls": controls}),
                _ => policy["Controls"] = json!(controls),
            }
            policy["Operator"] = json!(operator);
            match odd {
                0 => policy["RiskLevel"] = json!(1000),
                1 => policy["Status"] = json!("perhaps"),
                2 => policy["PolicyType"] = json!(5),
                _ => {}
            }
            policy.as_object_mut().unwrap().extend(filters);
            policy.as_object_mut().unwrap().extend(scope);
            policy
        },
    )
}

/// At most so many policies, each with an id of its own.
pub(crate) fn policies(most: usize) -> impl Strategy<Value = Vec<Value>> {
    vec(policy(), 0..=most).prop_map(|mut policies| {
        for (number, policy) in policies.iter_mut().enumerate() {
            policy["PolicyId"] = json!(format!("p{number}"));
        }
        policies
    })
}

/// Policies that allow certain users certain files, and have no other filter.
pub(crate) fn of_names(most: usize) -> impl Strategy<Value = Vec<Value>> {
    let texts = |all: &[&str]| all.iter().map(|text| json!(text)).collect::<Vec<_>>();
    let users = some(texts(&["alice", "bob", "@staff", "@ops", ".\\alice", "corp\\bob"]));
    let files = weighted(0.5, some(texts(&["/usr/bin/apt", "apt", "id", "x", "/usr/*/id"])));
    let of_names = (users, files, select(vec!["And", "Or"])).prop_map(|(users, files, operator)| {
        json!({
            "PolicyType": "PrivilegeElevation", "Status": "enforce", "Controls": ["ALLOW"], "Operator": operator,
            "Rules": [{"Expression": "CheckUser()"}, {"Expression": "CheckFile(false)"}],
            "UserCheck": users, "ApplicationCheck": files,
        })
    });
    vec(of_names, 1..=most)
}

/// Policies of which one has some members of another, so that one often matches wherever the other does.
pub(crate) fn related() -> impl Strategy<Value = Vec<Value>> {
    let members =
        ["Controls", "OnSuccess", "Actions", "UserCheck", "ApplicationCheck", "Operator", "Filters", "Extension"];
    (policy(), policy(), subsequence(members.to_vec(), 1..4), policies(2)).prop_map(|(one, other, members, mut all)| {
        let mut mixed = one.clone();
        for member in members {
            mixed[member] = other[member].clone();
        }
        all.extend([one, mixed]);
        for (number, policy) in all.iter_mut().enumerate() {
            policy["PolicyId"] = json!(format!("p{number}"));
        }
        all
    })
}

pub(crate) fn requests() -> impl Strategy<Value = Request> {
    let types = select(vec![
        PolicyType::PrivilegeElevation,
        PolicyType::PrivilegeElevation,
        PolicyType::CommandLine,
        PolicyType::FileAccess,
    ]);
    let who = (select(vec!["alice", "bob", "CORP\\bob"]), btree_set(select(vec!["staff", "ops", "x"]), 0..3));
    let what = select(vec![
        ("/usr/bin/apt", "apt update", &["update"][..]),
        ("/usr/bin/apt", "apt", &[]),
        ("/usr/bin/id", "id -u", &["-u"]),
        ("/srv/alice/bin/x", "x a b", &["a", "b"]),
        ("/usr/bin/../bin/id", "id", &[]),
    ]);
    let when = select(vec![
        "2026-03-01T11:59:59+01:00",
        "2026-03-01T12:00:00Z",
        "2026-02-28T23:30:00-05:00",
        "2026-03-02T06:30:00+00:00",
        "2026-03-07T09:00:00+05:30",
    ]);
    let facts = (select(vec!["m1", "M2"]), when, any::<bool>(), any::<bool>());
    (types, who, what, facts).prop_map(|(policy_type, (name, groups), (path, line, arguments), facts)| {
        let (machine, at, signed, home) = facts;
        Request {
            policy_type,
            user: User {
                uid: 1000,
                name: name.to_owned(),
                groups: groups.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(),
            },
            machine: machine.to_owned(),
            file_path: path.to_owned(),
            command_line: line.to_owned(),
            arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
            has_desktop: false,
            at: LocalTime::parse(at).unwrap(),
            signer: signed.then(|| Signer { sha1: SHA1.to_owned(), sha256: "b".repeat(64) }),
            variables: home
                .then(|| ("home".to_owned(), "/srv/alice".to_owned()))
                .into_iter()
                .collect::<BTreeMap<_, _>>(),
        }
    })
}
