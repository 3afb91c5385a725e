//! Names of things: what a person chose (jobs, plugins) is validated here, what the agent counts (runs, spawns) is made here.

use alloc::format;
use alloc::string::{String, ToString};
use core::cmp::Ordering;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::ID_LENGTH;

#[cfg(test)]
mod tests;

/// Why a text is not a valid job or plugin id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidId {
    /// A whole sentence for people.
    pub message: String,
    /// Whether an underscore is to blame, which the broker's client ids cannot carry (seed 001, step 3).
    pub underscore: bool,
}

/// Names that no file can have on Windows, with or without an extension (security design, H20).
const DEVICES: [&str; 22] = [
    "CON", "PRN", "AUX", "NUL", "COM1", "COM2", "COM3", "COM4", "COM5", "COM6", "COM7", "COM8", "COM9", "LPT1", "LPT2",
    "LPT3", "LPT4", "LPT5", "LPT6", "LPT7", "LPT8", "LPT9",
];

/// Checks the alphabet, length and ends of a job id (contract section 3).
fn check_id(text: &str) -> Result<(), InvalidId> {
    let fail = |message: String, underscore| Err(InvalidId { message, underscore });
    if text.contains('_') {
        return fail(
            format!(
                "'{text}' has an underscore; the broker splits client ids on '_' to find the job id. Write '{}' instead.",
                text.replace('_', "-")
            ),
            true,
        );
    }
    if text.is_empty() || text.len() > ID_LENGTH {
        return fail(format!("an id has 1 to {ID_LENGTH} characters; this one has {}.", text.chars().count()), false);
    }
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-') {
        return fail(String::from("an id consists of A-Z a-z 0-9 . and - only."), false);
    }
    let stem = text.split('.').next().unwrap_or_default();
    if DEVICES.iter().any(|device| device.eq_ignore_ascii_case(stem)) {
        return fail(format!("'{stem}' is the name of a device on Windows and can be no file name there."), false);
    }
    if !text.starts_with(|first: char| first.is_ascii_alphanumeric()) || text.ends_with('.') {
        return fail(String::from("an id starts with a letter or digit and does not end with a dot."), false);
    }
    Ok(())
}

macro_rules! chosen_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        pub struct $name(String);

        impl $name {
            /// Reads an id: 1-64 of `A-Z a-z 0-9 . -`, first a letter or digit, last not a dot.
            ///
            /// # Errors
            /// [`InvalidId`] with the rule that was broken.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                check_id(text).map(|()| Self(text.to_string()))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

chosen_id! {
    /// A job's `id`: the file name without `.json` (seed 001, step 3).
    JobId
}
chosen_id! {
    /// A plugin's `id`: the file name without `.json` (seed 003).
    PluginId
}

/// One execution of a job. Counted per boot of the agent, so it is unique over restarts: `{boot}-{count}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct RunId(String);

impl RunId {
    /// The `count`th run of the `boot`th start of this agent root.
    pub fn new(boot: u64, count: u64) -> Self {
        Self(format!("{boot}-{count}"))
    }

    /// An id as it stands in the history or in a request; no check beyond its alphabet, unknown ids are simply not found.
    pub fn from_text(text: &str) -> Option<Self> {
        let plain =
            !text.is_empty() && text.len() <= 41 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        plain.then(|| Self(text.to_string()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// One request for more privileges. Counted per boot of the agent, so it is unique over restarts: `E{boot}-{count}`.
/// They are in the order of their numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ElevationId(String);

impl Ord for ElevationId {
    fn cmp(&self, other: &Self) -> Ordering {
        fn key(id: &ElevationId) -> (Option<u64>, Option<u64>, &str) {
            let numbers = id.0.strip_prefix('E').and_then(|rest| rest.split_once('-'));
            let (boot, count) = numbers.unwrap_or_default();
            (boot.parse().ok(), count.parse().ok(), &id.0)
        }
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for ElevationId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl ElevationId {
    /// The `count`th request of the `boot`th start of this agent root.
    pub fn new(boot: u64, count: u64) -> Self {
        Self(format!("E{boot}-{count}"))
    }

    /// An id as it stands in a path or a message; no check beyond its alphabet, unknown ids are simply not found.
    pub fn from_text(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(['E', 'e'])?;
        RunId::from_text(rest).map(|id| Self(format!("E{id}")))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ElevationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

macro_rules! counted_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}", self.0)
            }
        }
    };
}

counted_id! {
    /// One started process tree: a task of a run, or an instance of a plugin.
    SpawnId
}
impl SpawnId {
    /// No process tree: the agent counts them from 1.
    pub const NONE: Self = Self(0);
}

counted_id! {
    /// One connection to the broker.
    ConnectionId
}
counted_id! {
    /// One request to the API.
    RequestId
}
counted_id! {
    /// One question or order of the agent to a port, answered under the same number.
    TicketId
}

/// Who a process belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Component {
    /// A task of this job.
    Job(JobId),
    /// An instance of this plugin.
    Plugin(PluginId),
    /// An administrator's tool, by the name of its client certificate (contract section 5); no definition stands behind it.
    Administrator(String),
    /// A program that the agent did not start, trusted by its signature alone; its base name (contract section 4).
    Program(String),
}

impl Component {
    /// The bare id, without its kind.
    pub fn id(&self) -> &str {
        match self {
            Self::Job(id) => id.as_str(),
            Self::Plugin(id) => id.as_str(),
            Self::Administrator(name) | Self::Program(name) => name,
        }
    }

    /// As logs and the API name it: `job:{id}`, `plugin:{id}`, `admin:{name}` or `program:{name}`.
    pub fn text(&self) -> String {
        match self {
            Self::Job(id) => ["job:", id.as_str()].concat(),
            Self::Plugin(id) => ["plugin:", id.as_str()].concat(),
            Self::Administrator(name) => ["admin:", name].concat(),
            Self::Program(name) => ["program:", name].concat(),
        }
    }

    /// The file below the agent root that makes it what it is: `Jobs/{id}.json`, `Plugins/{id}.json`, the list of certificates, or the settings.
    pub fn file(&self) -> String {
        match self {
            Self::Job(id) => format!("Jobs/{id}.json"),
            Self::Plugin(id) => format!("Plugins/{id}.json"),
            Self::Administrator(_) => String::from("state/admin/issued.json"),
            Self::Program(_) => String::from("appsettings.json"),
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job(id) => write!(formatter, "job:{id}"),
            Self::Plugin(id) => write!(formatter, "plugin:{id}"),
            Self::Administrator(name) => write!(formatter, "admin:{name}"),
            Self::Program(name) => write!(formatter, "program:{name}"),
        }
    }
}
