//! What a program writes: read while it runs so that it never blocks, kept as head and tail so that it never grows.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_io::Async;
use castellan_core::effect::Owner;
use castellan_core::event::Captured;
use castellan_core::id::Component;
use castellan_core::limits::{OUTPUT_HALF_BYTES, PLUGIN_OUTPUT_BYTES};
use smol::channel::Receiver;
use smol::future::FutureExt;

/// Bytes of one read: the usual size of a pipe.
const CHUNK_BYTES: usize = 64 << 10;
/// Bytes still taken once the program has ended: the largest pipe an ordinary user can ask for holds no more.
const DRAIN_BYTES: usize = 1 << 20;

/// What is kept of a stream; it is read by one task and looked at by others.
pub(crate) type Shared = Arc<Mutex<Capture>>;

/// Head and tail of a stream.
#[derive(Debug, Clone)]
pub(crate) struct Capture {
    /// Bytes kept of the head.
    first: usize,
    /// Bytes kept of the tail.
    last: usize,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    omitted: u64,
}

impl Capture {
    /// Head and tail for a task, whose output is its result; the tail alone for a plugin, which writes for as long as it lives.
    pub(crate) fn of(owner: &Owner) -> Self {
        let (first, last) = match owner {
            Owner::Component(Component::Plugin(_)) => (0, PLUGIN_OUTPUT_BYTES),
            Owner::Component(_) | Owner::Elevation(_) => (OUTPUT_HALF_BYTES, OUTPUT_HALF_BYTES),
        };
        Self { first, last, head: Vec::new(), tail: VecDeque::new(), omitted: 0 }
    }

    /// Takes the next bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let room = self.first.saturating_sub(self.head.len()).min(bytes.len());
        let (first, rest) = bytes.split_at(room);
        self.head.extend_from_slice(first);
        self.tail.extend(rest);
        let surplus = self.tail.len().saturating_sub(self.last);
        self.tail.drain(..surplus);
        self.omitted = self.omitted.saturating_add(u64::try_from(surplus).unwrap_or(u64::MAX));
    }

    /// The whole if it fits, else head and tail.
    pub(crate) fn finish(mut self) -> Captured {
        if self.omitted == 0 {
            self.head.extend(self.tail.drain(..));
        }
        Captured { head: self.head, tail: self.tail.into(), omitted: self.omitted }
    }
}

/// Reads a pipe until its end, or until `ended` closes; then only what is there at once, as others may hold the pipe open.
pub(crate) async fn read_all(pipe: Async<File>, ended: Receiver<()>, capture: Shared) {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut left = DRAIN_BYTES;
    while left > 0 {
        let open = !ended.is_closed();
        let read = if open {
            let read = async { Some(pipe.read_with(|mut file| file.read(&mut chunk)).await) };
            // Nothing is ever sent: the channel only closes.
            let end = async { ended.recv().await.map_or(None, |()| None) };
            match read.or(end).await {
                Some(read) => read,
                None => continue,
            }
        } else {
            left = left.saturating_sub(CHUNK_BYTES);
            pipe.get_ref().read(&mut chunk)
        };
        match read {
            Ok(0) => break,
            Ok(count) => lock(&capture).push(chunk.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !open => break,
            Err(error) => {
                log::warn!("The output of a program cannot be read any further: {error}. What came before is kept.");
                break;
            }
        }
        // A program that writes without pause must not keep the executor to itself.
        smol::future::yield_now().await;
    }
}

/// What is kept at this moment.
pub(crate) fn kept(capture: &Shared) -> Captured {
    lock(capture).clone().finish()
}

fn lock(capture: &Shared) -> MutexGuard<'_, Capture> {
    capture.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
