//! Reports to the agent: sent at once where its queue has room, else kept in a bounded backlog in their order; what does
//! not fit there either is counted and reported when there is room again. Messages are bounded by their bytes, too. Long before that
//! whoever sent one waits with its next packet, so that a burst fills the sockets and is not lost.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use castellan_core::event::{BrokerReport, Event};
use smol::channel::{Sender, TrySendError};

/// Reports that wait while the agent's queue is full: a burst, not an outage.
const BACKLOG: usize = 4096;
/// Bytes of handed-over messages that the agent has not taken yet: some of the largest, or a burst of usual ones.
const UNREAD_BYTES: usize = 16 << 20;
/// Half of either bound: from there on a client that sends such messages is read no further. The other half is more than one message of
/// every client there can be.
const BEHIND: (usize, usize) = (BACKLOG / 2, UNREAD_BYTES / 2);
/// Between two looks at whether the agent has caught up.
const LOOK: Duration = Duration::from_millis(2);
/// Looks until a client is read on in any case, so that its keep-alive is heard: two seconds.
const LOOKS: u32 = 1000;
/// How long the last reports may take when the broker stops.
const LAST_REPORTS: Duration = Duration::from_secs(2);

/// Bytes of messages on their way to the agent; counted here, and given back when the agent has taken a report.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unread(Arc<AtomicUsize>);

impl Unread {
    /// Whether a report still fits, and then it is counted.
    fn enter(&self, report: &BrokerReport) -> bool {
        let bytes = message_bytes(report);
        let fits = |unread: usize| Some(unread.saturating_add(bytes)).filter(|all| *all <= UNREAD_BYTES || bytes == 0);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    /// The agent has taken this report.
    pub(crate) fn leave(&self, report: &BrokerReport) {
        self.0.fetch_sub(message_bytes(report), Ordering::Relaxed);
    }
}

fn message_bytes(report: &BrokerReport) -> usize {
    match report {
        BrokerReport::Published { topic, payload, .. } => topic.len().saturating_add(payload.len()),
        BrokerReport::Traced { .. }
        | BrokerReport::ConnectAsked { .. }
        | BrokerReport::Connected { .. }
        | BrokerReport::Disconnected { .. }
        | BrokerReport::Denied(_)
        | BrokerReport::DeniedAgain { .. }
        | BrokerReport::LogDropped { .. }
        | BrokerReport::Dropped { .. }
        | BrokerReport::Stopped => 0,
    }
}

/// The way to the agent.
#[derive(Debug)]
pub(crate) struct Outbox {
    events: Sender<Event>,
    unread: Unread,
    backlog: RefCell<VecDeque<Event>>,
    /// Whether a task is moving the backlog.
    flushing: Cell<bool>,
    lost: Cell<u64>,
    /// CONNECTs that the agent was too far behind to be asked about.
    refused_connects: Cell<u64>,
    /// Messages handed over since the start.
    messages: Cell<u64>,
}

impl Outbox {
    pub(crate) fn new(events: Sender<Event>, unread: Unread) -> Self {
        Self {
            events,
            unread,
            backlog: RefCell::default(),
            flushing: Cell::new(false),
            lost: Cell::new(0),
            refused_connects: Cell::new(0),
            messages: Cell::new(0),
        }
    }

    /// Whether nobody receives any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.events.is_closed()
    }

    /// Sends in its turn, where that comes soon; `false` where the agent is far behind, and nothing is kept.
    pub(crate) fn send_soon(self: &Rc<Self>, report: BrokerReport) -> bool {
        let (reports, _) = BEHIND;
        let is_soon = !self.is_closed() && self.backlog.borrow().len() < reports;
        if is_soon {
            self.send(report);
        }
        is_soon
    }

    /// Says how many CONNECTs were refused because the agent was behind, each time that the number has doubled.
    pub(crate) fn note_refused_connect(&self) {
        let refused = self.refused_connects.get().saturating_add(1);
        self.refused_connects.set(refused);
        if refused.is_power_of_two() {
            log::warn!(
                "{refused} CONNECTs were refused since the start, as the agent is behind with what clients sent (MQTT reason 0x88, \
                 return code 3). Clients may try again at once; see who sends that much: castellan topics watch '#'."
            );
        }
    }

    /// Messages of clients that were handed over since the start.
    pub(crate) fn messages(&self) -> u64 {
        self.messages.get()
    }

    /// Waits until the agent has caught up, or does not for a while.
    pub(crate) async fn wait_for_room(&self) {
        let (reports, bytes) = BEHIND;
        for _ in 0..LOOKS {
            if self.backlog.borrow().len() < reports && self.unread.0.load(Ordering::Relaxed) < bytes {
                return;
            }
            async_io::Timer::after(LOOK).await;
        }
    }

    /// Sends, now or when there is room.
    pub(crate) fn send(self: &Rc<Self>, report: BrokerReport) {
        if matches!(report, BrokerReport::Published { .. }) {
            self.messages.set(self.messages.get().saturating_add(1));
        }
        if !self.unread.enter(&report) {
            // Told with the next report; one of them at the latest says that the client is gone.
            self.lost.set(self.lost.get().saturating_add(1));
            return;
        }
        let event = Event::Broker(report);
        let waiting = if self.flushing.get() || self.lost.get() > 0 || self.is_crowded() {
            event
        } else {
            match self.events.try_send(event) {
                Ok(()) => return,
                Err(TrySendError::Full(event)) => event,
                Err(TrySendError::Closed(event)) => {
                    log::error!("nobody receives the broker's reports any more; lost: {event:?}");
                    return;
                }
            }
        };
        self.keep_event(waiting);
        if !self.flushing.replace(true) {
            let outbox = Rc::clone(self);
            ntex_rt::spawn(async move { outbox.flush().await });
        }
    }

    /// Keeps a report for [`Outbox::close_with`].
    pub(crate) fn keep(&self, report: BrokerReport) {
        if self.unread.enter(&report) {
            self.keep_event(Event::Broker(report));
        } else {
            self.lost.set(self.lost.get().saturating_add(1));
        }
    }

    fn keep_event(&self, event: Event) {
        if self.backlog.borrow().len() >= BACKLOG {
            if let Event::Broker(report) = &event {
                self.unread.leave(report);
            }
            self.lost.set(self.lost.get().saturating_add(1));
        } else {
            self.backlog.borrow_mut().push_back(event);
        }
    }

    /// Goes on moving the backlog where a shell that failed was doing so.
    pub(crate) fn resume(self: &Rc<Self>) {
        if self.flushing.get() {
            let outbox = Rc::clone(self);
            ntex_rt::spawn(async move { outbox.flush().await });
        }
    }

    /// Moves the backlog as the agent makes room.
    async fn flush(&self) {
        while let Some(event) = self.next_waiting() {
            while self.is_crowded() && !self.is_closed() {
                async_io::Timer::after(LOOK).await;
            }
            if self.events.send(event).await.is_err() {
                log::error!("nobody receives the broker's reports any more; the backlog is lost.");
                self.backlog.borrow_mut().clear();
                break;
            }
        }
        self.flushing.set(false);
    }

    /// Whether the last quarter of the agent's queue has begun, which is for what others have to tell it.
    fn is_crowded(&self) -> bool {
        self.events.capacity().is_some_and(|places| self.events.len() > places.saturating_mul(3) / 4)
    }

    fn next_waiting(&self) -> Option<Event> {
        let next = self.backlog.borrow_mut().pop_front();
        next.or_else(|| match self.lost.take() {
            0 => None,
            lost => Some(Event::Congested(format!(
                "The broker could not deliver {lost} reports (log messages, events, refusals): the agent's queue and a backlog of {BACKLOG} were full, or messages of {UNREAD_BYTES} bytes waited in them."
            ))),
        })
    }

    /// Sends everything that waits, and this last; gives up after [`LAST_REPORTS`].
    pub(crate) async fn close_with(&self, last: BrokerReport) {
        let all = async {
            while let Some(event) = self.next_waiting() {
                self.events.send(event).await?;
            }
            self.events.send(Event::Broker(last)).await
        };
        let limit = async {
            async_io::Timer::after(LAST_REPORTS).await;
            Err(smol::channel::SendError(Event::Congested(String::from("the agent does not read its events"))))
        };
        if let Err(error) = smol::future::or(all, limit).await {
            log::error!("the broker's last reports are lost: {error}");
        }
    }
}

#[cfg(test)]
mod tests;
