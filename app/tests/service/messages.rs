//! What of MQTT survives the agent: retained messages, a plugin's session, and what waits for it.

use serde_json::json;

use crate::support::{Agent, Puppet, Stage, accepted};

/// Connects the plugin with a session that stays (MQTT 3.1.1, Clean Session 0).
#[track_caller]
fn connect_staying(plugin: &mut Puppet, port: u16) {
    let id = format!("{}_{}", plugin.label(), plugin.pid());
    let order = json!({ "do": "connect", "host": "127.0.0.1", "port": port, "version": 4, "id": id, "clean": false });
    assert_eq!(plugin.order(&order), accepted());
}

#[track_caller]
fn publish_retained(writer: &mut Puppet, topic: &str, payload: &str) {
    let order = json!({ "do": "publish", "topic": topic, "payload": payload, "qos": 1, "retain": true });
    assert_eq!(writer.order(&order)["event"], "puback");
}

fn survives(end: impl FnOnce(Agent<'_>)) {
    let stage = Stage::new();
    stage.plugin(&stage.puppet_plugin("Bridge", &[], &["Bridge/Commands/+"]));
    stage.job(&stage.puppet_job("writer", &["Bridge/#", "state/+"], &[]));
    stage.job(&stage.puppet_job("reader", &[], &["state/+"]));

    let agent = stage.start();
    let mut bridge = stage.puppet("Bridge");
    connect_staying(&mut bridge, agent.mqtt);
    bridge.subscribe("Bridge/Commands/+");
    assert_eq!(bridge.order(&json!({ "do": "disconnect" }))["event"], "closed");
    agent.trigger("writer");
    let mut writer = stage.puppet("writer");
    writer.connect(agent.mqtt);
    let sent: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    for payload in &sent {
        writer.publish("Bridge/Commands/do", payload);
    }
    publish_retained(&mut writer, "state/kept", "old");
    publish_retained(&mut writer, "state/kept", "new");
    publish_retained(&mut writer, "state/cleared", "x");
    publish_retained(&mut writer, "state/cleared", "");
    end(agent);
    writer.expect_gone();
    bridge.expect_gone();

    let agent = stage.start();
    let mut bridge = stage.puppet("Bridge");
    connect_staying(&mut bridge, agent.mqtt);
    let received: Vec<String> = sent.iter().map(|_| bridge.receive().1).collect();
    assert_eq!(received, sent, "acknowledged is kept, in its order");
    agent.trigger("reader");
    let mut reader = stage.puppet("reader");
    reader.connect(agent.mqtt);
    reader.subscribe("state/+");
    assert_eq!(reader.receive(), (String::from("state/kept"), String::from("new")));
    agent.trigger("writer");
    let mut writer = stage.puppet("writer");
    writer.connect(agent.mqtt);
    writer.publish("Bridge/Commands/do", "by its old subscription");
    assert_eq!(bridge.receive().1, "by its old subscription");
    publish_retained(&mut writer, "state/last", "and the cleared one never came");
    assert_eq!(reader.receive().0, "state/last");
    agent.stop();
}

#[test]
fn sessions_and_retained_messages_survive_sigkill() {
    survives(|agent| agent.kill());
}

#[test]
fn sessions_and_retained_messages_survive_a_stop() {
    survives(|agent| agent.stop());
}
