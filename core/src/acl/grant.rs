//! The decision on each publish and subscribe: a grant against a topic, with the declaration that would have allowed it.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};

use super::topic::{TopicFilter, TopicName};
use super::{Action, Decision, Declaration, Denial, Grant, Subject};
use crate::id::Component;
use crate::trust::Peer;
use crate::why::Explanation;

#[cfg(test)]
mod tests;

impl Grant {
    /// Whether this client may publish to `topic` (seed 000).
    pub fn decide_publish(&self, topic: &TopicName) -> Decision {
        if self.may_publish(topic) { Decision::Allow } else { Decision::Deny(Box::new(self.publish_denial(topic))) }
    }

    /// The same for one who does not always need the reason, which costs more than the answer.
    pub fn may_publish(&self, topic: &TopicName) -> bool {
        !is_brokers_own(topic.as_str()) && self.publish.matches(topic)
    }

    /// Why this client may not publish to `topic`, and what would have allowed it.
    pub fn publish_denial(&self, topic: &TopicName) -> Denial {
        self.denial(Action::Publish, topic.as_str())
    }

    /// Whether this client may subscribe to `filter`: every topic it could match is inside one declared filter (contract section 5).
    pub fn decide_subscribe(&self, filter: &TopicFilter) -> Decision {
        let primary = self.primary.iter().map(|primary| &primary.topic);
        let mut declared = self.subscribe.iter().chain(primary);
        // As a member of a group an administrator would take messages away from the others instead of looking on.
        let open = match self.subject.component {
            Component::Administrator(_) => filter.share_name().is_none(),
            Component::Job(_) | Component::Plugin(_) | Component::Program(_) => !is_brokers_own(filter.topics()),
        };
        if open && declared.any(|declared| declared.contains(filter)) {
            return Decision::Allow;
        }
        Decision::Deny(Box::new(self.denial(Action::Subscribe, filter.topics())))
    }

    /// Whether a message on `topic` may still be delivered to this client; it guards what waits in its queue.
    pub fn may_receive(&self, topic: &TopicName) -> bool {
        self.subscribe.matches(topic) || self.primary.as_ref().is_some_and(|primary| primary.topic.matches(topic))
    }

    fn denial(&self, action: Action, target: &str) -> Denial {
        let subject = &self.subject;
        let (explanation, declaration) = refusal(&subject.component, self.withheld.as_ref(), action, target);
        subject.denial(action, target, explanation, declaration)
    }
}

impl Subject {
    /// A refusal of something that this client attempted.
    pub fn denial(
        &self,
        action: Action,
        target: &str,
        explanation: Explanation,
        declaration: Option<Declaration>,
    ) -> Denial {
        Denial {
            action,
            target: target.to_string(),
            component: Some(self.component.to_string()),
            client_id: Some(self.client_id.clone()),
            peer: Peer::process(Some(self.pid)),
            explanation,
            declaration,
        }
    }
}

/// Why a component may not, and the declaration that would have allowed it, where one would.
pub(crate) fn refusal(
    component: &Component,
    withheld: Option<&Explanation>,
    action: Action,
    target: &str,
) -> (Explanation, Option<Declaration>) {
    let verb = if action == Action::Publish { "publish to" } else { "subscribe to" };
    let what = format!("{} may not {verb} '{target}'.", component);
    if let Component::Administrator(name) = component {
        let why = format!(
            "The admin certificate '{name}' is for looking on: it publishes nothing and shares no subscription."
        );
        let fix = "Subscribe to # or $SYS/#, or to less. To publish, let a job do it (publish-mqtt).";
        (Explanation::new(what, why, fix), None)
    } else if let (Component::Program(name), false) = (component, is_brokers_own(target)) {
        let why = format!("'{name}' is trusted by its signature alone: it publishes to KeeperLogger, and that is all.");
        let fix =
            "Let the agent start it, as a task of a job (Jobs/) or as a plugin (Plugins/), with the topics it needs.";
        (Explanation::new(what, why, fix), None)
    } else if is_brokers_own(target) {
        let why = String::from("Topics below $SYS belong to the broker.");
        (
            Explanation::new(
                what,
                why,
                "Use another topic; no declaration opens these. An administrator reads them: castellan topics watch.",
            ),
            None,
        )
    } else if let Some(withheld) = withheld {
        (Explanation::new(what, format!("{} {}", withheld.what, withheld.why), withheld.fix.clone()), None)
    } else {
        let declaration = declaration(component, action, target);
        let list = declaration.pointer.trim_end_matches("/-");
        let why = format!("No entry of {list} in {} covers it.", declaration.file);
        let fix = format!("Add \"{target}\" to {list} in {}.", declaration.file);
        (Explanation::new(what, why, fix), Some(declaration))
    }
}

/// Where seed 000 puts the lists of a job and of a plugin.
fn declaration(component: &Component, action: Action, target: &str) -> Declaration {
    let publish = action == Action::Publish;
    let pointer = match (component, publish) {
        (Component::Job(_), true) => "/mqttTopics/allowedPublications/-",
        (Component::Job(_), false) => "/mqttTopics/allowedSubscriptions/-",
        (Component::Plugin(_), true) => "/metadata/mqttTopics/publish/-",
        (Component::Administrator(_) | Component::Program(_), _) => "",
        (Component::Plugin(_), false) => "/metadata/mqttTopics/subscribe/-",
    };
    Declaration { file: component.file(), pointer: pointer.to_string(), value: target.to_string() }
}

/// `$SYS` is for administrators' tools alone (contract section 5).
pub(crate) fn is_brokers_own(topics: &str) -> bool {
    topics == "$SYS" || topics.starts_with("$SYS/")
}
