//! What a machine has at hand during one call of `handle`: the time, the orders it gives, and the numbers it may use.

#[cfg(test)]
pub(crate) mod fixtures;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;

use crate::acl::Denial;
use crate::api::stream::{Kind, Told};
use crate::audit::{Act, Entry};
use crate::config::{Monitoring, Settings};
use crate::effect::{AuditOrder, BrokerOrder, Effect, Effects, HttpOrder, ProcessOrder, StoreOrder, TelemetryOrder};
use crate::id::{Component, ElevationId, RunId, SpawnId, TicketId};
use crate::job::task::SettingReference;
use crate::log_message::{Level, LogRecord, escape_own};
use crate::plugin::storage::PluginSettings;
use crate::schedule::past::{Happening, Note};
use crate::surroundings::Surroundings;
use crate::time::Now;
use crate::trace::{Span, TraceContext, Tracer};
use crate::user::sessions::{SessionKey, Watch};
use crate::user::{RunAs, UserQuery};

/// Counters of everything the agent numbers.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    spawns: u64,
    tickets: u64,
    runs: u64,
    elevations: u64,
}

impl Counters {
    pub(crate) fn spawn(&mut self) -> SpawnId {
        self.spawns = self.spawns.saturating_add(1);
        SpawnId(self.spawns)
    }

    pub(crate) fn ticket(&mut self) -> TicketId {
        self.tickets = self.tickets.saturating_add(1);
        TicketId(self.tickets)
    }

    pub(crate) fn elevation(&mut self, boot: u64) -> ElevationId {
        self.elevations = self.elevations.saturating_add(1);
        ElevationId::new(boot, self.elevations)
    }

    pub(crate) fn run(&mut self, boot: u64) -> RunId {
        self.runs = self.runs.saturating_add(1);
        RunId::new(boot, self.runs)
    }
}

/// What every part of the agent may look at or count with.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) surroundings: Surroundings,
    pub(crate) settings: Settings,
    pub(crate) counters: Counters,
    pub(crate) plugin_settings: PluginSettings,
    /// See [`Turn::denied`].
    pub(crate) denied: Vec<Denial>,
    /// See [`Turn::tell`].
    pub(crate) told: Vec<Told>,
    /// `system.logging.level` as it is in force.
    pub(crate) log_level: Level,
    /// There is one where traces are told.
    pub(crate) tracer: Option<Tracer>,
    /// Who sits at the machine, as far as a plugin needs that.
    pub(crate) sessions: Watch,
}

impl Desk {
    pub(crate) fn turn<'a>(&'a mut self, now: Now, effects: &'a mut Effects) -> Turn<'a> {
        Turn {
            now,
            effects,
            counters: &mut self.counters,
            surroundings: &self.surroundings,
            monitoring: self.settings.monitoring,
            session_user: self.settings.session_user.as_deref(),
            elevation_account: self.settings.elevation_account.as_deref(),
            log_level: self.log_level,
            plugin_settings: &self.plugin_settings,
            denied: &mut self.denied,
            told: &mut self.told,
            tracer: self.tracer.as_ref(),
            trace: None,
            signers: self.settings.alternative_signatures.as_slice(),
            sessions: &mut self.sessions,
        }
    }
}

/// One call of `handle`.
pub(crate) struct Turn<'a> {
    pub(crate) now: Now,
    pub(crate) effects: &'a mut Effects,
    pub(crate) counters: &'a mut Counters,
    pub(crate) surroundings: &'a Surroundings,
    pub(crate) monitoring: Monitoring,
    /// `Settings:SessionUser`.
    pub(crate) session_user: Option<&'a str>,
    /// `Settings:ElevationAccount`.
    pub(crate) elevation_account: Option<&'a str>,
    pub(crate) log_level: Level,
    pub(crate) plugin_settings: &'a PluginSettings,
    /// What the agent itself refused somebody in this turn; it goes on record at its end.
    pub(crate) denied: &'a mut Vec<Denial>,
    told: &'a mut Vec<Told>,
    /// There is one where traces are told.
    pub(crate) tracer: Option<&'a Tracer>,
    /// What lines of this turn belong to, where they do not say it themselves.
    pub(crate) trace: Option<TraceContext>,
    /// `AlternativeSignatures`.
    pub(crate) signers: &'a [String],
    pub(crate) sessions: &'a mut Watch,
}

impl Turn<'_> {
    /// A plugin's setting in effect, as a task may see it.
    pub(crate) fn setting(&self, reference: &SettingReference) -> Option<String> {
        self.plugin_settings.shown(&reference.plugin, &reference.setting)
    }

    /// What to find out before something runs as this, in this session or in the one that is preferred.
    pub(crate) fn user_query(&self, run_as: RunAs, session: Option<SessionKey>) -> UserQuery {
        UserQuery { run_as, session_user: self.session_user.map(ToString::to_string), session, account: None }
    }

    /// From now on the agent is told of sessions that come and go.
    pub(crate) fn watch_sessions(&mut self) {
        if matches!(self.sessions, Watch::Unasked) {
            *self.sessions = Watch::Asked;
            self.process(ProcessOrder::WatchSessions);
        }
    }

    /// Keeps something on record besides runs; nobody waits for it.
    pub(crate) fn note(&mut self, what: Happening) {
        let note = Note { boot: self.surroundings.boot, at: self.now.wall.to_rfc3339(), what };
        self.store(StoreOrder::Note(note));
    }

    /// Puts something into the audit; nobody waits for it.
    pub(crate) fn audit(&mut self, who: String, what: Act) {
        self.append(None, None, who, what);
    }

    /// Puts something about a request for more privileges into the audit; nobody waits for it.
    pub(crate) fn audit_of(&mut self, request: &ElevationId, who: String, what: Act) {
        self.append(None, Some(request), who, what);
    }

    /// The same, answered by `Audited`.
    pub(crate) fn audit_awaited(&mut self, request: &ElevationId, who: String, what: Act) -> TicketId {
        let ticket = self.counters.ticket();
        self.append(Some(ticket), Some(request), who, what);
        ticket
    }

    fn append(&mut self, ticket: Option<TicketId>, request: Option<&ElevationId>, who: String, what: Act) {
        let (time, boot) = (self.now.wall.to_rfc3339(), self.surroundings.boot);
        let entry = Box::new(Entry { time, boot, who, request: request.map(ToString::to_string), what });
        self.effects.push(Effect::Audit(AuditOrder::Append { ticket, entry }));
    }

    /// Tells whoever follows `GET /api/events`; they hear it at the end of this turn.
    pub(crate) fn tell(&mut self, kind: Kind, event: &impl Serialize) {
        match serde_json::to_vec(event) {
            Ok(data) => self.tell_encoded(kind, data),
            Err(error) => {
                self.log(Level::Error, "NotTold", format!("A {} event cannot be written: {error}.", kind.name()))
            }
        }
    }

    /// The same of what is JSON already.
    pub(crate) fn tell_encoded(&mut self, kind: Kind, data: Vec<u8>) {
        self.told.push(Told { kind, data });
    }

    pub(crate) fn process(&mut self, order: ProcessOrder) {
        self.effects.push(Effect::Process(order));
    }

    pub(crate) fn broker(&mut self, order: BrokerOrder) {
        self.effects.push(Effect::Broker(order));
    }

    pub(crate) fn http(&mut self, order: HttpOrder) {
        self.effects.push(Effect::Http(order));
    }

    pub(crate) fn store(&mut self, order: StoreOrder) {
        self.effects.push(Effect::Store(order));
    }

    /// Tells a span that is over.
    pub(crate) fn span(&mut self, span: Span) {
        self.effects.push(Effect::Telemetry(TelemetryOrder::Span(Box::new(span))));
    }

    /// Whether anybody reads lines of this level.
    pub(crate) fn is_told(&self, level: Level) -> bool {
        level >= self.log_level
    }

    /// Writes a line of the agent's own.
    pub(crate) fn log(&mut self, level: Level, category: &'static str, message: impl Into<String>) {
        self.log_about(level, category, message, None);
    }

    /// Writes a line about a component.
    pub(crate) fn log_about(
        &mut self,
        level: Level,
        category: &'static str,
        message: impl Into<String>,
        component: Option<&Component>,
    ) {
        let record = LogRecord::own(level, category, message);
        self.log_record(match component {
            Some(component) => LogRecord { component: component.text(), ..record },
            None => record,
        });
    }

    /// Writes a line about a run of a component.
    pub(crate) fn log_of_run(
        &mut self,
        level: Level,
        category: &'static str,
        message: impl Into<String>,
        component: &Component,
        run: &RunId,
    ) {
        let run_id = Some(run.to_string());
        self.log_record(LogRecord { component: component.text(), run_id, ..LogRecord::own(level, category, message) });
    }

    /// Writes a line, stamped with this turn's time. Whatever foreign text went into it, it stays one line (contract section 6), and
    /// what is about a plugin has none of its secrets.
    pub(crate) fn log_record(&mut self, mut record: LogRecord) {
        record.timestamp = self.now.wall.to_rfc3339();
        record.message = escape_own(self.plugin_settings.hide(&record.component, record.message));
        record.trace = record.trace.or(self.trace);
        if let Some(trace) = record.trace.filter(|_| record.correlation_id.is_empty()) {
            record.correlation_id = trace.trace_id.to_string();
        }
        if let Cow::Owned(source) = record.source {
            record.source = Cow::Owned(escape_own(source));
        }
        self.effects.push(Effect::Log(record));
    }

    /// Writes the line of a refusal, and how often it came so far where it is not the first.
    pub(crate) fn log_denial(&mut self, denial: &Denial, count: u64) {
        let times = if count > 1 { alloc::format!(" Refused {count} times so far.") } else { String::new() };
        self.log_record(LogRecord {
            client_id: denial.client_id.clone(),
            pid: denial.peer.pid,
            component: denial.component.clone().unwrap_or_else(|| "agent".to_string()),
            ..LogRecord::own(Level::Warning, "Denied", [denial.explanation.to_string(), times].concat())
        });
    }
}
