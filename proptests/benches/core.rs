//! What the core costs: conditions, routing, events among many jobs, and reading many jobs. The figures stand in
//! `docs/performance.md`.
#![allow(
    missing_docs,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::panic,
    reason = "criterion's macros; a bench may fail by panicking"
)]

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
use castellan_core::time::{Monotonic, Now, WallTime};
use castellan_proptests::agents::surroundings_of;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Value, json};

const JOBS: usize = 10_000;
const TASKS: u64 = 1000;
const NOW: Now = Now { monotonic: Monotonic::from_millis(1000), wall: WallTime::from_millis(1_700_000_000_000) };

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

fn file(stem: String, content: Vec<u8>) -> DefinitionFile {
    DefinitionFile { kind: DefinitionKind::Job, stem, content: Ok(content) }
}

fn loaded(definitions: Vec<DefinitionFile>) -> Agent {
    let mut agent = Agent::new(Settings::default(), surroundings_of(1, NOW));
    agent.handle(NOW, Event::Loaded(Loaded { definitions, ..Loaded::default() }), &mut Effects::new());
    agent.handle(NOW, Event::Opened(Endpoints { http: 1, https: 2, mqtt: 3 }), &mut Effects::new());
    agent
}

fn many() -> Vec<DefinitionFile> {
    (0..JOBS).map(|number| file(format!("job-{number}"), document(number))).collect()
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

/// Answers every write until the agent asks for nothing more; the number of orders it gave.
fn settle(agent: &mut Agent, mut effects: Effects) -> usize {
    let mut orders = 0;
    while !effects.is_empty() {
        let mut next = Effects::new();
        for effect in effects {
            orders += 1;
            if let Effect::Store(StoreOrder::PersistRun { ticket, record }) = effect {
                let run = RunId::from_text(&record.run_id).unwrap();
                let report = StoreReport::RunPersisted { ticket, run, result: Ok(()) };
                agent.handle(NOW, Event::Store(report), &mut next);
            }
        }
        effects = next;
    }
    orders
}

fn fire(agent: &mut Agent, event: Event) -> usize {
    let mut effects = Effects::new();
    agent.handle(NOW, event, &mut effects);
    settle(agent, effects)
}

fn condition(c: &mut Criterion) {
    let text = "RiskLevel > 50 && (UserName == \"alice\" || !HasDesktop) && Folder startsWith \"/srv\" && Count <= 3";
    let condition = Condition::parse_expression(text).unwrap();
    let lookup = |name: &str| -> Option<Value> {
        Some(match name {
            "RiskLevel" => json!(70),
            "UserName" => json!("bob"),
            "HasDesktop" => json!(false),
            "Folder" => json!("/srv/files"),
            _ => json!(3),
        })
    };
    assert!(condition.evaluate(&lookup).holds);
    c.bench_function("condition of five terms", |b| b.iter(|| black_box(&condition).evaluate(&lookup).holds));
}

fn tasks(c: &mut Criterion) {
    let list: Vec<Value> =
        (0..TASKS).map(|nth| json!({"id": format!("t{nth}"), "command": "echo", "arguments": "{RunId}"})).collect();
    let job = json!({"id": "long", "name": "long", "events": ["Go"], "tasks": list});
    let mut agent = loaded(vec![file(String::from("long"), job.to_string().into_bytes())]);
    let event = fired("Go");
    assert!(fire(&mut agent, event.clone()) > 2000);
    let mut group = c.benchmark_group("tasks");
    group.throughput(Throughput::Elements(TASKS));
    group.sample_size(20);
    group.bench_function("a run of 1,000 tasks, told in full", |b| b.iter(|| fire(&mut agent, event.clone())));
    // A task that is skipped is routed and recorded, and nothing else.
    let list: Vec<Value> = (0..TASKS)
        .map(|nth| json!({"id": format!("t{nth}"), "command": "echo", "osFilter": {"windows": true}}))
        .collect();
    let job = json!({"id": "long", "name": "long", "events": ["Go"], "tasks": list});
    let mut agent = loaded(vec![file(String::from("long"), job.to_string().into_bytes())]);
    group.bench_function("routing 1,000 tasks that are skipped", |b| b.iter(|| fire(&mut agent, event.clone())));
    group.finish();
}

fn events(c: &mut Criterion) {
    let mut agent = loaded(many());
    let (nobody, one) = (fired("Nobody"), fired("Event5000"));
    assert!(fire(&mut agent, one.clone()) > 4);
    let mut group = c.benchmark_group("an event among 10,000 jobs");
    group.bench_function("that nobody waits for", |b| b.iter(|| fire(&mut agent, nobody.clone())));
    group.bench_function("to one whole run, whose condition is false", |b| b.iter(|| fire(&mut agent, one.clone())));
    group.finish();
}

fn definitions(c: &mut Criterion) {
    let files = many();
    let mut group = c.benchmark_group("10,000 job files");
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    group.bench_function("parse", |b| {
        b.iter(|| {
            let jobs = files.iter().filter_map(|file| file.content.as_deref().ok());
            assert_eq!(jobs.filter(|bytes| JobDefinition::parse(bytes, None).is_ok()).count(), JOBS);
        });
    });
    group.bench_function("into service, each with a schedule", |b| b.iter(|| loaded(files.clone())));
    group.finish();
}

criterion_group!(benches, condition, tasks, events, definitions);
criterion_main!(benches);
