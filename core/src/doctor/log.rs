//! Whether the log has all that was said: what its sinks lost, and what clients sent too fast.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Examined, Finding, NOT_RUNNING, checks, failed, ok, skipped};

const NAMES: [&str; 2] = ["log-sinks", "log-clients"];

/// What a running agent counted since its start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogFacts {
    /// Records that were lost, by sink.
    pub lost: Vec<(String, u64)>,
    /// Messages of clients that were dropped because they came too fast.
    pub dropped: u64,
}

/// Examines the log of an agent, where one runs.
pub fn examine_log(facts: Option<&LogFacts>) -> Examined {
    let findings = match facts {
        Some(facts) => [sinks(&facts.lost), clients(facts.dropped)],
        None => [skipped(NOT_RUNNING), skipped(NOT_RUNNING)],
    };
    Examined { kind: "log", id: "sinks".to_string(), checks: checks(&NAMES, findings) }
}

fn sinks(lost: &[(String, u64)]) -> Finding {
    let told = |sinks: &mut dyn Iterator<Item = &(String, u64)>| {
        let names: Vec<String> = sinks.map(|(sink, lost)| format!("{sink} ({lost})")).collect();
        names.join(", ")
    };
    if lost.iter().all(|(_, lost)| *lost == 0) {
        return ok(format!(
            "Nothing was lost since the agent's start; lost records by sink: {}.",
            told(&mut lost.iter())
        ));
    }
    failed(
        format!("Records were lost since the agent's start: {}.", told(&mut lost.iter().filter(|(_, lost)| *lost > 0))),
        "Look at castellan logs --category Log, and make room on the disk of state/logs or for journald.",
    )
}

fn clients(dropped: u64) -> Finding {
    if dropped == 0 {
        return ok("No client sent log messages faster than it may.");
    }
    failed(
        format!("{dropped} log messages of clients were dropped since the agent's start, because they came too fast."),
        "castellan logs --category LogDropped names the clients; let them log less, or raise system.logging.clientRate.",
    )
}
