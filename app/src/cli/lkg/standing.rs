//! How an item of the root stands with Last Known Good of the running agent: what of it is in service, and whether its file says so.

use std::collections::BTreeSet;
use std::path::Path;

use castellan_core::log_message::escape;
use castellan_core::simulation::Guard;
use serde_json::Value;

use super::LKG;
use crate::cli::agent::{Agent, encode};
use crate::cli::table::{items, member, text};
use crate::failure::Failure;

/// Files in quarantine that the status shows; `GET /api/lkg/quarantine` has them all.
const DROPPED_SHOWN: usize = 20;

/// How a job stands.
pub(crate) struct Standing {
    /// What is in service of it, which its file may differ from.
    pub(crate) document: Option<Vec<u8>>,
    /// What has to be said about it, if anything.
    pub(crate) guard: Option<Guard>,
}

/// A job of the root; nothing where Last Known Good is off, or knows nothing of it.
pub(crate) fn of_job(root: &Path, job: &str) -> Result<Option<Standing>, Failure> {
    let guard = |stops, explanation| Some(Guard { guard: "lastKnownGood", stops, explanation });
    let agent = match Agent::find(root) {
        Ok(agent) => agent,
        Err(failure) if failure.is_unreachable() => {
            let is_kept = root.join("state/lkg/manifest").symlink_metadata().is_ok();
            let told = "No agent runs, so the file is judged as it is on disk. It counts only where it is as blessed: start the agent and ask again.";
            return Ok(is_kept.then(|| Standing { document: None, guard: guard(false, told.to_owned()) }));
        }
        Err(failure) => return Err(failure),
    };
    let (status, item) = (agent.get(LKG)?, format!("Jobs/{job}"));
    if status.get("enabled") != Some(&Value::Bool(true)) {
        return Ok(None);
    }
    if let Some(why) = out_of_service(&agent, &status, &item)? {
        return Ok(Some(Standing { document: None, guard: guard(true, why) }));
    }
    let answer = agent.send("GET", &format!("/api/Jobs/{}", encode(job)), &[], None)?;
    if answer.status != 200 {
        return Ok(None);
    }
    let explanation = match difference(&agent, &item)? {
        Some(what) => Some(format!(
            "What is blessed counts, and its file differs: {item}.json {what}. castellan lkg diff {item} shows it; castellan lkg accept {item} \
             blesses what stands there now (where the file is missing: that the job is removed), castellan lkg rollback {item} VERSION writes what is blessed over it."
        )),
        None => restored(&status, &item),
    };
    let guard = explanation.and_then(|explanation| guard(false, explanation));
    Ok(Some(Standing { document: Some(answer.body), guard }))
}

/// Why nothing of an item (`Jobs/scan`) is in service and what to do about it; nothing where it is, or where nothing is known of it.
pub(crate) fn not_in_service(agent: &Agent, item: &str) -> Result<Option<String>, Failure> {
    let status = agent.get(LKG)?;
    if status.get("enabled") == Some(&Value::Bool(true)) { out_of_service(agent, &status, item) } else { Ok(None) }
}

fn out_of_service(agent: &Agent, status: &Value, item: &str) -> Result<Option<String>, Failure> {
    let said = |one: &Value| ["what", "why", "fix"].map(|name| escape(&member(one, name))).join(" ").trim().to_owned();
    let Some(found) = find(status, item) else {
        // Without a counter the references prove nothing, which is the first alarm.
        let alarms = status.get("alarms").map(items).unwrap_or_default();
        let unusable = alarms.first().filter(|_| status.get("counter").is_some_and(Value::is_null));
        return unusable.map_or_else(|| copy(agent, item), |alarm| Ok(Some(said(alarm))));
    };
    let item = escape(item);
    Ok(match text(found, "state") {
        Some("InService") => None,
        Some("Tombstone") => Some(format!(
            "{item} was removed. castellan lkg history {item} lists its versions, castellan lkg rollback {item} VERSION brings one back."
        )),
        Some(_) | None => Some(said(found)),
    })
}

/// Whoever drops in a file finds it in quarantine, also once the sweep has forgotten where it was.
fn copy(agent: &Agent, item: &str) -> Result<Option<String>, Failure> {
    let moved = agent.get(&format!("{LKG}/quarantine"))?;
    let newest = items(&moved).iter().find(|one| member(one, "item").eq_ignore_ascii_case(item));
    Ok(newest.map(|one| {
        let [item, name, time] = ["item", "name", "time"].map(|part| escape(&member(one, part)));
        format!(
            "Nothing of {item} was ever blessed, and its file was moved to state/quarantine/{name} at {time}. See castellan lkg diff {item}; \
             castellan lkg accept {item} puts it into service."
        )
    }))
}

/// What was dropped in and moved away, and is no item: the newest copies, each with the command that accepts it.
pub(super) fn dropped_in(agent: &Agent, status: &Value) -> Result<Vec<String>, Failure> {
    if status.get("enabled") != Some(&Value::Bool(true)) {
        return Ok(Vec::new());
    }
    let moved = agent.get(&format!("{LKG}/quarantine"))?;
    let mut known = BTreeSet::new();
    let is_newest = |one: &&Value| known.insert(member(one, "item")) && find(status, &member(one, "item")).is_none();
    let newest = items(&moved).iter().filter(is_newest).take(DROPPED_SHOWN);
    let line = |one: &Value| {
        let [item, name] = ["item", "name"].map(|part| escape(&member(one, part)));
        format!("  {item}: state/quarantine/{name}")
    };
    let lines: Vec<String> = newest.map(line).collect();
    let heading =
        "In quarantine, and not blessed (castellan lkg diff ITEM, then castellan lkg accept ITEM if it is meant):";
    let heading = (!lines.is_empty()).then(|| [String::new(), heading.to_owned()]);
    Ok(heading.into_iter().flatten().chain(lines).collect())
}

/// How the file of an item differs from what is blessed, now.
fn difference(agent: &Agent, item: &str) -> Result<Option<String>, Failure> {
    let answer = agent.send("POST", &format!("{LKG}/verify"), &[], None)?;
    // Where the references prove nothing there is nothing to compare with, and the alarm says so.
    let verified = if answer.status == 409 { Value::Null } else { answer.accepted()? };
    let differences = verified.get("differences").map(items).unwrap_or_default();
    let found = differences.iter().find(|one| member(one, "item").eq_ignore_ascii_case(item));
    Ok(found.map(|one| escape(&member(one, "what"))))
}

/// The last time that the file of an item was put back.
fn restored(status: &Value, item: &str) -> Option<String> {
    let drift = find(status, item)?.get("lastDrift").filter(|drift| text(drift, "outcome") == Some("restored"))?;
    Some(format!("{} ({})", escape(&member(drift, "what")), escape(&member(drift, "time"))))
}

fn find<'s>(status: &'s Value, item: &str) -> Option<&'s Value> {
    let is_it = |one: &&Value| format!("{}/{}", member(one, "kind"), member(one, "id")).eq_ignore_ascii_case(item);
    status.get("items").map(items).unwrap_or_default().iter().find(is_it)
}
