//! The 11 checks of seed 003's checklist.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Finding, Machine, NOT_RUNNING, errors, failed, listed, of_broken, ok, path_of, skipped};
use crate::event::{DefinitionFile, DefinitionKind};
use crate::job::JobDefinition;
use crate::job::lint::{Document, lint};
use crate::plugin::PluginDefinition;
use crate::plugin::supervisor::query;
use crate::program;
use crate::trust::signature::SignaturePolicy;

/// In the order of the guide.
pub(super) const NAMES: [&str; 11] = [
    "binary-exists",
    "subscription",
    "publish-topics",
    "subscribe-topics",
    "client-id",
    "signature",
    "agent-settings",
    "own-settings",
    "connected",
    "lifecycle",
    "own-binary",
];
/// Restarts since the agent's start that look like a loop.
const RESTARTS: u64 = 5;

pub(super) fn findings(machine: &Machine<'_>, file: &DefinitionFile) -> Vec<Finding> {
    let path = path_of(file);
    let here = machine.surroundings.here;
    let parsed = Machine::document(file, &path).and_then(|bytes| {
        PluginDefinition::parse(bytes, Some(&file.stem), here)
            .map_err(|findings| failed(errors(&path, &findings), "Mend the file: castellan job lint shows each place."))
    });
    let (plugin, _) = match parsed {
        Ok(parsed) => parsed,
        Err(found) => return of_broken(NAMES.len(), 0, found),
    };
    let component = format!("plugin:{}", plugin.id);
    let one = Checked { machine, plugin: &plugin, path: &path, component };
    Vec::from([
        one.binary(),
        one.subscription(),
        one.topics("publish", &plugin.publish),
        one.topics("subscribe", &plugin.subscribe),
        machine.connection(&one.component),
        one.signature(),
        machine.probed("plugin-settings").unwrap_or_else(|| machine.agent_settings()),
        machine.probed("own-settings").unwrap_or_else(|| one.settings()),
        one.connected(),
        one.lifecycle(),
        one.own_binary(file),
    ])
}

/// One valid plugin on its machine.
struct Checked<'a> {
    machine: &'a Machine<'a>,
    plugin: &'a PluginDefinition,
    path: &'a str,
    component: String,
}

impl Checked<'_> {
    fn binary(&self) -> Finding {
        let plugin = self.plugin;
        if plugin.built_in || !plugin.supported_here {
            return skipped(if plugin.built_in {
                "The agent itself is this plugin."
            } else {
                "supportedPlatforms leaves this system out."
            });
        }
        let facts = (self.machine.look)(&query(plugin, self.machine.surroundings, &[]));
        match program::by_file(&facts) {
            Ok(()) => {
                ok(format!("{} has the file's id, and {} is there, changed by nobody else.", self.path, facts.path))
            }
            Err(unfit) => failed(unfit.why, "Deploy it so, then run doctor again."),
        }
    }

    fn subscription(&self) -> Finding {
        let topic = self.plugin.subscription.topic.topics();
        let others = self.machine.definitions.iter().filter(|file| file.kind == DefinitionKind::Plugin);
        let twin = others.filter(|file| file.stem != self.plugin.id.as_str()).find(|file| {
            let other = file
                .content
                .as_ref()
                .ok()
                .map(|bytes| PluginDefinition::parse(bytes, None, self.machine.surroundings.here));
            matches!(other, Some(Ok((other, _))) if other.subscription.topic.topics() == topic)
        });
        match twin {
            None => ok(format!("Subscription.Topic is '{topic}', and no other plugin has it.")),
            Some(twin) => failed(
                format!("{} has the Subscription.Topic '{topic}' too.", path_of(twin)),
                "Give each plugin a topic of its own, for example its id.",
            ),
        }
    }

    fn topics(&self, action: &str, declared: &[crate::acl::topic::TopicFilter]) -> Finding {
        if let Some(denial) = self.machine.denied(&self.component, action).next() {
            return failed(denial.what.clone(), denial.fix.clone());
        }
        let declared = listed(declared.iter().map(|one| one.topics().to_string()));
        match self.machine.running {
            None => skipped(format!("{NOT_RUNNING} Declared: {declared}.")),
            Some(_) => ok(format!("Declared: {declared}. Nothing else was refused to it since the agent's start.")),
        }
    }

    fn signature(&self) -> Finding {
        let policy = SignaturePolicy::of(self.machine.settings);
        if policy.pins.is_empty() {
            return skipped("AlternativeSignatures is empty: no signature is asked for.");
        }
        if self.plugin.built_in {
            return skipped("The agent itself is this plugin.");
        }
        let facts = (self.machine.look)(&query(self.plugin, self.machine.surroundings, policy.pins));
        match program::signed(&facts, policy, self.machine.now) {
            Ok(()) => ok(format!("{} is signed by a signer of AlternativeSignatures.", facts.path)),
            Err(unfit) => {
                let fix = format!("Sign it: castellan sign {} --cert CERT.pem --key KEY.pem", facts.path);
                failed(unfit.why, fix)
            }
        }
    }

    fn settings(&self) -> Finding {
        let id = &self.plugin.id;
        match self.machine.running.map(|running| running.settings.get(id.as_str())) {
            None => skipped(NOT_RUNNING),
            Some(Some(settings)) => ok(format!("GET /api/PluginSettings/{id} has {} settings.", settings.len())),
            Some(None) => failed(
                format!("GET /api/PluginSettings/{id} has none."),
                "Say castellan lkg accept Plugins/ID; where Last Known Good is off, POST /api/Jobs/reload.",
            ),
        }
    }

    fn connected(&self) -> Finding {
        let Some(running) = self.machine.running else { return skipped(NOT_RUNNING) };
        if self.plugin.built_in {
            return skipped("The agent itself is this plugin.");
        }
        let Some((status, health, _)) = running.plugins.get(self.plugin.id.as_str()) else {
            return skipped("The agent has no such plugin in service.");
        };
        if status == "Stopped" && health != "Failed" && self.plugin.run_as.is_some() {
            let id = &self.plugin.id;
            return skipped(format!("Not every session has a process of it: castellan plugins show {id} says why."));
        }
        if status == "Stopped" && health != "Failed" {
            return skipped("It is stopped: POST /api/plugins/{id}/start starts it.");
        }
        if health == "Failed" || health == "Unhealthy" {
            let fix = format!("GET /api/plugins/{} and the agent's log say why.", self.plugin.id);
            return failed(format!("It is {status}, health {health}."), fix);
        }
        match (running.connected.contains_key(&self.component), running.logged.contains(&self.component)) {
            (true, true) => ok(format!("It is {status}; the log has its connection and its messages.")),
            (true, false) => skipped("It connected, and has published nothing to KeeperLogger yet."),
            (false, _) => skipped(format!("It is {status} and has not connected since the log began.")),
        }
    }

    fn lifecycle(&self) -> Finding {
        let plugin = self.plugin;
        let (start, watched, again) = (plugin.auto_start, plugin.requires_monitoring, plugin.auto_restart);
        let told = format!("autoStart {start}, requiresMonitoring {watched}, autoRestart {again}");
        if again && !watched {
            let fix = "Set \"requiresMonitoring\": true, or \"autoRestart\": false.";
            return failed(format!("{told}: without monitoring it is never restarted."), fix);
        }
        let restarts = self.machine.running.and_then(|running| running.plugins.get(plugin.id.as_str()));
        match restarts {
            Some((_, _, restarts)) if *restarts >= RESTARTS => {
                let fix = "Find out why its process ends (the agent's log), before it is restarted again.";
                failed(format!("{told}: it was restarted {restarts} times."), fix)
            }
            Some((_, _, restarts)) => ok(format!("{told}: {restarts} restarts.")),
            None => ok(format!("{told}.")),
        }
    }

    /// No job runs the same file: each is known by its own.
    fn own_binary(&self, file: &DefinitionFile) -> Finding {
        let Ok(own) = &file.content else { return skipped("The file cannot be read.") };
        let jobs = self.machine.definitions.iter().filter(|other| other.kind == DefinitionKind::Job);
        let jobs = jobs.filter_map(|other| Some((&other.stem, other.content.as_ref().ok()?)));
        for (stem, bytes) in jobs.filter(|(stem, bytes)| JobDefinition::parse(bytes, Some(stem)).is_ok()) {
            let documents =
                [Document { file: stem, stem, bytes }, Document { file: self.path, stem: &file.stem, bytes: own }];
            let linted = lint(&documents, self.machine.surroundings.here);
            let shared = linted.iter().flat_map(|one| &one.findings).find(|one| one.code == "binary-of-job-and-plugin");
            if let Some(shared) = shared {
                return failed(
                    format!("Jobs/{stem}.json: {}", shared.message),
                    "Give the job and the plugin a program each.",
                );
            }
        }
        ok("No job runs the same program.")
    }
}
