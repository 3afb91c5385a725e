//! Reports about processes: the registry first, then the run or plugin that owns the tree.

use alloc::format;
use alloc::string::String;

use super::Agent;
use crate::effect::{BrokerOrder, Effects, ProcessOrder};
use crate::event::{ExecutableFacts, ProcessReport};
use crate::id::{Component, PluginId, RunId, SpawnId};
use crate::log_message::Level;
use crate::program::{self, Fit};
use crate::time::Now;
use crate::trust::Entry;
use crate::trust::signature::SignaturePolicy;

/// Whose process tree it is.
enum Owner {
    Run(RunId),
    Plugin(PluginId),
}

impl Agent {
    pub(super) fn on_process(&mut self, now: Now, report: ProcessReport, effects: &mut Effects) {
        match report {
            ProcessReport::Prepared { spawn, pid, cgroup, executable } => {
                self.on_prepared(now, spawn, pid, cgroup, &executable, effects);
            }
            ProcessReport::Started { spawn } => match self.owner(spawn) {
                Some(Owner::Run(id)) => self.with_run(now, &id, effects, |run, turn| run.on_started(spawn, turn)),
                Some(Owner::Plugin(id)) => {
                    self.with_plugin(now, &id, effects, |plugin, turn| plugin.on_started(spawn, turn))
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
                        self.with_plugin(now, &id, effects, |plugin, turn| {
                            plugin.on_spawn_failed(spawn, &reason, turn)
                        });
                    }
                    None => self.unowned(now, spawn, "failed to start", effects),
                }
            }
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
                        self.with_plugin(now, &id, effects, |plugin, turn| plugin.on_exited(spawn, status, turn));
                    }
                    None => self.unowned(now, spawn, "ended", effects),
                }
            }
            ProcessReport::Collected { spawn, stdout, stderr } => match self.owner(spawn) {
                Some(Owner::Run(id)) => {
                    self.with_run(now, &id, effects, |run, turn| run.on_collected(spawn, &stdout, &stderr, turn))
                }
                Some(Owner::Plugin(id)) => {
                    self.with_plugin(now, &id, effects, |plugin, turn| plugin.on_collected(spawn, &stderr, turn))
                }
                None => self.unowned(now, spawn, "was collected", effects),
            },
            ProcessReport::Discarded { spawn } => match self.owner(spawn) {
                Some(Owner::Run(id)) => {
                    self.distrust(now, spawn, effects);
                    self.with_run(now, &id, effects, |run, turn| run.on_discarded(spawn, turn));
                }
                Some(Owner::Plugin(id)) => {
                    self.with_plugin(now, &id, effects, |plugin, turn| plugin.on_discarded(spawn, turn))
                }
                None => self.unowned(now, spawn, "was discarded", effects),
            },
            ProcessReport::Inspected { ticket, executables } => self.on_inspected(now, ticket, &executables, effects),
            ProcessReport::Examined { ticket, found } => self.on_examined(now, ticket, &found, effects),
        }
    }

    /// Registered before its first instruction, or not run at all.
    fn on_prepared(
        &mut self,
        now: Now,
        spawn: SpawnId,
        pid: u32,
        cgroup: Option<u64>,
        executable: &ExecutableFacts,
        effects: &mut Effects,
    ) {
        let owner = self.owner(spawn);
        let (component, run) = match &owner {
            Some(Owner::Run(id)) => match self.runs.get(id).filter(|run| run.awaits(spawn)) {
                Some(run) => (Component::Job(run.job.id.clone()), Some(id.clone())),
                None => return self.unowned(now, spawn, "was prepared", effects),
            },
            Some(Owner::Plugin(id)) => match self.plugins.get(id).filter(|plugin| plugin.awaits(spawn)) {
                Some(_) => (Component::Plugin(id.clone()), None),
                None => return self.unowned(now, spawn, "was prepared", effects),
            },
            None => {
                let reason = String::from("nobody waits for it any more.");
                return self.desk.turn(now, effects).process(ProcessOrder::Abort { spawn, reason });
            }
        };
        let uid = self.desk.surroundings.uid;
        let entry = Entry { spawn, component, run, pid, session: pid, cgroup, uid, leader_alive: true };
        let fit = match &owner {
            Some(Owner::Run(id)) => self.runs.get(id).map(|run| run.fit(executable)),
            Some(Owner::Plugin(_)) | None => None,
        };
        let as_plugin = || {
            program::by_file(executable)?;
            program::signed(executable, SignaturePolicy::of(&self.desk.settings), now.wall)?;
            Ok(Fit::DIRECTLY)
        };
        let fit = fit.unwrap_or_else(as_plugin).map_err(|unfit| unfit.why);
        let fit = fit.and_then(|fit| match self.registry.insert(entry) {
            Ok(()) => Ok(fit),
            Err(explanation) => Err(format!("{explanation}")),
        });
        match owner {
            Some(Owner::Run(id)) => {
                self.with_run(now, &id, effects, |run, turn| run.on_prepared(spawn, pid, fit, turn))
            }
            Some(Owner::Plugin(id)) => {
                let refusal = fit.err();
                self.with_plugin(now, &id, effects, |plugin, turn| plugin.on_prepared(spawn, pid, refusal, turn));
            }
            None => {}
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
            let plugin = self.plugins.values().find(|plugin| plugin.owns(spawn));
            plugin.map(|plugin| Owner::Plugin(plugin.definition.id.clone()))
        })
    }

    fn unowned(&mut self, now: Now, spawn: SpawnId, what: &str, effects: &mut Effects) {
        let message = format!("Process tree {spawn} {what}, but nobody waits for it; nothing changed.");
        self.desk.turn(now, effects).log(Level::Warning, "Anomaly", message);
    }
}
