//! `castellan elevate`: asks the agent to run a program with more privileges, and is its caller's side while it runs.
//!
//! Pipes and files go to the program as they are. Where standard input and output are a terminal it gets one of its own ([`terminal`]),
//! so that the agent never sees what is typed or shown. The exit status is the program's.

mod dialog;
mod session;
mod terminal;

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use castellan_core::log_message::escape;
use castellan_elevation::client::Connection;
use castellan_elevation::wire::{Ask, Ended, VERSION};
use clap::Args;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::{Resource, Rlimit, Signal};

use super::output::{self, Globals};
use crate::failure::Failure;
use session::{Outcome, Session};
use terminal::{Terminal, Tty};

/// The name under which the binary is this command alone.
pub(super) const LINK: &str = "keepersudo";
/// Added to a signal's number where a program cannot end by it; what shells show.
const BY_SIGNAL: i32 = 128;

#[derive(Debug, Args)]
#[command(after_help = "Examples: castellan elevate -- systemctl restart nginx
          echo x | castellan elevate --reason 'ticket 4711' -- tee /etc/motd

castellan requests mine shows what you asked for and what waits, castellan requests withdraw ends one that waits.

Exit codes: that of the program, or its signal; 4 denied, 5 no agent answers. A link to this binary named keepersudo does the same.")]
pub(crate) struct Options {
    /// Why it is needed, where a policy asks for that; else you are asked, in the terminal or on the desktop.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// A code of your second factor, where a policy asks for one; else you are asked, and others do not see it among the processes.
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(super) fn run(options: &Options, globals: &Globals) -> Result<(), Failure> {
    match smol::block_on(request(options, globals))? {
        Outcome::Ended(Ended::Code(0)) => Ok(()),
        Outcome::Ended(Ended::Code(code)) => Err(Failure::of_program(code)),
        Outcome::Ended(Ended::Signal(signal)) | Outcome::Withdrawn(signal) => Err(end_by(signal)),
        Outcome::Ended(Ended::OutOfMemory) => {
            output::warn("the kernel killed the program, as its memory was used up.")?;
            Err(end_by(Signal::KILL.as_raw()))
        }
        Outcome::Denied { request, explanation } => {
            let said = explanation.map(|sentence| escape(&sentence)).join(" ");
            let unnamed = request.map(|id| escape(&id)).filter(|id| !said.contains(id.as_str()));
            let request = unnamed.map(|id| format!(" (request {id})")).unwrap_or_default();
            Err(Failure::denied(format!("{said}{request}")))
        }
    }
}

async fn request(options: &Options, globals: &Globals) -> Result<Outcome, Failure> {
    let failed = |what: &str, error: &dyn std::fmt::Display| Failure::failed(format!("{what}: {error}."));
    let connection = Connection::open(&globals.root).await.map_err(|error| unreachable(globals, &error))?;
    let folder = rustix::fs::openat(CWD, ".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| failed("the working folder cannot be handed over", &error))?;
    // Without a controlling terminal there is nothing to relay to: the program gets what there is.
    let tty = Tty::open().ok();
    let made =
        tty.as_ref().map(Terminal::open).transpose().map_err(|error| failed("no terminal can be made", &error))?;
    let (terminal, slave) = made.flatten().unzip();
    let ask = Ask {
        version: VERSION,
        words: options.command.clone(),
        terminal: slave.is_some(),
        environment: environment(),
        reason: options.reason.clone(),
        code: options.code.clone(),
    };
    // Signals are heard before anything is asked for, so that none of them leaves the terminal as it must not be left.
    let session = Session::new(connection, tty, terminal).map_err(|error| failed("signals cannot be heard", &error))?;
    session.ask(&ask, slave, &folder).await?;
    session.hold().await
}

impl Session {
    /// Sends the request; what the agent says to it comes as frames, also where it did not read all of it.
    async fn ask(&self, ask: &Ask, slave: Option<OwnedFd>, folder: &OwnedFd) -> Result<(), Failure> {
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let lent = match &slave {
            Some(slave) if rustix::termios::isatty(&stderr) => {
                [slave.as_fd(), slave.as_fd(), slave.as_fd(), folder.as_fd()]
            }
            Some(slave) => [slave.as_fd(), slave.as_fd(), stderr.as_fd(), folder.as_fd()],
            None => [stdin.as_fd(), stdout.as_fd(), stderr.as_fd(), folder.as_fd()],
        };
        match self.connection().ask(ask, lent).await {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(Failure::usage(format!("{error}."))),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

pub(super) fn unreachable(globals: &Globals, error: &io::Error) -> Failure {
    let root = globals.root.display();
    let kind = error.kind();
    Failure::unreachable(if matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
        format!(
            "no agent takes requests below {root} (run/request.sock). Start it (systemctl start castellan), or name its root with --root."
        )
    } else if kind == io::ErrorKind::PermissionDenied {
        format!(
            "you may not pass the folders to {root}/run/request.sock. Let others pass the agent root (chmod o+x), as the agent's user."
        )
    } else {
        format!("the agent of {root} cannot be asked: {error}. Look at castellan logs, as the agent's user.")
    })
}

/// What the program may get of the environment; what is not text stays away.
fn environment() -> Vec<(String, String)> {
    let kept = |name: &str| matches!(name, "TERM" | "COLORTERM" | "LANG") || name.starts_with("LC_");
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).filter(|(name, _)| kept(name)).collect()
}

/// Ends this process as the program ended, so that a shell sees the same; without a core, which would be this program's.
fn end_by(signal: i32) -> Failure {
    let no_core = Rlimit { current: Some(0), maximum: Some(0) };
    let ended = rustix::process::setrlimit(Resource::Core, no_core).map_err(io::Error::from).and_then(|()| {
        if signal == Signal::KILL.as_raw() {
            return Ok(rustix::process::kill_process(rustix::process::getpid(), Signal::KILL)?);
        }
        signal_hook::low_level::emulate_default_handler(signal)
    });
    match ended {
        // A signal that ends nothing by default.
        Ok(()) | Err(_) => Failure::of_program(BY_SIGNAL.saturating_add(signal)),
    }
}
