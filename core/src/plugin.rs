//! A plugin definition: `Plugins/{id}.json` (seed 003, contract section 7).

pub mod backoff;
pub(crate) mod instances;
pub(crate) mod parse;
pub mod settings;
pub mod storage;
pub mod supervisor;
#[cfg(test)]
mod tests;
pub(crate) mod together;

use alloc::string::String;
use alloc::vec::Vec;

use crate::acl::topic::{TopicFilter, TopicName};
use crate::acl::{FilterSet, PrimarySubscription};
use crate::id::PluginId;
use crate::job::OperatingSystem;
use crate::job::finding::Findings;
use crate::json::Json;
use crate::lkg::Document;
use crate::resources::ResourceLimits;
use crate::user::RunAs;

/// A valid plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginDefinition {
    /// `id`, equal to the file name.
    pub id: PluginId,
    /// `name`; the id where absent.
    pub name: String,
    /// `version`, or empty.
    pub version: String,
    /// `executablePath`, empty where `built_in`: absolute, or relative to the agent root, then to the plugin root.
    pub executable_path: String,
    /// `arguments`, split but not substituted.
    pub arguments: Vec<String>,
    /// Whether `supportedPlatforms` names this system.
    pub supported_here: bool,
    /// `Subscription`.
    pub subscription: PrimarySubscription,
    /// `metadata.mqttTopics.publish`.
    pub publish: Vec<TopicFilter>,
    /// `metadata.mqttTopics.subscribe`.
    pub subscribe: Vec<TopicFilter>,
    /// `startupPriority`, 100 where absent; lower first.
    pub startup_priority: i64,
    /// `autoStart`, false where absent.
    pub auto_start: bool,
    /// `pluginType` is `Service`: the agent itself is the plugin, there is no process. Else it is `Executable`.
    pub built_in: bool,
    /// `executionContext`: in each session `User` or, with its display (`Interactive`), `UserDesktop`; `None` for `Service`, the agent itself.
    pub run_as: Option<RunAs>,
    /// `requiresMonitoring`, false where absent.
    pub requires_monitoring: bool,
    /// `autoRestart`, false where absent; without monitoring it has no effect.
    pub auto_restart: bool,
    /// `requires`: plugins of this agent that are ready before it starts.
    pub requires: Vec<PluginId>,
    /// `healthCheck`.
    pub health_check: Option<HealthCheck>,
    /// `limits`.
    pub limits: ResourceLimits,
    /// `enabled`, true where absent.
    pub enabled: bool,
    /// The whole document, for its settings.
    pub settings: Json,
    /// `secretSettings`: settings that only the plugin itself sees, each with what is below it.
    pub secret_settings: Vec<String>,
    /// The document as it came, byte for byte.
    pub document: Document,
}

/// A ping that the plugin must answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// `topic`: where the agent publishes the ping.
    pub topic: TopicName,
    /// `intervalSeconds`: from one answer to the next ping.
    pub interval_seconds: u64,
    /// `timeoutSeconds`: a plugin that has not answered by then is restarted.
    pub timeout_seconds: u64,
}

impl PluginDefinition {
    /// Reads a plugin document for the system `here`; where the id must be a given one (its file name), against `expected_id`.
    ///
    /// Notes and warnings come with the plugin.
    ///
    /// # Errors
    /// All findings, at least one of them an error.
    pub fn parse(bytes: &[u8], expected_id: Option<&str>, here: OperatingSystem) -> Result<(Self, Findings), Findings> {
        parse::parse(bytes, expected_id, here)
    }

    /// What it may publish and subscribe: its lists, and what its health check needs.
    pub(crate) fn permissions(&self) -> (FilterSet, FilterSet) {
        let (mut publish, mut subscribe) = (self.publish.clone(), self.subscribe.clone());
        if let Some(check) = &self.health_check {
            // Both are names of topics, which every filter parser takes.
            publish.extend(TopicFilter::parse(HEALTH_TOPIC));
            subscribe.extend(TopicFilter::parse(check.topic.as_str()));
        }
        (publish.into(), subscribe.into())
    }
}

/// Where plugins answer the pings of their health check.
pub const HEALTH_TOPIC: &str = "PluginHealth";

/// Plugins that the agent itself is; only they may have `pluginType` `Service` (contract section 7).
pub const BUILT_IN_PLUGINS: [&str; 1] = ["KeeperLogger"];
