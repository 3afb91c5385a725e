//! What a collector of telemetry is told: one trace from an event to what it led to, and figures now and then.

use std::collections::BTreeMap;

use castellan_core::acl::Subject;
use castellan_core::broker::message::QoS;
use castellan_core::effect::TelemetryOrder;
use castellan_core::event::{BrokerReport, Counts, Event, ExitStatus, Traced};
use castellan_core::id::{RequestId, TicketId};
use castellan_core::trace::{Attribute, Span};

use crate::world::World;

const COLLECTOR: &str = r#"{"Settings":{"Telemetry":{"Endpoint":"http://127.0.0.1:4318","IntervalSeconds":30}}}"#;
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn job(id: &str, task: &str, members: &str) -> String {
    format!(
        r#"{{"id":"{id}","tasks":[{{"id":"t","command":{task}}}],"mqttTopics":{{"allowedPublications":["EventMessages","JobService","found/#"],"allowedSubscriptions":[]}}{members}}}"#
    )
}

fn spans(world: &World) -> Vec<&Span> {
    let told = world.telemetry.iter();
    told.filter_map(|order| match order {
        TelemetryOrder::Span(span) => Some(&**span),
        TelemetryOrder::Measure { .. } => None,
    })
    .collect()
}

/// Each span as `name < parent < its parent`, in the order of their names; all must be of one trace.
fn tree(world: &World) -> Vec<String> {
    let spans = spans(world);
    let by_id: BTreeMap<_, _> = spans.iter().map(|span| (span.context.span_id, *span)).collect();
    assert_eq!(by_id.len(), spans.len(), "an id was given twice: {spans:#?}");
    assert!(spans.iter().all(|span| span.context.trace_id == spans[0].context.trace_id), "{spans:#?}");
    let mut lines: Vec<String> = spans
        .iter()
        .map(|span| {
            let above = |span: &&Span| by_id.get(&Some(span.parent?)).copied();
            let path = std::iter::successors(Some(*span), above).map(|span| span.name.as_str());
            path.collect::<Vec<_>>().join(" < ")
        })
        .collect();
    lines.sort();
    lines
}

fn text<'s>(span: &'s Span, name: &str) -> &'s str {
    match span.attributes.iter().find(|(known, _)| *known == name) {
        Some((_, Attribute::Text(text))) => text,
        other => panic!("{name}: {other:?} in {span:#?}"),
    }
}

fn published(world: &mut World, subject: &Subject, topic: &str, payload: &str) {
    let traced = Traced::Publish { topic: topic.into(), qos: QoS::AtLeastOnce, bytes: payload.len() };
    world.tell(Event::Broker(BrokerReport::Traced { subject: subject.clone(), traced }));
    if topic == "EventMessages" {
        world.publish(subject, topic, payload);
    }
}

/// A program ends with this code.
fn ends(world: &mut World, spawn: u64, code: i32) {
    world.exit(spawn, ExitStatus::Code(code));
    world.collected(spawn, "");
    world.discarded(spawn);
    world.disk();
}

#[test]
fn one_trace_leads_from_an_event_over_a_tasks_publish_to_the_run_that_it_started() {
    let files = [
        ("Jobs/first", &*job("first", "\"tool\"", r#","events":["Go"]"#)),
        ("Jobs/second", &job("second", "\"break\"", r#","events":["Found"]"#)),
    ];
    let mut world = World::with(COLLECTOR, &files);
    let headers = [("traceparent", PARENT)];
    let asked = world.admin_with("POST", "/api/events", r#"{"eventName":"Go"}"#, &headers);
    assert_eq!(world.status(asked), Some(202));
    world.disk();
    world.started(1);
    let client = world.client(1, "first_Tok_1001", 1);
    published(&mut world, &client, "found/one", "1");
    let log = r#"{"MetaData":{"MessageType":"Log","Message":"hello"}}"#;
    world.publish(&client, "KeeperLogger", log);
    published(&mut world, &client, "EventMessages", r#"{"eventName":"Found"}"#);
    world.disk();
    world.started(2);
    world.wait(1500);
    ends(&mut world, 2, 3);
    ends(&mut world, 1, 0);
    let expect = [
        "event Found < publish EventMessages < task t < run first < event Go",
        "event Go",
        "publish EventMessages < task t < run first < event Go",
        "publish found/one < task t < run first < event Go",
        "run first < event Go",
        "run second < event Found < publish EventMessages < task t < run first < event Go",
        "task t < run first < event Go",
        "task t < run second < event Found < publish EventMessages < task t < run first < event Go",
    ];
    assert_eq!(tree(&world), expect);
    let told = spans(&world);
    let root = told.iter().find(|span| span.name == "event Go").unwrap();
    let above = format!("00-{}-{}-01", root.context.trace_id, root.parent.unwrap());
    assert_eq!(above, PARENT, "it hangs under its caller");
    let failed = told.iter().find(|span| span.name == "run second").unwrap();
    assert_eq!(text(failed, "castellan.run.outcome"), "Failed");
    assert!(failed.status.as_ref().unwrap_err().contains("nothing routes on"), "{failed:#?}");
    assert_eq!(failed.end.as_millis() - failed.start.as_millis(), 1500);
    let task = told.iter().find(|span| span.name == "task t" && span.parent == failed.context.span_id).unwrap();
    assert_eq!(task.end.as_millis() - task.start.as_millis(), 1500);
    assert!(task.attributes.contains(&("process.exit.code", Attribute::Number(3))), "{task:#?}");

    // The task's own line is of its span, and its program knows it, too.
    let record = world.logs.iter().find(|record| record.message == "hello").unwrap();
    let place = record.trace.unwrap();
    assert_eq!(record.correlation_id, root.context.trace_id.to_string());
    let environment = &world.spawns[&castellan_core::id::SpawnId(1)].environment;
    assert!(environment.contains(&("TRACEPARENT".into(), place.to_traceparent().unwrap())), "{environment:?}");
    let run = told.iter().find(|span| span.name == "run first").unwrap();
    let sender = told.iter().find(|span| span.context.span_id == place.span_id).unwrap();
    assert_eq!((sender.name.as_str(), sender.parent), ("task t", run.context.span_id));
}

#[test]
fn built_in_commands_hand_the_trace_on_and_a_skipped_task_and_an_alternate_are_seen() {
    let fire = r#""fire-event","arguments":"--event Two"},{"id":"p","command":"publish-mqtt","arguments":"--topic JobService --payload '{\"jobId\":\"c\"}'"},{"id":"s","command":"echo","condition":"1 == 2""#;
    let files = [
        ("Jobs/a", &*job("a", fire, "")),
        ("Jobs/b", &job("b", "\"echo\"", r#","events":["Two"],"condition":"1 == 2","alternateJobId":"c""#)),
        ("Jobs/c", &job("c", "\"echo\"", r#","overlap":"parallel""#)),
    ];
    let mut world = World::with(COLLECTOR, &files);
    world.admin("POST", "/api/Jobs/a/trigger", "");
    world.disk();
    let expect = [
        "event Two < task t < run a",
        "publish JobService < task p < run a",
        "run a",
        "run b < event Two < task t < run a",
        "run c < publish JobService < task p < run a",
        "run c < run b < event Two < task t < run a",
        "task p < run a",
        "task s < run a",
        "task t < run a",
        "task t < run c < publish JobService < task p < run a",
        "task t < run c < run b < event Two < task t < run a",
    ];
    assert_eq!(tree(&world), expect);
    let told = spans(&world);
    let skipped = told.iter().find(|span| span.name == "task s").unwrap();
    assert_eq!((text(skipped, "castellan.task.outcome"), &skipped.status), ("Skipped", &Ok(())));
}

#[test]
fn publishes_beyond_the_bound_are_counted_on_the_run() {
    let mut world = World::with(COLLECTOR, &[("Jobs/a", &job("a", "\"tool\"", ""))]);
    world.admin("POST", "/api/Jobs/a/trigger", "");
    world.disk();
    world.started(1);
    let client = world.client(1, "a_Tok_1001", 1);
    for _ in 0..130 {
        published(&mut world, &client, "found/one", "1");
    }
    world.tell(Event::Broker(BrokerReport::Traced { subject: client, traced: Traced::LeftOut(40) }));
    ends(&mut world, 1, 0);
    let told = spans(&world);
    assert_eq!(told.iter().filter(|span| span.name == "publish found/one").count(), 128);
    let run = told.iter().find(|span| span.name == "run a").unwrap();
    assert!(run.attributes.contains(&("castellan.run.publishes_left_out", Attribute::Number(42))), "{run:#?}");
}

#[test]
fn figures_are_told_when_their_time_has_come() {
    let mut world = World::with(COLLECTOR, &[]);
    let counts = |world: &World| -> Vec<u64> {
        world.transcript.iter().filter_map(|line| line.strip_prefix("count ")?.parse().ok()).collect()
    };
    world.wait(29_000);
    assert!(counts(&world).is_empty());
    world.wait(1_000);
    let [ticket] = counts(&world)[..] else { panic!("{:?}", world.transcript) };
    // The ports have not answered yet: they are not asked twice.
    world.wait(30_000);
    assert_eq!(counts(&world).len(), 1);
    world.tell(Event::Counted {
        ticket: TicketId(ticket),
        counts: Counts { messages_received: 7, ..Counts::default() },
    });
    let [TelemetryOrder::Measure { since, at, families }] = &world.telemetry[..] else {
        panic!("{:?}", world.telemetry)
    };
    assert_eq!(at.as_millis() - since.as_millis(), 60_000);
    let messages = families.iter().find(|family| family.name == "castellan_mqtt_messages_total").unwrap();
    assert_eq!(messages.samples[0].value, "7");
    world.wait(30_000);
    assert_eq!(counts(&world).len(), 2);
}

#[test]
fn without_a_collector_nothing_is_told() {
    for settings in ["{}", r#"{"Settings":{"Telemetry":{"Endpoint":"https://c","Traces":false,"Metrics":false}}}"#] {
        let mut world = World::with(settings, &[("Jobs/a", &job("a", "\"tool\"", ""))]);
        let asked: RequestId = world.admin_with("POST", "/api/Jobs/a/trigger", "", &[("traceparent", PARENT)]);
        world.disk();
        assert_eq!(world.status(asked), Some(202));
        world.lives(1, "");
        world.wait(3_600_000);
        assert!(world.telemetry.is_empty() && world.logs.iter().all(|record| record.trace.is_none()));
        assert!(world.spawns.values().all(|spawn| !spawn.environment.iter().any(|(name, _)| name == "TRACEPARENT")));
    }
}
