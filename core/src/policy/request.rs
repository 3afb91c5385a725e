//! What is asked of policies: the facts about a user, a file, a command and a moment.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use chrono::{DateTime, FixedOffset, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::PolicyType;
use super::message::Known;
use super::moment::Moment;
use crate::job::finding::quote;
use crate::job::parse::arguments::split;
use crate::schedule::zone::Zone;
use crate::time::WallTime;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// User id.
    #[serde(rename = "UserId")]
    pub uid: u32,
    /// Name of the account.
    #[serde(rename = "UserName")]
    pub name: String,
    /// Names of all its groups.
    #[serde(rename = "Groups", default)]
    pub groups: BTreeSet<String>,
}

/// What is asked. Whoever asks on behalf of somebody fills in what it knows of him itself, and takes from him nothing but the command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Request {
    /// What it is about.
    pub policy_type: PolicyType,
    /// For whom.
    #[serde(flatten)]
    pub user: User,
    /// Host name of the machine.
    #[serde(rename = "MachineName")]
    pub machine: String,
    /// The file: absolute, links resolved, no `.` or `..` in it.
    pub file_path: String,
    /// The command as it was typed, for expressions and for people.
    pub command_line: String,
    /// The arguments, without the program.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Whether the user has a desktop.
    pub has_desktop: bool,
    /// When, by the machine's clock and zone.
    pub at: LocalTime,
    /// Who signed the file, if somebody did and it was verified.
    #[serde(default)]
    pub signer: Option<Signer>,
    /// Values of path variables for this user (`home`, `tmp`, …), by lower-case name.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
}

/// The certificate of who signed a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Signer {
    /// SHA-1 of the whole DER, 40 lower-case hex digits.
    pub sha1: String,
    /// SHA-256 of the whole DER, 64 lower-case hex digits.
    pub sha256: String,
}

/// An instant with the difference of local time to UTC. Serialized as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    at: DateTime<Utc>,
    offset: FixedOffset,
}

/// The words of a command, quoted as for a shell; nothing in it is expanded.
///
/// # Errors
/// A sentence that names the quoting character that is not closed.
pub fn words(command: &str) -> Result<Vec<String>, String> {
    split(command).map_err(|mark| format!("a {mark} is not closed in {}.", quote(command)))
}

impl Request {
    /// With what whoever decided knew of the user and the moment, in place of what stands there.
    #[must_use]
    pub fn with(mut self, known: Known) -> Self {
        let Known { groups, at, variables } = known;
        self.user.groups = groups;
        Self { at, variables, ..self }
    }
}

impl LocalTime {
    /// The local time at an instant in a zone of the IANA database.
    ///
    /// # Errors
    /// A sentence where there is no such zone, or the instant is beyond any calendar.
    pub fn new(at: WallTime, zone: &str) -> Result<Self, String> {
        let local = Zone::parse(zone)?.at(at).ok_or("the instant is beyond any calendar.")?;
        Ok(Self::of(local))
    }

    fn of(local: DateTime<FixedOffset>) -> Self {
        Self { at: local.to_utc(), offset: *local.offset() }
    }

    /// The same, taken apart for filters.
    pub(super) fn moment(self) -> Moment {
        Moment::of(self.local())
    }

    fn local(self) -> DateTime<FixedOffset> {
        self.at.with_timezone(&self.offset)
    }

    /// Reads RFC 3339; its offset is that of local time.
    pub fn parse(text: &str) -> Option<Self> {
        DateTime::parse_from_rfc3339(text).ok().map(Self::of)
    }
}

/// RFC 3339 with the local offset.
impl fmt::Display for LocalTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.local().to_rfc3339_opts(SecondsFormat::AutoSi, false))
    }
}

impl Serialize for LocalTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LocalTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not an instant of RFC 3339"))
    }
}
