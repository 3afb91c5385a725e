//! From what was typed to what was meant: ids of jobs and plugins in any case, unique prefixes of run ids.

use castellan_core::json::read::hint;
use castellan_core::log_message::escape;
use serde_json::Value;

use super::agent::{Agent, encode};
use super::lkg::standing::not_in_service;
use super::table::{items, text};
use crate::failure::Failure;

/// What has ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Job,
    Plugin,
}

impl Kind {
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Job => "/api/Jobs",
            Self::Plugin => "/api/plugins",
        }
    }

    /// As items of Last Known Good have it.
    const fn folder(self) -> &'static str {
        match self {
            Self::Job => "Jobs",
            Self::Plugin => "Plugins",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Plugin => "plugin",
        }
    }
}

/// The id as its definition spells it. One that is out of service has no other spelling than its file's.
pub(crate) fn id(agent: &Agent, kind: Kind, given: &str) -> Result<String, Failure> {
    one_of(agent, kind, &agent.get(kind.path())?, given)
}

/// The same of several; the list is asked for once.
pub(crate) fn ids(agent: &Agent, kind: Kind, given: &[String]) -> Result<Vec<String>, Failure> {
    let list = agent.get(kind.path())?;
    given.iter().map(|given| one_of(agent, kind, &list, given)).collect()
}

fn one_of(agent: &Agent, kind: Kind, list: &Value, given: &str) -> Result<String, Failure> {
    let ids: Vec<&str> = items(list).iter().filter_map(|item| text(item, "id")).collect();
    if let Some(found) = ids.iter().find(|id| id.eq_ignore_ascii_case(given)) {
        return Ok((*found).to_owned());
    }
    let answer = agent.send("GET", &format!("{}/{}", kind.path(), encode(given)), &[], None)?;
    if answer.status == 404 && answer.findings().is_empty() {
        let (name, shown) = (kind.name(), escape(given));
        let list = format!("castellan {name}s list");
        if let Some(why) = not_in_service(agent, &format!("{}/{given}", kind.folder()))? {
            return Err(Failure::not_found(format!("there is no {name} '{shown}' in service. {why}")));
        }
        return Err(Failure::not_found(format!(
            "there is no {name} '{shown}'{}; `{list}` names all.",
            hint(given, &ids)
        )));
    }
    Ok(given.to_owned())
}

/// The run that an id or the beginning of one names.
pub(crate) fn run(agent: &Agent, given: &str) -> Result<Value, Failure> {
    let answer = agent.send("GET", &format!("/api/runs/{}", encode(given)), &[], None)?;
    if answer.status != 404 {
        return answer.accepted();
    }
    let list = agent.get("/api/runs")?;
    let ids = items(&list).iter().filter_map(|run| text(run, "runId"));
    let found: Vec<&str> = ids.filter(|id| id.starts_with(given)).collect();
    match found.as_slice() {
        [one] => agent.get(&format!("/api/runs/{}", encode(one))),
        [] => Err(Failure::not_found(format!(
            "there is no run '{}'; `castellan runs list` names the last ones.",
            escape(given)
        ))),
        several => Err(Failure::usage(format!(
            "'{}' begins the ids of {} runs: {}. Write more of it.",
            escape(given),
            several.len(),
            several.iter().take(5).copied().collect::<Vec<_>>().join(", ")
        ))),
    }
}
