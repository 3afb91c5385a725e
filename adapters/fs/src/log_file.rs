//! The agent's log: `state/logs/agent.jsonl`, one JSON object a line; journald where it is there; readable lines on a terminal.
//!
//! | sink | takes | when it fails |
//! | --- | --- | --- |
//! | `file` | lines of JSON in files of bounded size, age and number | what it could not write is counted; the file stays whole |
//! | `journald` | fields, by the native protocol | the same; where it never was, nothing is missed |
//! | `stderr` | lines for people, where stderr is a terminal | the same |
//!
//! Each sink has a queue and a thread of its own, so none waits for another. Whoever logs never waits: what does not fit into a queue
//! is counted, and the count is logged, in all sinks, as soon as there is room again.

mod file;
mod journal;
mod queue;
mod readable;
mod sink;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use castellan_core::config::Logging;
use castellan_core::log_message::{Level, LogRecord};

use crate::error::RootError;
use crate::root::Root;
pub(crate) use file::{NAME, number_of};

use file::LogFile;
use journal::Journal;
use readable::Terminal;
use sink::{Feed, Sink, Worker};

/// How long each sink may take to write what waits when the agent ends: longer than a disk takes, short within the ten seconds of a stop.
const CLOSE_TIME: Duration = Duration::from_secs(5);
/// The name of the sink that people read.
const STDERR: &str = "stderr";

/// A sink that is called with each record, on a thread of its own.
pub type Tap = Box<dyn FnMut(&LogRecord) + Send>;

/// Where records go besides the file and journald.
#[derive(Default)]
pub struct LogOutput {
    /// Whether readable lines go to stderr.
    pub readable: bool,
    /// Called with each record.
    pub tap: Option<Tap>,
}

impl fmt::Debug for LogOutput {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LogOutput").field("readable", &self.readable).field("tap", &self.tap.is_some()).finish()
    }
}

/// The running log. Dropping it writes what is queued, as [`LogWriter::close`] does.
#[derive(Debug)]
pub struct LogWriter {
    queue: LogQueue,
    /// One for each sink that has not ended; nothing is sent, its end is the news.
    ends: Vec<(&'static str, Receiver<()>)>,
    description: String,
}

/// The way into the log, for whoever does not own it.
#[derive(Debug, Clone)]
pub struct LogQueue {
    feeds: Arc<[Feed]>,
    minimum: Arc<AtomicU8>,
}

impl LogQueue {
    /// Takes a record; never waits. One that does not fit is counted.
    pub fn log(&self, record: LogRecord) {
        if record.level as u8 >= self.minimum.load(Ordering::Relaxed) {
            let record = Arc::new(record);
            self.feeds.iter().for_each(|feed| feed.offer(&record));
        }
    }
}

impl LogWriter {
    /// Opens every sink and starts its thread. Records below the level are not written anywhere.
    ///
    /// # Errors
    /// [`RootError`] where the log file cannot be opened, or a thread not started.
    pub fn start(root: &Root, output: LogOutput, logging: &Logging) -> Result<Self, RootError> {
        let logs = root.path().join("state/logs");
        let mut sinks: Vec<(&'static str, Box<dyn Sink>)> =
            vec![("file", Box::new(LogFile::open(root, logging.files)?))];
        let mut description = format!("{}/{NAME}", logs.display());
        if let Some(path) = &logging.journal {
            let journal = Journal::open(Path::new(path))?;
            let absent = "journald, which is not there now; lines go to it from when it is";
            description = format!("{description} and {}", if journal.is_present() { "journald" } else { absent });
            sinks.push(("journald", Box::new(journal)));
        }
        if output.readable {
            sinks.push((STDERR, Box::new(Terminal::on_stderr())));
        }
        if let Some(tap) = output.tap {
            sinks.push(("tap", Box::new(tap)));
        }
        let feeds = sinks.iter().map(|(name, _)| Feed::new(name)).collect();
        let minimum = Arc::new(AtomicU8::new(logging.level as u8));
        let mut log = Self { queue: LogQueue { feeds, minimum }, ends: Vec::new(), description };
        for (place, (name, sink)) in sinks.into_iter().enumerate() {
            let worker = Worker { sink, log: log.queue(), place, is_failing: false };
            let (end, ended) = channel();
            start(name, worker, end).map_err(RootError::failed("start the thread that writes", &logs))?;
            log.ends.push((name, ended));
        }
        Ok(log)
    }

    /// Where the lines go, for the first of them.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Takes a record; never waits. One that does not fit is counted.
    pub fn log(&self, record: LogRecord) {
        self.queue.log(record);
    }

    /// From now on records below this level are not written.
    pub fn set_level(&self, level: Level) {
        self.queue.minimum.store(level as u8, Ordering::Relaxed);
    }

    /// How many records could not be written since the start, by sink.
    pub fn lost(&self) -> Vec<(&'static str, u64)> {
        self.queue.feeds.iter().map(|feed| (feed.name, feed.lost())).collect()
    }

    /// Another way into this log.
    pub fn queue(&self) -> LogQueue {
        self.queue.clone()
    }

    /// Writes what is queued, then ends.
    ///
    /// # Errors
    /// Where a sink did not come to its end within five seconds, so that its records are lost.
    pub fn close(mut self) -> io::Result<()> {
        self.finish()
    }

    fn finish(&mut self) -> io::Result<()> {
        let ends = std::mem::take(&mut self.ends);
        let mut ending: Vec<_> = self.queue.feeds.iter().zip(ends).collect();
        // One after the other, the file last: what a sink tells of its losses while it ends finds the file open.
        ending.reverse();
        let mut late = Vec::new();
        for (feed, (name, ended)) in ending {
            feed.queue.close();
            if ended.recv_timeout(CLOSE_TIME) == Err(RecvTimeoutError::Timeout) {
                late.push(name);
            }
        }
        if late.is_empty() {
            return Ok(());
        }
        let message =
            format!("the log's sinks {} did not write what waited within {CLOSE_TIME:?}; it is lost", late.join(", "));
        Err(io::Error::other(message))
    }
}

fn start(name: &str, worker: Worker, end: Sender<()>) -> io::Result<()> {
    let run = move || {
        // Dropped at the end, also of a panic, which the panic hook tells of.
        let _end = end;
        worker.run();
    };
    std::thread::Builder::new().name(format!("log {name}")).spawn(run).map(drop)
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        // Whoever wants to know calls `close`.
        drop(self.finish());
    }
}

#[cfg(test)]
mod tests;
