//! Plugin settings over the API, and the pseudo-plugin `KeeperPrivilegeManager` (contract section 2).

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};

use super::Agent;
use super::callers::Caller;
use super::requests::not_found;
use crate::api::route::Target;
use crate::api::{ApiRequest, ApiResponse, Tier};
use crate::effect::Effects;
use crate::id::{Component, PluginId};
use crate::log_message::Level;
use crate::time::Now;
use crate::why::Explanation;

/// The settings of the agent itself, under a plugin's name (seed 001, step 5).
const AGENT_SETTINGS: &str = "KeeperPrivilegeManager";

impl Agent {
    pub(super) fn show_settings(
        &mut self,
        now: Now,
        request: &ApiRequest,
        caller: &Caller,
        plugin: &PluginId,
        effects: &mut Effects,
    ) -> ApiResponse {
        if let Some(refusal) = self.settings_refusal(now, request, caller, plugin, effects) {
            return refusal;
        }
        let Some(settings) = self.effective_settings(plugin) else { return no_settings(plugin) };
        if let Some(component) = caller.identity.as_ref().map(|identity| &identity.component) {
            let message = format!("A process of {component} read the settings of {plugin}.");
            self.desk.turn(now, effects).log_about(Level::Information, "SettingsRead", message, Some(component));
        }
        ApiResponse::json(200, &settings)
    }

    pub(super) fn show_setting(
        &mut self,
        now: Now,
        request: &ApiRequest,
        caller: &Caller,
        plugin: &PluginId,
        key: &str,
        effects: &mut Effects,
    ) -> ApiResponse {
        if let Some(refusal) = self.settings_refusal(now, request, caller, plugin, effects) {
            return refusal;
        }
        let Some(settings) = self.effective_settings(plugin) else { return no_settings(plugin) };
        match settings.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)) {
            Some((_, value)) => ApiResponse::json(200, value),
            None => not_found(
                &format!("{plugin} has no setting '{key}'."),
                &format!("GET /api/PluginSettings/{plugin} lists them."),
            ),
        }
    }

    /// A plugin reads its own settings and the agent's; a task of a job and a signed program read any; an Admin everything.
    fn settings_refusal(
        &mut self,
        now: Now,
        request: &ApiRequest,
        caller: &Caller,
        plugin: &PluginId,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        if caller.tier == Tier::Admin || plugin.as_str().eq_ignore_ascii_case(AGENT_SETTINGS) {
            return None;
        }
        match &caller.identity.as_ref()?.component {
            Component::Job(_) | Component::Administrator(_) | Component::Program(_) => None,
            Component::Plugin(own) if own.as_str().eq_ignore_ascii_case(plugin.as_str()) => None,
            Component::Plugin(own) => {
                let explanation = Explanation::new(
                    format!("Plugin {own} may not read the settings of {plugin}."),
                    "A plugin reads its own settings and those of KeeperPrivilegeManager.",
                    "Use an admin client certificate, or let a task of a job read them.",
                );
                let target = Target::parse(&request.target);
                Some(self.deny_call(now, request, &target, caller, &explanation, Tier::Admin, effects))
            }
        }
    }

    fn effective_settings(&self, plugin: &PluginId) -> Option<BTreeMap<String, String>> {
        if plugin.as_str().eq_ignore_ascii_case(AGENT_SETTINGS) {
            return Some(self.agent_settings());
        }
        let named = self.desk.plugin_settings.iter().find(|(id, _)| id.eq_ignore_ascii_case(plugin.as_str()));
        named.map(|(_, settings)| settings.clone())
    }

    fn agent_settings(&self) -> BTreeMap<String, String> {
        let mut settings = self.desk.settings.flat();
        settings.insert("api.baseUrl".to_string(), self.desk.surroundings.api_base_url());
        settings.insert("broker.host".to_string(), self.desk.settings.mqtt_address.to_string());
        if let Some(endpoints) = self.desk.surroundings.endpoints {
            settings.insert("broker.port".to_string(), endpoints.mqtt.to_string());
        }
        settings
    }
}

fn no_settings(plugin: &PluginId) -> ApiResponse {
    not_found(
        &format!("There is no plugin '{plugin}'."),
        "GET /api/plugins lists them; KeeperPrivilegeManager is the agent itself.",
    )
}
