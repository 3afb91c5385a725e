//! What every policy has, those that configure included: its type, its status, its extension. The one reader of `Policies/*.json`.

use alloc::string::String;

use super::PolicyType;
use crate::job::finding::Report;
use crate::json::Json;
use crate::json::read::{Field, ObjectReader};
use crate::schema::policy::POLICY;

/// All documented types of policies, and what each is about.
pub(crate) const TYPES: [(&str, About); 7] = [
    ("PrivilegeElevation", About::Privileges(PolicyType::PrivilegeElevation)),
    ("CommandLine", About::Privileges(PolicyType::CommandLine)),
    ("FileAccess", About::Privileges(PolicyType::FileAccess)),
    ("LeastPrivilege", About::Other),
    ("JobUpdate", About::Configuration),
    ("SettingsUpdate", About::Configuration),
    ("UpdateSettings", About::Configuration),
];

/// `Status` as it is documented, and what it stands for.
pub(crate) const STATUSES: [(&str, Status); 6] = [
    ("off", Status::Off),
    ("disabled", Status::Off),
    ("monitor", Status::Monitor),
    ("monitor_and_notify", Status::MonitorAndNotify),
    ("enforce", Status::Enforce),
    ("enabled", Status::Enforce),
];

/// What a type of policies is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// Who may do what.
    Privileges(PolicyType),
    /// Jobs, plugins and settings.
    Configuration,
    /// Something that nothing here enforces.
    Other,
}

/// Whether a policy counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// It is not evaluated.
    Off,
    /// Audit alone.
    Monitor,
    /// Audit and a notice.
    MonitorAndNotify,
    /// It acts.
    Enforce,
}

/// A policy's document with its type.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    /// The members of the document.
    pub(crate) reader: ObjectReader<'a>,
    /// `PolicyType` as it is written.
    pub(crate) type_name: &'a str,
    /// `PolicyType` as it is documented, where it is, and what it is about.
    pub(crate) about: (Option<&'static str>, About),
    /// `Status`, if it is given.
    pub(crate) status: Option<Field<'a>>,
}

impl<'a> Envelope<'a> {
    /// Reads a document; a missing or misspelled type is an error finding.
    pub(crate) fn read(json: &'a Json, report: &mut Report) -> Option<Self> {
        let reader = Field { pointer: String::new(), value: json }.object(&POLICY, report)?;
        let type_name = reader.required("PolicyType", report)?.text(report)?;
        let status = reader.take("Status");
        Some(Self { about: about(type_name), reader, type_name, status })
    }
}

/// What policies of this type are about, and its documented spelling.
fn about(type_name: &str) -> (Option<&'static str>, About) {
    let known = TYPES.iter().find(|(known, _)| known.eq_ignore_ascii_case(type_name));
    known.map_or((None, About::Other), |(known, about)| (Some(*known), *about))
}

/// What can be told of a policy that has errors: what it is about, and whether it counts; `None` where that cannot be told either.
pub(crate) fn told(json: Option<&Json>) -> (Option<About>, Option<Status>) {
    let text = |name: &str| json.and_then(|json| json.lookup(&[name])).and_then(Json::as_str);
    let status = |text: &str| STATUSES.iter().find(|(known, _)| known.eq_ignore_ascii_case(text));
    (text("PolicyType").map(|name| about(name).1), text("Status").and_then(status).map(|(_, status)| *status))
}

impl Status {
    /// The name as policies write it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Monitor => "monitor",
            Self::MonitorAndNotify => "monitor_and_notify",
            Self::Enforce => "enforce",
        }
    }
}
