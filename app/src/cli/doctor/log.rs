//! What a running agent counted of its log, from its metrics.

use castellan_core::doctor::LogFacts;

use super::super::agent::Agent;
use crate::failure::Failure;

/// Asks the agent.
pub(super) fn facts(agent: &Agent) -> Result<LogFacts, Failure> {
    let answer = agent.send("GET", "/metrics", &[], None)?;
    if answer.status != 200 {
        // Fails with the agent's own words.
        answer.accepted()?;
    }
    let metrics = String::from_utf8_lossy(&answer.body);
    let mut facts = LogFacts::default();
    for (name, value) in metrics.lines().filter_map(|line| line.rsplit_once(' ')) {
        let Ok(value) = value.parse() else { continue };
        if name == "castellan_log_messages_dropped_total" {
            facts.dropped = value;
        }
        let sink =
            name.strip_prefix("castellan_log_records_lost_total{sink=\"").and_then(|rest| rest.strip_suffix("\"}"));
        facts.lost.extend(sink.map(|sink| (sink.to_owned(), value)));
    }
    Ok(facts)
}
