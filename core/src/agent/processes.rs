//! Reports about processes: the registry first, then the run or plugin that owns the tree. Programs that run for a caller of the request
//! socket never come into the registry.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use super::Agent;
use super::plugin_output::shown;
use crate::effect::{BrokerOrder, Effects, ProcessOrder};
use crate::event::{ExecutableFacts, ProcessReport};
use crate::id::{Component, PluginId, RunId, SpawnId};
use crate::log_message::Level;
use crate::plugin::supervisor::Supervisor;
use crate::program::{self, Fit};
use crate::resources::ResourceLimits;
use crate::time::Now;
use crate::trust::Entry;
use crate::trust::signature::SignaturePolicy;
use crate::turn::Turn;
use crate::user::{self, UserFacts, UserQuery};

/// Whose process tree it is.
enum Owner {
    Run(RunId),
    Plugin(PluginId),
}

/// A process that waits to become a program.
struct Leader {
    pid: u32,
    cgroup: Option<u64>,
}

impl Agent {
    pub(super) fn on_process(&mut self, now: Now, report: ProcessReport, effects: &mut Effects) {
        if let Some(report) = self.on_elevated_process(now, report, effects) {
            self.on_trusted_process(now, report, effects);
        }
    }

    fn on_trusted_process(&mut self, now: Now, report: ProcessReport, effects: &mut Effects) {
        match report {
            ProcessReport::Prepared { spawn, pid, cgroup, executable, user } => {
                self.on_prepared(now, spawn, Leader { pid, cgroup }, &executable, user.as_deref(), effects);
            }
            ProcessReport::Started { spawn } => match self.owner(spawn) {
                Some(Owner::Run(id)) => self.with_run(now, &id, effects, |run, turn| run.on_started(spawn, turn)),
                Some(Owner::Plugin(id)) => {
                    self.with_instance(now, (&id, spawn), effects, |it, turn| it.on_started(spawn, turn))
                }
                None => self.unowned(now, spawn, "started", effects),
            },
            ProcessReport::SpawnFailed { spawn, reason } => {
                self.distrust(now, spawn, effects);
                match self.owner(spawn) {
                    Some(Owner::Run(id)) => {
                        self.with_run(now, &id, effects, |run, turn| run.on_spawn_failed(spawn, &reason, turn))
                    }
                    Some(Owner::Plugin(id)) => {
                        self.with_gone(now, (&id, spawn), effects, |it, turn| it.on_spawn_failed(spawn, &reason, turn));
                    }
                    None => self.unowned(now, spawn, "failed to start", effects),
                }
            }
            // Only programs of callers have somebody who is told.
            ProcessReport::Stopped { spawn, .. } => self.unowned(now, spawn, "was stopped", effects),
            ProcessReport::Exited { spawn, status } => {
                // Without a cgroup the tree is known by its leader alone: trust ends before the number can be used again.
                if self.registry.leader_exited(spawn).is_some() {
                    self.desk.turn(now, effects).broker(BrokerOrder::Revoke { spawn });
                }
                match self.owner(spawn) {
                    Some(Owner::Run(id)) => {
                        self.with_run(now, &id, effects, |run, turn| run.on_exited(spawn, status, turn))
                    }
                    Some(Owner::Plugin(id)) => {
                        self.distrust(now, spawn, effects);
                        self.with_instance(now, (&id, spawn), effects, |it, turn| it.on_exited(spawn, status, turn));
                    }
                    None => self.unowned(now, spawn, "ended", effects),
                }
            }
            ProcessReport::Collected { spawn, stdout, stderr } => match self.owner(spawn) {
                Some(Owner::Run(id)) => {
                    self.with_run(now, &id, effects, |run, turn| run.on_collected(spawn, &stdout, &stderr, turn))
                }
                Some(Owner::Plugin(id)) => {
                    let secrets = self.desk.plugin_settings.secrets(id.as_str());
                    let (stdout, stderr) = (shown(&secrets, &stdout), shown(&secrets, &stderr));
                    self.with_instance(now, (&id, spawn), effects, |it, turn| {
                        it.keep_output(spawn, stdout, &stderr);
                        it.on_collected(spawn, &stderr.into_captured(), turn);
                    });
                }
                None => self.unowned(now, spawn, "was collected", effects),
            },
            ProcessReport::Discarded { spawn } => match self.owner(spawn) {
                Some(Owner::Run(id)) => {
                    self.distrust(now, spawn, effects);
                    self.with_run(now, &id, effects, |run, turn| run.on_discarded(spawn, turn));
                }
                Some(Owner::Plugin(id)) => {
                    self.with_gone(now, (&id, spawn), effects, |it, turn| it.on_discarded(spawn, turn));
                }
                None => self.unowned(now, spawn, "was discarded", effects),
            },
            ProcessReport::Peeked { ticket, stdout, stderr } => self.on_peeked(now, ticket, &stdout, &stderr, effects),
            ProcessReport::Inspected { ticket, executables } => self.on_inspected(now, ticket, &executables, effects),
            ProcessReport::Examined { ticket, found } => self.on_examined(now, ticket, &found, effects),
            ProcessReport::SessionsChanged(sessions) => self.on_sessions_changed(now, sessions, effects),
        }
    }

    /// Registered before its first instruction, or not run at all.
    fn on_prepared(
        &mut self,
        now: Now,
        spawn: SpawnId,
        leader: Leader,
        executable: &ExecutableFacts,
        user: Option<&UserFacts>,
        effects: &mut Effects,
    ) {
        let owner = self.owner(spawn);
        let (component, run) = match &owner {
            Some(Owner::Run(id)) => match self.runs.get(id).filter(|run| run.awaits(spawn)) {
                Some(run) => (Component::Job(run.job.id.clone()), Some(id.clone())),
                None => return self.unowned(now, spawn, "was prepared", effects),
            },
            Some(Owner::Plugin(id)) => match self.instance(id, spawn).filter(|instance| instance.awaits(spawn)) {
                Some(_) => (Component::Plugin(id.clone()), None),
                None => return self.unowned(now, spawn, "was prepared", effects),
            },
            None => {
                let reason = String::from("nobody waits for it any more.");
                return self.desk.turn(now, effects).process(ProcessOrder::Abort { spawn, reason });
            }
        };
        let Leader { pid, cgroup } = leader;
        let fit = self.fit(now, (owner.as_ref(), spawn), executable, user).and_then(|fit| {
            let surroundings = &self.desk.surroundings;
            let (uid, user_name) = match &fit.person {
                Some(person) => (person.uid, person.name.clone()),
                None => (surroundings.uid, surroundings.user_name.clone()),
            };
            let entry = Entry { spawn, component, run, pid, session: pid, cgroup, uid, user_name, leader_alive: true };
            self.registry.insert(entry).map_err(|explanation| format!("{explanation}"))?;
            Ok(fit)
        });
        match owner {
            Some(Owner::Run(id)) => {
                self.with_run(now, &id, effects, |run, turn| run.on_prepared(spawn, pid, fit, turn))
            }
            Some(Owner::Plugin(id)) => {
                self.with_instance(now, (&id, spawn), effects, |plugin, turn| {
                    plugin.on_prepared(spawn, pid, fit, turn)
                });
            }
            None => {}
        }
    }

    /// Says, once for each definition, which of its limits this machine does not keep.
    pub(super) fn warn_of_limits(
        &mut self,
        now: Now,
        place: &str,
        limits: ResourceLimits,
        of: Component,
        effects: &mut Effects,
    ) {
        if let Some(why) = limits.warning(self.desk.surroundings.kept_limits) {
            let message = format!("{of}: at {place}/limits, {why}");
            self.desk.turn(now, effects).log_about(Level::Warning, "LimitNotKept", message, Some(&of));
        }
    }

    /// How it is executed and as whom, or why it is not.
    fn fit(
        &self,
        now: Now,
        (owner, spawn): (Option<&Owner>, SpawnId),
        executable: &ExecutableFacts,
        user: Option<&UserFacts>,
    ) -> Result<Fit, String> {
        let (fit, run_as, session) = match owner {
            Some(Owner::Run(id)) => self.runs.get(id).map(|run| (run.fit(executable), run.run_as(), None)),
            Some(Owner::Plugin(id)) => {
                let instance = self.instance(id, spawn);
                let session = instance.and_then(|instance| Some(instance.place.as_ref()?.key.clone()));
                let policy = SignaturePolicy::of(&self.desk.settings);
                let fit = program::of_plugin(executable, policy, now.wall);
                Some((fit.map(|()| Fit::DIRECTLY), instance.and_then(Supervisor::run_as), session))
            }
            None => None,
        }
        .ok_or_else(|| String::from("nobody waits for it any more."))?;
        let fit = fit.map_err(|unfit| unfit.why)?;
        let Some(run_as) = run_as else { return Ok(fit) };
        let settings = &self.desk.settings;
        let facts = user.ok_or("NoActiveSession: nothing was found out about sessions; report this.")?;
        let query = UserQuery { run_as, session_user: settings.session_user.clone(), session, account: None };
        let display = settings.session_display.as_deref();
        let person = user::decide(&query, facts, display, &self.desk.surroundings)?;
        Ok(Fit { person: Some(Box::new(person)), ..fit })
    }

    /// Lets an instance act whose process is gone; what that one was told is hidden no more, unless others run that were told it.
    fn with_gone(
        &mut self,
        now: Now,
        (id, spawn): (&PluginId, SpawnId),
        effects: &mut Effects,
        act: impl FnOnce(&mut Supervisor, &mut Turn<'_>),
    ) {
        let is_gone = |instance: &Supervisor| instance.owns(spawn) || instance.is_stopped();
        let is_last = self.plugins.get(id).is_some_and(|plugin| plugin.instances().all(is_gone));
        self.with_instance(now, (id, spawn), effects, act);
        if is_last {
            self.desk.plugin_settings.forget_former(id.as_str());
        }
    }

    /// The tree is out of the registry, and its connections are on their way out.
    fn distrust(&mut self, now: Now, spawn: SpawnId, effects: &mut Effects) {
        if self.registry.remove(spawn).is_some() {
            self.desk.turn(now, effects).broker(BrokerOrder::Revoke { spawn });
        }
    }

    fn owner(&self, spawn: SpawnId) -> Option<Owner> {
        let run = self.runs.values().find(|run| run.owns(spawn)).map(|run| Owner::Run(run.id.clone()));
        run.or_else(|| {
            let plugin = self.plugins.values().find(|plugin| plugin.instance_of(spawn).is_some());
            plugin.map(|plugin| Owner::Plugin(plugin.definition().id.clone()))
        })
    }

    fn instance(&self, id: &PluginId, spawn: SpawnId) -> Option<&Supervisor> {
        self.plugins.get(id)?.instance_of(spawn)
    }

    fn unowned(&mut self, now: Now, spawn: SpawnId, what: &str, effects: &mut Effects) {
        let message = format!("Process tree {spawn} {what}, but nobody waits for it; nothing changed.");
        self.desk.turn(now, effects).log(Level::Warning, "Anomaly", message);
    }
}
