//! A program on a terminal has a parent in its session: this. The kernel stops no group of processes by a key that has none (an orphaned one).
//! It tells by which signal its program was stopped, passes on what the agent (SIGTSTP, SIGCONT) and a terminal that hangs up (SIGHUP) tell
//! it, and ends as its program ends. Both die with the agent.

use std::os::fd::{AsFd, OwnedFd};

use nix::sys::signal::{SigSet, Signal as Named};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Pid, Signal, WaitId, WaitIdOptions, waitid};

use crate::sys;
use crate::wire::NOT_EXECUTED;

/// What is told to a monitor: that its program stopped or ended, what the agent passes on, and that the terminal hung up.
const HEARD: [Named; 4] = [Named::SIGCHLD, Named::SIGTSTP, Named::SIGCONT, Named::SIGHUP];

/// The leader of a terminal's session.
#[derive(Debug)]
pub(super) struct Monitor {
    program: Pid,
    /// Takes the signal of each stop.
    stops: OwnedFd,
    signals: SignalFd,
    /// A stop was told, and the agent has not had the program continue since.
    told: bool,
}

/// Takes the terminal, and makes the process that becomes the program, in the terminal's foreground: that one gets `None`, and hears no signal
/// until [`hear_signals`].
///
/// # Errors
/// A sentence: descriptors are missing, this is no terminal or another session's, or there can be no further process.
pub(super) fn split(lent: Vec<OwnedFd>) -> Result<Option<Monitor>, String> {
    let [terminal, stops]: [OwnedFd; 2] = lent
        .try_into()
        .map_err(|found: Vec<_>| format!("{} descriptors came with a terminal instead of 2.", found.len()))?;
    // Never takes it from a session that has it already.
    rustix::process::ioctl_tiocsctty(&terminal).map_err(|error| {
        format!("Standard input cannot become the controlling terminal: {error}. It belongs to a session already, or is none.")
    })?;
    let failed = |error: &dyn std::fmt::Display| format!("The program's process cannot be made: {error}.");
    // Both begin so: who steps to the foreground would be stopped by that.
    SigSet::all().thread_block().map_err(|error| failed(&error))?;
    let signals = SignalFd::with_flags(&HEARD.into_iter().collect(), SfdFlags::SFD_CLOEXEC);
    let signals = signals.map_err(|error| failed(&error))?;
    let leader = rustix::process::getpid();
    match sys::fork().map_err(|error| failed(&error))? {
        Some(program) => Ok(Some(Monitor { program, stops, signals, told: false })),
        None => come_forward(leader, &terminal).map_err(|error| failed(&error)).map(|()| None),
    }
}

/// A group of its own in the foreground of the terminal, which ends with the leader.
fn come_forward(leader: Pid, terminal: &OwnedFd) -> std::io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if rustix::process::getppid() != Some(leader) {
        return Err(std::io::Error::other("the agent is gone"));
    }
    rustix::process::setpgid(None, None)?;
    Ok(rustix::termios::tcsetpgrp(terminal, rustix::process::getpid())?)
}

/// What was typed before the program runs ends it, and does not stop it: nobody awaits a stop yet.
///
/// # Errors
/// As kill(2) and pthread_sigmask(3).
pub(super) fn hear_signals() -> std::io::Result<()> {
    // Takes back each signal that stops and was not heard yet; signal(7).
    rustix::process::kill_process(rustix::process::getpid(), Signal::CONT)?;
    sys::unblock_signals()
}

impl Monitor {
    /// Until the program has ended; then this ends in the same way.
    pub(super) fn watch(mut self) -> ! {
        loop {
            let heard = self.look().and_then(|()| Ok(self.signals.read_signal()?));
            match heard {
                Ok(Some(signal)) => self.hear(&signal),
                Ok(None) => {}
                // The program dies with this.
                Err(_) => std::process::exit(NOT_EXECUTED.into()),
            }
        }
    }

    /// Tells of a stop, once until the program is continued; ends with the program.
    fn look(&mut self) -> std::io::Result<()> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        while let Some(status) = waitid(WaitId::Pid(self.program), options)? {
            if let Some(code) = status.exit_status() {
                std::process::exit(code);
            }
            if let Some(signal) = status.terminating_signal() {
                // The core, if any, is the program's.
                rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
                sys::end_by(signal);
            }
            if let Some(signal) = status.stopping_signal().and_then(|signal| u8::try_from(signal).ok())
                && !self.told
            {
                rustix::io::write(self.stops.as_fd(), &[signal])?;
                self.told = true;
            }
        }
        Ok(())
    }

    fn hear(&mut self, heard: &siginfo) {
        let named = i32::try_from(heard.ssi_signo).ok().and_then(|number| Named::try_from(number).ok());
        if named == Some(Named::SIGCONT) {
            self.told = false;
            self.pass_on(Signal::CONT);
        } else if named == Some(Named::SIGTSTP) {
            self.pass_on(Signal::TSTP);
        } else if named == Some(Named::SIGHUP) && heard.ssi_code == libc::SI_KERNEL {
            // One of the agent's goes to the whole tree, and so to the program, too.
            self.pass_on(Signal::HUP);
        }
    }

    /// To the program's group, or to the program where it has left that. It is not reaped, so its number is its own.
    fn pass_on(&self, signal: Signal) {
        let sent = match rustix::process::kill_process_group(self.program, signal) {
            Err(Errno::SRCH) => rustix::process::kill_process(self.program, signal),
            sent => sent,
        };
        match sent {
            // It may have become somebody who is not ours to signal; its end comes all the same.
            Ok(()) | Err(_) => {}
        }
    }
}
