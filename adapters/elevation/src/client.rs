//! The caller's side of the request socket.

use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use async_io::Async;

use crate::wire::{self, Ask, AskOwn, DESCRIPTORS, FromCaller, ToCaller};
use crate::{descriptors, socket};

/// A connection to the agent, for one request or question.
#[derive(Debug)]
pub struct Connection {
    stream: Async<UnixStream>,
}

impl Connection {
    /// Connects to the agent of this root.
    ///
    /// # Errors
    /// As connect(2): `NotFound` where no agent ever listened there, `ConnectionRefused` where none does now.
    pub async fn open(root: &Path) -> io::Result<Self> {
        Ok(Self { stream: socket::connect(root).await? })
    }

    /// Asks, and hands over standard input, output, error, and the working folder.
    ///
    /// # Errors
    /// The request is too long, or as sendmsg(2): where the agent refused it at once, [`next`](Self::next) tells why.
    pub async fn ask(&self, ask: &Ask, lent: [BorrowedFd<'_>; DESCRIPTORS]) -> io::Result<()> {
        descriptors::send(&self.stream, &wire::encode(ask)?, lent).await
    }

    /// Asks about what is the caller's own.
    ///
    /// # Errors
    /// As write(2): where the agent refused it at once, [`next`](Self::next) tells why.
    pub async fn ask_own(&self, ask: &AskOwn) -> io::Result<()> {
        wire::write(&self.stream, ask).await
    }

    /// The next frame; `None` once the agent has closed the connection. One at a time, and awaited to its end.
    ///
    /// # Errors
    /// As read(2), or what came is not understood.
    pub async fn next(&self) -> io::Result<Option<ToCaller>> {
        wire::read(&self.stream).await
    }

    /// Says something.
    ///
    /// # Errors
    /// As write(2).
    pub async fn send(&self, frame: &FromCaller) -> io::Result<()> {
        wire::write(&self.stream, frame).await
    }
}
