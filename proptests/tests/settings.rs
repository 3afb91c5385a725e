//! Law of plugin settings: after any sequence of writes, reverts, changed files and new starts, those in effect are what three plain maps say.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test may fail by panicking, and minds what it asked for alone"
)]

#[path = "settings/policies.rs"]
mod policies;

use std::collections::BTreeMap;

use castellan_core::agent::Agent;
use castellan_core::api::ApiResponse;
use castellan_core::config::Settings;
use castellan_core::effect::{Effect, Effects, StoreOrder};
use castellan_core::event::{DefinitionFile, DefinitionKind, Endpoints, Event, Loaded, StoreReport};
use castellan_core::plugin::storage::{SettingChange, StoredSetting};
use castellan_core::time::{Monotonic, Now, WallTime};
use castellan_proptests::agents::{request_of_an_administrator, surroundings_of};
use castellan_proptests::laws::config;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Plugins; the second differs from the first in more than its case.
const PLUGINS: [&str; 2] = ["Bridge", "Echo"];
/// How many of the keys below are the plugin's own; the last one is a part of its definition, and has a default.
const OWN_KEYS: usize = 3;
/// Keys, as files spell them.
const KEYS: [&str; 4] = ["metadata.a", "metadata.b", "own", "enabled"];

#[derive(Debug, Clone)]
enum Step {
    /// A value is put; whether the key is written in capitals and whether the disk takes it.
    Put(usize, usize, u8, bool, bool),
    Revert(usize, bool),
    RevertAll,
    /// The file says this from now on, and is loaded.
    File(usize, BTreeMap<usize, u8>),
    /// The agent is killed and started.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let (plugin, key) = (0..PLUGINS.len(), 0..KEYS.len());
    prop_oneof![
        8 => (plugin.clone(), key, any::<u8>(), any::<bool>(), prop::bool::weighted(0.8))
            .prop_map(|(plugin, key, value, capitals, well)| Step::Put(plugin, key, value, capitals, well)),
        2 => (plugin.clone(), prop::bool::weighted(0.8)).prop_map(|(plugin, well)| Step::Revert(plugin, well)),
        1 => Just(Step::RevertAll),
        2 => (plugin, btree_map(0..OWN_KEYS, any::<u8>(), 0..3)).prop_map(|(plugin, file)| Step::File(plugin, file)),
        2 => Just(Step::Restart),
    ]
}

/// What is stored over what the file says over what is taken by default.
#[derive(Debug, Default)]
struct Model {
    stored: [BTreeMap<usize, u8>; 2],
    files: [BTreeMap<usize, u8>; 2],
}

impl Model {
    fn in_effect(&self, plugin: usize) -> BTreeMap<usize, String> {
        let mut settings = BTreeMap::from([(3, String::from("true"))]);
        for layer in [&self.files[plugin], &self.stored[plugin]] {
            settings.extend(layer.iter().map(|(key, value)| (*key, value.to_string())));
        }
        settings
    }
}

/// The agent, and a disk that answers at once.
struct Service {
    agent: Agent,
    requests: u64,
    files: [Value; 2],
    stored: BTreeMap<(String, String), StoredSetting>,
    disk_is_well: bool,
    answer: Option<ApiResponse>,
}

fn document(plugin: usize, file: &BTreeMap<usize, u8>) -> Value {
    let id = PLUGINS[plugin];
    let mut document = json!({ "id": id, "pluginType": "Executable", "executablePath": "/bin/x", "supportedPlatforms": ["Linux"],
        "Subscription": { "Topic": id }, "metadata": { "mqttTopics": { "publish": [], "subscribe": [] } } });
    for (key, value) in file {
        match KEYS[*key].strip_prefix("metadata.") {
            Some(name) => document["metadata"][name] = json!(value),
            None => document[KEYS[*key]] = json!(value),
        }
    }
    document
}

impl Service {
    fn new() -> Self {
        let files = [0, 1].map(|plugin| document(plugin, &BTreeMap::new()));
        let (stored, answer) = (BTreeMap::new(), None);
        let mut service = Self { agent: agent(), requests: 0, files, stored, disk_is_well: true, answer };
        service.begin_life();
        service
    }

    fn begin_life(&mut self) {
        self.agent = agent();
        let settings = self.stored.values().cloned().collect();
        self.tell(Event::Loaded(Loaded { definitions: self.definitions(), settings, ..Loaded::default() }));
        self.tell(Event::Opened(Endpoints { http: 6888, https: 6889, mqtt: 8675 }));
    }

    fn definitions(&self) -> Vec<DefinitionFile> {
        let file = |(id, document): (&&str, &Value)| DefinitionFile {
            kind: DefinitionKind::Plugin,
            stem: (*id).to_owned(),
            content: Ok(document.to_string().into_bytes().into()),
        };
        PLUGINS.iter().zip(&self.files).map(file).collect()
    }

    fn ask(&mut self, method: &str, target: &str, body: &str) -> (u16, Value) {
        self.requests = self.requests.saturating_add(1);
        self.tell(Event::Api(request_of_an_administrator(self.requests, method, target, body)));
        let answer = self.answer.take().unwrap();
        (answer.status, serde_json::from_slice(&answer.body).unwrap())
    }

    fn tell(&mut self, event: Event) {
        let now = Now { monotonic: Monotonic::from_millis(self.requests), wall: WallTime::from_millis(0) };
        let mut effects = Effects::new();
        self.agent.handle(now, event, &mut effects);
        for effect in effects {
            match effect {
                Effect::Respond { response, .. } => self.answer = Some(response),
                Effect::Store(StoreOrder::WriteSettings { ticket, changes }) => {
                    let result = if self.disk_is_well { Ok(()) } else { Err(String::from("the disk is full")) };
                    let kept = if self.disk_is_well { changes } else { Vec::new() };
                    kept.into_iter().for_each(|change| self.keep(change));
                    self.tell(Event::Store(StoreReport::SettingsWritten { ticket, result }));
                }
                Effect::Store(StoreOrder::ReadDefinitions { ticket }) => {
                    let files = self.definitions();
                    self.tell(Event::Store(StoreReport::DefinitionsRead { ticket, files }));
                }
                Effect::Process(_)
                | Effect::Broker(_)
                | Effect::Store(_)
                | Effect::Http(_)
                | Effect::Stream(_)
                | Effect::Audit(_)
                | Effect::Fleet(_)
                | Effect::Elevation(_)
                | Effect::Count(_)
                | Effect::Telemetry(_)
                | Effect::Log(_)
                | Effect::LogLevel(_)
                | Effect::Exit => {}
            }
        }
    }

    fn keep(&mut self, change: SettingChange) {
        let place = |plugin: &str, key: &str| (plugin.to_ascii_lowercase(), key.to_ascii_lowercase());
        match change {
            SettingChange::Keep(row) => drop(self.stored.insert(place(&row.plugin, &row.key), row)),
            SettingChange::Forget { plugin, key } => drop(self.stored.remove(&place(&plugin, &key))),
        }
    }

    /// The settings of the keys above.
    fn shown(&mut self, plugin: usize) -> BTreeMap<usize, String> {
        let (status, all) = self.ask("GET", &format!("/api/PluginSettings/{}", PLUGINS[plugin]), "");
        assert_eq!(status, 200, "{all}");
        let all: Vec<(&String, &Value)> = all.as_object().unwrap().iter().collect();
        let named = |key: &str| all.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
        let value = |key: &str| named(key).and_then(|(_, value)| value.as_str()).map(ToOwned::to_owned);
        KEYS.iter().enumerate().filter_map(|(number, key)| Some((number, value(key)?))).collect()
    }

    fn play(&mut self, model: &mut Model, step: &Step) {
        match step {
            Step::Put(plugin, key, value, capitals, well) => {
                self.disk_is_well = *well;
                let spelled = if *capitals { KEYS[*key].to_ascii_uppercase() } else { KEYS[*key].to_owned() };
                let target = format!("/api/PluginSettings/{}/{spelled}", PLUGINS[*plugin]);
                let (status, answer) = self.ask("PUT", &target, &value.to_string());
                let is_definition = KEYS[*key] == "enabled";
                let expect = if is_definition {
                    409
                } else if *well {
                    200
                } else {
                    500
                };
                assert_eq!(status, expect, "{answer}");
                if expect == 200 {
                    model.stored[*plugin].insert(*key, *value);
                }
            }
            Step::Revert(plugin, well) => {
                self.disk_is_well = *well;
                let (status, answer) =
                    self.ask("POST", &format!("/api/PluginSettings/{}/revert", PLUGINS[*plugin]), "");
                assert!(status == 200 || !well, "{status} {answer}");
                if status == 200 {
                    model.stored[*plugin].clear();
                }
            }
            Step::RevertAll => {
                self.disk_is_well = true;
                assert_eq!(self.ask("POST", "/api/PluginSettings/revert-all", "").0, 200);
                model.stored = Default::default();
            }
            Step::File(plugin, file) => {
                self.files[*plugin] = document(*plugin, file);
                model.files[*plugin].clone_from(file);
                assert_eq!(self.ask("POST", "/api/Jobs/reload", "").0, 200);
            }
            Step::Restart => self.begin_life(),
        }
    }
}

fn agent() -> Agent {
    let now = Now { monotonic: Monotonic::from_millis(0), wall: WallTime::from_millis(0) };
    Agent::new(Settings::default(), surroundings_of(1, now))
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn settings_in_effect_are_the_stored_over_the_files_over_the_defaults(steps in vec(step(), 1..40)) {
        let (mut service, mut model) = (Service::new(), Model::default());
        for step in &steps {
            service.play(&mut model, step);
            for plugin in [0, 1] {
                prop_assert_eq!(service.shown(plugin), model.in_effect(plugin), "{} after {:?}", PLUGINS[plugin], step);
            }
        }
    }
}
