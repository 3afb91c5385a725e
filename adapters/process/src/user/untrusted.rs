//! Talking to what belongs to somebody who may mean harm: only so long, only so much, and no descriptors.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use async_io::Async;
use smol::lock::Semaphore;
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};
use zbus::export::async_trait::async_trait;

use crate::tree::within;

/// Questions of one kind that may wait for an answer. Each holds a thread until it comes, and the agent's file work needs threads, too.
pub(super) const QUESTIONS: usize = 16;

/// Asks in a thread of its own; `None` where no answer comes in time, or where too many questions of this kind have none.
pub(super) async fn ask<T: Send + 'static>(
    limit: Duration,
    free: &'static Semaphore,
    question: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let answer = async {
        let held = free.acquire().await;
        let question = move || {
            let answer = question();
            drop(held);
            answer
        };
        smol::unblock(question).await
    };
    within(limit, answer).await
}

/// A D-Bus connection on which the other side is heard so far and no further.
///
/// For each message zbus makes the room that its head asks for, at most 128 MiB; the next read ends that at once.
#[derive(Debug)]
pub(super) struct Bounded {
    stream: Arc<Async<UnixStream>>,
    bytes: usize,
}

impl Bounded {
    /// So many bytes of this stream.
    pub(super) fn new(stream: Async<UnixStream>, bytes: usize) -> Self {
        Self { stream: Arc::new(stream), bytes }
    }
}

impl Socket for Bounded {
    type ReadHalf = Self;
    type WriteHalf = Self;

    fn split(self) -> Split<Self, Self> {
        let writer = Self { stream: Arc::clone(&self.stream), bytes: 0 };
        Split::new(self, writer)
    }
}

#[async_trait]
impl ReadHalf for Bounded {
    /// The plain read gives descriptors that come along back to the kernel: to close one of them could wait for its sender.
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        if buffer.len() > self.bytes {
            return Err(io::Error::other("it talks too much"));
        }
        let count = self.stream.read_with(|mut stream| stream.read(buffer)).await?;
        self.bytes = self.bytes.saturating_sub(count);
        Ok((count, Vec::new()))
    }
}

#[async_trait]
impl WriteHalf for Bounded {
    async fn sendmsg(&mut self, buffer: &[u8], _descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
        self.stream.write_with(|mut stream| stream.write(buffer)).await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.stream.get_ref().shutdown(Shutdown::Both)
    }
}

#[cfg(test)]
mod tests;
