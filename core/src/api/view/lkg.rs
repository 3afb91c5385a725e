//! What the API shows of Last Known Good: items, their versions, what differs, what was moved away (contract section 8).

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use schemars::JsonSchema;
use serde::Serialize;

use crate::lkg::{Found, Item, Quarantined, ReferenceVersion, Survey};
use crate::time::WallTime;
use crate::why::Explanation;

/// `GET /api/lkg`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LkgStatus {
    /// `ConfigurationLkg.Enabled`.
    pub(crate) enabled: bool,
    /// `ConfigurationLkg.AuditOnly`.
    pub(crate) audit_only: bool,
    /// Of the manifest: how many changes were ever blessed.
    pub(crate) counter: Option<u64>,
    /// Which key seals the references; says nothing of the key itself.
    pub(crate) key_id: Option<String>,
    #[schemars(extend("format" = "date-time"))]
    pub(crate) last_sweep: Option<String>,
    /// What somebody has to look at.
    pub(crate) alarms: Vec<Explanation>,
    /// How many items are out of service or refused.
    pub(crate) out_of_service: usize,
    pub(crate) items: Vec<LkgItem>,
}

/// One job or plugin as Last Known Good knows it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LkgItem {
    #[schemars(extend("enum" = ["Jobs", "Plugins"]))]
    pub(crate) kind: &'static str,
    pub(crate) id: String,
    /// Of its reference; `null` where it has none.
    pub(crate) version: Option<u64>,
    #[schemars(extend("enum" = ["InService", "OutOfService", "Quarantined", "Tombstone", "Refused"]))]
    pub(crate) state: &'static str,
    pub(crate) why: Option<String>,
    pub(crate) fix: Option<String>,
    pub(crate) last_drift: Option<LkgDrift>,
    pub(crate) restores_last_minute: usize,
}

impl LkgItem {
    /// Whether nothing runs of it although something is blessed.
    pub(crate) fn is_out_of_service(&self) -> bool {
        matches!(self.state, "OutOfService" | "Refused")
    }
}

/// The last time that a file was not as blessed.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LkgDrift {
    #[schemars(extend("format" = "date-time"))]
    pub(crate) time: String,
    pub(crate) what: String,
    pub(crate) outcome: DriftOutcome,
}

/// What was done about a file that was not as blessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum DriftOutcome {
    /// It is as blessed again.
    Restored,
    /// It was told, and stays as it is for now.
    Reported,
    /// It could not be restored.
    Failed,
}

impl DriftOutcome {
    /// Every one.
    pub(crate) const ALL: [Self; 3] = [Self::Restored, Self::Reported, Self::Failed];

    /// As it is serialized.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Restored => "restored",
            Self::Reported => "reported",
            Self::Failed => "failed",
        }
    }
}

/// The data of an event `drift`.
#[derive(Debug, Serialize)]
pub(crate) struct DriftTold<'a> {
    timestamp: String,
    item: String,
    outcome: DriftOutcome,
    #[serde(flatten)]
    explanation: &'a Explanation,
    changes: &'a [String],
}

impl<'a> DriftTold<'a> {
    /// The file of an item was not as blessed at that time; with the keys that differed.
    pub(crate) fn new(
        at: WallTime,
        item: &Item,
        outcome: DriftOutcome,
        explanation: &'a Explanation,
        changes: &'a [String],
    ) -> Self {
        Self { timestamp: at.to_rfc3339(), item: item.to_string(), outcome, explanation, changes }
    }
}

/// `GET /api/lkg/{kind}/{id}`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LkgHistory {
    #[serde(flatten)]
    pub(crate) item: LkgItem,
    /// Newest first.
    pub(crate) history: Vec<LkgVersion>,
}

/// A version of an item.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LkgVersion {
    pub(crate) version: u64,
    #[schemars(extend("format" = "date-time"))]
    pub(crate) time: String,
    /// By whom.
    pub(crate) writer: String,
    /// What became of the item; `Written` where the version before is not kept any more.
    #[schemars(extend("enum" = ["Created", "Changed", "Deleted", "Written"]))]
    pub(crate) action: &'static str,
    /// Bytes of the document; `null` where it was removed.
    pub(crate) size: Option<u64>,
    pub(crate) sha256: Option<String>,
}

impl LkgVersion {
    /// The versions of an item, newest first.
    pub(crate) fn all(versions: Vec<ReferenceVersion>) -> Vec<Self> {
        let next = versions.iter().skip(1).map(Some).chain([None]);
        let actions: Vec<_> = versions.iter().zip(next).map(|(version, next)| action(version, next)).collect();
        let told = |(version, action): (ReferenceVersion, &'static str)| {
            let ReferenceVersion { version, time, writer, bytes, sha256 } = version;
            Self { version, time, writer, action, size: bytes, sha256 }
        };
        versions.into_iter().zip(actions).map(told).collect()
    }
}

/// What a version did to the item, by the next older one that is there.
fn action(version: &ReferenceVersion, older: Option<&ReferenceVersion>) -> &'static str {
    let before = older.filter(|older| older.version.saturating_add(1) == version.version);
    match (version.bytes, before.map(|before| before.bytes)) {
        (None, _) => "Deleted",
        (Some(_), Some(Some(_))) => "Changed",
        (Some(_), Some(None)) => "Created",
        (Some(_), None) if version.version == 1 => "Created",
        (Some(_), None) => "Written",
    }
}

/// `GET /api/lkg/{kind}/{id}/diff`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LkgDiff {
    /// What is compared: `version 3`, or `nothing`.
    pub(crate) from: String,
    /// With what: `Jobs/scan.json`, a copy in quarantine, or another version.
    pub(crate) to: String,
    pub(crate) differs: bool,
    /// The entity tag of `to`: with it as `If-Match`, just this document is accepted.
    pub(crate) tag: String,
    /// Key by key; secrets are masked.
    pub(crate) changes: Vec<String>,
}

/// `POST /api/lkg/verify`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LkgVerified {
    /// Whether every reference opens and every file is as blessed.
    pub(crate) ok: bool,
    /// How many references were opened.
    pub(crate) references: usize,
    pub(crate) differences: Vec<LkgDifference>,
}

/// What is not as it should be.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LkgDifference {
    /// `Jobs/scan`, or a folder.
    pub(crate) item: String,
    pub(crate) what: String,
}

impl LkgVerified {
    /// What a comparison of everything found, of so many references, of which these prove nothing; or none does, for this reason.
    pub(crate) fn new(
        references: usize,
        survey: &Survey,
        faults: &BTreeMap<&Item, &str>,
        doubt: Option<String>,
    ) -> Self {
        // With what should stand there nobody can compare where the reference proves nothing.
        let sound = survey.differences.iter().filter(|one| !faults.contains_key(&one.item));
        let differs = sound.map(|one| (one.item.to_string(), phrase(&one.found)));
        let faults =
            faults.iter().map(|(item, why)| (item.to_string(), format!("its reference proves nothing: {why}")));
        let folders = survey.folders.iter().chain(&survey.unwatched);
        let folders = folders.map(|(kind, why)| (kind.folder().to_string(), why.clone()));
        let doubt = doubt.map(|why| ("references".to_string(), why));
        let all = differs.chain(faults).chain(folders).chain(doubt);
        let differences: Vec<LkgDifference> = all.map(|(item, what)| LkgDifference { item, what }).collect();
        Self { ok: differences.is_empty(), references, differences }
    }
}

/// What is in an item's place, after its name.
fn phrase(found: &Found) -> String {
    match found {
        Found::Missing => "is missing".to_string(),
        Found::Bytes { content, .. } => format!("has other content, {} bytes", content.len()),
        Found::Rights { what, .. } | Found::Other { what, .. } => what.clone(),
    }
}

/// `POST /api/lkg/rekey`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LkgRekeyed {
    pub(crate) key_id: String,
    /// Whether the references were lost: nothing is blessed now, and every file waits as it is until it is accepted.
    pub(crate) begins_anew: bool,
}

/// One line of `GET /api/lkg/quarantine`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LkgQuarantined {
    /// Its name below `state/quarantine/`.
    pub(crate) name: String,
    /// `Jobs/scan`: whose place it had.
    pub(crate) item: String,
    #[schemars(extend("format" = "date-time"))]
    pub(crate) time: String,
    pub(crate) size: u64,
}

impl From<Quarantined> for LkgQuarantined {
    fn from(moved: Quarantined) -> Self {
        let Quarantined { name, item, time, bytes } = moved;
        Self { name, item: item.to_string(), time, size: bytes }
    }
}
