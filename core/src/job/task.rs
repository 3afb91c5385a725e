//! One task of a job.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;

use serde_json::{Map, Value};

use super::OsFilter;
use super::condition::Condition;
use crate::resources::ResourceLimits;
use crate::user::RunAs;

/// Where and as whom a task runs (seed 004, "Task Execution Types").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExecutionType {
    /// The agent's own session and account.
    #[default]
    Service,
    /// An HTTP request; no process.
    Http,
    /// The user's session, not elevated.
    User,
    /// The user's desktop, not elevated.
    UserDesktop,
    /// The user's session, elevated.
    UserElevated,
}

impl ExecutionType {
    /// As whom its program runs; `None` where it is the agent itself, or no program.
    pub const fn run_as(self) -> Option<RunAs> {
        match self {
            Self::Service | Self::Http => None,
            Self::User => Some(RunAs::User),
            Self::UserDesktop => Some(RunAs::UserDesktop),
            Self::UserElevated => Some(RunAs::UserElevated),
        }
    }
}

/// How a script is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ScriptType {
    /// By `#!` or extension.
    #[default]
    Auto,
    /// `sh`.
    Shell,
    /// `bash`.
    Bash,
    /// `python3`.
    Python,
    /// `pwsh`.
    PowerShell,
    /// Not a script.
    None,
}

/// Where a run goes after a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// To the task with this id.
    Task(String),
    /// The run is over (`stop` or `end`).
    Stop,
}

/// `retry` of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// How often it is tried again after the first failure.
    pub attempts: u32,
    /// Seconds between tries.
    pub delay_seconds: u64,
}

/// A plugin setting that can switch a task off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingReference {
    /// Plugin id.
    pub plugin: String,
    /// Setting key, dotted.
    pub setting: String,
}

/// The request of an Http task; texts are substituted before use.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpRequestDefinition {
    /// Method, upper case.
    pub method: String,
    /// Absolute URL.
    pub url: String,
    /// Header fields.
    pub headers: BTreeMap<String, String>,
    /// Body; an object or array is sent as JSON.
    pub body: Option<Value>,
    /// Statuses that count as success; empty means 200-299.
    pub expect_status: alloc::vec::Vec<u16>,
}

/// A valid task.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// `id`, unique in the job.
    pub id: String,
    /// `name`; the id where absent.
    pub name: String,
    /// `executionType`.
    pub execution_type: ExecutionType,
    /// `command`: a bare name without path characters.
    pub command: String,
    /// `executablePath`, absolute.
    pub executable_path: Option<String>,
    /// `arguments` as written: split first, then each piece substituted.
    pub arguments: alloc::vec::Vec<String>,
    /// `timeoutSeconds`, 3600 where absent, at least 1.
    pub timeout_seconds: u64,
    /// `continueOnFailure`.
    pub continue_on_failure: bool,
    /// `scriptType`.
    pub script_type: ScriptType,
    /// `onSuccess`.
    pub on_success: Option<Route>,
    /// `onFailure`.
    pub on_failure: Option<Route>,
    /// `condition`.
    pub condition: Option<Condition>,
    /// `osFilter`.
    pub os_filter: Option<OsFilter>,
    /// `mergeStdoutJsonIntoContext`.
    pub merge_stdout: bool,
    /// `skipWhenPluginSettingFalse`.
    pub skip_when_false: Option<SettingReference>,
    /// `contextWhenSkipped`.
    pub context_when_skipped: Map<String, Value>,
    /// `workingDirectory`, absolute.
    pub working_directory: Option<String>,
    /// `environment`, on top of what the agent gives.
    pub environment: BTreeMap<String, String>,
    /// `limits`.
    pub limits: ResourceLimits,
    /// `retry`.
    pub retry: Option<Retry>,
    /// The request, for Http tasks.
    pub http: Option<Box<HttpRequestDefinition>>,
}

/// Commands of Service tasks that the agent carries out itself.
pub const BUILT_IN_COMMANDS: [&str; 7] =
    ["echo", "publish-mqtt", "log-message", "display-message", "show-toast", "check-approval-provider", "fire-event"];
