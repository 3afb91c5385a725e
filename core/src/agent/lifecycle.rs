//! The agent's own life: loading, running, stopping within its time.

use alloc::format;
use alloc::string::{String, ToString};

use serde_json::Map;

use super::Agent;
use crate::effect::{BrokerOrder, Effect, Effects};
use crate::event::Endpoints;
use crate::log_message::Level;
use crate::run::{Chain, FiredEvent};
use crate::schedule::past::Happening;
use crate::time::{Deadline, Monotonic, Now};

/// The agent exits so long after it was asked to, whatever is left: a service must stop within 10 s, and its servers and
/// its broker close after this.
const STOP_LIMIT_SECONDS: u64 = 6;
/// Seconds between SIGTERM and SIGKILL while the agent stops; shorter than a plugin's usual grace to keep the limit above.
pub(crate) const STOP_GRACE_SECONDS: u64 = 5;

/// Where the agent stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lifecycle {
    /// The listeners are not open yet.
    Loading,
    /// At work.
    Running,
    /// Runs and plugins are ending, at most until this instant.
    Stopping { until: Monotonic, broker: BrokerEnd },
    /// `Exit` was given.
    Stopped,
}

/// Where the agent stands, as its service manager sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The listeners are not open yet.
    Loading,
    /// At work.
    Running,
    /// Runs and plugins end, then the agent.
    Stopping,
}

/// How far the broker's end has come while the agent stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BrokerEnd {
    /// Clients may still send their last messages.
    Open,
    /// It was asked to stop.
    Asked,
    /// It is gone.
    Closed,
}

impl Lifecycle {
    pub(super) const fn next_deadline(&self) -> Option<Deadline> {
        match self {
            Self::Stopping { until, .. } => Some(Deadline { at: *until, reason: "the limit of the agent's stop" }),
            Self::Loading | Self::Running | Self::Stopped => None,
        }
    }
}

impl Agent {
    /// Where the agent stands.
    pub const fn phase(&self) -> Phase {
        match self.phase {
            Lifecycle::Loading => Phase::Loading,
            Lifecycle::Running => Phase::Running,
            Lifecycle::Stopping { .. } | Lifecycle::Stopped => Phase::Stopping,
        }
    }

    /// One line for people: jobs, plugins, runs.
    pub fn status_text(&self) -> String {
        let jobs = self.catalog.iter().count();
        let enabled = self.catalog.iter().filter(|job| job.enabled).count();
        let running = self.plugins.values().filter(|plugin| plugin.is_running()).count();
        let runs = self.runs.values().filter(|run| run.is_active()).count();
        let (plugins, phase) = (self.plugins.len(), self.phase());
        format!(
            "{phase:?}: {enabled} of {jobs} jobs enabled, {running} of {plugins} plugins running, {runs} runs active."
        )
    }

    pub(super) fn is_running(&self) -> bool {
        self.phase == Lifecycle::Running
    }

    pub(super) fn is_loading(&self) -> bool {
        self.phase == Lifecycle::Loading
    }

    pub(super) const fn is_stopping(&self) -> bool {
        matches!(self.phase, Lifecycle::Stopping { .. } | Lifecycle::Stopped)
    }

    /// Whether the broker takes no new clients any more.
    pub(super) fn is_closing(&self) -> bool {
        let open = matches!(self.phase, Lifecycle::Stopping { broker: BrokerEnd::Open, .. });
        self.is_stopping() && !open
    }

    /// The listeners are open and the built-in KeeperLogger reads: plugins start, and the event `Startup` fires.
    pub(super) fn on_opened(&mut self, now: Now, endpoints: Endpoints, effects: &mut Effects) {
        if self.phase != Lifecycle::Loading {
            let message = "The listeners were reported open although the agent is past its start; nothing changed.";
            return self.desk.turn(now, effects).log(Level::Warning, "Anomaly", message);
        }
        self.desk.surroundings.endpoints = Some(endpoints);
        self.phase = Lifecycle::Running;
        let message = format!(
            "Castellan {} is ready: https://127.0.0.1:{}, http://127.0.0.1:{}, mqtts://{}:{}.",
            self.desk.surroundings.version,
            endpoints.https,
            endpoints.http,
            self.desk.settings.mqtt_address,
            endpoints.mqtt
        );
        let mut turn = self.desk.turn(now, effects);
        turn.log(Level::Information, "Ready", message);
        turn.note(Happening::Started);
        self.fleet.begin(&turn);
        self.begin_start(now, effects);
        self.continue_start(now, effects);
        let startup = FiredEvent { name: "Startup".to_string(), context: Map::new(), id: None, trace: None };
        drop(self.fire(now, &startup, &Chain::default(), effects));
    }

    pub(super) fn on_stop_requested(&mut self, now: Now, reason: &str, effects: &mut Effects) {
        if self.is_stopping() {
            return;
        }
        let mut turn = self.desk.turn(now, effects);
        turn.log(Level::Information, "Stopping", format!("The agent stops: {reason}."));
        turn.note(Happening::Stopped);
        let until = now.monotonic.plus_seconds(STOP_LIMIT_SECONDS);
        self.phase = Lifecycle::Stopping { until, broker: BrokerEnd::Open };
        self.start_queue = super::plugins::StartQueue::default();
        self.stop_elevations(now, effects);
        for run in self.runs.values_mut() {
            run.cancel("the agent was stopped.", &mut self.desk.turn(now, effects));
        }
        for plugin in self.plugins.values_mut() {
            plugin.stop_within(STOP_GRACE_SECONDS, &mut self.desk.turn(now, effects));
        }
    }

    /// Once runs and plugins have ended and the disk has answered the broker closes; once that is closed, or the time is
    /// over, the agent exits. It comes last in every `handle`, so that nothing follows `Exit`.
    pub(super) fn continue_stop(&mut self, now: Now, effects: &mut Effects) {
        let Lifecycle::Stopping { until, broker } = self.phase else { return };
        let ended = self.runs.is_empty()
            && self.elevations.active.is_empty()
            && self.plugins.values().all(super::Supervisor::is_stopped);
        if broker == BrokerEnd::Closed && ended {
            return self.exit(effects);
        }
        if now.monotonic >= until {
            let plugins = self.plugins.values().filter(|plugin| !plugin.is_stopped()).count();
            let left = self.runs.len().saturating_add(plugins);
            let message = if ended {
                format!("The broker or the disk did not end within {STOP_LIMIT_SECONDS} s.")
            } else {
                format!(
                    "{left} runs and plugins did not end within {STOP_LIMIT_SECONDS} s; they are killed with the agent."
                )
            };
            self.desk.turn(now, effects).log(Level::Warning, "StopLimit", message);
            return self.exit(effects);
        }
        if ended && self.pending.is_empty() && broker == BrokerEnd::Open {
            self.phase = Lifecycle::Stopping { until, broker: BrokerEnd::Asked };
            effects.push(Effect::Broker(BrokerOrder::Stop));
        }
    }

    pub(super) fn on_broker_stopped(&mut self, now: Now, effects: &mut Effects) {
        if !self.is_stopping() {
            let message = "The broker stopped although nobody asked; the agent stops too, to be started again whole.";
            self.desk.turn(now, effects).log(Level::Critical, "BrokerStopped", message);
            self.on_stop_requested(now, "the broker stopped", effects);
        }
        if let Lifecycle::Stopping { broker, .. } = &mut self.phase {
            *broker = BrokerEnd::Closed;
        }
    }

    fn exit(&mut self, effects: &mut Effects) {
        self.phase = Lifecycle::Stopped;
        self.answer_everybody(effects);
        self.end_streams(effects);
        effects.push(Effect::Exit);
    }
}
