//! A simulated agent root around the agent: its files, their references on a disk that loses, tears and delays writes, and people who
//! edit, bless and take back. It lives through several lives of its agent, with Last Known Good on, off or reporting. Laws, by name:
//!
//! | name | what must hold |
//! | --- | --- |
//! | `blessed-runs` | a program gets what the document says that counts for its job at that moment |
//! | `memory` | what the API shows is what counts: what was blessed, or without Last Known Good what was read |
//! | `entitled` | nothing is blessed but what somebody asked for, or what the first start found |
//! | `answered` | what was answered well counts from then on, and after any crash |
//! | `one-or-other` | what a crash or a full disk interrupted is there as a whole or not at all |
//! | `bounded`, `brake` | who edits again and again makes no queue grow, and ten restores a minute turn into one a second |
//! | `recovered` | once everybody is quiet, files, references and memory are the same |

mod guard;
mod people;
mod store;

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};

use castellan_core::agent::Agent;
use castellan_core::api::ApiResponse;
use castellan_core::config::{ConfigurationLkg, Settings};
use castellan_core::configuration_policy::{AppliedPolicy, PolicyKey};
use castellan_core::effect::{Effect, Effects, Owner, ProcessOrder, SpawnRequest, StoreOrder};
use castellan_core::event::{Endpoints, Event, ExecutableFacts, Loaded, ProcessReport, StoreReport};
use castellan_core::id::{Component, RequestId, RunId};
use castellan_core::lkg::{DefinitionChange, Item, References};
use castellan_core::time::{Monotonic, Now, WallTime};
use serde_json::Value;

use super::dice::Dice;
use super::ledger::broken;
use super::{Broken, Failure};
use crate::agents::surroundings_of;
use guard::{Blessed, Guard};
use people::{Asked, is_valid, items};

/// Orders that may wait besides those of open requests: one restore of each item, and a handful of looks and writes of the agent's own.
const ORDERS: usize = 12;
/// Restores of an item that may follow each other at once.
const AT_ONCE: usize = 11;

/// What a root came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// A hash over every event and every order.
    pub transcript: u64,
    /// Lives of the agent.
    pub lives: u64,
    /// Programs that ran.
    pub programs: u64,
    /// Blessed writes that the store carried out.
    pub writes: u64,
    /// Files that were restored.
    pub restores: u64,
}

impl Tally {
    /// Adds what another root came to.
    pub fn add(&mut self, other: &Self) {
        let Self { transcript: _, lives, programs, writes, restores } = other;
        self.lives = self.lives.saturating_add(*lives);
        self.programs = self.programs.saturating_add(*programs);
        self.writes = self.writes.saturating_add(*writes);
        self.restores = self.restores.saturating_add(*restores);
    }
}

/// Which faults a root has.
#[derive(Debug, Clone, Copy, Default)]
struct Faults {
    /// The machine or the agent stops, also in the middle of a write.
    crashes: bool,
    /// The disk is full now and then.
    full: bool,
    /// The watcher misses edits.
    deaf: bool,
    /// Last Known Good is turned off and on, and to reports.
    toggles: bool,
}

/// Plays one seed to its end; `trace` gets every event and every order as a line.
///
/// # Errors
/// The first law that did not hold.
pub fn play(seed: u64, steps: u64, trace: &mut dyn FnMut(&str)) -> Result<Tally, Failure> {
    let mut world = World::new(seed, trace);
    let played = catch_unwind(AssertUnwindSafe(|| world.play(steps)));
    let ended = played.unwrap_or_else(|_| broken("total", "the agent panicked"));
    ended.map_err(|broken| Failure { seed, step: world.step, broken })?;
    Ok(world.tally)
}

struct World<'t> {
    dice: Dice,
    faults: Faults,
    agent: Agent,
    guard: Guard,
    applied: BTreeMap<PolicyKey, AppliedPolicy>,
    now: Now,
    step: u64,
    /// What has to be in service.
    memory: Blessed,
    /// What the store was asked and has not done.
    orders: VecDeque<StoreOrder>,
    /// What it did and has not told, with the changes that count once it is told.
    reports: VecDeque<(StoreReport, Vec<DefinitionChange>)>,
    open: BTreeMap<RequestId, Asked>,
    requests: u64,
    answer: Option<ApiResponse>,
    /// What was told to count in this life.
    counted: Vec<(Item, Option<Value>)>,
    /// What somebody asked to be blessed.
    entitled: Vec<(Item, Option<Value>)>,
    /// When each item was ordered to be restored in this life.
    restores: BTreeMap<Item, VecDeque<Monotonic>>,
    /// Tells each document from every other one.
    mark: u64,
    crashed: bool,
    /// Last Known Good was off, so that files may differ which nobody may restore.
    was_off: bool,
    tally: Tally,
    trace: &'t mut dyn FnMut(&str),
}

impl<'t> World<'t> {
    fn new(seed: u64, trace: &'t mut dyn FnMut(&str)) -> Self {
        let mut dice = Dice::new(seed);
        let faults = Faults {
            crashes: dice.percent(60),
            full: dice.percent(50),
            deaf: dice.percent(40),
            toggles: dice.percent(50),
        };
        let now = Now { monotonic: Monotonic::from_millis(1000), wall: WallTime::from_millis(1_700_000_000_000) };
        Self {
            dice,
            faults,
            agent: Agent::new(Settings::default(), surroundings_of(0, now)),
            guard: Guard::default(),
            applied: BTreeMap::new(),
            now,
            step: 0,
            memory: Blessed::new(),
            orders: VecDeque::new(),
            reports: VecDeque::new(),
            open: BTreeMap::new(),
            requests: 0,
            answer: None,
            counted: Vec::new(),
            entitled: Vec::new(),
            restores: BTreeMap::new(),
            mark: 0,
            crashed: false,
            was_off: false,
            tally: Tally { transcript: 0xCBF2_9CE4_8422_2325, ..Tally::default() },
            trace,
        }
    }

    fn play(&mut self, steps: u64) -> Result<(), Broken> {
        self.note(&format!("{:?}", self.faults));
        for item in items() {
            let document = self.new_document(&item);
            self.guard.files.tamper(&item.to_string(), Some(document));
        }
        self.begin_life(true)?;
        while self.step < steps {
            self.step = self.step.saturating_add(1);
            self.random_step()?;
            if self.guard.is_stopped() || self.crashed {
                self.begin_life(false)?;
            }
        }
        self.come_to_rest()
    }

    /// Starts the agent, on a machine that may have lost power; in a first or last life with Last Known Good on.
    fn begin_life(&mut self, is_plain: bool) -> Result<(), Broken> {
        if self.guard.is_stopped() || self.dice.percent(50) {
            self.note("power is lost");
            self.guard.restart();
        }
        (self.orders, self.reports) = (VecDeque::new(), VecDeque::new());
        self.open.clear();
        self.counted.clear();
        self.entitled.clear();
        self.restores.clear();
        self.crashed = false;
        self.tally.lives = self.tally.lives.saturating_add(1);
        let toggles = self.faults.toggles && !is_plain;
        let enabled = !(toggles && self.dice.percent(25));
        self.was_off |= !enabled;
        let audit_only = toggles && self.dice.percent(20);
        let found = self.guard.open(enabled)?;
        let definitions = self.guard.read();
        let on_disk: Blessed = self.guard.on_disk().into_iter().filter(|(item, bytes)| is_valid(item, bytes)).collect();
        self.memory = match &found {
            References::Off | References::First { .. } => on_disk,
            References::Kept { .. } | References::Unusable(_) => self.guard.committed.clone().unwrap_or_default(),
        };
        if matches!(found, References::First { .. }) {
            let wanted = self.memory.iter().map(|(item, bytes)| (item.clone(), serde_json::from_slice(bytes).ok()));
            self.entitled.extend(wanted);
        }
        let lkg = ConfigurationLkg { enabled, audit_only, sweep_seconds: 60 };
        let settings = Settings { configuration_lkg: lkg, ..Settings::default() };
        self.agent = Agent::new(settings, surroundings_of(self.tally.lives, self.now));
        self.note(&format!("life {}: enabled {enabled}, audit only {audit_only}, {found:?}", self.tally.lives));
        let applied_policies = self.applied.values().cloned().collect();
        self.tell(Event::Loaded(Loaded { definitions, references: found, applied_policies, ..Loaded::default() }))?;
        self.tell(Event::Opened(Endpoints { http: 6888, https: 6889, mqtt: 8675 }))
    }

    fn random_step(&mut self) -> Result<(), Broken> {
        let millis = self.dice.below(40);
        self.pass(millis);
        match self.dice.below(100) {
            0..27 => self.carry_out(),
            27..50 => self.report(),
            50..57 => self.look(),
            57..69 => self.edit(),
            69..76 => self.trigger(),
            76..85 => self.write(),
            85..90 => self.administer(),
            90..94 => {
                let millis = self.dice.below(90_000);
                self.pass(millis);
                self.tell(Event::DeadlineReached)
            }
            94 if self.faults.crashes => {
                self.crashed = true;
                Ok(())
            }
            95 => self.fight(),
            _ => {
                let item = self.an_item();
                self.hold_memory(&item)
            }
        }
    }

    fn pass(&mut self, millis: u64) {
        self.now.monotonic = self.now.monotonic.plus_millis(millis);
        let wall = self.now.wall.as_millis().saturating_add(i64::try_from(millis).unwrap_or(i64::MAX));
        self.now.wall = WallTime::from_millis(wall);
    }

    /// Tells the agent one event, and what other ports say to what follows; the store takes its time.
    fn tell(&mut self, event: Event) -> Result<(), Broken> {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            self.note(&format!("{} {event:?}", self.now.monotonic.as_millis()));
            let mut effects = Effects::new();
            self.agent.handle(self.now, event, &mut effects);
            for effect in effects {
                if !matches!(effect, Effect::Log(_)) {
                    self.note(&format!("  {effect:?}"));
                }
                events.extend(self.perform(effect)?);
            }
        }
        let requests = self.open.len();
        if self.orders.len() > ORDERS.saturating_add(requests) {
            return broken("bounded", format!("{} orders wait, {requests} of requests", self.orders.len()));
        }
        Ok(())
    }

    fn perform(&mut self, effect: Effect) -> Result<Option<Event>, Broken> {
        match effect {
            Effect::Store(StoreOrder::PersistRun { ticket, record, .. }) => {
                let run = RunId::from_text(&record.run_id).unwrap_or_else(|| RunId::new(0, 0));
                return Ok(Some(Event::Store(StoreReport::RunPersisted { ticket, run, result: Ok(()) })));
            }
            Effect::Store(StoreOrder::Note(_)) => {}
            Effect::Store(order) => {
                self.judge(&order)?;
                self.orders.push_back(order);
            }
            Effect::Process(ProcessOrder::Spawn(request)) => return self.judge_program(&request).map(Some),
            Effect::Process(ProcessOrder::Inspect { ticket, queries }) => {
                let found = ExecutableFacts { exists: true, executable: true, ..ExecutableFacts::default() };
                let executables = vec![found; queries.len()];
                return Ok(Some(Event::Process(ProcessReport::Inspected { ticket, executables })));
            }
            Effect::Respond { request, response } => self.judge_answer(request, response)?,
            Effect::Process(_)
            | Effect::Broker(_)
            | Effect::Http(_)
            | Effect::Audit(_)
            | Effect::Fleet(_)
            | Effect::Elevation(_)
            | Effect::Stream(_)
            | Effect::Count(_)
            | Effect::Log(_)
            | Effect::LogLevel(_)
            | Effect::Telemetry(_)
            | Effect::Exit => {}
        }
        Ok(None)
    }

    /// The program of a run begins with what counts for its job, and ends at once.
    fn judge_program(&mut self, request: &SpawnRequest) -> Result<Event, Broken> {
        let Owner::Component(Component::Job(job)) = &request.owner else {
            return broken("total", "no plugin starts by itself here");
        };
        let item = Item::new(castellan_core::event::DefinitionKind::Job, job.as_str());
        let counts = self.memory.get(&item).map(|bytes| people::mark_of(bytes));
        if counts.as_deref() != Some(&request.arguments.join(" ")) {
            let detail = format!("{item} runs with {:?}, and {counts:?} counts", request.arguments);
            return broken("blessed-runs", detail);
        }
        self.tally.programs = self.tally.programs.saturating_add(1);
        let (spawn, reason) = (request.spawn, String::from("it ends"));
        Ok(Event::Process(ProcessReport::SpawnFailed { spawn, reason }))
    }

    fn note(&mut self, line: &str) {
        for byte in line.bytes() {
            self.tally.transcript = (self.tally.transcript ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
        (self.trace)(line);
    }
}
