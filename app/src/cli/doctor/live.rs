//! `--live`: a probe goes the way of a task, started by the agent as the program of a temporary job, which is deleted whatever comes of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use castellan_core::job::JobDefinition;
use castellan_core::json::Json;
use serde_json::{Value, json};

use super::super::agent::Agent;
use crate::clock::Clock;
use crate::failure::Failure;

/// Temporary jobs are called so, with the process id of who made them.
const PROBE: &str = "doctor-probe-";
/// Seconds that the agent waits for the probe; its own limit comes a little later. It takes a fraction of one.
const WAIT_SECONDS: u64 = 8;
/// Milliseconds that a message may take from the broker to the log, and between two looks.
const LOG_MILLIS: u64 = 5000;
const PAUSE: Duration = Duration::from_millis(20);

/// What the probe is to try besides the usual.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// The job whose declarations the temporary job has.
    pub(super) job: Option<JobDefinition>,
    /// The plugin whose settings are read.
    pub(super) plugin: Option<String>,
}

/// Runs the probe: the name of each check, with its proof or what went wrong.
pub(super) fn probe(
    agent: &Agent,
    root: &Path,
    wanted: &Wanted,
) -> Result<BTreeMap<String, Result<String, String>>, Failure> {
    remove_leftovers(agent)?;
    let id = format!("{PROBE}{}", std::process::id());
    let mut found = BTreeMap::new();
    let mark = format!("{id} at {}", Clock::start().now().wall.to_rfc3339());
    let probed = create(agent, &id, &mark, wanted).and_then(|()| {
        let probed = run(agent, &id, root, &mark, &mut found);
        agent.ask("DELETE", &format!("/api/Jobs/{id}"), None).and(probed)
    });
    if let Err(failure) = probed {
        // Each checklist has a place where a probe that did not run shows.
        for name in ["trigger", "plugin-settings"] {
            found.insert(String::from(name), Err(failure.to_string()));
        }
    }
    Ok(found)
}

/// Temporary jobs of doctors that were killed.
fn remove_leftovers(agent: &Agent) -> Result<(), Failure> {
    let jobs = agent.get("/api/Jobs")?;
    for job in jobs.as_array().into_iter().flatten() {
        let id = job.get("id").and_then(Value::as_str).unwrap_or_default();
        // Its process is gone, not reaped yet (no command line), or another one has its id.
        let is_doctor = |pid: u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let has = |word: &[u8]| line.split(|byte| *byte == 0).any(|argument| argument == word);
            has(b"doctor") && has(b"--live")
        };
        let is_over = |pid: &str| pid.parse::<u32>().is_ok_and(|pid| !is_doctor(pid));
        if id.strip_prefix(PROBE).is_some_and(is_over) {
            agent.ask("DELETE", &format!("/api/Jobs/{id}"), None)?;
        }
    }
    Ok(())
}

fn create(agent: &Agent, id: &str, mark: &str, wanted: &Wanted) -> Result<(), Failure> {
    let program = std::env::current_exe().map_err(Failure::failed)?;
    let mut arguments = format!("doctor-probe --keeper-api-base={{KeeperApiBaseUrl}} --mark '{mark}'");
    let mut publications = vec![String::from("KeeperLogger")];
    if let Some(job) = &wanted.job {
        publications = job.allowed_publications.iter().map(|filter| filter.topics().to_owned()).collect();
        let own_topic = Json::parse(&job.document).is_ok_and(|document| document.lookup(&["eventTopic"]).is_some());
        if own_topic && !job.event_topic.contains(['\'', '{']) {
            arguments.push_str(&format!(" --event-topic '{}'", job.event_topic));
        }
    }
    if publications.is_empty() {
        publications.push(String::from("KeeperLogger"));
    }
    if let Some(plugin) = &wanted.plugin {
        arguments.push_str(&format!(" --settings {plugin}"));
    }
    let task = json!({
        "id": "probe", "command": "castellan", "executablePath": program, "arguments": arguments,
        "timeoutSeconds": WAIT_SECONDS.saturating_add(2)
    });
    let document = json!({
        "id": id, "name": "castellan doctor", "tasks": [task],
        "mqttTopics": { "allowedPublications": publications, "allowedSubscriptions": [] }
    });
    agent.ask("POST", "/api/Jobs", Some(&document)).map(|_| ())
}

/// Triggers the temporary job and takes in what its program found.
fn run(
    agent: &Agent,
    id: &str,
    root: &Path,
    mark: &str,
    found: &mut BTreeMap<String, Result<String, String>>,
) -> Result<(), Failure> {
    let target = format!("/api/Jobs/{id}/trigger?wait=true&timeoutSeconds={WAIT_SECONDS}");
    let run = agent.ask("POST", &target, None)?;
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (run_id, outcome) = (text(&run, "runId"), text(&run, "outcome"));
    let task = run.get("tasks").and_then(|tasks| tasks.get(0)).cloned().unwrap_or_default();
    let steps: Value = serde_json::from_str(text(&task, "stdout").trim()).unwrap_or_default();
    if outcome != "Succeeded" || !steps.is_object() {
        let (reason, stderr) = (text(&run, "reason"), text(&task, "stderr"));
        return Err(Failure::failed(format!(
            "Run {run_id} of the temporary job {id} ended as '{outcome}': {reason} {stderr}"
        )));
    }
    found.insert(
        String::from("trigger"),
        Ok(format!("Run {run_id} of the temporary job {id} succeeded; the job is deleted.")),
    );
    for (name, step) in steps.as_object().into_iter().flatten() {
        let result = match step.get("failed").and_then(Value::as_str) {
            Some(why) => Err(why.to_owned()),
            None => Ok(text(step, "ok")),
        };
        found.insert(name.clone(), result);
    }
    if let Some(Ok(proof)) = found.get_mut("keeper-logger") {
        if is_logged(root, mark) {
            proof.push_str(" The log has it.");
        } else {
            let why =
                format!("The message to KeeperLogger was acknowledged and is not in the log after {LOG_MILLIS} ms.");
            found.insert(String::from("keeper-logger"), Err(why));
        }
    }
    for denial in agent.get("/api/denials")?.as_array().into_iter().flatten() {
        if text(denial, "component") == format!("job:{id}") && text(denial, "target") != "KeeperLogger" {
            found.insert(String::from("event-topic"), Err(text(denial, "what")));
        }
    }
    Ok(())
}

/// Looks until the log has the probe's message; files tell nobody when they change.
fn is_logged(root: &Path, mark: &str) -> bool {
    let clock = Clock::start();
    let end = clock.now().monotonic.plus_millis(LOG_MILLIS);
    loop {
        let text = fs::read(root.join("state/logs/agent.jsonl")).unwrap_or_default();
        if text.windows(mark.len()).any(|window| window == mark.as_bytes()) {
            return true;
        }
        if clock.now().monotonic >= end {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
}
