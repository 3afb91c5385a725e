//! Whether a program that runs is alive: connected to the broker, and answering the pings that its definition asks for.
//!
//! ```text
//! while it runs                                           what follows
//! ------------------------------------------------------  -------------------------------------------------
//! connected; an interval after that, or after an answer   a ping, which must be answered in its time
//! its last connection ends                                no ping is due any more
//! no connection for CONNECT_PATIENCE_SECONDS              trouble
//! a ping was not answered in its time                     trouble
//! an answer; for want of a connection, a new one          no trouble any more
//! ```
//! Trouble is the health `Unhealthy` with its reason. Where there is a `healthCheck` and the plugin is restarted when it ends, it hangs:
//! it is stopped, and what follows is what follows any end of its process.

use alloc::format;
use alloc::string::String;

use super::{STOP_GRACE_SECONDS, State, Supervisor};
use crate::effect::BrokerOrder;
use crate::log_message::Level;
use crate::plugin::HealthCheck;
use crate::time::Monotonic;
use crate::turn::Turn;

/// So long a program may run without a connection before that is trouble, seconds: time to begin, and to connect again.
pub(crate) const CONNECT_PATIENCE_SECONDS: u64 = 30;

/// What is known of the life of the present program.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    connections: u32,
    /// Since when it has no connection.
    apart_since: Monotonic,
    ping: Ping,
    /// How many were sent.
    pings: u64,
    trouble: Option<String>,
}

#[derive(Debug, Clone, Copy, Default)]
enum Ping {
    #[default]
    None,
    Due(Monotonic),
    Sent {
        number: u64,
        until: Monotonic,
    },
}

impl Liveness {
    /// That of a program that begins now.
    pub(super) fn since(now: Monotonic) -> Self {
        Self { apart_since: now, ..Self::default() }
    }

    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// When to look again.
    pub(super) fn next_deadline(&self) -> Option<Monotonic> {
        match self.ping {
            _ if self.connections == 0 && self.trouble.is_some() => None,
            _ if self.connections == 0 => Some(self.apart_since.plus_seconds(CONNECT_PATIENCE_SECONDS)),
            Ping::Due(at) | Ping::Sent { until: at, .. } => Some(at),
            Ping::None => None,
        }
    }
}

impl Supervisor {
    /// Its pings, where its present program knows of their topic: it was started with it.
    fn health_check(&self) -> Option<&HealthCheck> {
        let known = self.started_from.health_check.as_ref();
        self.definition.health_check.as_ref().filter(|check| known.is_some_and(|known| known.topic == check.topic))
    }

    /// Whether its program has a connection to the broker.
    pub(crate) const fn is_connected(&self) -> bool {
        self.liveness.connections > 0
    }

    /// Its program opened a connection to the broker.
    pub(crate) fn on_connected(&mut self, turn: &mut Turn<'_>) {
        self.liveness.connections = self.liveness.connections.saturating_add(1);
        if self.liveness.connections == 1 {
            self.recover(turn);
            self.plan_ping(turn);
        }
    }

    /// One of its connections ended.
    pub(crate) fn on_disconnected(&mut self, turn: &Turn<'_>) {
        self.liveness.connections = self.liveness.connections.saturating_sub(1);
        if self.liveness.connections == 0 {
            self.liveness.apart_since = turn.now.monotonic;
            self.liveness.ping = Ping::None;
        }
    }

    /// Its program answered a ping.
    ///
    /// # Errors
    /// Why the answer counts for nothing.
    pub(crate) fn on_answer(&mut self, id: &str, turn: &mut Turn<'_>) -> Result<(), String> {
        match (&self.state, self.liveness.ping) {
            (State::Running { spawn }, Ping::Sent { number, .. }) if format!("{spawn}.{number}") == id => {
                self.recover(turn);
                self.plan_ping(turn);
                Ok(())
            }
            _ => Err(String::from("No ping with this id waits for an answer; each is answered once, and in its time.")),
        }
    }

    /// A ping may be due, or an answer or a connection overdue.
    pub(super) fn look_after(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.monotonic;
        if self.liveness.next_deadline().is_none_or(|at| now < at) {
            return;
        }
        if self.liveness.connections == 0 {
            let why = format!("it has had no connection to the broker for {CONNECT_PATIENCE_SECONDS} s");
            return self.fall_silent(why, turn);
        }
        let Some(check) = self.health_check().cloned() else {
            self.liveness.ping = Ping::None;
            return;
        };
        if let Ping::Sent { .. } = self.liveness.ping {
            let HealthCheck { topic, timeout_seconds, .. } = check;
            self.plan_ping(turn);
            return self.fall_silent(format!("it did not answer a ping on '{topic}' within {timeout_seconds} s"), turn);
        }
        let State::Running { spawn } = self.state else { return };
        self.liveness.pings = self.liveness.pings.saturating_add(1);
        let number = self.liveness.pings;
        self.liveness.ping = Ping::Sent { number, until: now.plus_seconds(check.timeout_seconds) };
        let (topic, payload) = (check.topic.as_str().into(), format!(r#"{{"id":"{spawn}.{number}"}}"#).into_bytes());
        turn.broker(BrokerOrder::Publish { topic, payload, qos: 1, retain: false });
    }

    fn plan_ping(&mut self, turn: &Turn<'_>) {
        let due = |check: &HealthCheck| Ping::Due(turn.now.monotonic.plus_seconds(check.interval_seconds));
        self.liveness.ping = self.health_check().map_or(Ping::None, due);
    }

    fn fall_silent(&mut self, why: String, turn: &mut Turn<'_>) {
        let id = &self.definition.id;
        if self.is_restarted() && self.health_check().is_some() {
            let State::Running { spawn } = self.state else { return };
            self.log(
                Level::Warning,
                "PluginHangs",
                format!("{} hangs: {why}. It is stopped and started again.", self.named()),
                turn,
            );
            self.hangs = Some(why);
            self.terminate(spawn, STOP_GRACE_SECONDS, turn);
        } else if self.liveness.trouble.as_ref() != Some(&why) {
            let message = format!(
                "{} is unhealthy: {why}. Look at castellan plugins logs {id}; castellan plugins restart {id} starts it again.",
                self.named()
            );
            self.log(Level::Warning, "PluginUnhealthy", message, turn);
            self.liveness.trouble = Some(why);
        }
    }

    fn recover(&mut self, turn: &mut Turn<'_>) {
        if let Some(trouble) = self.liveness.trouble.take() {
            let message = format!("{} is healthy again; before that {trouble}.", self.named());
            self.log(Level::Information, "PluginHealthy", message, turn);
        }
    }
}
