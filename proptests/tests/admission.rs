//! Law of admission: which triggers become runs and which waiting run starts next is what a plain list says.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by panicking")]

use std::cmp::Reverse;
use std::collections::BTreeMap;

use castellan_core::agent::Agent;
use castellan_core::config::Settings;
use castellan_core::effect::{Effect, Effects, ProcessOrder, StoreOrder};
use castellan_core::event::{
    Captured, DefinitionFile, DefinitionKind, Endpoints, Event, ExecutableFacts, ExitStatus, Loaded, ProcessReport,
    StoreReport,
};
use castellan_core::id::{RunId, SpawnId};
use castellan_core::limits::QUEUED_RUNS;
use castellan_core::time::{Monotonic, Now, WallTime};
use castellan_proptests::agents::{request_of_an_administrator, surroundings_of};
use castellan_proptests::laws::config;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Overlap {
    Queue,
    Skip,
    Parallel,
}

/// A job by its number: priority and overlap.
type Job = (u64, Overlap);

#[derive(Debug, Clone)]
enum Step {
    /// The job of this number is triggered so many times.
    Trigger(usize, usize),
    /// One of the runs that run ends.
    End(usize),
}

/// The contract's words as a list: runs in the order of their triggers, with their job, and whether they run.
#[derive(Debug, Default)]
struct Model {
    runs: Vec<(u64, usize, bool)>,
    triggers: u64,
}

impl Model {
    fn trigger(&mut self, jobs: &[Job], places: usize, job: usize) -> bool {
        let is_there = self.runs.iter().any(|(_, other, _)| *other == job);
        let waiting = self.runs.iter().filter(|(_, _, runs)| !runs).count();
        if (jobs[job].1 == Overlap::Skip && is_there) || waiting >= QUEUED_RUNS {
            return false;
        }
        self.triggers = self.triggers.saturating_add(1);
        self.runs.push((self.triggers, job, false));
        self.admit(jobs, places);
        true
    }

    fn admit(&mut self, jobs: &[Job], places: usize) {
        while self.running().len() < places {
            let beside = |job: usize| self.runs.iter().any(|(_, other, runs)| *runs && *other == job);
            let free = |job: usize| jobs[job].1 == Overlap::Parallel || !beside(job);
            let waiting = self.runs.iter().filter(|(_, job, runs)| !runs && free(*job));
            let Some(next) = waiting.min_by_key(|(order, job, _)| (Reverse(jobs[*job].0), *order)).map(|run| run.0)
            else {
                return;
            };
            for run in self.runs.iter_mut().filter(|run| run.0 == next) {
                run.2 = true;
            }
        }
    }

    fn running(&self) -> Vec<u64> {
        self.runs.iter().filter(|(_, _, runs)| *runs).map(|(order, _, _)| *order).collect()
    }
}

/// The agent with ports that answer at once; programs run until they are told to end.
struct Service {
    agent: Agent,
    requests: u64,
    status: u16,
    programs: BTreeMap<SpawnId, u64>,
}

impl Service {
    fn new(jobs: &[Job], places: usize) -> Self {
        let settings = Settings { max_concurrent_runs: places, ..Settings::default() };
        let now = Now { monotonic: Monotonic::from_millis(0), wall: WallTime::from_millis(0) };
        let agent = Agent::new(settings, surroundings_of(1, now));
        let mut service = Self { agent, requests: 0, status: 0, programs: BTreeMap::new() };
        let file = |(number, (priority, overlap)): (usize, &Job)| {
            let overlap = format!("{overlap:?}").to_ascii_lowercase();
            let id = format!("j{number}");
            let tasks = json!([{ "id": "t", "command": "x", "arguments": "{RunId}" }]);
            let document = json!({ "id": id, "priority": priority, "overlap": overlap, "tasks": tasks });
            DefinitionFile {
                kind: DefinitionKind::Job,
                stem: id,
                content: Ok(document.to_string().into_bytes().into()),
            }
        };
        let definitions = jobs.iter().enumerate().map(file).collect();
        service.tell(Event::Loaded(Loaded { definitions, ..Loaded::default() }));
        service.tell(Event::Opened(Endpoints { http: 6888, https: 6889, mqtt: 8675 }));
        service
    }

    fn trigger(&mut self, job: usize) -> bool {
        self.requests = self.requests.saturating_add(1);
        let target = format!("/api/Jobs/j{job}/trigger");
        self.tell(Event::Api(request_of_an_administrator(self.requests, "POST", &target, "")));
        self.status == 202
    }

    fn end(&mut self, spawn: SpawnId) {
        self.programs.remove(&spawn);
        self.tell(Event::Process(ProcessReport::Exited { spawn, status: ExitStatus::Code(0) }));
    }

    fn tell(&mut self, event: Event) {
        let now = Now { monotonic: Monotonic::from_millis(1), wall: WallTime::from_millis(1) };
        let mut events = std::collections::VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let mut effects = Effects::new();
            self.agent.handle(now, event, &mut effects);
            events.extend(effects.into_iter().filter_map(|effect| self.answer(effect)));
        }
    }

    fn answer(&mut self, effect: Effect) -> Option<Event> {
        let report = match effect {
            Effect::Respond { response, .. } => {
                self.status = response.status;
                return None;
            }
            Effect::Store(StoreOrder::PersistRun { ticket, record, .. }) => {
                let run = RunId::from_text(&record.run_id).unwrap();
                return Some(Event::Store(StoreReport::RunPersisted { ticket, run, result: Ok(()) }));
            }
            Effect::Process(ProcessOrder::Spawn(request)) => {
                let number = request.arguments[0].split_once('-').unwrap().1.parse().unwrap();
                self.programs.insert(request.spawn, number);
                let path = String::from("/x");
                ProcessReport::Prepared {
                    spawn: request.spawn,
                    pid: u32::try_from(request.spawn.0).unwrap().saturating_add(1000),
                    cgroup: Some(request.spawn.0.saturating_add(1_000_000)),
                    executable: ExecutableFacts { path, exists: true, executable: true, ..ExecutableFacts::default() },
                    user: None,
                }
            }
            Effect::Process(ProcessOrder::Release { spawn, .. }) => ProcessReport::Started { spawn },
            Effect::Process(ProcessOrder::Collect { spawn }) => {
                ProcessReport::Collected { spawn, stdout: Captured::default(), stderr: Captured::default() }
            }
            Effect::Process(ProcessOrder::Discard { spawn }) => ProcessReport::Discarded { spawn },
            Effect::Process(
                ProcessOrder::Abort { .. }
                | ProcessOrder::Signal { .. }
                | ProcessOrder::Peek { .. }
                | ProcessOrder::Inspect { .. }
                | ProcessOrder::Examine { .. },
            )
            | Effect::Store(_)
            | Effect::Stream(_)
            | Effect::Broker(_)
            | Effect::Http(_)
            | Effect::Log(_)
            | Effect::LogLevel(_)
            | Effect::Audit(_)
            | Effect::Fleet(_)
            | Effect::Elevation(_)
            | Effect::Count(_)
            | Effect::Telemetry(_)
            | Effect::Exit => return None,
        };
        Some(Event::Process(report))
    }

    /// The runs that run, by their place in the order of triggers.
    fn running(&self) -> Vec<u64> {
        let mut running: Vec<u64> = self.programs.values().copied().collect();
        running.sort_unstable();
        running
    }
}

fn job() -> impl Strategy<Value = Job> {
    (1..=10_u64, prop_oneof![2 => Just(Overlap::Queue), 1 => Just(Overlap::Skip), 2 => Just(Overlap::Parallel)])
}

fn step() -> impl Strategy<Value = Step> {
    let burst = prop_oneof![20 => 1..4_usize, 1 => 100..200_usize];
    prop_oneof![
        2 => (0..4_usize, burst).prop_map(|(job, times)| Step::Trigger(job, times)),
        3 => any::<usize>().prop_map(Step::End),
    ]
}

proptest! {
    #![proptest_config(config(100))]

    #[test]
    fn runs_start_in_their_order_in_so_many_places(
        jobs in vec(job(), 4),
        places in 1..5_usize,
        steps in vec(step(), 1..60),
    ) {
        let (mut service, mut model) = (Service::new(&jobs, places), Model::default());
        for step in steps {
            match step {
                Step::Trigger(job, times) => {
                    for _ in 0..times {
                        prop_assert_eq!(service.trigger(job), model.trigger(&jobs, places, job));
                    }
                }
                Step::End(which) => {
                    let Some(place) = which.checked_rem(service.programs.len()) else { continue };
                    let (spawn, order) = service.programs.iter().nth(place).map(|(spawn, order)| (*spawn, *order)).unwrap();
                    service.end(spawn);
                    model.runs.retain(|run| run.0 != order);
                    model.admit(&jobs, places);
                }
            }
            prop_assert_eq!(service.running(), model.running());
        }
    }
}
