//! Commands of Service tasks that the agent carries out itself, without a process (contract section 3).

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::{Map, json};

use super::message::{FiredEvent, JobRequest, Request};
use crate::acl::{Action, Denial, is_brokers_own, refusal};
use crate::broker::message::QoS;
use crate::effect::BrokerOrder;
use crate::id::{Component, RunId};
use crate::job::JobDefinition;
use crate::log_message::{Level, LogMessage, LogRecord, escape};
use crate::trust::Peer;
use crate::turn::Turn;

/// What a built-in command did.
#[derive(Debug, Default)]
pub(crate) struct BuiltInResult {
    pub(crate) stdout: String,
    pub(crate) request: Option<Request>,
    /// The message that it published: topic, QoS and bytes.
    pub(crate) published: Option<(String, QoS, usize)>,
}

/// The run whose command it is.
pub(crate) struct Owner<'a> {
    pub(crate) job: &'a JobDefinition,
    pub(crate) run: &'a RunId,
    /// A text as it may be seen.
    pub(crate) hide: &'a dyn Fn(String) -> String,
}

impl Owner<'_> {
    fn component(&self) -> Component {
        Component::Job(self.job.id.clone())
    }
}

/// Carries out `command`; `None` where there is no built-in of that name.
pub(crate) fn perform(
    command: &str,
    arguments: &[String],
    owner: &Owner<'_>,
    turn: &mut Turn<'_>,
) -> Option<Result<BuiltInResult, String>> {
    let result = match command {
        "echo" => {
            let mut stdout = arguments.join(" ");
            stdout.push('\n');
            Ok(BuiltInResult { stdout, ..BuiltInResult::default() })
        }
        "publish-mqtt" => publish(arguments, owner, turn),
        "log-message" => log_message(arguments, owner, turn),
        "fire-event" => fire_event(arguments),
        "display-message" | "show-toast" => notify(command, arguments, owner, turn),
        "check-approval-provider" => approval_provider(arguments),
        _ => return None,
    };
    Some(result)
}

fn publish(arguments: &[String], owner: &Owner<'_>, turn: &mut Turn<'_>) -> Result<BuiltInResult, String> {
    let options = Options::parse(arguments, &["topic", "payload", "qos"], &["retain"])?;
    let topic = options.required("topic")?;
    let name = crate::acl::topic::TopicName::parse(&topic).map_err(|error| error.message)?;
    if is_brokers_own(&topic) || !owner.job.allowed_publications.iter().any(|filter| filter.matches(&name)) {
        return Err(undeclared(&topic, owner, turn));
    }
    let qos = match options.value("qos").as_deref() {
        None | Some("1") => QoS::AtLeastOnce,
        Some("0") => QoS::AtMostOnce,
        Some("2") => QoS::ExactlyOnce,
        Some(other) => return Err(format!("--qos is 0, 1 or 2; found '{other}'.")),
    };
    let payload = options.value("payload").unwrap_or_default().into_bytes();
    // The broker hands the agent what clients publish, not what the agent publishes itself.
    let request = match topic.as_str() {
        "EventMessages" => Some(Request::Event(FiredEvent::parse(&payload)?)),
        "JobService" => Some(Request::Job(JobRequest::parse(&payload)?)),
        "KeeperLogger" => {
            let message = LogMessage::parse(&payload)?;
            turn.log_record(message.hidden(owner.hide).into_own_record(&owner.component(), Some(owner.run)));
            None
        }
        _ => None,
    };
    let published = Some((topic.clone(), qos, payload.len()));
    turn.broker(BrokerOrder::Publish { topic, payload, qos: qos as u8, retain: options.flag("retain") });
    Ok(BuiltInResult { stdout: String::new(), request, published })
}

/// Puts on record what a client would have been denied, too (contract section 5); the reason, for the task.
fn undeclared(topic: &str, owner: &Owner<'_>, turn: &mut Turn<'_>) -> String {
    let (component, topic) = (owner.component(), (owner.hide)(topic.to_string()));
    let (explanation, declaration) = refusal(&component, None, Action::Publish, &topic);
    let reason = explanation.to_string();
    turn.denied.push(Denial {
        action: Action::Publish,
        target: topic,
        component: Some(component.to_string()),
        client_id: None,
        peer: Peer::default(),
        explanation,
        declaration,
    });
    reason
}

fn log_message(arguments: &[String], owner: &Owner<'_>, turn: &mut Turn<'_>) -> Result<BuiltInResult, String> {
    let options = Options::parse(arguments, &["level", "category", "message"], &[])?;
    let message = options.required("message")?;
    let level = match options.value("level") {
        None => Level::Information,
        Some(name) => Level::from_name(&name).ok_or_else(|| format!("--level '{name}' is not a log level."))?,
    };
    let category = escape(&(owner.hide)(options.value("category").unwrap_or_else(|| "log-message".to_string())));
    Ok(say(owner, level, category, escape(&(owner.hide)(message)), turn))
}

/// Writes a line of the log in the job's name.
fn say(owner: &Owner<'_>, level: Level, category: String, message: String, turn: &mut Turn<'_>) -> BuiltInResult {
    turn.log_record(LogRecord {
        source: owner.job.name.clone().into(),
        component: owner.component().text(),
        run_id: Some(owner.run.to_string()),
        ..LogRecord::own(level, category, message)
    });
    BuiltInResult::default()
}

/// For a person at a desktop; where no session is served it goes to the log (contract section 3).
fn notify(
    command: &str,
    arguments: &[String],
    owner: &Owner<'_>,
    turn: &mut Turn<'_>,
) -> Result<BuiltInResult, String> {
    let options = Options::parse(arguments, &["title", "message"], &[])?;
    let message = options.required("message")?;
    let message = options.value("title").map_or(message.clone(), |title| format!("{title}: {message}"));
    Ok(say(owner, Level::Information, command.to_string(), escape(&(owner.hide)(message)), turn))
}

/// Whether somebody could be asked to approve: one JSON object, made to be merged into the context.
fn approval_provider(arguments: &[String]) -> Result<BuiltInResult, String> {
    if !arguments.is_empty() {
        return Err(String::from("check-approval-provider takes no arguments."));
    }
    let reason = "There is no user session in which somebody could be asked.";
    let found = json!({ "approvalProvider": { "available": false, "reason": reason } });
    Ok(BuiltInResult { stdout: format!("{found}\n"), ..BuiltInResult::default() })
}

fn fire_event(arguments: &[String]) -> Result<BuiltInResult, String> {
    let options = Options::parse(arguments, &["event", "context"], &[])?;
    let name = options.required("event")?;
    let context = match options.value("context") {
        None => Map::new(),
        Some(text) => {
            serde_json::from_str(&text).map_err(|error| format!("--context must be one JSON object: {error}."))?
        }
    };
    let request = Some(Request::Event(FiredEvent { name, context, id: None, trace: None }));
    Ok(BuiltInResult { request, ..BuiltInResult::default() })
}

/// `--name value`, `--name=value` and `--flag`, strictly: an unknown or missing one is an error.
struct Options {
    values: Vec<(String, String)>,
}

impl Options {
    fn parse(arguments: &[String], values: &[&str], flags: &[&str]) -> Result<Self, String> {
        let mut found = Self { values: Vec::new() };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let Some(option) = argument.strip_prefix("--") else {
                return Err(format!("'{argument}' is not an option; known are --{}.", values.join(" --")));
            };
            let (name, inline) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value.to_string())),
                None => (option, None),
            };
            if flags.contains(&name) && inline.is_none() {
                found.values.push((name.to_string(), "true".to_string()));
            } else if values.contains(&name) {
                let value = inline.or_else(|| rest.next().cloned());
                let value = value.ok_or_else(|| format!("--{name} needs a value."))?;
                found.values.push((name.to_string(), value));
            } else {
                return Err(format!("--{name} is not known; known are --{}.", values.join(" --")));
            }
        }
        Ok(found)
    }

    fn value(&self, name: &str) -> Option<String> {
        self.values.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }

    fn required(&self, name: &str) -> Result<String, String> {
        self.value(name).ok_or_else(|| format!("--{name} is missing."))
    }

    fn flag(&self, name: &str) -> bool {
        self.value(name).is_some()
    }
}
