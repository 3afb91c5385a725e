//! Topic declarations: `mqttTopics` of a job, and the checks that plugins share.

use alloc::format;
use alloc::vec::Vec;

use super::keys::TOPICS;
use crate::acl::topic::{TopicFilter, TopicName};
use crate::job::finding::{Report, quote};
use crate::json::read::{Field, ObjectReader};

/// `mqttTopics`: allowed publications and subscriptions (seed 000).
pub(super) fn job(reader: &ObjectReader<'_>, report: &mut Report) -> (Vec<TopicFilter>, Vec<TopicFilter>) {
    let Some(topics) = reader.take("mqttTopics").and_then(|field| field.object(&TOPICS, report)) else {
        return (Vec::new(), Vec::new());
    };
    let publications = filters(&topics.array("allowedPublications", report), report);
    let subscriptions = filters(&topics.array("allowedSubscriptions", report), report);
    topics.finish(report);
    (publications, subscriptions)
}

/// The topic filters of a list, each once.
pub(crate) fn filters(fields: &[Field<'_>], report: &mut Report) -> Vec<TopicFilter> {
    let mut filters: Vec<TopicFilter> = Vec::new();
    for field in fields {
        match filter(field, report) {
            Some(filter) if filters.contains(&filter) => {
                let message = format!("{} is listed twice.", quote(filter.as_str()));
                report.note(field.pointer.clone(), "duplicate", message);
            }
            Some(filter) => filters.push(filter),
            None => {}
        }
    }
    filters
}

/// One topic filter; else an error finding.
pub(crate) fn filter(field: &Field<'_>, report: &mut Report) -> Option<TopicFilter> {
    let text = field.text(report)?;
    match TopicFilter::parse(text) {
        Ok(filter) => {
            if text == "#" {
                let message = "'#' means every topic of every component; list the topics that are needed.";
                report.note(field.pointer.clone(), "broad-wildcard", message);
            }
            Some(filter)
        }
        Err(invalid) => {
            let message = format!("{} is not a topic filter: {}", quote(text), invalid.message);
            report.error(field.pointer.clone(), "topic-invalid", message);
            None
        }
    }
}

/// The topic name in a text; else an error finding.
pub(crate) fn name(pointer: &str, topic: &str, report: &mut Report) -> Option<TopicName> {
    match TopicName::parse(topic) {
        Ok(name) => Some(name),
        Err(invalid) => {
            let message = format!("{} is not a topic name: {}", quote(topic), invalid.message);
            report.error(pointer, "topic-invalid", message);
            None
        }
    }
}

/// Warns where the event topic of a job is in none of its allowed publications (seed 001, "Job progress over MQTT").
pub(super) fn warn_undeclared(pointer: &str, topic: &TopicName, allowed: &[TopicFilter], report: &mut Report) {
    if allowed.iter().any(|filter| filter.matches(topic)) {
        return;
    }
    let message = format!(
        "{} is not in mqttTopics.allowedPublications, so tasks may not publish to it; add exactly this text there.",
        quote(topic.as_str())
    );
    report.warning(pointer, "event-topic-not-declared", message);
}
