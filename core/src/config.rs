//! `appsettings.json`: the sections `Settings` and `MqttBrokerSettings` (contract section 1).
//!
//! What is wrong here stops the start with one sentence; what is unknown is a warning, as the documented product has hundreds of keys.

mod flat;
mod logging;
mod origin;
pub(crate) mod parse;
mod policy_source;
mod telemetry;
#[cfg(test)]
mod tests;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::Ipv4Addr;

use crate::job::finding::Finding;
pub use logging::{LogFileLimits, LogRateLimit, Logging};
pub(crate) use parse::LEVELS;
pub use policy_source::{PolicyPlace, PolicySource, PolicyTopic, TlsFiles};
pub use telemetry::Telemetry;

/// Settings in force, every default filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `Settings:KestrelHttpPort`, 6888; 0 means any free port.
    pub http_port: u16,
    /// `Settings:KestrelHttpsPort`, 6889; 0 means any free port.
    pub https_port: u16,
    /// `MqttBrokerSettings:IpAddress`, 127.0.0.1: an IPv4 loopback address, as processes are identified on IPv4 connections.
    pub mqtt_address: Ipv4Addr,
    /// `MqttBrokerSettings:Port`, 8675; 0 means any free port.
    pub mqtt_port: u16,
    /// `Settings:AlternativeSignatures`, hex digits only, lower case: 40 (SHA-1) or 64 (SHA-256) of a signer's certificate.
    pub alternative_signatures: Vec<String>,
    /// `Settings:AllowedNonAdminExecutables`: base names.
    pub allowed_non_admin_executables: Vec<String>,
    /// `Settings:SessionUser`: the account whose session User tasks run in where the machine has no logind.
    pub session_user: Option<String>,
    /// `Settings:SessionDisplay`: its display, `:0` or `wayland-0`.
    pub session_display: Option<String>,
    /// `Settings:ElevationAccount`: the account that programs of privilege elevation run as, where that is not root.
    pub elevation_account: Option<String>,
    /// `Settings:PluginPath`, `Plugins`: the plugin folder below the agent root.
    pub plugin_path: String,
    /// `Settings:system.logging`.
    pub logging: Logging,
    /// `Settings:AllowElevatedWithoutCertificate`, false.
    pub allow_elevated_without_certificate: bool,
    /// `Settings:RequireSignedPolicies`, false: whether only signed policies are applied.
    pub require_signed_policies: bool,
    /// `Settings:ConfigurationLkg`.
    pub configuration_lkg: ConfigurationLkg,
    /// `Settings:PolicySource`: from where configuration policies come besides `Policies/`.
    pub policy_source: Option<PolicySource>,
    /// `Settings:Telemetry`: whom logs, traces and metrics are told to.
    pub telemetry: Option<Telemetry>,
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

/// `Settings:ConfigurationLkg`: Last Known Good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigurationLkg {
    /// `Enabled`, true.
    pub enabled: bool,
    /// `AuditOnly`, false: whether a changed file is reported only, and stays as it is.
    pub audit_only: bool,
    /// `SweepSeconds`, 60: how often all files are compared beyond what the watcher reports.
    pub sweep_seconds: u64,
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

/// Why the agent cannot start with these settings: one sentence that names file, key, what was found and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The sentence.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl core::error::Error for ConfigError {}

impl Default for Settings {
    fn default() -> Self {
        Self {
            http_port: 6888,
            https_port: 6889,
            mqtt_address: Ipv4Addr::LOCALHOST,
            mqtt_port: 8675,
            alternative_signatures: Vec::new(),
            allowed_non_admin_executables: Vec::new(),
            session_user: None,
            session_display: None,
            elevation_account: None,
            plugin_path: String::from("Plugins"),
            logging: Logging::default(),
            allow_elevated_without_certificate: false,
            require_signed_policies: false,
            configuration_lkg: ConfigurationLkg { enabled: true, audit_only: false, sweep_seconds: 60 },
            policy_source: None,
            telemetry: None,
            monitoring: Monitoring {
                interval_seconds: 5,
                restart_delay_seconds: 1,
                restart_delay_max_seconds: 300,
                stable_after_seconds: 60,
            },
            max_concurrent_runs: 16,
            run_history_days: 30,
            visible_denials: false,
            max_packet_bytes: 1 << 20,
            max_queued_messages: 1000,
        }
    }
}

impl Settings {
    /// Reads `appsettings.json`; `None` means there is no such file. Unknown keys come back as warnings with the nearest known one.
    ///
    /// # Errors
    /// [`ConfigError`] for the first thing that is wrong.
    pub fn parse(file: Option<&[u8]>) -> Result<(Self, Vec<Finding>), ConfigError> {
        file.map_or_else(|| Ok((Self::default(), Vec::new())), parse::parse)
    }

    /// The settings in force as the pseudo-plugin `KeeperPrivilegeManager` shows them (contract section 2), without the broker's address
    /// and the API's URL, which the agent knows only once its ports are open.
    pub fn flat(&self) -> BTreeMap<String, String> {
        flat::flat(self)
    }

    /// Whose signatures count, of settings as [`Settings::flat`] shows them: what a plugin learns from the agent that started it. All else
    /// has its default.
    ///
    /// # Errors
    /// Which of them is not there, or cannot be read: a setting that is unknown is not one that is off.
    pub fn of_signatures(shown: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        flat::of_signatures(shown)
    }

    /// Where in the file the keys of [`Settings::flat`] stand that it has: JSON pointers as it spells them. The others have their defaults.
    pub fn origins(&self, file: &[u8]) -> BTreeMap<String, String> {
        crate::json::Json::parse(file).map(|file| origin::pointers(self, &file)).unwrap_or_default()
    }
}
