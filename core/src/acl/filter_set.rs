//! Declared topic filters, found by the levels of a topic and not one after the other: a publish costs by the depth of its topic,
//! whatever was declared.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;

use super::topic::{TopicFilter, TopicName};
use crate::limits::FILTER_LEVELS;

#[cfg(test)]
mod tests;

/// A list of filters, shared by all that have it; in the order they were declared.
#[derive(Clone, Default)]
pub struct FilterSet(Arc<Declared>);

#[derive(Default)]
struct Declared {
    filters: Vec<TopicFilter>,
    root: Node,
    /// Places of the filters that are too deep for the tree; they are held against a topic one by one.
    deep: Vec<usize>,
}

#[derive(Default)]
struct Node {
    /// `+` and `#` stand here as themselves: no topic name has them.
    children: BTreeMap<String, Self>,
    /// A filter ends here.
    ends: bool,
}

impl FilterSet {
    /// Whether one of the filters matches this topic (MQTT 5.0 4.7).
    pub fn matches(&self, topic: &TopicName) -> bool {
        let Declared { filters, root, deep } = &*self.0;
        root.matches(topic.levels(), !topic.is_system())
            || deep.iter().filter_map(|place| filters.get(*place)).any(|filter| filter.matches(topic))
    }
}

impl Node {
    /// `wild` says whether a wildcard may stand at this level (MQTT 5.0 4.7.2).
    fn matches<'a>(&self, mut levels: impl Iterator<Item = &'a str> + Clone, wild: bool) -> bool {
        if wild && self.children.contains_key("#") {
            return true;
        }
        let Some(level) = levels.next() else {
            return self.ends;
        };
        self.children.get(level).is_some_and(|child| child.matches(levels.clone(), true))
            || (wild && self.children.get("+").is_some_and(|child| child.matches(levels, true)))
    }
}

impl From<Vec<TopicFilter>> for FilterSet {
    fn from(filters: Vec<TopicFilter>) -> Self {
        let (mut root, mut deep) = (Node::default(), Vec::new());
        for (place, filter) in filters.iter().enumerate() {
            if filter.levels().count() > FILTER_LEVELS {
                deep.push(place);
                continue;
            }
            let end = filter.levels().fold(&mut root, |node, level| node.children.entry(level.to_owned()).or_default());
            end.ends = true;
        }
        Self(Arc::new(Declared { filters, root, deep }))
    }
}

impl Deref for FilterSet {
    type Target = [TopicFilter];

    fn deref(&self) -> &[TopicFilter] {
        &self.0.filters
    }
}

impl PartialEq for FilterSet {
    fn eq(&self, other: &Self) -> bool {
        self.0.filters == other.0.filters
    }
}

impl Eq for FilterSet {}

impl fmt::Debug for FilterSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.filters.fmt(formatter)
    }
}
