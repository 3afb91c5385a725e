//! Topic names and filters against the examples of MQTT 5.0 4.7 and 4.8.2, and against hostile ones.

use alloc::format;
use alloc::string::{String, ToString};
use std::vec::Vec;

use super::{TOPIC_BYTES, TopicFilter, TopicName};

fn name(text: &str) -> TopicName {
    TopicName::parse(text).unwrap()
}

fn filter(text: &str) -> TopicFilter {
    TopicFilter::parse(text).unwrap()
}

#[test]
fn names_follow_the_rules() {
    let check = |text: &str, expect: bool| assert_eq!(TopicName::parse(text).is_ok(), expect, "{text:?}");
    for good in ["a", "/", "a/", "/a", "a//b", "KeeperLogger", "ACCOUNTS/ä ö", "$SYS/x", &"x".repeat(TOPIC_BYTES)] {
        check(good, true);
    }
    for bad in ["", "a/+", "#", "a\0", "a\n", "a\u{7f}", "a\u{fffe}", "a\u{fdd0}", &"x".repeat(TOPIC_BYTES + 1)] {
        check(bad, false);
    }
}

#[test]
fn filters_follow_the_rules() {
    let check = |text: &str, expect: bool| assert_eq!(TopicFilter::parse(text).is_ok(), expect, "{text:?}");
    for good in [
        "#",
        "+",
        "a/#",
        "+/+",
        "/+",
        "a/+/b",
        "+/#",
        "$SYS/#",
        "$share/g/a/+",
        "$share/g//x",
        "$shared/x",
        "$share/g/#",
    ] {
        check(good, true);
    }
    for bad in
        ["", "a#", "a/#/b", "#/", "+a", "a+", "a/b+/c", "\0", "$share", "$share/", "$share/g", "$share/g/", "$share//x"]
    {
        check(bad, false);
    }
    for bad in ["$share/g+/x", "$share/#/x", "$share/g/a#"] {
        check(bad, false);
    }
}

#[test]
fn shared_filters_are_split() {
    let shared = filter("$share/group/a/+");
    assert_eq!((shared.share_name(), shared.topics()), (Some("group"), "a/+"));
    assert_eq!(shared.as_str(), "$share/group/a/+");
    assert_eq!(filter("a/+").share_name(), None);
}

#[test]
fn errors_name_the_rule_without_repeating_control_characters() {
    let message = TopicFilter::parse("a/b\u{1b}[2J+").unwrap_err().message;
    assert!(message.contains("U+001B") && !message.contains('\u{1b}'), "{message}");
    assert!(TopicFilter::parse(&format!("{}#", "y".repeat(500))).unwrap_err().message.len() < 400);
}

#[test]
fn matching() {
    let check = |text: &str, topic: &str, expect: bool| {
        assert_eq!(filter(text).matches(&name(topic)), expect, "{text} on {topic}");
    };
    for (text, topic) in [
        ("sport/tennis/player1/#", "sport/tennis/player1"),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"),
        ("sport/#", "sport"),
        ("#", "a/b"),
        ("+", "finance"),
        ("+/+", "/finance"),
        ("/+", "/finance"),
        ("sport/+", "sport/"),
        ("$SYS/#", "$SYS/a"),
        ("$SYS/monitor/+", "$SYS/monitor/Clients"),
        ("$share/g/a/+", "a/b"),
        ("+/#", "a"),
    ] {
        check(text, topic, true);
    }
    for (text, topic) in [
        ("sport/tennis/+", "sport/tennis/player1/ranking"),
        ("sport/+", "sport"),
        ("+", "/finance"),
        ("#", "$SYS/a"),
        ("+/monitor/Clients", "$SYS/monitor/Clients"),
        ("+/x", "$SYS/x"),
        ("KeeperLogger", "KeeperLogger/x"),
        ("KeeperLogger", "keeperlogger"),
        ("KeeperLogger", "KeeperLogger/"),
        ("KeeperLogger", "/KeeperLogger"),
        ("a/b/#", "a"),
    ] {
        check(text, topic, false);
    }
}

#[test]
fn containment() {
    let check = |declared: &str, asked: &str, expect: bool| {
        assert_eq!(filter(declared).contains(&filter(asked)), expect, "{declared} contains {asked}");
    };
    for (declared, asked) in [
        ("a", "a"),
        ("a/+", "a/b"),
        ("a/+", "a/+"),
        ("a/#", "a"),
        ("a/#", "a/#"),
        ("a/#", "a/+/c"),
        ("a/#", "a/b/#"),
        ("#", "#"),
        ("#", "+/x"),
        ("+/#", "#"),
        ("#", "+/#"),
        ("/+/#", "/#"),
        ("+/+/#", "/#"),
        ("$SYS/#", "$SYS/x"),
        ("a/+", "$share/g/a/b"),
        ("$share/g/a/+", "a/b"),
    ] {
        check(declared, asked, true);
    }
    for (declared, asked) in [
        ("a", "b"),
        ("a", "a/#"),
        ("a", "+"),
        ("a/b", "a/+"),
        ("a/+", "a/#"),
        ("a/+/#", "a/#"),
        ("+/+", "#"),
        ("+/+/#", "#"),
        ("#", "$SYS/#"),
        ("+/x", "$SYS/x"),
        ("a/+", "#"),
        ("KeeperLogger", "$share/g/#"),
        ("a/b/c", "a/b"),
    ] {
        check(declared, asked, false);
    }
}

/// The definition itself, over all topics and filters of a small alphabet: containment means that no counterexample exists.
#[test]
fn containment_agrees_with_matching() {
    let expand = |alphabet: &[&str]| -> Vec<String> {
        let mut all: Vec<String> = alphabet.iter().map(ToString::to_string).collect();
        let mut last = all.clone();
        for _ in 0..2 {
            last = last.iter().flat_map(|head| alphabet.iter().map(move |tail| format!("{head}/{tail}"))).collect();
            all.extend(last.iter().cloned());
        }
        all
    };
    // "z" occurs in no filter, so it stands for every level that a filter does not name.
    let names: Vec<TopicName> =
        expand(&["a", "z", "$s", ""]).iter().map(|text| TopicName::parse(text)).filter_map(Result::ok).collect();
    let longer: Vec<TopicName> = names.iter().map(|topic| name(&format!("{topic}/z"))).collect();
    let filters: Vec<TopicFilter> =
        expand(&["a", "+", "#", "$s"]).iter().filter_map(|text| TopicFilter::parse(text).ok()).collect();
    for declared in &filters {
        for asked in &filters {
            let counterexample =
                names.iter().chain(&longer).find(|topic| asked.matches(topic) && !declared.matches(topic));
            assert_eq!(
                declared.contains(asked),
                counterexample.is_none(),
                "{declared} contains {asked}: {counterexample:?}"
            );
        }
    }
}

#[test]
fn a_topic_of_ten_thousand_levels_is_handled() {
    let deep = name(&"a/".repeat(TOPIC_BYTES / 2));
    assert!(filter("a/#").matches(&deep));
    assert!(!filter(&"+/".repeat(TOPIC_BYTES / 2 - 1)).matches(&deep));
}
