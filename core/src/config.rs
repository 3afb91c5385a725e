//! `appsettings.json`: the sections `Settings` and `MqttBrokerSettings` (contract section 1).

use alloc::string::String;
use alloc::vec::Vec;

use crate::log_message::Level;

/// Settings in force, every default filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `Settings:KestrelHttpPort`, 6888; 0 means any free port.
    pub http_port: u16,
    /// `Settings:KestrelHttpsPort`, 6889; 0 means any free port.
    pub https_port: u16,
    /// `MqttBrokerSettings:Port`, 8675; 0 means any free port.
    pub mqtt_port: u16,
    /// `Settings:AlternativeSignatures`, hex digits only, lower case.
    pub alternative_signatures: Vec<String>,
    /// `Settings:AllowedNonAdminExecutables`.
    pub allowed_non_admin_executables: Vec<String>,
    /// `Settings:PluginPath`, `Plugins`: the plugin folder below the agent root.
    pub plugin_path: String,
    /// `Settings:system.logging.level`, `Information`.
    pub log_level: Level,
    /// `Settings:AllowElevatedWithoutCertificate`, false.
    pub allow_elevated_without_certificate: bool,
    /// `Settings:PluginMonitoring`.
    pub monitoring: Monitoring,
    /// `Settings:MaxConcurrentRuns`, 16.
    pub max_concurrent_runs: usize,
    /// `Settings:RunHistoryDays`, 30.
    pub run_history_days: u32,
    /// `MqttBrokerSettings:DenialReason`: whether an MQTT 5.0 client is told that a publish was denied.
    pub visible_denials: bool,
    /// `MqttBrokerSettings:MaxPacketBytes`, 1 MiB.
    pub max_packet_bytes: u32,
    /// `MqttBrokerSettings:MaxQueuedMessages` per client, 1000.
    pub max_queued_messages: usize,
}

/// `Settings:PluginMonitoring`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Monitoring {
    /// `IntervalSeconds`, 5: how often health is looked at beyond exits, which are seen at once.
    pub interval_seconds: u64,
    /// `RestartDelaySeconds`, 1: before the first restart; doubles with each.
    pub restart_delay_seconds: u64,
    /// `RestartDelayMaxSeconds`, 300.
    pub restart_delay_max_seconds: u64,
    /// `StableAfterSeconds`, 60: after so long a plugin's delay starts over.
    pub stable_after_seconds: u64,
}
