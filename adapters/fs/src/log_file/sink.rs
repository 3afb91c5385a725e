//! A place that records go to, and the thread that brings them there. One that is slow or fails is the business of its own thread alone.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use castellan_core::log_message::{Level, LogRecord};

use super::queue::Queue;
use super::readable::say_once;
use super::{LogQueue, Tap};

/// Where records go.
pub(super) trait Sink: Send {
    /// Takes a record; it may keep it until [`Sink::flush`].
    fn write(&mut self, record: &LogRecord) -> io::Result<()>;

    /// Writes what it keeps. After an error that is lost and counted.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Records lost since it was last asked; of an error of [`Sink::write`] at least that one.
    fn take_lost(&mut self) -> u64;
}

/// The way into one sink.
#[derive(Debug)]
pub(super) struct Feed {
    /// As metrics name it.
    pub(super) name: &'static str,
    pub(super) queue: Queue,
    /// Records lost since the log last told how many.
    untold: AtomicU64,
    /// Lost ones that it has told of since the start.
    told: AtomicU64,
}

impl Feed {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, queue: Queue::default(), untold: AtomicU64::new(0), told: AtomicU64::new(0) }
    }

    /// Hands a record over, or counts it as lost; never waits.
    pub(super) fn offer(&self, record: &Arc<LogRecord>) {
        if !self.queue.offer(record) {
            self.untold.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Records lost since the start.
    pub(super) fn lost(&self) -> u64 {
        self.told.load(Ordering::Relaxed).saturating_add(self.untold.load(Ordering::Relaxed))
    }
}

/// The thread's work for one sink.
pub(super) struct Worker {
    pub(super) sink: Box<dyn Sink>,
    /// All feeds, and which of them is this sink's.
    pub(super) log: LogQueue,
    pub(super) place: usize,
    /// Whether it failed the last time.
    pub(super) is_failing: bool,
}

impl Worker {
    pub(super) fn run(mut self) {
        let log = self.log.clone();
        let Some(feed) = log.feeds.get(self.place) else { return };
        while let Some(records) = feed.queue.take() {
            let mut result = Ok(());
            for record in &records {
                result = result.and(self.sink.write(record));
            }
            let time = records.back().map(|record| record.timestamp.clone()).unwrap_or_default();
            self.settle(feed, result, &time);
            if self.is_failing && feed.queue.is_closed() {
                // The agent ends, and does not wait for what does not work.
                feed.untold.fetch_add(feed.queue.give_up(), Ordering::Relaxed);
            }
        }
    }

    /// Flushes; and where that works, tells how many records were lost before, here and in the other sinks.
    pub(super) fn settle(&mut self, feed: &Feed, written: io::Result<()>, time: &str) {
        // Both are carried out, whatever becomes of the first.
        let flushed = self.sink.flush();
        if !self.note(feed, written.and(flushed), time) {
            return;
        }
        let lost = feed.untold.load(Ordering::Relaxed);
        if lost == 0 {
            return;
        }
        let name = feed.name;
        let why = "because they could not be written as fast as they came, or at all";
        let record = own(time, format!("{lost} log records were lost in {name} {why}."));
        let told = self.sink.write(&record).and_then(|()| self.sink.flush());
        if told.is_ok() {
            feed.told.fetch_add(lost, Ordering::Relaxed);
            feed.untold.fetch_sub(lost, Ordering::Relaxed);
            self.tell_others(record);
        } else {
            // The count stands until it can be told; what told it is no record of anybody's.
            self.sink.take_lost();
        }
    }

    /// Whether it works. A failure is told once until it works again: in the other sinks, and on stderr.
    fn note(&mut self, feed: &Feed, result: io::Result<()>, time: &str) -> bool {
        feed.untold.fetch_add(self.sink.take_lost(), Ordering::Relaxed);
        let Err(error) = result else {
            self.is_failing = false;
            return true;
        };
        if !std::mem::replace(&mut self.is_failing, true) {
            let record = own(
                time,
                format!(
                    "the log's sink {} takes no records: {error}. Make it work again; what is lost is counted.",
                    feed.name
                ),
            );
            // Where stderr is a sink it has the line already.
            if !self.log.feeds.iter().any(|other| other.name == super::STDERR) {
                say_once(&record);
            }
            self.tell_others(record);
        }
        false
    }

    fn tell_others(&self, record: LogRecord) {
        let record = Arc::new(record);
        for (_, other) in self.log.feeds.iter().enumerate().filter(|(place, _)| *place != self.place) {
            other.offer(&record);
        }
    }
}

impl Sink for Tap {
    fn write(&mut self, record: &LogRecord) -> io::Result<()> {
        self(record);
        Ok(())
    }

    fn take_lost(&mut self) -> u64 {
        0
    }
}

/// A record of the log itself; it has no clock, so it carries the time of the record before it.
fn own(time: &str, message: String) -> LogRecord {
    LogRecord { timestamp: time.to_owned(), ..LogRecord::own(Level::Critical, "Log", message) }
}
