//! What the core costs in processor time: conditions, routing, events among many jobs, the simulator, reading many jobs, and
//! policies.
//! The figures stand in `docs/performance.md`.
#![allow(
    missing_docs,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    clippy::panic,
    reason = "criterion's macros; a bench may fail by panicking"
)]

#[path = "core/cpu_time.rs"]
mod cpu_time;

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use castellan_core::acl::Subject;
use castellan_core::agent::Agent;
use castellan_core::config::Settings;
use castellan_core::effect::{Effect, Effects, StoreOrder};
use castellan_core::event::{BrokerReport, DefinitionFile, DefinitionKind, Endpoints, Event, Loaded, StoreReport};
use castellan_core::id::{Component, JobId, RunId, SpawnId};
use castellan_core::job::JobDefinition;
use castellan_core::job::condition::Condition;
use castellan_core::policy::{LocalTime, PolicySet, PolicySource, PolicyType, Request, User, Verdict};
use castellan_core::run::history::Outcome;
use castellan_core::simulation::{Assumptions, Scenario, Trigger, simulate};
use castellan_core::time::{Monotonic, Now, WallTime};
use castellan_proptests::agents::surroundings_of;
use cpu_time::CpuTime;
use criterion::measurement::Measurement;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Map, Value, json};

const JOBS: usize = 10_000;
const POLICIES: usize = 1000;
const TASKS: u64 = 1000;
/// Tasks of the job that goes round until it executed `TASKS` of them.
const ROUND: u64 = 20;
const WALL: WallTime = WallTime::from_millis(1_700_000_000_000);
/// Events between two looks at the clock.
const FIRED_TOGETHER: u64 = 10;
/// Time between two events: more than what lets events start a job 100 times a minute. The wall clock stands, so no schedule is due.
const STEP_MILLIS: u64 = 1000;

/// A job such as integrators write, started by an event of its own.
fn document(number: usize) -> Vec<u8> {
    let id = format!("job-{number}");
    let json = json!({
        "id": id, "name": format!("Job {number}"), "description": "Scans a folder and reports what it found.", "enabled": true,
        "priority": 5, "events": [{"eventType": "Custom", "customEvent": format!("Event{number}")}],
        "schedule": {"cronExpression": format!("{} {} * * mon-fri", number % 60, number % 24)},
        "parameters": [{"name": "Folder", "type": "string", "defaultValue": "/srv"}, {"name": "Depth", "type": "integer", "default": 3}],
        "condition": "Depth > 5 && Folder startsWith \"/srv\"",
        "mqttTopics": {"allowedPublications": ["KeeperLogger"], "allowedSubscriptions": [format!("{id}/#")]},
        "tasks": [
            {"id": "scan", "name": "Scan", "command": "scanner", "arguments": "--folder {Folder} --depth {Depth}",
             "timeoutSeconds": 600, "mergeStdoutJsonIntoContext": true, "onFailure": "report"},
            {"id": "report", "name": "Report", "command": "publish-mqtt", "arguments": "--topic KeeperLogger --payload {LastExitCode}"},
        ],
    });
    json.to_string().into_bytes()
}

fn file(stem: &str, content: Vec<u8>) -> DefinitionFile {
    DefinitionFile { kind: DefinitionKind::Job, stem: stem.to_owned(), content: Ok(content.into()) }
}

/// A job whose tasks are carried out one after the other, each as `task` says with its number.
fn list(task: impl Fn(u64) -> Value) -> DefinitionFile {
    let tasks: Vec<Value> = (0..TASKS).map(task).collect();
    file("long", json!({"id": "long", "name": "long", "events": ["Go"], "tasks": tasks}).to_string().into_bytes())
}

fn many() -> Vec<DefinitionFile> {
    (0..JOBS).map(|number| file(&format!("job-{number}"), document(number))).collect()
}

/// An agent at work, and its monotonic clock.
struct AtWork {
    agent: Agent,
    millis: u64,
    /// The orders of one event; kept for its room, as the service keeps its own.
    effects: Effects,
}

impl AtWork {
    fn with(definitions: Vec<DefinitionFile>) -> Self {
        let start = Now { monotonic: Monotonic::default(), wall: WALL };
        let mut agent = Agent::new(Settings::default(), surroundings_of(1, start));
        agent.handle(start, Event::Loaded(Loaded { definitions, ..Loaded::default() }), &mut Effects::new());
        agent.handle(start, Event::Opened(Endpoints { http: 1, https: 2, mqtt: 3 }), &mut Effects::new());
        Self { agent, millis: 0, effects: Effects::new() }
    }

    /// Tells the agent something and takes its orders; the writes that it asked for come after `unanswered`.
    fn tell(&mut self, event: Event, unanswered: &mut VecDeque<StoreReport>) -> usize {
        let now = Now { monotonic: Monotonic::from_millis(self.millis), wall: WALL };
        self.agent.handle(now, event, &mut self.effects);
        let orders = self.effects.len();
        for effect in self.effects.drain(..) {
            if let Effect::Store(StoreOrder::PersistRun { ticket, record, .. }) = effect {
                let run = RunId::from_text(&record.run_id).unwrap();
                unanswered.push_back(StoreReport::RunPersisted { ticket, run, result: Ok(()) });
            }
        }
        orders
    }

    /// An event a while after the last, up to the orders that follow from it.
    fn fire(&mut self, event: Event, unanswered: &mut VecDeque<StoreReport>) -> usize {
        self.millis += STEP_MILLIS;
        self.tell(event, unanswered)
    }

    /// Answers every write until the agent asks for nothing more; the number of orders it gave.
    fn settle(&mut self, unanswered: &mut VecDeque<StoreReport>) -> usize {
        let mut orders = 0;
        while let Some(report) = unanswered.pop_front() {
            orders += self.tell(Event::Store(report), unanswered);
        }
        orders
    }

    /// A whole run.
    fn run(&mut self, event: Event) -> usize {
        let mut unanswered = VecDeque::new();
        self.fire(event, &mut unanswered) + self.settle(&mut unanswered)
    }
}

fn fired(name: &str) -> Event {
    let subject = Subject {
        component: Component::Job(JobId::parse("job-1").unwrap()),
        run: None,
        spawn: SpawnId(1),
        pid: 1,
        client_id: String::from("job-1_T_1"),
    };
    let payload: Arc<[u8]> = json!({"eventName": name, "context": {}}).to_string().into_bytes().into();
    Event::Broker(BrokerReport::Published { subject, topic: String::from("EventMessages"), payload, packet: None })
}

fn condition(c: &mut Criterion<CpuTime>) {
    let text = "RiskLevel > 50 && (UserName == \"alice\" || !HasDesktop) && Folder startsWith \"/srv\" && Count <= 3";
    let condition = Condition::parse_expression(text).unwrap();
    let context = json!({"RiskLevel": 70, "UserName": "bob", "HasDesktop": false, "Folder": "/srv/files", "Count": 3});
    let lookup = |name: &str| context.get(name).map(Cow::Borrowed);
    assert!(condition.evaluate(&lookup).holds);
    c.bench_function("condition of five terms, with its explanation", |b| {
        b.iter(|| black_box(&condition).evaluate(&lookup));
    });
}

fn tasks(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("a run of 1,000 tasks");
    group.throughput(Throughput::Elements(TASKS)).sample_size(20);
    let echo = |nth| json!({"id": format!("t{nth}"), "command": "echo", "arguments": "{RunId}"});
    // A task that is skipped is routed and recorded, and nothing else.
    let skipped = |nth| json!({"id": format!("t{nth}"), "command": "echo", "osFilter": {"windows": true}});
    for (name, job) in [("of echo, told in full", list(echo)), ("that are skipped: routing alone", list(skipped))] {
        let mut at_work = AtWork::with(vec![job]);
        group.bench_function(name, |b| b.iter(|| assert!(at_work.run(fired("Go")) > 1000)));
    }
    group.finish();
}

fn simulator(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("the simulator, 1,000 task executions");
    group.throughput(Throughput::Elements(TASKS)).sample_size(20);
    for (name, command) in [("of programs", "scanner"), ("of echo", "echo")] {
        let task = |nth: u64| {
            json!({"id": format!("t{nth}"), "command": command, "arguments": "--run {RunId}",
                   "onSuccess": format!("t{}", (nth + 1) % ROUND)})
        };
        let job = json!({"id": "round", "name": "round", "tasks": (0..ROUND).map(task).collect::<Vec<_>>()});
        let scenario = Scenario {
            surroundings: surroundings_of(1, Now::default()),
            settings: Settings::default(),
            definitions: vec![file("round", job.to_string().into_bytes())],
            trigger: Trigger::Job { id: String::from("round"), context: Map::new() },
            assumptions: Assumptions::default(),
            at: WALL,
        };
        let play = |scenario| {
            let story = simulate(scenario);
            let run = story.runs.first().unwrap();
            assert_eq!((run.outcome, run.tasks.len()), (Some(Outcome::Failed), 1000));
        };
        group.bench_function(name, |b| b.iter_batched(|| scenario.clone(), play, BatchSize::SmallInput));
    }
    group.finish();
}

fn events(c: &mut Criterion<CpuTime>) {
    let mut at_work = AtWork::with(many());
    assert!(at_work.run(fired("Event5000")) > 4);
    let mut group = c.benchmark_group("an event among 10,000 jobs");
    let nobody = fired("Nobody");
    group.bench_function("that nobody waits for", |b| b.iter(|| at_work.run(nobody.clone())));
    let one = fired("Event5000");
    group.bench_function("to one whole run, whose condition is false", |b| b.iter(|| at_work.run(one.clone())));
    // Measured is what leads to the order to record the run; the run itself is played out between two measurements.
    // The lists are kept for their room: a large piece asked for between two measurements makes malloc sweep the whole heap.
    let some: Vec<Event> = (0..FIRED_TOGETHER).map(|number| fired(&format!("Event{}", number * 700))).collect();
    let (mut events, mut unanswered) = (Vec::with_capacity(some.len()), VecDeque::with_capacity(some.len()));
    group.bench_function("to one job, up to its admission", |b| {
        b.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            for _ in 0..iterations.div_ceil(FIRED_TOGETHER) {
                events.extend(some.iter().cloned());
                let started = CpuTime.start();
                for event in events.drain(..) {
                    at_work.fire(event, &mut unanswered);
                }
                spent += CpuTime.end(started);
                assert_eq!(unanswered.len(), some.len());
                at_work.settle(&mut unanswered);
            }
            spent.mul_f64(iterations as f64 / (iterations.div_ceil(FIRED_TOGETHER) * FIRED_TOGETHER) as f64)
        });
    });
    group.finish();
}

fn definitions(c: &mut Criterion<CpuTime>) {
    let files = many();
    let mut group = c.benchmark_group("10,000 job files");
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    group.bench_function("parse", |b| {
        b.iter(|| {
            let jobs = files.iter().filter_map(|file| file.content.as_deref().ok());
            assert_eq!(jobs.filter(|bytes| JobDefinition::parse(bytes, None).is_ok()).count(), JOBS);
        });
    });
    group.bench_function("into service, each with a schedule", |b| {
        b.iter_batched(|| files.clone(), AtWork::with, BatchSize::PerIteration);
    });
    group.finish();
}

/// A policy such as administrators write, for one group and some programs on some machines in office hours.
fn policy(number: usize) -> String {
    let check = |name| json!({ "RuleExpressionType": "BuiltInAction", "Expression": name });
    let json = json!({
        "PolicyId": format!("policy-{number}"), "PolicyName": format!("Policy {number}"), "PolicyType": "PrivilegeElevation",
        "Status": "enforce", "Actions": { "OnSuccess": { "Controls": ["MFA", "JUSTIFY"] } },
        "Rules": [check("CheckUser()"), check("CheckMachine()"), check("CheckFile(false)"), check("CheckTime()")],
        "UserCheck": [format!("user-{number}"), format!("@team-{}", number % 100), format!("@site-{}", number % 7)],
        "MachineCheck": ["*"], "ApplicationCheck": [format!("/opt/tool-{number}/bin/*"), "/usr/sbin/*", format!("tool-{number}")],
        "TimeCheck": [{ "StartTime": "7", "EndTime": "19" }],
    });
    json.to_string()
}

/// A user of twenty groups, who matches one policy in 700.
fn elevation() -> Request {
    Request {
        policy_type: PolicyType::PrivilegeElevation,
        user: User {
            uid: 1000,
            name: String::from("alice"),
            groups: (0..20).map(|number| format!("site-{}", number + 6)).collect(),
        },
        machine: String::from("build-7"),
        file_path: String::from("/opt/tool-6/bin/restart"),
        command_line: String::from("restart --now"),
        arguments: vec![String::from("--now")],
        has_desktop: true,
        at: LocalTime::parse("2026-12-24T09:30:00+01:00").unwrap(),
        signer: None,
        variables: BTreeMap::new(),
    }
}

fn policies(c: &mut Criterion<CpuTime>) {
    let documents: Vec<(String, String)> =
        (0..POLICIES).map(|number| (format!("file-{number}"), policy(number))).collect();
    let sources: Vec<PolicySource<'_>> = documents
        .iter()
        .map(|(name, text)| PolicySource { name, content: Ok(text.as_bytes()), distrust: None })
        .collect();
    let set = PolicySet::compile(&sources, &[]);
    let request = elevation();
    assert!(matches!(set.evaluate(&request).verdict(), Verdict::Pending(_)), "one policy matches");
    let mut group = c.benchmark_group("1,000 policies");
    group.bench_function("evaluated", |b| b.iter(|| black_box(set.evaluate(black_box(&request)).verdict())));
    group.bench_function("explained", |b| b.iter(|| black_box(set.evaluate(black_box(&request)).decision_listing(20))));
    group.bench_function("explained in full", |b| b.iter(|| black_box(set.evaluate(black_box(&request)).decision())));
    group.bench_function("compiled", |b| b.iter(|| black_box(PolicySet::compile(&sources, &[]))));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = condition, tasks, simulator, events, definitions, policies
}
criterion_main!(benches);
