//! The agent's log: `state/logs/agent.jsonl`, one JSON object a line, and readable lines on a terminal.
//!
//! A thread of its own writes. Whoever logs never waits: what does not fit into the queue is counted, and the count is
//! logged as soon as there is room again.

mod file;
mod readable;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use castellan_core::log_message::{Level, LogRecord};
use smol::channel::{Receiver, Sender, bounded};

use crate::error::RootError;
use crate::root::Root;
pub(crate) use file::{NAME, OLD_NAME};

use file::LogFile;
use readable::Terminal;

/// Records that wait: at the largest message of 64 KiB this bounds the memory, at the usual 200 bytes it is a burst of seconds.
const QUEUE: usize = 4096;

/// A sink that is called with each record, on the writer's thread.
pub type Tap = Box<dyn FnMut(&LogRecord) + Send>;

/// Where records go besides the file.
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

/// The running log writer. Dropping it writes what is queued, as [`LogWriter::close`] does.
#[derive(Debug)]
pub struct LogWriter {
    queue: LogQueue,
    thread: Option<JoinHandle<()>>,
}

/// The way into the log, for whoever does not own the writer.
#[derive(Debug, Clone)]
pub struct LogQueue {
    /// Boxed, so that the places of an empty queue take little memory.
    records: Sender<Box<LogRecord>>,
    minimum: Level,
    lost: Arc<Lost>,
}

/// Records that were lost.
#[derive(Debug, Default)]
struct Lost {
    /// Since the log last told how many.
    untold: AtomicU64,
    /// That it has told of since the start.
    told: AtomicU64,
}

impl LogQueue {
    /// Takes a record; never blocks. One that does not fit is counted.
    pub fn log(&self, record: LogRecord) {
        if record.level >= self.minimum && self.records.try_send(Box::new(record)).is_err() {
            self.lost.untold.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl LogWriter {
    /// Starts the thread. Records below `minimum` are not written anywhere.
    ///
    /// # Errors
    /// [`RootError`] where the log file cannot be opened.
    pub fn start(root: &Root, output: LogOutput, minimum: Level) -> Result<Self, RootError> {
        let file = LogFile::open(root)?;
        let (sender, records) = bounded(QUEUE);
        let lost = Arc::new(Lost::default());
        let terminal = output.readable.then(Terminal::on_stderr);
        let writer = Writer { file, terminal, tap: output.tap, lost: Arc::clone(&lost), failing: false };
        let thread = std::thread::Builder::new()
            .name(String::from("log writer"))
            .spawn(move || writer.run(&records))
            .map_err(RootError::failed("start the thread that writes", &root.path().join("state/logs")))?;
        Ok(Self { queue: LogQueue { records: sender, minimum, lost }, thread: Some(thread) })
    }

    /// Takes a record; never blocks. One that does not fit is counted.
    pub fn log(&self, record: LogRecord) {
        self.queue.log(record);
    }

    /// How many records could not be written since the start.
    pub fn lost(&self) -> u64 {
        let Lost { untold, told } = &*self.queue.lost;
        told.load(Ordering::Relaxed).saturating_add(untold.load(Ordering::Relaxed))
    }

    /// Another way into this log.
    pub fn queue(&self) -> LogQueue {
        self.queue.clone()
    }

    /// Writes what is queued, then ends.
    ///
    /// # Errors
    /// Where the thread had panicked, so that records may be lost.
    pub fn close(mut self) -> io::Result<()> {
        self.finish()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.queue.records.close();
        match self.thread.take().map(JoinHandle::join) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(_)) => Err(io::Error::other("the log writer's thread panicked; records may be lost")),
        }
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        // Whoever wants to know calls `close`; the panic itself was printed when it happened.
        drop(self.finish());
    }
}

struct Writer {
    file: LogFile,
    terminal: Option<Terminal>,
    tap: Option<Tap>,
    lost: Arc<Lost>,
    /// Whether the file could not be written the last time.
    failing: bool,
}

impl Writer {
    fn run(mut self, records: &Receiver<Box<LogRecord>>) {
        while let Ok(record) = records.recv_blocking() {
            let mut last = self.write(*record);
            // Until the queue is empty; then what was gathered is written in one piece.
            while let Ok(record) = records.try_recv() {
                last = self.write(*record);
            }
            self.settle(&last);
        }
    }

    /// Writes what is gathered and, where that works, how many records were lost before.
    fn settle(&mut self, timestamp: &str) {
        self.flush(timestamp);
        let lost = self.lost.untold.load(Ordering::Relaxed);
        if lost == 0 || self.failing {
            return;
        }
        let message =
            format!("{lost} log records were lost because they could not be written as fast as they came, or at all.");
        self.write(own(timestamp.to_owned(), message));
        self.flush(timestamp);
        // Where it failed, the count itself was counted as one more; it is taken back and the count stands until it is written.
        if !self.failing {
            self.lost.told.fetch_add(lost, Ordering::Relaxed);
        }
        self.lost.untold.fetch_sub(if self.failing { 1 } else { lost }, Ordering::Relaxed);
    }

    /// Writes one record everywhere; gives its time.
    fn write(&mut self, record: LogRecord) -> String {
        let written = self.file.write(&record);
        if let Some(tap) = &mut self.tap {
            tap(&record);
        }
        let shown = self.terminal.as_mut().map_or(Ok(()), |terminal| terminal.show(&record));
        let timestamp = record.timestamp;
        self.note(written, &timestamp);
        if let Err(error) = shown {
            self.terminal = None;
            let gone =
                own(timestamp.clone(), format!("stderr takes no more log lines: {error}. The log file goes on."));
            let written = self.file.write(&gone);
            self.note(written, &timestamp);
        }
        timestamp
    }

    fn flush(&mut self, timestamp: &str) {
        let flushed = self.file.flush();
        if flushed.is_ok() {
            self.failing = false;
        }
        self.note(flushed, timestamp);
    }

    /// A failure of the file is told once until it works again: on stderr, where the file itself cannot.
    fn note(&mut self, result: io::Result<()>, timestamp: &str) {
        let Err(error) = result else { return };
        self.lost.untold.fetch_add(self.file.take_lost(), Ordering::Relaxed);
        if std::mem::replace(&mut self.failing, true) {
            return;
        }
        let record =
            own(timestamp.to_owned(), format!("the log file cannot be written: {error}. Make room on its disk."));
        if Terminal::on_stderr().show(&record).is_err() {
            // Neither file nor stderr: the count of lost records is what remains, and it is written once the file works.
            self.terminal = None;
        }
    }
}

/// A record of the writer itself; it has no clock, so it carries the time of the record before it.
fn own(timestamp: String, message: String) -> LogRecord {
    LogRecord {
        timestamp,
        level: Level::Critical,
        source: "castellan".into(),
        category: "log".into(),
        message,
        correlation_id: String::new(),
        context: String::new(),
        client_id: None,
        pid: None,
        component: String::from("agent"),
        trace: None,
    }
}

#[cfg(test)]
mod tests;
