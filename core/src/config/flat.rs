//! Settings as one flat object, text to text.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{ConfigError, Settings, parse, policy_source, telemetry};
use crate::json::Json;

/// The settings that say whose signatures count.
const SIGNERS: &str = "AlternativeSignatures";
const REQUIRED: &str = "RequireSignedPolicies";

pub(super) fn flat(settings: &Settings) -> BTreeMap<String, String> {
    let denial = if settings.visible_denials { "Visible" } else { "Silent" };
    let monitoring = settings.monitoring;
    let lkg = settings.configuration_lkg;
    let logging = &settings.logging;
    let entries: [(&str, String); 31] = [
        ("KestrelHttpPort", settings.http_port.to_string()),
        ("KestrelHttpsPort", settings.https_port.to_string()),
        (SIGNERS, list(&settings.alternative_signatures)),
        ("AllowedNonAdminExecutables", list(&settings.allowed_non_admin_executables)),
        ("SessionUser", settings.session_user.clone().unwrap_or_default()),
        ("SessionDisplay", settings.session_display.clone().unwrap_or_default()),
        ("ElevationAccount", settings.elevation_account.clone().unwrap_or_default()),
        ("PluginPath", settings.plugin_path.clone()),
        ("system.logging.level", logging.level.as_str().to_string()),
        ("system.logging.fileBytes", logging.files.file_bytes.to_string()),
        ("system.logging.fileHours", logging.files.file_hours.to_string()),
        ("system.logging.totalBytes", logging.files.total_bytes.to_string()),
        ("system.logging.clientRate", logging.client.per_second.to_string()),
        ("system.logging.clientBurst", logging.client.burst.to_string()),
        ("system.logging.journal", logging.journal.clone().unwrap_or_default()),
        ("AllowElevatedWithoutCertificate", settings.allow_elevated_without_certificate.to_string()),
        (REQUIRED, settings.require_signed_policies.to_string()),
        ("ConfigurationLkg.Enabled", lkg.enabled.to_string()),
        ("ConfigurationLkg.AuditOnly", lkg.audit_only.to_string()),
        ("ConfigurationLkg.SweepSeconds", lkg.sweep_seconds.to_string()),
        ("PluginMonitoring.IntervalSeconds", monitoring.interval_seconds.to_string()),
        ("PluginMonitoring.RestartDelaySeconds", monitoring.restart_delay_seconds.to_string()),
        ("PluginMonitoring.RestartDelayMaxSeconds", monitoring.restart_delay_max_seconds.to_string()),
        ("PluginMonitoring.StableAfterSeconds", monitoring.stable_after_seconds.to_string()),
        ("MaxConcurrentRuns", settings.max_concurrent_runs.to_string()),
        ("RunHistoryDays", settings.run_history_days.to_string()),
        ("MqttBrokerSettings.IpAddress", settings.mqtt_address.to_string()),
        ("MqttBrokerSettings.Port", settings.mqtt_port.to_string()),
        ("MqttBrokerSettings.DenialReason", denial.to_string()),
        ("MqttBrokerSettings.MaxPacketBytes", settings.max_packet_bytes.to_string()),
        ("MqttBrokerSettings.MaxQueuedMessages", settings.max_queued_messages.to_string()),
    ];
    let source = settings.policy_source.iter().flat_map(policy_source::flat);
    let collector = settings.telemetry.iter().flat_map(telemetry::flat);
    entries.into_iter().chain(source).chain(collector).map(|(key, value)| (key.to_string(), value)).collect()
}

/// They are read as the file's are, so that what is no list of thumbprints is none here either.
pub(super) fn of_signatures(shown: &BTreeMap<String, String>) -> Result<Settings, ConfigError> {
    let text = |key: &str| {
        let missing =
            || ConfigError { message: format!("the agent shows no setting {key}; both have to be of one version.") };
        shown.get(key).ok_or_else(missing)
    };
    let (signers, required) = (text(SIGNERS)?, text(REQUIRED)?);
    let file = format!(r#"{{"Settings":{{"{SIGNERS}":{signers},"{REQUIRED}":{required}}}}}"#);
    parse::parse(file.as_bytes()).map(|(settings, _)| settings)
}

fn list(texts: &[String]) -> String {
    Json::Array(texts.iter().cloned().map(Json::String).collect::<Vec<_>>()).to_string()
}
