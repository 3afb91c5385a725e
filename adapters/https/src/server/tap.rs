//! The stream below hyper: notes what is read, and ends a write that makes no progress.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_lite::{AsyncRead, AsyncWrite};
use smol::Timer;

use super::head::{SharedSeen, lock};
use super::limits::STALL;

/// A stream whose reader also tells [`super::head::Seen`], and whose writes have a deadline.
#[derive(Debug)]
pub(crate) struct Tap<S> {
    stream: S,
    seen: SharedSeen,
    /// Runs while a write waits for the client.
    stalled: Option<Timer>,
}

impl<S> Tap<S> {
    /// Around `stream`.
    pub(crate) const fn new(stream: S, seen: SharedSeen) -> Self {
        Self { stream, seen, stalled: None }
    }

    /// `poll`, or an error once writing has waited for too long.
    fn in_time<T>(&mut self, context: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.stalled = None;
            return poll;
        }
        let timer = self.stalled.get_or_insert_with(|| Timer::after(STALL));
        ready!(Pin::new(timer).poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let fits = lock(&self.seen).push(buffer.get(..read).unwrap_or_default());
        Poll::Ready(if fits { Ok(read) } else { Err(io::Error::other("more pipelined bytes than are taken")) })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.in_time(context, poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(context);
        self.in_time(context, poll)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_close(context);
        self.in_time(context, poll)
    }
}
