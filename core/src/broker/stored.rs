//! What of the broker survives a stop or a crash of the agent, as the store keeps it: plain values, instants on the wall clock.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::message::{Properties, QoS};
use crate::time::WallTime;

/// All that a start finds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stored {
    /// The retained messages.
    pub retained: Vec<StoredMessage>,
    /// The sessions, by their numbers.
    pub sessions: Vec<(u64, StoredSession)>,
    /// What waits for them: session, place, message. Smaller places were queued first.
    pub waiting: Vec<(u64, u64, StoredDelivery)>,
}

impl Stored {
    /// Keeps a batch: what every store has to do with it.
    pub fn keep(&mut self, batch: &Batch) {
        if batch.replaces_all {
            *self = Self::default();
        }
        for change in &batch.changes {
            match change {
                Change::Retained { topic, message } => {
                    self.retained.retain(|kept| kept.topic != *topic);
                    self.retained.extend(message.clone());
                }
                Change::Session { session, state } => {
                    self.sessions.retain(|(kept, _)| kept != session);
                    match state {
                        Some(state) => self.sessions.push((*session, state.clone())),
                        None => self.waiting.retain(|(of, ..)| of != session),
                    }
                }
                Change::Waiting { session, place, delivery } => {
                    self.waiting.retain(|(of, kept, _)| (of, kept) != (session, place));
                    self.waiting.extend(delivery.clone().map(|delivery| (*session, *place, delivery)));
                }
            }
        }
    }
}

/// Changes that are kept all together or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Counts up; `Saved` names it.
    pub number: u64,
    /// Whether it is all there is to keep, so that whatever was stored before goes: after a batch that could not be written.
    pub replaces_all: bool,
    /// The changes, no two of the same thing.
    pub changes: Vec<Change>,
}

/// One change. Taking away what is not there is no error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The retained message of a topic is this, or none.
    Retained {
        /// The topic name.
        topic: String,
        /// The message.
        message: Option<StoredMessage>,
    },
    /// A session is this, or gone with all that waits for it.
    Session {
        /// Its number.
        session: u64,
        /// The session.
        state: Option<StoredSession>,
    },
    /// A message waits for a session, or does not any more.
    Waiting {
        /// The number of the session.
        session: u64,
        /// Its place among all messages.
        place: u64,
        /// The message.
        delivery: Option<StoredDelivery>,
    },
}

/// A message. The payload is not part of its serialized form: stores have a better place for bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredMessage {
    /// The topic name.
    pub topic: String,
    /// The payload.
    #[serde(skip)]
    pub payload: Arc<[u8]>,
    /// As published.
    pub qos: QoS,
    /// As published.
    pub retain: bool,
    /// When it stops being worth delivering, milliseconds since 1970.
    pub expires_at: Option<WallTime>,
    /// What was left until then when it was stored, ms: a clock that is set back makes nothing live longer.
    pub expires_in_millis: Option<u64>,
    /// MQTT 5.0 properties.
    pub properties: Option<Box<Properties>>,
}

/// A message on its way to one session (MQTT 5.0 4.1). Packet identifiers are not kept: no process that knew them is alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredDelivery {
    /// The message.
    pub message: StoredMessage,
    /// As it is delivered.
    pub qos: QoS,
    /// The RETAIN flag as the client must see it.
    pub retain: bool,
    /// Subscription identifiers.
    pub identifiers: Vec<u32>,
    /// The shared subscription that it is for.
    pub share: Option<String>,
}

/// A plugin's session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredSession {
    /// The plugin's id.
    pub plugin: String,
    /// The client id of its last process.
    pub client_id: String,
    /// The user that this ran as; `None` for the agent itself.
    #[serde(default)]
    pub user: Option<u32>,
    /// How long it outlives its connection, seconds.
    pub expiry_seconds: u32,
    /// When it ends unless its client comes back, milliseconds since 1970; `None` while it is connected.
    pub ends_at: Option<WallTime>,
    /// Its subscriptions.
    pub subscriptions: Vec<StoredSubscription>,
}

/// A subscription (MQTT 5.0 3.8.3.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredSubscription {
    /// The filter, with `$share/…/` where it is shared.
    pub filter: String,
    /// Maximum QoS.
    pub qos: QoS,
    /// Not its own messages.
    pub no_local: bool,
    /// Keep the RETAIN flag of forwarded messages.
    pub retain_as_published: bool,
    /// Subscription identifier.
    pub identifier: Option<u32>,
}
