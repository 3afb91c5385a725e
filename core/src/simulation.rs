//! Simulation of job routing: the very [`Agent`](crate::agent::Agent) of the service in a world that exists in one value alone.
//!
//! Nothing is touched: programs end as assumed, the disk always writes, time is a number. What the agent decides is what the
//! service would decide, because it is the same machine, driven through `handle` alone.
//!
//! ```text
//! order             what the world does
//! ----------------  -----------------------------------------------------------------------
//! Spawn             Prepared, or SpawnFailed where the program is assumed to be missing
//! Release           Started; Exited after the assumed time, never where it is assumed to hang
//! Signal            a program that still runs ends by that signal
//! Collect, Discard  Collected with the assumed output, Discarded
//! PersistRun        RunPersisted; the record is the run's story
//! Publish           kept
//! ```
//! Time moves only where nothing is left to be answered: to the next end of a program or the agent's next deadline. The
//! simulation is over when the runs that the trigger led to are; schedules that come due meanwhile are part of it, but are not waited for.

mod assumption;
pub(crate) mod case;
mod session;
mod story;
#[cfg(test)]
mod tests;
mod why_not;
mod world;

use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value};

pub use assumption::Assumptions;
pub use case::{CASE_BEGIN, Difference, Expectation, Given, Publication, TestCase};
pub use story::{Published, Step, Story};
pub use why_not::{Guard, why_not};

use crate::config::Settings;
use crate::event::DefinitionFile;
use crate::surroundings::Surroundings;
use crate::time::WallTime;

/// What sets the simulated agent to work.
#[derive(Debug, Clone, PartialEq)]
pub enum Trigger {
    /// An event; `Startup` is the start of the agent.
    Event {
        /// Its name.
        name: String,
        /// Its context.
        context: Map<String, Value>,
    },
    /// A job by hand, as an administrator triggers it.
    Job {
        /// The job's id.
        id: String,
        /// The values given.
        context: Map<String, Value>,
    },
}

/// All that decides how a simulation goes; the same scenario always gives the same story.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The machine.
    pub surroundings: Surroundings,
    /// The agent's settings.
    pub settings: Settings,
    /// Job and plugin files.
    pub definitions: Vec<DefinitionFile>,
    /// How it begins.
    pub trigger: Trigger,
    /// How programs end.
    pub assumptions: Assumptions,
    /// When it begins.
    pub at: WallTime,
}

/// Plays a scenario to its end.
pub fn simulate(scenario: Scenario) -> Story {
    let trigger = scenario.trigger.clone();
    let mut world = world::World::new(scenario);
    world.begin(&trigger);
    world.settle();
    world.into_story()
}
