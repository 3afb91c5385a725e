//! The middle of the shell: feeds the machine, performs its effects, keeps its deadline. Everything here runs on the
//! broker's thread, and no borrow is held across a call that could come back.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use async_io::Timer;
use castellan_core::broker::packet::{Incoming, Outgoing, ReasonCode};
use castellan_core::broker::{Broker, BrokerEffect, BrokerEffects, BrokerEvent};
use castellan_core::effect::{BrokerOrder, ConnectRefusal, ConnectVerdict};
use castellan_core::event::BrokerReport;
use castellan_core::id::ConnectionId;
use castellan_core::time::Monotonic;
use castellan_core::why::Explanation;
use ntex_io::IoRef;
use ntex_util::channel::oneshot;
use smol::channel::{Receiver, Sender};

use crate::accept::Arrival;
use crate::outbox::Outbox;
use crate::saving::Saver;
use crate::wire::Wire;
use crate::{Clock, House, accept};

/// The shell's side of one connection from CONNECT on.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) io: IoRef,
    pub(crate) wire: Rc<Wire>,
    /// Taken when the CONNECT is answered, or the connection closed.
    pub(crate) answer: Option<oneshot::Sender<()>>,
}

/// What outlives a shell that panicked.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) broker: RefCell<Broker>,
    /// Closed when the machine wants no more connections; then the listener goes.
    pub(crate) arrivals: Receiver<Arrival>,
    /// The thread that has the listener.
    pub(crate) accepting: RefCell<Option<JoinHandle<()>>>,
    pub(crate) outbox: Rc<Outbox>,
    pub(crate) last_connection: Cell<u64>,
    /// What the machine has ordered and nobody has performed yet.
    pub(crate) effects: RefCell<VecDeque<BrokerEffect>>,
    pub(crate) saver: Saver,
    pub(crate) traffic: Arc<Traffic>,
}

/// Messages of clients since the start.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
}

/// The shell.
pub(crate) struct Shell {
    /// For tasks that outlive the call that starts them.
    own: Weak<Self>,
    pub(crate) kept: Rc<Kept>,
    links: RefCell<BTreeMap<ConnectionId, Link>>,
    clock: Clock,
    /// When the timer goes off.
    armed: Cell<Option<Monotonic>>,
    wake_timer: Sender<()>,
    running: Sender<()>,
    pub(crate) waiting: accept::Waiting,
}

impl Kept {
    fn next_effect(&self) -> Option<BrokerEffect> {
        self.effects.borrow_mut().pop_front()
    }

    /// Stops the machine where no shell is left to do so; what it reports waits for [`Kept::close`].
    pub(crate) fn stop(&self, clock: &Clock) {
        let mut effects = BrokerEffects::new();
        for event in [BrokerEvent::AllConnectionsLost, BrokerEvent::Ordered(BrokerOrder::Stop)] {
            self.broker.borrow_mut().handle(clock(), event, &mut effects);
        }
        for effect in self.effects.take().into_iter().chain(effects) {
            match effect {
                BrokerEffect::Report(report) if !matches!(*report, BrokerReport::Stopped) => self.outbox.keep(*report),
                BrokerEffect::Anomaly(text) => log::warn!("broker: {text}"),
                // The thread that writes ends after it.
                BrokerEffect::Save(batch) => self.saver.save_last(batch),
                BrokerEffect::Report(_)
                | BrokerEffect::Send { .. }
                | BrokerEffect::AwaitFlush { .. }
                | BrokerEffect::Close { .. }
                | BrokerEffect::CloseListener
                | BrokerEffect::Finish => {}
            }
        }
    }

    /// The end: waits until the listener is gone and says so, after everything else.
    pub(crate) async fn close(&self) {
        self.arrivals.close();
        let accepting = self.accepting.take();
        if accepting.is_some_and(|accepting| accepting.join().is_err()) {
            log::error!("the thread that accepts MQTT connections panicked. Report this.");
        }
        self.outbox.close_with(BrokerReport::Stopped).await;
    }
}

/// The life of one shell: to the end of the broker, or to a panic.
pub(crate) async fn run(kept: Rc<Kept>, house: House, orders: Receiver<BrokerOrder>) {
    let clock = Arc::clone(&house.clock);
    let (wake_timer, woken) = smol::channel::bounded(1);
    let (running, ended) = smol::channel::bounded::<()>(1);
    let shell = Rc::new_cyclic(|own| Shell {
        own: Weak::clone(own),
        kept: Rc::clone(&kept),
        links: RefCell::default(),
        clock,
        armed: Cell::new(None),
        wake_timer,
        running,
        waiting: accept::Waiting::default(),
    });
    kept.outbox.resume();
    // Nothing at the first start.
    shell.drive(BrokerEvent::AllConnectionsLost);
    let front = accept::Front::new(Rc::clone(&shell), house);
    ntex_rt::spawn(accept::serve_all(Rc::new(front), kept.arrivals.clone()));
    ntex_rt::spawn(keep_deadline(Rc::clone(&shell), woken));
    ntex_rt::spawn(take_orders(Rc::clone(&shell), orders));
    ntex_rt::spawn(take_answers(Rc::clone(&shell), kept.saver.answers()));
    if ended.recv().await.is_ok() {
        log::error!("the broker's end was signalled in a way nobody uses; it ends all the same.");
    }
    kept.close().await;
}

async fn take_orders(shell: Rc<Shell>, orders: Receiver<BrokerOrder>) {
    while let Ok(order) = orders.recv().await {
        shell.drive(BrokerEvent::Ordered(order));
    }
    // Nobody can give orders any more; after an ordinary stop the machine has nothing left to do.
    if !shell.running.is_closed() && !shell.kept.arrivals.is_closed() {
        shell.drive(BrokerEvent::Ordered(BrokerOrder::Stop));
    }
}

/// Tells the machine what is saved.
async fn take_answers(shell: Rc<Shell>, answers: Receiver<BrokerEvent>) {
    while let Ok(answer) = answers.recv().await {
        shell.drive(answer);
    }
}

/// Tells the machine when its deadline is over.
async fn keep_deadline(shell: Rc<Shell>, woken: Receiver<()>) {
    loop {
        let deadline = shell.kept.broker.borrow().next_deadline().map(|deadline| deadline.at);
        shell.armed.set(deadline);
        let changed = async { woken.recv().await.is_ok() };
        let over = async {
            let Some(at) = deadline else {
                return std::future::pending().await;
            };
            Timer::after(Duration::from_millis(at.millis_since((shell.clock)().monotonic))).await;
            shell.drive(BrokerEvent::DeadlineReached);
            true
        };
        if !smol::future::or(changed, over).await {
            return;
        }
    }
}

impl Shell {
    /// Feeds one event and performs what follows.
    pub(crate) fn drive(&self, event: BrokerEvent) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            if matches!(&event, BrokerEvent::Received { packet, .. } if matches!(packet, Incoming::Publish(_))) {
                self.kept.traffic.received.fetch_add(1, Ordering::Relaxed);
            }
            let now = (self.clock)();
            let mut effects = BrokerEffects::new();
            self.kept.broker.borrow_mut().handle(now, event, &mut effects);
            self.kept.effects.borrow_mut().extend(effects);
            while let Some(effect) = self.kept.next_effect() {
                self.perform(effect, &mut events);
            }
        }
        // A timer that goes off early does no harm; to set it anew for each packet and each CONNECT would wake another thread each time.
        let deadline = self.kept.broker.borrow().next_deadline();
        let is_earlier = deadline.is_some_and(|deadline| self.armed.get().is_none_or(|armed| deadline.at < armed));
        if is_earlier && self.wake_timer.try_send(()).is_err() {
            log::trace!("the deadline task is awake already");
        }
    }

    pub(crate) fn next_connection(&self) -> ConnectionId {
        let number = self.kept.last_connection.get().saturating_add(1);
        self.kept.last_connection.set(number);
        ConnectionId(number)
    }

    pub(crate) fn link(&self, connection: ConnectionId, link: Link) {
        self.links.borrow_mut().insert(connection, link);
    }

    /// Forgets a connection; whether the machine knows it.
    pub(crate) fn unlink(&self, connection: ConnectionId) -> bool {
        self.links.borrow_mut().remove(&connection).is_some()
    }

    fn perform(&self, effect: BrokerEffect, events: &mut VecDeque<BrokerEvent>) {
        match effect {
            BrokerEffect::Report(report) => self.report(*report, events),
            BrokerEffect::Send { connection, packet } => self.send(connection, packet),
            BrokerEffect::AwaitFlush { connection } => self.await_flush(connection, events),
            BrokerEffect::Close { connection, reason, note } => self.close(connection, reason, note),
            BrokerEffect::Save(batch) => events.extend(self.kept.saver.save(batch)),
            BrokerEffect::CloseListener => {
                self.kept.arrivals.close();
            }
            BrokerEffect::Anomaly(text) => log::warn!("broker: {text}"),
            BrokerEffect::Finish => {
                self.running.close();
            }
        }
    }

    fn send(&self, connection: ConnectionId, packet: Outgoing) {
        if matches!(packet, Outgoing::Publish(_)) {
            self.kept.traffic.sent.fetch_add(1, Ordering::Relaxed);
        }
        let mut links = self.links.borrow_mut();
        let Some(link) = links.get_mut(&connection) else {
            log::debug!("a packet for connection {connection} came after its end");
            return;
        };
        let is_first = matches!(packet, Outgoing::ConnectAck(_));
        if is_first {
            link.open();
        }
        // Only a packet that this client cannot take fails here (MQTT 5.0 3.1.2.11.4); a broken connection is found when it is read.
        if let Err(error) = link.io.encode(packet, &*link.wire) {
            log::warn!("a packet for connection {connection} was not sent: {error}");
            if is_first {
                link.io.close();
            }
        }
    }

    /// Tells the machine when the peer has read most of what was sent.
    fn await_flush(&self, connection: ConnectionId, events: &mut VecDeque<BrokerEvent>) {
        let io = self.links.borrow().get(&connection).map(|link| link.io.clone());
        let Some((io, shell)) = io.zip(self.own.upgrade()) else {
            log::debug!("connection {connection} ended while much waited for it");
            return;
        };
        if !io.is_wr_backpressure() {
            events.push_back(BrokerEvent::Flushed { connection });
            return;
        }
        ntex_rt::spawn(async move {
            match io.write_ready().await {
                Ok(()) => shell.drive(BrokerEvent::Flushed { connection }),
                // The library leaves a connection open whose peer has not read in time. One that is closed already may still say why.
                Err(error) => {
                    log::debug!("connection {connection} ends while much waits for it: {error}");
                    if error.kind() == ErrorKind::TimedOut {
                        io.terminate();
                    }
                }
            }
        });
    }

    fn close(&self, connection: ConnectionId, reason: Option<ReasonCode>, note: Option<String>) {
        let mut links = self.links.borrow_mut();
        let Some(link) = links.get_mut(&connection) else {
            log::debug!("connection {connection} is gone before it could be closed");
            return;
        };
        if let Some(reason) = reason {
            link.wire.say_goodbye(&link.io, reason, note);
        }
        link.io.close();
        link.open();
    }

    fn report(&self, report: BrokerReport, events: &mut VecDeque<BrokerEvent>) {
        match report {
            // Sent last, by `Kept::close`, when the listener is really gone.
            BrokerReport::Stopped => {}
            BrokerReport::ConnectAsked { connection, .. } => {
                if !self.kept.outbox.send_soon(report) {
                    self.kept.outbox.note_refused_connect();
                    events.push_back(BrokerEvent::Ordered(BrokerOrder::AnswerConnect {
                        connection,
                        verdict: too_busy(),
                    }));
                }
            }
            BrokerReport::Connected { .. }
            | BrokerReport::Disconnected { .. }
            | BrokerReport::Published { .. }
            | BrokerReport::Traced { .. }
            | BrokerReport::Denied(_)
            | BrokerReport::DeniedAgain { .. }
            | BrokerReport::LogDropped { .. }
            | BrokerReport::Dropped { .. } => self.kept.outbox.send(report),
        }
        // Without the agent nobody revokes anything: a broker on its own must not go on.
        if self.kept.outbox.is_closed() && !self.kept.arrivals.is_closed() {
            log::error!("the agent no longer listens to the broker; the broker stops.");
            self.kept.arrivals.close();
            events.push_back(BrokerEvent::Ordered(BrokerOrder::Stop));
        }
    }
}

impl Link {
    /// Lets the connection's task go on.
    fn open(&mut self) {
        if self.answer.take().is_some_and(|answer| answer.send(()).is_err()) {
            log::debug!("a connection ended before its CONNECT was answered");
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
