//! Who gets a message: a trie of topic filters, level by level, with shared groups (MQTT 5.0 4.7, 4.8.2).

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::message::QoS;
use crate::acl::topic::{TopicFilter, TopicName};
use crate::id::ConnectionId;

/// Levels of a filter: the trie is walked recursively and kept in memory, so its depth is bounded; no real topic comes near.
pub(super) const FILTER_LEVELS: usize = 128;

/// What a subscription asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) qos: QoS,
    pub(super) no_local: bool,
    pub(super) retain_as_published: bool,
    pub(super) identifier: Option<u32>,
}

/// What one client gets for one message, all its matching subscriptions taken together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Target {
    pub(super) qos: QoS,
    pub(super) retain_as_published: bool,
    pub(super) identifiers: Vec<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Subscriber {
    share: Option<String>,
    connection: ConnectionId,
}

#[derive(Debug, Default)]
struct Node {
    /// `+` and `#` stand here as themselves: no topic name has them.
    children: BTreeMap<String, Self>,
    entries: BTreeMap<Subscriber, Options>,
}

/// All open subscriptions.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    root: Node,
    /// Counts the messages that went to shared groups, so that the members take turns.
    turn: usize,
}

impl Subscriptions {
    /// Adds or replaces; whether it is new. The caller has checked [`FILTER_LEVELS`].
    pub(super) fn insert(&mut self, filter: &TopicFilter, connection: ConnectionId, options: Options) -> bool {
        let mut node = &mut self.root;
        for level in filter.levels() {
            node = node.children.entry(level.to_owned()).or_default();
        }
        node.entries.insert(subscriber(filter, connection), options).is_none()
    }

    /// Removes; whether there was one.
    pub(super) fn remove(&mut self, filter: &TopicFilter, connection: ConnectionId) -> bool {
        let levels: Vec<&str> = filter.levels().collect();
        self.root.remove(&levels, &subscriber(filter, connection))
    }

    /// Everybody who gets a message on `topic` from `publisher`, once each.
    pub(super) fn matching(
        &mut self,
        topic: &TopicName,
        publisher: Option<ConnectionId>,
    ) -> BTreeMap<ConnectionId, Target> {
        let levels: Vec<&str> = topic.levels().collect();
        let mut nodes = Vec::new();
        self.root.collect(&levels, !topic.is_system(), &mut nodes);
        let mut targets: BTreeMap<ConnectionId, Target> = BTreeMap::new();
        for node in nodes {
            let mut groups: BTreeMap<&str, Vec<(ConnectionId, &Options)>> = BTreeMap::new();
            for (subscriber, options) in &node.entries {
                match &subscriber.share {
                    Some(share) => groups.entry(share).or_default().push((subscriber.connection, options)),
                    None if options.no_local && publisher == Some(subscriber.connection) => {}
                    None => targets.entry(subscriber.connection).or_default().join(options),
                }
            }
            for members in groups.values() {
                self.turn = self.turn.wrapping_add(1);
                let chosen = self.turn.checked_rem(members.len()).and_then(|index| members.get(index));
                if let Some((connection, options)) = chosen {
                    targets.entry(*connection).or_default().join(options);
                }
            }
        }
        targets
    }
}

impl Target {
    fn join(&mut self, options: &Options) {
        self.qos = self.qos.max(options.qos);
        self.retain_as_published |= options.retain_as_published;
        self.identifiers.extend(options.identifier);
    }
}

impl Node {
    /// The nodes whose filters match; `wild` says whether a wildcard may stand at this level (MQTT 5.0 4.7.2).
    fn collect<'a>(&'a self, levels: &[&str], wild: bool, found: &mut Vec<&'a Self>) {
        if wild {
            found.extend(self.children.get("#"));
        }
        let Some((level, rest)) = levels.split_first() else {
            found.push(self);
            return;
        };
        if let Some(child) = self.children.get(*level) {
            child.collect(rest, true, found);
        }
        if let Some(child) = self.children.get("+").filter(|_| wild) {
            child.collect(rest, true, found);
        }
    }

    fn remove(&mut self, levels: &[&str], subscriber: &Subscriber) -> bool {
        let Some((level, rest)) = levels.split_first() else {
            return self.entries.remove(subscriber).is_some();
        };
        let Some(child) = self.children.get_mut(*level) else {
            return false;
        };
        let removed = child.remove(rest, subscriber);
        if child.entries.is_empty() && child.children.is_empty() {
            self.children.remove(*level);
        }
        removed
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.entries.is_empty()
    }
}

#[cfg(test)]
impl Subscriptions {
    /// Whether no node is left.
    pub(super) fn is_empty(&self) -> bool {
        self.root.is_empty()
    }
}

fn subscriber(filter: &TopicFilter, connection: ConnectionId) -> Subscriber {
    Subscriber { share: filter.share_name().map(ToOwned::to_owned), connection }
}
