//! A plugin document to a [`PluginDefinition`]: the field reference of seed 003 with its checks.

pub(crate) mod keys;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{BUILT_IN_PLUGINS, HEALTH_TOPIC, HealthCheck, PluginDefinition};
use crate::acl::PrimarySubscription;
use crate::acl::topic::TopicFilter;
use crate::broker::WATCHED_TOPICS;
use crate::id::PluginId;
use crate::job::OperatingSystem;
use crate::job::finding::{Findings, Report, has_errors, quote};
use crate::job::parse::{arguments, document, id, limits, parse_id, topics};
use crate::json::Json;
use crate::json::read::{Field, ObjectReader};
use crate::plugin::settings::is_agent;
use crate::user::RunAs;

const PLUGIN_TYPES: [(&str, bool); 2] = [("Executable", false), ("Service", true)];

const PLATFORMS: [(&str, OperatingSystem); 3] =
    [("Windows", OperatingSystem::Windows), ("Linux", OperatingSystem::Linux), ("macOS", OperatingSystem::MacOs)];

/// Execution contexts, and as whom they are.
const CONTEXTS: [(&str, Option<RunAs>); 3] =
    [("Service", None), ("User", Some(RunAs::User)), ("Interactive", Some(RunAs::UserDesktop))];

pub(super) fn parse(
    bytes: &[u8],
    expected_id: Option<&str>,
    here: OperatingSystem,
) -> Result<(PluginDefinition, Findings), Findings> {
    let mut report = Report::default();
    let plugin = document(bytes, &mut report).and_then(|json| plugin(json, bytes, expected_id, here, &mut report));
    let findings = report.into_findings();
    match plugin {
        Some(plugin) if !has_errors(&findings) => Ok((plugin, findings)),
        _ => Err(findings),
    }
}

fn plugin(
    json: Json,
    bytes: &[u8],
    expected_id: Option<&str>,
    here: OperatingSystem,
    report: &mut Report,
) -> Option<PluginDefinition> {
    let reader = Field { pointer: String::new(), value: &json }.object(&keys::PLUGIN, report)?;
    let id = id(&reader, expected_id, PluginId::parse, report);
    if id.as_ref().is_some_and(is_agent) {
        let message = "under this name the agent shows its own settings; give the plugin another id.";
        report.error(reader.at("id"), "id-reserved", message);
    }
    let name = reader.text("name", report).map(ToString::to_string);
    reader.text("description", report);
    let version = reader.text("version", report).unwrap_or_default().to_string();
    let built_in = is_built_in(&reader, id.as_ref(), report);
    let executable_path = executable_path(&reader, built_in, report);
    let arguments = arguments::parse(&reader, report);
    let supported_here = is_supported(&reader, here, report);
    let subscription = reader.required("Subscription", report).and_then(|field| subscription(&field, report));
    let (publish, subscribe) = declared_topics(&reader, report);
    let startup_priority = reader.integer("startupPriority", report);
    let auto_start = reader.boolean("autoStart", report);
    let run_as = reader.take("executionContext").and_then(|field| field.choice(&CONTEXTS, report)).flatten();
    let requires_monitoring = reader.boolean("requiresMonitoring", report);
    let auto_restart = reader.boolean("autoRestart", report);
    if auto_restart && !requires_monitoring {
        let message = "without \"requiresMonitoring\": true the plugin is not watched and never restarted.";
        report.warning(reader.at("autoRestart"), "auto-restart-unused", message);
    }
    let requires = requires(&reader, id.as_ref(), report);
    let health_check = reader.take("healthCheck").and_then(|field| health_check(&field, report));
    let limits = limits::parse(&reader, report);
    let enabled = reader.boolean("enabled", report);
    let secret_settings = reader.array("secretSettings", report);
    let secret_settings = secret_settings.iter().filter_map(|field| field.text(report)).map(ToString::to_string);
    let secret_settings = secret_settings.collect();
    reader.finish(report);
    let id = id?;
    Some(PluginDefinition {
        name: name.unwrap_or_else(|| id.to_string()),
        id,
        version,
        executable_path: executable_path.unwrap_or_default(),
        arguments,
        supported_here,
        subscription: subscription?,
        publish,
        subscribe,
        startup_priority,
        auto_start,
        built_in,
        run_as,
        requires_monitoring,
        auto_restart,
        requires,
        health_check,
        limits,
        enabled,
        settings: json,
        secret_settings,
        document: bytes.into(),
    })
}

/// `pluginType`: `Executable`, or `Service` for the agent's own.
fn is_built_in(reader: &ObjectReader<'_>, id: Option<&PluginId>, report: &mut Report) -> bool {
    let Some(field) = reader.required("pluginType", report) else { return false };
    let built_in = field.choice(&PLUGIN_TYPES, report).unwrap_or_default();
    if built_in && id.is_some_and(|id| !BUILT_IN_PLUGINS.contains(&id.as_str())) {
        let names = BUILT_IN_PLUGINS.join(", ");
        let message = format!("Service is for plugins that the agent itself is ({names}); write \"Executable\".");
        report.error(field.pointer, "plugin-type-reserved", message);
    }
    built_in
}

fn executable_path(reader: &ObjectReader<'_>, built_in: bool, report: &mut Report) -> Option<String> {
    let field = if built_in { reader.take("executablePath") } else { reader.required("executablePath", report) }?;
    let text = field.text(report)?;
    if text.is_empty() && !built_in {
        report.error(field.pointer, "required", "'executablePath' is empty.");
        return None;
    }
    if text.split(['/', '\\']).any(|part| part == "..") {
        let message = format!("{} leads out of its folder by '..'; write the path without.", quote(text));
        report.error(field.pointer, "path-escapes", message);
        return None;
    }
    Some(text.to_string())
}

fn is_supported(reader: &ObjectReader<'_>, here: OperatingSystem, report: &mut Report) -> bool {
    let Some(items) = reader.required("supportedPlatforms", report).and_then(|field| field.array(report)) else {
        return false;
    };
    if items.is_empty() {
        let message = "no platform is listed, so the plugin runs nowhere; list Windows, Linux or macOS.";
        report.error(reader.at("supportedPlatforms"), "platforms-empty", message);
    }
    let platforms: Vec<OperatingSystem> = items.iter().filter_map(|item| item.choice(&PLATFORMS, report)).collect();
    platforms.contains(&here)
}

fn subscription(field: &Field<'_>, report: &mut Report) -> Option<PrimarySubscription> {
    let members = field.object(&keys::SUBSCRIPTION, report)?;
    let topic = members.required("Topic", report).and_then(|field| topics::filter(&field, report));
    let qos = members.integer("Qos", report);
    let clean_session = members.boolean("CleanSession", report);
    members.finish(report);
    Some(PrimarySubscription { topic: topic?, qos: u8::try_from(qos).ok()?, clean_session })
}

/// `metadata.mqttTopics`; the other members of `metadata` are the plugin's own settings.
fn declared_topics(reader: &ObjectReader<'_>, report: &mut Report) -> (Vec<TopicFilter>, Vec<TopicFilter>) {
    let metadata = reader.required("metadata", report).and_then(|field| field.object(&keys::METADATA, report));
    let topics = metadata
        .and_then(|members| members.required("mqttTopics", report))
        .and_then(|field| field.object(&keys::TOPICS, report));
    let Some(topics) = topics else { return (Vec::new(), Vec::new()) };
    let mut list = |name| {
        let items = topics.required(name, report).and_then(|field| field.array(report)).unwrap_or_default();
        topics::filters(&items, report)
    };
    let lists = (list("publish"), list("subscribe"));
    topics.finish(report);
    lists
}

/// `requires`: other plugins, each once.
fn requires(reader: &ObjectReader<'_>, id: Option<&PluginId>, report: &mut Report) -> Vec<PluginId> {
    let mut required: Vec<PluginId> = Vec::new();
    for field in reader.array("requires", report) {
        let Some(other) = parse_id(&field, PluginId::parse, report) else { continue };
        if Some(&other) == id {
            let message = "a plugin cannot wait for itself; remove this entry.";
            report.error(field.pointer, "requires-itself", message);
        } else if required.contains(&other) {
            report.note(field.pointer, "requires-twice", "it is listed already.");
        } else {
            required.push(other);
        }
    }
    required
}

/// `healthCheck`.
fn health_check(field: &Field<'_>, report: &mut Report) -> Option<HealthCheck> {
    let members = field.object(&keys::HEALTH_CHECK, report)?;
    let topic = members.required("topic", report).and_then(|field| {
        let text = field.text(report)?;
        let name = topics::name(&field.pointer, text, report)?;
        if WATCHED_TOPICS.contains(&text) || text.starts_with('$') {
            let message = format!(
                "{} is read by the agent itself, and answers to a ping go to {HEALTH_TOPIC}; give the ping a topic of its own.",
                quote(text)
            );
            report.error(field.pointer, "health-topic-reserved", message);
            return None;
        }
        Some(name)
    });
    let interval = members.integer("intervalSeconds", report);
    let timeout = members.integer("timeoutSeconds", report);
    members.finish(report);
    Some(HealthCheck {
        topic: topic?,
        interval_seconds: u64::try_from(interval).ok()?,
        timeout_seconds: u64::try_from(timeout).ok()?,
    })
}
