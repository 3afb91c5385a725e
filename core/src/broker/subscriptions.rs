//! Who gets a message: a trie of topic filters, level by level, with shared groups (MQTT 5.0 4.7, 4.8.2).

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::ops::Bound;

use super::message::QoS;
use super::session::SessionId;
use crate::acl::topic::{TopicFilter, TopicName};

/// What a subscription asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) qos: QoS,
    pub(super) no_local: bool,
    pub(super) retain_as_published: bool,
    pub(super) identifier: Option<u32>,
}

/// What one client gets for one message: for all its matching subscriptions together, or for one shared one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Target {
    pub(super) qos: QoS,
    pub(super) retain_as_published: bool,
    pub(super) identifiers: Vec<u32>,
    pub(super) share: Option<Arc<TopicFilter>>,
}

/// The sessions that share one subscription and take turns.
#[derive(Debug)]
struct Group {
    filter: Arc<TopicFilter>,
    members: BTreeMap<SessionId, Options>,
    last: Cell<Option<SessionId>>,
}

#[derive(Debug, Default)]
struct Node {
    /// `+` and `#` stand here as themselves: no topic name has them.
    children: BTreeMap<String, Self>,
    subscribers: BTreeMap<SessionId, Options>,
    groups: BTreeMap<String, Group>,
}

/// All subscriptions.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    root: Node,
}

impl Subscriptions {
    /// Adds or replaces; whether it is new. The caller has checked [`FILTER_LEVELS`](crate::limits::FILTER_LEVELS).
    pub(super) fn insert(&mut self, filter: &TopicFilter, session: SessionId, options: Options) -> bool {
        let root = &mut self.root;
        let node = filter.levels().fold(root, |node, level| node.children.entry(level.to_owned()).or_default());
        let members = match filter.share_name() {
            None => &mut node.subscribers,
            Some(share) => {
                let group =
                    || Group { filter: Arc::new(filter.clone()), members: BTreeMap::new(), last: Cell::default() };
                &mut node.groups.entry(share.to_owned()).or_insert_with(group).members
            }
        };
        members.insert(session, options).is_none()
    }

    /// Removes; whether there was one.
    pub(super) fn remove(&mut self, filter: &TopicFilter, session: SessionId) -> bool {
        let levels: Vec<&str> = filter.levels().collect();
        self.root.remove(&levels, filter.share_name(), session)
    }

    /// Everybody who gets a message on `topic`, each session once and each group once. Groups prefer members that are ready for it.
    pub(super) fn matching(
        &self,
        topic: &TopicName,
        publisher: Option<SessionId>,
        is_ready: impl Fn(SessionId) -> bool,
    ) -> Vec<(SessionId, Target)> {
        let levels: Vec<&str> = topic.levels().collect();
        let mut nodes = Vec::new();
        self.root.collect(&levels, !topic.is_system(), &mut nodes);
        let subscribers = nodes.iter().flat_map(|node| &node.subscribers);
        let wanted = subscribers.filter(|(session, options)| !(options.no_local && publisher == Some(**session)));
        let mut wanted: Vec<_> = wanted.collect();
        if nodes.len() > 1 {
            wanted.sort_by_key(|(session, _)| **session);
        }
        let mut targets: Vec<(SessionId, Target)> = Vec::with_capacity(wanted.len());
        for (session, options) in wanted {
            match targets.last_mut() {
                Some((last, target)) if last == session => target.join(options),
                Some(_) | None => targets.push((*session, Target::new(options, None))),
            }
        }
        for group in nodes.iter().flat_map(|node| node.groups.values()) {
            let chosen = group.next(&is_ready);
            targets.extend(chosen.map(|(session, options)| (session, Target::new(&options, Some(&group.filter)))));
        }
        targets
    }

    /// The member of a shared subscription whose turn it is, for a message that another member can no longer take.
    pub(super) fn next_member(
        &self,
        filter: &TopicFilter,
        is_ready: impl Fn(SessionId) -> bool,
    ) -> Option<(SessionId, Options)> {
        let mut node = &self.root;
        for level in filter.levels() {
            node = node.children.get(level)?;
        }
        node.groups.get(filter.share_name()?)?.next(&is_ready)
    }
}

impl Target {
    fn new(options: &Options, share: Option<&Arc<TopicFilter>>) -> Self {
        let mut target = Self { share: share.cloned(), ..Self::default() };
        target.join(options);
        target
    }

    fn join(&mut self, options: &Options) {
        self.qos = self.qos.max(options.qos);
        self.retain_as_published |= options.retain_as_published;
        self.identifiers.extend(options.identifier);
    }
}

impl Group {
    /// The next member after the last one that is ready, else the next one at all.
    fn next(&self, is_ready: &impl Fn(SessionId) -> bool) -> Option<(SessionId, Options)> {
        let last = self.last.get();
        let after = last.map_or(Bound::Unbounded, Bound::Excluded);
        let in_turn = || self.members.range((after, Bound::Unbounded)).chain(&self.members);
        let (session, options) = in_turn().find(|(session, _)| is_ready(**session)).or_else(|| in_turn().next())?;
        self.last.set(Some(*session));
        Some((*session, *options))
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

    fn remove(&mut self, levels: &[&str], share: Option<&str>, session: SessionId) -> bool {
        let Some((level, rest)) = levels.split_first() else {
            return self.remove_here(share, session);
        };
        let Some(child) = self.children.get_mut(*level) else {
            return false;
        };
        let removed = child.remove(rest, share, session);
        if child.is_empty() {
            self.children.remove(*level);
        }
        removed
    }

    fn remove_here(&mut self, share: Option<&str>, session: SessionId) -> bool {
        let Some(share) = share else {
            return self.subscribers.remove(&session).is_some();
        };
        let Some(group) = self.groups.get_mut(share) else {
            return false;
        };
        let removed = group.members.remove(&session).is_some();
        if group.members.is_empty() {
            self.groups.remove(share);
        }
        removed
    }

    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.subscribers.is_empty() && self.groups.is_empty()
    }
}

#[cfg(test)]
impl Subscriptions {
    /// Whether no node is left.
    pub(super) fn is_empty(&self) -> bool {
        self.root.is_empty()
    }
}
