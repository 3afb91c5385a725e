//! Topic declarations: `mqttTopics` of a job, and the checks that plugins share.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::acl::topic::TopicFilter;
use crate::job::finding::{Report, quote};
use crate::json::read::{Field, ObjectReader};

/// `mqttTopics`: allowed publications and subscriptions (seed 000).
pub(super) fn job(reader: &mut ObjectReader<'_>, report: &mut Report) -> (Vec<TopicFilter>, Vec<TopicFilter>) {
    let Some(mut topics) = reader.take("mqttTopics").and_then(|field| field.object(report)) else {
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

/// Whether a text is a topic name, which is a filter without wildcards; else an error finding.
pub(super) fn check_name(pointer: &str, topic: &str, report: &mut Report) -> bool {
    let problem = match TopicFilter::parse(topic) {
        Err(invalid) => invalid.message,
        Ok(_) if topic.contains(['+', '#']) => String::from("a topic to publish to has no wildcards."),
        Ok(_) => return true,
    };
    report.error(pointer, "topic-invalid", format!("{} is not a topic name: {problem}", quote(topic)));
    false
}

/// Warns where the event topic of a job is in none of its allowed publications (seed 001, "Job progress over MQTT").
pub(super) fn warn_undeclared(pointer: &str, topic: &str, allowed: &[TopicFilter], report: &mut Report) {
    if allowed.iter().any(|filter| covers(filter.as_str(), topic)) {
        return;
    }
    let message = format!(
        "{} is not in mqttTopics.allowedPublications, so tasks may not publish to it; add exactly this text there.",
        quote(topic)
    );
    report.warning(pointer, "event-topic-not-declared", message);
}

/// Whether a filter covers a topic name, level by level; good enough to warn by, the broker decides by its own rules.
fn covers(filter: &str, topic: &str) -> bool {
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}
