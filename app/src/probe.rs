//! The task program of `castellan doctor --live`: goes the way of every task, step by step, and tells how far it came.
//!
//! Environment, Plugin Settings over HTTPS, MQTT over TLS, a message to `KeeperLogger`, one to the event topic: what a program of an
//! integrator does (seed 001). It prints one JSON object: the name of each check, with its proof or what went wrong.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use castellan_mqtt::client::{Client, ClientConfig};
use clap::Args;
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::sample_scanner::{broker_address, loopback_tls, settings_of, variable};

/// For each exchange with the agent.
const TIMEOUT: Duration = Duration::from_secs(5);
/// `Warning`, which hardly anybody filters out.
const LEVEL: u8 = 2;

/// What the temporary job's `arguments` give.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// `{KeeperApiBaseUrl}`.
    #[arg(long)]
    keeper_api_base: String,
    /// What the message to KeeperLogger says, to be found again.
    #[arg(long)]
    mark: String,
    /// The topic to publish to besides.
    #[arg(long)]
    event_topic: Option<String>,
    /// The plugin whose settings are read besides.
    #[arg(long)]
    settings: Option<String>,
}

/// Goes as far as it comes, prints what it found. It fails only where it cannot even say that.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let mut found = Map::new();
    if let Some((step, failure)) = walk(options, &mut found) {
        found.insert(step.to_owned(), json!({ "failed": failure.to_string() }));
    }
    writeln!(std::io::stdout(), "{}", Value::Object(found)).map_err(Failure::failed)
}

/// The step that failed, if one did.
fn walk(options: &Options, found: &mut Map<String, Value>) -> Option<(&'static str, Failure)> {
    let mut passed = |step: &str, proof: String| {
        found.insert(step.to_owned(), json!({ "ok": proof }));
    };
    let job = match variable("KEEPER_JOB_ID").and_then(|id| Ok((id, variable("KEEPER_JOB_NAME")?))) {
        Ok((id, name)) => {
            passed("environment", format!("A task was given KEEPER_JOB_ID={id} and KEEPER_JOB_NAME={name}."));
            id
        }
        Err(failure) => return Some(("environment", failure)),
    };
    let tls = match loopback_tls() {
        Ok(tls) => tls,
        Err(error) => return Some(("plugin-settings", Failure::failed(error))),
    };
    let address = match broker_address(&options.keeper_api_base, &tls) {
        Ok(address) => address,
        Err(failure) => return Some(("plugin-settings", failure)),
    };
    passed("plugin-settings", format!("A task read the broker's address {address} from KeeperPrivilegeManager."));
    if let Some(plugin) = &options.settings {
        match settings_of(&options.keeper_api_base, plugin, &tls) {
            Ok(settings) => {
                let count = settings.as_object().map_or(0, Map::len);
                passed("own-settings", format!("A task read {count} settings of {plugin}."));
            }
            Err(failure) => return Some(("own-settings", failure)),
        }
    }
    let client_id = format!("{job}_Probe_{}", std::process::id());
    let config = ClientConfig { address, client_id: client_id.clone(), tls: Arc::clone(&tls), timeout: TIMEOUT };
    let client = match Client::connect(config) {
        Ok(client) => client,
        Err(error) => return Some(("client-id", Failure::failed(error))),
    };
    passed("client-id", format!("A task connected over TLS as '{client_id}'."));
    let events = options.event_topic.as_deref().map(|topic| ("event-topic", topic, json!({ "event": "doctorProbe" })));
    for (step, topic, payload) in [("keeper-logger", "KeeperLogger", message(&options.mark))].into_iter().chain(events)
    {
        // With DenialReason Visible a refusal shows here; else `castellan doctor` finds it among the denials.
        match client.publish_at_least_once(topic, payload.to_string().as_bytes()) {
            Ok(code) if code < 0x80 => {
                passed(step, format!("A task's message to '{topic}' was acknowledged with {code:#04x}."))
            }
            Ok(code) => {
                return Some((step, Failure::failed(format!("a message to '{topic}' was refused with {code:#04x}."))));
            }
            Err(error) => return Some((step, Failure::failed(error))),
        }
    }
    client.disconnect().err().map(|error| ("keeper-logger", Failure::failed(error)))
}

/// A `RequestMessage` for `KeeperLogger` (seed 001, step 5).
fn message(text: &str) -> Value {
    json!({
        "Id": format!("{:08x}-0000-4000-8000-000000000000", std::process::id()),
        "Version": 1,
        "RespondToTopic": null,
        "MetaData": {
            "MessageType": 4, "LogLevel": LEVEL, "Source": "castellan doctor", "Category": "DoctorProbe",
            "Message": text, "CorrelationId": "", "Context": ""
        }
    })
}
