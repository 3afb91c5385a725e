//! What is kept of a run: the whole story, as the history and the API show it.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::{JobId, RunId};

/// How a run ended (contract section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Every task that ran succeeded, or its failure was routed.
    Succeeded,
    /// A task failed and nothing routed on.
    Failed,
    /// A task passed its time limit and nothing routed on.
    TimedOut,
    /// The agent stopped, or somebody canceled the run.
    Canceled,
    /// The job's condition was false.
    Skipped,
    /// It was running when the agent died.
    Lost,
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Self; 6] =
        [Self::Succeeded, Self::Failed, Self::TimedOut, Self::Canceled, Self::Skipped, Self::Lost];

    /// The outcome of this spelling; `None` for `running`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == name)
    }

    /// The outcome as the contract spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::TimedOut => "TimedOut",
            Self::Canceled => "Canceled",
            Self::Skipped => "Skipped",
            Self::Lost => "Lost",
        }
    }
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRecord {
    /// The run's id.
    pub run_id: String,
    /// The job's id.
    pub job_id: String,
    /// What started it: `event Startup`, `schedule`, `api`, `message JobService`.
    pub trigger: String,
    /// The instant of its schedule that it was run for: RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<String>,
    /// `running`, or the outcome.
    pub status: String,
    /// The outcome, once there is one.
    pub outcome: Option<Outcome>,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// When it got its place and its tasks began: RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_at: Option<String>,
    /// RFC 3339, UTC, once it ended.
    pub finished_at: Option<String>,
    /// Why it ended so, in a sentence.
    pub reason: Option<String>,
    /// The context at the end (at the start while it runs).
    pub context: Map<String, Value>,
    /// Every task that was considered, in order. Shared, so that a record is saved without copying what does not change any more.
    pub tasks: Vec<Arc<TaskRecord>>,
    /// What was odd but did not change the course: unknown tokens, refused merges.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Which runs of the history are asked for; `None` is any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunQuery {
    /// Of this job.
    pub job: Option<JobId>,
    /// With this id.
    pub run: Option<RunId>,
    /// With this [`RunRecord::status`].
    pub status: Option<String>,
    /// Older than this one.
    pub before: Option<RunId>,
    /// Without tasks and context: what a list shows of a run.
    pub brief: bool,
    /// At most so many.
    pub limit: usize,
}

/// What the history knows of a job's past.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobPast {
    /// The job's id.
    pub job_id: String,
    /// When its latest run started: RFC 3339, UTC.
    pub started_at: String,
    /// How that run ended; `None` where it has not.
    pub outcome: Option<Outcome>,
    /// The latest due instant of its schedule that a run was made for, and when that run started: RFC 3339, UTC.
    pub due: Option<(String, String)>,
}

/// One task of a run as it went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskRecord {
    /// The task's id.
    pub task_id: String,
    /// `Succeeded`, `Failed`, `TimedOut`, `Canceled` or `Skipped`; `Running` while it runs.
    pub outcome: Cow<'static, str>,
    /// Why it was skipped or failed, in a sentence.
    pub reason: Option<String>,
    /// The command line as it was run.
    #[serde(default)]
    pub command_line: Vec<String>,
    /// The process id, where there was a process.
    pub pid: Option<u32>,
    /// Exit code, where the process exited.
    pub exit_code: Option<i32>,
    /// Status of the answer, where the task was a request that had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// Signal number, where one ended it.
    pub signal: Option<i32>,
    /// Captured standard output, invalid bytes replaced.
    pub stdout: String,
    /// Captured standard error, invalid bytes replaced.
    pub stderr: String,
    /// Milliseconds from start to end.
    pub duration_ms: Option<u64>,
    /// Where the run went from here, and why.
    pub route: Option<String>,
}
