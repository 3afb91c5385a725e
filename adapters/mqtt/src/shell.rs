//! The middle of the shell: feeds the machine, performs its effects, keeps its deadline. Everything here runs on the
//! broker's thread, and no borrow is held across a call that could come back.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use castellan_core::broker::effect::{PublishOutcome, SubscribeOutcome, UnsubscribeOutcome};
use castellan_core::broker::event::SubscribeRequest;
use castellan_core::broker::message::{Delivery, Publication};
use castellan_core::broker::{Broker, BrokerEffect, BrokerEffects, BrokerEvent};
use castellan_core::effect::{BrokerOrder, ConnectRefusal, ConnectVerdict};
use castellan_core::event::BrokerReport;
use castellan_core::id::ConnectionId;
use castellan_core::time::Monotonic;
use castellan_core::why::Explanation;
use ntex_util::channel::{mpsc, oneshot};
use smol::channel::{Receiver, Sender};

use crate::outbox::Outbox;
use crate::pump::Sink;
use crate::{BrokerConfig, Clock, accept};

/// The answer to a CONNECT.
#[derive(Debug)]
pub(crate) enum ConnectAnswer {
    Accepted { note: Option<String> },
    Refused { refusal: ConnectRefusal, note: String },
}

/// The answer to a packet, given within the same `handle`.
#[derive(Debug)]
enum Answer {
    Publish(PublishOutcome),
    Subscribe(Vec<SubscribeOutcome>),
    Unsubscribe(Vec<UnsubscribeOutcome>),
}

/// The shell's side of one connection from CONNECT on.
#[derive(Debug)]
pub(crate) struct Link {
    /// Taken when the answer is there.
    pub(crate) answer: Option<oneshot::Sender<ConnectAnswer>>,
    pub(crate) deliveries: mpsc::Sender<Delivery>,
    pub(crate) sink: Sink,
}

/// The shell.
pub(crate) struct Shell {
    broker: RefCell<Broker>,
    links: RefCell<BTreeMap<ConnectionId, Link>>,
    outbox: Rc<Outbox>,
    clock: Clock,
    deadline: Cell<Option<Monotonic>>,
    wake_timer: Sender<()>,
    listening: Sender<()>,
    running: Sender<()>,
    pub(crate) waiting: accept::Waiting,
}

/// The life of the broker's thread.
pub(crate) async fn run(config: BrokerConfig, orders: Receiver<BrokerOrder>) {
    let BrokerConfig { listener, tls, settings, observe, clock, events } = config;
    let (wake_timer, woken) = smol::channel::bounded(1);
    let (listening, unlistened) = smol::channel::bounded(1);
    let (running, ended) = smol::channel::bounded::<()>(1);
    let shell = Rc::new(Shell {
        broker: RefCell::new(Broker::new(settings)),
        links: RefCell::default(),
        outbox: Rc::new(Outbox::new(events)),
        clock,
        deadline: Cell::new(None),
        wake_timer,
        listening,
        running,
        waiting: accept::Waiting::default(),
    });
    let front = accept::Front::new(Rc::clone(&shell), tls, observe, settings.max_packet_bytes);
    let accepting = ntex_rt::spawn(accept::accept_all(Rc::new(front), listener, unlistened));
    ntex_rt::spawn(keep_deadline(Rc::clone(&shell), woken));
    ntex_rt::spawn(take_orders(Rc::clone(&shell), orders));
    if ended.recv().await.is_ok() {
        log::error!("the broker's end was signalled in a way nobody uses; it ends all the same.");
    }
    if let Err(error) = accepting.await {
        log::error!("the broker's accept task ended badly: {error:?}");
    }
    shell.outbox.close_with(BrokerReport::Stopped).await;
}

async fn take_orders(shell: Rc<Shell>, orders: Receiver<BrokerOrder>) {
    while let Ok(order) = orders.recv().await {
        shell.drive(BrokerEvent::Ordered(order));
    }
    // Nobody can give orders any more; after an ordinary stop the machine has nothing left to do.
    if !shell.running.is_closed() && !shell.listening.is_closed() {
        shell.drive(BrokerEvent::Ordered(BrokerOrder::Stop));
    }
}

/// Tells the machine when its deadline is over.
async fn keep_deadline(shell: Rc<Shell>, woken: Receiver<()>) {
    loop {
        let changed = async { woken.recv().await.is_ok() };
        match shell.deadline.get() {
            None => {
                if !changed.await {
                    return;
                }
            }
            Some(at) => {
                let left = at.millis_since((shell.clock)().monotonic);
                let over = async {
                    async_io::Timer::after(Duration::from_millis(left)).await;
                    shell.drive(BrokerEvent::DeadlineReached);
                    true
                };
                if !smol::future::or(changed, over).await {
                    return;
                }
            }
        }
    }
}

impl Shell {
    /// Feeds one event and performs what follows.
    pub(crate) fn drive(&self, event: BrokerEvent) {
        if let Some(answer) = self.step(event) {
            log::error!("the broker machine answered what was not asked: {answer:?}");
        }
    }

    /// A PUBLISH and its acknowledgement.
    pub(crate) fn publish(&self, connection: ConnectionId, publication: Publication) -> PublishOutcome {
        match self.step(BrokerEvent::PublishReceived { connection, publication }) {
            Some(Answer::Publish(outcome)) => outcome,
            other => {
                log::error!("the broker machine answered a PUBLISH with {other:?}");
                PublishOutcome::NotAuthorized(String::from("The broker could not decide."))
            }
        }
    }

    /// A SUBSCRIBE and the outcome of each filter; none where the machine failed to say.
    pub(crate) fn subscribe(
        &self,
        connection: ConnectionId,
        requests: Vec<SubscribeRequest>,
        identifier: Option<u32>,
    ) -> Vec<SubscribeOutcome> {
        match self.step(BrokerEvent::SubscribeReceived { connection, requests, identifier }) {
            Some(Answer::Subscribe(outcomes)) => outcomes,
            other => {
                log::error!("the broker machine answered a SUBSCRIBE with {other:?}");
                Vec::new()
            }
        }
    }

    /// An UNSUBSCRIBE and the outcome of each filter.
    pub(crate) fn unsubscribe(&self, connection: ConnectionId, filters: Vec<String>) -> Vec<UnsubscribeOutcome> {
        match self.step(BrokerEvent::UnsubscribeReceived { connection, filters }) {
            Some(Answer::Unsubscribe(outcomes)) => outcomes,
            other => {
                log::error!("the broker machine answered an UNSUBSCRIBE with {other:?}");
                Vec::new()
            }
        }
    }

    /// One delivery is done; unless its connection has ended since.
    pub(crate) fn delivered(&self, connection: ConnectionId) {
        if self.links.borrow().contains_key(&connection) {
            self.drive(BrokerEvent::Delivered { connection });
        }
    }

    pub(crate) fn link(&self, connection: ConnectionId, link: Link) {
        self.links.borrow_mut().insert(connection, link);
    }

    /// Forgets a connection; whether the machine knows it.
    pub(crate) fn unlink(&self, connection: ConnectionId) -> bool {
        self.links.borrow_mut().remove(&connection).is_some()
    }

    fn step(&self, event: BrokerEvent) -> Option<Answer> {
        let mut events = VecDeque::from([event]);
        let mut answer = None;
        while let Some(event) = events.pop_front() {
            let now = (self.clock)();
            let mut effects = BrokerEffects::new();
            self.broker.borrow_mut().handle(now, event, &mut effects);
            for effect in effects {
                if let Some(given) = self.perform(effect, &mut events) {
                    answer = Some(given);
                }
            }
        }
        let deadline = self.broker.borrow().next_deadline().map(|deadline| deadline.at);
        if deadline != self.deadline.replace(deadline) && self.wake_timer.try_send(()).is_err() {
            log::trace!("the deadline task is awake already");
        }
        answer
    }

    fn perform(&self, effect: BrokerEffect, events: &mut VecDeque<BrokerEvent>) -> Option<Answer> {
        match effect {
            BrokerEffect::Report(report) => self.report(*report, events),
            BrokerEffect::AcceptConnect { connection, note } => {
                self.answer_connect(connection, ConnectAnswer::Accepted { note });
            }
            BrokerEffect::RefuseConnect { connection, refusal, note } => {
                self.answer_connect(connection, ConnectAnswer::Refused { refusal, note });
            }
            BrokerEffect::AcknowledgePublish { outcome, .. } => return Some(Answer::Publish(outcome)),
            BrokerEffect::AcknowledgeSubscribe { outcomes, .. } => return Some(Answer::Subscribe(outcomes)),
            BrokerEffect::AcknowledgeUnsubscribe { outcomes, .. } => return Some(Answer::Unsubscribe(outcomes)),
            BrokerEffect::Deliver { connection, delivery } => {
                let links = self.links.borrow();
                if links.get(&connection).is_none_or(|link| link.deliveries.send(delivery).is_err()) {
                    log::debug!("a message for connection {connection} came after its end");
                }
            }
            BrokerEffect::Close { connection, reason } => {
                // Closing calls no handler before it returns; the sink is cloned all the same, so that no borrow is held.
                let sink = self.links.borrow().get(&connection).map(|link| link.sink.clone());
                match sink {
                    Some(sink) => sink.close(reason),
                    None => log::debug!("connection {connection} is gone before it could be closed"),
                }
            }
            BrokerEffect::CloseListener => {
                self.listening.close();
            }
            BrokerEffect::Anomaly(text) => log::warn!("broker: {text}"),
            BrokerEffect::Finish => {
                self.running.close();
            }
        }
        None
    }

    fn report(&self, report: BrokerReport, events: &mut VecDeque<BrokerEvent>) {
        match report {
            // Sent last, by `run`, when the listener is really gone.
            BrokerReport::Stopped => {}
            BrokerReport::ConnectAsked { connection, .. } => {
                if !self.outbox.send_now(report) {
                    events.push_back(BrokerEvent::Ordered(BrokerOrder::AnswerConnect {
                        connection,
                        verdict: too_busy(),
                    }));
                }
            }
            BrokerReport::Connected { .. }
            | BrokerReport::Disconnected { .. }
            | BrokerReport::Published { .. }
            | BrokerReport::Denied(_)
            | BrokerReport::Dropped { .. } => self.outbox.send(report),
        }
        // Without the agent nobody revokes anything: a broker on its own must not go on.
        if self.outbox.is_closed() && !self.listening.is_closed() {
            log::error!("the agent no longer listens to the broker; the broker stops.");
            self.listening.close();
            events.push_back(BrokerEvent::Ordered(BrokerOrder::Stop));
        }
    }

    fn answer_connect(&self, connection: ConnectionId, answer: ConnectAnswer) {
        let sender = self.links.borrow_mut().get_mut(&connection).and_then(|link| link.answer.take());
        match sender.map(|sender| sender.send(answer)) {
            Some(Ok(())) => {}
            Some(Err(answer)) => log::debug!("connection {connection} ended before its answer: {answer:?}"),
            None => log::debug!("connection {connection} is gone before its CONNECT was answered"),
        }
    }
}

fn too_busy() -> ConnectVerdict {
    let explanation = Explanation::new(
        "The broker cannot take this connection now.",
        "The agent's queue of events is full.",
        "Connect again in a moment.",
    );
    ConnectVerdict::Refuse { reason: ConnectRefusal::ServerUnavailable, explanation }
}
