//! Retained messages: the last one of each topic, bounded in number and bytes (MQTT 5.0 3.3.1.3).

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::ops::Bound;

use super::message::Message;
use crate::acl::topic::{TopicFilter, TopicName};
use crate::time::Monotonic;

/// Topics that keep a message: far above what an endpoint's components use, far below what hurts.
pub(super) const RETAINED_MESSAGES: usize = 4096;
/// What they may cost in all, bytes, for the same reason.
pub(super) const RETAINED_BYTES: usize = 16 << 20;

/// The bound was reached; the message was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// The store. It lives as long as the broker's thread.
#[derive(Debug, Default)]
pub(super) struct Retained {
    messages: BTreeMap<TopicName, Arc<Message>>,
    bytes: usize,
}

impl Retained {
    /// Keeps the message in place of its topic's former one; an empty payload only removes that. `changed` hears of every topic that
    /// has another message now, or none any more.
    pub(super) fn keep(
        &mut self,
        now: Monotonic,
        message: &Arc<Message>,
        mut changed: impl FnMut(&TopicName),
    ) -> Result<(), Full> {
        if self.remove(&message.topic) || !message.payload.is_empty() {
            changed(&message.topic);
        }
        if message.payload.is_empty() {
            return Ok(());
        }
        let bytes = self.bytes.saturating_add(message.cost());
        if self.messages.len() >= RETAINED_MESSAGES || bytes > RETAINED_BYTES {
            self.drop_expired(now, changed);
        }
        let bytes = self.bytes.saturating_add(message.cost());
        if self.messages.len() >= RETAINED_MESSAGES || bytes > RETAINED_BYTES {
            return Err(Full);
        }
        self.bytes = bytes;
        self.messages.insert(message.topic.clone(), Arc::clone(message));
        Ok(())
    }

    /// The first message after this topic, in the order of topics, that a subscription to `filter` gets.
    pub(super) fn next(
        &self,
        now: Monotonic,
        filter: &TopicFilter,
        after: Option<&TopicName>,
    ) -> Option<&Arc<Message>> {
        let matches = |message: &&Arc<Message>| filter.matches(&message.topic) && !message.is_expired(now);
        if !filter.has_wildcard() {
            let exact = TopicName::parse(filter.topics()).ok().filter(|_| after.is_none())?;
            return self.messages.get(&exact).filter(matches);
        }
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.messages.range::<TopicName, _>((from, Bound::Unbounded)).map(|(_, message)| message).find(matches)
    }

    /// The message of a topic.
    pub(super) fn get(&self, topic: &TopicName) -> Option<&Arc<Message>> {
        self.messages.get(topic)
    }

    /// All of them, in the order of topics.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Message>> {
        self.messages.values()
    }

    fn remove(&mut self, topic: &TopicName) -> bool {
        let former = self.messages.remove(topic);
        self.bytes = self.bytes.saturating_sub(former.as_ref().map_or(0, |former| former.cost()));
        former.is_some()
    }

    fn drop_expired(&mut self, now: Monotonic, mut changed: impl FnMut(&TopicName)) {
        self.messages.retain(|topic, message| {
            let is_kept = !message.is_expired(now);
            if !is_kept {
                changed(topic);
            }
            is_kept
        });
        self.bytes = self.messages.values().map(|message| message.cost()).fold(0, usize::saturating_add);
    }
}
