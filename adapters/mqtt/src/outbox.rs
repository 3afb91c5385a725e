//! Reports to the agent: sent at once where its queue has room, else kept in a bounded backlog in their order; what does
//! not fit there either is counted and reported when there is room again.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use castellan_core::event::{BrokerReport, Event};
use smol::channel::{Sender, TrySendError};

/// Reports that wait while the agent's queue is full: a burst, not an outage.
const BACKLOG: usize = 4096;
/// How long the last reports may take when the broker stops.
const LAST_REPORTS: Duration = Duration::from_secs(2);

/// The way to the agent.
#[derive(Debug)]
pub(crate) struct Outbox {
    events: Sender<Event>,
    backlog: RefCell<VecDeque<Event>>,
    /// Whether a task is moving the backlog.
    flushing: Cell<bool>,
    lost: Cell<u64>,
}

impl Outbox {
    pub(crate) fn new(events: Sender<Event>) -> Self {
        Self { events, backlog: RefCell::default(), flushing: Cell::new(false), lost: Cell::new(0) }
    }

    /// Whether nobody receives any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.events.is_closed()
    }

    /// Sends if there is room now; `false` where there is not, and nothing is kept.
    pub(crate) fn send_now(&self, report: BrokerReport) -> bool {
        !self.flushing.get() && self.events.try_send(Event::Broker(report)).is_ok()
    }

    /// Sends, now or when there is room.
    pub(crate) fn send(self: &Rc<Self>, report: BrokerReport) {
        let event = Event::Broker(report);
        let waiting = if self.flushing.get() {
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
        self.keep_event(Event::Broker(report));
    }

    fn keep_event(&self, event: Event) {
        if self.backlog.borrow().len() >= BACKLOG {
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
            if self.events.send(event).await.is_err() {
                log::error!("nobody receives the broker's reports any more; the backlog is lost.");
                self.backlog.borrow_mut().clear();
                break;
            }
        }
        self.flushing.set(false);
    }

    fn next_waiting(&self) -> Option<Event> {
        let next = self.backlog.borrow_mut().pop_front();
        next.or_else(|| match self.lost.take() {
            0 => None,
            lost => Some(Event::Congested(format!(
                "The broker could not deliver {lost} reports (log messages, events, refusals): the agent's queue and a backlog of {BACKLOG} were full."
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
