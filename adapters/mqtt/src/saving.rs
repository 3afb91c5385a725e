//! The thread that writes what survives the agent, one batch at a time, so that the broker never waits for the disk.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;
use std::time::Duration;

use async_io::Timer;
use castellan_core::broker::stored::Batch;
use castellan_core::broker::{BrokerEvent, STOP_MILLIS};
use smol::channel::{Receiver, Sender, bounded};

use crate::Keep;

/// Batches on their way: the machine asks for one at a time.
const BATCHES: usize = 1;

/// How long the end waits for the last batch: as long as a stop waits for the rest. The disk must not keep the agent.
const LAST_BATCH: Duration = Duration::from_millis(STOP_MILLIS);

/// The running thread. Dropping it waits until the last batch is written, for [`LAST_BATCH`] at most.
#[derive(Debug)]
pub(crate) struct Saver {
    batches: Sender<Box<Batch>>,
    /// What became of them.
    answers: Receiver<BrokerEvent>,
    thread: Option<JoinHandle<()>>,
}

impl Saver {
    pub(crate) fn start(mut keep: Keep) -> io::Result<Self> {
        let (batches, asked) = bounded::<Box<Batch>>(BATCHES);
        let (answer, answers) = bounded(BATCHES);
        let thread = std::thread::Builder::new().name(String::from("broker-store")).spawn(move || {
            while let Ok(batch) = asked.recv_blocking() {
                let result = catch_unwind(AssertUnwindSafe(|| keep(&batch)))
                    .unwrap_or_else(|_| Err(String::from("the store panicked; report this")));
                if answer.send_blocking(BrokerEvent::Saved { number: batch.number, result }).is_err() {
                    log::debug!("the broker ended while its last changes were written");
                }
            }
        })?;
        Ok(Self { batches, answers, thread: Some(thread) })
    }

    /// Hands over a batch; it comes back at once where that cannot be, as nobody would answer it.
    pub(crate) fn save(&self, batch: Box<Batch>) -> Option<BrokerEvent> {
        let number = batch.number;
        self.batches.try_send(batch).err().map(|_| BrokerEvent::Saved {
            number,
            result: Err(String::from("the thread that writes is gone or busy; start the agent again and report this")),
        })
    }

    /// Hands over the last batch, which nobody waits for any more; it is written before the thread ends.
    pub(crate) fn save_last(&self, batch: Box<Batch>) {
        if self.save(batch).is_some() {
            log::error!("the last changes of sessions and retained messages are not saved. Report this.");
        }
    }

    /// What became of batches, one after the other.
    pub(crate) fn answers(&self) -> Receiver<BrokerEvent> {
        self.answers.clone()
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        self.batches.close();
        // The thread's end is the end of its answers, which nobody waits for any more.
        let ended = async {
            while self.answers.recv().await.is_ok() {}
            true
        };
        let late = async {
            Timer::after(LAST_BATCH).await;
            false
        };
        if !smol::block_on(smol::future::or(ended, late)) {
            self.answers.close();
            log::error!(
                "the last changes of sessions and retained messages are still being written and may be lost. Look for what slows the disk."
            );
            return;
        }
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("the thread that keeps the broker's state panicked. Start the agent again and report this.");
        }
    }
}
