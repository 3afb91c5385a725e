//! The command line (contract section 1): what was asked, and the exit code that tells how it went.

mod admin;
mod agent;
mod config;
mod doctor;
mod history;
mod inputs;
mod job_test;
mod lint;
mod output;
mod preview;
mod schema;
mod sign;
mod simulate;
mod topics;
mod trust;
mod why;
mod why_not;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Failure;
use crate::{demo, probe, sample_scanner, service};

/// The agent root where none is given.
const DEFAULT_ROOT: &str = "/opt/castellan";

/// Castellan starts privileged work on an endpoint safely: jobs, plugins, a local MQTT broker and an HTTPS API.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 done, 1 the work failed, 2 usage, 3 not found, 4 denied, 5 cannot start, 6 invalid file."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent in the foreground until SIGTERM or SIGINT.
    Run {
        /// The agent root: appsettings.json, Jobs, Plugins, Policies, state. What is missing is created.
        #[arg(long, env = "CASTELLAN_ROOT", default_value = DEFAULT_ROOT)]
        root: PathBuf,
    },
    /// Show a job run on a temporary agent root: a scan of FOLDER for exposed credentials.
    Demo {
        /// The folder to scan.
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// Keep the agent root and go on running until Ctrl-C.
        #[arg(long)]
        keep: bool,
    },
    /// Play a job's run with the agent's own machine in virtual time, and tell every decision; nothing is touched.
    Simulate(simulate::Options),
    /// Work on job files.
    Job {
        #[command(subcommand)]
        command: JobCommand,
    },
    /// Look at schedules.
    Schedule {
        #[command(subcommand)]
        command: ScheduleCommand,
    },
    /// Print the JSON Schema (draft 2020-12) of jobs, plugins, settings, policies or test cases.
    Schema(schema::Options),
    /// Say which guard keeps a job from running.
    WhyNot(why_not::Options),
    /// Ask the running agent why it did what it did.
    Why {
        #[command(subcommand)]
        command: why::Command,
    },
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
    /// Say who is an administrator: issue, list and revoke admin certificates.
    Admin {
        #[command(subcommand)]
        command: admin::Command,
    },
    /// The task program of `doctor --live`.
    #[command(hide = true)]
    DoctorProbe(probe::Options),
    /// The task program of the demo's job.
    #[command(hide = true)]
    SampleScanner(sample_scanner::Options),
}

#[derive(Debug, Subcommand)]
enum JobCommand {
    /// Look for what is wrong or in vain in job and plugin files, each by itself and together. Exit code 6 on errors.
    Lint(lint::Options),
    /// Play every test case (*.test.json) of a folder and compare what comes of it. Exit code 1 where one fails.
    Test(job_test::Options),
}

#[derive(Debug, Subcommand)]
enum ScheduleCommand {
    /// List the next instants at which a job is due, or what came of the last ones; no running agent is needed.
    Preview(preview::Options),
}

/// Reads the command line and carries it out.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Run { root } => service::run(&root),
        Command::Demo { folder, keep } => demo::run(&folder, keep),
        Command::Simulate(options) => simulate::run(&options),
        Command::Job { command: JobCommand::Lint(options) } => lint::run(&options),
        Command::Job { command: JobCommand::Test(options) } => job_test::run(&options),
        Command::Schedule { command: ScheduleCommand::Preview(options) } => preview::run(&options),
        Command::Schema(options) => schema::run(&options),
        Command::WhyNot(options) => why_not::run(&options),
        Command::Why { command } => why::run(&command),
        Command::Topics { command } => topics::run(&command),
        Command::Sign(options) => sign::run(&options),
        Command::Trust { command } => trust::run(&command),
        Command::Config { command } => config::run(&command),
        Command::Doctor(options) => doctor::run(&options),
        Command::Admin { command } => admin::run(&command),
        Command::DoctorProbe(options) => probe::run(&options),
        Command::SampleScanner(options) => sample_scanner::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report(&failure);
            failure.exit_code()
        }
    }
}

fn report(failure: &Failure) {
    // Where not even standard error takes the message, the exit code is all that is left to say it.
    if writeln!(std::io::stderr(), "castellan: {failure}").is_err() {
        std::process::exit(1);
    }
}
