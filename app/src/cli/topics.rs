//! `castellan topics watch`: what goes over the broker, shown to an administrator. Whoever publishes chooses topic and payload, so
//! nothing of either reaches the terminal as it came.

use std::time::Duration;

use castellan_core::acl::topic::TopicFilter;
use castellan_core::hexadecimal;
use castellan_core::log_message::escape;
use castellan_core::time::WallTime;
use castellan_mqtt::client::{ClientError, Received};
use clap::{Args, Subcommand};
use serde_json::json;

use super::agent::Agent;
use super::output::{self, Globals};
use crate::clock::Clock;
use crate::failure::Failure;

/// Characters of a payload on one line for people; `--json` has the whole of it.
const SHOWN: usize = 2000;
/// One wait for a message where none is set; then the next begins.
const WAIT: Duration = Duration::from_secs(3600);

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show messages on these topics as they are published, and what is retained there: time, QoS, topic, payload.
    Watch(Options),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example: sudo castellan topics watch 'Jobs/+/events' KeeperLogger\nIt ends at Ctrl-C, at --count or at --timeout. Text in payloads and topics is escaped, other payloads are shown in hexadecimal digits.\nWith -o json: one JSON object a line, {\"time\",\"topic\",\"qos\",\"retain\",\"payload\"}, or \"payloadHex\" for what is not UTF-8."
)]
pub(crate) struct Options {
    /// Topic filters, such as `Jobs/#` or `$SYS/#`; in quotes, or the shell may take them for its own.
    #[arg(required = true, value_name = "FILTER")]
    filters: Vec<String>,
    /// End after so many messages.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after so many seconds; exit code 1 where --count was not reached by then.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    timeout: Option<u32>,
}

/// Connects, subscribes and prints until the end that was asked for.
pub(crate) fn run(command: &Command, globals: &Globals) -> Result<(), Failure> {
    let Command::Watch(options) = command;
    for filter in &options.filters {
        TopicFilter::parse(filter).map_err(|invalid| Failure::usage(escape(&invalid.to_string())))?;
    }
    let clock = Clock::start();
    let end = options.timeout.map(|seconds| clock.now().monotonic.plus_seconds(u64::from(seconds)));
    let client = Agent::find(&globals.root)?.connect()?;
    for filter in &options.filters {
        let code = client.subscribe(filter).map_err(Failure::failed)?;
        accepted(filter, code)?;
    }
    globals.note(&format!("watching {}; Ctrl-C ends it", escape(&options.filters.join(" "))))?;
    let mut seen = 0_u64;
    while options.count.is_none_or(|count| seen < count) {
        let left = end.map_or(WAIT, |end| Duration::from_millis(end.millis_since(clock.now().monotonic)));
        match client.next_message(left) {
            Ok(message) => {
                let time = clock.now().wall;
                output::lines(&[if globals.is_document() { object(time, &message) } else { line(time, &message) }])?;
                seen = seen.saturating_add(1);
            }
            Err(ClientError::TimedOut { .. }) if end.is_none() => {}
            Err(ClientError::TimedOut { .. }) => break,
            Err(error) => {
                return Err(Failure::unreachable(format!(
                    "{error}. Where the agent still runs: watch less, or see its log, and say it again."
                )));
            }
        }
    }
    client.disconnect().map_err(Failure::failed)?;
    match options.count.filter(|count| seen < *count) {
        Some(count) => Err(Failure::failed(format!("{seen} of {count} messages came in time."))),
        None => Ok(()),
    }
}

/// What the reason code of a SUBACK means to the one who asked (MQTT 5.0 3.9.3).
fn accepted(filter: &str, code: u8) -> Result<(), Failure> {
    let shown = escape(filter);
    match code {
        0..=2 => Ok(()),
        0x87 => Err(Failure::denied(format!(
            "'{shown}' may not be watched: an administrator subscribes to # or $SYS/#, or to less, and to no $share."
        ))),
        other => Err(Failure::failed(format!("the broker refused the filter '{shown}' with 0x{other:02X}."))),
    }
}

/// One message for people.
fn line(time: WallTime, message: &Received) -> String {
    let retained = if message.retain { " retained" } else { "" };
    let payload = match std::str::from_utf8(&message.payload) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("0x{}", hexadecimal(&message.payload)),
    };
    let mut shown: String = escape(&payload).chars().take(SHOWN).collect();
    if payload.len() > SHOWN {
        shown = format!("{shown}… ({} bytes)", message.payload.len());
    }
    format!("{} QoS {}{retained} {}: {shown}", time.to_rfc3339(), message.qos, escape(&message.topic))
}

/// One message for programs. What JSON leaves as it is and a terminal would obey is escaped too; JSON reads that back.
fn object(time: WallTime, message: &Received) -> String {
    let (name, payload) = match std::str::from_utf8(&message.payload) {
        Ok(text) => ("payload", text.to_owned()),
        Err(_) => ("payloadHex", hexadecimal(&message.payload)),
    };
    let time = time.to_rfc3339();
    let object =
        json!({ "time": time, "topic": message.topic, "qos": message.qos, "retain": message.retain, name: payload });
    escape(&object.to_string())
}

#[cfg(test)]
mod tests;
