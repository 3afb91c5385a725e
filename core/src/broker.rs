//! The broker as a machine: who is connected, who gets which message, who is refused. It lives beside the network shell
//! and asks nobody on the hot path: each client's `Grant` came with its CONNECT.
//!
//! States of a connection
//! ```text
//!                    ConnectReceived            AnswerConnect(Accept)
//!   (unknown) ------------------------> held -----------------------> connected ---- Revoke ----> revoked
//!       |                                |                               |   ^                       |
//!       | full or stopping               | Refuse, deadline, Stop        |   | Regrant               | 250 ms
//!       v                                v                               v   |                       v
//!    closing <----------------------- closing <-- taken over, Stop, invalid topic ------------- closing
//!       |  ConnectionLost                                                |
//!       v                                                                | ConnectionLost
//!     gone <-------------------------------------------------------------+
//! ```
//! | event | held | connected, revoked | closing |
//! | --- | --- | --- | --- |
//! | `PublishReceived` | anomaly, 0x87 | grant decides; fan-out, retained, watched topics | 0x87 |
//! | `SubscribeReceived` | anomaly, 0x87 | grant decides each filter | 0x87 |
//! | `DisconnectReceived` | anomaly | the will goes, unless it is asked to stay | nothing |
//! | `ConnectionLost` | forgotten; a late answer is an anomaly | will, subscriptions end, `Disconnected` | forgotten |
//! | `Delivered` | anomaly | one more message goes out | nothing |
//!
//! Invariants
//! - A message reaches a client only through a subscription that its grant allowed when it was made, and still allowed at
//!   the last `Regrant`.
//! - Every event with an answer gets exactly one: PUBLISH, SUBSCRIBE and UNSUBSCRIBE in the same `handle`, CONNECT within
//!   [`CONNECT_VERDICT_MILLIS`].
//! - `Connected` and `Disconnected` come in pairs. `Stopped` comes once, after the last connection is gone or
//!   [`STOP_MILLIS`] are over; nothing follows it.
//! - A client id has one connection. Only the same process takes it over.
//! - No queue grows beyond its bound; what is dropped is counted and reported.
//!
//! What it deliberately does not do: keep sessions beyond their connection (session present is always false, the session
//! expiry announced is 0, a will delay is over at once); decide who a client is (the agent does, from the registry);
//! packet identifiers, acknowledgements and keep-alive (the shell's protocol library does).

pub mod effect;
pub mod event;
pub mod message;

mod closing;
mod connecting;
mod denials;
mod publishing;
mod retained;
mod session;
mod subscribing;
mod subscriptions;
#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;

use connecting::Held;
pub use effect::{BrokerEffect, BrokerEffects};
pub use event::BrokerEvent;
use retained::Retained;
use session::Session;
use subscriptions::Subscriptions;

use crate::effect::BrokerOrder;
use crate::id::ConnectionId;
use crate::time::{Deadline, Monotonic, Now};

/// How long a CONNECT waits for the agent, ms: longer than any honest decision takes, shorter than clients' own patience.
pub const CONNECT_VERDICT_MILLIS: u64 = 3000;
/// How long a revoked process's connections stay open for last messages, ms.
pub const REVOKE_GRACE_MILLIS: u64 = 250;
/// How long a stop waits for connections to end, ms; the agent has 10 s for everything.
pub const STOP_MILLIS: u64 = 2000;
/// CONNECTs that wait for the agent at a time; one more is told to come again.
pub const HELD_CONNECTS: usize = 64;
/// Connected clients: the processes of the registry never come near, and each has a queue.
pub const CONNECTIONS: usize = 2048;
/// Open subscriptions of one client.
pub const SUBSCRIPTIONS_PER_CLIENT: usize = 256;
/// Deliveries that the shell holds for one client; what waits beyond that waits here, where it can be dropped in order.
pub const DELIVERY_WINDOW: usize = 64;
/// Topics whose messages are also handed to the agent (contract section 5).
pub const WATCHED_TOPICS: [&str; 3] = ["KeeperLogger", "EventMessages", "JobService"];

/// What an administrator can set (`MqttBrokerSettings`, contract section 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokerSettings {
    /// Bytes of the largest packet a client may send; the shell enforces it.
    pub max_packet_bytes: u32,
    /// Messages that wait for one client.
    pub max_queued_messages: usize,
    /// Whether a denied publish is acknowledged with 0x87 (`DenialReason: Visible`) instead of as usual.
    pub visible_denials: bool,
}

impl Default for BrokerSettings {
    fn default() -> Self {
        Self { max_packet_bytes: 1 << 20, max_queued_messages: 1000, visible_denials: false }
    }
}

/// The broker.
#[derive(Debug)]
pub struct Broker {
    settings: BrokerSettings,
    held: BTreeMap<ConnectionId, Held>,
    sessions: BTreeMap<ConnectionId, Session>,
    /// Refused or closed by us; the shell has not reported their end.
    closing: BTreeSet<ConnectionId>,
    client_ids: BTreeMap<String, ConnectionId>,
    subscriptions: Subscriptions,
    retained: Retained,
    stop: Stop,
}

/// How far a stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Running,
    /// Waits for connections to end until then.
    Closing(Monotonic),
    Stopped,
}

impl Broker {
    /// A broker without connections.
    pub fn new(settings: BrokerSettings) -> Self {
        Self {
            settings,
            held: BTreeMap::new(),
            sessions: BTreeMap::new(),
            closing: BTreeSet::new(),
            client_ids: BTreeMap::new(),
            subscriptions: Subscriptions::default(),
            retained: Retained::default(),
            stop: Stop::Running,
        }
    }

    /// Takes one event and appends what must be done.
    pub fn handle(&mut self, now: Now, event: BrokerEvent, effects: &mut BrokerEffects) {
        let now = now.monotonic;
        match event {
            BrokerEvent::ConnectReceived { connection, connect, peer } => {
                self.on_connect(now, connection, connect, *peer, effects);
            }
            BrokerEvent::PublishReceived { connection, publication } => {
                self.on_publish(now, connection, publication, effects);
            }
            BrokerEvent::SubscribeReceived { connection, requests, identifier } => {
                self.on_subscribe(now, connection, requests, identifier, effects);
            }
            BrokerEvent::UnsubscribeReceived { connection, filters } => {
                self.on_unsubscribe(connection, filters, effects);
            }
            BrokerEvent::DisconnectReceived { connection, keep_will } => {
                self.on_disconnect(connection, keep_will, effects);
            }
            BrokerEvent::ConnectionLost { connection, reason } => self.on_lost(now, connection, reason, effects),
            BrokerEvent::Delivered { connection } => self.on_delivered(now, connection, effects),
            BrokerEvent::Ordered(order) => self.on_order(now, order, effects),
            BrokerEvent::DeadlineReached => self.on_deadline(now, effects),
        }
    }

    fn on_order(&mut self, now: Monotonic, order: BrokerOrder, effects: &mut BrokerEffects) {
        match order {
            BrokerOrder::AnswerConnect { connection, verdict } => self.on_verdict(now, connection, verdict, effects),
            BrokerOrder::Publish { topic, payload, qos, retain } => {
                self.on_own_publish(now, &topic, payload, qos, retain, effects);
            }
            BrokerOrder::Regrant { component, publish, subscribe, primary } => {
                self.on_regrant(now, &component, &publish, &subscribe, primary.as_ref(), effects);
            }
            BrokerOrder::Revoke { spawn } => self.on_revoke(now, spawn),
            BrokerOrder::Stop => self.on_stop(now, effects),
        }
    }

    fn on_deadline(&mut self, now: Monotonic, effects: &mut BrokerEffects) {
        self.refuse_overdue(now, effects);
        self.close_revoked(now, effects);
        self.sum_up_denials(now, effects);
        if matches!(self.stop, Stop::Closing(until) if until <= now) {
            let left = core::mem::take(&mut self.closing).len();
            effects.push(BrokerEffect::Anomaly(format!(
                "{left} MQTT connections had not ended {STOP_MILLIS} ms after the stop; they are dropped."
            )));
        }
        self.finish_stop(effects);
    }

    /// When to call [`Broker::handle`] with `DeadlineReached`, unless something else happens before.
    pub fn next_deadline(&self) -> Option<Deadline> {
        let held =
            self.held.values().map(|held| Deadline { at: held.deadline, reason: "a CONNECT waits for its verdict" });
        let revoked = self.sessions.values().filter_map(|session| {
            session.revoked_at.map(|at| Deadline { at, reason: "the connection of a revoked process" })
        });
        let denials = self.sessions.values().filter_map(|session| {
            session.denials.due().map(|at| Deadline { at, reason: "the sum of a client's refusals" })
        });
        let stop = match self.stop {
            Stop::Closing(at) => Some(Deadline { at, reason: "the end of the stop" }),
            Stop::Running | Stop::Stopped => None,
        };
        held.chain(revoked).chain(denials).chain(stop).min()
    }
}
