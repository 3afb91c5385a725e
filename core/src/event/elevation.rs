//! What the request socket tells the agent.

use alloc::boxed::Box;

use crate::elevation::{Asked, CallerId, OwnWish, Peer};
use crate::mfa::Secret;

/// What the request socket reports.
#[derive(Debug, Clone)]
pub enum ElevationReport {
    /// Somebody asks to run a program with more privileges; his descriptors are kept under this number. Answer with `Answer`.
    Asked {
        /// Which connection.
        caller: CallerId,
        /// What is asked, and by whom.
        asked: Box<Asked>,
    },
    /// Somebody asks about what is his own. Answer with `Answer`.
    OwnAsked {
        /// Which connection.
        caller: CallerId,
        /// Who asks.
        peer: Box<Peer>,
        /// What is asked.
        wish: OwnWish,
    },
    /// Answers `Prompt`.
    Replied {
        /// Which connection.
        caller: CallerId,
        /// Which prompt.
        prompt: u32,
        /// What came of it.
        reply: Reply,
    },
    /// A signal for the caller's program, which has no terminal to send it.
    Signaled {
        /// Which connection.
        caller: CallerId,
        /// Which signal.
        signal: RelayedSignal,
    },
    /// The connection is over; the last report about it, unless `Answer` ended it.
    Left {
        /// Which connection.
        caller: CallerId,
    },
}

/// What came of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// This was typed.
    Text(Secret),
    /// The requester does not answer, or cannot be asked.
    Refused,
}

/// A signal that a caller passes on to the program that runs for him.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayedSignal {
    /// SIGHUP.
    Hangup,
    /// SIGINT.
    Interrupt,
    /// SIGQUIT.
    Quit,
    /// SIGTERM.
    Terminate,
    /// SIGUSR1.
    User1,
    /// SIGUSR2.
    User2,
    /// SIGTSTP: the key that stops a program.
    Suspend,
    /// SIGCONT.
    Continue,
}
