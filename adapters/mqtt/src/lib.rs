//! The MQTT broker's shell: MQTT 3.1.1 and 5.0 over TLS on ntex-mqtt, on a thread of its own, around the core's
//! [`Broker`] machine; and a small blocking client ([`client`]).
//!
//! It carries facts and orders: accepts connections, asks who is at the other end, does TLS and the protocol's packets,
//! and performs what the machine says. It decides nothing about permissions.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail by panicking")
)]

mod accept;
pub mod client;
mod connection;
mod outbox;
mod packets3;
mod packets5;
mod saving;
mod shell;
#[cfg(any(test, fuzzing))]
pub mod stranger;
mod wire;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use castellan_core::broker::stored::{Batch, Stored};
use castellan_core::broker::{Broker, BrokerSettings, CONNECTIONS};
use castellan_core::effect::BrokerOrder;
use castellan_core::event::{BrokerReport, Event};
use castellan_core::time::Now;
use castellan_core::trust::Witness;
use smol::channel::{Receiver, Sender, TrySendError};

use crate::outbox::{Outbox, Unread};
use crate::saving::Saver;
use crate::shell::{Kept, Traffic};

/// Orders that wait for the broker's thread: a burst of grants and answers for every connection it can hold.
const ORDERS: usize = CONNECTIONS;
/// Times that the shell is started again after a panic: one is an accident, as many as this are not.
const RESTARTS: u32 = 10;

/// Looks at a connection right after accept, before TLS; the next one is accepted after that. The [`Witness`] it returns is called
/// with the client's claim at CONNECT. Both run on a thread that may block.
pub type Observe = Arc<dyn Fn(&TcpStream) -> io::Result<Witness> + Send + Sync>;

/// Reads both clocks.
pub type Clock = Arc<dyn Fn() -> Now + Send + Sync>;

/// Keeps a batch on disk, all of it or nothing; the error says why. It runs on a thread of its own.
pub type Keep = Box<dyn FnMut(&Batch) -> Result<(), String> + Send>;

/// What the broker needs to start.
pub struct BrokerConfig {
    /// Bound and listening; the broker closes it when it stops.
    pub listener: TcpListener,
    /// Certificate and protocol versions.
    pub tls: Arc<rustls::ServerConfig>,
    /// What an administrator can set.
    pub settings: BrokerSettings,
    /// Who is at the other end of a connection.
    pub observe: Observe,
    /// Lower-case hex SHA-256 of a client certificate in DER, as [`CertificateFacts`](castellan_core::api::CertificateFacts) has it.
    pub fingerprint: fn(&[u8]) -> String,
    /// The clocks.
    pub clock: Clock,
    /// What the last start left.
    pub stored: Stored,
    /// Where it is kept.
    pub keep: Keep,
    /// Where reports go; each has to be told to [`BrokerHandle::taken`].
    pub events: Sender<Event>,
}

impl fmt::Debug for BrokerConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { listener, settings, .. } = self;
        formatter
            .debug_struct("BrokerConfig")
            .field("listener", listener)
            .field("settings", settings)
            .finish_non_exhaustive()
    }
}

/// An order was not taken: the broker's queue is full, or its thread has ended. The order is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueFull {
    /// Whether the broker's thread has ended, so that trying again is in vain.
    pub ended: bool,
}

impl fmt::Display for QueueFull {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.ended {
            "the broker's thread has ended; start it again"
        } else {
            "the broker's queue of orders is full; try again when it has caught up"
        })
    }
}

impl std::error::Error for QueueFull {}

/// The running broker. Dropping it stops the broker without waiting.
#[derive(Debug)]
pub struct BrokerHandle {
    orders: Sender<BrokerOrder>,
    unread: Unread,
    traffic: Arc<Traffic>,
    thread: JoinHandle<()>,
}

/// What every shell gets anew.
#[derive(Clone)]
pub(crate) struct House {
    tls: Arc<rustls::ServerConfig>,
    max_packet_bytes: u32,
    fingerprint: fn(&[u8]) -> String,
    clock: Clock,
}

/// Starts the broker's thread.
///
/// # Errors
/// The listener cannot be watched, or the thread cannot be made.
pub fn start(config: BrokerConfig) -> io::Result<BrokerHandle> {
    let BrokerConfig { listener, tls, settings, observe, fingerprint, clock, stored, keep, events } = config;
    let (orders, incoming) = smol::channel::bounded(ORDERS);
    let (arrivals, accepting) = accept::start(listener, observe)?;
    let house = House { tls, max_packet_bytes: settings.max_packet_bytes, fingerprint, clock };
    let unread = Unread::default();
    let counted = unread.clone();
    let traffic = Arc::<Traffic>::default();
    let measured = Arc::clone(&traffic);
    let saver = Saver::start(keep)?;
    let life = move || {
        let (broker, effects) = Broker::restore(settings, (house.clock)(), stored);
        let kept = Rc::new(Kept {
            broker: RefCell::new(broker),
            arrivals,
            accepting: RefCell::new(Some(accepting)),
            outbox: Rc::new(Outbox::new(events, counted)),
            last_connection: Cell::new(0),
            effects: RefCell::new(effects.into()),
            saver,
            traffic: measured,
        });
        live(&kept, &house, &incoming);
    };
    let thread = std::thread::Builder::new().name(String::from("broker")).spawn(life)?;
    Ok(BrokerHandle { orders, unread, traffic, thread })
}

/// The broker's thread: a shell around the machine, and another one where a panic ended it. The machine with its sessions and
/// retained messages stays; the connections are lost, and their clients come back.
fn live(kept: &Rc<Kept>, house: &House, orders: &Receiver<BrokerOrder>) {
    for panics in 0..=RESTARTS {
        let (kept, house, orders) = (Rc::clone(kept), house.clone(), orders.clone());
        let ended = catch_unwind(AssertUnwindSafe(|| {
            ntex_rt::System::build()
                .name("broker")
                .disable_signals()
                .panic_handling(false)
                // Nobody reads how late its tasks wake up; sampled, that would wake the agent twenty times a second.
                .ping_interval(0)
                .latency_interval(0)
                .build(ntex_net::DefaultRuntime)
                .block_on(shell::run(kept, house, orders));
        }));
        match ended {
            Ok(()) => return,
            Err(_) if panics < RESTARTS => log::error!(
                "the broker's shell panicked and is started again; its clients have to connect again. Report this."
            ),
            Err(_) => log::error!(
                "the broker's shell panicked {RESTARTS} times and is not started again. Start the agent again and report this."
            ),
        }
    }
    if catch_unwind(AssertUnwindSafe(|| kept.stop(&house.clock))).is_err() {
        log::error!("the broker panicked at its end, too; who was connected is not reported.");
    }
    smol::block_on(kept.close());
}

impl BrokerHandle {
    /// Hands over an order without waiting.
    ///
    /// # Errors
    /// [`QueueFull`], and the order is lost.
    pub fn order(&self, order: BrokerOrder) -> Result<(), QueueFull> {
        self.orders.try_send(order).map_err(|error| QueueFull { ended: matches!(error, TrySendError::Closed(_)) })
    }

    /// The agent has taken this report out of its queue. Messages that it has not taken are bounded by their bytes.
    pub fn taken(&self, report: &BrokerReport) {
        self.unread.leave(report);
    }

    /// How many messages clients published since the start, and how many were sent to clients.
    pub fn messages(&self) -> (u64, u64) {
        (self.traffic.received.load(Ordering::Relaxed), self.traffic.sent.load(Ordering::Relaxed))
    }

    /// Waits for the broker's thread to end; it does so after `BrokerOrder::Stop`, within
    /// [`STOP_MILLIS`](castellan_core::broker::STOP_MILLIS) and a little.
    pub fn join(self) {
        let Self { orders, unread: _, traffic: _, thread } = self;
        orders.close();
        if thread.join().is_err() {
            log::error!(
                "the broker's thread panicked; its connections are gone. Start the agent again and report this."
            );
        }
    }
}
