//! Responses that stay open: the agent appends to them, and hears when a client has left or does not read.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use castellan_core::api::ApiResponse;
use castellan_core::effect::StreamOrder;
use castellan_core::event::{Event, StreamEnd};
use castellan_core::id::RequestId;
use futures_lite::Stream;
use hyper::body::{Body, Bytes, Frame};
use smol::channel::{Receiver, Sender, TrySendError, bounded};

use super::limits::STREAM_QUEUE;
use super::slots::Busy;
use super::{Shared, bump};

/// What the agent answers a request with.
#[derive(Debug)]
pub(crate) enum Answer {
    /// All of it.
    Whole(ApiResponse),
    /// The head; the body follows as it comes.
    Open(ApiResponse, OpenBody),
}

/// The agent's end of an open response.
#[derive(Debug)]
pub(crate) struct OpenStream {
    chunks: Sender<Arc<[u8]>>,
    /// Its connection is not idle. Gone with this end: a client that was left behind may have to make room.
    busy: Option<Busy>,
}

/// Open responses by their request.
pub(crate) type Streams = BTreeMap<RequestId, OpenStream>;

/// The client's end: a body that ends when the agent's end is dropped and what was sent is written.
pub(crate) struct OpenBody {
    id: RequestId,
    shared: Arc<Shared>,
    first: Option<Bytes>,
    chunks: Pin<Box<Receiver<Arc<[u8]>>>>,
}

impl std::fmt::Debug for OpenBody {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("OpenBody").field("id", &self.id).finish_non_exhaustive()
    }
}

impl OpenBody {
    /// The response's own body comes first.
    pub(crate) fn begin_with(&mut self, body: Vec<u8>) {
        self.first = Some(Bytes::from(body)).filter(|body| !body.is_empty());
    }

    /// Its connection counts as busy while the agent keeps it open.
    pub(crate) fn keep_busy(&self, busy: Option<Busy>) {
        if let Some(stream) = self.shared.streams().get_mut(&self.id) {
            stream.busy = busy;
        }
    }
}

impl Body for OpenBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let chunk = ready!(self.chunks.as_mut().poll_next(context));
        Poll::Ready(chunk.map(|bytes| Ok(Frame::data(Bytes::from_owner(bytes)))))
    }
}

impl Drop for OpenBody {
    fn drop(&mut self) {
        // Whatever ended the connection: where the agent's end is still there, the agent did not want it to end.
        if self.shared.streams().remove(&self.id).is_some() {
            self.shared.tell_ended(self.id, StreamEnd::Left);
        }
    }
}

impl Shared {
    pub(super) fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the agent's queue is full it asks once more for the stream with its next event, and hears it then.
    fn tell_ended(&self, request: RequestId, why: StreamEnd) {
        if self.events.try_send(Event::StreamEnded { request, why }).is_err() {
            self.count(|counters| bump(&mut counters.overloaded));
        }
    }

    /// Carries out one order; never waits.
    pub(super) fn stream(self: &Arc<Self>, order: StreamOrder) {
        match order {
            StreamOrder::Open { request, response } => self.open(request, response),
            StreamOrder::Append { request, bytes } => self.append(request, bytes),
            StreamOrder::Finish { request } => drop(self.streams().remove(&request)),
        }
    }

    fn open(self: &Arc<Self>, id: RequestId, response: ApiResponse) {
        let Some(waiter) = self.waiting().remove(&id) else {
            return self.tell_ended(id, StreamEnd::Left);
        };
        let (sender, receiver) = bounded(STREAM_QUEUE);
        self.streams().insert(id, OpenStream { chunks: sender, busy: None });
        let body = OpenBody { id, shared: Arc::clone(self), first: None, chunks: Box::pin(receiver) };
        // A client that left in this moment takes the body with it, which tells the agent.
        if waiter.try_send(Answer::Open(response, body)).is_err() {
            self.count(|counters| bump(&mut counters.unclaimed));
        }
    }

    fn append(&self, id: RequestId, bytes: Arc<[u8]>) {
        let sent = self.streams().get(&id).map(|stream| stream.chunks.try_send(bytes));
        let why = match sent {
            Some(Ok(())) => return,
            Some(Err(TrySendError::Full(_))) => StreamEnd::NotRead,
            Some(Err(TrySendError::Closed(_))) | None => StreamEnd::Left,
        };
        if why == StreamEnd::NotRead {
            self.count(|counters| bump(&mut counters.not_read));
        }
        drop(self.streams().remove(&id));
        self.tell_ended(id, why);
    }
}
