//! Orders to the request socket.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::elevation::{CallerId, Own};
use crate::event::ExitStatus;
use crate::id::ElevationId;
use crate::why::Explanation;

/// Orders to the request socket. One about a connection that is over is no error: `Left` is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ElevationOrder {
    /// One line for the caller's standard error.
    Tell {
        /// Which connection.
        caller: CallerId,
        /// The line, without its end.
        text: String,
    },
    /// Ask the caller for a text. Answered by `Replied`.
    Prompt {
        /// Which connection.
        caller: CallerId,
        /// The number of the prompt, of this connection.
        prompt: u32,
        /// What to show.
        text: String,
        /// Whether what is typed stays hidden.
        secret: bool,
        /// Seconds after which the port answers `Refused` by itself.
        seconds: u64,
    },
    /// The caller's program was stopped; he is to stop with it, and to pass on `Continue` once he goes on.
    Stop {
        /// Which connection.
        caller: CallerId,
        /// The signal that stopped it.
        signal: i32,
    },
    /// The last order of a connection: say how it ended, then close it.
    Answer {
        /// Which connection.
        caller: CallerId,
        /// How it ended.
        answer: ElevationAnswer,
    },
}

/// How a request ended, for its caller; or the answer to who asked about what is his own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ElevationAnswer {
    /// The program ran, and ended so.
    Ended(ExitStatus),
    /// Nothing ran, or what came of it is not known.
    Denied {
        /// The request, where it became one.
        request: Option<ElevationId>,
        /// Why, and what to do.
        explanation: Explanation,
    },
    /// What is the caller's own.
    Own(Box<Own>),
    /// The request is withdrawn, or these grants are given up, as the caller wished.
    GaveUp(Vec<ElevationId>),
    /// There is no such thing of the caller's own; whether there is one of another's is not said.
    NotFound(Explanation),
}
