//! Plugins: started in order of priority, then supervised one by one.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::vec::Vec;

use super::Agent;
use crate::effect::Effects;
use crate::id::{Component, PluginId, RunId};
use crate::log_message::Level;
use crate::plugin::supervisor::Supervisor;
use crate::run::Run;
use crate::time::{Deadline, Monotonic, Now};
use crate::turn::Turn;

/// The next plugin starts when the former is connected, or after so long (contract section 7).
const START_WAIT_SECONDS: u64 = 5;

/// The plugins that still have to be started.
#[derive(Debug, Default)]
pub(super) struct StartQueue {
    rest: VecDeque<PluginId>,
    current: Option<(PluginId, Monotonic)>,
}

impl StartQueue {
    pub(super) fn next_deadline(&self) -> Option<Deadline> {
        self.current.as_ref().map(|(_, at)| Deadline { at: *at, reason: "the next plugin's start" })
    }
}

impl Agent {
    /// Lines up every plugin with `autoStart`, lowest `startupPriority` first, ties by id.
    pub(super) fn begin_start(&mut self, now: Now, effects: &mut Effects) {
        let mut order: Vec<(i64, PluginId)> = Vec::new();
        for plugin in self.plugins.values() {
            let definition = &plugin.definition;
            let component = Component::Plugin(definition.id.clone());
            match plugin.obstacle() {
                _ if !definition.auto_start || definition.built_in => {}
                None => order.push((definition.startup_priority, definition.id.clone())),
                Some(why) => {
                    let message = format!("Plugin {} is not started: {why}", definition.id);
                    self.desk.turn(now, effects).log_about(Level::Warning, "NotRun", message, Some(&component));
                }
            }
        }
        order.sort();
        self.start_queue.rest = order.into_iter().map(|(_, id)| id).collect();
    }

    /// Lines up one plugin that came into service while the agent runs.
    pub(super) fn line_up(&mut self, now: Now, id: &PluginId, effects: &mut Effects) {
        let Some(plugin) =
            self.plugins.get(id).filter(|plugin| plugin.definition.auto_start && !plugin.definition.built_in)
        else {
            return;
        };
        match plugin.obstacle() {
            None => self.start_queue.rest.push_back(id.clone()),
            Some(why) => {
                let component = Component::Plugin(id.clone());
                let message = format!("Plugin {id} is not started: {why}");
                self.desk.turn(now, effects).log_about(Level::Warning, "NotRun", message, Some(&component));
            }
        }
    }

    /// Starts the next plugin once the former is connected, gone, or has had its time.
    pub(super) fn continue_start(&mut self, now: Now, effects: &mut Effects) {
        if !self.is_running() {
            return;
        }
        loop {
            if let Some((id, until)) = &self.start_queue.current {
                let plugin = self.plugins.get(id);
                let settled = plugin.is_none_or(|plugin| plugin.connections > 0 || plugin.is_stopped());
                if !settled && now.monotonic < *until {
                    return;
                }
            }
            let Some(id) = self.start_queue.rest.pop_front() else {
                self.start_queue.current = None;
                return;
            };
            self.start_queue.current = Some((id.clone(), now.monotonic.plus_seconds(START_WAIT_SECONDS)));
            self.with_plugin(now, &id, effects, Supervisor::start);
        }
    }

    /// Lets one plugin act.
    pub(super) fn with_plugin(
        &mut self,
        now: Now,
        id: &PluginId,
        effects: &mut Effects,
        act: impl FnOnce(&mut Supervisor, &mut Turn<'_>),
    ) {
        if let Some(plugin) = self.plugins.get_mut(id) {
            act(plugin, &mut self.desk.turn(now, effects));
        }
    }

    /// Lets one run act.
    pub(super) fn with_run(
        &mut self,
        now: Now,
        id: &RunId,
        effects: &mut Effects,
        act: impl FnOnce(&mut Run, &mut Turn<'_>),
    ) {
        if let Some(run) = self.runs.get_mut(id) {
            act(run, &mut self.desk.turn(now, effects));
        }
    }
}
