//! Plugin settings read over the API, and the pseudo-plugin `KeeperPrivilegeManager` (contract section 2).

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};

use super::Agent;
use super::callers::Caller;
use super::requests::not_found;
use crate::api::route::Target;
use crate::api::{ApiRequest, ApiResponse, Tier, tagged};
use crate::config;
use crate::effect::Effects;
use crate::id::{Component, PluginId};
use crate::log_message::Level;
use crate::plugin::settings::is_agent;
use crate::plugin::storage::{Layer, Setting, Settings};
use crate::run::secret::MASK;
use crate::time::Now;
use crate::why::Explanation;

impl Agent {
    pub(super) fn show_settings(
        &mut self,
        now: Now,
        request: &ApiRequest,
        target: &Target,
        caller: &Caller,
        plugin: &PluginId,
        effects: &mut Effects,
    ) -> ApiResponse {
        if let Some(refusal) = self.settings_refusal(now, request, target, caller, plugin, effects) {
            return refusal;
        }
        let Some(settings) = self.settings_for(caller, plugin) else { return no_settings(plugin) };
        if let Some(component) = caller.identity.as_ref().map(|identity| &identity.component) {
            let message = format!("A process of {component} read the settings of {plugin}.");
            self.desk.turn(now, effects).log_about(Level::Information, "SettingsRead", message, Some(component));
        }
        let response = if is_explained(target) {
            let explained: BTreeMap<&str, &Setting> =
                settings.values().map(|setting| (setting.key.as_str(), setting)).collect();
            ApiResponse::json(200, &explained)
        } else {
            ApiResponse::json(200, &flat(settings))
        };
        tagged(request, response)
    }

    #[expect(clippy::too_many_arguments, reason = "each argument is one fact of the request")]
    pub(super) fn show_setting(
        &mut self,
        now: Now,
        request: &ApiRequest,
        target: &Target,
        caller: &Caller,
        plugin: &PluginId,
        key: &str,
        effects: &mut Effects,
    ) -> ApiResponse {
        if let Some(refusal) = self.settings_refusal(now, request, target, caller, plugin, effects) {
            return refusal;
        }
        let Some(mut settings) = self.settings_for(caller, plugin) else { return no_settings(plugin) };
        let response = match settings.remove(&key.to_ascii_lowercase()) {
            Some(setting) if is_explained(target) => ApiResponse::json(200, &setting),
            Some(setting) => ApiResponse::json(200, &setting.value),
            None => not_found(
                &format!("{plugin} has no setting '{key}'."),
                &format!("GET /api/PluginSettings/{plugin} lists them."),
            ),
        };
        tagged(request, response)
    }

    /// A plugin reads its own settings and the agent's; a task of a job and a signed program read any; an Admin everything.
    fn settings_refusal(
        &mut self,
        now: Now,
        request: &ApiRequest,
        target: &Target,
        caller: &Caller,
        plugin: &PluginId,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        if caller.tier == Tier::Admin || is_agent(plugin) || caller.is_plugin(plugin) {
            return None;
        }
        match &caller.identity.as_ref()?.component {
            Component::Job(_) | Component::Administrator(_) | Component::Program(_) => None,
            Component::Plugin(own) => {
                let explanation = Explanation::new(
                    format!("Plugin {own} may not read the settings of {plugin}."),
                    "A plugin reads its own settings and those of KeeperPrivilegeManager.",
                    "Use an admin client certificate, or let a task of a job read them.",
                );
                Some(self.deny_call(now, request, target, caller, &explanation, Tier::Admin, effects))
            }
        }
    }

    /// The settings in effect as this caller may see them; `None` where there is no such plugin.
    pub(super) fn settings_for(&self, caller: &Caller, plugin: &PluginId) -> Option<Settings> {
        if is_agent(plugin) {
            return Some(self.agent_settings());
        }
        let mut settings = self.desk.plugin_settings.of(plugin.as_str())?;
        mask_secrets(&mut settings, caller, plugin);
        Some(settings)
    }

    pub(super) fn agent_settings(&self) -> Settings {
        let defaults = config::Settings::default().flat();
        let by_origin = |(key, value): (String, String)| {
            let layer = if defaults.get(&key) == Some(&value) { Layer::Default } else { Layer::File };
            (key.to_ascii_lowercase(), Setting::new(key, value, layer))
        };
        let own =
            |key: &str, value: String| (key.to_ascii_lowercase(), Setting::new(key.to_string(), value, Layer::Agent));
        let mut settings: Settings = self.desk.settings.flat().into_iter().map(by_origin).collect();
        settings.extend([
            own("api.baseUrl", self.desk.surroundings.api_base_url()),
            own("broker.host", self.desk.settings.mqtt_address.to_string()),
        ]);
        if let Some((level, row)) = self.stored_log_level() {
            let stored = Setting::new(row.key.clone(), level.as_str().to_string(), Layer::Storage);
            let (writer, time) = (Some(row.writer), Some(row.time));
            settings.insert(row.key, Setting { writer, time, former: row.former, ..stored });
        }
        settings.extend(self.desk.surroundings.endpoints.map(|ends| own("broker.port", ends.mqtt.to_string())));
        settings
    }
}

/// Secrets are for their own plugin alone.
pub(super) fn mask_secrets(settings: &mut Settings, caller: &Caller, plugin: &PluginId) {
    if !caller.is_plugin(plugin) {
        for setting in settings.values_mut().filter(|setting| setting.secret) {
            setting.value = MASK.to_string();
        }
    }
}

/// Settings as one flat object, text to text.
pub(super) fn flat(settings: Settings) -> BTreeMap<String, String> {
    settings.into_values().map(|setting| (setting.key, setting.value)).collect()
}

fn is_explained(target: &Target) -> bool {
    target.parameter("explain").is_some_and(|explain| explain.eq_ignore_ascii_case("true"))
}

pub(super) fn no_settings(plugin: &PluginId) -> ApiResponse {
    not_found(
        &format!("There is no plugin '{plugin}'."),
        "GET /api/plugins lists them; KeeperPrivilegeManager is the agent itself.",
    )
}
