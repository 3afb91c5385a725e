//! A simulated machine around the agent: clock, processes, disk, servers and clients, with faults; every order is held against invariants.
//!
//! A seed fixes the world, its jobs, its faults and every step. A world lives through several lives of its agent: what was written
//! to its disk is what the next life is given. Invariants, by name:
//!
//! | name | what must hold |
//! | --- | --- |
//! | `durable-first` | no program, and no confirmation, before the run's start is on record |
//! | `one-outcome` | a run begins once, ends once, over any number of crashes, and an outcome is durable and final |
//! | `route` | the tasks of every record are those that the contract's paragraph "The run" leads to: retries within their attempts, |
//! | | nothing by a skipped task's `onSuccess`, User tasks without a session failed; a run does one thing at a time |
//! | `places`, `overlap`, `admission` | never more than `MaxConcurrentRuns`; one run of a job at a time; priority, then order |
//! | `due-once`, `missed-once` | a due instant is one run, over any number of lives; what was missed is made up for once, and only where it shall be |
//! | `event-once` | an event message is one run of each job that waits for it, however often it is sent and whatever is lost |
//! | `alternate` | a job stands in for each run that its condition skipped, and for no other |
//! | `one-process` | a plugin never runs twice |
//! | `restart-time`, `back-off` | no process of a plugin comes before its time, nor after a stop; none is late; five ends in a minute fail |
//! | `reason` | the log says why each process of a plugin starts |
//! | `requires` | a plugin starts when what it requires is connected, and never before |
//! | `sessions` | a plugin of users has one process in each session that the agent has heard of, as its user, and none in another |
//! | `sign-of-life` | who answers its pings in time, and has a connection, is not ended; who does not is |
//! | `deadline`, `stop` | the next deadline lies ahead; a stop is over within 8 seconds |
//! | `answered-once` | a request has at most one answer |
//! | `total` | nothing panics |

mod administrator;
pub mod dice;
pub mod faults;
pub mod jobs;
mod ledger;
mod plugins;
mod ports;
pub mod root;
mod senders;
mod sessions;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};

use castellan_core::agent::Agent;
use castellan_core::config::Settings;
use castellan_core::effect::{Effect, Effects};
use castellan_core::event::{DefinitionFile, DefinitionKind, Endpoints, Event, Loaded};
use castellan_core::id::{RequestId, SpawnId};
use castellan_core::time::{Monotonic, Now, WallTime};

use crate::agents::surroundings_of;
use dice::Dice;
use faults::Faults;
use jobs::Job;
pub use ledger::Broken;
use ledger::{Ledger, broken};
use ports::Owed;
use senders::Sender;

/// Steps of a world where none are given.
pub const STEPS: u64 = 300;
/// Milliseconds that a stop may take.
const STOP_MILLIS: u64 = 8000;

/// What a world came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// A hash over every event and every order.
    pub transcript: u64,
    /// Lives of the agent.
    pub lives: u64,
    /// Runs that ended.
    pub runs: usize,
    /// Tasks that were considered by runs that ended in their own life.
    pub tasks: usize,
    /// Processes of plugins.
    pub starts: usize,
    /// Pings that were answered.
    pub answers: usize,
    /// Plugins that were ended because they were silent.
    pub hangs: usize,
    /// Processes for one session of a user.
    pub sessions: usize,
}

/// A seed whose world broke an invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    seed: u64,
    step: u64,
    broken: Broken,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seed, step, broken: Broken { invariant, detail } } = self;
        write!(
            f,
            "seed {seed}, step {step}: {invariant} does not hold: {detail}; replay: cargo sim --seed {seed} --trace"
        )
    }
}

/// Plays one seed to its end; `trace` gets every event and every order as a line.
///
/// # Errors
/// The first invariant that did not hold.
pub fn play(seed: u64, steps: u64, trace: &mut dyn FnMut(&str)) -> Result<Summary, Failure> {
    let mut world = World::new(seed, trace);
    let played = catch_unwind(AssertUnwindSafe(|| world.play(steps)));
    let ended = played.unwrap_or_else(|_| broken("total", "the agent panicked"));
    ended.map_err(|broken| Failure { seed, step: world.step, broken })?;
    Ok(Summary {
        transcript: world.transcript,
        lives: world.boot,
        runs: world.ledger.ended,
        tasks: world.ledger.executed,
        starts: world.plugins.starts,
        answers: world.plugins.answers,
        hangs: world.plugins.hangs,
        sessions: world.plugins.sessions,
    })
}

struct World<'t> {
    dice: Dice,
    faults: Faults,
    places: usize,
    jobs: Vec<Job>,
    agent: Agent,
    boot: u64,
    now: Now,
    step: u64,
    owed: VecDeque<Owed>,
    /// The run of each process tree.
    spawns: BTreeMap<SpawnId, String>,
    /// The signal that each process got last.
    signaled: BTreeMap<SpawnId, i32>,
    /// Programs that do not end by themselves, and whether only SIGKILL ends them.
    hanging: BTreeMap<SpawnId, bool>,
    plugins: plugins::Plugins,
    /// Whether the agent was asked to stop.
    stopping: bool,
    sender: Sender,
    /// Messages that were ever sent.
    messages: u64,
    requests: u64,
    unanswered: BTreeSet<RequestId>,
    ledger: Ledger,
    exited: bool,
    crashed: bool,
    transcript: u64,
    trace: &'t mut dyn FnMut(&str),
}

impl<'t> World<'t> {
    fn new(seed: u64, trace: &'t mut dyn FnMut(&str)) -> Self {
        let mut dice = Dice::new(seed);
        let faults = Faults::draw(&mut dice);
        let places = dice.place(4).saturating_add(1);
        let count = dice.place(5).saturating_add(1);
        let jobs = (0..count).map(|number| Job::random(number, count, &mut dice)).collect();
        // Close to a change of the clock in Vienna, in spring or autumn, or at any time.
        let starts = [1_743_292_800_000, 1_761_433_200_000, 1_700_000_000_000];
        let wall = starts.get(dice.place(starts.len())).copied().unwrap_or_default();
        let now = Now { monotonic: Monotonic::from_millis(1000), wall: WallTime::from_millis(wall) };
        let agent = Agent::new(Settings::default(), surroundings_of(0, now));
        Self {
            dice,
            faults,
            places,
            jobs,
            agent,
            boot: 0,
            now,
            step: 0,
            owed: VecDeque::new(),
            spawns: BTreeMap::new(),
            signaled: BTreeMap::new(),
            hanging: BTreeMap::new(),
            plugins: plugins::Plugins::default(),
            stopping: false,
            sender: Sender::default(),
            messages: 0,
            requests: 0,
            unanswered: BTreeSet::new(),
            ledger: Ledger::default(),
            exited: true,
            crashed: false,
            transcript: 0xCBF2_9CE4_8422_2325,
            trace,
        }
    }

    fn play(&mut self, steps: u64) -> Result<(), Broken> {
        self.note(&format!("{:?}, {} places", self.faults, self.places));
        let documents: Vec<Vec<u8>> = self.jobs.iter().map(Job::document).collect();
        documents.iter().for_each(|document| self.note(&String::from_utf8_lossy(document)));
        while self.step < steps {
            self.step = self.step.saturating_add(1);
            if self.crashed || self.exited {
                self.begin_life()?;
            } else {
                self.random_step()?;
                if !self.crashed && !self.exited {
                    self.ledger.on_step(&self.jobs)?;
                }
            }
            if self.crashed {
                self.die()?;
            }
        }
        // The last lives: nothing fails any more, and all that is left must come to its end.
        self.faults = Faults::default();
        if self.exited || self.crashed {
            self.begin_life()?;
        }
        self.stop()?;
        self.begin_life()?;
        self.stop()?;
        self.ledger.on_end()
    }

    fn begin_life(&mut self) -> Result<(), Broken> {
        self.boot = self.boot.saturating_add(1);
        (self.exited, self.crashed, self.stopping) = (false, false, false);
        self.plugins.begin();
        let settings = Settings { max_concurrent_runs: self.places, ..Settings::default() };
        self.agent = Agent::new(settings, surroundings_of(self.boot, self.now));
        let definitions = self.jobs.iter().map(|job| DefinitionFile {
            kind: DefinitionKind::Job,
            stem: job.id.clone(),
            content: Ok(job.document().into()),
        });
        let definitions = definitions.chain(plugins::definitions()).collect();
        let past = self.ledger.past(&self.jobs);
        let unfinished = self.ledger.disk.values().filter(|record| record.outcome.is_none()).cloned().collect();
        self.tell(Event::Loaded(Loaded { definitions, unfinished, past, ..Loaded::default() }))?;
        if !self.crashed {
            self.tell(Event::Opened(Endpoints { http: 6888, https: 6889, mqtt: 8675 }))?;
        }
        Ok(())
    }

    /// The agent is gone. Where it was killed, a first part of the writes under way is on disk and the rest never was.
    fn die(&mut self) -> Result<(), Broken> {
        let writes: Vec<_> = std::mem::take(&mut self.owed).into_iter().filter_map(Owed::into_write).collect();
        let kept = if self.crashed { self.dice.place(writes.len().saturating_add(1)) } else { writes.len() };
        self.note(&format!("the agent is gone; {kept} of {} writes are on disk", writes.len()));
        for record in writes.into_iter().take(kept) {
            self.ledger.on_written(record)?;
        }
        self.forget_life();
        Ok(())
    }

    fn forget_life(&mut self) {
        self.owed.clear();
        self.spawns.clear();
        self.signaled.clear();
        self.hanging.clear();
        self.sender = Sender::default();
        self.unanswered.clear();
        self.ledger.on_death();
    }

    fn random_step(&mut self) -> Result<(), Broken> {
        let millis = self.dice.below(20);
        self.pass(millis);
        match self.dice.below(100) {
            0..68 if !self.owed.is_empty() => self.answer_next(),
            0..72 => self.trigger(),
            72..74 => self.act_on_plugin(),
            74..77 => self.fire(),
            77 => self.change_sessions(),
            78..92 => {
                let ahead =
                    self.agent.next_deadline(self.now).map_or(1000, |at| at.at.millis_since(self.now.monotonic));
                let far = self.dice.below(3_600_000);
                let millis = if self.dice.percent(80) { ahead } else { far };
                self.pass(millis);
                self.tell(Event::DeadlineReached)
            }
            92..95 if self.faults.clock_jumps => {
                let jump = i64::try_from(self.dice.below(14_400_000)).unwrap_or_default().saturating_sub(7_200_000);
                self.now.wall = WallTime::from_millis(self.now.wall.as_millis().saturating_add(jump));
                if jump < 0 {
                    self.ledger.on_set_back();
                }
                self.tell(Event::DeadlineReached)
            }
            95..97 if self.faults.crashes => {
                self.crashed = true;
                Ok(())
            }
            97 if self.faults.crashes => self.stop(),
            _ => self.answer_next(),
        }
    }

    fn answer_next(&mut self) -> Result<(), Broken> {
        let first = self.owed.front();
        let late = self.faults.late_writes && matches!(first, Some(Owed::Write(..)));
        let slow = self.faults.slow_spawns && matches!(first, Some(Owed::Spawn(_)));
        // What is late lets others pass, but none that must keep its order with it.
        let passing = first.and_then(|first| self.owed.iter().position(|owed| !owed.is_in_line_with(first)));
        let place = if (late || slow) && self.dice.percent(60) {
            passing.unwrap_or_default()
        } else if self.faults.reordered {
            self.dice.place(self.owed.len())
        } else {
            0
        };
        match self.take(place) {
            Some(owed) => self.answer(owed),
            None => Ok(()),
        }
    }

    /// Takes what is owed at a place; writes and what concerns one process keep their order among themselves.
    fn take(&mut self, place: usize) -> Option<Owed> {
        let wanted = self.owed.get(place)?;
        let first = self.owed.iter().position(|owed| owed.is_in_line_with(wanted)).unwrap_or(place);
        self.owed.remove(first)
    }

    /// A stop that somebody asked for; the ports answer meanwhile, and the agent exits in time.
    fn stop(&mut self) -> Result<(), Broken> {
        let begin = self.now.monotonic;
        self.stopping = true;
        self.tell(Event::StopRequested(String::from("SIGTERM")))?;
        while !self.exited && !self.crashed {
            if !self.owed.is_empty() {
                self.answer_next()?;
            } else if let Some(deadline) = self.agent.next_deadline(self.now) {
                self.pass(deadline.at.millis_since(self.now.monotonic));
                self.tell(Event::DeadlineReached)?;
            } else {
                return broken("stop", "nothing is owed, nothing is due, and the agent is not gone");
            }
        }
        let took = self.now.monotonic.millis_since(begin);
        if took > STOP_MILLIS {
            return broken("stop", format!("it took {took} ms"));
        }
        if self.exited {
            self.die()?;
        }
        Ok(())
    }

    fn pass(&mut self, millis: u64) {
        self.now.monotonic = self.now.monotonic.plus_millis(millis);
        let wall = self.now.wall.as_millis().saturating_add(i64::try_from(millis).unwrap_or(i64::MAX));
        self.now.wall = WallTime::from_millis(wall);
    }

    /// Tells the agent one event; what follows is judged and performed, up to the point where the agent may be killed.
    fn tell(&mut self, event: Event) -> Result<(), Broken> {
        // The definitions stand at the beginning of the world.
        let told = if let Event::Loaded(loaded) = &event {
            format!("Loaded, unfinished {:?}, past {:?}", loaded.unfinished, loaded.past)
        } else {
            format!("{event:?}")
        };
        self.note(&format!("{} {told}", self.now.monotonic.as_millis()));
        let mut effects = Effects::new();
        self.agent.handle(self.now, event, &mut effects);
        if let Some(deadline) = self.agent.next_deadline(self.now).filter(|deadline| deadline.at <= self.now.monotonic)
        {
            return broken("deadline", format!("{deadline:?} is over at {:?}", self.now.monotonic));
        }
        let cut = if self.faults.crashes && self.dice.percent(1) { self.dice.place(effects.len()) } else { usize::MAX };
        let mut lost = Vec::new();
        for (place, effect) in effects.into_iter().enumerate() {
            if place >= cut {
                self.crashed = true;
                return Ok(());
            }
            // Lines of the log say again what the orders beside them do.
            if !matches!(effect, Effect::Log(_)) {
                self.note(&format!("  {effect:?}"));
            }
            lost.extend(self.perform(effect)?);
        }
        if !self.stopping && !self.exited {
            self.plugins.on_told(self.now.monotonic)?;
        }
        for event in lost {
            if !self.exited && !self.crashed {
                self.tell(event)?;
            }
        }
        Ok(())
    }

    fn note(&mut self, line: &str) {
        for byte in line.bytes() {
            self.transcript = (self.transcript ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
        (self.trace)(line);
    }
}
