//! Messages that ask for runs: `EventMessages` fires an event, `JobService` triggers a job (contract section 5).

use alloc::string::{String, ToString};

use serde_json::{Map, Value};

use super::http::OwnCall;
use crate::json::Json;
use crate::limits::MESSAGE_ID_CHARS;
use crate::trace::TraceContext;

/// An event that starts every job which waits for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FiredEvent {
    pub(crate) name: String,
    pub(crate) context: Map<String, Value>,
    /// What tells it from others of its sender.
    pub(crate) id: Option<String>,
    /// Where its sender says it belongs.
    pub(crate) trace: Option<TraceContext>,
}

/// A job that shall be run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JobRequest {
    pub(crate) job: String,
    pub(crate) context: Map<String, Value>,
    /// What tells it from others of its sender.
    pub(crate) id: Option<String>,
    /// Where its sender says it belongs.
    pub(crate) trace: Option<TraceContext>,
}

/// What a task asked of the agent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Request {
    Event(FiredEvent),
    Job(JobRequest),
    Call(OwnCall),
}

impl FiredEvent {
    /// `{"eventName":"…","context":{…}}`, with the documented aliases.
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, String> {
        let message = Json::parse(payload).map_err(|error| error.to_string())?;
        let name = text(&message, &["eventName", "event", "name"]).ok_or("It has no eventName.")?;
        Ok(Self { name, context: context(&message)?, id: id(&message)?, trace: trace(&message) })
    }
}

impl JobRequest {
    /// `{"jobId":"…","context":{…}}`.
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, String> {
        let message = Json::parse(payload).map_err(|error| error.to_string())?;
        let job = text(&message, &["jobId"]).ok_or("It has no jobId.")?;
        Ok(Self { job, context: context(&message)?, id: id(&message)?, trace: trace(&message) })
    }
}

fn id(message: &Json) -> Result<Option<String>, String> {
    match message.lookup(&["messageId"]) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(id)) if !id.is_empty() && id.chars().count() <= MESSAGE_ID_CHARS => Ok(Some(id.to_string())),
        Some(_) => Err(alloc::format!("Its messageId is not a text of 1 to {MESSAGE_ID_CHARS} characters.")),
    }
}

/// W3C's `traceparent`, else a correlation id that can be a trace's. What is neither is none, as W3C Trace Context asks for.
fn trace(message: &Json) -> Option<TraceContext> {
    let parent = text(message, &["traceparent"]).and_then(|text| TraceContext::from_traceparent(&text));
    parent.or_else(|| TraceContext::from_correlation_id(&text(message, &["correlationId"])?))
}

fn text(message: &Json, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| match message.lookup(&[name]) {
        Some(Json::String(text)) if !text.is_empty() => Some(text.to_string()),
        _ => None,
    })
}

fn context(message: &Json) -> Result<Map<String, Value>, String> {
    let names = ["context", "payload", "parameters"];
    let found = names.iter().find_map(|name| message.lookup(&[name]).map(|value| (name, value)));
    match found.map(|(name, value)| (name, value.to_value())) {
        None | Some((_, Value::Null)) => Ok(Map::new()),
        Some((_, Value::Object(values))) => Ok(values),
        Some((name, _)) => Err(alloc::format!("Its {name} is not an object.")),
    }
}
