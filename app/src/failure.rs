//! Why a command failed: one message for people, one exit code for scripts.

use std::fmt;
use std::process::ExitCode;

/// The documented exit codes besides 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The work failed.
    Failed,
    /// The command line asks for something that cannot be.
    Usage,
    /// What was named is not there.
    NotFound,
    /// Whoever asks may not.
    Denied,
    /// The agent does not answer, or cannot start.
    Unreachable,
    /// A file is invalid.
    InvalidFile,
    /// Whoever read the answer has gone.
    HungUp,
    /// A program that was run for the caller ended so.
    OfProgram(u8),
}

/// A failed command.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    message: String,
}

impl Failure {
    /// The work itself failed: exit code 1.
    pub(crate) fn failed(message: impl fmt::Display) -> Self {
        Self { kind: Kind::Failed, message: message.to_string() }
    }

    /// The command line asks for something that cannot be: exit code 2.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self { kind: Kind::Usage, message: message.to_string() }
    }

    /// What was named is not there: exit code 3.
    pub(crate) fn not_found(message: impl fmt::Display) -> Self {
        Self { kind: Kind::NotFound, message: message.to_string() }
    }

    /// Whoever asks may not: exit code 4.
    pub(crate) fn denied(message: impl fmt::Display) -> Self {
        Self { kind: Kind::Denied, message: message.to_string() }
    }

    /// No agent answers: exit code 5.
    pub(crate) fn unreachable(message: impl fmt::Display) -> Self {
        Self { kind: Kind::Unreachable, message: message.to_string() }
    }

    /// The agent cannot start: exit code 5.
    pub(crate) fn cannot_start(message: impl fmt::Display) -> Self {
        Self { kind: Kind::Unreachable, message: message.to_string() }
    }

    /// A file is invalid: exit code 6.
    pub(crate) fn invalid_file(message: impl fmt::Display) -> Self {
        Self { kind: Kind::InvalidFile, message: message.to_string() }
    }

    /// Whoever read the answer has gone (`castellan logs | head`): no message, as there is nobody to tell and nothing to mend; the exit
    /// code that shells show for SIGPIPE.
    pub(crate) const fn hung_up() -> Self {
        Self { kind: Kind::HungUp, message: String::new() }
    }

    /// A program that was run for the caller ended with this exit code: no message, as it has said what there is to say.
    pub(crate) fn of_program(code: i32) -> Self {
        // As wait(2) gives it: the lowest eight bits.
        Self { kind: Kind::OfProgram(u8::try_from(code & 0xff).unwrap_or(u8::MAX)), message: String::new() }
    }

    /// Whether no agent answers.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.kind == Kind::Unreachable
    }

    /// Whether what was named is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        self.kind == Kind::NotFound
    }

    /// Whether there is nobody to tell.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self.kind, Kind::HungUp | Kind::OfProgram(_))
    }

    /// The exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self.kind {
            Kind::Failed => ExitCode::from(1),
            Kind::Usage => ExitCode::from(2),
            Kind::NotFound => ExitCode::from(3),
            Kind::Denied => ExitCode::from(4),
            Kind::Unreachable => ExitCode::from(5),
            Kind::InvalidFile => ExitCode::from(6),
            Kind::HungUp => ExitCode::from(141),
            Kind::OfProgram(code) => ExitCode::from(code),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}
