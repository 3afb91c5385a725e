//! The plugin of the simulated world: it ends by itself now and then, and an administrator starts, stops and restarts it.

use castellan_core::event::{DefinitionFile, DefinitionKind};
use castellan_core::id::SpawnId;

use super::World;
use super::ledger::{Broken, broken};

/// Its definition.
pub(super) fn definition() -> DefinitionFile {
    let document = r#"{"id":"Echo","name":"Echo","version":"1","pluginType":"Executable","executablePath":"bin/Echo/Echo",
        "supportedPlatforms":["Linux"],"Subscription":{"Topic":"Echo","Qos":1,"CleanSession":true},
        "metadata":{"mqttTopics":{"publish":[],"subscribe":[]}},"startupPriority":1,"autoStart":true,
        "executionContext":"Service","requiresMonitoring":true,"autoRestart":true}"#;
    let (kind, stem) = (DefinitionKind::Plugin, String::from("Echo"));
    DefinitionFile { kind, stem, content: Ok(document.as_bytes().into()) }
}

impl World<'_> {
    /// An administrator acts on the plugin.
    pub(super) fn act_on_plugin(&mut self) -> Result<(), Broken> {
        let actions = ["start", "stop", "restart"];
        let action = actions.get(self.dice.place(actions.len())).copied().unwrap_or_default();
        self.ask(&format!("/api/plugins/Echo/{action}"))
    }

    /// A program of the plugin begins to run.
    pub(super) fn on_plugin_released(&mut self, spawn: SpawnId) -> Result<(), Broken> {
        if let Some(other) = self.plugins.iter().find(|(other, runs)| **runs && **other != spawn) {
            return broken("one-process", format!("spawn {spawn} of the plugin runs beside {}", other.0));
        }
        self.plugins.insert(spawn, true);
        Ok(())
    }
}
