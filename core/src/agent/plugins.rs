//! Plugins: started in order of priority, then supervised one by one; those of users follow the sessions.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Agent;
use crate::effect::Effects;
use crate::id::{Component, PluginId, RunId, SpawnId};
use crate::log_message::Level;
use crate::plugin::BUILT_IN_PLUGINS;
use crate::plugin::instances::Plugin;
use crate::plugin::supervisor::Supervisor;
use crate::run::Run;
use crate::time::{Deadline, Monotonic, Now};
use crate::turn::Turn;
use crate::user::Sessions;

/// Plugins of one priority start together; those of the next when the former are connected, or after so long (contract section 7).
const START_WAIT_SECONDS: u64 = 5;
/// Processes of plugins that are being made at one time: more of them only make each other late, on a slow machine so late that they are
/// given up.
const STARTS_AT_ONCE: usize = 8;

/// The plugins that still have to be started.
#[derive(Debug, Default)]
pub(super) struct StartQueue {
    rest: VecDeque<PluginId>,
    /// Those of the present priority that were started.
    current: Vec<PluginId>,
    /// How long the next priority waits for them.
    until: Option<Monotonic>,
}

impl StartQueue {
    /// Somebody started or stopped it before its turn came.
    pub(super) fn forget(&mut self, id: &PluginId) {
        self.rest.retain(|other| other != id);
    }

    pub(super) fn next_deadline(&self) -> Option<Deadline> {
        self.until.map(|at| Deadline { at, reason: "the next plugin's start" })
    }
}

impl Agent {
    /// Lines up every plugin with `autoStart` and what these require, lowest `startupPriority` first, ties by id.
    pub(super) fn begin_start(&mut self, now: Now, effects: &mut Effects) {
        let mut order: BTreeSet<(i64, PluginId)> = BTreeSet::new();
        for plugin in self.plugins.values().filter(|plugin| plugin.definition().auto_start) {
            let definition = plugin.definition();
            if plugin.obstacle().is_none() {
                order.extend(self.required(&definition.id).map(|plugin| plugin.place_in_order()));
                order.insert(plugin.place_in_order());
            }
        }
        for plugin in self.plugins.values().filter(|plugin| plugin.definition().auto_start) {
            not_run(plugin, &mut self.desk.turn(now, effects));
        }
        self.start_queue.rest = order.into_iter().map(|(_, id)| id).collect();
    }

    /// Lines up one plugin that came into service while the agent runs.
    pub(super) fn line_up(&mut self, now: Now, id: &PluginId, effects: &mut Effects) {
        let Some(plugin) = self.plugins.get(id).filter(|plugin| plugin.definition().auto_start) else { return };
        not_run(plugin, &mut self.desk.turn(now, effects));
        if plugin.obstacle().is_none() {
            let required = self.required(id).filter(|plugin| plugin.is_stopped());
            let ids: Vec<PluginId> = required.chain([plugin]).map(|plugin| plugin.definition().id.clone()).collect();
            self.start_queue.rest.extend(ids);
        }
    }

    /// Starts the next plugins once the former are connected, gone, or have had their time; and those that waited for what they require.
    pub(super) fn continue_start(&mut self, now: Now, effects: &mut Effects) {
        if !self.is_running() {
            return;
        }
        while let Some(id) = self.next_to_start(now) {
            self.start_queue.until = Some(now.monotonic.plus_seconds(START_WAIT_SECONDS));
            self.start_queue.current.push(id.clone());
            self.with_plugin(now, &id, effects, Plugin::start);
        }
        if self.plugins.values().flat_map(Plugin::instances).any(Supervisor::is_waiting) {
            self.look_at_required();
            for plugin in self.plugins.values_mut() {
                plugin.go_on(&mut self.desk.turn(now, effects));
            }
        }
    }

    fn next_to_start(&mut self, now: Now) -> Option<PluginId> {
        self.start_queue.until.take_if(|until| now.monotonic >= *until);
        let queue = &self.start_queue;
        let next = queue.rest.front()?;
        let instances = self.plugins.values().flat_map(Plugin::instances);
        if instances.filter(|instance| instance.is_starting()).count() >= STARTS_AT_ONCE {
            return None;
        }
        let priority = |id: &PluginId| self.plugins.get(id).map(|plugin| plugin.definition().startup_priority);
        let is_under_way = |id: &PluginId| self.plugins.get(id).is_some_and(Plugin::is_under_way);
        if queue.until.is_none() || !queue.current.iter().any(is_under_way) {
            self.start_queue.current.clear();
        } else if queue.current.last().and_then(priority) != priority(next) {
            return None;
        }
        self.start_queue.rest.pop_front()
    }

    /// Starts or restarts a plugin by hand, and first what it requires and does not run.
    pub(super) fn start_with_required(
        &mut self,
        now: Now,
        id: &PluginId,
        effects: &mut Effects,
        act: impl FnOnce(&mut Plugin, &mut Turn<'_>),
    ) {
        let stopped = self.required(id).filter(|plugin| plugin.is_stopped());
        let mut required: Vec<PluginId> = stopped.map(|plugin| plugin.definition().id.clone()).collect();
        while let Some(id) = required.pop() {
            self.start_queue.forget(&id);
            self.with_plugin(now, &id, effects, Plugin::start);
        }
        self.with_plugin(now, id, effects, act);
    }

    /// All that a plugin requires, itself or by what it requires, nearest first, as far as the agent can start it.
    fn required(&self, id: &PluginId) -> impl Iterator<Item = &Plugin> {
        let mut found: Vec<&Plugin> = Vec::new();
        let mut open = VecDeque::from_iter(self.plugins.get(id));
        while let Some(plugin) = open.pop_front() {
            for id in &plugin.definition().requires {
                let required = self.plugins.get(id).filter(|plugin| !plugin.retired && plugin.obstacle().is_none());
                if let Some(required) = required
                    && found.iter().all(|known| known.definition().id != *id)
                {
                    found.push(required);
                    open.push_back(required);
                }
            }
        }
        found.into_iter()
    }

    /// Tells each plugin what it requires and is not ready.
    pub(super) fn look_at_required(&mut self) {
        let requiring = |plugin: &&Plugin| !plugin.definition().requires.is_empty() || plugin.is_held_up();
        let missing: Vec<(PluginId, Option<String>)> = (self.plugins.values().filter(requiring))
            .map(|plugin| {
                let definition = plugin.definition();
                (definition.id.clone(), definition.requires.iter().find_map(|id| self.missing(id)))
            })
            .collect();
        for (id, missing) in missing {
            if let Some(plugin) = self.plugins.get_mut(&id) {
                plugin.set_missing(missing);
            }
        }
    }

    /// Why those that require this plugin wait, and what to do; `None` where it is ready.
    fn missing(&self, id: &PluginId) -> Option<String> {
        if BUILT_IN_PLUGINS.contains(&id.as_str()) {
            return None;
        }
        let plugin = self.plugins.get(id).filter(|plugin| !plugin.retired);
        if plugin.is_some_and(Plugin::is_ready) {
            return None;
        }
        let waits = format!("it requires plugin {id}, and waits:");
        let Some(plugin) = plugin else {
            return Some(format!(
                "{waits} {id} is not in service. Bring Plugins/{id}.json into service, or no longer require it."
            ));
        };
        Some(match plugin.obstacle() {
            Some(obstacle) => format!("{waits} {id} cannot run, as {obstacle} Change that, or no longer require it."),
            None if plugin.is_absent() => {
                format!("{waits} {id} has no process: {}", plugin.reason().unwrap_or_default())
            }
            None if plugin.is_stopped() => {
                let (status, why) = (plugin.status(), plugin.reason().unwrap_or_default());
                format!("{waits} {id} is {status} ({why}). Mend that, and say castellan plugins start {id}.")
            }
            None => format!("{waits} {id} is not connected to the broker yet."),
        })
    }

    /// Lets one plugin act.
    pub(super) fn with_plugin(
        &mut self,
        now: Now,
        id: &PluginId,
        effects: &mut Effects,
        act: impl FnOnce(&mut Plugin, &mut Turn<'_>),
    ) {
        self.look_at_required();
        if let Some(plugin) = self.plugins.get_mut(id) {
            act(plugin, &mut self.desk.turn(now, effects));
        }
    }

    /// Lets the instance of a plugin act whose tree this is.
    pub(super) fn with_instance(
        &mut self,
        now: Now,
        (id, spawn): (&PluginId, SpawnId),
        effects: &mut Effects,
        act: impl FnOnce(&mut Supervisor, &mut Turn<'_>),
    ) {
        self.look_at_required();
        if let Some(instance) = self.plugins.get_mut(id).and_then(|plugin| plugin.instance_of_mut(spawn)) {
            act(instance, &mut self.desk.turn(now, effects));
        }
    }

    /// Sessions of users came or went: plugins that have a process in each follow.
    pub(super) fn on_sessions_changed(&mut self, now: Now, heard: Sessions, effects: &mut Effects) {
        if let Err(why) = self.desk.sessions.hear(heard) {
            let message = format!(
                "logind does not say any more who sits at the machine: {why}. Plugins stay in the sessions that were there."
            );
            return self.desk.turn(now, effects).log(Level::Warning, "SessionsUnknown", message);
        }
        if self.is_running() {
            self.look_at_required();
            for plugin in self.plugins.values_mut().filter(|plugin| !plugin.retired) {
                plugin.settle(&mut self.desk.turn(now, effects));
            }
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

/// Says why a plugin that would start with the agent does not.
fn not_run(plugin: &Plugin, turn: &mut Turn<'_>) {
    let id = &plugin.definition().id;
    if let Some(why) = plugin.obstacle().filter(|_| !plugin.definition().built_in) {
        let component = Component::Plugin(id.clone());
        turn.log_about(Level::Warning, "NotRun", format!("Plugin {id} is not started: {why}"), Some(&component));
    }
}
