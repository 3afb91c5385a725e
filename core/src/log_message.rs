//! Log records: what the agent writes for itself, and the `RequestMessage` that tasks and plugins send to `KeeperLogger` (seed 001, step 5).

use alloc::string::String;

use serde::Serialize;

/// How much a record matters. Ordered from least to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Level {
    /// `Trace`; log messages call it `Verbose`.
    Trace,
    /// `Debug`.
    Debug,
    /// `Information`; log messages call it `Info`.
    Information,
    /// `Warning`.
    Warning,
    /// `Error`.
    Error,
    /// `Critical`.
    Critical,
}

/// One line of `state/logs/agent.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogRecord {
    /// RFC 3339, UTC: when the agent received or wrote it.
    pub timestamp: String,
    /// Severity.
    pub level: Level,
    /// The tool's name; `castellan` for the agent itself.
    pub source: String,
    /// Phase or component, a short label.
    pub category: String,
    /// Text for people, without line breaks or control characters.
    pub message: String,
    /// Trace id, or empty.
    pub correlation_id: String,
    /// Extra text, or empty.
    pub context: String,
    /// The MQTT client id it came from.
    pub client_id: Option<String>,
    /// The verified process id it came from.
    pub pid: Option<u32>,
    /// `agent`, `job:{id}` or `plugin:{id}`.
    pub component: String,
}
