//! What the API shows of jobs, plugins, runs and the agent itself (contract section 2).

pub(crate) mod lkg;
pub(crate) mod mfa;

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::fleet::Standing;
use schemars::JsonSchema;
use serde::Serialize;

use crate::job::JobDefinition;
use crate::job::finding::{Finding, Findings};
use crate::plugin::supervisor::Supervisor;
use crate::plugin::supervisor::output::ProcessOutput;
use crate::run::history::{Outcome, RunRecord};
use crate::time::{Now, WallTime};

/// `GET /health`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Health<'a> {
    pub(crate) status: &'static str,
    #[schemars(extend("format" = "date-time"))]
    pub(crate) timestamp: String,
    pub(crate) version: &'a str,
}

/// `GET /`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Service<'a> {
    pub(crate) service: &'static str,
    pub(crate) status: &'static str,
    pub(crate) version: &'a str,
}

/// `GET /api/system/status`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SystemStatus {
    pub(crate) status: &'static str,
    pub(crate) uptime_seconds: u64,
    pub(crate) plugin_count: usize,
    pub(crate) plugins_running: usize,
    pub(crate) job_count: usize,
    pub(crate) enabled_job_count: usize,
    pub(crate) runs_active: usize,
    /// Not for everybody, and only where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) policy_source: Option<Standing>,
}

/// One line of `GET /api/Jobs`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobLine<'a> {
    pub(crate) id: &'a str,
    pub(crate) name: &'a str,
    pub(crate) enabled: bool,
    #[schemars(extend("format" = "date-time"))]
    pub(crate) next_run: Option<String>,
    #[schemars(extend("format" = "date-time"))]
    pub(crate) last_run: Option<&'a str>,
    #[schemars(with = "Option<Outcome>")]
    pub(crate) last_outcome: Option<&'static str>,
}

impl<'a> JobLine<'a> {
    pub(crate) fn new(job: &'a JobDefinition) -> Self {
        Self {
            id: job.id.as_str(),
            name: &job.name,
            enabled: job.enabled,
            next_run: None,
            last_run: None,
            last_outcome: None,
        }
    }
}

/// `GET /api/plugins/{id}`, and one line of the list.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PluginLine {
    pub(crate) id: String,
    pub(crate) name: String,
    #[schemars(extend("enum" = ["Stopped", "Starting", "Running", "Stopping", "Backoff", "Failed"]))]
    pub(crate) status: &'static str,
    #[schemars(extend("enum" = ["Healthy", "Unhealthy", "Starting", "Stopping", "Failed"]))]
    pub(crate) health: &'static str,
    pub(crate) process_id: Option<u32>,
    #[schemars(extend("format" = "date-time"))]
    pub(crate) last_start_time: Option<String>,
    pub(crate) restarts: u64,
    /// Why it is as it is.
    pub(crate) reason: Option<String>,
    /// When it is started again by itself, where it waits for that.
    #[schemars(extend("format" = "date-time"))]
    pub(crate) restart_at: Option<String>,
}

impl PluginLine {
    pub(crate) fn new(plugin: &Supervisor, now: Now) -> Self {
        Self {
            id: plugin.definition.id.to_string(),
            name: plugin.definition.name.clone(),
            status: plugin.status(),
            health: plugin.health(),
            process_id: plugin.pid,
            last_start_time: plugin.last_start.map(WallTime::to_rfc3339),
            restarts: plugin.restarts,
            reason: plugin.reason(),
            restart_at: plugin.restart_at(now).map(WallTime::to_rfc3339),
        }
    }
}

/// `GET /api/plugins/{id}/output`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PluginOutput {
    pub(crate) id: String,
    /// The last one that ended, then the one that runs.
    pub(crate) processes: Vec<ProcessOutput>,
}

/// One line of `GET /api/runs`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunLine {
    pub(crate) run_id: String,
    pub(crate) job_id: String,
    pub(crate) trigger: String,
    pub(crate) status: String,
    #[schemars(extend("format" = "date-time"))]
    pub(crate) started_at: String,
    #[schemars(extend("format" = "date-time"))]
    pub(crate) begun_at: Option<String>,
    #[schemars(extend("format" = "date-time"))]
    pub(crate) finished_at: Option<String>,
    pub(crate) reason: Option<String>,
}

impl RunLine {
    pub(crate) fn new(run: &RunRecord) -> Self {
        Self {
            run_id: run.run_id.clone(),
            job_id: run.job_id.clone(),
            trigger: run.trigger.clone(),
            status: run.status.clone(),
            started_at: run.started_at.clone(),
            begun_at: run.begun_at.clone(),
            finished_at: run.finished_at.clone(),
            reason: run.reason.clone(),
        }
    }
}

/// What an event led to; the answer to `POST /api/events`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Fired {
    pub(crate) event_name: String,
    /// Whether it came already under this `messageId`, and led to nothing again.
    pub(crate) repeated: bool,
    pub(crate) runs: Vec<Triggered>,
    pub(crate) not_run: Vec<NotRun>,
}

/// A job that an event did not start.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NotRun {
    pub(crate) job_id: String,
    pub(crate) reason: String,
}

/// The answer to a trigger.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Triggered {
    pub(crate) run_id: String,
    pub(crate) job_id: String,
    pub(crate) status: String,
}

/// A file that is out of service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct RefusedFile {
    pub(crate) file: String,
    pub(crate) findings: Findings,
}

/// What loading the definitions led to; `POST /api/Jobs/reload` answers with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Default)]
pub(crate) struct LoadReport {
    pub(crate) loaded: Vec<String>,
    pub(crate) removed: Vec<String>,
    pub(crate) refused: Vec<RefusedFile>,
    pub(crate) restored: Vec<String>,
}

/// Whether a job would be taken.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Validation<'a> {
    pub(crate) valid: bool,
    pub(crate) findings: &'a [Finding],
}

/// The answer to a removal.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Deleted<'a> {
    pub(crate) id: &'a str,
    pub(crate) deleted: bool,
}

/// The answer to `DELETE /api/admin/certificates/{certificate}`: what counts no more, by SHA-256.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Revoked<'a> {
    pub(crate) revoked: &'a BTreeSet<String>,
}
