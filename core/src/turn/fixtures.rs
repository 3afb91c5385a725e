//! What tests of the machines share: a desk, definitions from a few words, orders as one line each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail by panicking")]

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Counters, Desk};
use crate::config::Settings;
use crate::effect::{BrokerOrder, Effect, HttpOrder, ProcessOrder, StoreOrder};
use crate::event::Endpoints;
use crate::job::{JobDefinition, OperatingSystem};
use crate::log_message::Level;
use crate::plugin::PluginDefinition;
use crate::plugin::storage::PluginSettings;
use crate::resources::KeptLimits;
use crate::surroundings::Surroundings;
use crate::time::{Monotonic, Now, WallTime};

pub(crate) fn at(millis: u64) -> Now {
    Now {
        monotonic: Monotonic::from_millis(millis),
        wall: WallTime::from_millis(1_700_000_000_000_i64.saturating_add_unsigned(millis)),
    }
}

pub(crate) fn surroundings() -> Surroundings {
    Surroundings {
        agent_root: "/agent".to_string(),
        plugin_root: "/agent/Plugins".to_string(),
        here: OperatingSystem::Linux,
        boot: 7,
        started: at(0),
        host_name: String::from("machine"),
        version: "1.0.0".to_string(),
        environment: Vec::from([
            ("LANG".to_string(), "C".to_string()),
            ("PATH".to_string(), "/bin:rel:/usr/bin".to_string()),
        ]),
        uid: 0,
        time_zone: String::from("UTC"),
        user_name: String::from("root"),
        has_desktop: false,
        path_variables: BTreeMap::from([("tmp".to_string(), "/tmp".to_string())]),
        admin_certificates: Vec::new(),
        kept_limits: KeptLimits::ALL,
        endpoints: Some(Endpoints { http: 1, https: 2, mqtt: 3 }),
    }
}

pub(crate) fn desk() -> Desk {
    Desk {
        surroundings: surroundings(),
        settings: Settings::default(),
        counters: Counters::default(),
        plugin_settings: PluginSettings::default(),
        denied: Vec::new(),
        told: Vec::new(),
        log_level: Settings::default().logging.level,
        tracer: None,
    }
}

/// A job `demo` with these tasks and further members, both as they stand in JSON.
#[track_caller]
pub(crate) fn job(tasks: &str, members: &str) -> Arc<JobDefinition> {
    let document = format!(r#"{{"id":"demo","name":"Demo"{members},"tasks":[{tasks}]}}"#);
    match JobDefinition::parse(document.as_bytes(), None) {
        Ok((job, _)) => Arc::new(job),
        Err(findings) => panic!("{document}\n{findings:#?}"),
    }
}

/// A plugin `bridge` with these members.
#[track_caller]
pub(crate) fn plugin(members: &str) -> Arc<PluginDefinition> {
    let document = format!(
        r#"{{"id":"bridge","pluginType":"Executable","executablePath":"bin/bridge/bridge","supportedPlatforms":["Linux"],
        "Subscription":{{"Topic":"bridge"}},"metadata":{{"mqttTopics":{{"publish":["bridge/out"],"subscribe":[]}}}}{members}}}"#
    );
    match PluginDefinition::parse(document.as_bytes(), None, OperatingSystem::Linux) {
        Ok((plugin, _)) => Arc::new(plugin),
        Err(findings) => panic!("{document}\n{findings:#?}"),
    }
}

/// Orders, each in a few words; lines of the log only where something is odd.
pub(crate) fn shown(effects: &[Effect]) -> Vec<String> {
    effects.iter().filter_map(line).collect()
}

fn line(effect: &Effect) -> Option<String> {
    Some(match effect {
        Effect::Process(order) => match order {
            ProcessOrder::Spawn(request) => format!("Spawn {}", request.spawn),
            ProcessOrder::Release { spawn, .. } => format!("Release {spawn}"),
            ProcessOrder::Abort { spawn, .. } => format!("Abort {spawn}"),
            ProcessOrder::Signal { spawn, signal } => format!("{signal:?} {spawn}"),
            ProcessOrder::Collect { spawn } => format!("Collect {spawn}"),
            ProcessOrder::Discard { spawn } => format!("Discard {spawn}"),
            ProcessOrder::Peek { ticket, spawn } => format!("Peek {ticket} {spawn}"),
            ProcessOrder::Inspect { ticket, .. } => format!("Inspect {ticket}"),
            ProcessOrder::Examine { ticket, .. } => format!("Examine {ticket}"),
        },
        Effect::Broker(BrokerOrder::Publish { topic, payload, .. }) => {
            let json: serde_json::Value = serde_json::from_slice(payload).unwrap_or_default();
            match json.get("event").and_then(serde_json::Value::as_str) {
                Some(event) => format!("{topic}:{event}"),
                None => format!("{topic}={}", String::from_utf8_lossy(payload)),
            }
        }
        Effect::Broker(order) => format!("{order:?}").split([' ', '{']).next().unwrap_or_default().to_string(),
        Effect::Store(StoreOrder::PersistRun { record, durable, .. }) => {
            format!("Persist{} {}", if *durable { "" } else { ", soon" }, record.status)
        }
        Effect::Store(order) => format!("{order:?}").split([' ', '{']).next().unwrap_or_default().to_string(),
        Effect::Http(HttpOrder::Send(call)) => format!("Send {}", call.ticket),
        Effect::Http(HttpOrder::Cancel { ticket }) => format!("Cancel {ticket}"),
        Effect::Respond { request, response } => format!("Respond {request} {}", response.status),
        Effect::Stream(order) => format!("{order:?}"),
        Effect::Log(record) if record.level > Level::Information => format!("!{}", record.category),
        Effect::Log(_) => return None,
        Effect::LogLevel(level) => format!("LogLevel {}", level.as_str()),
        Effect::Count(ticket) => format!("Count {ticket}"),
        Effect::Audit(order) => format!("{order:?}"),
        Effect::Fleet(order) => format!("{order:?}"),
        Effect::Elevation(order) => format!("{order:?}"),
        Effect::Telemetry(order) => format!("{order:?}"),
        Effect::Exit => "Exit".to_string(),
    })
}
