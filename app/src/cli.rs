//! The command line (contract section 1): what was asked, and the exit code that tells how it went.
//!
//! | part | does |
//! | --- | --- |
//! | `output`, `table`, `position` | how answers look: forms, columns, places in files |
//! | `agent`, `names`, `watch` | asking the running agent: its API, ids as people type them, waiting |
//! | `confirm` | asking people |
//! | the others | one verb or noun each |

mod admin;
mod agent;
mod audit;
mod config;
mod confirm;
mod doctor;
mod elevate;
mod events;
mod history;
mod init;
pub(crate) mod inputs;
mod job_test;
mod jobs;
mod lint;
mod lkg;
mod logs;
mod mfa;
mod names;
mod output;
mod own;
mod plugins;
mod policies;
mod position;
mod preview;
mod proof;
mod reference;
mod requests;
mod runs;
mod schema;
mod settings;
mod sign;
mod simulate;
mod status;
mod table;
mod topics;
mod trust;
mod watch;
mod why;
mod why_not;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use castellan_core::policy::Control;
use clap::{Parser, Subcommand};

use crate::failure::Failure;
use crate::{demo, keeper_control, keeper_policy, probe, sample_scanner, service};
use output::Globals;
pub(crate) use output::warn;

/// The agent root where none is given.
const DEFAULT_ROOT: &str = "/opt/castellan";

/// Castellan starts privileged work on an endpoint safely: jobs, plugins, a local MQTT broker and an HTTPS API.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Commands that ask the running agent need its administrator's certificate in state/admin: say them as the agent's user, for example with sudo. elevate, requests mine, requests withdraw and grants drop are for every user.

Exit codes: 0 done, 1 the work or the run failed, 2 usage, 3 not found, 4 denied, 5 no agent answers or it cannot start, 6 invalid file."
)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent in the foreground until SIGTERM or SIGINT. What is missing in the root is created.
    #[command(after_help = "Example: sudo castellan run --root /opt/castellan")]
    Run,
    /// Install what comes with the agent into a root whose agent does not run: the policies' plugin, and the jobs of privilege elevation.
    Init(init::Options),
    /// Show the running agent on one screen: jobs, plugins, runs, and what was denied lately.
    Status(status::Options),
    /// Look at jobs, change them, run them; work on job files.
    #[command(alias = "job")]
    Jobs {
        #[command(subcommand)]
        command: jobs::Command,
    },
    /// Look at runs, wait for them, end them.
    Runs {
        #[command(subcommand)]
        command: runs::Command,
    },
    /// Look at plugins, start and stop them.
    #[command(alias = "plugin")]
    Plugins {
        #[command(subcommand)]
        command: plugins::Command,
    },
    /// Look at the settings of plugins, and change them.
    #[command(alias = "setting")]
    Settings {
        #[command(subcommand)]
        command: settings::Command,
    },
    /// Apply configuration policies, and list what became of them; test and lint policies about privileges.
    #[command(alias = "policies")]
    Policy {
        #[command(subcommand)]
        command: policies::Command,
    },
    /// Fire events.
    #[command(alias = "event")]
    Events {
        #[command(subcommand)]
        command: events::Command,
    },
    /// Run a program with more privileges, where a policy allows that; for every user.
    Elevate(elevate::Options),
    /// Look at requests for more privileges, approve and deny them; every user at his own.
    #[command(alias = "request")]
    Requests {
        #[command(subcommand)]
        command: requests::Command,
    },
    /// Look at what approvals are still good for, end that, and prove how they came about; every user gives up his own.
    #[command(alias = "grant")]
    Grants {
        #[command(subcommand)]
        command: requests::Grants,
    },
    /// Print the agent's log.
    Logs(logs::Options),
    /// Tell why the agent did what it did: what became of a request for more privileges, what was refused.
    Why(why::Asked),
    /// Say which guard keeps a job from running.
    WhyNot(why_not::Options),
    /// Look at schedules.
    Schedule {
        #[command(subcommand)]
        command: ScheduleCommand,
    },
    /// Play a job's run with the agent's own machine in virtual time, and tell every decision; nothing is touched.
    Simulate(simulate::Options),
    /// Look at what goes over the broker.
    Topics {
        #[command(subcommand)]
        command: topics::Command,
    },
    /// Sign a program, so that the agent may trust it although it did not start it.
    Sign(sign::Options),
    /// Look at whom the agent would trust.
    Trust {
        #[command(subcommand)]
        command: trust::Command,
    },
    /// Look at the settings.
    Config {
        #[command(subcommand)]
        command: config::Command,
    },
    /// Go through the guides' checklists for jobs and plugins, each check with its proof and its fix.
    Doctor(doctor::Options),
    /// Look at Last Known Good: what is blessed, what differs from it; accept a change, go back to a version.
    Lkg {
        #[command(subcommand)]
        command: lkg::Command,
    },
    /// Say who is an administrator: issue, list and revoke admin certificates.
    Admin {
        #[command(subcommand)]
        command: admin::Command,
    },
    /// Look at what is on record: who asked for what, who decided, changed and launched it; prove that nobody edited it.
    Audit {
        #[command(subcommand)]
        command: audit::Command,
    },
    /// Say who has an authenticator for MFA codes.
    Mfa {
        #[command(subcommand)]
        command: mfa::Command,
    },
    /// Print the JSON Schema (draft 2020-12) of jobs, plugins, settings, policies or test cases.
    Schema(schema::Options),
    /// Print the completions of a shell.
    Completions(reference::Completions),
    /// Show what the agent does on a temporary agent root: a job's run that scans FOLDER, or an ordinary user who runs a program as root.
    Demo(demo::Options),
    /// Write the man pages.
    #[command(hide = true)]
    Manual(reference::Manual),
    /// The task program of `doctor --live`.
    #[command(hide = true)]
    DoctorProbe(probe::Options),
    /// The plugin KeeperPolicy.
    #[command(hide = true)]
    KeeperPolicy(keeper_policy::Options),
    /// The task program KeeperMfa.
    #[command(hide = true)]
    KeeperMfa(keeper_control::Options),
    /// The task program KeeperJustification.
    #[command(hide = true)]
    KeeperJustification(keeper_control::Options),
    /// The task program KeeperApproval.
    #[command(hide = true)]
    KeeperApproval(keeper_control::Options),
    /// The task program RedirectEvaluator.
    #[command(hide = true)]
    RedirectEvaluator(keeper_control::Options),
    /// The task program of the demo's job.
    #[command(hide = true)]
    SampleScanner(sample_scanner::Options),
}

#[derive(Debug, Subcommand)]
enum ScheduleCommand {
    /// List the next instants at which a job is due, or what came of the last ones; no running agent is needed.
    Preview(preview::Options),
}

/// `elevate` alone, for [`read`].
#[derive(Debug, Parser)]
struct ElevateAlone {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Elevate,
}

#[derive(Debug, Subcommand)]
enum Elevate {
    Elevate(elevate::Options),
}

/// Reads the command line and carries it out.
pub(crate) fn main() -> ExitCode {
    let cli = read(&words());
    match perform(&cli.command, &cli.globals) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

/// The command line; under the name of the link it is that of its command.
fn words() -> Vec<OsString> {
    let mut words: Vec<OsString> = std::env::args_os().collect();
    let is_link = |name: &OsString| Path::new(name).file_name().is_some_and(|name| name == elevate::LINK);
    if words.first().is_some_and(is_link) {
        words.insert(1, OsString::from("elevate"));
    }
    words
}

/// What the words say. Somebody waits for `elevate` each time, and to lay out all commands costs it a tenth of that time; whatever is not
/// understood without them is read with them, and refused by them.
fn read(words: &[OsString]) -> Cli {
    if words.iter().any(|word| word == "elevate")
        && let Ok(ElevateAlone { globals, command: Elevate::Elevate(options) }) = ElevateAlone::try_parse_from(words)
    {
        return Cli { globals, command: Command::Elevate(options) };
    }
    Cli::parse_from(words)
}

fn perform(command: &Command, globals: &Globals) -> Result<(), Failure> {
    match command {
        Command::Run => service::run(&globals.root),
        Command::Init(options) => init::run(options, globals),
        Command::Status(options) => status::run(options, globals),
        Command::Jobs { command } => jobs::run(command, globals),
        Command::Runs { command } => runs::run(command, globals),
        Command::Plugins { command } => plugins::run(command, globals),
        Command::Settings { command } => settings::run(command, globals),
        Command::Policy { command } => policies::run(command, globals),
        Command::Events { command } => events::run(command, globals),
        Command::Elevate(options) => elevate::run(options, globals),
        Command::Requests { command } => requests::run(command, globals),
        Command::Grants { command } => requests::run_grants(command, globals),
        Command::Logs(options) => logs::run(options, globals),
        Command::Why(asked) => why::run(asked, globals),
        Command::WhyNot(options) => why_not::run(options, globals),
        Command::Schedule { command: ScheduleCommand::Preview(options) } => preview::run(options, globals),
        Command::Simulate(options) => simulate::run(options, globals),
        Command::Topics { command } => topics::run(command, globals),
        Command::Sign(options) => sign::run(options, globals),
        Command::Trust { command } => trust::run(command, globals),
        Command::Doctor(options) => doctor::run(options, globals),
        Command::Lkg { command } => lkg::run(command, globals),
        Command::Admin { command } => admin::run(command, globals),
        Command::Audit { command } => audit::run(command, globals),
        Command::Mfa { command } => mfa::run(command, globals),
        Command::Config { command } => config::run(command, globals),
        Command::DoctorProbe(options) => probe::run(options),
        Command::Schema(options) => schema::run(options, globals),
        Command::Completions(options) => reference::completions(options),
        Command::Demo(options) => demo::run(options),
        Command::KeeperPolicy(options) => keeper_policy::run(options, &globals.root),
        Command::KeeperMfa(options) => keeper_control::run(Control::Mfa, options, &globals.root),
        Command::KeeperJustification(options) => keeper_control::run(Control::Justify, options, &globals.root),
        Command::KeeperApproval(options) => keeper_control::run(Control::Approval, options, &globals.root),
        Command::RedirectEvaluator(options) => keeper_control::run_redirect(options, &globals.root),
        Command::Manual(options) => reference::manual(options, globals),
        Command::SampleScanner(options) => sample_scanner::run(options),
    }
}

/// Says why a command failed; where not even standard error takes it, the exit code is all that is left to say it.
fn report(failure: &Failure) -> ExitCode {
    if failure.is_silent() {
        return failure.exit_code();
    }
    match warn(&failure.to_string()) {
        Ok(()) => failure.exit_code(),
        Err(_) => ExitCode::from(1),
    }
}

#[cfg(test)]
mod tests;
