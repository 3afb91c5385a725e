//! Access control on topics: what a component may publish and subscribe, and which declaration would have allowed the rest.

pub mod client_id;
mod filter_set;
mod grant;
pub mod topic;

use alloc::boxed::Box;
use alloc::string::String;

use schemars::JsonSchema;
use serde::Serialize;

use crate::id::{Component, RunId, SpawnId};
use crate::trust::Peer;
use crate::why::Explanation;
pub use filter_set::FilterSet;
pub(crate) use grant::{is_brokers_own, refusal};
use topic::TopicFilter;

/// Who a connection is, as the registry knows it; never as the client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The job or plugin.
    pub component: Component,
    /// The run, where the component is a job.
    pub run: Option<RunId>,
    /// The started process tree.
    pub spawn: SpawnId,
    /// The verified process id of the peer.
    pub pid: u32,
    /// The client id it connected with.
    pub client_id: String,
}

/// A plugin's `Subscription` (seed 003): the topic it is reached on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrimarySubscription {
    /// The topic filter.
    pub topic: TopicFilter,
    /// Maximum QoS, 0 to 2.
    pub qos: u8,
    /// Whether the session starts clean.
    pub clean_session: bool,
}

/// What a connection may do: compiled from the job or plugin JSON, given to the broker at CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Who it is for.
    pub subject: Subject,
    /// Filters whose topics may be published (`allowedPublications`, `metadata.mqttTopics.publish`).
    pub publish: FilterSet,
    /// Filters that may be subscribed (`allowedSubscriptions`, `metadata.mqttTopics.subscribe`).
    pub subscribe: FilterSet,
    /// A plugin's own subscription, always allowed.
    pub primary: Option<PrimarySubscription>,
    /// The user in whose session the process runs; `None` where it runs as the agent itself. What one user's process left is no other's.
    pub user: Option<u32>,
    /// Why the lists above are empty although the component declares topics: the client id has the wrong form.
    pub withheld: Option<Explanation>,
}

/// What was attempted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Opening an MQTT connection.
    Connect,
    /// Publishing to a topic.
    Publish,
    /// Subscribing to a topic filter.
    Subscribe,
    /// Calling the HTTPS API.
    Call,
    /// Sending a log message.
    Log,
    /// Starting a run by an event, a message or a schedule.
    Start,
}

impl Action {
    /// As the API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::Call => "call",
            Self::Log => "log",
            Self::Start => "start",
        }
    }
}

/// The line that would have allowed what was denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Declaration {
    /// File below the agent root.
    pub file: String,
    /// JSON pointer of the array to extend.
    pub pointer: String,
    /// The value to add.
    pub value: String,
}

/// A refusal on record: who, what, why, and what would have allowed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Denial {
    /// What was attempted.
    pub action: Action,
    /// The topic, filter, client id, method and path, or socket.
    pub target: String,
    /// The component, where one is known.
    pub component: Option<String>,
    /// The client id, where one was given.
    pub client_id: Option<String>,
    /// The process at the other end.
    #[serde(flatten)]
    pub peer: Peer,
    /// Why, and how to fix it.
    #[serde(flatten)]
    pub explanation: Explanation,
    /// The declaration that would have allowed it, where one would.
    pub declaration: Option<Declaration>,
}

/// The answer of access control.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// Go on.
    Allow,
    /// Do not, and put this on record.
    Deny(Box<Denial>),
}
