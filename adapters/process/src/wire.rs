//! What agent and launcher say to each other over the socket pair: one ready byte, one order, and at most one complaint.
//!
//! The launcher writes [`READY`] once it leads its own session. The agent answers with a length (4 bytes, little endian), an
//! [`Order`] as JSON, and [`GO`]; beside a program's order come the descriptor of the file to execute
//! and those of its caller, where it has one ([`crate::handover`]). A successful exec closes the launcher's end; anything else is a sentence, then the end.

use std::io::{self, Read};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::executable::Script;

/// The launcher leads its own session and waits.
pub(crate) const READY: u8 = b'R';
/// The process that becomes the program waits for its order; its number follows (4 bytes, little endian).
pub(crate) const ATTENDED: u8 = b'\0';
/// Ends an order; without it nothing is executed.
pub(crate) const GO: u8 = b'G';
/// Bytes of an order: above what the kernel accepts as arguments and environment (about 6 MiB), escaped.
pub(crate) const ORDER_BYTES: usize = 16 << 20;
/// Bytes of a complaint that the agent reads.
pub(crate) const COMPLAINT_BYTES: usize = 8 << 10;
/// Exit code of a launcher that did not execute anything.
pub(crate) const NOT_EXECUTED: u8 = 125;

/// What the launcher has to become.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Another process of its own, which takes the further orders and becomes the program; this one leads the session of its terminal. Beside it
    /// come the terminal, and a pipe for the signal of each stop.
    Attend,
    /// A program.
    Execute(Program),
    /// A connection to this address, held until the agent closes its end: lets the agent see what the kernel tells about it.
    Connect(SocketAddr),
}

/// A program to execute, exactly as given.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Program {
    /// What the program is told as its own name (`argv[0]`): the path that it was found by.
    pub(crate) path: String,
    /// After the program's own name.
    pub(crate) arguments: Vec<String>,
    /// What the program opens by name though it was judged before.
    pub(crate) scripts: Vec<Script>,
    /// Names and values.
    pub(crate) environment: Vec<(String, String)>,
    /// Absolute.
    pub(crate) working_directory: String,
    /// As whom, where not as the agent itself.
    pub(crate) person: Option<Person>,
    /// Whether a caller's descriptors come after that of the file: 0, 1, 2 and its working folder. Else the agent reads its output.
    pub(crate) for_caller: bool,
}

/// As whom a program is executed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Person {
    /// For messages.
    pub(crate) name: String,
    /// For messages.
    pub(crate) uid: u32,
    /// The ids to take; `None` where the agent's user is that person.
    pub(crate) ids: Option<Ids>,
    /// Whether nothing that it executes may give it more privileges.
    pub(crate) confined: bool,
    /// Whether `/` does where the working directory cannot be entered.
    pub(crate) anywhere: bool,
}

/// User and groups.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ids {
    /// Real, effective and saved.
    pub(crate) uid: u32,
    /// The same.
    pub(crate) gid: u32,
    /// All supplementary groups.
    pub(crate) groups: Vec<u32>,
}

/// The bytes of an order.
///
/// # Errors
/// A sentence, if it is longer than [`ORDER_BYTES`].
pub(crate) fn encode(order: &Order) -> Result<Vec<u8>, String> {
    let json = serde_json::to_vec(order).map_err(|error| format!("The order cannot be written as JSON: {error}."))?;
    let length = u32::try_from(json.len()).ok().filter(|_| json.len() <= ORDER_BYTES);
    let Some(length) = length else {
        return Err(format!(
            "Arguments and environment are {} bytes long, which is over {ORDER_BYTES}: pass long texts in a file.",
            json.len()
        ));
    };
    let mut frame = length.to_le_bytes().to_vec();
    frame.extend_from_slice(&json);
    frame.push(GO);
    Ok(frame)
}

/// Reads an order; blocks until it is there.
///
/// # Errors
/// The other end closed, or what came is not exactly one order with its go byte.
pub(crate) fn read_order(mut source: impl Read) -> io::Result<Order> {
    let mut length = [0; 4];
    source.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > ORDER_BYTES {
        return Err(io::Error::other("the order is too long"));
    }
    let mut json = vec![0; length];
    source.read_exact(&mut json)?;
    let mut go = [0];
    source.read_exact(&mut go)?;
    if go != [GO] {
        return Err(io::Error::other("no go byte follows the order"));
    }
    serde_json::from_slice(&json).map_err(io::Error::other)
}

#[cfg(test)]
mod tests;
