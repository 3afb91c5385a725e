//! The root machine of orchestration: takes an event to the part that owns it, and merges deadlines. It decides nothing itself.
//!
//! ```text
//! event             part                          what follows from it
//! ----------------  ----------------------------  -----------------------------------------------
//! Loaded            agent/definitions             jobs and plugins in service or refused; lost runs recorded
//! Opened            agent/lifecycle               plugins start in order; the event Startup fires
//! Process           agent/processes               registry first, then the run or plugin that owns the tree; sessions of users come and go
//! Broker            agent/connections, /messages  CONNECT judged (/strangers: by its signature); KeeperLogger, EventMessages, JobService read
//! Store             agent/answers, /drift         the run, request or policy (/configuration_policies) that asked goes on; files are restored
//! Http              agent/calls                   the run that asked goes on
//! Audited           agent/audit                   whoever waits for an entry of the audit goes on
//! Fleet             agent/fleet                   a bundle of policies is judged and applied, or refused whole
//! Elevation         agent/elevations              a request is taken, goes on, or is withdrawn (/elevation_policy: what policies say of it)
//! Api               agent/requests                answered at once, or once its question is answered
//! StreamEnded       agent/streams                 its client is told nothing more
//! Counted           agent/meter                   GET /metrics is answered, or what is measured is told (/telemetry)
//! DeadlineReached   every machine                 what is due happens, what is early does not
//! StopRequested     agent/lifecycle               runs canceled, plugins stopped, broker closed, Exit
//! Congested                                       recorded; the report that was lost is named
//! Lost              agent/losses                  answered as failed; what ends somebody's trust is ordered again
//! ```
//! Invariants: a process is in the registry before `Release` and out of it before its number can be used again; an effect
//! with an outcome is answered under the same number; every refusal is on record with its explanation.

mod administrators;
mod answers;
mod audit;
mod callers;
mod calls;
mod certificates;
mod configuration_policies;
mod connections;
mod definitions;
mod drift;
mod elevation_policy;
mod elevations;
mod event_starts;
mod fleet;
mod hand_edits;
mod idempotency;
mod job_list;
mod job_writes;
mod last_minute;
mod lifecycle;
mod lkg;
mod losses;
mod messages;
mod meter;
mod mfa;
mod own_settings;
mod plugin_definitions;
mod plugin_output;
mod plugins;
mod processes;
mod record;
mod requests;
mod requests_certificates;
mod requests_elevations;
mod requests_jobs;
mod requests_lkg;
mod requests_policies;
mod requests_runs;
mod requests_settings;
mod requests_settings_write;
mod requests_status;
mod runs;
mod strangers;
mod streams;
mod taken;
mod telemetry;

pub use lifecycle::Phase;
pub(crate) use record::DenialRecord;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use crate::config::Settings;
use crate::effect::Effects;
use crate::event::Event;
use crate::fleet::Fleet;
use crate::id::{JobId, PluginId, RequestId, RunId, TicketId};
use crate::job::catalog::Catalog;
use crate::job::finding::Findings;
use crate::log_message::Level;
use crate::plugin::instances::Plugin;
use crate::plugin::storage::PluginSettings;
use crate::run::{Chain, Run};
use crate::schedule::Timetable;
use crate::surroundings::Surroundings;
use crate::time::{Deadline, Monotonic, Now};
use crate::trace::Tracer;
use crate::trust::Registry;
use crate::turn::{Counters, Desk};
use crate::user::sessions::Watch;

/// The agent's decisions about jobs, plugins, trust and the API.
#[derive(Debug)]
pub struct Agent {
    desk: Desk,
    catalog: Catalog,
    timetable: Timetable,
    /// Boxed, as a node of the map has room for eleven.
    runs: BTreeMap<RunId, Box<Run>>,
    last_runs: BTreeMap<JobId, LastRun>,
    plugins: BTreeMap<PluginId, Plugin>,
    refused_plugins: BTreeMap<String, Findings>,
    start_queue: plugins::StartQueue,
    registry: Registry,
    strangers: strangers::Strangers,
    streams: streams::Streams,
    certificates: certificates::Certificates,
    pending: BTreeMap<TicketId, answers::Pending>,
    waiting: Vec<runs::Waiting>,
    unanswered_triggers: Vec<(RunId, RequestId)>,
    own_calls: calls::OwnCalls,
    policies: configuration_policies::Policies,
    idempotency: idempotency::Idempotency,
    /// Runs that ended lately, with what they hand down.
    ended: VecDeque<(RunId, Chain)>,
    event_starts: event_starts::EventStarts,
    taken: taken::Taken,
    denials: record::Denials,
    losses: losses::Losses,
    lkg: lkg::Lkg,
    meter: meter::Meter,
    /// When what is measured is told next; `None` until the agent runs.
    measures_at: Option<Monotonic>,
    fleet: Fleet,
    elevations: elevations::Elevations,
    phase: lifecycle::Lifecycle,
    job_list: job_list::JobList,
    /// What `GET /openapi.json` answers, once somebody asked.
    description: Option<Vec<u8>>,
}

/// What the list of jobs shows of the past.
#[derive(Debug, Clone)]
struct LastRun {
    started_at: String,
    outcome: Option<&'static str>,
}

impl Agent {
    /// An agent that has not read its root yet; `Loaded` comes first.
    pub fn new(settings: Settings, mut surroundings: Surroundings) -> Self {
        let certificates = certificates::Certificates::new(core::mem::take(&mut surroundings.admin_certificates));
        let boot = surroundings.boot.to_le_bytes();
        // Its own certificate tells a machine from all others.
        let own = certificates.list.first().map(|own| own.sha256.as_bytes()).unwrap_or_default();
        let fleet = Fleet::new(&settings, &[&boot, own]);
        let (counters, plugin_settings) = (Counters::default(), PluginSettings::default());
        let log_level = settings.logging.level;
        let is_traced = settings.telemetry.as_ref().is_some_and(|telemetry| telemetry.traces);
        let machine = certificates.list.first().map(|own| own.sha256.as_str()).unwrap_or_default();
        let tracer = is_traced.then(|| Tracer::new(machine, surroundings.boot));
        let (denied, told) = (Vec::new(), Vec::new());
        let sessions = Watch::default();
        let desk =
            Desk { surroundings, settings, counters, plugin_settings, denied, told, log_level, tracer, sessions };
        Self {
            desk,
            catalog: Catalog::default(),
            timetable: Timetable::default(),
            runs: BTreeMap::new(),
            last_runs: BTreeMap::new(),
            plugins: BTreeMap::new(),
            refused_plugins: BTreeMap::new(),
            start_queue: plugins::StartQueue::default(),
            registry: Registry::default(),
            strangers: strangers::Strangers::default(),
            streams: streams::Streams::default(),
            certificates,
            pending: BTreeMap::new(),
            waiting: Vec::new(),
            unanswered_triggers: Vec::new(),
            own_calls: calls::OwnCalls::default(),
            policies: configuration_policies::Policies::default(),
            idempotency: idempotency::Idempotency::default(),
            ended: VecDeque::new(),
            event_starts: event_starts::EventStarts::default(),
            taken: taken::Taken::default(),
            denials: record::Denials::default(),
            losses: losses::Losses::default(),
            lkg: lkg::Lkg::default(),
            meter: meter::Meter::default(),
            measures_at: None,
            fleet,
            elevations: elevations::Elevations::default(),
            phase: lifecycle::Lifecycle::Loading,
            job_list: job_list::JobList::default(),
            description: None,
        }
    }

    /// Takes one event and appends the orders that follow from it. Total: it never fails and never panics.
    pub fn handle(&mut self, now: Now, event: Event, effects: &mut Effects) {
        let before = effects.len();
        match event {
            Event::Loaded(loaded) => self.on_loaded(now, loaded, effects),
            Event::Opened(endpoints) => self.on_opened(now, endpoints, effects),
            Event::Process(report) => self.on_process(now, report, effects),
            Event::Broker(report) => self.on_broker(now, report, effects),
            Event::Store(report) => self.on_store(now, report, effects),
            Event::Http(report) => self.on_http(now, report, effects),
            Event::Audited { ticket, result } => self.on_audited(now, ticket, result, effects),
            Event::Fleet(report) => self.on_fleet(now, report, effects),
            Event::Elevation(report) => self.on_elevation(now, report, effects),
            Event::Api(request) => self.on_request(now, &request, effects),
            Event::StreamEnded { request, why } => self.on_stream_ended(now, request, why, effects),
            Event::Counted { ticket, counts } => self.on_counted(now, ticket, &counts, effects),
            Event::DeadlineReached => {}
            Event::StopRequested(reason) => self.on_stop_requested(now, &reason, effects),
            Event::Congested(what) => self.desk.turn(now, effects).log(Level::Error, "Congested", what),
            Event::Lost { order, why } => self.on_lost(now, order, why, effects),
        }
        self.on_time(now, effects);
        self.keep_answers(effects);
        while self.deliver_own_answers(now, effects) {
            self.on_time(now, effects);
            self.keep_answers(effects);
        }
        self.meter.note_answers(effects.get(before..).unwrap_or_default());
    }

    /// When it wants to be called next, whatever else happens.
    pub fn next_deadline(&self, now: Now) -> Option<Deadline> {
        if self.phase == lifecycle::Lifecycle::Stopped {
            return None;
        }
        let runs = self.runs.values().filter_map(|run| run.next_deadline());
        let plugins = self.plugins.values().filter_map(Plugin::next_deadline);
        let waiting = self.waiting.iter().map(runs::Waiting::deadline);
        // Schedules are served while the agent is at work only; before and after, their instants would be missed in a loop.
        let schedules = self.timetable.next_deadline(now).filter(|_| self.is_running());
        let others = [
            self.start_queue.next_deadline(),
            self.phase.next_deadline(),
            self.denials.next_deadline(),
            self.losses.next_deadline(),
            self.lkg.next_deadline().filter(|_| self.is_running()),
            self.streams.next_deadline(),
            self.certificates.next_deadline(now, self.is_running()),
            self.fleet.next_deadline().filter(|_| self.is_running()),
            self.elevations.next_deadline(),
            self.next_measure().filter(|_| self.is_running()),
            schedules,
        ];
        runs.chain(plugins).chain(waiting).chain(others.into_iter().flatten()).min()
    }

    /// Everything that is due by now; calling it early or twice does nothing.
    fn on_time(&mut self, now: Now, effects: &mut Effects) {
        let due = |deadline: Option<Deadline>, at: Monotonic| deadline.is_some_and(|deadline| deadline.at <= at);
        for run in self.runs.values_mut().filter(|run| due(run.next_deadline(), now.monotonic)) {
            run.on_deadline(&mut self.desk.turn(now, effects));
        }
        self.look_at_required();
        let instances = self.plugins.values_mut().flat_map(Plugin::instances_mut);
        for instance in instances.filter(|instance| due(instance.next_deadline(), now.monotonic)) {
            instance.on_deadline(&mut self.desk.turn(now, effects));
        }
        self.tell_plugins(now, effects);
        self.forget_gone_plugins(now, effects);
        self.look_after_certificates(now, effects);
        self.order_again(now, effects);
        self.sweep_when_due(now, effects);
        self.restore_when_due(now, effects);
        if self.is_running() {
            self.fleet.on_deadline(&mut self.desk.turn(now, effects));
        }
        self.measure_when_due(now, effects);
        self.start_due_jobs(now, effects);
        self.continue_start(now, effects);
        self.settle_elevations(now, effects);
        self.settle_runs(now, effects);
        self.answer_late(now, effects);
        self.record_denied(now, effects);
        self.summarize_denials(now, effects);
        self.tell_streams(now, effects);
        self.continue_stop(now, effects);
    }
}
