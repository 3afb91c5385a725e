//! Topic names and filters over a small alphabet, and matching as the specification tells it, level by level.

use castellan_core::acl::topic::{TopicFilter, TopicName};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Levels of topic names. `z` stands in no filter, so that a wildcard always matches more than what is written.
const TOPIC_LEVELS: [&str; 4] = ["", "a", "$s", "z"];
/// Levels of filters but for `#`, which only ends one.
const FILTER_LEVELS: [&str; 4] = ["", "a", "$s", "+"];

/// Whether a filter matches a topic name (MQTT 5.0 4.7), by recursion over both.
pub fn matches(filter: &str, topic: &str) -> bool {
    let filter: Vec<&str> = filter.split('/').collect();
    let topic: Vec<&str> = topic.split('/').collect();
    let wild = filter.first().is_some_and(|level| ["+", "#"].contains(level));
    let system = topic.first().is_some_and(|level| level.starts_with('$'));
    !(wild && system) && levels_match(&filter, &topic)
}

fn levels_match(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        (["#"], _) | ([], []) => true,
        ([wanted, filter @ ..], [level, topic @ ..]) => {
            (*wanted == "+" || wanted == level) && levels_match(filter, topic)
        }
        ([], [_, ..]) | ([_, ..], []) => false,
    }
}

/// Every topic name of at most so many levels.
pub fn all_topics(levels: usize) -> Vec<TopicName> {
    let texts = all(&TOPIC_LEVELS, levels);
    texts.iter().filter_map(|text| TopicName::parse(text).ok()).collect()
}

/// Every filter of at most so many levels.
pub fn all_filters(levels: usize) -> Vec<TopicFilter> {
    let mut texts = all(&FILTER_LEVELS, levels);
    let with_rest = all(&FILTER_LEVELS, levels.saturating_sub(1)).into_iter().map(|text| format!("{text}/#"));
    texts.extend(with_rest);
    texts.push(String::from("#"));
    texts.iter().filter_map(|text| TopicFilter::parse(text).ok()).collect()
}

fn all(alphabet: &[&str], levels: usize) -> Vec<String> {
    let mut texts = Vec::new();
    let mut longest: Vec<String> = alphabet.iter().map(ToString::to_string).collect();
    for _ in 0..levels {
        let longer = longest.iter().flat_map(|text| alphabet.iter().map(move |level| format!("{text}/{level}")));
        let longer: Vec<String> = longer.collect();
        texts.append(&mut longest);
        longest = longer;
    }
    texts
}

/// Some topic name of at most so many levels.
pub fn topic(levels: usize) -> impl Strategy<Value = TopicName> + Clone {
    vec(select(&TOPIC_LEVELS[..]), 1..=levels)
        .prop_filter_map("empty", |levels| TopicName::parse(&levels.join("/")).ok())
}

/// Some filter of at most so many levels.
pub fn filter(levels: usize) -> impl Strategy<Value = TopicFilter> + Clone {
    let plain = vec(select(&FILTER_LEVELS[..]), 1..=levels).prop_map(|levels| levels.join("/"));
    let rest = vec(select(&FILTER_LEVELS[..]), 0..levels).prop_map(|mut levels| {
        levels.push("#");
        levels.join("/")
    });
    prop_oneof![3 => plain, 1 => rest].prop_filter_map("empty", |text| TopicFilter::parse(&text).ok())
}
