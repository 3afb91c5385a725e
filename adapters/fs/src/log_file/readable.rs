//! Log records as lines for people: time, level, component, message; nothing in them can move a terminal's cursor.

use std::io::{self, IsTerminal, Stderr, Write};

use castellan_core::log_message::{Level, LogRecord, escape};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::sink::Sink;

/// stderr, with or without colour.
#[derive(Debug)]
pub(super) struct Terminal {
    stderr: Stderr,
    colour: bool,
    lost: u64,
}

impl Terminal {
    /// With colour where stderr is a terminal and `NO_COLOR` is absent or empty (no-color.org).
    pub(super) fn on_stderr() -> Self {
        let stderr = io::stderr();
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = stderr.is_terminal() && !unwanted;
        Self { stderr, colour, lost: 0 }
    }
}

impl Sink for Terminal {
    fn write(&mut self, record: &LogRecord) -> io::Result<()> {
        let shown = self.stderr.write_all(line(record, self.colour).as_bytes());
        self.lost = self.lost.saturating_add(u64::from(shown.is_err()));
        shown
    }

    fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}

/// Writes one line to stderr where that does not make anybody wait; what cannot be said there either is counted in any case.
pub(super) fn say_once(record: &LogRecord) {
    let mut stderr = Terminal::on_stderr();
    let mut asked = [PollFd::from_borrowed_fd(rustix::stdio::stderr(), PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let is_ready = poll(&mut asked, Some(&now)).is_ok_and(|ready| ready > 0);
    if is_ready && stderr.write(record).is_err() {
        stderr.take_lost();
    }
}

/// The name as it stands in a line, and its ANSI colour.
const fn level(level: Level) -> (&'static str, &'static str) {
    match level {
        Level::Trace => ("TRACE", "2"),
        Level::Debug => ("DEBUG", "2"),
        Level::Information => ("INFO ", "32"),
        Level::Warning => ("WARN ", "33"),
        Level::Error => ("ERROR", "31"),
        Level::Critical => ("CRIT ", "1;31"),
    }
}

/// The record as one line.
pub(super) fn line(record: &LogRecord, colour: bool) -> String {
    let (name, code) = level(record.level);
    let (on, off) = if colour { (format!("\u{1b}[{code}m"), "\u{1b}[0m") } else { (String::new(), "") };
    let mut text = String::new();
    for part in [&record.timestamp, " ", &on, name, off, " "] {
        text.push_str(part);
    }
    text.push_str(&escape(&record.component));
    text.push_str("  ");
    text.push_str(&escape(&record.message));
    if !record.context.is_empty() {
        text.push_str("  (");
        text.push_str(&escape(&record.context));
        text.push(')');
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests;
