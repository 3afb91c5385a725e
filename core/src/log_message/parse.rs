//! The payload of `KeeperLogger`, read strictly: a message is taken as a whole or refused with its reason.

use alloc::format;
use alloc::string::String;

use super::{Level, LogMessage};
use crate::job::finding::quote;
use crate::json::{Json, Names};
use crate::limits::LOG_MESSAGE_BYTES;

/// `LogLevel` as number and name (seed 001, step 5).
const LEVELS: [(&str, Level); 6] = [
    ("Debug", Level::Debug),
    ("Info", Level::Information),
    ("Warning", Level::Warning),
    ("Error", Level::Error),
    ("Critical", Level::Critical),
    ("Verbose", Level::Trace),
];

/// `MessageType` of a log message as a number.
const LOG_TYPE: i64 = 4;

/// The level that a log message calls `name`, in any case.
pub(super) fn level_of_message(name: &str) -> Option<Level> {
    LEVELS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, level)| *level)
}

pub(super) fn parse(payload: &[u8]) -> Result<LogMessage, String> {
    if let Err(error) = core::str::from_utf8(payload) {
        return Err(format!("the payload is not UTF-8: {error}."));
    }
    let json = Json::parse_as(payload, LOG_MESSAGE_BYTES, Names::Exact)
        .map_err(|error| format!("the payload is not one JSON object: {error}"))?;
    if !matches!(json, Json::Object(_)) {
        return Err(format!("the payload is {}; a log message is one JSON object.", json.kind()));
    }
    let meta = match member(&json, "MetaData") {
        Some(meta @ Json::Object(_)) => meta,
        Some(other) => return Err(format!("MetaData is {}; it must be an object.", other.kind())),
        None => return Err(missing(&json, "MetaData", "MetaData")),
    };
    message_type(meta)?;
    let message = text(meta, "Message")?;
    match member(meta, "Message") {
        None | Some(Json::Null) => return Err(missing(meta, "Message", "MetaData.Message")),
        Some(_) if message.trim().is_empty() => return Err(String::from("MetaData.Message is empty.")),
        Some(_) => {}
    }
    Ok(LogMessage {
        level: level(meta)?,
        source: text(meta, "Source")?,
        category: text(meta, "Category")?,
        message,
        correlation_id: text(meta, "CorrelationId")?,
        context: text(meta, "Context")?,
    })
}

fn member<'a>(object: &'a Json, name: &str) -> Option<&'a Json> {
    match object {
        Json::Object(members) => members.iter().find(|(key, _)| key == name).map(|(_, value)| value),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => None,
    }
}

/// What to say about a name that is not there, most of all where only its case is wrong.
fn missing(object: &Json, name: &str, path: &str) -> String {
    match object.lookup(&[name]) {
        Some(Json::Null) | None => format!("{path} is missing."),
        Some(_) => format!("{path} is missing; names of a log message are case-sensitive, write '{name}'."),
    }
}

fn message_type(meta: &Json) -> Result<(), String> {
    match member(meta, "MessageType") {
        Some(Json::Number(number)) if number.as_i64() == Some(LOG_TYPE) => Ok(()),
        Some(Json::String(name)) if name == "Log" => Ok(()),
        Some(Json::String(name)) => Err(format!("MetaData.MessageType is {}; it must be 4 or 'Log'.", quote(name))),
        Some(Json::Number(number)) => Err(format!("MetaData.MessageType is {number}; it must be 4 or 'Log'.")),
        Some(Json::Null) | None => {
            Err(format!("{} It must be 4 or 'Log'.", missing(meta, "MessageType", "MetaData.MessageType")))
        }
        Some(other) => Err(format!("MetaData.MessageType is {}; it must be 4 or 'Log'.", other.kind())),
    }
}

fn level(meta: &Json) -> Result<Level, String> {
    let allowed = "it must be 0 Debug, 1 Info, 2 Warning, 3 Error, 4 Critical or 5 Verbose.";
    let (found, shown) = match member(meta, "LogLevel") {
        None | Some(Json::Null) => return Ok(Level::Information),
        Some(Json::Number(number)) => {
            let index = number.as_u64().and_then(|index| usize::try_from(index).ok());
            (index.and_then(|index| LEVELS.get(index)), format!("{number}"))
        }
        Some(Json::String(name)) => (LEVELS.iter().find(|(known, _)| known == name), quote(name)),
        Some(other) => (None, String::from(other.kind())),
    };
    found.map(|(_, level)| *level).ok_or_else(|| format!("MetaData.LogLevel is {shown}; {allowed}"))
}

/// A text member; empty where it is absent or null.
fn text(meta: &Json, name: &str) -> Result<String, String> {
    match member(meta, name) {
        Some(Json::String(text)) => Ok(text.clone()),
        None | Some(Json::Null) => Ok(String::new()),
        Some(other) => Err(format!("MetaData.{name} is {}; it must be a text.", other.kind())),
    }
}
