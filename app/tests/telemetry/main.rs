//! The binary with the feature `otlp`, and a collector: one story as one trace, with its log and its figures; and collectors that fail.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::print_stderr,
    reason = "a test may fail by panicking, and says when it leaves something out"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a test starts the binary, deploys files as an administrator does, and bounds its waiting"
)]

mod collector;

#[path = "../service"]
mod service {
    #[expect(dead_code, unused_imports, reason = "the stories of the service need more of it")]
    pub(crate) mod support;
}

use std::os::unix::fs::PermissionsExt;

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Figure;
use serde_json::{Value, json};

use collector::{Collector, attribute, hexadecimal};
use service::support::{Agent, Stage, eventually};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

fn tell(stage: &Stage, endpoint: &str) {
    stage.settings(json!({ "Telemetry": { "Endpoint": endpoint, "IntervalSeconds": 1 } }));
}

fn second() -> Value {
    json!({
        "id": "second",
        "events": ["Found"],
        "mqttTopics": { "allowedPublications": ["found/#"], "allowedSubscriptions": [] },
        "tasks": [ { "id": "say", "command": "publish-mqtt", "arguments": "--topic found/two --payload 22" } ]
    })
}

/// Waits until the figure of this family and outcome is at least so much.
fn figure(collector: &Collector, name: &str, outcome: &str, least: i64) {
    eventually(&format!("{name} {outcome} of {least}"), || {
        let metrics = collector.metrics();
        let metric = metrics.iter().rev().find(|metric| metric.name == name)?;
        let Some(Data::Sum(sum)) = &metric.data else { panic!("{metric:#?}") };
        let point = sum.data_points.iter().find(|point| attribute(&point.attributes, "outcome") == outcome)?;
        (matches!(point.value, Some(Figure::AsInt(value)) if value >= least)).then_some(())
    });
}

#[test]
fn an_event_its_run_a_tasks_publish_and_the_run_that_it_started_are_one_trace_with_their_log_and_figures() {
    let collector = Collector::start(200);
    let stage = Stage::new();
    let token = stage.folder().join("token");
    std::fs::write(&token, "Authorization: Bearer hunter2\n").unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    stage.settings(json!({ "Telemetry": {
        "Endpoint": format!("{}/otlp/", collector.endpoint()), "HeadersFile": token, "IntervalSeconds": 1
    } }));
    let mut first = stage.puppet_job("first", &["EventMessages", "KeeperLogger", "found/#"], &[]);
    first["events"] = json!(["Go"]);
    stage.job(&first);
    stage.job(&second());
    let agent = stage.start();
    let fired = agent.call("POST", "/api/events").header("traceparent", &format!("00-{TRACE}-{CALLER}-01"));
    assert_eq!(fired.json(&json!({ "eventName": "Go" })).send().status, 202);
    let mut puppet = stage.puppet("first");
    let parent = puppet.environment()["TRACEPARENT"].as_str().unwrap().to_owned();
    puppet.connect(agent.mqtt);
    puppet.publish("found/one", "1");
    puppet.log("hello");
    puppet.publish("EventMessages", r#"{"eventName":"Found"}"#);
    eventually("the second run", || agent.runs("second").iter().any(|run| run["outcome"] == "Succeeded").then_some(()));
    puppet.exit(3, "");

    let expect = [
        "event Found < publish EventMessages < task act < run first < event Go",
        "event Go",
        "publish EventMessages < task act < run first < event Go",
        "publish found/one < task act < run first < event Go",
        "publish found/two < task say < run second < event Found < publish EventMessages < task act < run first < event Go",
        "run first < event Go",
        "run second < event Found < publish EventMessages < task act < run first < event Go",
        "task act < run first < event Go",
        "task say < run second < event Found < publish EventMessages < task act < run first < event Go",
    ];
    let spans =
        eventually("the spans of the story", || Some(collector.spans()).filter(|spans| spans.len() >= expect.len()));
    assert_eq!(collector::tree(&spans), expect);
    assert!(spans.iter().all(|span| hexadecimal(&span.trace_id) == TRACE));
    let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    assert_eq!(hexadecimal(&named("event Go").parent_span_id), CALLER, "it hangs under its caller");
    let (run, task) = (named("run first"), named("task act"));
    assert_eq!(attribute(&run.attributes, "castellan.run.outcome"), "Failed");
    assert_eq!(run.status.as_ref().unwrap().code, 2);
    assert_eq!(attribute(&task.attributes, "process.exit.code"), "3");
    assert_eq!(attribute(&named("publish found/one").attributes, "messaging.mqtt.qos"), "1");
    let inside = |span: &collector::Span| {
        span.start_time_unix_nano >= task.start_time_unix_nano && span.end_time_unix_nano <= task.end_time_unix_nano
    };
    assert!(inside(named("publish found/one")) && inside(named("run second")), "{spans:#?}");
    assert_eq!(named("run second").status, None);

    // The task's line hangs under its span, which its program was told, in the log file, too.
    let span = hexadecimal(&task.span_id);
    assert_eq!(parent, format!("00-{TRACE}-{span}-01"));
    let hello =
        eventually("the task's line", || collector.logs().into_iter().find(|line| collector::body(line) == "hello"));
    assert_eq!((hexadecimal(&hello.trace_id).as_str(), hexadecimal(&hello.span_id)), (TRACE, span.clone()));
    assert_eq!(attribute(&hello.attributes, "castellan.component"), "job:first");
    let line = agent.logged("the same line", |line| line["message"] == "hello");
    assert_eq!((line["traceId"].as_str(), line["spanId"].as_str()), (Some(TRACE), Some(span.as_str())));
    eventually("the agent's own line", || {
        let logs = collector.logs();
        let ended = logs.iter().find(|line| collector::body(line).contains("ended as Failed. 'act'"))?;
        assert_eq!(ended.span_id, run.span_id);
        Some(())
    });
    figure(&collector, "castellan_runs_total", "Succeeded", 1);
    figure(&collector, "castellan_runs_total", "Failed", 1);
    assert!(collector.senders().iter().all(|sender| sender == "castellan Bearer hunter2"), "{:?}", collector.senders());
    agent.stop();
    assert!(collector.logs().iter().any(|line| collector::body(line).contains("The agent stops")), "told at the end");
}

#[test]
fn a_collector_that_refuses_or_is_gone_keeps_nobody_from_working_and_what_it_missed_is_told() {
    let collector = Collector::start(400);
    let stage = Stage::new();
    tell(&stage, &collector.endpoint());
    stage.job(&second());
    let agent = stage.start();
    assert_eq!(agent.run("second")["outcome"], "Succeeded");
    let lost = |agent: &Agent<'_>| {
        let text = agent.call("GET", "/metrics").send().body;
        let line =
            text.lines().find_map(|line| line.strip_prefix("castellan_telemetry_lost_total{signal=\"traces\"} "));
        line.unwrap_or_else(|| panic!("{text}")).parse::<u64>().unwrap()
    };
    eventually("spans that were refused", || Some(lost(&agent)).filter(|lost| *lost >= 3));
    agent.logged_message("Library", "of traces did not reach the collector of telemetry");
    assert_eq!(collector.spans(), []);
    // It takes them again: what comes now arrives.
    collector.answer(200);
    agent.run("second");
    eventually("the spans of the next run", || (collector.spans().len() >= 3).then_some(()));
    agent.stop();

    drop(collector);
    let agent = stage.start();
    assert_eq!(agent.run("second")["outcome"], "Succeeded");
    agent.stop();
    let log = std::fs::read_to_string(stage.root().join("state/logs/agent.jsonl")).unwrap();
    let told = log.matches("of traces did not reach the collector of telemetry").count();
    assert!(told >= 2, "what the end cut off is told");
}
