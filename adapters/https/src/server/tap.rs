//! The stream below hyper: notes what is read, gives hyper's bare refusals a body, and ends a write that makes no progress.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_lite::{AsyncRead, AsyncWrite};
use hyper::StatusCode;
use smol::Timer;

use super::head::{SharedSeen, lock};
use super::limits::STALL;
use super::problem::Problem;
use super::{Shared, bump};

/// A stream whose reader also tells [`super::head::Seen`], and whose writes have a deadline.
pub(crate) struct Tap<S> {
    stream: S,
    seen: SharedSeen,
    shared: Arc<Shared>,
    /// Runs while a write waits for the client.
    stalled: Option<Timer>,
    /// What is written in place of a bare refusal, and how much of it is.
    instead: Option<(Vec<u8>, usize)>,
}

impl<S> Tap<S> {
    /// Around `stream`.
    pub(crate) const fn new(stream: S, seen: SharedSeen, shared: Arc<Shared>) -> Self {
        Self { stream, seen, shared, stalled: None, instead: None }
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

/// The problem that hyper tells by a head alone: it answers so what it cannot parse, which no handler sees. Nothing else of ours looks
/// like this: every refusal of the agent has a body, and no document of JSON has these line ends.
fn bare_refusal(bytes: &[u8]) -> Option<Problem> {
    if !bytes.starts_with(b"HTTP/1.1 4") {
        return None;
    }
    let text = std::str::from_utf8(bytes).ok()?;
    let status = text.strip_prefix("HTTP/1.1 ")?.get(..3)?;
    let is_bare = text.ends_with("\r\n\r\n") && text.contains("\r\ncontent-length: 0\r\n");
    Problem::of_bare(StatusCode::from_bytes(status.as_bytes()).ok()?).filter(|_| is_bare)
}

impl<S: AsyncWrite + Unpin> Tap<S> {
    /// Writes what stands in the place of `bytes`, all of it.
    fn write_instead(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        while let Some((whole, written)) = &mut self.instead {
            let rest = whole.get(*written..).unwrap_or_default();
            if rest.is_empty() {
                self.instead = None;
                break;
            }
            let more = ready!(Pin::new(&mut self.stream).poll_write(context, rest))?;
            *written = written.saturating_add(more);
            if more == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        Poll::Ready(Ok(bytes.len()))
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
        if self.instead.is_none()
            && let Some(problem) = bare_refusal(bytes)
        {
            self.shared.count(|counters| bump(&mut counters.refused));
            self.instead = Some((problem.bytes(), 0));
        }
        let poll = if self.instead.is_some() {
            self.write_instead(context, bytes)
        } else {
            Pin::new(&mut self.stream).poll_write(context, bytes)
        };
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
