//! Plugin settings written and reverted over the API (contract section 2). What is ordered of the disk counts for every later write at
//! once, so that of two writers with one `If-Match` one wins; for readers it counts when it is on disk.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Agent;
use super::answers::{Pending, not_on_disk};
use super::callers::Caller;
use super::requests::respond;
use super::requests_settings::{flat, mask_secrets, no_settings};
use crate::api::route::Target;
use crate::api::{ApiRequest, ApiResponse, Conditions, Tier, entity_tag};
use crate::effect::{Effects, StoreOrder};
use crate::id::{PluginId, RequestId};
use crate::json::Json;
use crate::limits::{SETTING_BYTES, SETTING_KEY_BYTES, STORED_SETTINGS, STORED_SETTINGS_IN_ALL};
use crate::log_message::Level;
use crate::plugin::settings::is_agent;
use crate::plugin::storage::{Rows, SettingChange, Unstorable, change_rows, plugin_of};
use crate::time::Now;
use crate::why::Explanation;

/// Settings on their way to disk.
#[derive(Debug)]
pub(super) struct SettingsWrite {
    pub(super) request: RequestId,
    changes: Vec<SettingChange>,
    caller: Caller,
    /// Whose settings the answer shows; `None` means all plugins'.
    plugin: Option<PluginId>,
    /// Of the setting as it was sent, where it is stored just so.
    tag: Option<String>,
    /// For the log.
    done: String,
}

impl Agent {
    #[expect(clippy::too_many_arguments, reason = "each argument is one fact of the request")]
    pub(super) fn put_setting(
        &mut self,
        now: Now,
        request: &ApiRequest,
        target: &Target,
        caller: &Caller,
        plugin: &PluginId,
        key: &str,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        if caller.tier != Tier::Admin && (is_agent(plugin) || !caller.is_plugin(plugin)) {
            let rule = "A plugin writes its own settings, an administrator any; a task of a job writes none.";
            return Some(self.deny_write(now, request, target, caller, plugin, rule, effects));
        }
        let value = match value_of(&request.body) {
            Ok(value) => value,
            Err(why) => {
                let fix = "Send one JSON value, or {\"value\": …}.";
                return Some(ApiResponse::problem(400, &Explanation::new("The setting cannot be read.", why, fix)));
            }
        };
        if is_agent(plugin) {
            return self.put_own_setting(now, request, caller, plugin, (key, &value), effects);
        }
        let rows = self.rows_ahead(plugin);
        let Some(mut current) = self.desk.plugin_settings.layered(plugin.as_str(), &rows) else {
            return Some(no_settings(plugin));
        };
        // A tag tells what it is the tag of: nobody gets one of a secret that it may not read.
        mask_secrets(&mut current, caller, plugin);
        let is_hidden = !caller.is_plugin(plugin) && self.desk.plugin_settings.is_secret(plugin.as_str(), key);
        let (writer, time) = (caller.component().to_string(), now.wall.to_rfc3339());
        let stamp = (writer.as_str(), time.as_str());
        let changes = match self.desk.plugin_settings.put(plugin.as_str(), &rows, (key, value), stamp) {
            Ok(changes) => changes,
            Err(unstorable) => return Some(not_storable(plugin, key, unstorable)),
        };
        let tag_of = |value: &str| entity_tag(&ApiResponse::json(200, &value).body);
        let current = current.get(&key.to_ascii_lowercase()).map(|setting| tag_of(&setting.value));
        if let Some(refusal) = Conditions::of(request).refuse_write(current.as_deref()) {
            return Some(refusal);
        }
        // A validator answers a PUT only where nothing was made of its content (RFC 9110 9.3.4).
        let sent = entity_tag(&request.body);
        let as_sent = !is_hidden
            && changes.iter().any(|change| {
                matches!(change, SettingChange::Keep(row)
                if row.key.eq_ignore_ascii_case(key) && row.value.as_deref().map(tag_of).as_deref() == Some(&sent))
            });
        let done = format!("{writer} set '{key}' of plugin {plugin}.");
        self.write_settings(now, request, caller, Some(plugin), changes, as_sent.then_some(sent), done, effects)
    }

    /// Drops what is stored: of one plugin, or of all. A plugin that reverts all reverts its own.
    pub(super) fn revert_settings(
        &mut self,
        now: Now,
        request: &ApiRequest,
        target: &Target,
        caller: &Caller,
        plugin: Option<&PluginId>,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        let own = caller.plugin().filter(|_| caller.tier != Tier::Admin && plugin.is_none()).cloned();
        let one = plugin.cloned().or(own);
        let may = caller.tier == Tier::Admin
            || (!one.as_ref().is_some_and(is_agent)
                && (caller.is_http_task || one.as_ref().is_some_and(|plugin| caller.is_plugin(plugin))));
        if !may {
            let whose = one.as_ref().map_or("all plugins", PluginId::as_str).to_string();
            let rule = "A plugin reverts its own settings, an administrator or an Http task of a job any.";
            return Some(self.deny_write(now, request, target, caller, whose, rule, effects));
        }
        let plugins = one.as_ref().map_or_else(
            || self.desk.plugin_settings.plugins().iter().filter_map(|id| PluginId::parse(id).ok()).collect(),
            |plugin| Vec::from([plugin.clone()]),
        );
        let (writer, time) = (caller.component().to_string(), now.wall.to_rfc3339());
        let mut changes = Vec::new();
        let mut is_known = plugin.is_none();
        for plugin in plugins.iter().filter(|plugin| caller.tier == Tier::Admin || !is_agent(plugin)) {
            let rows = self.rows_ahead(plugin);
            is_known |= is_agent(plugin) || !rows.is_empty() || self.desk.plugin_settings.of(plugin.as_str()).is_some();
            changes.extend(self.desk.plugin_settings.revert(plugin.as_str(), &rows, (&writer, &time)));
        }
        if let Some(plugin) = plugin.filter(|_| !is_known) {
            return Some(no_settings(plugin));
        }
        let whose = one.as_ref().map_or_else(|| "all plugins".to_string(), |plugin| format!("plugin {plugin}"));
        let done = format!("{writer} reverted the settings of {whose}.");
        self.write_settings(now, request, caller, plugin, changes, None, done, effects)
    }

    #[expect(clippy::too_many_arguments, reason = "what a write is, and what is answered after it")]
    pub(super) fn write_settings(
        &mut self,
        now: Now,
        request: &ApiRequest,
        caller: &Caller,
        plugin: Option<&PluginId>,
        changes: Vec<SettingChange>,
        tag: Option<String>,
        done: String,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        let plugin = plugin.cloned();
        let write = SettingsWrite { request: request.id, changes, caller: caller.clone(), plugin, tag, done };
        if write.changes.is_empty() {
            return Some(self.settings_after(&write));
        }
        let changes = write.changes.clone();
        let order = |ticket| StoreOrder::WriteSettings { ticket, changes };
        self.ask_store(now, order, Pending::Settings(Box::new(write)), effects)
    }

    pub(super) fn on_settings_written(
        &mut self,
        now: Now,
        mut write: SettingsWrite,
        result: Result<(), String>,
        effects: &mut Effects,
    ) {
        if let Err(error) = result {
            let what = "The settings were not written; what was in effect before still counts.";
            return respond(write.request, not_on_disk(what, &error), effects);
        }
        self.desk.plugin_settings.apply(core::mem::take(&mut write.changes));
        self.keep_log_level(now, effects);
        let component = write.caller.identity.as_ref().map(|identity| &identity.component);
        self.desk.turn(now, effects).log_about(Level::Information, "SettingsWritten", write.done.as_str(), component);
        respond(write.request, self.settings_after(&write), effects);
    }

    fn settings_after(&self, write: &SettingsWrite) -> ApiResponse {
        let shown = |plugin: &PluginId| flat(self.settings_for(&write.caller, plugin).unwrap_or_default());
        let Some(plugin) = &write.plugin else {
            let visible = |plugin: &PluginId| {
                write.caller.plugin().is_none_or(|_| write.caller.tier == Tier::Admin || write.caller.is_plugin(plugin))
            };
            let ids = self.desk.plugin_settings.plugins();
            let ids = ids.iter().filter_map(|id| PluginId::parse(id).ok()).filter(visible);
            let all: BTreeMap<String, _> = ids.map(|id| (id.to_string(), shown(&id))).collect();
            return ApiResponse::json(200, &all);
        };
        let mut response = ApiResponse::json(200, &shown(plugin));
        if let Some(tag) = &write.tag {
            response.set_header("etag", tag);
        }
        response
    }

    /// What will be stored of a plugin once every write under way is on disk.
    pub(super) fn rows_ahead(&self, plugin: &PluginId) -> Rows {
        let mut rows = self.desk.plugin_settings.rows(plugin.as_str());
        for pending in self.pending.values() {
            let Pending::Settings(write) = pending else { continue };
            for change in write.changes.iter().filter(|change| plugin_of(change).eq_ignore_ascii_case(plugin.as_str()))
            {
                change_rows(&mut rows, change.clone());
            }
        }
        rows
    }

    #[expect(clippy::too_many_arguments, reason = "every fact of a refusal goes on record")]
    fn deny_write(
        &mut self,
        now: Now,
        request: &ApiRequest,
        target: &Target,
        caller: &Caller,
        whose: impl ToString,
        rule: &str,
        effects: &mut Effects,
    ) -> ApiResponse {
        let what = format!("{} may not change the settings of {}.", caller.component(), whose.to_string());
        let fix = "Use an admin client certificate, or let the plugin itself ask.";
        self.deny_call(now, request, target, caller, &Explanation::new(what, rule, fix), Tier::Admin, effects)
    }
}

/// One JSON value; a sole member `value` is unwrapped.
fn value_of(body: &[u8]) -> Result<Json, String> {
    let value = Json::parse(body).map_err(|error| error.to_string())?;
    Ok(match value {
        Json::Object(mut members) => match members.pop() {
            Some((name, value)) if members.is_empty() && name.eq_ignore_ascii_case("value") => value,
            last => {
                members.extend(last);
                Json::Object(members)
            }
        },
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => value,
    })
}

pub(super) fn not_storable(plugin: &PluginId, key: &str, unstorable: Unstorable) -> ApiResponse {
    let (status, why, fix) = match unstorable {
        Unstorable::Key => (
            400,
            format!("A key has 1 to {SETTING_KEY_BYTES} bytes, and no control character, '/' or '\\' in it."),
            "Name the members of the value so.".to_string(),
        ),
        Unstorable::Definition => (
            409,
            "It is a part of what the plugin is, which only its file says; a setting gives no plugin a right."
                .to_string(),
            format!(
                "Change Plugins/{plugin}.json, then castellan lkg accept Plugins/{plugin} (where Last Known Good is off, POST /api/Jobs/reload); or \
                 choose a key of the plugin's own, such as metadata.NAME."
            ),
        ),
        Unstorable::Mask => (
            400,
            "The value is what stands in place of a secret where somebody else than the plugin reads it.".to_string(),
            "Send the secret itself, or leave it as it is.".to_string(),
        ),
        Unstorable::TooLong => (
            413,
            format!("A stored setting has at most {SETTING_BYTES} bytes."),
            "Store less, or the path of a file.".to_string(),
        ),
        Unstorable::Full => (
            409,
            format!("{STORED_SETTINGS} settings of a plugin are stored at most, and {STORED_SETTINGS_IN_ALL} in all."),
            format!("POST /api/PluginSettings/{plugin}/revert drops what is stored."),
        ),
    };
    ApiResponse::problem(status, &Explanation::new(format!("'{key}' of {plugin} was not stored."), why, fix))
}
