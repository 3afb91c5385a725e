//! The agent's own settings: those of `appsettings.json`, and the one that is changed while it runs, `system.logging.level`, which the
//! unified storage keeps over the file.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::Agent;
use super::callers::Caller;
use crate::api::{ApiRequest, ApiResponse, Conditions, entity_tag};
use crate::config::LEVELS;
use crate::effect::{Effect, Effects};
use crate::id::PluginId;
use crate::job::finding::quote;
use crate::json::Json;
use crate::log_message::Level;
use crate::plugin::settings::{AGENT, text};
use crate::plugin::storage::{SettingChange, StoredSetting};
use crate::time::Now;
use crate::why::Explanation;

/// The setting that may be stored, and counts at once.
const LOG_LEVEL: &str = "system.logging.level";

impl Agent {
    /// Stores the level of the log; every other setting of the agent is the file's.
    pub(super) fn put_own_setting(
        &mut self,
        now: Now,
        request: &ApiRequest,
        caller: &Caller,
        plugin: &PluginId,
        (key, value): (&str, &Json),
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        if !key.eq_ignore_ascii_case(LOG_LEVEL) {
            return Some(in_the_file(key));
        }
        let value = text(value);
        let Some((name, _)) = LEVELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(&value)) else {
            let names: Vec<&str> = LEVELS.iter().map(|(name, _)| *name).collect();
            let what = format!("{LOG_LEVEL} stays as it is.");
            let why = format!("{} is no level.", quote(&value));
            let fix = format!("Write one of {}.", names.join(", "));
            return Some(ApiResponse::problem(400, &Explanation::new(what, why, fix)));
        };
        let former = self.agent_settings().remove(LOG_LEVEL).map(|setting| setting.value);
        let tag = former.as_ref().map(|value| entity_tag(&ApiResponse::json(200, value).body));
        if let Some(refusal) = Conditions::of(request).refuse_write(tag.as_deref()) {
            return Some(refusal);
        }
        let writer = caller.component().to_string();
        let done = format!("{writer} set '{LOG_LEVEL}' of {AGENT} to {name}.");
        let change = SettingChange::Keep(StoredSetting {
            plugin: AGENT.to_string(),
            key: LOG_LEVEL.to_string(),
            value: Some((*name).to_string()),
            writer,
            time: now.wall.to_rfc3339(),
            former,
        });
        self.write_settings(now, request, caller, Some(plugin), Vec::from([change]), None, done, effects)
    }

    /// What is stored of the level, as it counts.
    pub(super) fn stored_log_level(&self) -> Option<(Level, StoredSetting)> {
        let row = self.desk.plugin_settings.rows(AGENT).remove(LOG_LEVEL)?;
        let level = Level::from_name(row.value.as_deref()?)?;
        Some((level, row))
    }

    /// The log takes what the level in force says: the stored one, else the file's.
    pub(super) fn keep_log_level(&mut self, now: Now, effects: &mut Effects) {
        let level = self.stored_log_level().map_or(self.desk.settings.logging.level, |(level, _)| level);
        let former = core::mem::replace(&mut self.desk.log_level, level);
        if former == level {
            return;
        }
        effects.push(Effect::LogLevel(level.min(former)));
        let message = format!("The log's level is {} now; it was {}.", level.as_str(), former.as_str());
        self.desk.turn(now, effects).log(Level::Information, "LogLevel", message);
        effects.push(Effect::LogLevel(level));
    }
}

fn in_the_file(key: &str) -> ApiResponse {
    let explanation = Explanation::new(
        format!("{} of {AGENT} stays as it is.", quote(key)),
        format!("It is read from appsettings.json at start; {LOG_LEVEL} alone is changed while the agent runs."),
        "Change appsettings.json and restart the agent.",
    );
    ApiResponse::problem(409, &explanation)
}
