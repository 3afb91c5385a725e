//! The store's thread: carries out orders one after the other and reports each.

mod waiting;

use std::fmt;
use std::io;
use std::iter;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use castellan_core::configuration_policy::PolicyDocument;
use castellan_core::effect::StoreOrder;
use castellan_core::event::{Event, StoreReport};
use castellan_core::id::TicketId;
use castellan_core::lkg::{Checked, Survey};
use castellan_core::time::WallTime;
use smol::channel::{Receiver, Sender, TrySendError, bounded};
use smol::future::or;

use crate::certificates::AdminAuthority;
use crate::history::{History, Kept};
use crate::lkg::Guard;
use crate::lkg::survey::Where;
use crate::lkg::watch::{Looks, Watcher};
use crate::mfa;
use crate::policies::PolicyReader;
use crate::settings::SettingStore;
use waiting::{Record, Waiting, brings_record};

/// Orders that wait. Each run needs a handful, and the core admits a few hundred runs; beyond it the disk has stopped.
const QUEUE: usize = 4096;

/// Records that are not on disk yet are brought there when no order came for so long: a start has other use for the disk and
/// the cores, and mostly a record that has to be on disk takes them along.
const QUIET: Duration = Duration::from_millis(100);

/// So many orders at most are carried out before that, so that it happens within a second however they come.
const UNSYNCED_ORDERS: u32 = 8;

/// Records that wait together are written together, so many at most: one more would keep the first ones waiting for longer
/// than bringing them to disk takes.
const TOGETHER: usize = 64;

/// The store's queue is full or closed; the order of this ticket (notes have none) was not taken and will have no report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueFull(pub Option<TicketId>);

impl fmt::Display for QueueFull {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = self.0.map_or_else(|| String::from("a note"), |ticket| format!("order {ticket}"));
        write!(
            formatter,
            "the store did not take {order}: it is closed, or the disk is so slow that {QUEUE} orders wait"
        )
    }
}

impl std::error::Error for QueueFull {}

const fn ticket(order: &StoreOrder) -> Option<TicketId> {
    match order {
        StoreOrder::Note(_) | StoreOrder::SettleHeld => None,
        StoreOrder::PersistRun { ticket, .. }
        | StoreOrder::KeepElevation { ticket, .. }
        | StoreOrder::ReadRuns { ticket, .. }
        | StoreOrder::ReadElevations { ticket, .. }
        | StoreOrder::ChangeDefinitions { ticket, .. }
        | StoreOrder::ReadDefinitions { ticket }
        | StoreOrder::Survey { ticket, .. }
        | StoreOrder::Restore { ticket, .. }
        | StoreOrder::ReadReferences { ticket, .. }
        | StoreOrder::Rekey { ticket }
        | StoreOrder::WriteSettings { ticket, .. }
        | StoreOrder::ReadPolicies { ticket, .. }
        | StoreOrder::KeepPolicies { ticket, .. }
        | StoreOrder::Mfa { ticket, .. }
        | StoreOrder::ChangeCertificates { ticket, .. } => Some(*ticket),
    }
}

enum Work {
    Order(Box<StoreOrder>),
    /// The watcher knows where to look.
    Look,
    Prune {
        days: u32,
        now: WallTime,
    },
}

/// The running store. Dropping it finishes the queue as [`Store::close`] does.
#[derive(Debug)]
pub struct Store {
    /// `None` once it is closed.
    queue: Option<SyncSender<Work>>,
    /// It has a hold of the queue, too.
    watcher: Option<Watcher>,
    /// Closed once nobody may be waited for any more.
    closing: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Store {
    /// Starts the thread, and the one that watches the folders of definitions.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(
        guard: Guard,
        history: History,
        settings: SettingStore,
        policies: PolicyReader,
        events: Sender<Event>,
    ) -> io::Result<Self> {
        let (queue, work) = sync_channel(QUEUE);
        let (closing, closed) = bounded(1);
        let looks = guard.looks();
        let (teller, root, plugin_path) = (queue.clone(), guard.root().clone(), guard.plugin_path().to_owned());
        let worker = Worker {
            guard,
            history,
            settings,
            policies,
            looks: Arc::clone(&looks),
            has_looked: false,
            events,
            closed,
            waiting: Vec::new(),
        };
        let thread = std::thread::Builder::new().name(String::from("store")).spawn(move || worker.work(&work))?;
        let watcher = Watcher::start(&root, &plugin_path, looks, move || teller.try_send(Work::Look).is_ok())?;
        Ok(Self { queue: Some(queue), watcher: Some(watcher), closing, thread: Some(thread) })
    }

    /// Takes an order; never blocks. Its report comes as [`Event::Store`].
    ///
    /// # Errors
    /// [`QueueFull`].
    pub fn order(&self, order: StoreOrder) -> Result<(), QueueFull> {
        let ticket = ticket(&order);
        if self.take(Work::Order(Box::new(order))) { Ok(()) } else { Err(QueueFull(ticket)) }
    }

    /// Forgets old runs when their turn comes (`Settings:RunHistoryDays`); false where the queue is full, to be tried again later.
    pub fn prune(&self, days: u32, now: WallTime) -> bool {
        self.take(Work::Prune { days, now })
    }

    fn take(&self, work: Work) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.try_send(work).is_ok())
    }

    /// Carries out what is queued, then ends. From now on reports that do not fit into the agent's queue are dropped,
    /// since the one who would make room for them is the one who waits here.
    ///
    /// # Errors
    /// Where the thread had panicked, so that orders may be lost.
    pub fn close(mut self) -> io::Result<()> {
        self.finish()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.watcher = None;
        self.queue = None;
        self.closing.close();
        match self.thread.take().map(JoinHandle::join) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(_)) => Err(io::Error::other("the store's thread panicked; orders may be lost")),
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Whoever wants to know calls `close`; the panic itself was printed when it happened.
        drop(self.finish());
    }
}

struct Worker {
    guard: Guard,
    history: History,
    settings: SettingStore,
    looks: Arc<Looks>,
    has_looked: bool,
    policies: PolicyReader,
    events: Sender<Event>,
    closed: Receiver<()>,
    /// What is written next, together.
    waiting: Vec<Waiting>,
}

impl Worker {
    fn work(mut self, work: &mpsc::Receiver<Work>) {
        let mut unsynced_orders: u32 = 0;
        loop {
            let next = if self.history.is_synced() {
                unsynced_orders = 0;
                work.recv().map_err(RecvTimeoutError::from)
            } else if unsynced_orders < UNSYNCED_ORDERS {
                unsynced_orders = unsynced_orders.saturating_add(1);
                work.recv_timeout(QUIET)
            } else {
                Err(RecvTimeoutError::Timeout)
            };
            match next {
                Ok(first) => self.carry_out_all(iter::once(first).chain(work.try_iter().take(TOGETHER - 1))),
                Err(RecvTimeoutError::Timeout) => self.sync(),
                Err(RecvTimeoutError::Disconnected) => return self.sync(),
            }
        }
    }

    fn sync(&self) {
        if let Err(reason) = self.history.sync() {
            self.congested(&reason);
        }
    }

    /// In their order; records that follow each other are written together.
    fn carry_out_all(&mut self, works: impl Iterator<Item = Work>) {
        for work in works {
            let is_record = match &work {
                Work::Order(order) => brings_record(order),
                Work::Look | Work::Prune { .. } => false,
            };
            if !is_record {
                self.write_waiting();
            }
            self.carry_out(work);
        }
        self.write_waiting();
    }

    fn write_waiting(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let written: Vec<(Kept<'_>, bool)> = waiting.iter().map(|one| (one.record.kept(), one.durable)).collect();
        let results = self.history.insert_or_replace_all(&written);
        for (Waiting { ticket, record, .. }, result) in waiting.into_iter().zip(results) {
            self.report(Event::Store(record.report(ticket, result)));
        }
    }

    fn carry_out(&mut self, work: Work) {
        match work {
            Work::Order(order) => {
                if let Some(report) = self.perform(*order) {
                    self.report(Event::Store(report));
                }
                self.tell_notices();
            }
            Work::Look => {
                if let Some(report) = self.look() {
                    self.report(Event::Store(report));
                }
            }
            Work::Prune { days, now } => {
                if let Err(reason) = self.history.prune(days, now) {
                    self.congested(&reason);
                }
            }
        }
    }

    fn tell_notices(&mut self) {
        for notice in self.guard.take_notices() {
            self.congested(&notice);
        }
        for notice in self.guard.take_lkg_notices() {
            self.report(Event::Store(StoreReport::LkgNoticed(notice)));
        }
    }

    fn perform(&mut self, order: StoreOrder) -> Option<StoreReport> {
        Some(match order {
            StoreOrder::Note(note) => {
                if let Err(reason) = self.history.note(&note) {
                    self.congested(&reason);
                }
                return None;
            }
            StoreOrder::PersistRun { ticket, record, durable } => {
                self.waiting.push(Waiting { ticket, record: Record::Run(record), durable });
                return None;
            }
            StoreOrder::KeepElevation { ticket, record, durable } => {
                self.waiting.push(Waiting { ticket, record: Record::Elevation(record), durable });
                return None;
            }
            StoreOrder::ReadRuns { ticket, query } => {
                StoreReport::RunsRead { ticket, result: self.history.runs(&query) }
            }
            StoreOrder::ReadElevations { ticket, query } => {
                StoreReport::ElevationsRead { ticket, result: self.history.elevations(&query) }
            }
            StoreOrder::ChangeDefinitions { ticket, changes, writer, at } => StoreReport::DefinitionsChanged {
                ticket,
                result: self.guard.change(&self.history, &changes, &writer, at),
            },
            StoreOrder::Survey { ticket, thorough } => {
                let (survey, checked) = self.survey(&Where::Everywhere, thorough);
                StoreReport::Surveyed { ticket: Some(ticket), survey, checked }
            }
            StoreOrder::Restore { ticket, item, at } => {
                StoreReport::Restored { ticket, result: self.guard.restore(&item, at), item }
            }
            StoreOrder::ReadReferences { ticket, query } => {
                StoreReport::ReferencesRead { ticket, result: self.guard.look_up(&query) }
            }
            StoreOrder::Rekey { ticket } => StoreReport::Rekeyed { ticket, result: self.guard.rekey(&self.history) },
            StoreOrder::SettleHeld => {
                self.guard.settle_held(&self.history);
                return None;
            }
            StoreOrder::WriteSettings { ticket, changes } => {
                StoreReport::SettingsWritten { ticket, result: self.settings.write(&changes) }
            }
            StoreOrder::ReadPolicies { ticket, document: None } => {
                StoreReport::PoliciesRead { ticket, files: self.policies.read(self.guard.root()) }
            }
            StoreOrder::ReadPolicies { ticket, document: Some(PolicyDocument { name, document }) } => {
                StoreReport::PoliciesRead { ticket, files: vec![self.policies.brought(&name, document)] }
            }
            StoreOrder::KeepPolicies { ticket, changes, bundle } => {
                StoreReport::PoliciesKept { ticket, result: self.settings.keep_policies(&changes, bundle.as_ref()) }
            }
            StoreOrder::ReadDefinitions { ticket } => StoreReport::DefinitionsRead { ticket, files: self.guard.read() },
            StoreOrder::Mfa { ticket, order, at } => {
                StoreReport::Mfa { ticket, result: mfa::perform(self.guard.root(), &self.settings, &order, at) }
            }
            StoreOrder::ChangeCertificates { ticket, change, at } => StoreReport::CertificatesChanged {
                ticket,
                result: AdminAuthority::change(self.guard.root(), &change, at),
            },
        })
    }

    fn survey(&mut self, at: &Where, thorough: bool) -> (Survey, Checked) {
        let (mut survey, checked) = self.guard.survey(at, thorough);
        survey.unwatched = self.looks.unwatched();
        (survey, checked)
    }

    /// Something changed in the folders of definitions.
    fn look(&mut self) -> Option<StoreReport> {
        let at = self.looks.take();
        if at.is_empty() {
            return None;
        }
        if !self.guard.is_on() {
            // The first look is at what was just read.
            let is_later = std::mem::replace(&mut self.has_looked, true);
            return (is_later || self.guard.was_edited_since_start()).then_some(StoreReport::DefinitionsTouched);
        }
        let (survey, checked) = self.survey(&at, false);
        let is_well = survey.differences.is_empty() && survey.folders.is_empty() && survey.unwatched.is_empty();
        let is_sound = checked.changed.is_empty() && checked.doubt.is_none();
        (!is_well || !is_sound).then_some(StoreReport::Surveyed { ticket: None, survey, checked })
    }

    /// Something was not done that nobody waits for.
    fn congested(&self, reason: &str) {
        self.report(Event::Congested(format!("store: {reason}")));
    }

    /// Waits for room in the agent's queue for as long as the store is open.
    fn report(&self, event: Event) {
        let Err(TrySendError::Full(event)) = self.events.try_send(event) else { return };
        let sent = async { self.events.send(event).await.is_ok() };
        let closed = async { self.closed.recv().await.is_ok() };
        smol::block_on(or(sent, closed));
    }
}
