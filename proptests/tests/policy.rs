//! Laws of policies about privileges, against a naive evaluator of their documents: the same answers; one DENY more never allows more; what
//! is off or monitors decides nothing; the order of files is irrelevant; the explanation names exactly the policies without which the
//! answer is another, and its nearest change gives what it says; what lint calls void changes nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    reason = "a test may fail by panicking, and counts little"
)]

#[path = "policy/generate.rs"]
mod generate;
#[path = "policy/naive.rs"]
mod naive;
#[path = "policy/recorded.rs"]
mod recorded;

use std::collections::BTreeSet;

use castellan_core::job::OperatingSystem;
use castellan_core::job::lint::Document;
use castellan_core::policy::lint::lint;
use castellan_core::policy::{Decision, PolicySet, PolicySource, PolicyType, Request, Standing, Verdict};
use castellan_proptests::laws;
use proptest::prelude::*;
use serde_json::{Value, json};

use generate::{of_names, policies, related, requests};

/// Named documents.
type Files = Vec<(String, Value)>;

fn decide(files: &[(String, Value)], request: &Request) -> Decision {
    decide_with(files, &json!({}), request)
}

fn decide_with(files: &[(String, Value)], collections: &Value, request: &Request) -> Decision {
    let texts: Vec<(&str, String)> = files.iter().map(|(name, value)| (name.as_str(), value.to_string())).collect();
    let sources: Vec<PolicySource<'_>> =
        texts.iter().map(|(name, text)| PolicySource { name, content: Ok(text.as_bytes()), distrust: None }).collect();
    let collections = collections.to_string();
    let collections = PolicySource { name: "c", content: Ok(collections.as_bytes()), distrust: None };
    let set = PolicySet::compile(&sources, &[collections]);
    let evaluation = set.evaluate(request);
    let decision = evaluation.decision();
    assert_eq!(evaluation.verdict(), decision.verdict, "the plain answer is the explained one");
    decision
}

fn without(files: &[(String, Value)], name: &str) -> Files {
    files.iter().filter(|(known, _)| known != name).cloned().collect()
}

fn named(policies: Vec<Value>) -> Files {
    policies.into_iter().enumerate().map(|(number, policy)| (format!("f{number}"), policy)).collect()
}

/// Whether an answer allows no more than another.
fn is_no_looser(strict: &Verdict, loose: &Verdict) -> bool {
    match (strict, loose) {
        (Verdict::Deny, _) | (_, Verdict::Allow) => true,
        (Verdict::Pending(more), Verdict::Pending(less)) => more.is_superset(less),
        (Verdict::Allow, _) | (Verdict::Pending(_), Verdict::Deny) => false,
    }
}

/// The same policies with a collection in place of each list that may name some, and the collections: the last member of each is in one of
/// its own.
fn by_collections(mut files: Files) -> (Files, Value) {
    const LISTS: [&str; 5] = [
        "/UserCheck",
        "/MachineCheck",
        "/ApplicationCheck",
        "/Filters/UserCheck/Users",
        "/Filters/ApplicationCheck/Applications",
    ];
    let mut collections = json!({});
    for (name, policy) in &mut files {
        for (list, place) in LISTS.into_iter().enumerate() {
            let Some(Value::Array(members)) = policy.pointer_mut(place) else { continue };
            // An empty list is for everybody, an empty collection for nobody.
            let Some(last) = members.pop() else { continue };
            let id = format!("{name}-{list}");
            let mut others = std::mem::replace(members, vec![json!(id.to_uppercase())]);
            others.push(json!(format!("{id}-last")));
            collections[&id] = json!(others);
            collections[format!("{id}-last")] = json!([last]);
        }
    }
    (files, collections)
}

/// Empties a list that a change names, so that its filter holds.
fn empty(policy: &mut Value, filter: &str) {
    *policy.pointer_mut(&format!("/{}", filter.replace('.', "/"))).unwrap() = json!([]);
}

proptest! {
    #![proptest_config(laws::config(200))]

    #[test]
    fn the_answer_is_that_of_the_naive_evaluator(files in policies(8), request in requests()) {
        let files = named(files);
        let decision = decide(&files, &request);
        let naive = naive::decide(&files, &request);
        let answer = (decision.verdict, decision.audit, decision.record, decision.notify.len());
        prop_assert_eq!(answer, naive, "{:#?} {:?}", files, request);
    }

    /// The answer looks only at policies that it finds by names of the request, the explanation at each.
    #[test]
    fn the_answer_overlooks_no_policy_that_the_explanation_finds(files in of_names(4), request in requests()) {
        let (files, request) = (named(files), Request { policy_type: PolicyType::PrivilegeElevation, ..request });
        let decision = decide(&files, &request);
        let decided = decision.explanation.policies.iter().filter(|one| one.standing == Standing::Decided);
        let explained: Vec<_> = decided.map(|one| one.policy_id.clone()).collect();
        prop_assert_eq!(decision.policies, explained);
        prop_assert_eq!(decision.verdict, naive::decide(&files, &request).0);
    }

    #[test]
    fn collections_stand_for_their_members_and_hide_no_policy(files in policies(6), request in requests()) {
        let plain = decide(&named(files.clone()), &request);
        let (files, collections) = by_collections(named(files));
        let decision = decide_with(&files, &collections, &request);
        prop_assert_eq!((&decision.verdict, &decision.policies), (&plain.verdict, &plain.policies), "{:#?}", collections);
        let is_judged = !request.file_path.contains("..");
        let decides = |standing| matches!(standing, Standing::Decided | Standing::Unreadable);
        let decided = decision.explanation.policies.iter().filter(|one| is_judged && decides(one.standing));
        let explained: BTreeSet<_> = decided.map(|one| one.policy_id.clone()).collect();
        prop_assert_eq!(decision.policies.into_iter().collect::<BTreeSet<_>>(), explained);
    }

    #[test]
    fn one_more_denial_never_allows_more(files in policies(6), denial in policies(2), request in requests()) {
        let files = named(files);
        let before = decide(&files, &request).verdict;
        let denials = denial.into_iter().enumerate().map(|(number, mut policy)| {
            policy["Controls"] = json!(["DENY"]);
            policy["Actions"] = Value::Null;
            policy["OnSuccess"] = Value::Null;
            (format!("d{number}"), policy)
        });
        let after = decide(&files.iter().cloned().chain(denials).collect::<Files>(), &request).verdict;
        prop_assert!(is_no_looser(&after, &before), "{before} became {after}");
    }

    #[test]
    fn what_is_off_or_monitors_decides_nothing(
        files in policies(6),
        idle in policies(4),
        status in prop::sample::select(vec!["off", "disabled", "monitor", "monitor_and_notify", "MONITOR"]),
        request in requests(),
    ) {
        let files = named(files);
        let before = decide(&files, &request);
        let idle = idle.into_iter().enumerate().map(|(number, mut policy)| {
            policy["Status"] = json!(status);
            (format!("i{number}"), policy)
        });
        let after = decide(&files.iter().cloned().chain(idle).collect::<Files>(), &request);
        prop_assert_eq!((before.verdict, before.policies, before.record), (after.verdict, after.policies, after.record));
    }

    #[test]
    fn the_order_of_files_is_irrelevant(
        (files, shuffled) in policies(8).prop_map(named).prop_flat_map(|files| (Just(files.clone()), Just(files).prop_shuffle())),
        request in requests(),
    ) {
        prop_assert_eq!(decide(&files, &request), decide(&shuffled, &request));
    }

    #[test]
    fn the_explanation_names_whose_removal_changes_the_answer(files in policies(6), request in requests()) {
        let files = named(files);
        let decision = decide(&files, &request);
        let changes = |name: &str| decide(&without(&files, name), &request).verdict != decision.verdict;
        let truly: BTreeSet<String> =
            files.iter().map(|(name, _)| name.clone()).filter(|name| changes(name)).collect();
        let considered = &decision.explanation.policies;
        let told: BTreeSet<String> = considered.iter().filter(|one| one.decisive).map(|one| one.file.clone()).collect();
        prop_assert_eq!(&told, &truly);
        let decided = |standing| matches!(standing, Standing::Decided | Standing::Unreadable);
        prop_assert!(considered.iter().all(|one| !one.decisive || decided(one.standing)), "what is decisive decided");
    }

    #[test]
    fn the_nearest_change_gives_what_it_says(files in policies(5), request in requests()) {
        let files = named(files);
        let decision = decide(&files, &request);
        if let Some(change) = decision.explanation.nearest {
            let id = change.policy_id.as_str();
            let is_meant = |(name, policy): &(String, Value)| policy["PolicyId"] == id || name == id;
            let mut changed = files;
            let place = changed.iter().position(is_meant).unwrap();
            if change.filters.is_empty() {
                changed.remove(place);
            }
            for filter in &change.filters {
                empty(&mut changed[place].1, filter);
            }
            prop_assert_ne!(&change.verdict, &decision.verdict);
            prop_assert_eq!(decide(&changed, &request).verdict, change.verdict);
        }
    }

    #[test]
    fn what_lint_calls_void_changes_nothing(files in related(), requests in prop::collection::vec(requests(), 8)) {
        let files = named(files);
        let texts: Vec<(&str, String)> = files.iter().map(|(name, value)| (name.as_str(), value.to_string())).collect();
        let documents: Vec<Document<'_>> =
            texts.iter().map(|(name, text)| Document { file: name, stem: name, bytes: text.as_bytes() }).collect();
        let linted = lint(&documents, &[], OperatingSystem::Linux);
        let has = |file: &castellan_core::job::lint::Linted, code| file.findings.iter().any(|finding| finding.code == code);
        for file in linted {
            let fewer = without(&files, &file.file);
            for request in &requests {
                let decision = decide(&files, request);
                if has(&file, "shadowed") {
                    let less = decide(&fewer, request);
                    prop_assert_eq!((&decision.verdict, decision.audit, decision.record), (&less.verdict, less.audit, less.record));
                }
                if has(&file, "never-matches") && file.findings.iter().any(|finding| finding.message.contains("the policy never matches")) {
                    let standing = decision.explanation.policies.iter().find(|one| one.file == file.file).map(|one| one.standing);
                    prop_assert!(!matches!(standing, Some(Standing::Decided | Standing::Matched)), "{standing:?}");
                }
            }
        }
    }

    #[test]
    fn decisions_and_requests_are_kept_as_they_are(files in policies(5), request in requests()) {
        let decision = decide(&named(files), &request);
        let text = serde_json::to_string(&decision).unwrap();
        prop_assert_eq!(serde_json::from_str::<Decision>(&text).unwrap(), decision);
        let text = serde_json::to_string(&request).unwrap();
        prop_assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
    }
}

/// The laws say something: all answers occur, as do changes of both kinds and what lint finds.
#[test]
fn the_generated_policies_reach_every_answer() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::new(laws::config(1));
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for _ in 0..600 {
        let files = named(policies(5).new_tree(&mut runner).unwrap().current());
        let request = requests().new_tree(&mut runner).unwrap().current();
        let decision = decide(&files, &request);
        seen.insert(match decision.verdict {
            Verdict::Allow => "allow",
            Verdict::Deny => "deny",
            Verdict::Pending(_) => "pending",
        });
        seen.extend(
            decision.explanation.nearest.map(|change| if change.filters.is_empty() { "remove" } else { "meet" }),
        );
        let text = files.first().map(|(_, policy)| policy.to_string()).unwrap_or_default();
        let twice = [("a", &text), ("b", &text)].map(|(name, text)| Document {
            file: name,
            stem: name,
            bytes: text.as_bytes(),
        });
        for finding in lint(&twice, &[], OperatingSystem::Linux).iter().flat_map(|file| &file.findings) {
            seen.extend(["shadowed", "never-matches"].into_iter().find(|code| *code == finding.code));
        }
    }
    assert_eq!(seen, BTreeSet::from(["allow", "deny", "meet", "never-matches", "pending", "remove", "shadowed"]));
}
