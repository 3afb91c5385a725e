//! What a caller asks for at the request socket, and what the kernel says about him.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::mfa::Secret;
use crate::user::Account;

/// A connection to the request socket, counted by its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallerId(pub u64);

impl fmt::Display for CallerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

/// A request, as it arrived. Nothing in it but [`peer`](Self::peer) and [`folder`](Self::folder) is more than its caller's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Who asks.
    pub peer: Peer,
    /// The command and its arguments; at least one.
    pub words: Vec<String>,
    /// The working folder, absolute, as the kernel names the descriptor that was handed over.
    pub folder: Option<String>,
    /// Whether standard input is a terminal, to become the program's controlling one.
    pub terminal: bool,
    /// Variables that may be kept: `TERM`, `COLORTERM`, `LANG`, `LC_*`.
    pub environment: Vec<(String, String)>,
    /// A justification in advance.
    pub reason: Option<String>,
    /// A code of a second factor in advance.
    pub code: Option<Secret>,
}

/// Who is at the other end of a connection to the request socket, by the kernel's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Process id when it connected.
    pub pid: u32,
    /// Effective user id when it connected.
    pub uid: u32,
    /// Effective group id when it connected.
    pub gid: u32,
    /// The account of that user, or why it is not known.
    pub account: Result<Account, String>,
    /// Names of that user's groups; none where they cannot be found out.
    pub groups: BTreeSet<String>,
    /// Whether that user has a graphical session.
    pub has_desktop: bool,
}
