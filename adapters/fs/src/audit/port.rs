//! The audit's thread: appends what the agent orders. Entries that wait together are brought to disk together.
//!
//! An entry that somebody waits for is written or refused. One that nobody waits for is kept while the disk does not take it, and tried
//! again; where too many are kept, later ones are lost, and an entry says how many.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::iter;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use castellan_core::audit::chain::Head;
use castellan_core::audit::{Act, Entry};
use castellan_core::effect::AuditOrder;
use castellan_core::event::Event;
use castellan_core::id::TicketId;
use smol::channel::{Receiver, Sender, TrySendError, bounded};
use smol::future::or;

use super::{AGENT, AuditFile, NotAppended, TOGETHER};

/// Orders that wait. An elevation needs a handful; beyond it the disk has stopped.
const QUEUE: usize = 4096;
/// Entries that nobody waits for and that are kept while the disk does not take them.
const KEPT: usize = 1024;
/// Until those are tried again, where no order comes.
const AGAIN: Duration = Duration::from_secs(1);

/// The audit's queue is full or closed; the entry was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditQueueFull;

impl fmt::Display for AuditQueueFull {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the audit is closed, or the disk is so slow that {QUEUE} entries wait")
    }
}

impl std::error::Error for AuditQueueFull {}

type Ordered = (Option<TicketId>, Box<Entry>);

/// The running audit. Dropping it finishes the queue as [`Audit::close`] does.
#[derive(Debug)]
pub struct Audit {
    /// `None` once it is closed.
    queue: Option<SyncSender<Ordered>>,
    head: Arc<Mutex<Head>>,
    /// Closed once nobody may be waited for any more.
    closing: Sender<()>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

impl Audit {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(file: AuditFile, events: Sender<Event>) -> io::Result<Self> {
        let (queue, orders) = sync_channel(QUEUE);
        let (closing, closed) = bounded(1);
        let head = Arc::new(Mutex::new(file.head()));
        let writer = Writer { file, head: Arc::clone(&head), kept: VecDeque::new(), lost: 0, events, closed };
        let thread = std::thread::Builder::new().name(String::from("audit")).spawn(move || writer.work(&orders))?;
        Ok(Self { queue: Some(queue), head, closing, thread: Some(thread) })
    }

    /// Takes an order; never blocks. With a ticket its answer comes as [`Event::Audited`].
    ///
    /// # Errors
    /// [`AuditQueueFull`].
    pub fn order(&self, order: AuditOrder) -> Result<(), AuditQueueFull> {
        let AuditOrder::Append { ticket, entry } = order;
        let taken = self.queue.as_ref().is_some_and(|queue| queue.try_send((ticket, entry)).is_ok());
        if taken { Ok(()) } else { Err(AuditQueueFull) }
    }

    /// The last entry that is on disk.
    pub fn head(&self) -> Head {
        *shared(&self.head)
    }

    /// Writes what is queued, then ends; the last entry.
    ///
    /// # Errors
    /// Entries are lost: the disk does not take them, or the thread had panicked.
    pub fn close(mut self) -> io::Result<Head> {
        self.finish()?;
        Ok(self.head())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.queue = None;
        self.closing.close();
        match self.thread.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(why))) => Err(io::Error::other(why)),
            Some(Err(_)) => Err(io::Error::other("the audit's thread panicked; entries may be lost")),
        }
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        // Whoever wants to know calls `close`; the panic itself was printed when it happened.
        drop(self.finish());
    }
}

/// A head is whole whatever happened to who held it.
fn shared(head: &Mutex<Head>) -> MutexGuard<'_, Head> {
    head.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Writer {
    file: AuditFile,
    head: Arc<Mutex<Head>>,
    /// Entries that nobody waits for and that the disk did not take yet, oldest first.
    kept: VecDeque<Box<Entry>>,
    /// Those for which there was no room.
    lost: u64,
    events: Sender<Event>,
    closed: Receiver<()>,
}

impl Writer {
    fn work(mut self, orders: &mpsc::Receiver<Ordered>) -> Result<(), String> {
        self.tell_notices();
        loop {
            let next = if self.kept.is_empty() {
                orders.recv().map_err(RecvTimeoutError::from)
            } else {
                orders.recv_timeout(AGAIN)
            };
            match next {
                Ok(first) => self.append(iter::once(first).chain(orders.try_iter().take(TOGETHER - 1)).collect()),
                Err(RecvTimeoutError::Timeout) => self.append(Vec::new()),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.tell_notices();
        }
        if !self.kept.is_empty() {
            self.append(Vec::new());
        }
        match self.kept.len() {
            0 => Ok(()),
            left => Err(format!("{left} entries of the audit could not be written and are lost; the log says why.")),
        }
    }

    /// What was kept comes first, as it happened before.
    fn append(&mut self, mut ordered: Vec<Ordered>) {
        while !self.kept.is_empty() {
            let kept: Vec<&Entry> = self.kept.iter().take(TOGETHER).map(Box::as_ref).collect();
            let count = kept.len();
            if let Err(error) = self.file.append(&kept) {
                // Each was fit to be written, so the disk still does not take them.
                return self.refuse(ordered, &error);
            }
            self.kept.drain(..count);
        }
        if self.lost > 0
            && let Some((_, latest)) = ordered.first()
        {
            let entry = Entry {
                who: AGENT.to_owned(),
                request: None,
                what: Act::Lost { entries: self.lost },
                ..*latest.clone()
            };
            match self.file.append(&[&entry]) {
                Ok(()) => self.lost = 0,
                Err(error) => return self.refuse(ordered, &error),
            }
        }
        while !ordered.is_empty() {
            let entries: Vec<&Entry> = ordered.iter().map(|(_, entry)| entry.as_ref()).collect();
            match self.file.append(&entries) {
                Ok(()) => break,
                Err(NotAppended::Unfit { place, why }) => {
                    let (ticket, _) = ordered.remove(place);
                    self.answer(ticket, &Err(why));
                }
                Err(error) => return self.refuse(ordered, &error),
            }
        }
        *shared(&self.head) = self.file.head();
        for (ticket, _) in ordered {
            if ticket.is_some() {
                self.answer(ticket, &Ok(()));
            }
        }
    }

    /// The disk does not take them now: whoever waits is told, and the rest is kept.
    fn refuse(&mut self, ordered: Vec<Ordered>, error: &NotAppended) {
        *shared(&self.head) = self.file.head();
        let before = self.kept.len();
        for (ticket, entry) in ordered {
            match ticket {
                Some(_) => self.answer(ticket, &Err(error.to_string())),
                None if self.kept.len() < KEPT => self.kept.push_back(entry),
                None => self.lost = self.lost.saturating_add(1),
            }
        }
        if before == 0 && !self.kept.is_empty() {
            let told =
                format!("audit: {error} Entries that nobody waits for are kept, at most {KEPT}, and tried again.");
            self.report(Event::Congested(told));
        }
    }

    fn tell_notices(&mut self) {
        for notice in self.file.take_notices() {
            self.report(Event::Congested(format!("audit: {notice}")));
        }
    }

    /// Tells whoever waits; where nobody does, that an entry is lost.
    fn answer(&mut self, ticket: Option<TicketId>, result: &Result<(), String>) {
        match (ticket, result) {
            (Some(ticket), result) => self.report(Event::Audited { ticket, result: result.clone() }),
            (None, Err(why)) => {
                self.lost = self.lost.saturating_add(1);
                self.report(Event::Congested(format!("audit: {why}")));
            }
            (None, Ok(())) => {}
        }
    }

    /// Waits for room in the agent's queue for as long as the audit is open.
    fn report(&self, event: Event) {
        let Err(TrySendError::Full(event)) = self.events.try_send(event) else { return };
        let sent = async { self.events.send(event).await.is_ok() };
        let closed = async { self.closed.recv().await.is_ok() };
        smol::block_on(or(sent, closed));
    }
}
