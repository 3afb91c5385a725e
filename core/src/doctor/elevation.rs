//! Whether people can ask for more privileges: the plugin that decides, the jobs that bring a request on, policies, the way to the socket,
//! and authenticators where policies ask for codes.

use alloc::borrow::Cow;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::Value;

use super::{Examined, Finding, NOT_RUNNING, Running, checks, failed, listed, ok, skipped};
use crate::elevation::{POLICY_PLUGIN, Wanted};
use crate::event::{DefinitionFile, DefinitionKind};
use crate::job::JobDefinition;
use crate::policy::PolicySet;

const NAMES: [&str; 5] = ["keeper-policy", "elevation-jobs", "policies", "request-socket", "authenticators"];
const INIT: &str = "Stop the agent, castellan init, start it.";
/// What an event of a request has, whoever asks for what.
const REQUEST: [(&str, &str); 3] =
    [("PolicyType", "PrivilegeElevation"), ("RequestId", "E1-1"), ("ControlList", "MFA,JUSTIFY,APPROVAL")];
const UNUSED: &str = "Nothing of privilege elevation is here; castellan init installs it.";

/// What was found about privilege elevation.
#[derive(Debug)]
pub struct ElevationFacts<'a> {
    /// Every file of `Jobs/` and `Plugins/`.
    pub definitions: &'a [DefinitionFile],
    /// What `Policies/` says.
    pub policies: &'a PolicySet,
    /// A folder on the way to the request socket that other users cannot pass.
    pub closed: Option<String>,
    /// Whether the request socket is there.
    pub has_socket: bool,
    /// What a running agent says, and who has an authenticator.
    pub running: Option<(&'a Running, BTreeSet<String>)>,
}

/// Examines the way to more privileges; where nothing of it is installed and no policy wants it, that is no failure.
pub fn examine_elevation(facts: &ElevationFacts<'_>) -> Examined {
    let findings = if facts.is_used() {
        [facts.keeper(), facts.jobs(), facts.read(), facts.socket(), facts.authenticators()]
    } else {
        NAMES.map(|_| skipped(UNUSED))
    };
    Examined { kind: "elevation", id: "requests".to_string(), checks: checks(&NAMES, findings) }
}

impl ElevationFacts<'_> {
    fn is_used(&self) -> bool {
        self.has_keeper() || !self.policies.is_empty()
    }

    fn has_keeper(&self) -> bool {
        self.definitions.iter().any(|file| file.kind == DefinitionKind::Plugin && file.stem == POLICY_PLUGIN)
    }

    fn keeper(&self) -> Finding {
        if !self.has_keeper() {
            return failed(
                format!("There is no Plugins/{POLICY_PLUGIN}.json: nobody decides, and every request is denied."),
                INIT,
            );
        }
        let Some((running, _)) = &self.running else { return skipped(NOT_RUNNING) };
        match running.plugins.get(POLICY_PLUGIN) {
            None => failed(
                format!("The plugin {POLICY_PLUGIN} is not in service: every request is denied."),
                format!("castellan doctor plugin {POLICY_PLUGIN} says why."),
            ),
            Some((status, health, _)) if health != "Healthy" => failed(
                format!(
                    "The plugin {POLICY_PLUGIN} is {status} and {health}: requests wait 30 s, then they are denied."
                ),
                format!(
                    "castellan plugins show {POLICY_PLUGIN} and castellan plugins logs {POLICY_PLUGIN} --stdio say why; castellan plugins start {POLICY_PLUGIN}."
                ),
            ),
            Some((status, ..)) => ok(format!("The plugin {POLICY_PLUGIN} is {status} and healthy.")),
        }
    }

    /// Whether an enabled job waits for each event of a request.
    fn jobs(&self) -> Finding {
        let files = self.definitions.iter().filter(|file| file.kind == DefinitionKind::Job);
        let jobs: Vec<JobDefinition> =
            files.filter_map(|file| Some(JobDefinition::parse(file.content.as_ref().ok()?, None).ok()?.0)).collect();
        let waits = |job: &JobDefinition, event: &str| job.events.iter().any(|known| known == event) && is_asked(job);
        let waiting = |event: &str| jobs.iter().filter(|job| waits(job, event)).collect::<Vec<_>>();
        let mut found = Vec::new();
        for event in [Wanted::Controls.event(), Wanted::Launch.event()] {
            let jobs = waiting(event);
            let Some(first) = jobs.first() else {
                return failed(
                    format!("No job waits for the event {event} of requests, so they are denied there."),
                    INIT,
                );
            };
            let Some(enabled) = jobs.iter().find(|job| job.enabled) else {
                let proof = format!(
                    "The job {} that waits for the event {event} is disabled, so requests are denied there.",
                    first.id
                );
                return failed(proof, format!("castellan jobs enable {}", first.id));
            };
            found.push(enabled.id.to_string());
        }
        ok(format!("Enabled jobs wait for the events of a request: {}.", found.join(", ")))
    }

    fn read(&self) -> Finding {
        let broken = self.policies.unreadable();
        if broken.is_empty() {
            return match self.policies.len() {
                0 => ok("There is no policy about privileges: every request is denied."),
                count => ok(format!("{count} policies about privileges are read.")),
            };
        }
        let told = listed(broken.iter().map(|file| format!("{} ({})", file.id.as_str(), file.why)));
        failed(
            format!("Not readable, so what they may be about is denied: {told}."),
            "castellan policy lint Policies, in the agent root, shows the places.",
        )
    }

    fn socket(&self) -> Finding {
        if let Some(folder) = &self.closed {
            let proof = format!("Other users may not pass {folder}, so they cannot reach the agent.");
            return failed(proof, format!("chmod o+x {folder}"));
        }
        match (&self.running, self.has_socket) {
            (None, _) => skipped(NOT_RUNNING),
            (Some(_), true) => ok("run/request.sock is there, and every user may pass the folders to it."),
            (Some(_), false) => {
                failed("run/request.sock is not there.", "castellan logs --category Elevation; start the agent again.")
            }
        }
    }

    fn authenticators(&self) -> Finding {
        let (names, others) = self.policies.asked_for_codes();
        if names.is_empty() && !others {
            return skipped("No policy in force asks for MFA.");
        }
        let Some((_, enrolled)) = &self.running else { return skipped(NOT_RUNNING) };
        let without: Vec<&String> = names.difference(enrolled).collect();
        if let Some(first) = without.first() {
            let told = listed(without.iter().map(ToString::to_string));
            let proof = format!("Policies ask these users for codes, and they have no authenticator: {told}.");
            return failed(proof, format!("castellan mfa enroll {first}"));
        }
        if enrolled.is_empty() {
            return failed("Policies ask for codes, and nobody has an authenticator.", "castellan mfa enroll USER");
        }
        ok(format!("{} users have an authenticator, with all that policies ask for codes by name.", enrolled.len()))
    }
}

/// Whether the condition of a job lets it run for a request, as far as it looks at what all of them have in common.
fn is_asked(job: &JobDefinition) -> bool {
    let value = |name: &str| REQUEST.iter().find(|(known, _)| *known == name).map(|(_, value)| Value::from(*value));
    job.condition.as_ref().is_none_or(|condition| condition.evaluate(&|name| value(name).map(Cow::Owned)).holds)
}

#[cfg(test)]
mod tests;
