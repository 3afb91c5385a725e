//! A job document to a [`JobDefinition`]: every field of contract section 3 with its checks; all that is wrong is reported at once.

pub(crate) mod arguments;
mod environment;
mod http;
pub(crate) mod keys;
pub(crate) mod limits;
mod parameters;
mod routes;
mod schedule;
mod task;
pub(crate) mod topics;

use crate::acl::topic::TopicName;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::condition::Condition;
use super::finding::{Findings, Report, has_errors, quote};
use super::{JobDefinition, MissedRuns, OsFilter, Overlap};
use crate::id::{InvalidId, JobId};
use crate::json::read::{Field, ObjectReader};
use crate::json::{Json, pointer_to};
use crate::why::sentence;

const OVERLAPS: [(&str, Overlap); 3] =
    [("queue", Overlap::Queue), ("skip", Overlap::Skip), ("parallel", Overlap::Parallel)];

const MISSED_RUNS: [(&str, MissedRuns); 2] = [("skip", MissedRuns::Skip), ("runOnce", MissedRuns::RunOnce)];

pub(super) fn parse(bytes: &[u8], expected_id: Option<&str>) -> Result<(JobDefinition, Findings), Findings> {
    let mut report = Report::default();
    let job = document(bytes, &mut report).and_then(|json| job(&json, bytes, expected_id, &mut report));
    let findings = report.into_findings();
    match job {
        Some(job) if !has_errors(&findings) => Ok((job, findings)),
        _ => Err(findings),
    }
}

/// The JSON of a definition; else one error finding with line and column.
pub(crate) fn document(bytes: &[u8], report: &mut Report) -> Option<Json> {
    match Json::parse(bytes) {
        Ok(json) => Some(json),
        Err(error) => {
            report.error("", "malformed-json", sentence(&error.to_string()));
            None
        }
    }
}

/// Reads `id` and holds it against the id that it must be.
pub(crate) fn id<T: core::fmt::Display>(
    reader: &ObjectReader<'_>,
    expected: Option<&str>,
    parse: fn(&str) -> Result<T, InvalidId>,
    report: &mut Report,
) -> Option<T> {
    let field = reader.required("id", report)?;
    let id = parse_id(&field, parse, report)?;
    if let Some(expected) = expected.filter(|expected| *expected != id.to_string()) {
        let message = format!("the id '{id}' must equal the name of its file or path, {}.", quote(expected));
        report.error(field.pointer, "id-mismatch", message);
        return None;
    }
    Some(id)
}

/// An id; else a finding that says which rule was broken.
pub(crate) fn parse_id<T>(
    field: &Field<'_>,
    parse: fn(&str) -> Result<T, InvalidId>,
    report: &mut Report,
) -> Option<T> {
    let text = field.text(report)?;
    parse(text).map_or_else(
        |invalid| {
            let code = if invalid.underscore { "id-underscore" } else { "id-invalid" };
            // An id of a megabyte must not come back in the message.
            let message = if text.len() > 200 {
                format!("{} is not an id; it is too long.", quote(text))
            } else {
                invalid.message
            };
            report.error(field.pointer.clone(), code, message);
            None
        },
        Some,
    )
}

fn job(json: &Json, bytes: &[u8], expected_id: Option<&str>, report: &mut Report) -> Option<JobDefinition> {
    let reader = Field { pointer: String::new(), value: json }.object(&keys::JOB, report)?;
    let id = id(&reader, expected_id, JobId::parse, report);
    let name = reader.text("name", report).map(ToString::to_string);
    let description = reader.text("description", report).unwrap_or_default().to_string();
    let enabled = reader.boolean("enabled", report);
    let priority = reader.integer("priority", report);
    let schedule = reader.take("schedule").and_then(|field| schedule::parse(&field, report));
    let events = events(&reader, report);
    let event_topic = event_topic(&reader, report);
    let os_filter = os_filter(&reader, report);
    let (allowed_publications, allowed_subscriptions) = topics::job(&reader, report);
    let parameters = parameters::parse(&reader, report);
    let condition = condition(&reader, report);
    let alternate_job = alternate_job(&reader, id.as_ref(), condition.is_some(), report);
    let overlap = reader.choice("overlap", &OVERLAPS, report);
    let missed_runs = reader.choice("missedRuns", &MISSED_RUNS, report);
    let tasks = task::parse_all(&reader, os_filter, report);
    reader.finish(report);
    if let Some((pointer, topic)) = &event_topic {
        topics::warn_undeclared(pointer, topic, &allowed_publications, report);
    }
    let id = id?;
    let mut job = JobDefinition {
        name: name.unwrap_or_else(|| id.to_string()),
        event_topic: event_topic.map_or_else(|| format!("Jobs/{id}/events"), |(_, topic)| topic.as_str().to_string()),
        id,
        description,
        enabled,
        priority: u8::try_from(priority).unwrap_or(5),
        schedule,
        events,
        parameters,
        tasks,
        condition,
        alternate_job,
        os_filter,
        allowed_publications,
        allowed_subscriptions,
        overlap,
        missed_runs,
        document: bytes.into(),
    };
    compact(&mut job);
    Some(job)
}

/// Thousands of jobs stay in memory: their lists keep no room for entries that never come.
fn compact(job: &mut JobDefinition) {
    job.events.shrink_to_fit();
    job.parameters.shrink_to_fit();
    job.allowed_publications.shrink_to_fit();
    job.allowed_subscriptions.shrink_to_fit();
    job.tasks.shrink_to_fit();
    job.tasks.iter_mut().for_each(|task| task.arguments.shrink_to_fit());
}

/// `condition`; `null` counts as none, an empty text is an error like any other that cannot be parsed.
fn condition(reader: &ObjectReader<'_>, report: &mut Report) -> Option<Condition> {
    let field = reader.take("condition")?;
    match Condition::from_json(field.value) {
        Ok(condition) => Some(condition),
        Err((below, message)) => {
            report.error(format!("{}{below}", field.pointer), "condition-invalid", message);
            None
        }
    }
}

/// `osFilter`: absent means all systems; present, a missing system is false.
fn os_filter(reader: &ObjectReader<'_>, report: &mut Report) -> Option<OsFilter> {
    let field = reader.take("osFilter")?;
    let systems = field.object(&keys::OS_FILTER, report)?;
    let filter = OsFilter {
        linux: systems.boolean("linux", report),
        windows: systems.boolean("windows", report),
        mac_os: systems.boolean("macOS", report),
    };
    systems.finish(report);
    if !(filter.linux || filter.windows || filter.mac_os) {
        let message = "no system is set to true, so this runs nowhere; set linux, windows or macOS to true.";
        report.warning(field.pointer, "os-filter-excludes-all", message);
    }
    Some(filter)
}

/// The explicit `eventTopic` with its place.
fn event_topic(reader: &ObjectReader<'_>, report: &mut Report) -> Option<(String, TopicName)> {
    let topic = reader.text("eventTopic", report)?;
    let pointer = reader.at("eventTopic");
    topics::name(&pointer, topic, report).map(|name| (pointer, name))
}

fn alternate_job(
    reader: &ObjectReader<'_>,
    own: Option<&JobId>,
    has_condition: bool,
    report: &mut Report,
) -> Option<JobId> {
    let field = reader.take("alternateJobId").filter(|field| field.value.as_str() != Some(""))?;
    let id = parse_id(&field, JobId::parse, report)?;
    if own == Some(&id) {
        report.error(field.pointer, "alternate-job-loop", "a job cannot be its own alternate; name another job.");
        return None;
    }
    if !has_condition {
        let message = "the alternate job runs where 'condition' is false, and there is no condition.";
        report.warning(field.pointer, "alternate-job-unused", message);
    }
    Some(id)
}

/// `events` in all its forms: a bare text, `{"eventType":"Startup"}`, `{"eventType":"Custom","customEvent":…}`, `{"eventType":…}`.
fn events(reader: &ObjectReader<'_>, report: &mut Report) -> Vec<String> {
    let mut events: Vec<String> = Vec::new();
    for field in reader.array("events", report) {
        let name = match field.value {
            Json::String(_) => field.text(report).map(ToString::to_string),
            Json::Object(_) => field.object(&keys::EVENT, report).and_then(|members| event(members, report)),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) => {
                field.wrong_type("a text or an object with 'eventType'", report);
                None
            }
        };
        match name.map(canonical) {
            Some(name) if name.trim().is_empty() => {
                report.error(field.pointer, "event-without-name", "the name of the event is empty.");
            }
            Some(name) if events.contains(&name) => {
                report.note(field.pointer, "duplicate", format!("the event {} is listed twice.", quote(&name)));
            }
            Some(name) => events.push(name),
            None => {}
        }
    }
    events
}

/// The one event that the agent itself fires is known in any case.
fn canonical(name: String) -> String {
    if name.eq_ignore_ascii_case("Startup") { String::from("Startup") } else { name }
}

fn event(members: ObjectReader<'_>, report: &mut Report) -> Option<String> {
    let kind = members.required("eventType", report).and_then(|field| field.text(report));
    let custom = members.text("customEvent", report);
    let pointer = members.pointer.clone();
    let custom_pointer = members.at("customEvent");
    members.finish(report);
    let kind = kind?;
    if kind.eq_ignore_ascii_case("Custom") {
        if custom.is_none() {
            let message = "a Custom event needs its name: {\"eventType\":\"Custom\",\"customEvent\":\"Name\"}.";
            report.error(pointer_to(&pointer, "customEvent"), "event-without-name", message);
        }
        return custom.map(ToString::to_string);
    }
    if custom.is_some() {
        let message = format!("'customEvent' counts only with eventType Custom; this job listens to {}.", quote(kind));
        report.warning(custom_pointer, "custom-event-unused", message);
    }
    Some(kind.to_string())
}
