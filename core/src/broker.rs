//! The broker as a machine: who is connected, who gets which message, who is refused. It lives beside the network shell
//! and asks nobody on the hot path: each client's `Grant` came with its CONNECT.
//!
//! States of a connection
//! ```text
//!                    ConnectReceived           verdict: accepted
//!   (unknown) ------------------------> held -----------------------> connected ---- Revoke ----> revoked
//!       |                                |                               |   ^                       |
//!       | full or stopping               | refused, deadline, Stop       |   | Regrant               | 250 ms
//!       v                                v                               v   |                       v
//!    closing <----------------------- closing <-- DISCONNECT, taken over, violation, Stop ------- closing
//!       |  ConnectionLost                                                |
//!       v                                                                | ConnectionLost
//!     gone <-------------------------------------------------------------+
//! ```
//! States of a session
//! ```text
//!   (none) -- CONNECT --> online -- connection ends, expiry > 0 --> offline -- CONNECT without clean start --> online
//!                           |                                          |
//!                           | expiry 0                                 | expiry over, clean start, a job's process ended
//!                           v                                          v
//!                         ended <------------------------------------ ended
//! ```
//! | event | held | connected, revoked | closing |
//! | --- | --- | --- | --- |
//! | PUBLISH | anomaly | alias, grant, acknowledgement; fan-out, retained, watched topics | nothing |
//! | PUBACK, PUBREC, PUBREL, PUBCOMP | anomaly | the next step of QoS 1 or 2; the next message goes out | nothing |
//! | SUBSCRIBE, UNSUBSCRIBE | anomaly | grant decides each filter; retained messages follow as the client takes them | nothing |
//! | DISCONNECT | anomaly | the will goes, unless it is asked to stay; closing | nothing |
//! | a violation | anomaly | DISCONNECT with its reason; the will is published | nothing |
//! | `Flushed`, `Saved` | anomaly | more goes out: messages, acknowledgements | nothing |
//! | `ConnectionLost`, `AllConnectionsLost` | forgotten; a late answer is an anomaly | will, `Disconnected`; the session waits or ends | forgotten |
//!
//! Invariants
//! - A message reaches a client only through a subscription that its grant allowed when it was made, and still allowed at
//!   the last `Regrant` or CONNECT.
//! - Every packet with an answer gets exactly one, in the same `handle` or after `Saved`; CONNECT within [`CONNECT_VERDICT_MILLIS`].
//! - A message of QoS 1 or 2 that was taken stays until its client has acknowledged it, its session ends, it expires, or its queue
//!   is full; a message of QoS 2 is never sent again once its client has acknowledged to have it.
//! - What PUBACK or PUBREC says is taken is on disk, where its receiver's session or the retained store is: they wait for `Saved`.
//! - Messages of one topic and QoS reach a client in the order they were taken, also after a reconnect (MQTT 5.0 4.6).
//! - `Connected` and `Disconnected` come in pairs. `Stopped` comes once, and last.
//! - A client id has one connection. Only the same process takes it over.
//! - No queue grows beyond its bound, nor all together beyond [`QUEUED_BYTES`]; what is dropped is counted and reported. A few
//!   sessions that hoard leave room for the others.
//!
//! What it deliberately does not do: decide who a client is (the agent does, from the registry); encode and decode packets (the
//! shell's protocol library does); keep a file (the shell does).

pub mod effect;
pub mod event;
pub mod message;
pub mod packet;
pub mod stored;

mod closing;
mod connecting;
mod delivering;
mod denials;
mod inflight;
mod journal;
mod link;
mod log_rate;
mod publishing;
mod retained;
mod saving;
mod session;
mod snapshot;
mod subscribing;
mod subscriptions;
#[cfg(test)]
mod tests;
mod timers;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;

pub use effect::{BrokerEffect, BrokerEffects};
pub use event::BrokerEvent;
use journal::{Journal, Ledger};
use log_rate::Emptied;
use packet::{Connect, Incoming, Outgoing, ReasonCode};
use retained::Retained;
use session::{Session, SessionId};
use subscriptions::Subscriptions;
use timers::{Timer, Timers};

use crate::config::LogRateLimit;
use crate::effect::BrokerOrder;
use crate::id::ConnectionId;
use crate::plugin::HEALTH_TOPIC;
use crate::policy::message::ANSWER_TOPIC;
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
/// Clients among them that are trusted by their signature alone: any user can start those, and must not keep all others out.
pub const PROGRAMS: usize = 256;
/// Open subscriptions of one client.
pub const SUBSCRIPTIONS_PER_CLIENT: usize = 256;
/// Sessions that wait for their clients; only a plugin between two of its processes has one, or a client that lost its connection.
pub const OFFLINE_SESSIONS: usize = 256;
/// How long after a failure of the shell the sessions of all its clients may wait, seconds: clients try again within that.
pub const SHELL_FAILURE_SECONDS: u64 = 120;
/// The longest a session waits for its client, seconds: a plugin that did not come back for a week is not coming.
pub const SESSION_EXPIRY_SECONDS: u32 = 7 * 24 * 3600;
/// QoS 1 and 2 messages that one client sends at a time (MQTT 5.0 3.2.2.3.3).
pub const RECEIVE_MAXIMUM: u16 = 256;
/// QoS 1 and 2 messages on their way to one client, whatever its own Receive Maximum: enough to fill a loopback connection.
pub const IN_FLIGHT: usize = 1024;
/// Topic aliases of one connection (MQTT 5.0 3.2.2.3.8).
pub const TOPIC_ALIASES: u16 = 64;
/// Bytes sent to one client before it must have read them; what waits beyond that waits here, where it can be dropped in order.
pub const WRITE_WINDOW_BYTES: usize = 64 << 10;
/// What waits for all clients together may cost, bytes, each message counted once for each of its receivers.
pub const QUEUED_BYTES: usize = 64 << 20;
/// How much of it is for whoever comes first. The rest is shared out evenly, so that those who do not read cannot take it all.
const FIRST_COME_BYTES: usize = QUEUED_BYTES / 2;
/// How long changes that nobody waits for are collected, ms: a retained value that changes often is written once a second.
pub const SAVE_DELAY_MILLIS: u64 = 1000;
/// How soon a batch that could not be written is tried again, ms. A full disk stays full until somebody empties it, so there is no
/// last time.
pub const SAVE_RETRY_MILLIS: u64 = 2000;
/// How long an acknowledgement waits for the disk, ms, before its client is told to go: long for a disk, short for a client that
/// would otherwise wait for ever.
pub const SAVE_PATIENCE_MILLIS: u64 = 20_000;
/// Acknowledgements that wait for the disk, for all clients together: as many as two clients of MQTT 3.1.1 may have under way, or
/// hundreds of 5.0.
pub const UNSAVED_ACKNOWLEDGEMENTS: usize = 2 * 65_535;
/// Characters of a reason string: a topic name can be longer than a packet may be, and an answer must fit.
const REASON_CHARACTERS: usize = 1000;
/// Where log messages go (contract section 6).
pub(crate) const LOG_TOPIC: &str = "KeeperLogger";
/// Topics whose messages are also handed to the agent (contract section 5).
pub const WATCHED_TOPICS: [&str; 5] = [LOG_TOPIC, "EventMessages", "JobService", HEALTH_TOPIC, ANSWER_TOPIC];

/// What an administrator can set (`MqttBrokerSettings`, contract section 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokerSettings {
    /// Bytes of the largest packet a client may send; the shell enforces it.
    pub max_packet_bytes: u32,
    /// Messages that wait for one client.
    pub max_queued_messages: usize,
    /// Whether a denied publish is acknowledged with 0x87 (`DenialReason: Visible`) instead of as usual.
    pub visible_denials: bool,
    /// Log messages of one client.
    pub log_rate: LogRateLimit,
    /// Whether publishes of runs' tasks are told ([`BrokerReport::Traced`](crate::event::BrokerReport::Traced)).
    pub traced: bool,
}

impl Default for BrokerSettings {
    fn default() -> Self {
        let log_rate = LogRateLimit::default();
        Self { max_packet_bytes: 1 << 20, max_queued_messages: 1000, visible_denials: false, log_rate, traced: false }
    }
}

/// The broker.
#[derive(Debug)]
pub struct Broker {
    settings: BrokerSettings,
    /// CONNECTs that wait for the agent.
    held: BTreeMap<ConnectionId, Box<Connect>>,
    connections: BTreeMap<ConnectionId, SessionId>,
    /// The SHA-256 of the client certificates that connections showed.
    certificates: BTreeMap<ConnectionId, String>,
    /// Refused or closed by us; the shell has not reported their end.
    closing: BTreeSet<ConnectionId>,
    sessions: BTreeMap<SessionId, Session>,
    client_ids: BTreeMap<String, SessionId>,
    emptied: Emptied,
    subscriptions: Subscriptions,
    retained: Retained,
    timers: Timers,
    ledger: Ledger,
    /// Sessions whose acknowledgements wait for the disk.
    unsaved: BTreeSet<SessionId>,
    /// Whether the last batch was not written, and that was said.
    save_failed: bool,
    /// Clients whose queue had no room for a message they must get; closed at the end of the event.
    overfull: BTreeSet<SessionId>,
    last_session: u64,
    /// Until when all connections' sessions may wait, because the shell failed.
    spared_until: Option<Monotonic>,
    stop: Stop,
}

/// How far a stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Running,
    /// Waits for connections to end.
    Closing,
    Stopped,
}

impl Broker {
    /// A broker without connections.
    pub fn new(settings: BrokerSettings) -> Self {
        Self {
            settings,
            held: BTreeMap::new(),
            connections: BTreeMap::new(),
            certificates: BTreeMap::new(),
            closing: BTreeSet::new(),
            sessions: BTreeMap::new(),
            client_ids: BTreeMap::new(),
            emptied: Emptied::default(),
            subscriptions: Subscriptions::default(),
            retained: Retained::default(),
            timers: Timers::default(),
            ledger: Ledger { bytes: 0, acknowledgements: 0, journal: Journal::new(0) },
            unsaved: BTreeSet::new(),
            save_failed: false,
            overfull: BTreeSet::new(),
            last_session: 0,
            spared_until: None,
            stop: Stop::Running,
        }
    }

    /// Takes one event and appends what must be done.
    pub fn handle(&mut self, now: Now, event: BrokerEvent, effects: &mut BrokerEffects) {
        let both = now;
        let now = now.monotonic;
        if self.stop == Stop::Stopped {
            after_the_end(&event, effects);
            return;
        }
        match event {
            BrokerEvent::ConnectReceived { connection, connect, peer, certificate } => {
                self.on_connect(now, connection, connect, (*peer, certificate), effects);
            }
            BrokerEvent::Received { connection, packet } => self.on_packet(now, connection, packet, effects),
            BrokerEvent::Flushed { connection } => {
                if let Some(id) = self.session_of(connection, effects) {
                    self.on_flushed(now, id, effects);
                }
            }
            BrokerEvent::ConnectionLost { connection, reason } => {
                self.on_lost(now, connection, reason, effects);
                self.bound_offline(now, effects);
            }
            BrokerEvent::AllConnectionsLost => self.on_all_lost(now, effects),
            BrokerEvent::Ordered(order) => self.on_order(now, order, effects),
            BrokerEvent::Saved { number, result } => self.on_saved(now, number, result, effects),
            BrokerEvent::DeadlineReached => self.on_deadline(now, effects),
        }
        self.close_overfull(now, effects);
        self.save(both, effects);
    }

    fn on_packet(&mut self, now: Monotonic, connection: ConnectionId, packet: Incoming, effects: &mut BrokerEffects) {
        let Some(id) = self.session_of(connection, effects) else {
            return;
        };
        if let Some(link) = self.sessions.get_mut(&id).and_then(|session| session.link.as_mut()) {
            link.heard = now;
        }
        match packet {
            Incoming::Publish(publish) => self.on_publish(now, id, publish, effects),
            Incoming::Acknowledgement { step, packet, failed } => {
                self.on_acknowledgement(now, id, step, packet, failed, effects);
            }
            Incoming::Subscribe { packet, requests, identifier } => {
                self.on_subscribe(now, id, packet, requests, identifier, effects);
            }
            Incoming::Unsubscribe { packet, filters } => self.on_unsubscribe(id, packet, &filters, effects),
            Incoming::Ping => self.send(id, Outgoing::PingResponse, effects),
            Incoming::Disconnect { keep_will, session_expiry_seconds } => {
                self.on_disconnect(now, id, keep_will, session_expiry_seconds, effects);
            }
            Incoming::Violation { reason, text } => self.close_with(now, id, reason, Some(text), effects),
        }
    }

    /// The session of a connection. An event of a connection without one is expected while it closes, else worth a line.
    fn session_of(&self, connection: ConnectionId, effects: &mut BrokerEffects) -> Option<SessionId> {
        let found = self.connections.get(&connection).copied();
        if found.is_none() && !self.closing.contains(&connection) {
            let text = format!("a packet of connection {connection} came, which is not connected.");
            effects.push(BrokerEffect::Anomaly(text));
        }
        found
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
            BrokerOrder::Revoke { spawn } => self.on_revoke(now, spawn, effects),
            BrokerOrder::RevokeCertificate { sha256 } => self.on_certificate_revoked(now, &sha256, effects),
            BrokerOrder::Stop => self.on_stop(now, effects),
        }
    }

    fn on_deadline(&mut self, now: Monotonic, effects: &mut BrokerEffects) {
        while let Some(timer) = self.timers.take_due(now) {
            match timer {
                Timer::Verdict(connection) => self.refuse_overdue(connection, effects),
                Timer::KeepAlive(id) => self.check_keep_alive(now, id, effects),
                Timer::Revoked(id) => self.close_revoked(now, id, effects),
                Timer::Denials(id) => self.sum_up_denials(now, id, effects),
                Timer::LogRate(id) => self.report_dropped_logs(now, id, effects),
                Timer::Will(id) => self.publish_will(now, id, effects),
                Timer::Expiry(id) => self.end_session(now, id, effects),
                Timer::Unsaved(id) => self.close_unsaved(now, id, effects),
                Timer::Save => self.ledger.journal.retry(),
                Timer::Stop => self.give_up_stop(effects),
            }
        }
    }

    /// Closes a connection that was silent for too long, or looks again when it could have been (MQTT 5.0 3.1.2.10).
    fn check_keep_alive(&mut self, now: Monotonic, id: SessionId, effects: &mut BrokerEffects) {
        let link = self.sessions.get(&id).and_then(|session| session.link.as_ref());
        let Some((link, patience)) = link.and_then(|link| Some((link, link.patience_millis?))) else {
            return;
        };
        // While the peer does not read, the shell does not read either and hears nothing; it closes the peer by itself.
        let heard = if link.is_blocked() { now } else { link.heard };
        let end = heard.plus_millis(patience);
        if end > now {
            self.timers.set(Timer::KeepAlive(id), end);
        } else {
            self.close(now, id, ReasonCode::KeepAliveTimeout, effects);
        }
    }

    /// When to call [`Broker::handle`] with `DeadlineReached`, unless something else happens before.
    pub fn next_deadline(&self) -> Option<Deadline> {
        self.timers.next()
    }
}

/// Nothing is reported after the end. A shell that failed before it had performed the end is told once more.
fn after_the_end(event: &BrokerEvent, effects: &mut BrokerEffects) {
    match event {
        BrokerEvent::AllConnectionsLost => effects.push(BrokerEffect::Finish),
        BrokerEvent::DeadlineReached | BrokerEvent::Saved { .. } => {}
        BrokerEvent::ConnectReceived { .. }
        | BrokerEvent::Received { .. }
        | BrokerEvent::Flushed { .. }
        | BrokerEvent::ConnectionLost { .. }
        | BrokerEvent::Ordered(_) => {
            effects.push(BrokerEffect::Anomaly(String::from("an event came after the broker's end.")));
        }
    }
}
