//! Laws of access control: topics against a naive model, grants that only ever grow, client ids that fit only their owner.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail by panicking"
)]

use castellan_core::acl::client_id::{self, Judgement, PID_MAX};
use castellan_core::acl::topic::{TopicFilter, TopicName};
use castellan_core::acl::{Decision, FilterSet, Grant, PrimarySubscription, Subject};
use castellan_core::id::{Component, JobId, PluginId, SpawnId};
use castellan_proptests::laws::config;
use castellan_proptests::topics::{all_filters, all_topics, filter, matches, topic};
use proptest::collection::vec;
use proptest::prelude::*;

/// Every filter of up to three levels against every topic name of up to four.
#[test]
fn matches_as_the_naive_model_does() {
    let topics = all_topics(4);
    for filter in all_filters(3) {
        for topic in &topics {
            let expect = matches(filter.as_str(), topic.as_str());
            assert_eq!(filter.matches(topic), expect, "'{filter}' and '{topic}'");
        }
    }
}

/// A filter contains another exactly where no topic tells them apart.
#[test]
fn contains_what_no_topic_disproves() {
    let (topics, filters) = (all_topics(4), all_filters(3));
    let matched: Vec<Vec<bool>> = filters
        .iter()
        .map(|filter| topics.iter().map(|topic| matches(filter.as_str(), topic.as_str())).collect())
        .collect();
    let mut contained = 0;
    for (declared, by_declared) in filters.iter().zip(&matched) {
        for (asked, by_asked) in filters.iter().zip(&matched) {
            let escape = by_asked.iter().zip(by_declared).position(|(asked, declared)| *asked && !declared);
            let topic = escape.map(|at| topics[at].as_str());
            assert_eq!(declared.contains(asked), topic.is_none(), "'{declared}' and '{asked}': {topic:?}");
            contained += usize::from(topic.is_none());
        }
    }
    assert!(contained > filters.len(), "the sample has no two filters of which one contains the other");
}

fn component() -> impl Strategy<Value = Component> {
    let id = "[a-b][a-b.-]{0,3}[a-b]";
    prop_oneof![
        id.prop_map(|id| Component::Job(JobId::parse(&id).unwrap())),
        id.prop_map(|id| Component::Plugin(PluginId::parse(&id).unwrap())),
    ]
}

fn grant(publish: Vec<TopicFilter>, subscribe: Vec<TopicFilter>, primary: Option<TopicFilter>) -> Grant {
    let component = Component::Plugin(PluginId::parse("P").unwrap());
    let subject = Subject { component, run: None, spawn: SpawnId(1), pid: 7, client_id: String::from("P_7") };
    let primary = primary.map(|topic| PrimarySubscription { topic, qos: 2, clean_session: true });
    Grant { subject, publish: publish.into(), subscribe: subscribe.into(), primary, user: None, withheld: None }
}

fn with(declared: &FilterSet, value: &str) -> FilterSet {
    let more = TopicFilter::parse(value).unwrap();
    declared.iter().cloned().chain([more]).collect::<Vec<_>>().into()
}

fn may_publish(grant: &Grant, topic: &TopicName) -> bool {
    matches!(grant.decide_publish(topic), Decision::Allow)
}

fn may_subscribe(grant: &Grant, filter: &TopicFilter) -> bool {
    matches!(grant.decide_subscribe(filter), Decision::Allow)
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn long_filters_match_as_the_naive_model_does(filter in filter(6), topic in topic(6)) {
        prop_assert_eq!(filter.matches(&topic), matches(filter.as_str(), topic.as_str()));
    }

    /// A share is a share of exactly what stands behind its name.
    #[test]
    fn shared_filters_count_by_what_they_match(filter in filter(4), topic in topic(4), other in filter(4)) {
        let shared = TopicFilter::parse(&format!("$share/group/{filter}"));
        // '$share/group/' with nothing behind it is no filter; a filter that is one empty level does not parse either.
        let shared = shared.unwrap();
        prop_assert_eq!(shared.share_name(), Some("group"));
        prop_assert_eq!(shared.matches(&topic), filter.matches(&topic));
        prop_assert_eq!(other.contains(&shared), other.contains(&filter));
    }

    #[test]
    fn any_text_is_a_topic_or_not(text in any::<String>(), short in "[+#/$a]{0,6}") {
        for text in [text, short] {
            if let Ok(topic) = TopicName::parse(&text) {
                prop_assert_eq!(topic.as_str(), &text);
                prop_assert!(TopicFilter::parse(&text).map_or(text.starts_with("$share"), |filter| filter.share_name().is_some() || filter.matches(&topic)));
            }
            if let Ok(filter) = TopicFilter::parse(&text) {
                prop_assert_eq!(filter.as_str(), &text);
                prop_assert!(filter.contains(&filter));
            }
        }
    }

    /// Read from the shorter list to the longer: adding never allows less. Read backwards: removing never allows more.
    #[test]
    fn more_declarations_allow_more(
        publish in vec(filter(3), 0..4),
        subscribe in vec(filter(3), 0..4),
        primary in proptest::option::of(filter(3)),
        added in filter(3),
        at in any::<prop::sample::Index>(),
        topic in topic(3),
        asked in filter(3),
    ) {
        let with = |list: &[TopicFilter]| {
            let mut list = list.to_vec();
            list.insert(at.index(list.len() + 1), added.clone());
            list
        };
        let less = grant(publish.clone(), subscribe.clone(), primary.clone());
        let more = grant(with(&publish), with(&subscribe), primary);
        prop_assert!(may_publish(&more, &topic) || !may_publish(&less, &topic));
        prop_assert!(may_subscribe(&more, &asked) || !may_subscribe(&less, &asked));
        prop_assert!(more.may_receive(&topic) || !less.may_receive(&topic));
        // What may be subscribed may be received, or the subscription would be a hole.
        prop_assert!(!may_subscribe(&less, &asked) || !asked.matches(&topic) || less.may_receive(&topic));
    }

    /// A set of filters matches what one of them matches.
    #[test]
    fn a_set_matches_what_one_of_its_filters_does(declared in vec(filter(3), 0..5), topic in topic(3)) {
        let expect = declared.iter().any(|filter| matches(filter.as_str(), &topic.to_string()));
        prop_assert_eq!(FilterSet::from(declared).matches(&topic), expect);
    }

    /// The declaration that a denial names would have allowed it.
    #[test]
    fn the_declaration_named_is_the_cure(publish in vec(filter(3), 0..3), topic in topic(3), asked in filter(3)) {
        let grant = grant(publish, vec![], None);
        if let Decision::Deny(denial) = grant.decide_publish(&topic) {
            let publish = with(&grant.publish, &denial.declaration.unwrap().value);
            let cured = Grant { publish, ..grant.clone() };
            prop_assert!(may_publish(&cured, &topic));
        }
        if let Decision::Deny(denial) = grant.decide_subscribe(&asked) {
            let subscribe = with(&grant.subscribe, &denial.declaration.unwrap().value);
            let cured = Grant { subscribe, ..grant };
            prop_assert!(may_subscribe(&cured, &asked));
        }
    }

    #[test]
    fn any_client_id_is_judged(text in any::<String>(), close in "[ab_.0-9/-]{0,12}", component in component(), pid in 1..20_u32) {
        for text in [text, close] {
            if let Judgement::Fits = client_id::judge(&text, &component, pid, "a_b") {
                let rest = text.strip_prefix(component.id()).unwrap().strip_suffix(&format!("_{pid}")).unwrap();
                match component {
                    Component::Job(_) => prop_assert!(rest.len() > 1 && rest.starts_with('_') && rest.matches('_').count() == 1 && !rest.contains(['/', '\\'])),
                    Component::Plugin(_) => prop_assert!(rest.is_empty() || rest == "_a_b"),
                    Component::Administrator(_) | Component::Program(_) => prop_assert!(false, "no process of ours is one"),
                }
            }
            if let Ok(pid) = client_id::claimed_pid(&text) {
                let end = format!("_{pid}");
                prop_assert!((1..=PID_MAX).contains(&pid) && text.ends_with(&end));
            }
        }
    }

    #[test]
    fn the_documented_forms_fit_their_owner_alone(component in component(), other in component(), token in "[A-Za-z0-9-]{1,8}", pid in 1..=PID_MAX) {
        let text = format!("{}_{token}_{pid}", component.id());
        prop_assert_eq!(client_id::judge(&text, &component, pid, &token), Judgement::Fits);
        prop_assert_eq!(client_id::claimed_pid(&text), Ok(pid));
        let fits = |component: &Component, pid| client_id::judge(&text, component, pid, &token) == Judgement::Fits;
        prop_assert!(other.id() == component.id() || !fits(&other, pid));
        prop_assert!(!fits(&component, pid % PID_MAX + 1));
    }
}
