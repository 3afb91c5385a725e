//! The `castellan` binary: the agent and its commands.

mod audit_head;
mod chores;
mod cli;
mod clock;
mod component;
mod demo;
mod failure;
mod heartbeat;
mod keeper_control;
mod keeper_policy;
mod library_log;
mod listeners;
mod notify;
mod perform;
mod policies_in_force;
mod policy_files;
mod policy_source;
mod probe;
mod run_loop;
mod sample_scanner;
mod service;
mod signals;
mod surroundings;
mod telemetry;
mod tls_files;

use std::process::ExitCode;

/// The first argument with which the agent starts its launcher; not for people.
pub(crate) const LAUNCHER_VERB: &str = "launch-task";

fn main() -> ExitCode {
    // The launcher comes first and alone: it runs once per task and must not pay for anything else.
    if std::env::args_os().nth(1).is_some_and(|verb| verb == LAUNCHER_VERB) {
        return castellan_process::launch_main();
    }
    cli::main()
}
