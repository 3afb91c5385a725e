//! A set matches what one of its filters matches.

use std::format;
use std::vec;

use super::*;

fn set(filters: &[&str]) -> FilterSet {
    filters.iter().map(|text| TopicFilter::parse(text).unwrap()).collect::<Vec<_>>().into()
}

#[test]
fn one_filter_of_many_is_enough() {
    let declared = set(&["KeeperLogger", "a/+/c", "deep/#", "$share/g/shared/+", "+/last"]);
    for (topic, expect) in [
        ("KeeperLogger", true),
        ("KeeperLogger/x", false),
        ("a/b/c", true),
        ("a//c", true),
        ("a/b", false),
        ("deep", true),
        ("deep/x/y", true),
        ("shared/x", true),
        ("any/last", true),
        ("$any/last", false),
        ("", false),
    ] {
        let topic = TopicName::parse(topic);
        assert_eq!(topic.as_ref().is_ok_and(|topic| declared.matches(topic)), expect, "{topic:?}");
    }
    assert!(!set(&[]).matches(&TopicName::parse("a").unwrap()));
    assert!(!set(&["#", "+"]).matches(&TopicName::parse("$SYS").unwrap()));
}

#[test]
fn a_filter_of_thousands_of_levels_is_matched_and_dropped() {
    let deep = vec!["x"; 20_000].join("/");
    let declared = set(&[&format!("{deep}/#"), "a"]);
    assert!(declared.matches(&TopicName::parse(&format!("{deep}/y")).unwrap()));
    assert!(!declared.matches(&TopicName::parse("x/x").unwrap()));
    assert!(set(&["+/#"]).matches(&TopicName::parse(&deep).unwrap()));
}
