//! `castellan status`: the agent on one screen.

use castellan_core::log_message::escape;
use clap::Args;
use serde_json::{Value, json};

use super::agent::Agent;
use super::output::{self, Globals};
use super::table::{Table, items, member, text};
use super::watch::Watch;
use super::{jobs, lkg, plugins, runs};
use crate::failure::Failure;

/// Lines of one table, so that the whole is one screen.
const LINES: usize = 8;
/// The last refusals that are shown.
const DENIALS: usize = 3;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  castellan status
  castellan status --watch
  castellan status -o json | jq .denials")]
pub(crate) struct Options {
    #[command(flatten)]
    watch: Watch,
}

pub(crate) fn run(options: &Options, globals: &Globals) -> Result<(), Failure> {
    let agent = Agent::find(&globals.root)?;
    if globals.is_document() {
        return globals.show(&look(&agent)?, &[], || Ok(Vec::new()));
    }
    options.watch.repeat(globals, || told(&agent, &look(&agent)?, globals))
}

/// Everything that is shown, as one document.
fn look(agent: &Agent) -> Result<Value, Failure> {
    let targets = [
        "/",
        "/api/system/status",
        "/api/Jobs",
        "/api/plugins",
        "/api/runs?status=running",
        "/api/denials",
        "/api/lkg",
    ];
    let [service, system, jobs, plugins, runs, denials, lkg] = agent.get_all(targets)?;
    let (http, https, mqtt) = agent.ports();
    let ports = json!({ "http": http, "https": https, "mqtt": mqtt });
    Ok(
        json!({ "version": member(&service, "version"), "system": system, "ports": ports, "jobs": jobs, "plugins": plugins,
        "runs": runs, "lkg": lkg, "denials": items(&denials).iter().take(DENIALS).collect::<Vec<_>>() }),
    )
}

fn told(agent: &Agent, found: &Value, globals: &Globals) -> Result<Vec<String>, Failure> {
    let part = |name: &str| found.get(name).unwrap_or(&Value::Null);
    let system = part("system");
    let count = |name: &str| member(system, name);
    let uptime = system.get("uptimeSeconds").and_then(Value::as_u64).unwrap_or_default();
    let (http, https, mqtt) = agent.ports();
    let mut lines = vec![
        format!(
            "Castellan {} on {}: {} for {}",
            escape(&member(found, "version")),
            globals.root.display(),
            escape(&count("status")),
            output::span(uptime.saturating_mul(1000))
        ),
        format!("HTTP {http}, HTTPS {https}, MQTT {mqtt} on 127.0.0.1"),
        format!(
            "{} of {} jobs enabled, {} of {} plugins running, {} runs active",
            count("enabledJobCount"),
            count("jobCount"),
            count("pluginsRunning"),
            count("pluginCount"),
            count("runsActive")
        ),
    ];
    lines.extend(lkg::summary(part("lkg")));
    lines.extend(system.get("policySource").map(policy_source));
    let mut jobs: Vec<Value> = items(part("jobs")).to_vec();
    // What runs next comes first; what is not due by itself comes last.
    jobs.sort_by_key(|job| (text(job, "nextRun").is_none(), member(job, "nextRun")));
    type Rows = fn(&[Value], &Globals) -> Result<Vec<String>, Failure>;
    let tables: [(&[Value], Rows); 3] =
        [(&jobs, jobs::table), (items(part("plugins")), plugins::table), (items(part("runs")), runs::table)];
    for (all, table) in tables {
        if let Some(shown) = all.get(..all.len().min(LINES)).filter(|shown| !shown.is_empty()) {
            lines.push(String::new());
            lines.extend(table(shown, globals)?);
            let more = all.len().saturating_sub(shown.len());
            if more > 0 {
                lines.push(format!("and {more} more"));
            }
        }
    }
    let mut denials = Table::new(globals, &["DENIED", "WHAT", "FIX"]);
    for denial in items(part("denials")) {
        let when = globals.when(text(denial, "lastTimestamp"));
        denials.row(&[&when, &member(denial, "what"), &member(denial, "fix")]);
    }
    if !denials.is_empty() {
        lines.push(String::new());
        lines.extend(denials.lines()?);
    }
    Ok(lines)
}

/// From where the machine is told its policies, in one line.
fn policy_source(standing: &Value) -> String {
    let bundle = standing.get("bundle").filter(|bundle| !bundle.is_null());
    let in_force = bundle.map_or_else(
        || String::from("no bundle"),
        |bundle| format!("bundle {} {}", escape(&member(bundle, "name")), member(bundle, "sequence")),
    );
    let problem = text(standing, "problem").map(|problem| format!("; {}", escape(problem))).unwrap_or_default();
    format!("Policies of {}: {in_force} in force{problem}", escape(&member(standing, "source")))
}
