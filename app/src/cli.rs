//! The command line (contract section 1): what was asked, and the exit code that tells how it went.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Failure;
use crate::{demo, sample_scanner, service};

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
    /// The task program of the demo's job.
    #[command(hide = true)]
    SampleScanner(sample_scanner::Options),
}

/// Reads the command line and carries it out.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Run { root } => service::run(&root),
        Command::Demo { folder, keep } => demo::run(&folder, keep),
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
