//! Last Known Good as checks: the key's rights, the references, and whether the files are as blessed.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Deserialize;

use super::{Examined, Finding, NOT_RUNNING, checks, failed, listed, ok, skipped};
use crate::config::ConfigurationLkg;

const NAMES: [&str; 4] = ["lkg-enabled", "lkg-key", "lkg-references", "lkg-drift"];
/// Where it says what to do where a key or references are lost.
const CHAPTER: &str = "Follow docs/operations.md, \"Last Known Good\".";

/// What was found about Last Known Good.
#[derive(Debug)]
pub struct LkgFacts {
    /// The settings in force.
    pub settings: ConfigurationLkg,
    /// `state/keys/lkg.key`, where it is there; else why it cannot be looked at.
    pub key: Result<Option<KeyFacts>, String>,
    /// Whether `state/lkg/manifest` is there.
    pub has_references: bool,
    /// What a running agent says: its status, and what it found when it compared everything, where it can.
    pub running: Option<(LkgLine, Option<VerifiedLine>)>,
}

impl LkgFacts {
    /// The files that were not as blessed when everything was compared, each with a phrase what it is instead.
    pub fn drifted(&self) -> BTreeMap<String, String> {
        let verified = self.running.as_ref().and_then(|(_, verified)| verified.as_ref());
        let differences = verified.map(|verified| verified.differences.as_slice()).unwrap_or_default();
        differences.iter().map(|one| (one.item.clone(), one.what.clone())).collect()
    }
}

/// A key's file.
#[derive(Debug, Clone, Copy)]
pub struct KeyFacts {
    /// Permission bits.
    pub mode: u32,
    /// Whether it belongs to whom `state/` belongs to.
    pub is_own: bool,
}

/// What the checks need of `GET /api/lkg`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LkgLine {
    /// Which key seals the references.
    pub key_id: Option<String>,
    /// Of the manifest.
    pub counter: Option<u64>,
    /// What somebody has to look at.
    pub alarms: Vec<AlarmLine>,
    /// Every item.
    pub items: Vec<ItemLine>,
}

/// One alarm.
#[derive(Debug, Clone, Deserialize)]
pub struct AlarmLine {
    /// What happened.
    pub what: String,
    /// Why.
    pub why: String,
    /// What to do.
    pub fix: String,
}

/// One item.
#[derive(Debug, Clone, Deserialize)]
pub struct ItemLine {
    /// `Jobs` or `Plugins`.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// `InService`, `OutOfService`, `Quarantined`, `Tombstone` or `Refused`.
    pub state: String,
    /// Why it is not in service.
    pub why: Option<String>,
    /// What to do.
    pub fix: Option<String>,
}

/// What the checks need of `POST /api/lkg/verify`.
#[derive(Debug, Clone, Deserialize)]
pub struct VerifiedLine {
    /// How many references were opened.
    pub references: usize,
    /// What is not as blessed.
    pub differences: Vec<DifferenceLine>,
}

/// One difference.
#[derive(Debug, Clone, Deserialize)]
pub struct DifferenceLine {
    /// `Jobs/scan`, or a folder.
    pub item: String,
    /// What is different.
    pub what: String,
}

/// Examines Last Known Good.
pub fn examine_lkg(facts: &LkgFacts) -> Examined {
    let findings = if facts.settings.enabled {
        let (references, drift) = match &facts.running {
            Some((status, verified)) => (references(status), drift(verified.as_ref())),
            None => (skipped(NOT_RUNNING), skipped(NOT_RUNNING)),
        };
        [enabled(facts.settings), key(facts), references, drift]
    } else {
        let off =
            || skipped("Settings:ConfigurationLkg:Enabled is false: no references are kept, and hand edits count.");
        [off(), off(), off(), off()]
    };
    Examined { kind: "lkg", id: "references".to_string(), checks: checks(&NAMES, findings) }
}

fn enabled(settings: ConfigurationLkg) -> Finding {
    if settings.audit_only {
        return ok("Files that are not as blessed are reported, and stay (Settings:ConfigurationLkg:AuditOnly).");
    }
    ok(format!("Files that are not as blessed are restored; all are compared every {} s.", settings.sweep_seconds))
}

fn key(facts: &LkgFacts) -> Finding {
    let key_id = facts.running.as_ref().and_then(|(status, _)| status.key_id.as_deref());
    match (&facts.key, key_id) {
        (Err(why), _) => skipped(why.clone()),
        (Ok(Some(key)), _) if !key.is_own => {
            failed("state/keys/lkg.key belongs to somebody else than state/.", "chown it to the agent's user.")
        }
        (Ok(Some(key)), _) if key.mode & 0o077 != 0 => {
            let proof = format!("state/keys/lkg.key has mode {:04o}: others may read it.", key.mode & 0o7777);
            failed(proof, "chmod 0600 state/keys/lkg.key, then castellan lkg rekey, as somebody may have a copy.")
        }
        (Ok(Some(key)), _) => ok(format!("state/keys/lkg.key has mode {:04o}.", key.mode & 0o7777)),
        (Ok(None), Some(id)) => ok(format!("The key {id} is a credential of the service.")),
        (Ok(None), None) if facts.has_references && facts.running.is_some() => {
            failed("There are references in state/lkg, and no key for them.", CHAPTER)
        }
        (Ok(None), None) if facts.has_references => {
            skipped("state/keys/lkg.key is not there; it may be a credential of the service.")
        }
        (Ok(None), None) => skipped("There are no references yet; the first start makes the key."),
    }
}

fn references(status: &LkgLine) -> Finding {
    if let Some(alarm) = status.alarms.first() {
        return failed(format!("{} {}", alarm.what, alarm.why), alarm.fix.clone());
    }
    let out: Vec<&ItemLine> =
        status.items.iter().filter(|item| ["OutOfService", "Refused"].contains(&item.state.as_str())).collect();
    let Some(first) = out.first() else {
        let counter = status.counter.unwrap_or_default();
        return ok(format!("{} items, counter {counter}; none is out of service.", status.items.len()));
    };
    let names = listed(out.iter().map(|item| format!("{}/{}", item.kind, item.id)));
    let why = first.why.clone().unwrap_or_default();
    failed(format!("Out of service: {names}. {why}"), first.fix.clone().unwrap_or_else(|| CHAPTER.to_string()))
}

fn drift(verified: Option<&VerifiedLine>) -> Finding {
    let Some(verified) = verified else { return skipped("The running agent has nothing to compare the files with.") };
    if verified.differences.is_empty() {
        return ok(format!("{} references were opened, and every file is as blessed.", verified.references));
    }
    let told = listed(verified.differences.iter().map(|one| format!("{} {}", one.item, one.what)));
    failed(
        format!("Not as blessed when everything was compared: {told}."),
        "Look at castellan lkg status -o wide and castellan lkg diff; change definitions by castellan jobs apply or a policy.",
    )
}

#[cfg(test)]
mod tests;
