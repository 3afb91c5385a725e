//! A job definition: `Jobs/{id}.json`, parsed once into what the machines need (contract section 3, seed 001 step 3).

pub mod catalog;
pub mod condition;
pub mod finding;
pub mod lint;
pub mod parameter;
pub(crate) mod parse;
pub mod substitution;
pub mod task;
#[cfg(test)]
mod tests;
pub mod url;

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use serde_json::Value;

use crate::acl::topic::TopicFilter;
use crate::id::JobId;
use crate::lkg::Document;
use condition::Condition;
use finding::Findings;
use parameter::Parameter;
use task::Task;

/// What the names in conditions and templates stand for; `None` where nobody sets one. A value is copied only where it has to be.
pub type Lookup<'l, 'v> = &'l dyn Fn(&str) -> Option<Cow<'v, Value>>;

/// The operating systems a job or task is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OsFilter {
    /// `linux`.
    pub linux: bool,
    /// `windows`.
    pub windows: bool,
    /// `macOS`.
    pub mac_os: bool,
}

/// When a job runs by itself; exactly one mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScheduleDefinition {
    /// `intervalMinutes`, at least 1.
    Interval {
        /// Minutes between runs.
        minutes: u64,
    },
    /// `cronExpression`, five fields.
    Cron {
        /// The expression as written.
        expression: String,
        /// IANA zone name; the machine's own where absent.
        time_zone: Option<String>,
    },
    /// `runAt`, once.
    Once {
        /// Milliseconds since the Unix epoch.
        at_millis: i64,
    },
    /// `calendar`.
    Calendar {
        /// Any entry that matches is due.
        entries: Vec<CalendarEntry>,
        /// IANA zone name; the machine's own where absent.
        time_zone: Option<String>,
    },
}

/// One line of a calendar schedule. Days of the week and of the month: either matches; none given means daily.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalendarEntry {
    /// Minutes after local midnight.
    pub minute_of_day: u16,
    /// 0 = Sunday … 6 = Saturday.
    pub days_of_week: Vec<u8>,
    /// 1 to 31, or -1 for the last day.
    pub days_of_month: Vec<i8>,
}

/// What happens to a trigger while a run of the same job is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlap {
    /// It waits its turn.
    #[default]
    Queue,
    /// It is dropped, visibly.
    Skip,
    /// It runs beside.
    Parallel,
}

/// What happens to due instants that passed while the agent was not running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissedRuns {
    /// Nothing.
    #[default]
    Skip,
    /// One run for all of them.
    RunOnce,
}

/// A valid job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobDefinition {
    /// `id`, equal to the file name.
    pub id: JobId,
    /// `name`; the id where absent.
    pub name: String,
    /// `description`.
    pub description: String,
    /// `enabled`, true where absent.
    pub enabled: bool,
    /// `priority`, 1 to 10, 5 where absent; higher first.
    pub priority: u8,
    /// `schedule`.
    pub schedule: Option<ScheduleDefinition>,
    /// Names of the events that start it; `Startup` is one of them.
    pub events: Vec<String>,
    /// `eventTopic`, `Jobs/{id}/events` where absent.
    pub event_topic: String,
    /// `parameters`.
    pub parameters: Vec<Parameter>,
    /// `tasks`, at least one.
    pub tasks: Vec<Task>,
    /// `condition` of the whole job.
    pub condition: Option<Condition>,
    /// `alternateJobId`: what runs instead where the condition is false.
    pub alternate_job: Option<JobId>,
    /// `osFilter`; all systems where absent.
    pub os_filter: Option<OsFilter>,
    /// `mqttTopics.allowedPublications`.
    pub allowed_publications: Vec<TopicFilter>,
    /// `mqttTopics.allowedSubscriptions`.
    pub allowed_subscriptions: Vec<TopicFilter>,
    /// `overlap`.
    pub overlap: Overlap,
    /// `missedRuns`.
    pub missed_runs: MissedRuns,
    /// The document as it came, byte for byte.
    pub document: Document,
}

impl JobDefinition {
    /// Reads a job document; where the id must be a given one (its file name, the id in a request's path), against `expected_id`.
    ///
    /// Notes and warnings come with the job: unknown keys, an event topic that is not declared, routes that never end.
    ///
    /// # Errors
    /// All findings, at least one of them an error.
    pub fn parse(bytes: &[u8], expected_id: Option<&str>) -> Result<(Self, Findings), Findings> {
        parse::parse(bytes, expected_id)
    }

    /// Whether `mqttTopics` has at least one entry, so that tasks get `KEEPER_JOB_ID` and `KEEPER_JOB_NAME` (seed 000).
    pub fn declares_topics(&self) -> bool {
        !self.allowed_publications.is_empty() || !self.allowed_subscriptions.is_empty()
    }

    /// Whether `osFilter` lets it run on this system.
    pub fn runs_here(&self, here: OperatingSystem) -> bool {
        self.os_filter.is_none_or(|filter| filter.includes(here))
    }
}

/// The system the agent runs on; passed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperatingSystem {
    /// Linux.
    Linux,
    /// Windows.
    Windows,
    /// macOS.
    MacOs,
}

impl OsFilter {
    /// Whether the filter has this system set.
    pub const fn includes(self, here: OperatingSystem) -> bool {
        match here {
            OperatingSystem::Linux => self.linux,
            OperatingSystem::Windows => self.windows,
            OperatingSystem::MacOs => self.mac_os,
        }
    }
}
