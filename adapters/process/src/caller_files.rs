//! What a program gets that runs for a caller: his standard streams and his folder, and no pipe of the agent's.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Descriptors that a caller lends to the program that he asked for.
#[derive(Debug)]
pub struct CallerFiles {
    /// Standard input, output and error.
    pub standard: [OwnedFd; 3],
    /// Working folder.
    pub folder: OwnedFd,
    /// Whether standard input is a terminal, which becomes the controlling one.
    pub terminal: bool,
}

impl CallerFiles {
    /// The descriptors, as the launcher takes them.
    pub(crate) fn in_order(&self) -> [BorrowedFd<'_>; 4] {
        let [stdin, stdout, stderr] = &self.standard;
        [stdin.as_fd(), stdout.as_fd(), stderr.as_fd(), self.folder.as_fd()]
    }

    /// Closes them in a thread of its own: what the caller opened may wait for him (FUSE).
    pub(crate) async fn close(self) {
        smol::unblock(move || drop(self)).await;
    }
}
