//! What the agent itself publishes about a run: on the job's event topic while it runs, on `JobService` when it is over (contract section 5).

use alloc::format;
use alloc::string::{String, ToString};

use serde::Serialize;

use super::Run;
use super::history::{RunRecord, TaskRecord};
use crate::api::stream::Kind;
use crate::effect::BrokerOrder;
use crate::log_message::Level;
use crate::time::Now;
use crate::turn::Turn;

/// Where the agent publishes that a run is over.
const COMPLETIONS: &str = "JobService";
/// QoS of the events that the agent publishes about a run.
const EVENT_QOS: u8 = 1;

/// What is published when a run is over; members in the order of their names.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Completion<'r> {
    event: &'r str,
    job_id: &'r str,
    reason: Option<&'r str>,
    run_id: &'r str,
    status: &'r str,
    timestamp: String,
}

/// What is published while it runs, and told on event streams.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Progress<'r> {
    event: &'r str,
    job_id: &'r str,
    run_id: &'r str,
    status: &'r str,
    task: Option<TaskEnded<'r>>,
    timestamp: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TaskEnded<'r> {
    exit_code: Option<i32>,
    id: &'r str,
    outcome: &'r str,
}

/// What became of a run just now.
pub(super) fn progress<'r>(
    record: &'r RunRecord,
    event: &'r str,
    task: Option<&'r TaskRecord>,
    now: Now,
) -> Progress<'r> {
    Progress {
        event,
        job_id: &record.job_id,
        run_id: &record.run_id,
        status: &record.status,
        task: task.map(|task| TaskEnded { exit_code: task.exit_code, id: &task.task_id, outcome: &task.outcome }),
        timestamp: now.wall.to_rfc3339(),
    }
}

impl Run {
    /// Tells everybody on `JobService` that the run is over (contract section 5).
    pub(super) fn publish_completion(&self, turn: &mut Turn<'_>) {
        let completion = Completion {
            event: "completed",
            job_id: &self.record.job_id,
            reason: self.record.reason.as_deref(),
            run_id: &self.record.run_id,
            status: &self.record.status,
            timestamp: turn.now.wall.to_rfc3339(),
        };
        self.publish(COMPLETIONS.to_string(), &completion, turn);
    }

    /// Publishes what happened on the job's event topic.
    pub(super) fn publish_event(&self, kind: &str, task: Option<&TaskRecord>, turn: &mut Turn<'_>) {
        let event = progress(&self.record, kind, task, turn.now);
        turn.tell(Kind::Run, &event);
        self.publish(self.job.event_topic.clone(), &event, turn);
    }

    fn publish(&self, topic: String, event: &impl Serialize, turn: &mut Turn<'_>) {
        match serde_json::to_vec(event) {
            Ok(payload) => turn.broker(BrokerOrder::Publish { topic, payload, qos: EVENT_QOS, retain: false }),
            Err(error) => {
                let message = format!("An event of run {} was not published on '{topic}': {error}.", self.id);
                self.log(Level::Error, "NotPublished", message, turn);
            }
        }
    }
}
