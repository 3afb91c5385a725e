//! The guides' checklists as checks (seed 001 "Pre-Launch Checklist", seed 003 "Checklist"): facts in, results with proof and fix out.
//!
//! | checks | about | in |
//! | --- | --- | --- |
//! | 13 | a job, in the order of seed 001 | `job` |
//! | 11 | a plugin, in the order of seed 003 | `plugin` |
//! | 4 | Last Known Good | `lkg` |
//! | 2 | the log | `log` |
//! | 5 | privilege elevation | `elevation` |
//! | 1 | a job or plugin whose file is not what is in service, after the others | here |
//!
//! Each check is `ok`, `failed`, or `skipped` with the reason why it could not be made or does not apply. A file that cannot be read as
//! a definition fails its first check about the file, and the others are skipped: one cause has one failure.

mod elevation;
mod job;
mod lkg;
mod log;
mod plugin;
#[cfg(test)]
mod tests;

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::config::Settings;
use crate::effect::ProgramQuery;
use crate::event::{DefinitionFile, DefinitionKind, ExecutableFacts};
use crate::job::finding::{Findings, Severity};
use crate::log_message::escape;
use crate::surroundings::Surroundings;
use crate::time::WallTime;
pub use elevation::{ElevationFacts, examine_elevation};
pub use lkg::{AlarmLine, DifferenceLine, ItemLine, KeyFacts, LkgFacts, LkgLine, VerifiedLine, examine_lkg};
pub use log::{LogFacts, examine_log};

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// What was looked at is as it should be.
    Ok,
    /// It is not; there is a fix.
    Failed,
    /// It does not apply, or could not be looked at.
    Skipped,
}

/// One check of a checklist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its number in the guide.
    pub number: usize,
    /// Its name, for tools.
    pub name: &'static str,
    /// How it came out.
    pub status: Status,
    /// What was looked at and found; why it was skipped.
    pub proof: String,
    /// What to do, where it failed.
    pub fix: Option<String>,
}

/// What was found about one job or plugin, about Last Known Good, the log, or privilege elevation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Examined {
    /// `job`, `plugin`, `lkg`, `log` or `elevation`.
    pub kind: &'static str,
    /// Its id, which is its file's name.
    pub id: String,
    /// The checks in the order of the guide.
    pub checks: Vec<Check>,
}

/// The machine as it was found.
pub struct Machine<'a> {
    /// The settings in force.
    pub settings: &'a Settings,
    /// Root, system, environment.
    pub surroundings: &'a Surroundings,
    /// Every file of `Jobs/` and `Plugins/`.
    pub definitions: &'a [DefinitionFile],
    /// Looks at files as the agent does before it executes them.
    pub look: &'a dyn Fn(&ProgramQuery) -> ExecutableFacts,
    /// What the running agent says, where one runs.
    pub running: Option<&'a Running>,
    /// What a probe found that ran as a task of a temporary job, by the name of the check: a proof, or what went wrong.
    pub probe: &'a BTreeMap<String, Result<String, String>>,
    /// Now.
    pub now: WallTime,
}

/// What the API and the log of a running agent say.
#[derive(Debug, Clone, Default)]
pub struct Running {
    /// Jobs in service.
    pub jobs: BTreeSet<String>,
    /// The latest run of each job that was asked about: id, outcome, reason.
    pub last_runs: BTreeMap<String, (String, String, String)>,
    /// Plugins: status, health, restarts.
    pub plugins: BTreeMap<String, (String, String, u64)>,
    /// Plugin Settings as an administrator reads them.
    pub settings: BTreeMap<String, BTreeMap<String, String>>,
    /// What was refused.
    pub denials: Vec<DenialLine>,
    /// The client id that each component (`job:ID`, `plugin:ID`) connected to the broker with.
    pub connected: BTreeMap<String, String>,
    /// Components with a message of theirs in the log.
    pub logged: BTreeSet<String>,
    /// Files that are not as Last Known Good has them, as `Jobs/scan`, with a phrase what they are instead.
    pub drifted: BTreeMap<String, String>,
}

/// What the checks need of a line of `GET /api/denials`.
#[derive(Debug, Clone, Deserialize)]
pub struct DenialLine {
    /// `connect`, `publish`, `subscribe` ...
    pub action: String,
    /// Topic, filter or client id.
    pub target: String,
    /// `job:ID`, `plugin:ID`.
    pub component: Option<String>,
    /// What was refused.
    pub what: String,
    /// What to do.
    pub fix: String,
}

/// What a check finds; the list gives it number and name.
struct Finding {
    status: Status,
    proof: String,
    fix: Option<String>,
}

fn ok(proof: impl Into<String>) -> Finding {
    Finding { status: Status::Ok, proof: proof.into(), fix: None }
}

fn failed(proof: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding { status: Status::Failed, proof: proof.into(), fix: Some(fix.into()) }
}

fn skipped(why: impl Into<String>) -> Finding {
    Finding { status: Status::Skipped, proof: why.into(), fix: None }
}

const NOT_RUNNING: &str = "No agent runs on this root.";

/// Examines every job and plugin, or the one that is meant.
pub fn examine(machine: &Machine<'_>, only: Option<(DefinitionKind, &str)>) -> Vec<Examined> {
    let meant = |file: &&DefinitionFile| only.is_none_or(|(kind, id)| file.kind == kind && file.stem == id);
    let examined = machine.definitions.iter().filter(meant).map(|file| {
        let (kind, names, findings) = match file.kind {
            DefinitionKind::Job => ("job", job::NAMES.as_slice(), job::findings(machine, file)),
            DefinitionKind::Plugin => ("plugin", plugin::NAMES.as_slice(), plugin::findings(machine, file)),
        };
        let mut checks = checks(names, findings);
        checks.extend(as_blessed(machine, file, checks.len()));
        Examined { kind, id: file.stem.clone(), checks }
    });
    examined.collect()
}

/// One more check, where something is in service and its file says something else.
fn as_blessed(machine: &Machine<'_>, file: &DefinitionFile, before: usize) -> Option<Check> {
    let running = machine.running?;
    let item = [file.kind.folder(), "/", &file.stem].concat();
    let what = running.drifted.get(&item)?;
    let (is_in_service, judged) = match file.kind {
        DefinitionKind::Job => (running.jobs.contains(&file.stem), "The checks above judge what is in service"),
        DefinitionKind::Plugin => (running.plugins.contains_key(&file.stem), "The checks above judge the file"),
    };
    let found = failed(
        format!("{item}.json {what}, and what is blessed is in service. {judged}."),
        format!(
            "castellan lkg diff {item} shows how they differ; castellan lkg accept {item} puts the file into service, castellan lkg rollback {item} \
             VERSION writes what is blessed over it."
        ),
    );
    is_in_service.then(|| check(before, "as-blessed", found))
}

/// Findings under their numbers and names.
fn checks(names: &[&'static str], findings: impl IntoIterator<Item = Finding>) -> Vec<Check> {
    names.iter().zip(findings).enumerate().map(|(index, (name, found))| check(index, name, found)).collect()
}

fn check(index: usize, name: &'static str, found: Finding) -> Check {
    Check {
        number: index.saturating_add(1),
        name,
        status: found.status,
        proof: escape(&found.proof),
        fix: found.fix.map(|fix| escape(&fix)),
    }
}

/// Every check skipped but the one that says what is wrong with the file.
fn of_broken(count: usize, at: usize, found: Finding) -> Vec<Finding> {
    let mut found = Some(found);
    let one = |index: usize| {
        found.take_if(|_| index == at).unwrap_or_else(|| skipped("The file is no valid definition; mend that first."))
    };
    (0..count).map(one).collect()
}

/// The errors of a document in one sentence.
fn errors(file: &str, findings: &Findings) -> String {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    // What is no JSON at all has no path.
    let told: Vec<String> = errors
        .map(|finding| [finding.path.as_str(), finding.message.as_str()])
        .map(|[path, message]| if path.is_empty() { message.to_owned() } else { format!("{path}: {message}") })
        .collect();
    format!("{file} is no valid definition: {}", told.join(" "))
}

impl Machine<'_> {
    /// What the probe found, where it ran and had to do with this.
    fn probed(&self, name: &str) -> Option<Finding> {
        let fix = "The reason says what to mend; GET /api/runs and castellan why denied tell more.";
        self.probe.get(name).map(|found| match found {
            Ok(proof) => ok(proof.clone()),
            Err(why) => failed(why.clone(), fix),
        })
    }

    /// What was refused to a component.
    fn denied<'s>(&'s self, component: &'s str, action: &'s str) -> impl Iterator<Item = &'s DenialLine> {
        let denials = self.running.map(|running| running.denials.as_slice()).unwrap_or_default();
        denials.iter().filter(move |denial| denial.component.as_deref() == Some(component) && denial.action == action)
    }

    /// `broker.host` and `broker.port` for whoever asks for the agent's own settings.
    fn agent_settings(&self) -> Finding {
        let Some(running) = self.running else { return skipped(NOT_RUNNING) };
        let settings = running.settings.get("KeeperPrivilegeManager");
        let value = |key: &str| settings.and_then(|settings| settings.get(key)).filter(|value| !value.is_empty());
        match (value("broker.host"), value("broker.port")) {
            (Some(host), Some(port)) => ok(format!(
                "GET /api/PluginSettings/KeeperPrivilegeManager names the broker {host}:{port}, asked by an administrator; --live asks from inside a task."
            )),
            _ => failed(
                "GET /api/PluginSettings/KeeperPrivilegeManager does not name broker.host and broker.port.",
                "Look for what the agent's log says about its start, and start it again.",
            ),
        }
    }

    /// By which client id it connected, or why not.
    fn connection(&self, component: &str) -> Finding {
        if let Some(denial) = self.denied(component, "connect").next() {
            return failed(denial.what.clone(), denial.fix.clone());
        }
        match self.running.map(|running| running.connected.get(component)) {
            None => skipped(NOT_RUNNING),
            Some(Some(client_id)) => ok(format!("The log has its connection as '{client_id}'.")),
            Some(None) => skipped("The log has no connection of it."),
        }
    }

    fn document<'f>(file: &'f DefinitionFile, path: &str) -> Result<&'f [u8], Finding> {
        file.content.as_deref().map_err(|why| {
            failed(
                format!("{path} cannot be read: {why}"),
                "See that it is a plain file that root owns and nobody else may change.",
            )
        })
    }
}

impl core::fmt::Debug for Machine<'_> {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_struct("Machine").field("running", &self.running).finish_non_exhaustive()
    }
}

/// Paths below the root as people name them.
fn path_of(file: &DefinitionFile) -> String {
    [file.kind.folder(), "/", &file.stem, ".json"].concat()
}

/// Texts in one line.
fn listed<T: ToString>(texts: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<String> = texts.into_iter().map(|text| text.to_string()).collect();
    if texts.is_empty() { "nothing".to_owned() } else { texts.join(", ") }
}
