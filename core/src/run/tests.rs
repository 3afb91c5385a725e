//! Runs: routing, context, launch, built-in commands, admission, and every phase against every report.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    reason = "a test may fail by panicking"
)]

mod admission;
mod built_in;
mod context;
mod http;
mod launch;
mod odd;
mod retry;
mod routing;
mod saving;
mod secret;
mod transitions;

use std::format;
use std::string::{String, ToString};
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

use serde_json::{Map, Value, json};

use super::*;
use crate::effect::Effects;
use crate::job::JobDefinition;
use crate::turn::Desk;
use crate::turn::fixtures::{at, desk, job, shown};

/// A run with its desk and clock; spawns are numbered from 1, the ticket of its start record is 1.
struct Rig {
    desk: Desk,
    now: u64,
    effects: Effects,
    run: Run,
}

fn values(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

impl Rig {
    fn new(job: &Arc<JobDefinition>, given: Value) -> Self {
        Self::on(desk(), job, given)
    }

    fn on(mut desk: Desk, job: &Arc<JobDefinition>, given: Value) -> Self {
        let mut effects = Effects::new();
        let origin = Origin { trigger: "test".to_string(), ..Origin::default() };
        let admitted = Admitted::new(Arc::clone(job), origin, &values(given)).unwrap();
        let run = Run::begin(RunId::new(7, 1), admitted, &mut desk.turn(at(0), &mut effects));
        Self { desk, now: 0, effects, run }
    }

    /// One call; the orders that followed.
    fn act(&mut self, act: impl FnOnce(&mut Run, &mut Turn<'_>)) -> Vec<String> {
        self.effects.clear();
        act(&mut self.run, &mut self.desk.turn(at(self.now), &mut self.effects));
        shown(&self.effects)
    }

    /// Recorded and admitted.
    fn begun(mut self) -> Self {
        self.act(|run, turn| run.on_persisted(TicketId(1), &Ok(()), turn));
        self.act(|run, turn| run.on_admitted(turn));
        self
    }

    /// A process from its preparation to its output.
    fn task(&mut self, spawn: u64, status: ExitStatus, stdout: &str) -> Vec<String> {
        let spawn = SpawnId(spawn);
        self.act(|run, turn| run.on_prepared(spawn, 100, Ok(Fit::DIRECTLY), turn));
        self.act(|run, turn| run.on_started(spawn, turn));
        self.act(|run, turn| run.on_exited(spawn, status, turn));
        let stdout = Captured { head: stdout.as_bytes().to_vec(), ..Captured::default() };
        self.act(|run, turn| run.on_collected(spawn, &stdout, &Captured::default(), turn))
    }

    fn tasks(&self) -> Vec<String> {
        self.run.record().tasks.iter().map(|task| format!("{}:{}", task.task_id, task.outcome)).collect()
    }

    fn value(&self, name: &str) -> Option<Value> {
        super::launch::value(name, &self.run.job, &self.run.id, &self.run.context, &self.desk.surroundings)
            .map(std::borrow::Cow::into_owned)
    }
}
