//! What the agent counts of itself, and `GET /metrics`: its own counts together with those of the ports.

mod elevations;
mod histogram;

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};

use elevations::ElevationMeter;
use histogram::Histogram;

use super::Agent;
use super::answers::Pending;
use super::lkg::State;
use super::requests::respond;
use crate::acl::{Action, Denial};
use crate::api::exposition::{Exposition, Kind, MEDIA_TYPE};
use crate::api::route::Resource;
use crate::api::view::lkg::DriftOutcome;
use crate::api::{ApiRequest, ApiResponse};
use crate::effect::{Effect, Effects, StreamOrder};
use crate::event::{BrokerReport, Counts, DefinitionKind};
use crate::id::{RequestId, TicketId};
use crate::run::history::{Outcome, RunRecord};
use crate::time::{Now, WallTime};

/// The states of a plugin, as [`crate::plugin::instances::Plugin::status`] tells them.
const STATES: [&str; 6] = ["Stopped", "Starting", "Running", "Stopping", "Backoff", "Failed"];
/// The route of a request that the guard or the router refused.
const NO_ROUTE: &str = "none";

/// Counts since the start.
#[derive(Debug, Default)]
pub(super) struct Meter {
    outcomes: BTreeMap<&'static str, u64>,
    durations: Histogram,
    pub(super) elevations: ElevationMeter,
    denials: BTreeMap<Action, u64>,
    drifts: BTreeMap<(DefinitionKind, DriftOutcome), u64>,
    logs_dropped: u64,
    connected: u64,
    connections: u64,
    /// Requests that are not answered yet, with their route.
    open: BTreeMap<RequestId, &'static str>,
    requests: BTreeMap<(&'static str, u16), u64>,
}

fn bump(count: &mut u64) {
    *count = count.saturating_add(1);
}

impl Meter {
    /// A run ended.
    pub(super) fn ended(&mut self, record: &RunRecord, now: Now) {
        let Some(outcome) = record.outcome else { return };
        bump(self.outcomes.entry(outcome.as_str()).or_default());
        // One that never began has no duration.
        let Some(begun) = record.begun_at.as_deref().and_then(WallTime::parse_rfc3339) else { return };
        let millis = u64::try_from(now.wall.as_millis().saturating_sub(begun.as_millis())).unwrap_or_default();
        self.durations.add(millis);
    }

    /// Something was refused, so many times.
    pub(super) fn denied(&mut self, denial: &Denial, times: u64) {
        let count = self.denials.entry(denial.action).or_default();
        *count = count.saturating_add(times);
    }

    /// So many log messages of a client were dropped.
    pub(super) fn dropped_logs(&mut self, messages: u64) {
        self.logs_dropped = self.logs_dropped.saturating_add(messages);
    }

    /// A file was not as blessed.
    pub(super) fn drifted(&mut self, kind: DefinitionKind, outcome: DriftOutcome) {
        bump(self.drifts.entry((kind, outcome)).or_default());
    }

    /// The broker reported.
    pub(super) fn reported(&mut self, report: &BrokerReport) {
        match report {
            BrokerReport::Connected { .. } => {
                bump(&mut self.connected);
                bump(&mut self.connections);
            }
            BrokerReport::Disconnected { .. } => self.connections = self.connections.saturating_sub(1),
            BrokerReport::ConnectAsked { .. }
            | BrokerReport::Published { .. }
            | BrokerReport::Traced { .. }
            | BrokerReport::Denied(_)
            | BrokerReport::DeniedAgain { .. }
            | BrokerReport::LogDropped { .. }
            | BrokerReport::Dropped { .. }
            | BrokerReport::Stopped => {}
        }
    }

    /// A request found its route.
    pub(super) fn routed(&mut self, request: RequestId, route: &'static str) {
        self.open.insert(request, route);
    }

    /// A request was answered.
    pub(super) fn answered(&mut self, request: RequestId, status: u16) {
        let route = self.open.remove(&request).unwrap_or(NO_ROUTE);
        bump(self.requests.entry((route, status)).or_default());
    }

    /// The same of every answer among some orders.
    pub(super) fn note_answers(&mut self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Respond { request, response } | Effect::Stream(StreamOrder::Open { request, response }) =
                effect
            {
                self.answered(*request, response.status);
            }
        }
    }

    /// With what was answered at once, all of it good health.
    fn print(&self, answered_at_once: u64, text: &mut Exposition) {
        text.family("castellan_runs_total", Kind::Counter, "Runs that ended, by outcome.");
        for outcome in Outcome::ALL.map(Outcome::as_str) {
            let count = self.outcomes.get(outcome).copied().unwrap_or_default();
            text.sample("castellan_runs_total", &[("outcome", outcome)], count);
        }
        let help = "Time from the first task of a run to its end.";
        self.durations.print("castellan_run_duration_seconds", help, text);
        text.family("castellan_denials_total", Kind::Counter, "What was refused, by what was attempted.");
        for (action, count) in &self.denials {
            text.sample("castellan_denials_total", &[("action", action.as_str())], count);
        }
        let name = "castellan_restores_total";
        text.family(name, Kind::Counter, "Files that were not as Last Known Good has them, by what was done.");
        for kind in [DefinitionKind::Job, DefinitionKind::Plugin] {
            for outcome in DriftOutcome::ALL {
                let count = self.drifts.get(&(kind, outcome)).copied().unwrap_or_default();
                text.sample(name, &[("kind", kind.folder()), ("outcome", outcome.as_str())], count);
            }
        }
        let help = "Log messages of clients that were dropped because they came too fast.";
        text.single("castellan_log_messages_dropped_total", Kind::Counter, help, self.logs_dropped);
        let help = "Clients that connected to the broker.";
        text.single("castellan_mqtt_connects_total", Kind::Counter, help, self.connected);
        let help = "Clients of the broker now.";
        text.single("castellan_mqtt_connections", Kind::Gauge, help, self.connections);
        let help = "Requests answered, by route and status; also those of Http tasks to the agent itself.";
        text.family("castellan_http_requests_total", Kind::Counter, help);
        let mut requests = self.requests.clone();
        let health = requests.entry((Resource::Health.template(), 200)).or_default();
        *health = health.saturating_add(answered_at_once);
        for ((route, status), count) in &requests {
            text.sample("castellan_http_requests_total", &[("route", route), ("status", &status.to_string())], count);
        }
    }
}

/// Milliseconds as seconds.
fn seconds(millis: u64) -> String {
    alloc::format!("{}.{:03}", millis / 1000, millis % 1000)
}

impl Agent {
    /// Asks the ports for their counts; the answer follows them.
    pub(super) fn metrics(&mut self, now: Now, request: &ApiRequest, effects: &mut Effects) -> Option<ApiResponse> {
        if let Some(refusal) = self.overloaded() {
            return Some(refusal);
        }
        let ticket = self.desk.turn(now, effects).counters.ticket();
        effects.push(Effect::Count(ticket));
        self.expect_answer(ticket, Pending::Metrics { request: request.id });
        None
    }

    pub(super) fn on_counted(&mut self, now: Now, ticket: TicketId, counts: &Counts, effects: &mut Effects) {
        match self.pending.remove(&ticket) {
            Some(Pending::Metrics { request }) => {
                let text = self.exposition(now, counts).into_text();
                let mut response = ApiResponse::document(200, text.into_bytes());
                response.set_header("content-type", MEDIA_TYPE);
                respond(request, response, effects);
            }
            Some(Pending::Measure) => self.tell_measures(now, counts, effects),
            other => self.unasked(now, ticket, other, effects),
        }
    }

    /// The figures of now.
    pub(super) fn exposition(&self, now: Now, counts: &Counts) -> Exposition {
        let mut text = Exposition::default();
        text.family("castellan_build_info", Kind::Gauge, "The agent's version; always 1.");
        text.sample("castellan_build_info", &[("version", &self.desk.surroundings.version)], 1);
        let started = u64::try_from(self.desk.surroundings.started.wall.as_millis()).unwrap_or_default();
        let help = "When the agent started, in seconds since 1970.";
        text.single("castellan_start_time_seconds", Kind::Gauge, help, seconds(started));
        text.family("castellan_jobs", Kind::Gauge, "Jobs in service, by whether they are enabled.");
        let enabled = self.catalog.iter().filter(|job| job.enabled).count();
        text.sample("castellan_jobs", &[("enabled", "true")], enabled);
        text.sample("castellan_jobs", &[("enabled", "false")], self.catalog.iter().count().saturating_sub(enabled));
        let active = self.runs.values().filter(|run| run.is_active()).count();
        text.single("castellan_runs_active", Kind::Gauge, "Runs that have a place.", active);
        let queued = self.runs.len().saturating_sub(active);
        text.single("castellan_runs_queued", Kind::Gauge, "Runs that wait for a place.", queued);
        text.family("castellan_plugin_restarts_total", Kind::Counter, "Restarts of a plugin.");
        for (id, plugin) in &self.plugins {
            text.sample("castellan_plugin_restarts_total", &[("plugin", id.as_str())], plugin.restarts());
        }
        text.family("castellan_plugin_state", Kind::Gauge, "1 for the state that a plugin is in, 0 for the others.");
        for (id, plugin) in &self.plugins {
            for state in STATES {
                let labels = [("plugin", id.as_str()), ("state", state)];
                text.sample("castellan_plugin_state", &labels, u8::from(plugin.status() == state));
            }
        }
        self.print_lkg(&mut text);
        text.family("castellan_plugin_healthy", Kind::Gauge, "1 for a plugin that is healthy, else 0.");
        for (id, plugin) in &self.plugins {
            let is_healthy = u8::from(plugin.health() == "Healthy");
            text.sample("castellan_plugin_healthy", &[("plugin", id.as_str())], is_healthy);
        }
        self.print_policy_source(&mut text);
        self.print_elevations(now, &mut text);
        self.meter.print(counts.http_answered_at_once, &mut text);
        counts.print(&mut text);
        text
    }

    fn print_lkg(&self, text: &mut Exposition) {
        let lkg = self.lkg_line();
        let help = "Jobs and plugins that Last Known Good has a reference of.";
        text.single("castellan_lkg_items", Kind::Gauge, help, lkg.items);
        let help = "What is out of service: its reference is damaged, its document refused, or its file never blessed.";
        text.single("castellan_lkg_out_of_service", Kind::Gauge, help, lkg.out_of_service);
        let usable = match self.lkg.state {
            // Nobody is to be woken because of references that are not wanted.
            State::Off => return,
            State::Kept => 1,
            State::Unusable(_) => 0,
        };
        let help = "1 where the references of Last Known Good count; 0 where they prove nothing and no write is taken.";
        text.single("castellan_lkg_usable", Kind::Gauge, help, usable);
        let faults = self.lkg.items.values().filter(|kept| kept.fault.is_some()).count();
        text.single("castellan_lkg_faults", Kind::Gauge, "References that are damaged, swapped or older.", faults);
    }
}

impl Counts {
    fn print(&self, text: &mut Exposition) {
        text.family("castellan_mqtt_messages_total", Kind::Counter, "Messages of clients, by direction.");
        text.sample("castellan_mqtt_messages_total", &[("direction", "received")], self.messages_received);
        text.sample("castellan_mqtt_messages_total", &[("direction", "sent")], self.messages_sent);
        let help = "Log records that could not be written, by where.";
        text.family("castellan_log_records_lost_total", Kind::Counter, help);
        for (sink, lost) in &self.log_records_lost {
            text.sample("castellan_log_records_lost_total", &[("sink", sink)], lost);
        }
        if !self.telemetry_lost.is_empty() {
            let help = "Log records, spans and measurements that the collector of telemetry did not get.";
            text.family("castellan_telemetry_lost_total", Kind::Counter, help);
        }
        for (signal, count) in &self.telemetry_lost {
            text.sample("castellan_telemetry_lost_total", &[("signal", signal)], count);
        }
        let help = "Connections that the HTTP servers took.";
        text.single("castellan_http_connections_total", Kind::Counter, help, self.http_connections);
        let help = "What the HTTP servers could not serve, by reason.";
        text.family("castellan_http_failures_total", Kind::Counter, help);
        for (reason, count) in &self.http_failures {
            text.sample("castellan_http_failures_total", &[("reason", reason)], count);
        }
    }
}
