//! "One run per (job, event message)": a packet that a client sends again because it missed the acknowledgement starts nothing.

use serde_json::{Value, json};

use crate::support::{Agent, Puppet, Stage, eventually};

/// PUBLISH and PUBLISH with DUP, at QoS 1 and 2 (MQTT 5.0 3.3.1).
const ONCE: u8 = 0x32;
const AGAIN: u8 = 0x3A;
const ONCE_EXACTLY: u8 = 0x34;
const AGAIN_EXACTLY: u8 = 0x3C;

/// The packets of one client, of MQTT 3.1.1 (4) or 5.0 (5).
struct Wire {
    version: u8,
    client_id: String,
}

impl Wire {
    fn text(text: &str) -> Vec<u8> {
        [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
    }

    fn packet(&self, first: u8, before: &[u8], behind: &[u8]) -> Vec<u8> {
        let properties: &[u8] = if self.version == 5 { &[0] } else { &[] };
        let rest = [before, properties, behind].concat();
        [&[first, u8::try_from(rest.len()).unwrap()], rest.as_slice()].concat()
    }

    /// Neither a clean session nor a clean start: what is not acknowledged is kept.
    fn connect(&self) -> Vec<u8> {
        let before = [Self::text("MQTT").as_slice(), &[self.version, 0, 0, 60]].concat();
        self.packet(0x10, &before, &Self::text(&self.client_id))
    }

    fn publish(&self, first: u8, identifier: u16) -> Vec<u8> {
        let before = [Self::text("EventMessages").as_slice(), &identifier.to_be_bytes()].concat();
        self.packet(first, &before, br#"{"eventName":"Go"}"#)
    }

    /// Connects, publishes these, each answered before the next, and breaks off.
    fn send(&self, puppet: &mut Puppet, port: u16, packets: &[Vec<u8>]) {
        let packets = [&[self.connect()], packets].concat();
        let told = puppet.order(&json!({ "do": "wire", "port": port, "packets": packets }));
        let answers: Vec<u64> =
            told["answers"].as_array().unwrap().iter().map(|answer| answer[0].as_u64().unwrap()).collect();
        let due: Vec<u64> = packets
            .iter()
            .map(|packet| match packet[0] {
                0x10 => 0x20,
                ONCE | AGAIN => 0x40,
                _ => 0x50,
            })
            .collect();
        assert_eq!(answers, due, "every packet is acknowledged, copies too: {told}");
    }
}

fn runs(agent: &Agent<'_>) -> Vec<Value> {
    agent.call("GET", "/api/Jobs/listener/runs").send().json().as_array().unwrap().clone()
}

#[test]
fn a_message_whose_acknowledgement_was_lost_is_one_run() {
    let stage = Stage::new();
    stage.job(&stage.puppet_job("sender", &["EventMessages"], &[]));
    stage.job(&json!({ "id": "listener", "events": ["Go"], "overlap": "parallel",
        "tasks": [{ "id": "t", "command": "echo", "arguments": "heard" }] }));
    let agent = stage.start();
    agent.trigger("sender");
    let mut sender = stage.puppet("sender");
    let mut expected = 0;
    for version in [4, 5] {
        let wire = Wire { version, client_id: format!("sender_V{version}_{}", sender.pid()) };
        wire.send(&mut sender, agent.mqtt, &[wire.publish(ONCE, 7), wire.publish(AGAIN, 7)]);
        wire.send(&mut sender, agent.mqtt, &[wire.publish(AGAIN, 7), wire.publish(ONCE_EXACTLY, 8)]);
        wire.send(&mut sender, agent.mqtt, &[wire.publish(AGAIN_EXACTLY, 8), wire.publish(AGAIN, 9)]);
        // 7 and 8 came more than once; 9 was lost the first time; the last one uses an identifier again.
        wire.send(&mut sender, agent.mqtt, &[wire.publish(ONCE, 7)]);
        expected += 4;
        eventually("a run for every message", || (runs(&agent).len() >= expected).then_some(()));
        assert_eq!(runs(&agent).len(), expected, "a copy started a run of its own");
        let copy = agent
            .logged_message("Event", &format!("{} sent packet 7 on 'EventMessages' once more (DUP)", wire.client_id));
        assert_eq!(copy["component"], "job:sender");
    }
    sender.exit(0, "");
    agent.stop();
}
