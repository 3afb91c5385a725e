//! One exhaustive match from effect to adapter. Nothing is decided here and nothing blocks.

use castellan_core::effect::{Effect, LostOrder, ProcessOrder, Stdio};
use castellan_core::event::{Counts, Event, ProcessReport};
use castellan_elevation::{Elevation, Lent};
use castellan_fs::Store;
use castellan_fs::audit::Audit;
use castellan_fs::log_file::LogWriter;
use castellan_https::Server;
use castellan_https::calls::Calls;
use castellan_mqtt::BrokerHandle;
use castellan_process::{CallerFiles, Processes, QueueFull};

use crate::policy_source::PolicyPort;
use crate::telemetry::TelemetryPort;

/// The adapters that effects go to.
#[derive(Debug)]
pub(crate) struct Ports {
    pub(crate) processes: Processes,
    pub(crate) elevation: Elevation,
    pub(crate) broker: BrokerHandle,
    pub(crate) store: Store,
    pub(crate) audit: Audit,
    pub(crate) server: Server,
    pub(crate) calls: Calls,
    pub(crate) policies: PolicyPort,
    pub(crate) telemetry: TelemetryPort,
    pub(crate) log: LogWriter,
}

/// What became of an effect.
#[derive(Debug)]
pub(crate) enum Performed {
    /// It is on its way.
    Done,
    /// The port did not take the order; the agent is told, as nobody will answer it.
    Lost(LostOrder, String),
    /// The answer is there already.
    Answered(Box<Event>),
    /// The agent is done.
    Exit,
}

impl Ports {
    /// Hands an effect to its port.
    pub(crate) fn perform(&self, effect: Effect) -> Performed {
        let order = LostOrder::of(&effect);
        let lost = match effect {
            Effect::Process(order) => match self.start_or_order(order) {
                Ok(None) => None,
                Ok(Some(answer)) => return Performed::Answered(Box::new(answer)),
                Err(full) => Some(format!("process port: {full:?}")),
            },
            Effect::Broker(order) => self.broker.order(order).err().map(|full| format!("broker: {full:?}")),
            Effect::Store(order) => self.store.order(order).err().map(|full| format!("store: {full:?}")),
            Effect::Audit(order) => self.audit.order(order).err().map(|full| format!("audit: {full}")),
            Effect::Http(order) => self.calls.order(order).err().map(|full| format!("HTTP client: {full}")),
            Effect::Fleet(order) => {
                self.policies.order(order);
                None
            }
            Effect::Elevation(order) => {
                self.elevation.order(order);
                None
            }
            Effect::Respond { request, response } => {
                self.server.respond(request, response);
                None
            }
            Effect::Stream(order) => {
                self.server.stream(order);
                None
            }
            Effect::Telemetry(order) => {
                self.telemetry.order(order);
                None
            }
            Effect::Log(record) => {
                self.log.log(record);
                None
            }
            Effect::LogLevel(level) => {
                self.log.set_level(level);
                None
            }
            Effect::Count(ticket) => {
                return Performed::Answered(Box::new(Event::Counted { ticket, counts: self.counts() }));
            }
            Effect::Exit => return Performed::Exit,
        };
        match lost {
            None => Performed::Done,
            Some(why) => Performed::Lost(order, why),
        }
    }

    /// A program for a caller gets what he lends; one whose caller is gone is not started, and that is the answer.
    fn start_or_order(&self, order: ProcessOrder) -> Result<Option<Event>, QueueFull> {
        let ProcessOrder::Spawn(request) = order else { return self.processes.order(order).map(|()| None) };
        let Stdio::Caller { caller, terminal } = request.stdio else {
            return self.processes.order(ProcessOrder::Spawn(request)).map(|()| None);
        };
        let Some(Lent { standard, folder }) = self.elevation.take(caller) else {
            let reason = String::from("Whoever asked for it has gone.");
            return Ok(Some(Event::Process(ProcessReport::SpawnFailed { spawn: request.spawn, reason })));
        };
        self.processes.spawn_for_caller(request, CallerFiles { standard, folder, terminal }).map(|()| None)
    }

    /// What every port counted since the start.
    fn counts(&self) -> Counts {
        let (messages_received, messages_sent) = self.broker.messages();
        let http = self.server.counters();
        Counts {
            messages_received,
            messages_sent,
            log_records_lost: self.log.lost(),
            telemetry_lost: self.telemetry.lost(),
            http_connections: http.accepted,
            http_answered_at_once: http.answered_at_once,
            http_failures: http.failures().map(|failure| (failure.name, failure.count)).to_vec(),
        }
    }
}
