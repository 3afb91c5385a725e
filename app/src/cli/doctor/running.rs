//! What a running agent says of its jobs and plugins: its API, and the end of its log.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use castellan_core::doctor::Running;
use castellan_core::event::{DefinitionFile, DefinitionKind};
use castellan_core::id::JobId;
use serde::Deserialize;
use serde_json::Value;

use super::super::agent::Agent;
use crate::failure::Failure;

/// The log is searched from here: the last few days of a busy agent, and little to read.
const LOG_BYTES: u64 = 4 << 20;
/// The source of the agent's own lines.
const OWN_SOURCE: &str = "castellan";
const AGENT_SETTINGS: &str = "KeeperPrivilegeManager";

/// Asks for everything that the checks of these definitions need.
pub(super) fn ask(agent: &Agent, root: &Path, meant: &[&DefinitionFile]) -> Result<Running, Failure> {
    let mut running = Running::default();
    let jobs = agent.get("/api/Jobs")?;
    running.jobs = rows(&jobs).filter_map(|job| text(job, "id")).collect();
    let plugins = agent.get("/api/plugins")?;
    for plugin in rows(&plugins) {
        let member = |name: &str| text(plugin, name).unwrap_or_default();
        let restarts = plugin.get("restarts").and_then(Value::as_u64).unwrap_or(0);
        running.plugins.insert(member("id"), (member("status"), member("health"), restarts));
    }
    let denials = agent.get("/api/denials")?;
    running.denials = Vec::deserialize(&denials).map_err(|error| unexpected("/api/denials", &error))?;
    let mut names = vec![AGENT_SETTINGS];
    for file in meant {
        match file.kind {
            DefinitionKind::Job => last_run(agent, &file.stem, &mut running)?,
            DefinitionKind::Plugin if running.plugins.contains_key(&file.stem) => names.push(&file.stem),
            DefinitionKind::Plugin => {}
        }
    }
    for name in names {
        let target = format!("/api/PluginSettings/{name}");
        let settings = agent.get(&target)?;
        let settings = BTreeMap::deserialize(&settings).map_err(|error| unexpected(&target, &error))?;
        running.settings.insert(name.to_owned(), settings);
    }
    read_log(root, &mut running)?;
    Ok(running)
}

/// The latest run of a job that the agent knows.
fn last_run(agent: &Agent, job: &str, running: &mut Running) -> Result<(), Failure> {
    if JobId::parse(job).is_err() || !running.jobs.contains(job) {
        return Ok(());
    }
    let runs = agent.get(&format!("/api/Jobs/{job}/runs"))?;
    if let Some(run) = rows(&runs).next() {
        let member = |name: &str| text(run, name).unwrap_or_default();
        running.last_runs.insert(job.to_owned(), (member("runId"), member("outcome"), member("reason")));
    }
    Ok(())
}

/// Who connected and who logged, by the lines of the log.
fn read_log(root: &Path, running: &mut Running) -> Result<(), Failure> {
    let path = root.join("state/logs/agent.jsonl");
    let unreadable = |error: std::io::Error| {
        if error.kind() == ErrorKind::PermissionDenied {
            return Failure::denied(format!("{} may be read by root alone. Use sudo.", path.display()));
        }
        Failure::failed(format!("{} cannot be read: {error}.", path.display()))
    };
    let mut file = File::open(&path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES))).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
    // The first line may be cut, and the last one is being written: neither is JSON then.
    let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    for line in lines {
        let Some(component) = text(&line, "component").filter(|component| component != "agent") else { continue };
        let is_own = text(&line, "source").is_some_and(|source| source == OWN_SOURCE);
        if !is_own {
            running.logged.insert(component);
        } else if text(&line, "category").is_some_and(|category| category == "Connected") {
            let message = text(&line, "message").unwrap_or_default();
            let client_id =
                text(&line, "clientId").unwrap_or_else(|| message.split(' ').next().unwrap_or("").to_owned());
            running.connected.insert(component, client_id);
        }
    }
    Ok(())
}

fn unexpected(target: &str, error: &serde_json::Error) -> Failure {
    Failure::failed(format!("the answer to GET {target} is not what an agent of this version says: {error}."))
}

fn rows(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text(object: &Value, name: &str) -> Option<String> {
    object.get(name)?.as_str().map(str::to_owned)
}
