//! One plugin with its instances: a process of the agent's own, or one in each active session of a user (contract section 7).
//!
//! ```text
//! event                          what follows
//! -----------------------------  -------------------------------------------------------------------
//! start, restart                 every instance acts; sessions without one get theirs
//! a session is there             its instance starts, where the plugin was started and not stopped since
//! a session is over              its instance is stopped, and gone with its process
//! the session is back meanwhile  the instance starts again once its former process is gone
//! another `executionContext`     counts from the next start: instances of the former kind go first
//! stop                           every instance stops; sessions that come get none
//! ```
//! What one instance does is the [`Supervisor`]'s. Never: two instances of one session, or one without a session.

mod view;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use super::PluginDefinition;
use super::supervisor::output::ProcessOutput;
use super::supervisor::{STOP_GRACE_SECONDS, Supervisor};
use crate::id::{Component, PluginId, SpawnId};
use crate::job::finding::Finding;
use crate::log_message::Level;
use crate::time::Deadline;
use crate::turn::Turn;
use crate::user::RunAs;
use crate::user::sessions::{self, Place, SessionKey, Watch};

/// One plugin.
#[derive(Debug)]
pub(crate) struct Plugin {
    definition: Arc<PluginDefinition>,
    /// By session; the one of a plugin that runs as the agent itself has none.
    instances: BTreeMap<Option<SessionKey>, Supervisor>,
    /// As whom it was started last; what a changed file says counts from the next start.
    run_as: Option<RunAs>,
    /// It was started and not stopped since.
    wanted: bool,
    /// Why no session has an instance.
    absent: Option<String>,
    /// What instances that are gone leave: their restarts, and the output of the last of them.
    former_restarts: u64,
    former_output: Option<ProcessOutput>,
    missing: Option<String>,
    conflict: Option<Finding>,
    /// Its definition is out of service; it leaves with its processes.
    pub(crate) retired: bool,
    /// How many instances those were told of who follow `GET /api/events`.
    told: Option<usize>,
}

impl Plugin {
    pub(crate) fn new(definition: Arc<PluginDefinition>) -> Self {
        let mut plugin = Self {
            run_as: definition.run_as,
            definition,
            instances: BTreeMap::new(),
            wanted: false,
            absent: None,
            former_restarts: 0,
            former_output: None,
            missing: None,
            conflict: None,
            retired: false,
            told: None,
        };
        if plugin.run_as.is_none() {
            plugin.add(None);
        }
        plugin
    }

    /// The definition in service.
    pub(crate) fn definition(&self) -> &Arc<PluginDefinition> {
        &self.definition
    }

    /// Takes another definition, and gives the former one back; a process that runs keeps what it was started with.
    pub(crate) fn define(&mut self, definition: Arc<PluginDefinition>) -> Arc<PluginDefinition> {
        for instance in self.instances.values_mut() {
            instance.definition = Arc::clone(&definition);
        }
        self.wanted &= definition.enabled;
        core::mem::replace(&mut self.definition, definition)
    }

    /// What it requires and is not ready, with what to do; looked up before every step of it.
    pub(crate) fn set_missing(&mut self, missing: Option<String>) {
        if self.missing != missing {
            self.instances.values_mut().for_each(|instance| instance.missing.clone_from(&missing));
            self.missing = missing;
        }
    }

    /// What other definitions in service speak against it.
    pub(crate) fn set_conflict(&mut self, conflict: Option<Finding>) {
        self.instances.values_mut().for_each(|instance| instance.conflict.clone_from(&conflict));
        self.conflict = conflict;
    }

    /// Its processes, and those that it had and may have again.
    pub(crate) fn instances(&self) -> impl DoubleEndedIterator<Item = &Supervisor> {
        self.instances.values()
    }

    /// The same, to let them act.
    pub(crate) fn instances_mut(&mut self) -> impl Iterator<Item = &mut Supervisor> {
        self.instances.values_mut()
    }

    /// The instance whose present tree this is.
    pub(crate) fn instance_of(&self, spawn: SpawnId) -> Option<&Supervisor> {
        self.instances().find(|instance| instance.owns(spawn))
    }

    /// The same, to let it act.
    pub(crate) fn instance_of_mut(&mut self, spawn: SpawnId) -> Option<&mut Supervisor> {
        self.instances_mut().find(|instance| instance.owns(spawn))
    }

    pub(crate) fn next_deadline(&self) -> Option<Deadline> {
        self.instances().filter_map(Supervisor::next_deadline).min()
    }

    /// Starts it by hand or at start-up: what does not run, and what is missing.
    pub(crate) fn start(&mut self, turn: &mut Turn<'_>) {
        if self.is_stopped() {
            self.run_as = self.definition.run_as;
        }
        self.act(turn, Supervisor::start);
    }

    /// Starts every instance again, and what is missing.
    pub(crate) fn restart(&mut self, turn: &mut Turn<'_>) {
        self.run_as = self.definition.run_as;
        self.act(turn, Supervisor::restart);
    }

    fn act(&mut self, turn: &mut Turn<'_>, act: fn(&mut Supervisor, &mut Turn<'_>)) {
        self.wanted = true;
        let is_for_session = self.run_as.is_some();
        let fit = |instance: &&mut Supervisor| !instance.leaves && instance.place.is_some() == is_for_session;
        self.instances.values_mut().filter(fit).for_each(|instance| act(instance, turn));
        self.settle(turn);
    }

    /// Stops it; it stays stopped.
    pub(crate) fn stop(&mut self, turn: &mut Turn<'_>) {
        self.stop_within(STOP_GRACE_SECONDS, turn);
    }

    /// Stops it, with so many seconds between SIGTERM and SIGKILL.
    pub(crate) fn stop_within(&mut self, grace_seconds: u64, turn: &mut Turn<'_>) {
        self.wanted = false;
        self.absent = None;
        self.instances.values_mut().for_each(|instance| instance.stop_within(grace_seconds, turn));
    }

    /// Starts again what is another than its definition asks for by now.
    pub(crate) fn renew(&mut self, turn: &mut Turn<'_>) {
        if self.is_stopped() && !self.is_absent() {
            return;
        }
        self.run_as = self.definition.run_as;
        let is_for_session = self.run_as.is_some();
        let fit = |instance: &&mut Supervisor| instance.place.is_some() == is_for_session;
        self.instances.values_mut().filter(fit).for_each(|instance| instance.renew(turn));
        self.settle(turn);
    }

    /// What it requires may be ready by now.
    pub(crate) fn go_on(&mut self, turn: &mut Turn<'_>) {
        self.instances.values_mut().for_each(|instance| instance.go_on(turn));
    }

    /// One instance for each session of now: those whose session is over go, those that are missing are made.
    pub(crate) fn settle(&mut self, turn: &mut Turn<'_>) {
        if self.is_absent() {
            self.run_as = self.definition.run_as;
        }
        let Some(places) = self.places(turn) else { return };
        for (key, instance) in &mut self.instances {
            if !places.contains_key(key) && !instance.leaves {
                let why = match (&instance.place, self.run_as, &*turn.sessions) {
                    (Some(place), Some(run_as), Watch::Heard(sessions)) => sessions::over(place, run_as, sessions),
                    _ => String::from("its definition changed"),
                };
                instance.leave(&why, turn);
            }
        }
        self.forget_gone();
        // Those of the former kind go first: they may hold what the new ones need.
        let is_for_session = self.run_as.is_some();
        let is_wanted = self.wanted && self.obstacle().is_none();
        if !is_wanted || self.instances.keys().any(|key| key.is_some() != is_for_session) {
            return;
        }
        for (key, place) in places {
            match self.instances.get_mut(&key) {
                Some(instance) if instance.leaves => {
                    instance.leaves = false;
                    instance.start(turn);
                }
                Some(_) => {}
                None => self.add(place).start(turn),
            }
        }
    }

    /// The sessions that want an instance; `None` where they are not known yet.
    fn places(&mut self, turn: &mut Turn<'_>) -> Option<BTreeMap<Option<SessionKey>, Option<Place>>> {
        let Some(run_as) = self.run_as else {
            self.absent = None;
            return Some(BTreeMap::from([(None, None)]));
        };
        let found = match &*turn.sessions {
            Watch::Heard(heard) => sessions::places(run_as, turn.session_user, heard),
            Watch::Unasked | Watch::Asked => {
                if self.wanted {
                    turn.watch_sessions();
                    self.absent = Some(String::from("logind is being asked who sits at the machine."));
                }
                return None;
            }
        };
        let (places, absent) = match found {
            Ok(places) => (places, None),
            Err(why) => (BTreeMap::new(), Some(why).filter(|_| self.wanted)),
        };
        if let Some(why) = absent.as_ref().filter(|_| absent != self.absent) {
            let component = Component::Plugin(self.definition.id.clone());
            let message = format!("Plugin {} has no process: {why}", self.definition.id);
            turn.log_about(Level::Information, "PluginWaits", message, Some(&component));
        }
        self.absent = absent;
        Some(places.into_iter().map(|(key, place)| (Some(key), Some(place))).collect())
    }

    fn add(&mut self, place: Option<Place>) -> &mut Supervisor {
        let key = place.as_ref().map(|place| place.key.clone());
        let mut instance = Supervisor::new(Arc::clone(&self.definition), place);
        instance.missing.clone_from(&self.missing);
        instance.conflict.clone_from(&self.conflict);
        self.instances.entry(key).or_insert(instance)
    }

    /// Instances that left are forgotten with their processes; whether there was one.
    pub(crate) fn forget_gone(&mut self) -> bool {
        let gone = self.instances.extract_if(.., |_, instance| instance.leaves && instance.is_stopped());
        let mut any = false;
        for (_, instance) in gone {
            any = true;
            // It ended, or its next start would have been of another kind: the definition of now counts.
            self.run_as = self.definition.run_as;
            self.former_restarts = self.former_restarts.saturating_add(instance.restarts);
            self.former_output = instance.last_output.or(self.former_output.take());
        }
        any
    }

    /// Its place among those that start: lowest priority first, ties by id.
    pub(crate) fn place_in_order(&self) -> (i64, PluginId) {
        (self.definition.startup_priority, self.definition.id.clone())
    }

    /// Whether those that require it may start: every session's instance is connected, and there is one.
    pub(crate) fn is_ready(&self) -> bool {
        let mut present = self.instances().filter(|instance| !instance.leaves).peekable();
        present.peek().is_some() && present.all(Supervisor::is_ready)
    }

    /// Whether something that it requires is not ready.
    pub(crate) fn is_held_up(&self) -> bool {
        self.missing.is_some()
    }

    /// Whether there is no session for it, or it was not started in any.
    pub(crate) fn is_absent(&self) -> bool {
        self.instances.is_empty()
    }

    /// Whether nothing of it runs or is being made.
    pub(crate) fn is_stopped(&self) -> bool {
        self.instances().all(Supervisor::is_stopped)
    }

    /// Whether one of its processes is on its way and not connected yet.
    pub(crate) fn is_under_way(&self) -> bool {
        self.instances().any(|instance| !instance.is_connected() && !instance.is_stopped())
    }

    /// Whether the ping of this id is one of its processes': all of them hear each ping.
    pub(crate) fn has_sent(&self, ping: &str) -> bool {
        let spawn = ping.split_once('.').and_then(|(spawn, _)| spawn.parse().ok());
        spawn.is_some_and(|spawn| self.instance_of(SpawnId(spawn)).is_some())
    }

    /// Whether what is told of it has changed since this was asked last.
    pub(crate) fn has_news(&mut self) -> bool {
        let count = Some(self.instances.len());
        let mut news = core::mem::replace(&mut self.told, count) != count;
        for instance in self.instances.values_mut() {
            let state = Some((instance.status(), instance.health()));
            news |= core::mem::replace(&mut instance.told, state) != state;
        }
        news
    }
}
