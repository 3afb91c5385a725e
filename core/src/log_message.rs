//! Log records: what the agent writes for itself, and the `RequestMessage` that tasks and plugins send to `KeeperLogger` (seed 001, step 5).

mod parse;
#[cfg(test)]
mod tests;

use alloc::borrow::Cow;
use alloc::string::{String, ToString};

use serde::Serialize;
use unicode_general_category::{GeneralCategory, get_general_category};

use crate::acl::Subject;
use crate::id::{Component, RunId};
use crate::time::WallTime;
use crate::trace::TraceContext;

/// The source of the agent's own lines.
const OWN_SOURCE: &str = "castellan";

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

impl Level {
    /// The name as the product's settings write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "Trace",
            Self::Debug => "Debug",
            Self::Information => "Information",
            Self::Warning => "Warning",
            Self::Error => "Error",
            Self::Critical => "Critical",
        }
    }

    /// Reads a level as settings (`Information`, `Trace`) or log messages (`Info`, `Verbose`) name it, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        let own = [Self::Trace, Self::Debug, Self::Information, Self::Warning, Self::Error, Self::Critical];
        let by_setting = own.into_iter().find(|level| level.as_str().eq_ignore_ascii_case(name));
        by_setting.or_else(|| parse::level_of_message(name))
    }
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
    pub source: Cow<'static, str>,
    /// Phase or component, a short label.
    pub category: Cow<'static, str>,
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
    /// The run it is about, or whose task sent it.
    pub run_id: Option<String>,
    /// The span it belongs to, where it is a run's or a task's and traces are told: `traceId` and `spanId`.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
}

impl LogRecord {
    /// A line of the agent about itself, not stamped with a time yet; nothing in `message` is escaped.
    pub fn own(level: Level, category: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            timestamp: String::new(),
            level,
            source: Cow::Borrowed(OWN_SOURCE),
            category: category.into(),
            message: message.into(),
            correlation_id: String::new(),
            context: String::new(),
            client_id: None,
            pid: None,
            component: String::from("agent"),
            run_id: None,
            trace: None,
        }
    }
}

/// A valid `RequestMessage` (seed 001, step 5), texts still as they were sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogMessage {
    /// `MetaData.LogLevel`; `Information` where absent.
    pub level: Level,
    /// `MetaData.Source`, or empty.
    pub source: String,
    /// `MetaData.Category`, or empty.
    pub category: String,
    /// `MetaData.Message`, not blank.
    pub message: String,
    /// `MetaData.CorrelationId`, or empty.
    pub correlation_id: String,
    /// `MetaData.Context`, or empty.
    pub context: String,
}

impl LogMessage {
    /// Reads the payload of a publish to `KeeperLogger` (contract section 6): one JSON object of at most 64 KiB, names case-sensitive.
    ///
    /// # Errors
    /// One sentence with the reason, for the record of refusals.
    pub fn parse(payload: &[u8]) -> Result<Self, String> {
        parse::parse(payload)
    }

    /// The message with every text as it may be seen. It comes before anything is escaped, as a secret is known by how it was sent.
    pub(crate) fn hidden(self, hide: &dyn Fn(String) -> String) -> Self {
        let Self { level, source, category, message, correlation_id, context } = self;
        let [source, category, message] = [source, category, message].map(hide);
        Self { level, source, category, message, correlation_id: hide(correlation_id), context: hide(context) }
    }

    /// The line for the log, with what the agent knows itself: when it came, from which client and verified process, and whose that is.
    pub fn into_record(self, received: WallTime, sender: &Subject) -> LogRecord {
        LogRecord {
            timestamp: received.to_rfc3339(),
            client_id: Some(escape(&sender.client_id)),
            pid: Some(sender.pid),
            ..self.into_own_record(&sender.component, sender.run.as_ref())
        }
    }

    /// The line of a message that a built-in command of a job sent, which has no client and no process; whoever writes it stamps it.
    pub(crate) fn into_own_record(self, component: &Component, run: Option<&RunId>) -> LogRecord {
        LogRecord {
            source: escape_own(self.source).into(),
            correlation_id: escape_own(self.correlation_id),
            context: escape_own(self.context),
            component: component.text(),
            run_id: run.map(ToString::to_string),
            ..LogRecord::own(self.level, escape_own(self.category), escape_own(self.message))
        }
    }
}

/// Writes line breaks, control characters (so also ANSI escapes), marks that reverse the reading direction and all else that is not seen
/// visibly, so that nobody can forge a second log line, steer a terminal or hide a word. Backslashes stay single: this is for readers, not for decoding.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    escape_into(text, &mut escaped);
    escaped
}

/// The same of a text that is the caller's own: most have nothing to escape and stay as they are.
pub(crate) fn escape_own(text: String) -> String {
    if is_plain(&text) { text } else { escape(&text) }
}

/// The same, added to another text.
pub(crate) fn escape_into(text: &str, escaped: &mut String) {
    if is_plain(text) {
        return escaped.push_str(text);
    }
    for letter in text.chars() {
        match letter {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            hidden if is_hidden(hidden) => {
                // Beyond U+FFFF in two halves, as JSON has it: an escaped line of JSON reads as it did before.
                for half in hidden.encode_utf16(&mut [0; 2]) {
                    let half = u32::from(*half);
                    escaped.push_str("\\u");
                    let digits = [12, 8, 4, 0].map(|shift| char::from_digit((half >> shift) & 0xf, 16).unwrap_or('?'));
                    escaped.extend(digits);
                }
            }
            plain => escaped.push(plain),
        }
    }
}

/// Whether it is printable ASCII through and through, which needs no look at each character.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// What ends a line, moves others or is not seen itself, by its category in Unicode: controls, line ends (U+2028, U+2029), formats (marks of
/// direction, spaces without width, tags), and what this table does not know, so that nobody can tell how it is shown.
fn is_hidden(letter: char) -> bool {
    matches!(
        get_general_category(letter),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
            | GeneralCategory::Unassigned
    )
}
