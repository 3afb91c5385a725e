//! Commands that the agent carries out itself: their options, strictly, and what they may not do.

use super::*;
use crate::effect::Effect;

/// One task; its outcome with stdout or reason, and the orders.
fn perform(command: &str, arguments: &str, given: Value) -> (String, Vec<String>, Rig) {
    let task = format!(r#"{{"id":"a","command":"{command}","arguments":{}}}"#, json!(arguments));
    let topics = r#","mqttTopics":{"allowedPublications":["out/+","KeeperLogger"],"allowedSubscriptions":[]}"#;
    let mut rig = Rig::new(&job(&task, topics), given);
    rig.act(|run, turn| run.on_persisted(TicketId(1), &Ok(()), turn));
    let orders = rig.act(|run, turn| run.on_admitted(turn));
    let task = &rig.run.record().tasks[0];
    let said = format!("{} {}", task.outcome, task.reason.clone().unwrap_or_else(|| task.stdout.clone()));
    (said, orders, rig)
}

#[track_caller]
fn check(command: &str, arguments: &str, said: &str, order: &str) -> Rig {
    let (found, orders, rig) = perform(command, arguments, json!({"v":"a --topic evil"}));
    assert!(found.starts_with(said), "{command} {arguments}: {found}");
    let own: Vec<&String> =
        orders.iter().filter(|order| !order.contains(':') && !order.starts_with("Persist")).collect();
    let own: Vec<&&String> = own.iter().filter(|order| !order.starts_with('!')).collect();
    assert_eq!(own.first().map_or("", |order| order.as_str()), order, "{orders:?}");
    rig
}

#[test]
fn echo() {
    check("echo", "a 'b  c' {JobId}", "Succeeded a b  c demo\n", "");
    check("echo", "", "Succeeded \n", "");
}

#[test]
fn publish_mqtt() {
    check("publish-mqtt", "--topic out/x --payload hi", "Succeeded", "out/x=hi");
    check("publish-mqtt", "--topic=out/x --payload={v}", "Succeeded", "out/x=a --topic evil");
    check("publish-mqtt", "--topic out/x --payload {v}", "Succeeded", "out/x=a --topic evil");
    check("publish-mqtt", "--topic out/x", "Succeeded", "out/x=");
    for (arguments, why) in [
        ("--payload hi", "Failed --topic is missing"),
        (
            "--topic other --payload hi",
            "Failed job:demo may not publish to 'other'. No entry of /mqttTopics/allowedPublications in Jobs/demo.json covers it.",
        ),
        ("--topic out/x/y", "Failed job:demo may not publish to 'out/x/y'"),
        ("--topic out/+", "Failed "),
        ("--topic ''", "Failed "),
        ("--topic", "Failed --topic needs a value"),
        ("--topic KeeperLogger --payload hi", "Failed the payload is not one JSON object"),
        ("--topic out/x --qos 3", "Failed --qos is 0, 1 or 2; found '3'"),
        ("--topic out/x --speed 3", "Failed --speed is not known"),
        ("out/x", "Failed 'out/x' is not an option"),
        ("--topic out/x --retain=true", "Failed --retain is not known"),
    ] {
        check("publish-mqtt", arguments, why, "");
    }
    let (_, _, rig) = perform("publish-mqtt", "--topic out/x --payload p --qos 2 --retain", json!({}));
    let published = rig.effects.iter().find_map(|effect| match effect {
        Effect::Broker(crate::effect::BrokerOrder::Publish { topic, qos, retain, .. }) if topic == "out/x" => {
            Some((*qos, *retain))
        }
        _ => None,
    });
    assert_eq!(published, Some((2, true)));
}

#[test]
fn log_message() {
    let rig = check("log-message", "--level Warning --category Scan --message 'two\nlines \u{1b}[2J'", "Succeeded", "");
    let record = rig.effects.iter().find_map(|effect| match effect {
        Effect::Log(record) if record.category == "Scan" => Some(record.clone()),
        _ => None,
    });
    let record = record.unwrap();
    assert_eq!((record.message.as_str(), record.component.as_str()), ("two\\nlines \\u001b[2J", "job:demo"));
    check("log-message", "--level Loud --message x", "Failed --level 'Loud' is not a log level", "");
    check("log-message", "--level Info", "Failed --message is missing", "");
}

#[test]
fn fire_event() {
    let mut rig = check("fire-event", r#"--event Found --context '{"n":1}'"#, "Succeeded", "");
    let fired = FiredEvent { name: "Found".to_string(), context: values(json!({"n":1})), id: None, trace: None };
    assert_eq!(rig.run.take_requests(), [Request::Event(fired)]);
    assert!(rig.run.take_requests().is_empty());
    check("fire-event", "--context '{}'", "Failed --event is missing", "");
    check("fire-event", "--event Found --context '[1]'", "Failed --context must be one JSON object", "");
    check("fire-event", "--event Found --context {v}", "Failed --context must be one JSON object", "");
}

#[test]
fn what_is_for_a_desktop_is_logged_where_there_is_none() {
    for command in ["display-message", "show-toast"] {
        let rig = check(command, "--title Update --message 'Save your\nwork'", "Succeeded", "");
        let record = rig.effects.iter().find_map(|effect| match effect {
            Effect::Log(record) if record.category == command => Some(record.clone()),
            _ => None,
        });
        let record = record.unwrap();
        assert_eq!((record.message.as_str(), record.component.as_str()), ("Update: Save your\\nwork", "job:demo"));
        check(command, "--title x", "Failed --message is missing", "");
    }
}

#[test]
fn whether_somebody_could_approve_is_one_object_for_the_context() {
    let task = r#"{"id":"a","command":"check-approval-provider","mergeStdoutJsonIntoContext":true},
        {"id":"b","command":"echo","condition":"approvalProvider.available"}"#;
    let rig = Rig::new(&job(task, ""), json!({})).begun();
    assert_eq!(rig.tasks(), ["a:Succeeded", "b:Skipped"]);
    check("check-approval-provider", "--x", "Failed check-approval-provider takes no arguments", "");
}
